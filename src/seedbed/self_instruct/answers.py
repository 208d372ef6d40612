"""Which answers Self-Instruct's rows are made of: these tell which model was asked."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    RAW_INSTANCES,
    ClassifiedInstruction,
)

Row = TypeVar("Row", bound=Record)


class _Keyed(Record):
    key: str | None = None


class _Instruction(Record):
    """What is wanted of an Instruction: the prompts in it are most of the file."""

    metadata: _Keyed


class _Instances(Record):
    instance_metadata: _Keyed


def keys() -> dict[str, set[str]]:
    """For each stage that asks, the keys of the answers that its rows are made of.

    Raises:
        BadFile, BadRow: a file is broken.
    """
    return {
        "bootstrap": _known(row.metadata.key for row in _rows(INSTRUCTIONS, _Instruction)),
        "clf": _known(row.key for row in _rows(CLASSIFIED, ClassifiedInstruction)),
        "instances": _known(row.instance_metadata.key for row in _rows(RAW_INSTANCES, _Instances)),
    }


def _rows(path: Path, record: type[Row]) -> Iterator[Row]:
    """The rows of a file; none of one that is missing or has none."""
    return read_rows(path, record) if path.exists() and path.stat().st_size else iter(())


def _known(keys: Iterable[str | None]) -> set[str]:
    return {key for key in keys if key}
