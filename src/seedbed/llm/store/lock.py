"""Locks between processes. The system takes them from one that dies, however it dies."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from seedbed.errors import WriteFailed

# Seconds between two tries.
TRY_EVERY = 0.2


@asynccontextmanager
async def alone(path: Path, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the lock that the file `path` stands for.

    waiting: called if another process holds it.

    Raises:
        WriteFailed: no such folder, no permission, or a file system without locks.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WriteFailed(path, error) from None
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                await asyncio.sleep(TRY_EVERY)
            except OSError as error:
                raise WriteFailed(path, error) from None
        yield
    finally:
        os.close(file)


def hold(path: Path) -> int:
    """Make a file and hold the lock that it stands for, until the descriptor is closed.

    Raises:
        WriteFailed: no room, or no permission.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise WriteFailed(path, error) from None
    with suppress(OSError):  # a file system without locks: then nobody finds it free
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock that `hold` took; False if there is no telling."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
