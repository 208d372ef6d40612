"""The tasks that a model is evaluated on, in either form."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seedbed.errors import BadFile
from seedbed.tasks.errors import SameTaskName
from seedbed.tasks.niv2 import Example, Task, read_task
from seedbed.tasks.places import list_tasks, the_task
from seedbed.tasks.seed_form import read_seed_form
from seedbed.training.errors import NoSuchHeldOut


@dataclass(frozen=True)
class Case:
    """An example of a task, and (input, output) pairs that may be shown before it."""

    task: Task
    example: Example
    demos: list[tuple[str, str]]

    @property
    def shown(self) -> tuple[str, list[tuple[str, str]], str]:
        """What its prompt shows: the instruction, the demos, the input."""
        return self.task.instruction, self.demos, self.example.input


def read_held_out(path: Path, names: list[str] | None = None) -> Iterator[tuple[Path, Task]]:
    """Yield the tasks kept in a folder or a .jsonl file, and where: by name, those of files after.

    They come one by one: of thousands of examples a caller need hold only what it takes.

    Args:
        names: only these; None for all.

    Raises:
        BadFile, BadRow, BadTaskName, SameTaskName: as `read_task` and `read_seed_form`.
        NoSuchHeldOut: one of `names` is not there.
    """
    files = [path] if path.suffix == ".jsonl" else sorted(path.glob("*.jsonl"))
    there = {} if path.suffix == ".jsonl" else _tasks_in(path, bool(files))
    of_files = [(file, task) for file in files for task in read_seed_form(file)]
    place_of: dict[str, Path] = {name: paths[0] for name, paths in there.items()}
    for file, task in of_files:
        if place_of.setdefault(task.name, file) != file:
            raise SameTaskName(file, place_of[task.name])
    for name in names or ():
        if name not in place_of:
            raise NoSuchHeldOut(path, name, list(place_of))
    wanted = set(place_of if names is None else names)
    for name in there:
        if name in wanted:
            where = the_task(path, there, name)
            yield where, read_task(where)
    for file, task in of_files:
        if task.name in wanted:
            yield file, task


def _tasks_in(folder: Path, may_be_none: bool) -> dict[str, list[Path]]:
    try:
        return list_tasks(folder, "evaluate.held_out")
    except BadFile:
        if not may_be_none:
            raise
        return {}


def cases(task: Task, shots: int, most: int | None) -> list[Case]:
    """The first examples of a task, at most `most`, each with at most `shots` demos.

    A task without demos shows the first of its other examples. A task in the seed tasks' form
    often has no others; its example then stands alone.
    """
    chosen = task.model_copy(update={"examples": task.examples[:most]})
    return [Case(chosen, example, _demos(task, example, shots)) for example in chosen.examples]


def _demos(task: Task, example: Example, shots: int) -> list[tuple[str, str]]:
    if task.demos:
        # A demo may also be among the examples: it would show the answer.
        demos = [(demo.input, demo.output) for demo in task.demos if demo.input != example.input]
    else:
        demos = [
            (other.input, other.targets[0])
            for other in task.examples
            if other.input != example.input
        ]
    return demos[:shots]
