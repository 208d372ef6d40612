"""What the report's page has of the ranker: what each choice gave, task by task."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from seedbed.core.files import problem_of, read_rows, read_text
from seedbed.core.paths import METRICS
from seedbed.core.records import Record
from seedbed.errors import BadFile
from seedbed.ranker.rows import (
    CANDIDATES,
    EVALUATED,
    LABELLED,
    RESULTS,
    SELECTED,
    Result,
    Selection,
    read_candidates,
    read_labelled,
)
from seedbed.ranker.summary import verdict
from seedbed.runs.page import Part, Section
from seedbed.runs.places import rows_if_there

FILE = EVALUATED / RESULTS
TABLES = METRICS / "rank_evaluate.json"
# Of each task the page has so many examples; the file has all of them.
EXAMPLES = 50
# What the page calls a way to choose.
NAMES = {
    "random": "any of them, on average",
    "seed": "the task’s own",
    "selected": "the ranker’s choice",
    "untrained": "the same without training",
    "best_seen": "best on the examples trained on",
    "demos": "likeliest on the demos",
    "cross_validation": "best on the demos",
    "lm_selection": "the model names one",
    "on_the_fly": "the model writes one",
    "oracle": "the best of each example",
    "worst": "the worst of each example",
}


class Method(Record):
    """What a way to choose is worth; see `seedbed.ranker.summary`."""

    group: str
    name: str
    rouge: float | None
    rouge_low: float | None
    rouge_high: float | None
    exact: float | None
    minus_random: float | None
    minus_random_low: float | None
    minus_random_high: float | None


class Tables(Record):
    """What is read of metrics/rank_evaluate.json; all of it goes into the verdict."""

    model_config = ConfigDict(strict=True, extra="allow")

    rank_examples: int
    method: list[Method]
    task: list[dict[str, Any]]
    comparison: list[dict[str, Any]]


@dataclass(frozen=True)
class Choice:
    """An example, what was chosen for it and what that gave."""

    line: int
    input: str
    place: int
    instruction: str
    output: str
    target: str
    rouge: float | None
    random: float | None
    best: float | None


@dataclass(frozen=True)
class Chosen:
    """A task. examples: how many there are in all."""

    task: str
    examples: int
    choices: list[Choice]


def part() -> Part:
    """What the report's page has of the ranker. Raises BadFile, BadRow: a file is broken."""
    if not (FILE.exists() and TABLES.exists()):
        return Part(made_of=[])  # it is no part of the first run, and so nothing that is missing
    tables = _tables(TABLES)
    results = list(read_rows(FILE, Result))
    tasks = list(dict.fromkeys(row.task for row in results))
    # Enough to know which model was asked.
    (first, *_) = results
    selections = rows_if_there(SELECTED / f"{first.task}.jsonl", Selection)
    asked = {
        "rank-select": {key for row in islice(selections, 1) for own in row.keys for key in own},
        "rank-evaluate": {key for own in first.keys.values() for key in own},
    }
    section = Section(
        id="ranker",
        link="Ranker",
        title="What choosing an instruction is worth",
        template="ranker.html",
        values={
            "methods": [row for row in tables.method if row.group == "all"],
            "names": NAMES,
            "verdict": verdict(_counted(tables)),
            "tasks": [_chosen(task, results) for task in tasks],
            "file": FILE,
        },
    )
    return Part(
        made_of=[FILE, SELECTED, LABELLED, CANDIDATES],
        counts=[(len(results), "choices of an instruction")],
        sections=[section],
        keys={name: keys for name, keys in asked.items() if keys},
    )


def _tables(path: Path) -> Tables:
    try:
        return Tables.model_validate_json(read_text(path))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = "`dvc repro pipelines/ranker/dvc.yaml:rank-evaluate` writes it."
        raise BadFile(path, f"{place}: {problem}", remedy) from None


def _counted(tables: Tables) -> dict[str, Any]:
    """As they were before one of the tables was made of a mapping."""
    counted = tables.model_dump()
    return counted | {"comparison": {row["name"]: row["count"] for row in tables.comparison}}


def _chosen(task: str, results: list[Result]) -> Chosen:
    own = [row for row in results if row.task == task]
    return Chosen(task, len(own), list(islice(_choices(task, own), EXAMPLES)))


def _choices(task: str, results: list[Result]) -> Iterator[Choice]:
    paths = (CANDIDATES / f"{task}.json", LABELLED / f"{task}.jsonl", SELECTED / f"{task}.jsonl")
    if not all(path.exists() for path in paths):
        return  # the page names what is missing
    labels = {row.id: row for row in read_labelled(paths[1], read_candidates(task, CANDIDATES))}
    wanted = {row.id: row for row in results}
    for line, row in enumerate(read_rows(paths[2], Selection), 1):
        if row.id not in wanted or row.id not in labels:
            continue
        label, rouge = labels[row.id], wanted[row.id].rouge
        outputs = dict(zip(label.instruction_idx, label.instruction_outputs, strict=True))
        yield Choice(
            line=line,
            input=row.input,
            place=row.chosen,
            instruction=row.instruction,
            output=outputs.get(row.chosen, ""),
            target=label.references[0],
            rouge=rouge.get("selected"),
            random=rouge.get("random"),
            best=rouge.get("oracle"),
        )
