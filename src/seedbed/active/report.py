"""What the report's page has of Active Instruction Tuning: what choosing gave, and what was chosen.

The tasks of a round stand there with the numbers by which the task map has its points.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from seedbed.active.active_curve import Point
from seedbed.active.active_pool import Rounds
from seedbed.active.params import FREE, Run
from seedbed.active.rows import (
    ACTIVE,
    ANSWERS,
    CHOSEN,
    POOL,
    SCORED,
    SELECTED,
    TASKS,
    Answered,
    Chosen,
    TaskScore,
)
from seedbed.core.files import plainly, problem_of, read_text
from seedbed.core.paths import DATA, PARAMS, Into
from seedbed.core.records import Record
from seedbed.errors import BadFile
from seedbed.runs.page import Part, Section
from seedbed.runs.places import rows_if_there
from seedbed.runs.plain_yaml import Tree

METRICS = Into("active_curve").metrics
FILE = DATA / "active_curve/points.jsonl"
# Of a round the page has so many tasks; the file has all of them.
MOST = 100


class Told(Record):
    """What is read of a task of the pool, which may have thousands of instances."""

    task: str
    instruction: str


class Tables(Record):
    """What is read of metrics/active_curve.json."""

    active_point: list[Point]


@dataclass(frozen=True)
class Line:
    """A method at a number of tasks: its point of all test tasks, and the score of each kind."""

    all: Point
    classification: float | None
    generation: float | None

    @property
    def is_chance(self) -> bool:
        """Whether the difference to random choice is not to be told from none."""
        low, high = self.all.gain_low, self.all.gain_high
        return low is not None and high is not None and low <= 0 <= high


@dataclass(frozen=True)
class Choice:
    """A chosen task.

    line: of the round's file. score: of the round before; None where that has none of the task.
    instruction: "" where the pool is not there.
    """

    line: int
    row: Chosen
    score: TaskScore | None
    instruction: str


@dataclass(frozen=True)
class Round:
    """A round that chose by scores. tasks: how many it chose; choices: the first of them."""

    name: str
    run: Run
    file: Path
    tasks: int
    choices: list[Choice]


@dataclass(frozen=True)
class Dot:
    """A task in the map. x, y: 0 to 1, to the right and up; kind: which of the map's sets."""

    x: float
    y: float
    kind: str
    chosen: bool
    told: str


class Mapped(Record):
    """What is read of a point of plots/task_map.json."""

    task: str
    round: str
    uncertainty: float
    probability: float
    set: Literal["ambiguous", "easy", "difficult", "other"]
    chosen: str


def part() -> Part:
    """What the page has of it.

    Raises:
        BadFile, BadRow: a file is broken. BadParam: a round of params.yaml is.
    """
    if not (FILE.exists() and METRICS.exists()):
        return Part(made_of=[])  # it is no part of the first run, and so nothing that is missing
    lines = list(_lines(_tables(METRICS).active_point))
    by_scores = {name: run for name, run in _runs().items() if run.method not in FREE}
    instructions = {
        pool: {
            row.task: row.instruction for row in rows_if_there(ACTIVE / pool / POOL / TASKS, Told)
        }
        for pool in dict.fromkeys(run.pool for run in by_scores.values())
    }
    rounds = [_round(name, run, instructions[run.pool]) for name, run in by_scores.items()]
    chosen = sum(one.tasks for one in rounds)
    section = Section(
        id="active",
        link="Active choice",
        title="Which tasks are worth training on",
        template="active.html",
        values={
            "lines": lines,
            "rounds": [one for one in rounds if one.tasks],
            "dots": _dots(),
        },
    )
    keys = _keys(by_scores.values())
    return Part(
        made_of=[FILE, *_made_of(by_scores)],
        counts=[(chosen, "tasks chosen by a model’s scores")] if chosen else [],
        sections=[section],
        keys={"active-score": keys} if keys else {},
    )


def _dots() -> list[Dot]:
    """The tasks of the map, for a picture in which a pointer finds the task."""
    path = Into("active_curve").plot("task_map")
    if not path.exists():
        return []
    try:
        points = TypeAdapter(list[Mapped]).validate_json(read_text(path))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = "`dvc repro pipelines/active/dvc.yaml:active-curve` writes it."
        raise BadFile(path, f"{place}: {problem}", remedy) from None
    most = max((point.uncertainty for point in points), default=0.0) or 1.0
    return [
        Dot(
            # Of the cube root, as the plot has it: most tasks are near 0.
            x=round(max(point.uncertainty / most, 0.0) ** (1 / 3), 4),
            y=round(min(max(point.probability, 0.0), 1.0), 4),
            kind=point.set,
            chosen=point.chosen == "chosen",
            told=f"{point.task}, {point.set}: uncertainty {point.uncertainty:.3g}, "
            f"probability {point.probability:.3g}",
        )
        for point in points
    ]


def _tables(path: Path) -> Tables:
    try:
        return Tables.model_validate_json(read_text(path))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = "`dvc repro pipelines/active/dvc.yaml:active-curve` writes it."
        raise BadFile(path, f"{place}: {problem}", remedy) from None


def _runs() -> dict[str, Run]:
    """The rounds of params.yaml, in order. Raises BadFile, BadRow, BadParam."""
    tree = Tree(PARAMS, read_text(PARAMS))
    try:
        return Rounds.model_validate({"runs": tree.at(("active", "runs"))}).runs
    except ValidationError as error:
        first = error.errors()[0]
        raise tree.bad(("active", *first["loc"]), plainly(first["msg"]), "Mend it.") from None


def _lines(points: Sequence[Point]) -> Iterator[Line]:
    of_test = {
        (point.method, point.tasks, point.kind): point for point in points if point.where == "test"
    }
    for (method, tasks, kind), point in of_test.items():
        if kind == "all":
            classification = of_test.get((method, tasks, "classification"))
            generation = of_test.get((method, tasks, "generation"))
            yield Line(
                all=point,
                classification=classification.rouge_l if classification else None,
                generation=generation.rouge_l if generation else None,
            )


def _made_of(rounds: Mapping[str, Run]) -> list[Path]:
    """The folders that the rounds' choices were read from, each once."""
    found = [ACTIVE / name / SELECTED for name in rounds]
    found += [ACTIVE / run.before / SCORED for run in rounds.values()]
    found += [ACTIVE / run.pool / POOL for run in rounds.values()]
    return list(dict.fromkeys(found))


def _round(name: str, run: Run, instructions: Mapping[str, str]) -> Round:
    """What a round chose itself; nothing if it has not run: then the page names what is missing."""
    file = ACTIVE / name / SELECTED / CHOSEN
    rows = enumerate(rows_if_there(file, Chosen), 1)
    own = [(line, row) for line, row in rows if row.round == name]
    scored = rows_if_there(ACTIVE / run.before / SCORED / TASKS, TaskScore)
    scores = {row.task: row for row in scored}
    choices = [
        Choice(line, row, scores.get(row.task), instructions.get(row.task, ""))
        for line, row in own[:MOST]
    ]
    return Round(name, run, file, len(own), choices)


def _keys(rounds: Iterable[Run]) -> set[str]:
    """A key of each scored round's answers: enough to know which model was asked."""
    found = set()
    for before in dict.fromkeys(run.before for run in rounds):
        rows = rows_if_there(ACTIVE / before / SCORED / ANSWERS, Answered)
        found |= {row.key for row in islice(rows, 1) if row.key}
    return found
