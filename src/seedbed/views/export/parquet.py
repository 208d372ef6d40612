"""Rows as Parquet: one schema a record, and the same bytes for the same rows."""

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.views.export.columns import Columns

# Rows that are held at once, and that a reader has to read at once.
ROWS_A_GROUP = 1000


@dataclass
class Words:
    """Lengths, in words, of the texts of a column that are not empty."""

    texts: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, text: str) -> None:
        """Count a text; an empty one counts nowhere."""
        if not text:
            return
        words = len(text.split())
        self.least = min(self.least, words) if self.texts else words
        self.most = max(self.most, words)
        self.texts += 1
        self.total += words

    @property
    def mean(self) -> float:
        return self.total / self.texts if self.texts else 0.0


@dataclass
class Measured:
    """What is known of a table once it is written.

    rows: how many there are. words: the lengths of some columns. first: the first row.
    """

    rows: int = 0
    words: dict[str, Words] = field(default_factory=dict)
    first: dict[str, Any] | None = None

    def over(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the same rows, and measure each."""
        for data in rows:
            self.rows += 1
            self.first = self.first or data
            for column, words in self.words.items():
                cell = data[column]
                for text in [cell] if isinstance(cell, str) else cell:
                    words.add(text)
            yield data


def arrow_type(annotation: Any) -> pa.DataType:
    """The type of a column whose field is annotated so; every column may be null.

    >>> arrow_type(list[str] | None)
    ListType(list<element: string>)
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return arrow_type(inner)
    if origin is list:
        # "element" is what Parquet calls it, whatever pyarrow's default is.
        return pa.list_(pa.field("element", arrow_type(arguments[0])))
    if issubclass(annotation, Record):
        return pa.struct(schema_of(annotation))
    return {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}[annotation]


def schema_of(record: type[Record]) -> pa.Schema:
    """A column for each field of the record."""
    return pa.schema(
        [(name, arrow_type(info.annotation)) for name, info in record.model_fields.items()]
    )


def write_parquet(
    source: Path,
    record: type[Record],
    path: Path,
    columns: Iterable[str],
    more: Columns | None = None,
) -> Measured:
    """Write the rows of a JSON Lines file as Parquet.

    Args:
        columns: whose lengths are measured.
        more: columns of theirs that the file does not have.

    Raises:
        BadFile, BadRow: as `read_rows`.
        OSError: no room, or no permission.
    """
    measured = Measured(words={column: Words() for column in columns})
    own = (row.model_dump() for row in read_rows(source, record))
    rows = measured.over(own if more is None else more.beside(own))
    schema = schema_of(record)
    if more is not None:
        schema = pa.unify_schemas([schema, schema_of(more.record)])
    # All that shapes the bytes is said here, since another pyarrow may have other defaults.
    # A Parquet file names the pyarrow that wrote it; it holds no time.
    with pq.ParquetWriter(
        path,
        schema,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        store_schema=True,
    ) as writer:
        while group := list(islice(rows, ROWS_A_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema=schema), ROWS_A_GROUP)
    return measured
