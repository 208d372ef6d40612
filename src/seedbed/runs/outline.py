"""Indented text for a terminal, in which whatever a model wrote stays text.

A character that a terminal would act on, or not show, is written as its escape; a text of several
lines keeps them, each behind a margin, so that it cannot pass for a line of the outline itself.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

MARGIN = "│ "


def printable(text: str) -> str:
    """One line that a terminal shows as it stands.

    >>> printable("clear\\x1b[2J \\u202eright to left")
    'clear\\\\x1b[2J \\\\u202eright to left'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Outline:
    """Lines, each as deep as the headings that it stands under."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def line(self, text: str, deeper: int = 0) -> None:
        """One line; `deeper`: how many steps it stands to the right of its place."""
        self.lines.append("  " * (self._depth + deeper) + printable(text))

    @contextmanager
    def under(self, heading: str) -> Iterator[None]:
        """What is added meanwhile stands one step deeper, below the heading."""
        self.line(heading)
        self._depth += 1
        yield
        self._depth -= 1

    def text(self, name: str, text: str) -> None:
        """A text as it came, behind its margin."""
        with self.under(f"{name}:"):
            self.quote(text)

    def quote(self, text: str) -> None:
        for line in text.split("\n"):
            self.line(MARGIN + line)

    def field(self, name: str, value: Any) -> None:
        """A value of JSON: a mapping gets a line for each of its fields, a long text a block."""
        if isinstance(value, Mapping) and value:
            with self.under(f"{name}:"):
                for part, within in value.items():
                    self.field(str(part), within)
        elif isinstance(value, str) and "\n" in value:
            self.text(name, value)
        elif isinstance(value, str):
            self.line(f"{name}: {value}")
        else:
            self.line(f"{name}: {json.dumps(value, ensure_ascii=False)}")
