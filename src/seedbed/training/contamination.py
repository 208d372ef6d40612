"""What evaluated examples have in common with the rows that a model was trained on.

Runs of 8 and of 13 words (13 is GPT-3's, arXiv 2005.14165, appendix C; 8 finds what 13 misses of
short examples). Words are runs of letters and digits, in lower case. An example of fewer words
than that has no such run: so a task whose very instruction was trained on is looked for besides.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.tasks.asked import asks_for, in_any_case
from seedbed.tasks.niv2 import Example

SIZES = (8, 13)
_WORDS = re.compile(r"[^\W_]+")


class _Message(Record):
    content: str


class _Instance(Record):
    input: str
    output: str


class AnyRow(Record):
    """A row that a model was trained on, in whichever form: what is read of it."""

    prompt: str | None = None
    completion: str = ""
    messages: list[_Message] | None = None
    instruction: str | None = None
    input: str = ""
    output: str = ""
    instances: list[_Instance] = Field(default=[])

    @model_validator(mode="after")
    def _has_a_form(self) -> "AnyRow":
        if self.prompt is None and not self.messages and self.instruction is None:
            raise ValueError("a row has a prompt and completion, messages, or an instruction")
        return self

    @property
    def asked(self) -> str:
        """The text that begins with its instruction, or with `Task:` before that."""
        if self.instruction is not None:
            return self.instruction
        return self.messages[0].content if self.messages else self.prompt or ""

    @property
    def texts(self) -> list[str]:
        """All of its texts that are not empty."""
        messages = [message.content for message in self.messages or ()]
        instances = [
            text for instance in self.instances for text in (instance.input, instance.output)
        ]
        fields = [
            self.instruction or "",
            self.prompt or "",
            self.completion,
            self.input,
            self.output,
        ]
        return [text for text in (*fields, *messages, *instances) if text]


@dataclass(frozen=True)
class Overlaps:
    """What evaluated examples have in common with rows.

    rows: how many rows were looked through.
    of: for each of SIZES, bool of shape (examples, 2): whether such a run of the example's input,
        and of one of its targets, was trained on.
    tasks: tasks whose instruction was trained on, each with the file and line of the first row.
    """

    rows: int
    of: dict[int, np.ndarray]
    tasks: dict[str, tuple[Path, int]]

    def examples(self, size: int) -> np.ndarray:
        """Whether an example has a run of `size` words, in input or targets, that was trained on.

        Returns:
            bool of shape (examples,).
        """
        return np.asarray(self.of[size].any(axis=1))


def find(
    paths: Iterable[Path], examples: Sequence[Example], instructions: dict[str, str]
) -> Overlaps:
    """Read the rows one by one and look for what is evaluated.

    Args:
        paths: files of rows in any of prepare's forms, or that of the seed tasks.
        instructions: those of the tasks, by name.

    Raises:
        BadFile, BadRow: as `read_rows`.
    """
    wanted: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for number, example in enumerate(examples):
        for field, texts in enumerate(([example.input], example.targets)):
            for text in texts:
                for size in SIZES:
                    for run in runs(text, size):
                        wanted[run].append((size, number, field))
    of = {size: np.zeros((len(examples), 2), dtype=bool) for size in SIZES}
    tasks: dict[str, tuple[Path, int]] = {}
    sought = {name: in_any_case(text) for name, text in instructions.items()}
    rows = 0
    for path in paths:
        for line, row in enumerate(read_rows(path, AnyRow), 1):
            rows += 1
            for text in row.texts:
                for size in SIZES:
                    for run in runs(text, size):
                        # Found once is enough.
                        for _, number, field in wanted.pop(run, ()):
                            of[size][number, field] = True
            for name in asks_for(row.asked, sought):
                tasks[name] = (path, line)
                del sought[name]
    return Overlaps(rows, of, tasks)


def runs(text: str, size: int) -> Iterator[str]:
    """Yield every run of `size` words, in order.

    >>> list(runs("To be, or not", 3))
    ['to be or', 'be or not']
    """
    words = _WORDS.findall(text.lower())
    for start in range(len(words) - size + 1):
        yield " ".join(words[start : start + size])
