"""What may be wrong with Self-Instruct."""

from pathlib import Path

from seedbed.errors import SeedbedError


class TooFewSeedTasks(SeedbedError):
    """For the prompts of a stage. lower: its parameter that says how many they show."""

    def __init__(
        self,
        path: Path,
        count: int,
        needed: int,
        kind: str,
        lower: str = "bootstrap.num_prompt_instructions",
    ):
        super().__init__(
            f"{path}: {count} {kind} for prompts that show {needed} of them\n"
            f"  Add tasks to the file, or lower {lower}."
        )


class TooFewInstructions(SeedbedError):
    def __init__(self, wanted: int, count: int):
        super().__init__(
            f"prepare.num_instructions is {wanted}, but only {count} instructions have instances\n"
            "  Lower it, set it to null to take them all, or generate more instructions."
        )


class TooFewRows(SeedbedError):
    """more: so many instructions it would take besides, if they bring as many rows as so far.

    Which stage wrote them, bootstrap or alpaca, the one that counts rows does not know: both ways
    read the same parameter.
    """

    def __init__(self, wanted: int, rows: int, instructions: int, more: int, sampled: bool):
        enough = instructions + more
        if sampled:
            remedy = f"Set prepare.num_instructions to {enough}, or to null"
        else:
            change = f"bootstrap.num_instructions_to_generate={enough}"
            remedy = (
                f"Run `dvc exp run -S {change}` (with instances.num_instructions null), or, for "
                f"whole tasks, set alpaca.num_tasks_to_generate to {enough}"
            )
        super().__init__(
            f"prepare.num_rows is {wanted}, but there are {rows} rows: by what {instructions} "
            f"instructions brought, it takes {more} instructions more\n"
            f"  {remedy}; or lower prepare.num_rows."
        )


class RowsDoNotMatch(SeedbedError):
    def __init__(self, path: Path, line: int, instruction: str, other: Path):
        super().__init__(
            f"{path}:{line}: {instruction[:80]!r} is not among the instructions of {other}\n"
            "  The two must list the same instructions: run `dvc repro`."
        )


class NothingNew(SeedbedError):
    """A stage went `rounds` rounds without a new instruction."""

    def __init__(
        self,
        rounds: int,
        accepted: int,
        wanted: int,
        reasons: dict[str, int],
        stage: str = "bootstrap",
    ):
        fell = ", ".join(f"{n} {name}" for name, n in reasons.items() if n) or "no text at all"
        super().__init__(
            f"the last {rounds} rounds brought no new instruction: "
            f"{accepted} of {wanted} accepted; the others fell: {fell}\n"
            "  Every answer is kept in the response store. Raise bootstrap.rouge_threshold or "
            f"{stage}.sampling.temperature, ask for fewer instructions, or add seed tasks."
        )


class TokensUnknown(SeedbedError):
    """The store does not say what the answers of some stages took."""

    def __init__(self, stages: str, lacking: int, of: int, store: Path):
        super().__init__(
            f"response store {store}: of the {of} answers of {stages} it has {lacking} not at all, "
            "or without a number of tokens\n"
            "  Name the store that they were kept in (SEEDBED_STORE), or ask a server that counts."
        )
