"""One class a failure, each with the message built inside it.

A message says where (file, line, parameter or address), what was found, what was expected, and
what to do. What only the way to a model raises is in `seedbed.llm.errors`.
"""

import difflib
import errno
import itertools
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


class TooFewSeedTasks(SeedbedError):
    def __init__(self, path: Path, found: int, needed: int, kind: str):
        super().__init__(
            f"{path}: {found} {kind} for prompts that show {needed} of them\n"
            "  Add tasks to the file, or lower bootstrap.num_prompt_instructions."
        )


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


class TooFewInstructions(SeedbedError):
    def __init__(self, wanted: int, found: int):
        super().__init__(
            f"prepare.num_instructions is {wanted}, but only {found} instructions have instances\n"
            "  Lower it, set it to null to take them all, or generate more instructions."
        )


class TooFewToDrawFrom(SeedbedError):
    def __init__(self, task: str, wanted: int, found: int, of: str):
        super().__init__(
            f"label.sample_instructions is {wanted}, but {task} has only {found} {of}\n"
            "  Lower it, or set it to null to take them all."
        )


class TooFewCandidates(SeedbedError):
    def __init__(self, path: Path, found: int, wanted: int):
        super().__init__(
            f"{path}:2: task {path.stem} has {found} candidates, "
            f"but relabel_and_pick.sample_instructions is {wanted}\n"
            "  Lower it in params.yaml, or make more candidates."
        )


class OtherCandidates(SeedbedError):
    """Labels belong to candidates by number: with other ones they would be another's labels."""

    def __init__(self, labels: Path, given: Path, labelled: list[str], now: list[str]):
        pairs = enumerate(itertools.zip_longest(labelled, now))
        place = next(i for i, (one, other) in pairs if one != other)
        super().__init__(
            f"{labels}:2: field instructions: {len(labelled)} of them, but {given} has {len(now)}; "
            f"number {place} is the first that is another\n"
            "  The labels were made with other candidates: run `dvc repro label`."
        )


class UnknownTask(SeedbedError):
    def __init__(self, param: str, name: str, known: list[str]):
        listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
        super().__init__(
            f"{param}: there is no task {name!r}\n  There are: {listed}. Change it in params.yaml."
        )


class NothingToTrainOn(SeedbedError):
    """relabel-and-pick would write an empty training file."""

    def __init__(self, examples: int, reasons: dict[str, int]):
        fell = ", ".join(f"{n} {name}" for name, n in reasons.items() if n)
        super().__init__(
            f"none of the {examples} labelled examples is left to train on"
            f"{': ' if fell else ''}{fell}\n"
            "  Lower relabel_and_pick.min_qualify_range or min_best_norm_score, raise "
            "max_instruction_tokens, hold out fewer tasks, or label more examples."
        )


class RowsDoNotMatch(SeedbedError):
    def __init__(self, path: Path, line: int, instruction: str, other: Path):
        super().__init__(
            f"{path}:{line}: {instruction[:80]!r} is not what {other} has on that line\n"
            "  The two must list the same instructions in the same order: run `dvc repro`."
        )


class NothingNew(SeedbedError):
    """Bootstrap went `rounds` rounds without a new instruction."""

    def __init__(self, rounds: int, accepted: int, wanted: int, reasons: dict[str, int]):
        fell = ", ".join(f"{n} {name}" for name, n in reasons.items() if n) or "no text at all"
        super().__init__(
            f"the last {rounds} rounds brought no new instruction: "
            f"{accepted} of {wanted} accepted; the others fell: {fell}\n"
            "  Every answer is kept in the response store. Raise bootstrap.rouge_threshold or "
            "bootstrap.sampling.temperature, ask for fewer instructions, or add seed tasks."
        )


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


class FolderTaken(SeedbedError):
    def __init__(self, folder: Path, why: str):
        super().__init__(f"{folder}: {why}\n  Name a folder that is new, or empty.")


class NothingToExport(SeedbedError):
    def __init__(self, lock: Path, stages: list[str]):
        super().__init__(
            f"{lock}: has no record of {' or '.join(stages)}, so there is no data set yet\n"
            "  `dvc repro` makes one; in a clone of somebody's, `dvc pull` fetches it."
        )


class NotOneRun(SeedbedError):
    """dvc.lock is of several runs: the parameters it has are not those that the data came of."""

    def __init__(self, stage: str, path: Path, writer: str):
        super().__init__(
            f"dvc.lock: {stage} ran on another {path} than {writer} wrote last\n"
            f"  Run `dvc repro {stage}`."
        )


class NoRepository(SeedbedError):
    def __init__(self, start: Path):
        super().__init__(
            f"{start} is not in a DVC repository\n  Run Seedbed from a clone of the project."
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


class NothingToReport(SeedbedError):
    def __init__(self) -> None:
        super().__init__(
            "there is nothing to report: no stage has written anything here yet\n"
            "  `dvc repro` runs the stages; if somebody else did, `dvc pull` fetches what they "
            "made."
        )
