"""What may be wrong with Auto-Instruct."""

import itertools
from pathlib import Path

from seedbed.errors import SeedbedError


class TooFewToDrawFrom(SeedbedError):
    def __init__(self, task: str, wanted: int, count: int, of: str):
        super().__init__(
            f"label.sample_instructions is {wanted}, but {task} has only {count} {of}\n"
            "  Lower it, or set it to null to take them all."
        )


class TooFewCandidates(SeedbedError):
    def __init__(self, path: Path, count: int, wanted: int):
        super().__init__(
            f"{path}:2: task {path.stem} has {count} candidates, "
            f"but relabel_and_pick.sample_instructions is {wanted}\n"
            "  Lower it in params.yaml, or make more candidates."
        )


class OtherCandidates(SeedbedError):
    """Labels belong to candidates by number: with other ones they would be another's labels."""

    def __init__(self, labels: Path, given: Path, labelled: list[str], now: list[str]):
        pairs = enumerate(itertools.zip_longest(labelled, now))
        place = next(i for i, (before, after) in pairs if before != after)
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
