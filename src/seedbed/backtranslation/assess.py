"""assess: judged pairs, labels by hand → how good the judge is. It is measured, not believed.

Two questions. Does it find the sections that a person calls a good answer (precision, recall, and
the AUC: how often a good one has the higher score)? And does it know which instruction belongs to
which text, of pairs whose instructions a person wrote, against the same with others' instructions?
No label is read by the stages before: a judge is tried on what it has not seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.backtranslation import agreement
from seedbed.backtranslation.demos import Demos, draw, read_curated, read_seed_pairs
from seedbed.backtranslation.errors import NoLabelledPair
from seedbed.backtranslation.judging import Asking, parts, score_of
from seedbed.backtranslation.params import START, Assess, Curate, LongestDemo
from seedbed.backtranslation.partners import partners
from seedbed.backtranslation.rows import (
    BACK,
    CURATED,
    LABELLED,
    PAIRS,
    SEGMENTS,
    SWAPPED,
    CuratedPair,
    Label,
    Labelled,
    Segment,
    Swap,
)
from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.metrics import mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.rouge import RougeIndex
from seedbed.core.section import Section
from seedbed.errors import BadRow
from seedbed.llm.params import Llm


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    assess: Assess
    curate: Curate
    seed_pairs: LongestDemo


@dataclass(frozen=True)
class Inputs:
    """round: the folder of a round, whose judge is tried. start, before: as curate has them."""

    round: Path = BACK / "round-1"
    segments: Path = SEGMENTS
    start: Path = BACK / START
    before: Path = BACK / START


@dataclass(frozen=True)
class ByHand:
    """A section that is a good answer, and its instruction, both by people."""

    id: str
    instruction: str
    output: str


Place = tuple[str, tuple[str, ...]]


def read_labels(path: Path) -> dict[Place, Label]:
    """The labels by document and heading.

    Raises:
        BadFile, BadRow: as `read_rows`; BadRow too for a place that is labelled twice, and for a
            good section without its instruction.
    """
    found: dict[Place, Label] = {}
    for line, label in enumerate(read_rows(path, Label), 1):
        place = (label.document, tuple(label.heading))
        if place in found:
            raise BadRow(path, line, "this section has a label already", "Remove one of the two.")
        if label.good and label.instruction is None:
            problem = "a good section without an instruction"
            raise BadRow(path, line, problem, "Write down what the section answers.")
        found[place] = label
    return found


def labelled(rows: Sequence[CuratedPair], labels: dict[Place, Label]) -> list[Labelled]:
    """The judged pairs that have a label, in order."""
    both = [(row, labels.get((row.document, tuple(row.heading)))) for row in rows]
    return [
        Labelled(id=row.id, score=row.score, kept=row.kept, good=label.good, fault=label.fault)
        for row, label in both
        if label is not None
    ]


def by_hand(segments: Sequence[Segment], labels: dict[Place, Label]) -> list[ByHand]:
    """The good sections with the instructions that people wrote, in the segments' order."""
    found = []
    for segment in segments:
        label = labels.get((segment.document, tuple(segment.heading)))
        if label is not None and label.good and label.instruction is not None:
            found.append(ByHand(segment.id, label.instruction.strip(), segment.text))
    return found


def swaps(pairs: Sequence[ByHand], demos: Demos, params: Curate, engine: Asking) -> list[Swap]:
    """Scores of the true pairs, and of each text with others' instructions."""
    true = list(pairs)
    asked = [(pair.id, None, pair) for pair in true] + [
        (pair.id, other.id, ByHand(f"{pair.id} {other.id}", other.instruction, pair.output))
        for pair, others in zip(true, partners(true, params), strict=True)
        for other in others
    ]
    measured = parts([pair for _, _, pair in asked], demos, params, engine, pool=true)
    return [
        Swap(id=id_, of=of, score=score_of(rows, params)[0], keys=[part.key for part in rows])
        for (id_, of, _), rows in zip(asked, measured, strict=True)
    ]


def recovered(pairs: Sequence[ByHand], guessed: dict[str, str]) -> tuple[float, float] | None:
    """ROUGE-L F1 of guessed instructions with those by hand, and with those of other sections.

    Both are means, of 100; None of fewer than two.
    """
    both = [pair for pair in pairs if pair.id in guessed]
    if len(both) < 2:
        return None
    index = RougeIndex(pair.instruction for pair in both)
    scores = 100 * index.scores([guessed[pair.id] for pair in both])
    others = scores[~np.eye(len(both), dtype=bool)]
    return float(np.trace(scores)) / len(both), float(others.mean())


def metrics(
    rows: Sequence[Labelled],
    tried: Sequence[Swap],
    alike: tuple[float, float] | None,
    labels: int,
    params: Assess,
) -> dict[str, Any]:
    """The stage's metrics. A pair without a score is one that the judge does not find good."""
    scored = [row for row in rows if row.score is not None]
    scores = [row.score for row in scored if row.score is not None]
    good = [row.good for row in scored]
    precision, recall = agreement.precision_recall(
        [row.kept for row in rows], [row.good for row in rows]
    )
    true = [swap.score for swap in tried if swap.of is None and swap.score is not None]
    swapped = [swap.score for swap in tried if swap.of is not None and swap.score is not None]
    interval = agreement.interval(scores, good, params.resamples, params.seed)
    flags = [True] * len(true) + [False] * len(swapped)
    of_swapped = agreement.interval([*true, *swapped], flags, params.resamples, params.seed)
    numbers = {
        "judge_auc": agreement.auc(scores, good),
        "judge_auc_swapped": agreement.paired_auc(true, swapped),
        "judge_precision": precision,
        "judge_recall": recall,
        "recovered_rouge_l": None if alike is None else alike[0],
    }
    return {
        # DVC drops a null without a word: a number that there is none of is not there.
        **{name: round(value, 4) for name, value in numbers.items() if value is not None},
        "assessed": {
            "labels": labels,
            "pairs_labelled": len(rows),
            "pairs_good": sum(row.good for row in rows),
            "pairs_without_score": len(rows) - len(scored),
            "true_scored": len(true),
            "swapped_scored": len(swapped),
        },
        "judge_intervals": [
            {
                "name": name,
                "low": None if found is None else round(found[0], 4),
                "high": None if found is None else round(found[1], 4),
            }
            for name, found in (("judge_auc", interval), ("judge_auc_swapped", of_swapped))
        ],
        "recovered": {}
        if alike is None
        else {
            name: {"rouge_l": round(value, 4)}
            for name, value in zip(("own", "of_others"), alike, strict=True)
        },
        "by_fault": by_fault(rows),
        "by_threshold": [
            {
                "threshold": point.threshold,
                "kept": point.kept,
                "precision": point.precision,
                "recall": point.recall,
            }
            # A pair without a score is kept from none on.
            for point in agreement.by_threshold(
                [-math.inf if row.score is None else row.score for row in rows],
                [row.good for row in rows],
            )
            if math.isfinite(point.threshold)
        ],
    }


def by_fault(rows: Sequence[Labelled]) -> dict[str, dict[str, float | None]]:
    """Of the good ones, and of those with each fault: how many, how many kept, the mean score.

    The last is None where none has a score.

    Every pair is in one of them; a bad one that names no fault is under `none_named`.
    """
    kinds: dict[str, list[Labelled]] = {}
    for row in sorted(rows, key=lambda row: (not row.good, row.fault or "")):
        kinds.setdefault("good" if row.good else row.fault or "none_named", []).append(row)
    table: dict[str, dict[str, float | None]] = {}
    for kind, own in kinds.items():
        scores = [row.score for row in own if row.score is not None]
        table[kind] = {
            "pairs": len(own),
            "kept": sum(row.kept for row in own),
            "score_mean": round(mean(scores), 4) if scores else None,
        }
    return table


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read labels and judged pairs, try the judge on pairs by hand; write both, and metrics.

    Raises:
        NoLabelledPair: the labels are about something else.
        BadFile, BadRow: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    own = params.assess
    labels = read_labels(Path(own.labels))
    path = inputs.round / CURATED / PAIRS
    judged = list(read_rows(path, CuratedPair))
    rows = labelled(judged, labels)
    if not rows:
        raise NoLabelledPair(Path(own.labels), path)
    pairs = by_hand(list(read_rows(inputs.segments, Segment)), labels)
    known = {pair.id for pair in pairs}
    # A text that is tried is not shown, nor is its instruction.
    curated = [row for row in read_curated(inputs.before) if row.id not in known]
    longest = params.seed_pairs.max_chars
    demos = draw(read_seed_pairs(inputs.start), curated, params.curate.seed, longest)
    with (
        Progress("assess", None, "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        tried = swaps(pairs, demos, params.curate, engine)
    alike = recovered(pairs, {row.id: row.instruction for row in judged})
    write_files(
        {
            into.folder / LABELLED: map(to_line, rows),
            into.folder / SWAPPED: map(to_line, tried),
            into.metrics: to_json(with_tables(metrics(rows, tried, alike, len(labels), own))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(rows))
