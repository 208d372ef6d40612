"""The rows as the page has them: compressed, and put together again by page.js.

A run of 52,000 instructions has 66 MB of rows as plain JSON. What makes them small, besides gzip:

- columns instead of rows, so that like stands beside like; numbers that count up as steps;
- a key stands there once, however many rows name it, by its first sixteen digits; so does a text
  that a column repeats;
- of the texts the most frequent words, with the space before them, are one character each, of
  those that Unicode leaves to private use. Such a character that a text has of itself is a word
  too, so whatever text comes out is what went in;
- the low bytes of UTF-16 and then the high ones: gzip sees two even streams.

In the end it is base 85, five characters for four bytes, without the one that could end a script
element.
"""

import gzip
import json
import re
from base64 import b85encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from seedbed.runs.page import Row

# Unicode's first area for private use.
FIRST, LAST = 0xE000, 0xF8FF
_CODED = re.compile(f"[{chr(FIRST)}-{chr(LAST)}]| [^\\W\\d_]+")
# Words are counted in so many texts.
SAMPLE = 20_000
# Digits of a key: of a million answers no two have the same; all 64 would be a fourth of a page.
DIGITS = 16
# A shorter text is no longer than the number of the row that has it already.
SHORT = 8


def packed(data: Any) -> str:
    """Anything that JSON has, as base 85 (Python's, with a comma for <), the same in every run.

    Before it stands how many of the last bytes only fill it up.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, which no file can have, becomes "?".
    units = text.encode("utf-16-le", "replace")
    planes = gzip.compress(units[::2] + units[1::2], 9, mtime=0)
    return f"{-len(planes) % 4}{b85encode(planes, pad=True).decode().replace('<', ',')}"


def columns(kinds: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """The rows of all kinds, one kind after the other, as lists that are as long as there are rows.

    line, instruction, origin, key: a number is a step from that of the row before, 0 at first;
        what is no number stands as it is. A key's number is its place in `keys`.
    input, output: a text, or the number of the row that has the same one.
    keys: of a hexadecimal one its first DIGITS, a character a byte, from U+0100 on.
    words: what the characters for private use in the texts stand for, from the first on.
    """
    rows = [row for of_kind in kinds for row in of_kind]
    keys = list(dict.fromkeys(row.key for row in rows if row.key is not None))
    place = {key: number for number, key in enumerate(keys)}
    words = _frequent(rows)
    code = {word: chr(FIRST + number) for number, word in enumerate(words)}

    def coded(text: str) -> str:
        # With a space before it the first word is one like the others.
        return _CODED.sub(lambda match: code.get(match[0], match[0]), f" {text}")

    return {
        "words": words,
        "keys": list(map(_in_bytes, keys)),
        "line": _steps(row.line for row in rows),
        "instruction": _steps(
            coded(row.instruction) if isinstance(row.instruction, str) else row.instruction
            for row in rows
        ),
        "input": _once([row.input for row in rows], coded),
        "output": _once([row.output for row in rows], coded),
        "reason": [row.reason for row in rows],
        "key": _steps(None if row.key is None else place[row.key] for row in rows),
        "origin": [row.origin for row in rows],
        "score": [row.score for row in rows] if any(row.score is not None for row in rows) else [],
        "rating": [row.rating for row in rows] if any(row.rating for row in rows) else [],
    }


def _in_bytes(key: str) -> str:
    """A key whose first bytes are characters; another text as it is, after a space.

    >>> _in_bytes("00ff"), _in_bytes("a key")
    ('Āǿ', ' a key')
    """
    if re.fullmatch("(?:[0-9a-f]{2})+", key):
        return "".join(chr(0x100 + byte) for byte in bytes.fromhex(key[:DIGITS]))
    return f" {key}"


def _steps(values: Iterable[Any]) -> list[Any]:
    """Numbers as steps from the number before; of all else nothing is changed.

    >>> _steps([5, 6, None, "x", 7])
    [5, 1, None, 'x', 1]
    """
    steps, last = [], 0
    for value in values:
        if isinstance(value, int):
            steps.append(value - last)
            last = value
        else:
            steps.append(value)
    return steps


def _once(texts: Sequence[str], coded: Callable[[str], str]) -> list[str | int]:
    """Each text, coded; or the place of the first one that is the same."""
    first: dict[str, int] = {}
    found: list[str | int] = []
    for place, text in enumerate(texts):
        before = first.setdefault(text, place) if len(text) > SHORT else place
        found.append(coded(text) if before == place else before)
    return found


def _frequent(rows: Sequence[Row]) -> list[str]:
    """The words that have a character of their own, the most frequent ones first."""
    texts = [
        text for row in rows for text in (row.instruction, row.input, row.output)
        if isinstance(text, str)
    ]  # fmt: skip
    private: set[str] = set()
    words: Counter[str] = Counter()
    step = max(1, len(texts) // SAMPLE)
    for text in texts:
        if not text.isascii():
            private.update(one for one in text if chr(FIRST) <= one <= chr(LAST))
    for text in texts[::step]:
        words.update(one for one in _CODED.findall(f" {text}") if one[0] == " ")
    # Which of equally many comes first is nobody's affair, but it must be the same in every run.
    ranked = sorted(words.items(), key=lambda found: (-found[1], found[0]))
    room = LAST - FIRST + 1 - len(private)
    return [*sorted(private), *(word for word, times in ranked[:room] if times > 1)]
