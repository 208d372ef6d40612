"""From a row of Self-Instruct's to the rows that it came from, back to the seed tasks."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from seedbed.core.records import Record
from seedbed.runs.errors import OriginMissing
from seedbed.runs.places import Place, row_at, rows_of
from seedbed.self_instruct.instructions import numbered
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    PREPARED,
    RAW_INSTANCES,
    REJECTED_INSTRUCTIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    FinetuningRow,
    GeneratedInstance,
    Instruction,
    MessagesRow,
    RawInstances,
    RejectedInstance,
    RejectedInstruction,
)
from seedbed.self_instruct.seeds import read_seed_tasks

ALPACA = PREPARED / "alpaca.jsonl"

# The files whose rows can be traced, and what their rows are.
ROWS_OF: dict[Path, type[Record]] = {
    INSTRUCTIONS: Instruction,
    REJECTED_INSTRUCTIONS: RejectedInstruction,
    CLASSIFIED: ClassifiedInstruction,
    RAW_INSTANCES: RawInstances,
    PREPARED / "finetuning.jsonl": FinetuningRow,
    PREPARED / "messages.jsonl": MessagesRow,
    ALPACA: GeneratedInstance,
    PREPARED / "all_generated_instances.jsonl": GeneratedInstance,
    PREPARED / "sampled_generated_instances.jsonl": GeneratedInstance,
    PREPARED / "rejected.jsonl": RejectedInstance,
}


def spelt_out(place: Place, row: Record) -> GeneratedInstance | RejectedInstance:
    """What a row of prepare's that has no key encodes.

    Raises:
        OriginMissing: alpaca.jsonl, which says what was encoded, is of another run.
    """
    if isinstance(row, GeneratedInstance | RejectedInstance):
        return row
    # What finetuning.jsonl and messages.jsonl encode is spelt out on this file's same line.
    found = row_at(Place(ALPACA, place.line), GeneratedInstance)
    if found.key is not None:
        raise OriginMissing(str(place), ALPACA, f"a null key on line {place.line}")
    return found


def seed_of(row: GeneratedInstance | RejectedInstance) -> tuple[Place, str] | None:
    """Where the seed task stands whose own instance this is, and its id.

    None if no seed task has this instance, or none any more.
    """
    for line, task in enumerate(read_seed_tasks(), 1):
        if task.instruction == row.instruction and any(
            (one.input, one.output) == (row.input, row.output) for one in task.instances
        ):
            return Place(SEED_TASKS, line), task.id
    return None


def as_shown(instruction: str) -> str:
    """An instruction as bootstrap's prompts show it."""
    return shown_in(numbered([instruction]))[0]


def shown_in(prompt: str) -> list[str]:
    """The instructions that a prompt of bootstrap's shows: what `numbered` made of them.

    >>> shown_in("1. of the heading\\n" + numbered(["Name a  river.", "Translate:"]))
    ['Name a river.', 'Translate']
    """
    found: list[str] = []
    for line in prompt.split("\n"):
        # A 1 begins the list anew: what came before belonged to the prompt file.
        for number in (len(found) + 1, 1):
            if line.startswith(f"{number}. "):
                found = [*found[: number - 1], line.removeprefix(f"{number}. ")]
                break
    return found


@dataclass(frozen=True)
class Shown:
    """An instruction that a prompt showed.

    depth: 0 in the prompt asked about, 1 in one that led to an instruction of that, and so on.
    number: its place in the prompt's list.
    seeds: the seed tasks that have it: where they stand, and their ids.
    machine: the row of INSTRUCTIONS that has it, and its round.
    told: where what its own prompt showed was told already: at the first row of that prompt.
    """

    depth: int
    number: int
    text: str
    seeds: list[tuple[Place, str]]
    machine: tuple[Place, int] | None
    told: Place | None


@dataclass(frozen=True)
class Machine:
    """An accepted instruction: its row of INSTRUCTIONS, and the prompt that it came from."""

    place: Place
    round: int
    prompt: str


class Pool:
    """The instructions that prompts showed, hand-written and machine-written."""

    def __init__(self) -> None:
        """Read both files. Raises NotHere, BadFile, BadRow."""
        self._seeds: dict[str, list[tuple[Place, str]]] = {}
        for line, task in enumerate(read_seed_tasks(), 1):
            seed = Place(SEED_TASKS, line), task.id
            self._seeds.setdefault(as_shown(task.instruction), []).append(seed)
        self._machine: dict[str, list[Machine]] = {}
        for line, row in enumerate(rows_of(INSTRUCTIONS, Instruction), 1):
            prompt = row.metadata.prompt or ""  # one that is not known shows nothing
            one = Machine(Place(INSTRUCTIONS, line), row.request_idx, prompt)
            self._machine.setdefault(as_shown(row.instruction), []).append(one)

    def known(self, text: str, before: int) -> tuple[list[tuple[Place, str]], "Machine | None"]:
        """The seed tasks that have an instruction that a prompt of round `before` showed.

        If there are none, the machine-written one: the first of an earlier round.
        """
        seeds = self._seeds.get(text, [])
        earlier = (one for one in self._machine.get(text, []) if one.round < before)
        return seeds, None if seeds else next(earlier, None)

    def ancestors(self, prompt: str, round_: int) -> Iterator[Shown]:
        """What the prompt of a round showed, and what each machine-written one was grown from.

        A prompt shows what there was before its round, so the way back has an end.
        """
        told: dict[tuple[str, int], Place] = {}
        todo = [(0, n, text, round_) for n, text in _backwards(shown_in(prompt))]
        while todo:
            depth, number, text, before = todo.pop()
            seeds, one = self.known(text, before)
            if one is None:
                yield Shown(depth, number, text, seeds, None, None)
                continue
            source = one.prompt, one.round
            yield Shown(depth, number, text, [], (one.place, one.round), told.get(source))
            if source not in told:
                told[source] = one.place
                own = _backwards(shown_in(one.prompt))
                todo += [(depth + 1, n, shown, one.round) for n, shown in own]


def _backwards(texts: list[str]) -> Iterator[tuple[int, str]]:
    return reversed(list(zip(count(1), texts, strict=False)))
