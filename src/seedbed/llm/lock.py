"""A lock between processes."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from seedbed.errors import WriteFailed

# Seconds between two tries.
TRY_EVERY = 0.2


@asynccontextmanager
async def alone(path: Path, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the lock that the file `path` stands for.

    The system takes it from a process that dies, however it dies: it is never left behind.

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
