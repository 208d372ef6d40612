"""What may be wrong with Self-Instruct."""

from pathlib import Path

from seedbed.errors import SeedbedError


class TooFewSeedTasks(SeedbedError):
    def __init__(self, path: Path, count: int, needed: int, kind: str):
        super().__init__(
            f"{path}: {count} {kind} for prompts that show {needed} of them\n"
            "  Add tasks to the file, or lower bootstrap.num_prompt_instructions."
        )


class TooFewInstructions(SeedbedError):
    def __init__(self, wanted: int, count: int):
        super().__init__(
            f"prepare.num_instructions is {wanted}, but only {count} instructions have instances\n"
            "  Lower it, set it to null to take them all, or generate more instructions."
        )


class RowsDoNotMatch(SeedbedError):
    def __init__(self, path: Path, line: int, instruction: str, other: Path):
        super().__init__(
            f"{path}:{line}: {instruction[:80]!r} is not among the instructions of {other}\n"
            "  The two must list the same instructions: run `dvc repro`."
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
