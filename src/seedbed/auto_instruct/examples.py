"""The way back from an example that was labelled or kept to what it came from, file by file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of, read_candidates
from seedbed.auto_instruct.label_file import HEADERS, LabelFile, Labelled, read_labels
from seedbed.auto_instruct.rows import LABELLED, Candidate
from seedbed.core.files import exists, read_rows
from seedbed.errors import BadRow
from seedbed.runs.errors import NoSuchLine, NotHere, OriginMissing
from seedbed.runs.places import Place
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import list_tasks, the_task

HEADER_OF_LINE = ("the ranking model's prompt template", "the task's candidates", "its demos")


class Merged(Labelled):
    """A row of train.jsonl and its like: an example that stands for itself."""

    prompt: str
    instructions: list[str]


@dataclass(frozen=True)
class ExampleInFile:
    """An example, and its place in a task's file. instructions: the candidates in that file."""

    place: Place
    row: Labelled
    instructions: list[str]


def example_at(place: Place) -> ExampleInFile:
    """The example on a line of a task's file, of label's or relabel-and-pick's.

    Raises:
        NotHere, NoSuchLine; BadFile and BadRow as `read_labels`, BadRow for a header line too.
    """
    file = _read(place.path)
    number = place.line - HEADERS - 1
    if number < 0:
        raise BadRow(
            place.path,
            place.line,
            f"no example, but a header: {HEADER_OF_LINE[place.line - 1]}",
            f"Examples stand from line {HEADERS + 1} on."
            if file.examples
            else "The file has no examples.",
        )
    if number >= file.examples:
        raise NoSuchLine(place.path, place.line, file.examples + HEADERS)
    return ExampleInFile(place, next(file.rows([number])), file.instructions)


def label_of(place: Place, row: Labelled) -> ExampleInFile:
    """The example of data/label that a kept one came from.

    Raises:
        OriginMissing: there is none, or it has other outputs.
        NotHere, BadFile, BadRow: as `example_at`.
    """
    if not LABELLED.exists():
        raise NotHere(LABELLED)
    if isinstance(row, Merged):
        task, _, id_ = row.id.partition(":")
        path = LABELLED / f"{task}.jsonl"
        if path not in LABELLED.iterdir():
            raise OriginMissing(str(place), LABELLED, f"a task for the id {row.id!r}")
    else:
        path, id_ = LABELLED / place.path.name, row.id
    outputs = dict(zip(row.instruction_idx, row.instruction_outputs, strict=True))
    file = _read(path)
    for number, labelled in enumerate(file.rows(range(file.examples))):
        if (labelled.id, labelled.input) == (id_, row.input):
            tried = dict(zip(labelled.instruction_idx, labelled.instruction_outputs, strict=True))
            if outputs.items() <= tried.items():
                return ExampleInFile(Place(path, file.line_of(number)), labelled, file.instructions)
    raise OriginMissing(str(place), path, f"the id {id_!r}, its input and its outputs")


@dataclass(frozen=True)
class Origin:
    """A candidate, and where ORIGINS says where it came from; None if it does not."""

    candidate: Candidate
    place: Place | None


def candidates_of(example: ExampleInFile) -> list[Origin]:
    """The candidates that an example of label's was tried with, in order.

    Raises:
        OriginMissing: the task has others now.
        NotHere, BadFile, BadRow: as `read_candidates`.
    """
    task = example.place.path.stem
    if not file_of(task).exists():
        raise NotHere(file_of(task))
    candidates = read_candidates([task])[task]
    lines: dict[int, int] = {}
    if ORIGINS.exists():
        rows = enumerate(read_rows(ORIGINS, Candidate), 1)
        lines = {row.index: line for line, row in rows if row.task == task}
    for index, text in enumerate(example.instructions):
        if index >= len(candidates) or candidates[index].instruction != text:
            what = f"the instruction {text[:80]!r} at place {index}"
            raise OriginMissing(str(example.place), file_of(task), what)
    places = [Place(ORIGINS, lines[candidate.index]) if lines else None for candidate in candidates]
    return [Origin(*pair) for pair in zip(candidates, places, strict=True)]


@dataclass(frozen=True)
class Whereabouts:
    """Where a task stands, and where one of its examples is among them.

    example: its number, counted from 1; None if the task has it no more.
    examples: how many the task has.
    """

    path: Path
    example: int | None
    examples: int


def find_example(folder: Path, name: str, row: Labelled) -> Whereabouts:
    """Where an example stands among its task's.

    Raises:
        NoSuchTask, SameTaskName, BadFile, BadRow: as the stages, of the task.
    """
    path = find_task(folder, name)
    task: Task = read_task(path)
    numbers: Iterable[int] = (
        number
        for number, example in enumerate(task.examples, 1)
        if (example.id, example.input) == (row.id, row.input)
    )
    return Whereabouts(path, next(iter(numbers), None), len(task.examples))


def find_task(folder: Path, name: str) -> Path:
    """Where a task is kept. Raises NoSuchTask, SameTaskName, BadFile."""
    return the_task(folder, list_tasks(folder), name)


def _read(path: Path) -> LabelFile:
    if not exists(path):
        raise NotHere(path)
    # The seed is that of draws which are not made here.
    return read_labels(path)[0]
