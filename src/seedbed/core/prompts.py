"""Prompts: text files in data/prompts, with a {place} for each thing that a stage fills in."""

import re
from collections.abc import Collection
from pathlib import Path

from seedbed.core.files import read_text
from seedbed.core.paths import PROMPTS
from seedbed.errors import BadFile, BadRow, cut

# What a place looks like, in a prompt's braces or in those of the ranking model's template. Nothing
# is tried twice (++), so that a file of nothing but braces takes no longer than another.
_PLACE = re.compile(r"(?<!\{)\{++[^\W\d]\w*+\}++")


def read_prompt(path: Path, places: Collection[str]) -> str:
    """Read a prompt file, in which each of `places`, braces included, stands once, and no other.

    Raises:
        BadFile: it is missing, not UTF-8, or a place stands in it never or twice.
        BadRow: something else in it looks like a place.
    """
    # An editor ends a file with a newline; the prompt ends where its last word does.
    text = read_text(path).removesuffix("\n")
    # A misspelt place would go to the model as it stands, thousands of times: better to refuse a
    # few texts that only look like one.
    for match in _PLACE.finditer(text):
        if match[0] not in places:
            raise BadRow(
                path,
                text.count("\n", 0, match.start()) + 1,
                f"there is no place {cut(match[0])}",
                f"There are: {', '.join(places)}. If it is a text, put a space within its braces.",
            )
    for place in places:
        if (times := text.count(place)) != 1:
            raise BadFile(
                path,
                f"{place} stands in it {times} times",
                "It must stand there once, where the text is to be filled in.",
            )
    return text


class Prompt:
    """A prompt file with one placeholder.

    The text before the placeholder is `prefix`: what all prompts made from the file share, and
    what a server with a prefix cache evaluates only once.
    """

    def __init__(self, name: str, placeholder: str):
        """Read data/prompts/`name`. Raises as `read_prompt`."""
        place = "{" + placeholder + "}"
        self._before, _, self._after = read_prompt(PROMPTS / name, [place]).partition(place)

    @property
    def prefix(self) -> str:
        """What every prompt made from the file begins with."""
        # A space before the placeholder is the beginning of the next word, for most tokenizers.
        return self._before.rstrip(" ")

    def fill(self, text: str) -> str:
        """The prompt with the text in its place."""
        return self._before + text + self._after
