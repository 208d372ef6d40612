"""What a GGUF file says of itself in its header.

Only that: to make or read a whole one takes the package `gguf`, which comes with the dependency
group `train`, and the embedded server has to know an adapter without it. The form is that of
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

import struct
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

# In the header of an adapter: the SHA-256 of the GGUF file that it was trained on.
BASE_SHA256 = "seedbed.base.sha256"
# What each type of a value is to `struct`; a text and an array have a form of their own.
_NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
# No name or text that is asked for is as long as that; a damaged length is.
_LONGEST = 2**20

Value = str | int | float


def header(path: Path, wanted: Collection[str]) -> dict[str, Value]:
    """Those of the `wanted` values, texts and numbers, that the header has.

    Raises:
        ValueError: this is no GGUF file, or its header is cut short or damaged.
        OSError: it cannot be read.
    """
    found: dict[str, Value] = {}
    with path.open("rb") as file:
        try:
            if file.read(4) != b"GGUF":
                raise ValueError("not a GGUF file")
            _, _, pairs = struct.unpack("<IQQ", file.read(20))
            for _ in range(pairs):
                name = _text(file)
                value = _value(file, _number(file, "I"))
                if name in wanted and value is not None:
                    found[name] = value
                if len(found) == len(wanted):
                    break
        except (struct.error, UnicodeDecodeError, KeyError):
            raise ValueError("its header is damaged") from None
    return found


def _number(file: BinaryIO, kind: str) -> int:
    number: int
    (number,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))
    return number


def _text(file: BinaryIO) -> str:
    length = _number(file, "Q")
    if length > _LONGEST:
        raise ValueError("its header is damaged")
    data = file.read(length)
    if len(data) < length:
        raise ValueError("its header is damaged")
    return data.decode("utf-8")


def _value(file: BinaryIO, kind: int) -> Value | None:
    """A value; None of an array, which is skipped."""
    if kind == _TEXT:
        return _text(file)
    if kind != _ARRAY:
        return _number(file, _NUMBERS[kind])
    inner, count = _number(file, "I"), _number(file, "Q")
    if inner == _TEXT:
        for _ in range(count):
            _text(file)
    else:
        file.seek(count * struct.calcsize(_NUMBERS[inner]), 1)
    return None
