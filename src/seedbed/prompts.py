"""Prompts: text files in data/prompts, with a {placeholder} for what the stage fills in."""

from seedbed.errors import BadFile
from seedbed.files import read_text
from seedbed.paths import PROMPTS


class Prompt:
    """A prompt file with one placeholder.

    The text before the placeholder is `prefix`: what all prompts made from the file share, and
    what a server with a prefix cache evaluates only once.
    """

    def __init__(self, name: str, placeholder: str):
        """Read data/prompts/`name`. Raises BadFile if it lacks the placeholder, or has two."""
        path = PROMPTS / name
        parts = read_text(path).split("{" + placeholder + "}")
        if len(parts) != 2:
            raise BadFile(
                path,
                f"{{{placeholder}}} stands in it {len(parts) - 1} times",
                "It must stand there once, where the text is to be filled in.",
            )
        self._before, after = parts
        # An editor ends a file with a newline; the prompt ends where its last word does.
        self._after = after.removesuffix("\n")

    @property
    def prefix(self) -> str:
        # A space before the placeholder is the beginning of the next word, for most tokenizers.
        return self._before.rstrip(" ")

    def fill(self, text: str) -> str:
        return self._before + text + self._after
