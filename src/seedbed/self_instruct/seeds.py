"""The hand-written tasks that everything grows from."""

from pathlib import Path

from seedbed.core.files import read_rows
from seedbed.errors import BadRow
from seedbed.self_instruct.rows import SEED_TASKS, SeedTask


def read_seed_tasks(path: Path = SEED_TASKS) -> list[SeedTask]:
    """All seed tasks, in order.

    Raises:
        BadFile, BadRow: as `read_rows`; also a second task with the same id.
    """
    tasks: list[SeedTask] = []
    line_of: dict[str, int] = {}
    for line, task in enumerate(read_rows(path, SeedTask), 1):
        first = line_of.setdefault(task.id, line)
        if first != line:
            raise BadRow(
                path, line, f"id {task.id!r} is already that of line {first}", "Give it its own."
            )
        tasks.append(task)
    return tasks
