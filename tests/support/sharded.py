"""What workers are asked in tests: a process finds it by the name of this module."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from seedbed.core.shards import Place
from seedbed.core.workers import Here
from seedbed.errors import NoRepository


def squared(number: int) -> int:
    return number * number


def process_of(_: int) -> int:
    return os.getpid()


def much(number: int) -> bytes:
    """More than a pipe takes."""
    return bytes([number]) * 1_000_000


def size_of(text: bytes) -> bytes:
    """As much back."""
    return text + b"."


def slow(number: int) -> int:
    time.sleep(0.05)
    return number


def kills_itself(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuses(number: int) -> int:
    if number == 5:
        from pathlib import Path

        raise NoRepository(Path("five"))
    return number


def broken(number: int) -> float:
    return 1 / (5 - number)


class Counter:
    """A state: what was added to it so far."""

    def __init__(self, begin: int):
        if begin < 0:
            from pathlib import Path

            raise NoRepository(Path("below nothing"))
        self._sum = begin

    def add(self, number: int) -> int:
        self._sum += number
        return self._sum

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def several_here() -> Iterator[None]:
    """Workers of this process where there would be processes: any number, without a start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seedbed.core.shards.Process", Here)
        yield


TWO = Place(2)
