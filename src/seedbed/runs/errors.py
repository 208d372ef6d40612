"""What may be wrong with a run that is looked at."""

from pathlib import Path

from seedbed.errors import SeedbedError, cut


class NotOneRun(SeedbedError):
    """dvc.lock is of several runs: the parameters it has are not those that the data came of."""

    def __init__(self, stage: str, path: Path, writer: str):
        super().__init__(
            f"dvc.lock: {stage} ran on another {path} than {writer} wrote last\n"
            f"  Run `dvc repro {stage}`."
        )


class NoSuchInput(SeedbedError):
    def __init__(self, text: str, known: list[str]):
        there = ", ".join(known) if known else "none"
        super().__init__(
            f"--input {text!r} is no input of this stage\n  Say NAME=PATH; its inputs are: {there}."
        )


class BadChange(SeedbedError):
    def __init__(self, text: str, problem: str):
        super().__init__(
            f"--set {cut(text)!r}: {problem}\n"
            "  Say NAME=VALUE, such as finetune.seed=2: a name of params.yaml, in a section that "
            "dvc.yaml declares for the stage, and the value as it would stand there."
        )


class NotARound(SeedbedError):
    def __init__(self, text: str):
        super().__init__(
            f"--round {text!r} cannot be the name of a folder\n"
            "  Take letters, digits, - and _, such as r1, or models/r1 for a folder in a folder."
        )


class NotAPlace(SeedbedError):
    def __init__(self, text: str):
        super().__init__(
            f"{text!r} is not FILE:LINE\n"
            "  Name a row, such as data/prepare/finetuning.jsonl:3; lines count from 1."
        )


class NoSuchLine(SeedbedError):
    def __init__(self, path: Path, line: int, lines: int):
        super().__init__(f"{path}:{line}: no such line\n  The file has {lines} lines: name one.")


class NotAnOutput(SeedbedError):
    def __init__(self, path: Path, outputs: list[Path]):
        listed = "".join(f"\n    {output}" for output in outputs)
        super().__init__(
            f"{path}: no stage of dvc.yaml writes rows there\n  Name a row of one of{listed}"
        )


class NotHere(SeedbedError):
    """A file of the experiment that a trace leads through has not been made, or not fetched."""

    def __init__(self, path: Path):
        super().__init__(
            f"{path}: no such file, and the trace leads through it\n"
            "  `dvc repro` makes it; if somebody else did, `dvc pull` fetches it."
        )


class OriginMissing(SeedbedError):
    def __init__(self, row: str, upstream: Path, what: str):
        super().__init__(
            f"{row}: {upstream} has no row with {what}\n"
            "  The two files are not of the same run: run `dvc repro`."
        )


class NoSuchStage(SeedbedError):
    def __init__(self, name: str, known: list[str]):
        super().__init__(f"there is no stage {cut(name)!r}\n  Name one of: {', '.join(known)}.")


class AsksNothing(SeedbedError):
    def __init__(self, name: str, known: list[str]):
        super().__init__(
            f"{name} asks no model, so there is nothing to preview\n"
            f"  Those that ask one: {', '.join(known)}."
        )


class NotMadeYet(SeedbedError):
    """A stage cannot be looked at before another has run."""

    def __init__(self, stage: str, path: Path, writer: str):
        super().__init__(
            f"{path}: not there yet, and {stage} reads it\n"
            f"  {writer} makes it: run `dvc repro {writer}` first, or `dvc pull`."
        )
