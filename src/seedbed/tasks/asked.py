"""Whether a text asks for a task: begins with its instruction, and then goes on to its input."""

import re
from collections.abc import Mapping

# What stands between an instruction and the rest in the forms that rows are prepared in.
_AFTER = re.compile(r"\n|\s+output:|$", re.IGNORECASE)
_BEFORE = re.compile(r"\s*(?:task:)?\s*", re.IGNORECASE)


def asks_for(asked: str, instructions: Mapping[str, str]) -> list[str]:
    """The tasks, by name, whose instruction a text begins with, in any case.

    instructions: of each task by name, as `in_any_case` gives them.

    >>> asks_for("Task: Write a poem.\\nIt must rhyme.", {"a": "write a poem.", "b": "write"})
    ['a']
    """
    before = _BEFORE.match(asked)
    text = asked[before.end() if before else 0 :].lower()
    return [
        name
        for name, instruction in instructions.items()
        if text.startswith(instruction) and _AFTER.match(text, len(instruction))
    ]


def in_any_case(instruction: str) -> str:
    """An instruction as `asks_for` compares it."""
    before = _BEFORE.match(instruction)
    return instruction[before.end() if before else 0 :].strip().lower()
