"""What of a prompt its file has, and what was filled in.

A prompt is told apart by the file that it was made from: what stands between the file's places
stands in the prompt, too, in the same order. A stage need not say how it fills a file in.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedbed.core.files import read_text

# A place of a prompt file, in one brace or in two: see `seedbed.core.prompts`.
_PLACE = re.compile(r"(?<!\{)\{++[^\W\d]\w*+\}++")


@dataclass(frozen=True)
class Template:
    """A text with places. name: the file that it is, or what makes it."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> "Template":
        """A prompt file. Raises BadFile."""
        # The prompt ends where its last word does: see `read_prompt`.
        return cls(path.as_posix(), read_text(path).removesuffix("\n"))

    @property
    def literals(self) -> list[str]:
        """What stands before, between and after the places: one more than there are places."""
        return _PLACE.split(self.text)


@dataclass(frozen=True)
class Piece:
    """A part of a prompt. filled: whether it was filled in."""

    text: str
    filled: bool


@dataclass(frozen=True)
class Told:
    """A prompt in its pieces, and the name of what it was made from; None if that is not known."""

    name: str | None
    pieces: list[Piece]


def told(prompt: str, templates: Iterable[Template]) -> Told:
    """The prompt in pieces, by the template that has the most of it.

    >>> found = told("Q: Why? A:", [Template("file", "Q: {question} A:")])
    >>> [(piece.text, piece.filled) for piece in found.pieces]
    [('Q: ', False), ('Why?', True), (' A:', False)]
    """
    best, most = Told(None, [Piece(prompt, True)]), -1
    for template in templates:
        literals = template.literals
        size = sum(map(len, literals))
        if size > most and (places := _places(prompt, literals)) is not None:
            best, most = Told(template.name, _cut(prompt, literals, places)), size
    return best


def _places(prompt: str, literals: Sequence[str]) -> list[int] | None:
    """Where each of the literals begins, in order; None if they do not stand there so.

    What is shown first, such as demos, may have the look of what follows it. So what stands before
    the last place is looked for from the end.
    """
    first, *between = literals
    if not prompt.startswith(first):
        return None
    if not between:
        return [0] if not prompt[len(first) :].strip() else None
    *middle, last = between
    end = prompt.rfind(last, len(first)) if last else len(prompt.rstrip("\n"))
    # A stage may end a prompt with a newline.
    if end < len(first) or prompt[end + len(last) :].strip():
        return None
    places, at = [0], len(first)
    for number, literal in enumerate(middle, 1):
        found = prompt.rfind if number == len(middle) else prompt.find
        place = found(literal, at, end)
        if place < 0:
            return None
        places.append(place)
        at = place + len(literal)
    return [*places, end]


def _cut(prompt: str, literals: Sequence[str], places: Sequence[int]) -> list[Piece]:
    pieces, at = [], 0
    for literal, place in zip(literals, places, strict=True):
        pieces.append(Piece(prompt[at:place], True))
        pieces.append(Piece(literal, False))
        at = place + len(literal)
    pieces.append(Piece(prompt[at:], False))
    return [piece for piece in pieces if piece.text]
