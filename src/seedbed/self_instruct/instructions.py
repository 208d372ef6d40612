"""The numbered list that bootstrap shows, and its completion → instructions or why not.

The rules follow the Self-Instruct authors' program, each of their bounds a parameter;
docs/self-instruct.md lists what differs.
"""

import re
import string
from collections.abc import Callable

from seedbed.core.rouge import tokens

# Why a piece is refused, in the order in which it is asked.
REASONS = (
    "empty_piece",
    "too_short",
    "too_long",
    "refused_word",
    "refused_prefix",
    "starts_with_punctuation",
    "starts_with_non_ascii",
    "no_scorable_token",
)


def fold_space(text: str) -> str:
    """White space of any kind and length becomes one space; none at the ends."""
    return re.sub(r"\s+", " ", text).strip()


def numbered(instructions: list[str]) -> str:
    """The list that bootstrap shows the model to continue.

    >>> numbered(["Name a  river.", "Translate:"])
    '1. Name a river.\\n2. Translate\\n3.'
    """
    lines = [f"{i}. {fold_space(text).rstrip(': ')}" for i, text in enumerate(instructions, 1)]
    return "\n".join([*lines, f"{len(lines) + 1}."])


def split_numbered(completion: str, capitalize: bool) -> list[str]:
    """Cut at each line that begins a new number; fold white space; capitalise if asked to.

    >>> split_numbered(" Name a river.\\n10. tell a JOKE about cats.", True)
    ['Name a river.', 'Tell a joke about cats.']
    """
    pieces = [fold_space(piece) for piece in re.split(r"\n\s*\d+\s?[.)](?!\d)", completion)]
    return [piece.capitalize() for piece in pieces] if capitalize else pieces


def refuser(
    *,
    min_words: int,
    max_words: int,
    refused_words: list[str],
    refused_prefixes: list[str],
    refuse_non_ascii: bool,
) -> Callable[[str], str | None]:
    """A function that gives the reason why a piece is refused, one of REASONS, or None."""
    either = "|".join(re.escape(word) for word in refused_words)
    words = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE) if either else None

    def reason(piece: str) -> str | None:
        if not piece:
            return "empty_piece"
        length = len(piece.split())
        if length < min_words:
            return "too_short"
        if length > max_words:
            return "too_long"
        if words and words.search(piece):
            return "refused_word"
        if piece.startswith(tuple(refused_prefixes)):
            return "refused_prefix"
        if piece[0] in string.punctuation:
            return "starts_with_punctuation"
        if refuse_non_ascii and not piece[0].isascii():
            return "starts_with_non_ascii"
        # ROUGE-L sees only a-z and 0-9: a text without them is like nothing, so it would always
        # count as new, itself included.
        if not tokens(piece):
            return "no_scorable_token"
        return None

    return reason
