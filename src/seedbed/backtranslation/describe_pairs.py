"""describe-pairs: pairs → pictures of scores, lengths, verbs and nouns.

It asks nothing and shapes nothing, so that another way to draw runs no stage that asks.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.backtranslation.agreement import by_threshold
from seedbed.backtranslation.params import START, Backtranslation
from seedbed.backtranslation.rows import (
    ASSESSED,
    BACK,
    CURATED,
    LABELLED,
    PAIRS,
    SEED,
    Labelled,
    SeedPair,
)
from seedbed.core.files import exists, read_rows, to_json, write_files
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.tasks.roots import root
from seedbed.tasks.sunburst import sunburst

# Within the folder of all assessments: one folder a round, and in it that of the stage.
GOOD, BAD, UNLABELLED = "good, by hand", "bad, by hand", "without a label"
KEPT, LEFT = "curated", "the other augmented ones"
# Bins of a histogram, roughly; and the most points that a line has of a long list of labels.
BINS, STEPS = 24, 200


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    backtranslation: Backtranslation


@dataclass(frozen=True)
class Inputs:
    """rounds: the folder of all rounds, and of what people wrote. tried: of all assessments."""

    rounds: Path = BACK
    tried: Path = ASSESSED


class Pair(Record):
    """What is read of a judged pair."""

    id: str
    instruction: str
    output: str
    score: float | None
    kept: bool


@dataclass(frozen=True)
class Round:
    """A round's pairs, and those of them that people labelled; none where none was assessed."""

    name: str
    pairs: list[Pair]
    labelled: list[Labelled]


def read_rounds(inputs: Inputs, params: Params) -> Iterator[Round]:
    """The rounds, in order. Raises BadFile, BadRow: one has not run, or is broken."""
    for name in params.backtranslation.rounds:
        pairs = list(read_rows(inputs.rounds / name / CURATED / PAIRS, Pair))
        path = inputs.tried / name / "assess" / LABELLED
        yield Round(name, pairs, list(read_rows(path, Labelled)) if exists(path) else [])


def stacked(
    panels: Mapping[str, Mapping[str, Sequence[float]]], name: str, least: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Points for the `stacked` plot template: the same bins for every panel and kind.

    A histogram of `core.metrics` begins at 0, and a score may be below.

    Args:
        panels: of each panel the values of each kind, the lowest layer first.
        name: what the values are.
        least: bins are at least as wide.

    Yields:
        a point a panel, kind and bin, of 0 values too: where it begins under `name`, where it ends
        under `to`, its `panel`, `kind` and `count`, and the place of its kind as `layer`.
    """
    everything = [value for kinds in panels.values() for own in kinds.values() for value in own]
    if not everything:
        return
    width = max(_width(min(everything), max(everything)), least)
    first, last = _bin(min(everything), width), _bin(max(everything), width)
    for panel, kinds in panels.items():
        for layer, (kind, own) in enumerate(kinds.items()):
            counts = Counter(_bin(value, width) for value in own)
            for n in range(first, last + 1):
                yield {
                    name: round(n * width, 9),
                    "to": round((n + 1) * width, 9),
                    "panel": panel,
                    "kind": kind,
                    "layer": layer,
                    "count": counts[n],
                }


def _width(low: float, high: float) -> float:
    """Of a bin: 1, 2 or 5 of some power of ten."""
    if low == high:
        return 1.0
    rough = (high - low) / BINS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough)


def _bin(value: float, width: float) -> int:
    # The rounding keeps 0.3, which is a hair under 3 × 0.1, out of the bin before its own.
    return math.floor(round(value / width, 9))


def scores(rounds: Iterable[Round]) -> Iterator[dict[str, Any]]:
    """Points for the `stacked` plot template: scores by round, and what people say of the pairs."""
    panels: dict[str, dict[str, list[float]]] = {}
    for one in rounds:
        label = {row.id: GOOD if row.good else BAD for row in one.labelled}
        kinds: dict[str, list[float]] = {GOOD: [], BAD: [], UNLABELLED: []}
        for pair in one.pairs:
            if pair.score is not None:
                kinds[label.get(pair.id, UNLABELLED)].append(pair.score)
        panels[one.name] = kinds
    return stacked(panels, "score")


def thresholds(rounds: Iterable[Round]) -> Iterator[dict[str, Any]]:
    """Points for the `steps` plot template: what keeping pairs from a score on would come to.

    Yields:
        for some scores as `threshold` the `share` of each `kind`: precision, of the labelled pairs
        that are kept the good ones; and recall, of the good ones those that are kept, where some
        are good. `panel` is the round. A pair without a score is one that is never kept.
    """
    for one in rounds:
        values = [-math.inf if row.score is None else row.score for row in one.labelled]
        points = by_threshold(values, [row.good for row in one.labelled])
        points = [point for point in points if math.isfinite(point.threshold)]
        step = -(-len(points) // STEPS) or 1
        for point in [*points[:-1:step], *points[-1:]]:
            shares = {"precision": point.precision, "recall": point.recall}
            for kind, share in shares.items():
                if share is not None:
                    yield {
                        "threshold": point.threshold,
                        "share": round(share, 6),
                        "kind": kind,
                        "panel": one.name,
                    }


def lengths(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    """Points for the `stacked` plot template: characters of instructions, and of outputs."""
    for panel, texts in (
        ("instructions", [(pair.instruction, pair.kept) for pair in pairs]),
        ("outputs", [(pair.output, pair.kept) for pair in pairs]),
    ):
        kinds = {
            KEPT: [float(len(text)) for text, kept in texts if kept],
            LEFT: [float(len(text)) for text, kept in texts if not kept],
        }
        yield from stacked({panel: kinds}, "characters", least=1.0)


def verbs(instructions: Sequence[str]) -> list[dict[str, Any]]:
    """Points for the `sunburst` plot template."""
    roots = [root(instruction) for instruction in instructions]
    return sunburst([(verb, noun) for verb, noun in roots if verb and noun], len(roots))


def seed_instructions(pairs: Iterable[SeedPair]) -> list[str]:
    """Each task's once, though it may have several pairs, and without its input."""
    return list({pair.task: pair.instruction.partition("\n\n")[0] for pair in pairs}.values())


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read what curate, assess and seed-pairs wrote; write the plots. Raises BadFile, BadRow."""
    seed = list(read_rows(inputs.rounds / START / SEED / PAIRS, SeedPair))
    with Progress("describe-pairs", None, "rounds") as progress:
        rounds = list(progress.over(read_rounds(inputs, params)))
    last = rounds[-1]
    write_files(
        {
            into.plot("curate_scores"): to_json(list(scores(rounds))),
            into.plot("curate_threshold"): to_json(list(thresholds(rounds))),
            into.plot("pair_lengths"): to_json(list(lengths(last.pairs))),
            into.plot("pair_verbs_seed"): to_json(verbs(seed_instructions(seed))),
            into.plot("pair_verbs_curated"): to_json(
                verbs([pair.instruction for pair in last.pairs if pair.kept])
            ),
        }
    )
    progress.finish(len(last.pairs))
