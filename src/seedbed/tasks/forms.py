"""A text with several places, such as a prompt that shows an instruction, demos and an input.

One with a single place is a `Prompt` of `seedbed.core.prompts`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from seedbed.core.prompts import read_prompt


class Form:
    """All places are filled in at once: what is filled in may look like one.

    name: of the file that it was read from; "" of a text.
    """

    def __init__(self, text: str, places: Sequence[str], braces: int = 1, name: str = ""):
        """places: their names, each of which stands once in the text, in so many braces."""
        self.name = name
        marked = [re.escape(_in_braces(place, braces)) for place in places]
        # Every second part is a place.
        self._parts = re.split("(" + "|".join(marked) + ")", text)
        self._parts[1::2] = [part[braces:-braces] for part in self._parts[1::2]]

    @classmethod
    def read(cls, path: Path, *places: str) -> "Form":
        """A prompt file. Raises as `read_prompt`."""
        text = read_prompt(path, [_in_braces(place, 1) for place in places])
        return cls(text, places, name=path.name)

    def fill(self, **texts: str) -> str:
        """The text with each place filled in; a place without a text stays empty."""
        return "".join(self._filled(texts))

    def before(self, place: str, **texts: str) -> str:
        """What stands before a place, once the places before that are filled in."""
        end = 2 * self._parts[1::2].index(place) + 1
        # A space before a place is the beginning of the next word, for most tokenizers.
        return "".join(self._filled(texts)[:end]).rstrip(" ")

    def _filled(self, texts: dict[str, str]) -> list[str]:
        return [
            texts.get(part, "") if number % 2 else part for number, part in enumerate(self._parts)
        ]


def _in_braces(place: str, braces: int) -> str:
    return "{" * braces + place + "}" * braces
