"""The answers that Self-Instruct's rows are made of, by key: they tell which model was asked."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    ClassifiedInstruction,
)

RowT = TypeVar("RowT", bound=Record)


class _Keyed(Record):
    key: str | None = None


class _Instruction(Record):
    """What is read of an Instruction: the prompts in it are most of the file."""

    metadata: _Keyed


class _Instances(Record):
    instance_metadata: _Keyed


def keys() -> dict[str, set[str]]:
    """For each stage that asks, the keys of the answers that its rows are made of.

    Raises:
        BadFile, BadRow: a file is broken.
    """
    return {
        "bootstrap": _not_none(row.metadata.key for row in _rows(INSTRUCTIONS, _Instruction)),
        "clf": _not_none(row.key for row in _rows(CLASSIFIED, ClassifiedInstruction)),
        "instances": _not_none(row.instance_metadata.key for row in _rows(COMPLETIONS, _Instances)),
    }


def _rows(path: Path, record: type[RowT]) -> Iterator[RowT]:
    """The rows of a file; none of one that is missing or has none."""
    return read_rows(path, record) if path.exists() and path.stat().st_size else iter(())


def _not_none(keys: Iterable[str | None]) -> set[str]:
    return {key for key in keys if key}
