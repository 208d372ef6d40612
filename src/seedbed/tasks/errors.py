"""What may be wrong with where tasks are kept."""

import difflib
from pathlib import Path

from seedbed.errors import SeedbedError


class BadTaskName(SeedbedError):
    def __init__(self, path: Path, why: str):
        super().__init__(f"{path}: {why}\n  Rename it, there and in niv2.tasks.")


class SameTaskName(SeedbedError):
    def __init__(self, path: Path, other: Path):
        super().__init__(
            f"{path}: {other} has the same task name\n  Rename or remove one of the two."
        )


class NoSuchTask(SeedbedError):
    def __init__(self, folder: Path, name: str, known: list[str]):
        close = difflib.get_close_matches(name, known, n=1)
        remedy = f"Did you mean {close[0]}?" if close else f"`seedbed tasks {folder}` lists them."
        super().__init__(
            f"niv2.tasks: there is no task {name} in {folder}\n"
            f"  {remedy} If it is imported, `dvc pull` fetches it; a queued experiment has only "
            "files that git knows: `git add` it."
        )
