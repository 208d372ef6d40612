"""What may be wrong with training."""

import difflib
from pathlib import Path

from seedbed.errors import SeedbedError, shown


class NoSuchHeldOut(SeedbedError):
    def __init__(self, path: Path, name: str, known: list[str]):
        close = difflib.get_close_matches(name, known, n=1)
        remedy = f"Did you mean {close[0]}?" if close else "Change it in params.yaml."
        super().__init__(f"evaluate.tasks: there is no task {shown(name)} in {path}\n  {remedy}")


class TaskAmongTrained(SeedbedError):
    """A model is asked what it was trained on."""

    def __init__(self, path: Path, line: int, model: str, task: str, more: int):
        others = f" (and {more} more tasks)" if more else ""
        super().__init__(
            f"{path}:{line}: it has the instruction of the task {task}, on which {model} is to be "
            f"evaluated, and {model} was trained on this file{others}\n"
            "  Name other tasks in evaluate.tasks, train on other rows, or have "
            "evaluate.leave_out_overlaps leave them out."
        )


class NothingLeftToAsk(SeedbedError):
    def __init__(self, examples: int, size: int):
        super().__init__(
            f"evaluate.leave_out_overlaps: each of the {examples} examples has {size} words in a "
            "row, or its task, in common with what a model was trained on\n"
            "  Hold out other tasks, or set it to null to have the overlaps counted."
        )
