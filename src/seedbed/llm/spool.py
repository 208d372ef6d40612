"""What is made of answers, on the disk until the last of them has come.

A stage's files are written all or none, and its answers may take days. To hold the rows meanwhile
would take gigabytes, so that their lines go into files without a name: nothing else sees them, and
they are gone with the process, however it ends.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol, TypeVar

from pydantic import BaseModel

from seedbed.core.files import to_line
from seedbed.errors import WriteFailed

RowT = TypeVar("RowT", bound=BaseModel)

Taken = TypeVar("Taken", contravariant=True)


class Rows(Protocol[Taken]):
    """What takes rows as they are made: a list, or a spool."""

    def append(self, row: Taken, /) -> None: ...


class Spool:
    """Lines, in the order in which they are added. size: their bytes so far."""

    def __init__(self, file: IO[bytes], place: Path):
        """place: where the lines are to be in the end, for the error."""
        self._file = file
        self._place = place
        self.size = 0

    def append(self, row: BaseModel, /) -> None:
        """Add the line of a row. Raises as `add`."""
        self.add(to_line(row))

    def over(self, rows: Iterable[RowT]) -> Iterator[RowT]:
        """Yield the same rows, each of them added. Raises as `add`."""
        for row in rows:
            self.append(row)
            yield row

    def add(self, line: str) -> None:
        """Raises WriteFailed: there is no room."""
        # A lone surrogate has no UTF-8 form: the same as `write_files` makes of it.
        data = line.encode("utf-8", "replace")
        try:
            self._file.write(data)
        except OSError as error:
            raise WriteFailed(self._place, error) from None
        self.size += len(data)

    def lines(self, begin: int = 0, end: int | None = None) -> Iterator[str]:
        """Yield the lines between two of its sizes; none is added meanwhile.

        Raises:
            WriteFailed: there was no room for the last ones.
        """
        left = (self.size if end is None else end) - begin
        try:
            self._file.seek(begin)  # which writes what is still in memory
            while left > 0:
                line = self._file.readline()
                if not line:
                    raise OSError(EIO, "the lines that were set aside are not there")
                left -= len(line)
                yield line.decode("utf-8")
        except OSError as error:
            raise WriteFailed(self._place, error) from None


@contextmanager
def spooled(*places: Path) -> Iterator[list[Spool]]:
    """A spool for each place, on the disk that the place is on.

    Raises:
        WriteFailed: a folder cannot be made, or not be written in.
    """
    with ExitStack() as files:
        spools = []
        for place in places:
            files.callback(_remove_if_empty, place.parent)
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                file = TemporaryFile(dir=place.parent)  # noqa: SIM115
            except OSError as error:
                raise WriteFailed(place, error) from None
            files.callback(_close, file)
            spools.append(Spool(file, place))
        yield spools


def _close(file: IO[bytes]) -> None:
    # What could not be written is not wanted any more.
    with suppress(OSError):
        file.close()


def _remove_if_empty(folder: Path) -> None:
    """A stage that fails leaves no folder where none was."""
    with suppress(OSError):
        folder.rmdir()
