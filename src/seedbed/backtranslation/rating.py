"""An answer → the rating that it ends with (arXiv 2308.06259), or why there is none.

Public programs for it take any number that comes last, or the first digit after `Score: `, so that
10 is 1. Here only a line that is a rating counts, and what has none is refused for its reason.
"""

import re
from dataclasses import dataclass

# Why there is no rating.
REASONS = ("no_score", "out_of_range", "cut")

# The scale of the paper's prompt.
LOWEST, HIGHEST = 1, 5

# What Markdown, and a model that copies the prompt's `<rating>`, put around any part of the line.
_MARKS = str.maketrans(dict.fromkeys("*#<>", " "))
# A line in small letters without marks. Digits of other scripts are none. Each quantifier is
# possessive: nothing is tried twice, however long a row of spaces.
_LINE = re.compile(
    r"\s*+score\s*+[:=]\s*+"
    r"(?P<number>[0-9]++(?:\.[0-9])?+)\s*+"
    r"(?:/\s*+5|(?<=\s)out\s++of\s++5)?+"
    r"\s*+\.?+\s*+"
)


@dataclass(frozen=True)
class Rating:
    """What an answer ends with. Exactly one is None.

    value: 1 to 5. reason: one of REASONS.
    """

    value: float | None
    reason: str | None


def parse(text: str, cut: bool) -> Rating:
    """The rating in the last line that is one, whatever comes after it.

    Such a line is `score`, `:` or `=`, a number with at most one decimal, then perhaps `/5` or
    ` out of 5`, then perhaps a full stop. Case does not matter, nor do spaces and `*`, `#`, `<`
    and `>` around these parts. No number of another line, or of a line with more in it, counts.

    Args:
        cut: whether the answer ended at the token limit. It matters only where no line is a
            rating: where the last one is, it is taken to be whole.
    """
    for line in reversed(text.splitlines()):
        if found := _LINE.fullmatch(line.lower().translate(_MARKS)):
            value = float(found["number"])
            if LOWEST <= value <= HIGHEST:
                return Rating(value, None)
            return Rating(None, "out_of_range")
    return Rating(None, "cut" if cut else "no_score")
