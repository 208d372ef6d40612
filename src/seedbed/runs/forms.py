"""What a method hands on: `EXPORT` of its export.py is an `Export`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.records import Record


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
    """

    name: str
    stage: str
    record: type[Record]
    splits: dict[str, Path]
    measured: tuple[str, ...]
    about: str
    key: str = "key"
    owes: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Export:
    """What a method hands on, and what the data card says of it.

    name: what it is called. source: the address of its paper; "" if it has none.
    category: the hub's name of the task that the data is for.
    limits: what is known to be wrong with the data; terms: what else limits its use; as Markdown.
    """

    name: str
    category: str
    forms: tuple[Form, ...]
    source: str = ""
    limits: tuple[str, ...] = ()
    terms: str = ""
