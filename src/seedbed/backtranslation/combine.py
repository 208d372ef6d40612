"""combine: seed and curated pairs → sets to train on, each in the three forms of data/prepare.

Four sets, as the paper trains on: what people wrote, all augmented pairs, the curated ones, and the
first with the third. Two tags tell a model where a pair comes from (section 2.4 there).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seedbed.backtranslation.demos import read_seed_pairs
from seedbed.backtranslation.params import START, Combine
from seedbed.backtranslation.prompts import Forward
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    FORMS,
    KEPT,
    PAIRS,
    SETS,
    AugmentedPair,
    CuratedPair,
    SeedPair,
)
from seedbed.core import draws
from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.metrics import with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    combine: Combine


@dataclass(frozen=True)
class Inputs:
    """start: the folder of what people wrote. pairs, curated: those of the last round."""

    start: Path = BACK / START
    pairs: Path = BACK / "round-2" / AUGMENTED / PAIRS
    curated: Path = BACK / "round-2" / CURATED / KEPT


@dataclass(frozen=True)
class Row:
    """A pair that is trained on.

    id: with the number of its copy behind it, if it stands there several times. key: of the answer
    that its instruction was cut from; None of what people wrote.
    """

    id: str
    source: Literal["seed", "augmented"]
    instruction: str
    output: str
    license: str | None
    url: str | None
    key: str | None


def of_seed(pairs: Sequence[SeedPair]) -> list[Row]:
    """What people wrote, as rows."""
    return [
        Row(
            id=pair.id,
            source="seed",
            instruction=f"{pair.system}\n\n{pair.instruction}" if pair.system else pair.instruction,
            output=pair.output,
            license=pair.license,
            url=pair.url,
            key=None,
        )
        for pair in pairs
    ]


def of_augmented(pairs: Sequence[AugmentedPair | CuratedPair]) -> list[Row]:
    """Augmented pairs as rows."""
    return [Row(p.id, "augmented", p.instruction, p.output, p.license, p.url, p.key) for p in pairs]


def combine(
    seed: Sequence[Row], everything: Sequence[Row], curated: Sequence[Row], params: Combine
) -> dict[str, list[Row]]:
    """The sets, each in an order of its own: a pair's place is drawn for it."""
    again = [
        row if copy == 0 else Row(**{**vars(row), "id": f"{row.id}#{copy + 1}"})
        for copy in range(params.seed_times)
        for row in seed
    ]
    sets = dict(zip(SETS, (seed, everything, curated, [*again, *curated]), strict=True))
    return {
        name: sorted(rows, key=lambda row: draws.rank(params.seed, "combine", row.source, row.id))
        for name, rows in sets.items()
    }


def forms(row: Row, params: Combine, forward: Forward) -> tuple[dict[str, Any], ...]:
    """A row as messages, as prompt and completion, and as Alpaca has it: in the order of FORMS."""
    tag = None
    if params.tag != "none":
        tag = params.system_seed if row.source == "seed" else params.system_augmented
    before = f"{tag}\n\n{row.instruction}" if tag else row.instruction
    asked = before if params.tag == "prefix" else row.instruction
    about = {
        "id": row.id,
        "source": row.source,
        "license": row.license,
        "url": row.url,
        "key": row.key,
    }
    system = [{"role": "system", "content": tag}] if tag and params.tag == "system" else []
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": row.output}]
    prompt = forward.fill([], before).text
    alpaca = {"instruction": asked, "input": "", "output": row.output}
    return (
        {"messages": [*system, *turns], **about},
        {"prompt": prompt, "completion": f" {row.output}", **about},
        {**alpaca, "system": tag if params.tag == "system" else None, **about},
    )


def metrics(sets: dict[str, list[Row]]) -> dict[str, Any]:
    """The stage's metrics."""
    return {
        "combined_rows": len(sets["seed_and_curated"]),
        "combined_set": {
            name: {
                "rows": len(rows),
                "seed": sum(row.source == "seed" for row in rows),
                "augmented": sum(row.source == "augmented" for row in rows),
                "without_license": sum(
                    row.source == "augmented" and row.license is None for row in rows
                ),
            }
            for name, rows in sets.items()
        },
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the pairs; write the sets, and metrics. Raises BadFile, BadRow: of what is read."""
    own = params.combine
    with Progress("combine", None, "pairs") as progress:
        sets = combine(
            of_seed(read_seed_pairs(inputs.start)),
            of_augmented(list(read_rows(inputs.pairs, AugmentedPair))),
            of_augmented(list(read_rows(inputs.curated, CuratedPair))),
            own,
        )
    forward = Forward()

    def lines(rows: Sequence[Row], form: int) -> Iterator[str]:
        return (to_line(forms(row, own, forward)[form]) for row in rows)

    write_files(
        {
            **{
                into.folder / name / file: lines(rows, form)
                for name, rows in sets.items()
                for form, file in enumerate(FORMS)
            },
            into.metrics: to_json(with_tables(metrics(sets))),
        }
    )
    progress.finish(len(sets["seed_and_curated"]))
