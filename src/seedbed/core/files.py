"""JSON Lines in and out.

Rows are read one at a time and checked against their record; whatever is wrong is told with file
and line. Files are written beside their place and moved there when all of a stage's files are
complete, so nothing is ever half-written.
"""

import codecs
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from seedbed.errors import BadFile, BadRow, WriteFailed

RowT = TypeVar("RowT", bound=BaseModel)
Read = TypeVar("Read")

_AS_UTF_8 = "Save it as UTF-8, without a byte order mark."
_PLACE = re.compile(r" at line (\d+) column (\d+)$")
# In the parser's words these name what it looked for, not what a person wrote.
_HALF = re.compile("unexpected end of hex escape|lone leading surrogate in hex escape")


def problem_of(error: ValidationError) -> tuple[str, str]:
    """Field and message of the first thing that pydantic found wrong: ("instances.0.id", "…")."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), plainly(first["msg"])


def plainly(message: str) -> str:
    """A message of pydantic's without the names of our classes, and its place left to `place_of`.

    >>> plainly("Value error, a name stands there twice")
    'a name stands there twice'
    """
    message = _HALF.sub("half of a surrogate pair", _PLACE.sub("", message))
    return re.sub(r" or instance of \w+$", "", message.removeprefix("Value error, "))


def place_of(error: ValidationError, data: bytes) -> tuple[int, int] | None:
    """Line and character, counted from 1, at which `data` is no JSON; None if it is JSON.

    The parser counts bytes, and a newline as the beginning of the next line.
    """
    match = _PLACE.search(error.errors()[0]["msg"])
    if match is None:
        return None
    line, column = int(match[1]), int(match[2])
    lines = data.split(b"\n", line)
    if column == 0 and line > 1:
        line -= 1
        column = len(lines[line - 1]) + 1
    column = max(column, 1)  # of nothing at all
    return line, len(lines[line - 1][: column - 1].decode("utf-8", "replace")) + 1


def encoding_problem(data: bytes) -> str | None:
    """Why a text, or its beginning, is not UTF-8 as everything here is; None if it is."""
    # A text in UTF-16 has a zero in every character that English needs.
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or (len(data) > 1 and data[:2].count(0) == 1):
        return "is UTF-16, not UTF-8"
    # Nobody sees it, and a model would be sent it.
    if data.startswith(codecs.BOM_UTF8):
        return "begins with a byte order mark"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start})"
    return None


def _check_name(path: Path) -> None:
    if "\0" in str(path):
        raise BadFile(path, "has a NUL character in its name", "Name another place.")


def exists(path: Path) -> bool:
    """Whether there is something at a place that a person named.

    Raises:
        BadFile: nobody can look there: the name is too long, or a folder is closed.
    """
    _check_name(path)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BadFile(path, error.strerror or str(error), "Name another place.") from None
    return True


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read its bytes.

    Raises:
        BadFile: it is missing, or cannot be read.
    """
    _check_name(path)
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BadFile(path, "no such file", "Check the path, or run `dvc repro`.") from None
    except OSError as error:
        raise BadFile(path, error.strerror or str(error), "It must be a readable file.") from None


def read_text(path: Path) -> str:
    """Read a UTF-8 file, such as a prompt.

    Raises:
        BadFile: it is missing or not UTF-8.
    """
    with opened(path) as file:
        data = file.read()
    if problem := encoding_problem(data):
        raise BadFile(path, problem, _AS_UTF_8)
    return data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, read: Callable[[bytes], Read], shape: str) -> Read:
    """What `read`, such as a record's `model_validate_json`, makes of a file of one JSON value.

    Args:
        shape: what the file should be, for the error.

    Raises:
        BadFile: it is missing or not UTF-8.
        BadRow: it is not JSON; names file and line.
        ValidationError: it is JSON, but not what `read` wants.
    """
    with opened(path) as file:
        # Some editors put a mark before UTF-8; to JSON it means nothing.
        data = file.read().removeprefix(codecs.BOM_UTF8)
    try:
        return read(data)
    except ValidationError as error:
        place = place_of(error, data)
        if place is None:
            raise
        if problem := encoding_problem(data):
            raise BadFile(path, problem, _AS_UTF_8) from None
        line, column = place
        message = f"{problem_of(error)[1]} (column {column})"
        raise BadRow(path, line, message, f"Mend the JSON there. {shape}") from None


def bad_row(path: Path, number: int, line: bytes, error: ValidationError, shape: str) -> BadRow:
    """The error for a line of JSON. number: the line's, from 1; shape: what the line should be."""
    field, message = problem_of(error)
    place = place_of(error, line)
    if place is None:
        return BadRow(path, number, (f"field {field}: " if field else "") + message, shape)
    if problem := encoding_problem(line):
        return BadRow(path, number, problem, _AS_UTF_8)
    return BadRow(path, number, f"{message} (column {place[1]})", shape)


def read_rows(path: Path, record: type[RowT]) -> Iterator[RowT]:
    """Yield the rows of a JSON Lines file, in order. Blank lines are refused.

    Raises:
        BadFile: missing, empty.
        BadRow: a line that is not UTF-8, not JSON, or not the record; names file and line.
    """
    number = 0
    shape = f"Each line is one JSON object with {', '.join(record.model_fields)}."
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                raise BadRow(path, number, "blank line", "Remove it. " + shape)
            try:
                yield record.model_validate_json(line)
            except ValidationError as error:
                raise bad_row(path, number, line, error, shape) from None
    if number == 0:
        raise BadFile(path, "empty", shape)


def read_named(path: Path, record: type[RowT], name: str) -> Iterator[RowT]:
    """Read rows of which each has a name of its own.

    Args:
        name: the field that has it.

    Raises:
        BadFile, BadRow: as `read_rows`; also a second row with the same name.
    """
    line_of: dict[str, int] = {}
    for line, row in enumerate(read_rows(path, record), 1):
        value = getattr(row, name)
        first = line_of.setdefault(value, line)
        if first != line:
            problem = f"{name} {value!r} is already that of line {first}"
            raise BadRow(path, line, problem, "Give it its own.")
        yield row


def to_line(row: BaseModel | Mapping[str, Any]) -> str:
    """One row as a JSON line. Keys keep their order; text stays readable (no \\u escapes)."""
    data = row.model_dump() if isinstance(row, BaseModel) else row
    return json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"


def to_json(data: Any) -> list[str]:
    """The pieces of a metrics or plot file: JSON, indented, so that git shows what changed."""
    return [json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"]


@contextmanager
def beside(places: Iterable[Path]) -> Iterator[dict[Path, Path]]:
    """For each place a path beside it, to write to and then to move from; gone afterwards.

    What a killed process has left there goes too. Whoever writes in a folder holds a
    shared lock on it, which the system takes from a process that dies. So whoever gets it for
    itself alone may clear up; where there are no locks nobody does.

    Raises:
        WriteFailed: the folder of one of the places cannot be made.
    """
    mark = secrets.token_hex(4)  # two machines may have processes of one number
    partials = {place: place.with_name(f".{place.name}.{mark}.partial") for place in places}
    with ExitStack() as locks:
        folders: dict[Path, list[str]] = {}
        for place in partials:
            folders.setdefault(place.parent, []).append(place.name)
        for folder, names in folders.items():
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WriteFailed(folder / names[0], error) from None
            locks.enter_context(_writing_in(folder, names))
        try:
            yield partials
        finally:
            for partial in partials.values():
                _remove(partial)


@contextmanager
def _writing_in(folder: Path, names: Collection[str]) -> Iterator[None]:
    with ExitStack() as stack:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, lock)
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(folder, names)
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _clear(folder: Path, names: Collection[str]) -> None:
    """Remove what is beside the files of these names."""
    for path in folder.glob(".*.partial"):
        name, _, mark = path.name[1:].removesuffix(".partial").rpartition(".")
        if name in names and re.fullmatch("[0-9a-f]+", mark):
            _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_files(files: Mapping[Path, Iterable[str] | bytes], alone_in: Path | None = None) -> None:
    """Write the files; none is moved into its place before all are complete.

    Args:
        files: what to write: path to pieces of text, or to bytes.
        alone_in: a folder from which all other files go: DVC empties a stage's folder before it
            runs, but who runs one without DVC would leave the files of tasks that are gone.

    Raises:
        WriteFailed: no room, or no permission. What stood there before is untouched.
        BadFile: no file can have that name.
    """
    for path in files:
        _check_name(path)
    with beside(files) as partials:
        for path, content in files.items():
            # A lone surrogate (a server may send one as \ud800) has no UTF-8 form.
            pieces = (
                [content]
                if isinstance(content, bytes)
                else (piece.encode("utf-8", "replace") for piece in content)
            )
            try:
                with partials[path].open("wb") as file:
                    file.writelines(pieces)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise WriteFailed(path, error) from None
        for path, partial in partials.items():
            try:
                partial.replace(path)
            except OSError as error:
                raise WriteFailed(path, error) from None
        if alone_in is not None:
            for path in alone_in.iterdir():
                if path not in files and path.is_file():
                    path.unlink()
