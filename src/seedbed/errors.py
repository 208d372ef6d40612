"""One class a failure, each with the message built inside it.

A message says where (file, line, parameter or address), what was found, what was expected, and
what to do. What only the way to a model raises is in `seedbed.llm.errors`.
"""

import errno
import os
from pathlib import Path
from typing import Any


def cut(text: str, most: int = 100) -> str:
    """A text of any length as a message can show it."""
    return text if len(text) <= most else text[:most] + "…"


def shown(value: Any) -> str:
    """A value of any size as a message can show it."""
    try:
        return cut(repr(value))
    except ValueError:  # Python writes out no more than 4,300 digits
        return "a number of thousands of digits"


class SeedbedError(Exception):
    """A failure that the user can do something about: shown as one message, without a traceback."""


class BadRow(SeedbedError):
    def __init__(self, path: Path, line: int, problem: str, remedy: str):
        super().__init__(f"{path}:{line}: {problem}\n  {remedy}")


class BadFile(SeedbedError):
    def __init__(self, path: Path, problem: str, remedy: str):
        super().__init__(f"{path}: {problem}\n  {remedy}")


class BadParam(SeedbedError):
    def __init__(self, path: Path, line: int, name: str, problem: str, remedy: str):
        super().__init__(f"{path}:{line}: {name}: {problem}\n  {remedy}")


class WriteFailed(SeedbedError):
    def __init__(self, path: Path, error: OSError):
        why = error.strerror or str(error) or os.strerror(errno.EIO)
        remedy = "make room"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "make the file and its folder writable"
        elif error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            remedy = "see to it that the path leads through folders to a file"
        super().__init__(
            f"{path}: cannot be written: {why}\n  Nothing was left half-written; {remedy} and "
            "run the same command again."
        )


class NoRepository(SeedbedError):
    def __init__(self, start: Path):
        super().__init__(
            f"{start} is not in a DVC repository\n  Run Seedbed from a clone of the project."
        )


class BadShards(SeedbedError):
    def __init__(self, name: str, value: str, expected: str):
        super().__init__(f"environment variable {name}={shown(value)}: expected {expected}")


class ShardLost(SeedbedError):
    def __init__(self, which: int, of: int, how: str, remedy: str):
        super().__init__(
            f"worker {which + 1} of {of} is gone: {how}\n  Nothing was left half-written; {remedy} "
            "and run the same command again."
        )
