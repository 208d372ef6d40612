"""The hand-written tasks that everything grows from."""

from pathlib import Path

from seedbed.core.files import read_named
from seedbed.self_instruct.rows import SEED_TASKS, SeedTask


def read_seed_tasks(path: Path = SEED_TASKS) -> list[SeedTask]:
    """All seed tasks, in order.

    Raises:
        BadFile, BadRow: as `read_named`.
    """
    return list(read_named(path, SeedTask, "id"))
