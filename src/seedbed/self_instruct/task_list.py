"""The numbered list of whole tasks that alpaca shows, and its completion → tasks.

A task begins where a line begins with `Instruction:`, with or without a number before it: numbers
alone stand in outputs too. What comes before `Input:` or `Output:` is the instruction; the rest
is in the form of `completions`, which reads it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from seedbed.self_instruct.completions import parse_input_first
from seedbed.self_instruct.instructions import fold_space

# What stands for an input where there is none.
NO_INPUT = "<none>"
# What Markdown puts around a label.
_MARK = r"[^\S\n]*[#*_>-]*[^\S\n]*"
_BEGIN = re.compile(
    rf"^{_MARK}(?:\d+[^\S\n]?[.):]\s*)?{_MARK}Instruction\b[*_ \d]*:[*_]*", re.MULTILINE
)
_FIELD = re.compile(rf"^{_MARK}(?:Input|Output)\b[*_ \d]*:", re.MULTILINE)
# An input that says that there is none, up to the next line.
_NO_INPUT = re.compile(
    rf"\A{_MARK}Input\b[*_ \d]*:[*_]*\s*"
    r"[<(\[]?(?:no[ _-]?input|none|n/a|not applicable)?[>)\]]?\.?\s*(?=^)",
    re.MULTILINE | re.IGNORECASE,
)


class Shown(NamedTuple):
    """A task that a prompt shows."""

    instruction: str
    input: str
    output: str


class Written(NamedTuple):
    """A task that a model wrote: its instruction, and the rest as `parse_input_first` reads it."""

    instruction: str
    rest: str

    @property
    def has_output(self) -> bool:
        """Whether anything in it is an output. What begins with the word for no input is none.

        >>> Written("Greet me.", "Output: <none>").has_output
        False
        """
        outputs = [output for _, output in parse_input_first(self.rest)]
        return any(text is not None and not text.startswith(NO_INPUT) for text in outputs)


def listed(tasks: Iterable[Shown]) -> str:
    """The list that alpaca shows the model to continue.

    >>> print(listed([Shown("Add the numbers:", "2, 3", "5"), Shown("Greet me.", "", "Hello!")]))
    1. Instruction: Add the numbers
    Input: 2, 3
    Output: 5
    <BLANKLINE>
    2. Instruction: Greet me.
    Input: <none>
    Output: Hello!
    <BLANKLINE>
    3. Instruction:
    """
    blocks = [
        f"Instruction: {fold_space(task.instruction).rstrip(': ')}\n"
        f"Input: {task.input.strip() or NO_INPUT}\n"
        f"Output: {task.output.strip()}\n\n"
        for task in tasks
    ]
    numbered = [f"{number}. {block}" for number, block in enumerate(blocks, 1)]
    return "".join(numbered) + f"{len(blocks) + 1}. Instruction:"


def split_list(completion: str) -> list[Written]:
    """The tasks of a completion, in order; at least one, however empty.

    >>> tasks = split_list(" Add.\\nInput: 1, 2\\nOutput: 3\\n4. Instruction: Go.\\nOutput: I go.")
    >>> [tuple(task) for task in tasks]
    [('Add.', 'Input: 1, 2\\nOutput: 3'), ('Go.', 'Output: I go.')]
    """
    # The prompt has the first label; who answers in a chat may repeat it.
    text = completion if _BEGIN.match(completion.lstrip()) else f"Instruction:{completion}"
    return [_written(piece) for piece in _BEGIN.split(text.lstrip())[1:]]


def _written(piece: str) -> Written:
    field = _FIELD.search(piece)
    if field is None:
        return Written(fold_space(piece), "")
    rest = piece[field.start() :].strip()
    return Written(fold_space(piece[: field.start()]), _NO_INPUT.sub("", rest))
