"""What models made of held-out tasks: scores beside those of no skill, and the answers."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from seedbed.core.files import problem_of, read_rows, read_text
from seedbed.core.paths import Into
from seedbed.core.records import Record
from seedbed.errors import BadFile
from seedbed.runs.page import Part, Section
from seedbed.training.rows import ANSWERS, EVALUATED, SCORES, Evaluation

FILE = EVALUATED / ANSWERS
METRICS = Into("evaluate").metrics
# The page has the answers to the first so many examples; the file has all of them.
EXAMPLES = 100


class Score(Record):
    """A model's score over some of the tasks; see `Summary.tables`."""

    model: str
    group: str
    name: str
    tasks: int
    examples: int
    rouge_l: float
    rouge_l_low: float | None
    rouge_l_high: float | None
    exact_match: float
    ended: float
    majority: float | None
    copy_input: float
    overlap_8: int
    overlap_13: int

    @property
    def is_form(self) -> bool:
        """Whether a constant label or a copy of the input would score as much."""
        return self.rouge_l <= max(self.majority or 0.0, self.copy_input)


class Difference(Record):
    """A model's score minus another's."""

    model: str
    minus: str
    group: str
    name: str
    rouge_l: float
    rouge_l_low: float
    rouge_l_high: float


class Tables(Record):
    """What is read of metrics/evaluate.json."""

    score: list[Score]
    difference: list[Difference]


@dataclass(frozen=True)
class Asked:
    """An example, and what each model answered, in the models' order."""

    task: str
    input: str
    target: str
    answers: list[Evaluation]


def part() -> Part:
    """What the report's page has of training. Raises BadFile, BadRow: a file is broken."""
    if not (FILE.exists() and METRICS.exists()):
        return Part(made_of=[])  # it is no part of the first run, and so nothing that is missing
    tables = _tables(METRICS)
    asked, examples, keys = _asked()
    shown = [score for score in tables.score if score.group != "category"]
    models = list(dict.fromkeys(score.model for score in shown))
    section = Section(
        id="models",
        link="Models",
        title="What models make of held-out tasks",
        template="models.html",
        values={
            # Each model's score, then that of its kinds.
            "scores": sorted(shown, key=lambda score: models.index(score.model)),
            "differences": [row for row in tables.difference if row.group == "all"],
            "asked": asked,
            "examples": examples,
            "file": FILE,
        },
    )
    return Part(
        made_of=[FILE, EVALUATED / SCORES],
        counts=[(examples, "held-out examples answered")],
        sections=[section],
        keys={"evaluate": keys},
    )


def _tables(path: Path) -> Tables:
    try:
        return Tables.model_validate_json(read_text(path))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = "`dvc repro pipelines/training/dvc.yaml:evaluate` writes it."
        raise BadFile(path, f"{place}: {problem}", remedy) from None


def _asked() -> tuple[list[Asked], int, set[str]]:
    """The first examples, how many there are, and a key of each model's answers."""
    answers: dict[tuple[str, str, str], list[Evaluation]] = defaultdict(list)
    keys: dict[str, str] = {}
    for row in read_rows(FILE, Evaluation):
        answers[row.task, row.id, row.input].append(row)
        keys.setdefault(row.model, row.key)
    first = islice(answers.values(), EXAMPLES)
    asked = [Asked(rows[0].task, rows[0].input, rows[0].targets[0], rows) for rows in first]
    return asked, len(answers), {*keys.values()}
