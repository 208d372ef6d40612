"""The answers that Self-Instruct's rows are made of, by key: they tell which model was asked."""

from collections.abc import Iterable

from seedbed.core.records import Record
from seedbed.runs.places import rows_if_there
from seedbed.self_instruct.alpaca_rows import TASKS
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    ClassifiedInstruction,
)


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
    asked = {
        "bootstrap": _not_none(
            row.metadata.key for row in rows_if_there(INSTRUCTIONS, _Instruction)
        ),
        "clf": _not_none(row.key for row in rows_if_there(CLASSIFIED, ClassifiedInstruction)),
        "instances": _not_none(
            row.instance_metadata.key for row in rows_if_there(COMPLETIONS, _Instances)
        ),
    }
    # It is no part of the first run.
    tasks = _not_none(row.instance_metadata.key for row in rows_if_there(TASKS, _Instances))
    return asked | ({"alpaca": tasks} if tasks else {})


def _not_none(keys: Iterable[str | None]) -> set[str]:
    return {key for key in keys if key}
