"""What may be wrong with training."""

import difflib
from pathlib import Path

from seedbed.errors import SeedbedError, cut, shown


class NoSuchHeldOut(SeedbedError):
    """task: the one that is not there."""

    def __init__(self, path: Path, name: str, known: list[str]):
        self.task = name
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


class SameModel(SeedbedError):
    """Two evaluations whose models cannot be told apart."""

    def __init__(self, path: Path, model: str, first: Path):
        super().__init__(
            f"{path}: there is a model {model} in {first} too\n"
            "  Give each a name of its own in evaluate.models; or remove what an evaluation that "
            "is gone has left there."
        )


class NothingLeftToAsk(SeedbedError):
    def __init__(self, examples: int, size: int):
        super().__init__(
            f"evaluate.leave_out_overlaps: each of the {examples} examples has {size} words in a "
            "row, or its task, in common with what a model was trained on\n"
            "  Hold out other tasks, or set it to null to have the overlaps counted."
        )


class NoTorch(SeedbedError):
    def __init__(self, package: str | None):
        super().__init__(
            f"training needs the package {package}, which is not installed\n"
            "  `make train` installs all that it needs, some 1.2 GB, and then trains."
        )


class BadBase(SeedbedError):
    def __init__(self, base: str, problem: str, remedy: str):
        super().__init__(f"finetune.base: {base}: {problem}\n  {remedy}")


class OtherArchitecture(BadBase):
    def __init__(self, base: str, architecture: str, tested: str):
        super().__init__(
            base,
            f"a model of architecture {cut(architecture)!r}, but an adapter for llama.cpp was "
            f"tested with {tested} only",
            "Take a Gemma 3 that reads text only, or train with another program: docs/training.md.",
        )


class NotDeclared(SeedbedError):
    """A file that is trained on, and that DVC does not know of."""

    def __init__(self, file: str, stage: str):
        super().__init__(
            f"finetune.sources: {file} is not among the deps of {stage}\n"
            "  Add it there: else DVC would not notice when it changes."
        )


class TooFewRows(SeedbedError):
    def __init__(self, source: str, wanted: int, there: int, left_out: int):
        lacks = f"; {left_out} more were left out: too long, empty, or there twice"
        super().__init__(
            f"{source}: {wanted} rows of it are to be trained on, and it has {there}"
            f"{lacks if left_out else ''}\n"
            "  Lower finetune.rows or its share, raise finetune.max_tokens, or make more rows."
        )


class LossNotFinite(SeedbedError):
    def __init__(self, step: int, loss: float):
        super().__init__(
            f"finetune: the loss of step {step} is {loss}: the training has diverged\n"
            "  Lower finetune.learning_rate, or look for odd rows. Nothing was written."
        )


class NotEnoughMemory(SeedbedError):
    def __init__(self, needed: float, available: float):
        super().__init__(
            f"finetune needs about {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB "
            "are free\n  Lower finetune.batch or finetune.max_tokens, or end other programs."
        )


class NotEnoughRoom(SeedbedError):
    def __init__(self, folder: Path, needed: float, free: float):
        super().__init__(
            f"{folder}: finetune needs about {needed / 1e9:.2f} GB there, and {free / 1e9:.2f} GB "
            "are free\n  Make room; nothing was begun."
        )
