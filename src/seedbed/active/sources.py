"""What a pool is drawn from: tasks in files, and those that Self-Instruct made."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from seedbed.active.errors import NoSuchPoolTask
from seedbed.active.params import ActivePool
from seedbed.core.files import exists, read_rows, read_text
from seedbed.core.paths import DATA
from seedbed.core.records import Record
from seedbed.tasks.niv2 import Example, Task, read_task
from seedbed.tasks.places import list_tasks, the_task
from seedbed.tasks.seed_form import read_seed_form

SEED_TASKS = DATA / "seed_tasks.jsonl"
PREPARED = DATA / "prepare/alpaca.jsonl"
CLASSIFIED = DATA / "clf/is_clf_or_not.jsonl"


Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Inputs:
    """What it reads of Self-Instruct, where that is the source."""

    seed_tasks: Path = SEED_TASKS
    prepared: Path = PREPARED
    classified: Path = CLASSIFIED


class PreparedRow(Record):
    """What is read of a finetuning row (prepare)."""

    id: str
    instruction_id: str
    instruction: str = Field(pattern=r"\S")
    input: str
    output: str
    key: str | None


class ClassifiedRow(Record):
    """What is read of an instruction's kind (clf): its completion."""

    instruction_id: str
    is_classification: str | None


@dataclass(frozen=True)
class Source:
    """A task, and the file that it comes from. keys: of its examples, by id."""

    task: Task
    path: Path
    keys: Mapping[str, str | None]


def read_names(path: Path | None) -> dict[str, int] | None:
    """The names in a file, one a line, each with its line; None for all. Raises BadFile."""
    if path is None:
        return None
    lines = enumerate(read_text(path).splitlines(), 1)
    return {line.strip(): number for number, line in lines if line.strip()}


def read_tasks(path: Path, names: Path | None, param: str, most: int | None = None) -> list[Source]:
    """The tasks of a folder or a .jsonl file; with `names`, those of that file, in its order.

    Args:
        param: the parameter that names the folder. most: so many examples of each; None for all.

    Raises:
        NoSuchPoolTask: one of the names is not there.
        BadFile, BadRow, BadTaskName, SameTaskName: as `read_task` and `read_seed_form`.
    """
    wanted = read_names(names)
    if path.suffix == ".jsonl":
        there = {task.name: Source(task, path, {}) for task in read_seed_form(path)}
        return _in_order(there, wanted, names, path)
    found = list_tasks(path, param)
    chosen = _in_order({name: name for name in sorted(found)}, wanted, names, path)
    places = [the_task(path, found, name) for name in chosen]
    return [Source(read_task(place, most), place, {}) for place in places]


def _in_order(
    there: Mapping[str, Kept], wanted: Mapping[str, int] | None, names: Path | None, where: Path
) -> list[Kept]:
    if wanted is None or names is None:
        return list(there.values())
    for name, line in wanted.items():
        if name not in there:
            raise NoSuchPoolTask(names, line, name, where)
    return [there[name] for name in wanted]


def grown(inputs: Inputs) -> list[Source]:
    """The tasks that Self-Instruct made, each with its instances; none if it has not run.

    Raises:
        BadFile, BadRow: of what it wrote.
    """
    if not exists(inputs.prepared) or not exists(inputs.classified):
        return []
    is_cls = {
        row.instruction_id: (row.is_classification or "").strip().lower().startswith("yes")
        for row in read_rows(inputs.classified, ClassifiedRow)
    }
    rows: dict[str, list[PreparedRow]] = {}
    for row in read_rows(inputs.prepared, PreparedRow):
        if row.instruction_id in is_cls:  # prepare can add the seed tasks' own
            rows.setdefault(row.instruction_id, []).append(row)
    return [
        Source(
            Task(
                name=name,
                instruction=own[0].instruction.strip(),
                demos=[],
                examples=[_example(row) for row in own],
                is_classification=is_cls[name],
                labels=[],
                categories=[],
            ),
            inputs.prepared,
            {row.id: row.key for row in own},
        )
        for name, own in rows.items()
    ]


def _example(row: PreparedRow) -> Example:
    return Example(id=row.id, input=row.input, targets=[row.output])


def read_pool(params: ActivePool, inputs: Inputs) -> list[Source]:
    """The pool's tasks, in the order of their files. Raises as `read_tasks` and `grown`."""
    pool = _read_pool(params, inputs)
    kinds = read_names(listed(params, params.classification))
    if kinds is None:
        return pool
    return [
        replace(one, task=one.task.model_copy(update={"is_classification": one.task.name in kinds}))
        for one in pool
    ]


def _read_pool(params: ActivePool, inputs: Inputs) -> list[Source]:
    names = listed(params, params.tasks)
    if params.source == "niv2":
        return read_tasks(Path(params.folder), names, "active_pool.folder", params.max_examples)
    there = {one.task.name: one for one in read_tasks(inputs.seed_tasks, None, "")}
    there |= {one.task.name: one for one in grown(inputs)}
    return _in_order(there, read_names(names), names, inputs.seed_tasks)


def listed(params: ActivePool, name: str | None) -> Path | None:
    """The file of that name in the folder of lists; None for none."""
    return None if name is None else Path(params.lists) / name
