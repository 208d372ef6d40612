"""What a person is asked about: rows of a file, or what models answered, in a fixed order.

The sample is the same for everybody, so that it can be seen how far people agree, and a larger one
begins with it. Which of the answers to an example comes first is drawn for each person anew: what
is shown first is judged otherwise than what comes second.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError

from seedbed import params
from seedbed.core import draws
from seedbed.core.files import opened, read_rows
from seedbed.core.records import Record
from seedbed.errors import BadFile, BadRow, shown
from seedbed.tasks.ratings import FOLDER, OF_A_ROW, OF_AN_ANSWER, About, digest, id_of
from seedbed.training.errors import NoSuchHeldOut
from seedbed.training.held_out import read_held_out
from seedbed.training.rows import Evaluation


class AlpacaRow(Record):
    """A row of data/prepare/alpaca.jsonl, or of anybody's. input: "" where it needs none."""

    instruction: str
    input: str = ""
    output: str
    id: str | None = None


class _Answer(Record):
    """What tells a file of answers from one of rows."""

    model: str
    scored: str


@dataclass(frozen=True)
class Item:
    """A row, or an answer. texts: what is shown, each with its name. line: in its file.

    questions: those of the ratings. blind: whether its origin would tell whose it is.
    """

    about: About
    line: int
    texts: list[tuple[str, str]]
    questions: tuple[str, ...]
    blind: bool


def read_items(path: Path, sample: int, seed: int, name: str, models: Sequence[str]) -> list[Item]:
    """The items, in the order in which they are asked about.

    Args:
        sample: how many rows, or how many examples that all of the models answered.
        name: the person's. models: only their answers; none for all.

    Raises:
        BadFile, BadRow: as `read_rows`; of an id that stands there twice; the task of an answer is
            not among those held out; the file is not in the project.
    """
    if _has_answers(path):
        return _answers(_in_project(path), sample, seed, name, models)
    if models:
        raise BadFile(path, "has no models", "Leave --model out: it has rows, not answers.")
    return _rows(_in_project(path), sample, seed)


def _has_answers(path: Path) -> bool:
    """By its first line: what is neither row nor answer is told as one that should be a row."""
    with opened(path) as lines:
        first = next(lines, b"")
    try:
        _Answer.model_validate_json(first)
    except ValidationError:
        return False
    return True


def _in_project(path: Path) -> Path:
    """The file's path from the project's folder on, however it was named.

    A rating says which file it is about, and is committed: another path is another file to whoever
    rates on, and one that begins at this machine's root is nobody else's.

    Raises:
        BadFile: it is elsewhere.
    """
    # Not where links lead: DVC may have linked the file into its cache, or somebody the folder.
    here, named = Path(), Path(os.path.abspath(path))  # noqa: PTH100 - it follows no link
    for folder in named.parents:
        if folder.exists() and folder.samefile(here):
            return named.relative_to(folder)
    raise BadFile(
        path,
        f"is not in the project: what people say of it is kept by path in {FOLDER}, and goes into "
        "git",
        "Copy it into the project's folder, such as into data/, and review it there.",
    )


def _rows(path: Path, sample: int, seed: int) -> list[Item]:
    items: dict[str, Item] = {}
    for line, row in enumerate(read_rows(path, AlpacaRow), 1):
        text = digest(row.instruction, row.input, row.output)
        about = About(path.as_posix(), id_of(row.id, text), None, text)
        texts = [("Instruction", row.instruction), ("Input", row.input), ("Output", row.output)]
        first = items.setdefault(about.id, Item(about, line, texts, OF_A_ROW, blind=False))
        if first.about.text != text:
            problem = f"id {about.id!r} is already that of line {first.line}"
            raise BadRow(path, line, problem, "Give it its own.")
    return sorted(items.values(), key=lambda item: draws.rank(seed, "review", item.about.id))[
        :sample
    ]


def _answers(path: Path, sample: int, seed: int, name: str, models: Sequence[str]) -> list[Item]:
    rows = list(enumerate(read_rows(path, Evaluation), 1))
    there = list(dict.fromkeys(row.model for _, row in rows))
    wanted = list(dict.fromkeys(models)) or there
    for model in wanted:
        if model not in there:
            known = ", ".join(there)
            raise BadFile(path, f"no answers of {model!r}", f"It has those of {known}.")
    named = sorted({row.task for _, row in rows})
    held_out = Path(params.everything().evaluate.held_out)  # type: ignore[attr-defined]
    try:
        instructions = {task.name: task.instruction for _, task in read_held_out(held_out, named)}
    except NoSuchHeldOut as error:
        line = next(line for line, row in rows if row.task == error.task)
        raise BadRow(
            path,
            line,
            f"an answer to the task {shown(error.task)}, which is not in {held_out}",
            "Name the file or folder that has it as evaluate.held_out in params.yaml.",
        ) from None
    items = []
    for line, row in rows:
        if row.model not in wanted:
            continue
        texts = [
            ("Instruction", instructions[row.task]),
            ("Input", row.input),
            ("A right answer", row.targets[0]),
            ("Answer", row.scored),
        ]
        # Two examples of a task may have one id, and differ in what they ask.
        id_ = f"{row.task}/{row.id}/{digest(row.input)[:8]}"
        about = About(path.as_posix(), id_, row.model, digest(*(text for _, text in texts)))
        items.append(Item(about, line, texts, (OF_AN_ANSWER,), blind=True))
    items.sort(
        key=lambda item: (
            draws.rank(seed, "review", item.about.id),
            draws.rank(seed, "order", name, item.about.id, item.about.model or ""),
        )
    )
    examples = [list(group) for _, group in groupby(items, key=lambda item: item.about.id)]
    return [
        item
        for example in [one for one in examples if len(one) == len(wanted)][:sample]
        for item in example
    ]
