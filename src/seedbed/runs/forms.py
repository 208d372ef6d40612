"""What a method hands on: `EXPORT` of its export.py is an `Export`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.records import Record
from seedbed.runs.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Origin:
    """What a row came from.

    ids: of the rows of people or of earlier stages. keys: of the answers that it is made of, in the
        order in which they were asked for; [] of what people wrote.
    similarity: of its instruction to the one most like it as it came, ROUGE-L F1 (0 to 1); None
        where nobody compared.
    score: that of the stage that picked it; None where none did.
    """

    ids: Sequence[str]
    keys: Sequence[str]
    similarity: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class Form:
    """A form of the data: a configuration of the data set on the hub.

    They are not columns of one table, because a trainer tells from the columns what it is given.

    stage: what wrote its files. record: a row, of which each field is a column.
    splits: the file of each split. about: what it has, for the card.
    measured: the columns whose lengths the card tells.
    key: the column that names the answers that a row was made of.
    owes: whether a row has a text that somebody else wrote, so that it is handed on under that
        one's licence, which its field `license` names. None for a form of which no row has.
    origins: what tells where a row came from, once it has read what it needs. A stage's forms have
        the same rows in the same order, so that one of them is enough for all. None of a stage
        whose rows get no columns besides their own.
    pair: what a row of that form asks, its input included, and the answer; None for rows that are
        no such pairs.
    """

    name: str
    stage: str
    record: type[Record]
    splits: dict[str, Path]
    measured: tuple[str, ...]
    about: str
    key: str = "key"
    owes: Callable[[Any], bool] | None = None
    origins: Callable[[Pipeline], Callable[[Any], Origin]] | None = None
    pair: Callable[[Any], tuple[str, str]] | None = None


@dataclass(frozen=True)
class Scores:
    """A stage's scores of rows that another stage made.

    column: that they get. path: its rows, which have the `id`, the `row_key` and the `output` of a
        row of the file `source`. value: the score of one.
    """

    column: str
    stage: str
    path: Path
    record: type[Record]
    value: Callable[[Any], float | None]


@dataclass(frozen=True)
class Export:
    """What a method hands on, and what the data card says of it.

    name: what it is called. source: the address of its paper; "" if it has none.
    category: the hub's name of the task that the data is for.
    limits: what is known to be wrong with the data; terms: what else limits its use; as Markdown.
    origins: what the ids in `derived_from` are, as Markdown. scores: of other methods' rows.
    """

    name: str
    category: str
    forms: tuple[Form, ...]
    source: str = ""
    limits: tuple[str, ...] = ()
    terms: str = ""
    origins: str = ""
    scores: tuple[Scores, ...] = ()


def made_with(pipeline: Pipeline, stage: str, path: Path) -> bool:
    """Whether the rows of a stage were made of a file, as dvc.lock has it.

    Raises:
        BadFile: they were, and it is missing, or another by now.
        NotOneRun: as `Pipeline.made_of`.
    """
    writer = pipeline.stage_of(path)
    if writer not in pipeline.made_of([stage]):
        return False
    pipeline.check_written(writer, path)
    return True
