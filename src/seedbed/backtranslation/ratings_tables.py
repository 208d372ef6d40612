"""What the report reads of metrics/ratings.json: what people say of rows, as tables."""

from pathlib import Path

from pydantic import ValidationError

from seedbed.core.files import problem_of, read_text
from seedbed.core.records import Record
from seedbed.errors import BadFile


class Counted(Record):
    """How many answers are not counted, for a reason."""

    name: str
    count: int


class Ends(Record):
    """A number's interval of 95 %; null of too few."""

    low: float | None
    high: float | None


class Share(Ends):
    """Of how many rows something holds. paper: the same of the paper's, if it has it."""

    name: str
    group: str
    rows: int
    share: float
    paper: float | None


class Marks(Ends):
    """How often a model's answers were rated so."""

    name: str
    ratings: int
    A: int
    B: int
    C: int
    D: int
    a_or_b: float


class Agreement(Record):
    """How far people agree on a question. same: the share of equal answers, of two people."""

    name: str
    who: str
    rated: int
    same: float | None
    measure: str
    value: float | None


class Foretold(Ends):
    """How well a score tells rows that people find right from the others."""

    name: str
    question: str
    rows: int
    good: int
    auc: float | None


class RatedTables(Record):
    """What is read of metrics/ratings.json."""

    raters: int
    rated_rows: int
    rated_share: list[Share]
    rated_answer: list[Marks]
    agreement: list[Agreement]
    foretold: list[Foretold]
    not_counted: list[Counted]


def read_tables(path: Path) -> RatedTables | None:
    """The tables; None where there are none. Raises BadFile."""
    if not path.exists():
        return None
    try:
        return RatedTables.model_validate_json(read_text(path))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = "`dvc repro pipelines/ratings/dvc.yaml` writes it."
        raise BadFile(path, f"{place}: {problem}", remedy) from None
