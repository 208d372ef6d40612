"""JSON Lines in and out.

Rows are read one at a time and checked against their record; whatever is wrong is told with file
and line. Files are written beside their place and moved there when all of a stage's files are
complete, so nothing is ever half-written.
"""

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from seedbed.errors import BadFile, BadRow, WriteFailed

Row = TypeVar("Row", bound=BaseModel)


def problem_of(error: ValidationError) -> tuple[str, str]:
    """Name and say the first thing that pydantic found wrong: ("instances.0.output", "…")."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"]), re.sub(
        r" at line \d+ column (\d+)", r" (column \1)", first["msg"]
    )


def read_text(path: Path) -> str:
    """Read a UTF-8 file, such as a prompt.

    Raises:
        BadFile: it is missing or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadFile(path, "no such file", "Check the path, or run `dvc repro`.") from None
    except OSError as error:
        raise BadFile(path, error.strerror or str(error), "It must be a readable file.") from None
    except UnicodeDecodeError as error:
        raise BadFile(path, f"not UTF-8 (byte {error.start})", "Save it as UTF-8.") from None


def read_rows(path: Path, record: type[Row]) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file, in order. Blank lines are refused.

    Raises:
        BadFile: missing, empty.
        BadRow: a line that is not UTF-8, not JSON, or not the record; names file and line.
    """
    number = 0
    shape = f"Each line is one JSON object with {', '.join(record.model_fields)}."
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    raise BadRow(path, number, "blank line", "Remove it. " + shape)
                try:
                    yield record.model_validate_json(line)
                except ValidationError as error:
                    field, message = problem_of(error)
                    where = f"field {field}: " if field else ""
                    raise BadRow(path, number, where + message, shape) from None
    except FileNotFoundError:
        raise BadFile(path, "no such file", "Check the path, or run `dvc repro`.") from None
    except OSError as error:
        raise BadFile(path, error.strerror or str(error), "It must be a readable file.") from None
    if number == 0:
        raise BadFile(path, "empty", shape)


def to_line(row: BaseModel | Mapping[str, Any]) -> str:
    """One row as a JSON line. Keys keep their order; text stays readable (no \\u escapes)."""
    data = row.model_dump() if isinstance(row, BaseModel) else row
    return json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"


def to_json(data: Any) -> list[str]:
    """A metrics or plot file: indented, so that git shows what changed."""
    return [json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"]


@contextmanager
def beside(places: Iterable[Path]) -> Iterator[dict[Path, Path]]:
    """Where to write what is to be moved to `places` when it is complete; not there after.

    What a process that was killed has left there goes too. Whoever writes in a folder holds a
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
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def write_files(files: Mapping[Path, Iterable[str]], alone_in: Path | None = None) -> None:
    """Write the files; none is moved into its place before all are complete.

    Args:
        files: what to write: path to pieces of text.
        alone_in: a folder from which all other files go: DVC empties a stage's folder before it
            runs, but who runs one without DVC would leave the files of tasks that are gone.

    Raises:
        WriteFailed: no room, or no permission. What stood there before is untouched.
    """
    with beside(files) as partials:
        for path, pieces in files.items():
            try:
                # A lone surrogate (a server may send one as \ud800) has no UTF-8 form.
                with partials[path].open(
                    "w", encoding="utf-8", errors="replace", newline="\n"
                ) as file:
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
