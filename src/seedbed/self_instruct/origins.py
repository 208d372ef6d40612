"""The way back from a row of Self-Instruct's to the rows that it came from, to the seed tasks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seedbed.core.records import Record
from seedbed.runs.places import Place, rows_of
from seedbed.self_instruct.alpaca_rows import (
    PREPARED_TASKS,
    REJECTED_TASKS,
    TASKS,
    RejectedTask,
    Task,
)
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    PREPARED,
    REJECTED_INSTRUCTIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    Completion,
    FinetuningRow,
    GeneratedInstance,
    Instruction,
    MessagesRow,
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
    COMPLETIONS: Completion,
    TASKS: Task,
    REJECTED_TASKS: RejectedTask,
}
for _folder in (PREPARED, PREPARED_TASKS):
    ROWS_OF |= {
        _folder / "finetuning.jsonl": FinetuningRow,
        _folder / "messages.jsonl": MessagesRow,
        _folder / "alpaca.jsonl": GeneratedInstance,
        _folder / "all_generated_instances.jsonl": GeneratedInstance,
        _folder / "sampled_generated_instances.jsonl": GeneratedInstance,
        _folder / "rejected.jsonl": RejectedInstance,
    }


@dataclass(frozen=True)
class Located:
    """An instruction that prompts can show, and where it stands.

    round, shown: of a machine-written one; a seed task's has no round, and its prompt none.
    """

    place: Place
    text: str
    round: int | None = None
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ancestor:
    """An instruction that a prompt showed.

    depth: 0 in the prompt asked about, 1 in one that led to an instruction of that, and so on.
    number: its place in the prompt's list.
    known: None if neither file has the id.
    told_at: the first row of its own prompt, where what that prompt showed is told already; None
        where it is told here.
    """

    depth: int
    number: int
    id: str
    known: Located | None
    told_at: Place | None = None


class Pool:
    """The instructions that prompts showed, hand-written and machine-written, by their ids."""

    def __init__(self) -> None:
        """Read both files. Raises NotHere, BadFile, BadRow."""
        self.known: dict[str, Located] = {}
        for line, row in enumerate(rows_of(INSTRUCTIONS, Instruction), 1):
            place = Place(INSTRUCTIONS, line)
            shown = tuple(row.shown or ())
            self.known[row.id] = Located(place, row.instruction, row.request_idx, shown)
        for line, task in enumerate(read_seed_tasks(SEED_TASKS), 1):
            self.known[task.id] = Located(Place(SEED_TASKS, line), task.instruction)

    def ancestors(self, shown: Sequence[str]) -> Iterator[Ancestor]:
        """Yield the instructions that a prompt showed, and those that each of them was grown from.

        Each prompt's list is followed once, so the way back has an end.
        """
        first_row: dict[tuple[int, tuple[str, ...]], Place] = {}
        todo = [(0, number, id_) for number, id_ in _backwards(shown)]
        while todo:
            depth, number, id_ = todo.pop()
            known = self.known.get(id_)
            if known is None or known.round is None:
                yield Ancestor(depth, number, id_, known)
                continue
            prompt = known.round, known.shown
            yield Ancestor(depth, number, id_, known, first_row.get(prompt))
            if prompt not in first_row:
                first_row[prompt] = known.place
                todo += [(depth + 1, above, other) for above, other in _backwards(known.shown)]


def _backwards(ids: Sequence[str]) -> Iterator[tuple[int, str]]:
    return reversed(list(enumerate(ids, 1)))
