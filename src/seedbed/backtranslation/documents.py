"""Files → documents, one after the other.

    .md             Markdown; a YAML block between two lines of --- at its beginning has its title,
                    license and url
    .html, .htm     a page, which says them in its head
    .txt            paragraphs without a heading, under the file's name as title
    .jsonl          a document a line: text, and title, url, license if there are any
    .parquet        the same, a row group's batch at a time

A row's text is Markdown if it has a heading in it, else paragraphs, letter by letter. What is no
such file, cannot be read, or is no UTF-8, is a document without blocks: one of many must not stop
the rest. A table that lacks its text, or has a broken line, does stop them, since all of it would
be lost.
"""

import codecs
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seedbed.backtranslation.blocks import read_markdown, read_plain
from seedbed.backtranslation.errors import NotAText, NoTextColumn
from seedbed.backtranslation.front_matter import NAMES, or_none, split
from seedbed.backtranslation.html_blocks import Block, read_page
from seedbed.backtranslation.markup import Unreadable
from seedbed.core.files import exists, opened, read_rows
from seedbed.core.records import Record
from seedbed.errors import BadFile

# Without one of these there is no heading, and most rows of plain text need not be parsed for one.
_MAYBE_HEADING = re.compile(r"^[ >]*#|^[ >]*(=+|-+)[ \t]*$|<h[1-6]", re.M | re.I)
_BATCH = 256


@dataclass(frozen=True)
class Document:
    """A document. name: its path in the folder; of a row with its number, which counts from 1.

    blocks: None if it is no text. row: its number in a table.
    """

    name: str
    blocks: Sequence[Block] | None
    title: str | None = None
    url: str | None = None
    license: str | None = None
    row: int | None = None


class TextRow(Record):
    """What is read of a line of a table."""

    text: str
    title: str | None = None
    url: str | None = None
    license: str | None = None


def list_files(folder: Path) -> list[str]:
    """The files in a folder and those in it, by path; hidden ones are left out.

    A link to a folder is listed itself, as if it were a file: it may lead back to where it stands.

    Raises:
        BadFile: there is no such folder, or nobody may look into it.
    """

    def closed(error: OSError) -> None:
        place = Path(error.filename or folder)
        raise BadFile(place, error.strerror or str(error), "It must be a readable folder.")

    if not exists(folder):
        raise BadFile(folder, "no such folder", "Check segment.folder, or bring the folder there.")
    names: list[str] = []
    for place, folders, files in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [
            (Path(place) / name).relative_to(folder).as_posix()
            for name in (*files, *(one for one in folders if (Path(place) / one).is_symlink()))
            if not name.startswith(".")
        ]
    return sorted(names)


def read_documents(folder: Path, name: str) -> Iterator[Document]:
    """The documents of a file: one, or those of a table's rows.

    Raises:
        BadFile, BadRow: it cannot be read, or is no table as it should be.
        BadFrontMatter, NoTextColumn, NotAText: of what it says of itself.
    """
    path = folder / name
    suffix = path.suffix.lower()
    if not _is_file(path):
        yield Document(name, None)
    elif suffix == ".jsonl":
        yield from _rows_of_lines(path, name)
    elif suffix == ".parquet":
        yield from _rows_of_parquet(path, name)
    elif suffix in (".md", ".txt", ".html", ".htm"):
        text = _text(path)
        if text is None:
            yield Document(name, None)
        elif suffix == ".md":
            yield _markdown(path, name, text)
        elif suffix == ".txt":
            yield Document(name, read_plain(text), path.stem)
        else:
            yield _page(name, text)
    else:
        yield Document(name, None)


def _is_file(path: Path) -> bool:
    """Whether it can be read: a pipe would wait for ever, and a link may lead nowhere."""
    try:
        if not path.is_file():
            return False
        path.open("rb").close()
    except OSError:
        return False
    return True


def _text(path: Path) -> str | None:
    with opened(path) as file:
        data = file.read().removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:  # nor is UTF-16 without it
        return None
    try:
        return _lines(data.decode("utf-8"))
    except UnicodeDecodeError:
        return None


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _markdown(path: Path, name: str, text: str) -> Document:
    own, body, before = split(path, text)
    try:
        blocks = read_markdown(body, before)
    except Unreadable:
        return Document(name, None)
    return Document(name, blocks, own["title"], own["url"], own["license"])


def _page(name: str, text: str) -> Document:
    try:
        page = read_page(text)
    except Unreadable:
        return Document(name, None)
    return Document(name, page.blocks, page.title, page.url, page.license)


def _rows_of_lines(path: Path, name: str) -> Iterator[Document]:
    with opened(path) as file:
        if not file.read(1):
            yield Document(name, [])
            return
    for number, row in enumerate(read_rows(path, TextRow), 1):
        yield _row(name, number, row.text, row.title, row.url, row.license)


def _rows_of_parquet(path: Path, name: str) -> Iterator[Document]:
    with opened(path):  # its message is better than Arrow's
        pass
    number = 0
    try:
        with pq.ParquetFile(path) as table:
            columns = _columns(path, table.schema_arrow)
            for batch in table.iter_batches(_BATCH, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield _row(name, number, row["text"], *(row.get(one) for one in NAMES))
    except (pa.ArrowException, OSError) as error:
        problem = str(error).partition("\n")[0]
        raise BadFile(path, f"cannot be read as Parquet: {problem}", "Write it anew.") from None
    if not number:
        yield Document(name, [])


def _columns(path: Path, schema: Any) -> list[str]:
    """Those that are read, once they are checked."""
    if "text" not in schema.names:
        raise NoTextColumn(path, schema.names)
    columns = [name for name in ("text", *NAMES) if name in schema.names]
    for name in columns:
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not text and not pa.types.is_string_view(kind) and not pa.types.is_null(kind):
            raise NotAText(path, name, str(kind))
    return columns


def _row(
    name: str,
    number: int,
    text: str | None,
    title: str | None,
    url: str | None,
    license_: str | None,
) -> Document:
    try:
        blocks = None if text is None else _blocks(_lines(text))
    except Unreadable:
        blocks = None
    own = (or_none(title), or_none(url), or_none(license_))
    return Document(f"{name}:{number}", blocks, *own, row=number)


def _blocks(text: str) -> Sequence[Block]:
    if _MAYBE_HEADING.search(text):
        blocks = read_markdown(text)
        if any(block.level for block in blocks):
            return blocks
    return read_plain(text)
