"""A text with words missing, as prompt uncertainty has it.

The authors join what is left by single spaces, which a model that was trained on line breaks sees
in every such prompt, and in none that is whole. Here the white space stays as it was.
"""

import random
import re


def drop_words(text: str, rate: float, generator: random.Random) -> str:
    r"""The text without some of its words, each of which goes with the probability `rate`.

    Of the white space around a missing word the one with a line break stays, else the first.

    >>> drop_words("Say it\n\ntwice, now.", 0.0, random.Random(1))
    'Say it\n\ntwice, now.'
    >>> drop_words("Say it\n\ntwice, now.", 1.0, random.Random(1))
    ''
    """
    pieces = re.split(r"(\s+)", text.strip())
    kept: list[str] = []
    gap = ""
    for number, piece in enumerate(pieces):
        if number % 2:
            gap = gap if gap and ("\n" in gap or "\n" not in piece) else piece
        elif generator.random() >= rate:
            kept += [gap if kept else "", piece]
            gap = ""
    return "".join(kept)
