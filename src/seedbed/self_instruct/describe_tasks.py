"""describe-tasks: what the new tasks ask for, how alike and how long they are: pictures.

It asks nothing and shapes nothing, so that another way to draw runs no stage that asks.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seedbed.core.files import read_rows, read_text, to_json, write_files
from seedbed.core.metrics import histogram, share, with_tables
from seedbed.core.paths import METRICS, Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    REJECTED_INSTRUCTIONS,
    ClassifiedInstruction,
    Instruction,
    RejectedInstruction,
    meaning,
)
from seedbed.tasks.roots import Root, root
from seedbed.tasks.sunburst import sunburst


class Drawn(Section):
    """What is read of bootstrap's section."""

    request_batch_size: int


class Params(Section):
    """The sections that dvc.yaml declares for this stage, as far as it declares them."""

    bootstrap: Drawn


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    instructions: Path = INSTRUCTIONS
    rejected: Path = REJECTED_INSTRUCTIONS
    classified: Path = CLASSIFIED
    metrics: Path = METRICS / "bootstrap.json"


class Accepted(NamedTuple):
    """What is drawn of an instruction: the rest of its row is most of the memory.

    highest: its ROUGE-L F1 (0 to 1) with the one most like it. round: the one that it came from.
    """

    text: str
    highest: float
    round: int

    @classmethod
    def of(cls, row: Instruction) -> "Accepted":
        return cls(row.instruction, next(iter(row.most_similar.values())), row.request_idx)


def growth(
    accepted: Iterable[int], too_similar: Iterable[int], rounds: int, per_round: int
) -> Iterator[dict[str, Any]]:
    """Points for the `growth` plot template: after each round, or after some hundred of many.

    Args:
        accepted, too_similar: the round of each such piece.

    Yields:
        `requests` so far, and the `count` of each `kind` of what they brought so far: accepted,
        or refused because it was too similar. Where the first line flattens while the second
        does not, the pool is full.
    """
    kinds = {"accepted": Counter(accepted), "too similar": Counter(too_similar)}
    step = -(-rounds // 100)
    ends = {0, rounds, *range(step, rounds, step)} if step else {0}
    for done in sorted(ends):
        for kind, of_round in kinds.items():
            count = sum(of_round[i] for i in range(done))
            yield {"requests": done * per_round, "kind": kind, "count": count}


def shares(rows: list[ClassifiedInstruction]) -> list[dict[str, Any]]:
    """Points for the `shares` plot template: one an answer, with its `count` and `share`."""
    counts = Counter(map(meaning, rows))
    names = {"yes": "classification task", "no": "other task", "unparsable": "unclear"}
    return [
        {"answer": name, "count": counts[answer], "share": share(counts[answer], len(rows))}
        for answer, name in names.items()
    ]


def metrics(roots: list[Root]) -> dict[str, Any]:
    """How many instructions have a root verb, and an object of it."""
    return {
        "verbs": {
            "verb_and_noun": sum(noun is not None for _, noun in roots),
            "verb_alone": sum(verb is not None and noun is None for verb, noun in roots),
            "no_verb": sum(verb is None for verb, _ in roots),
        },
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read what bootstrap and clf wrote; write metrics and plots."""
    accepted = [Accepted.of(row) for row in read_rows(inputs.instructions, Instruction)]
    too_similar: list[int] = []
    if inputs.rejected.stat().st_size:
        rejected = read_rows(inputs.rejected, RejectedInstruction)
        too_similar += (row.request_idx for row in rejected if row.reason == "too_similar")
    classified = list(read_rows(inputs.classified, ClassifiedInstruction))
    lengths = [len(row.text.split()) for row in accepted]
    with Progress("describe-tasks", len(accepted), "rows") as progress:
        roots = [root(row.text) for row in progress.over(accepted)]
    pairs = [(verb, noun) for verb, noun in roots if verb and noun]
    per_round = params.bootstrap.request_batch_size
    rounds = json.loads(read_text(inputs.metrics))["completions"] // per_round
    grown = list(growth((row.round for row in accepted), too_similar, rounds, per_round))
    write_files(
        {
            into.metrics: to_json(with_tables(metrics(roots))),
            into.plot("highest_similarity"): to_json(
                histogram((row.highest for row in accepted), 0.05, "similarity")
            ),
            into.plot("instruction_words"): to_json(histogram(lengths, 2, "words")),
            into.plot("pool_growth"): to_json(grown),
            into.plot("verbs_and_nouns"): to_json(sunburst(pairs, len(roots))),
            into.plot("classification"): to_json(shares(classified)),
        }
    )
    progress.finish(len(accepted))
