"""A row of an output, and the rows of earlier files that it came from."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from seedbed.core.files import exists, read_rows
from seedbed.core.records import Record
from seedbed.runs.errors import NoSuchLine, NotAPlace, NotHere, OriginMissing

Row = TypeVar("Row", bound=Record)


@dataclass(frozen=True)
class Place:
    """A line of a file, counted from 1."""

    path: Path
    line: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """FILE:LINE. Raises NotAPlace."""
        file, _, line = text.rpartition(":")
        if not file or not re.fullmatch("[0-9]{1,18}", line) or int(line) == 0:
            raise NotAPlace(text)
        return cls(Path(file), int(line))

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def row_at(place: Place, record: type[Row]) -> Row:
    """The row at a place.

    Raises:
        NotHere, NoSuchLine; BadFile and BadRow as `read_rows`.
    """
    line = 0
    for line, row in enumerate(rows_of(place.path, record), 1):
        if line == place.line:
            return row
    raise NoSuchLine(place.path, place.line, line)


def find(path: Path, record: type[Row], wanted: Callable[[Row], bool]) -> tuple[Place, Row] | None:
    """The first row of a file that is wanted. Raises as `row_at`."""
    for line, row in enumerate(rows_of(path, record), 1):
        if wanted(row):
            return Place(path, line), row
    return None


def origin(
    row: Place, path: Path, record: type[Row], wanted: Callable[[Row], bool], what: str
) -> tuple[Place, Row]:
    """The row of an earlier file that `row` came from.

    Raises:
        OriginMissing: there is none; `what` says what it would have.
    """
    found = find(path, record, wanted)
    if found is None:
        raise OriginMissing(str(row), path, what)
    return found


def rows_of(path: Path, record: type[Row]) -> Iterator[Row]:
    if not exists(path):
        raise NotHere(path)
    return read_rows(path, record)


def rows_if_there(path: Path, record: type[Row]) -> Iterator[Row]:
    """The rows of a file; none of one that is missing or empty. Raises BadFile, BadRow."""
    return read_rows(path, record) if path.exists() and path.stat().st_size else iter(())
