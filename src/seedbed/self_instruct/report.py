"""The generated rows and the refused ones, each with its way back to the seed tasks.

The same way as `seedbed trace` goes for one row, for all of them at once: each file is read once.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from seedbed.runs.page import Kind, Part, Row
from seedbed.runs.places import rows_if_there
from seedbed.self_instruct.alpaca_rows import (
    PREPARED_TASKS,
    REJECTED_TASKS,
    TASKS,
    RejectedTask,
    Task,
)
from seedbed.self_instruct.answers import keys
from seedbed.self_instruct.origins import ALPACA
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    PREPARED,
    REJECTED_INSTRUCTIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    GeneratedInstance,
    Instruction,
    RejectedInstance,
    RejectedInstruction,
    is_yes,
)
from seedbed.self_instruct.seeds import read_seed_tasks
from seedbed.self_instruct.ways_section import ways
from seedbed.tasks.ratings import About, digest, everyone, in_letters, settled

REJECTED_INSTANCES = PREPARED / "rejected.jsonl"

# alpaca.jsonl has instruction, input and output apart, which finetuning.jsonl encodes on the same
# line: the page names the latter.
FINETUNING = PREPARED / "finetuning.jsonl"
FILE_OF_KIND = {
    "row": ALPACA,
    "instruction": INSTRUCTIONS,
    "refused instance": REJECTED_INSTANCES,
    "refused instruction": REJECTED_INSTRUCTIONS,
    # Of alpaca, which is no part of the first run.
    "row of a whole task": PREPARED_TASKS / "alpaca.jsonl",
    "whole task": TASKS,
    "refused instance of a whole task": PREPARED_TASKS / "rejected.jsonl",
    "refused whole task": REJECTED_TASKS,
}

# What the page calls one row of a kind, and many.
NAMES_OF_KIND = {
    "row": ("finetuning row", "finetuning rows"),
    "instruction": ("accepted instruction", "accepted instructions"),
    "refused instance": ("refused instance", "refused instances"),
    "refused instruction": ("refused instruction", "refused instructions"),
    "row of a whole task": ("row of a whole task", "rows of whole tasks"),
    "whole task": ("accepted whole task", "accepted whole tasks"),
    "refused instance of a whole task": (
        "refused instance of a whole task",
        "refused instances of whole tasks",
    ),
    "refused whole task": ("refused whole task", "refused whole tasks"),
}


# Where an instruction comes from: its number among the instructions; a seed task's, as -1 less
# its number, so that 0 is no exception; or, if it is of neither, its id.
Reference = int | str


@dataclass
class Rows:
    """All rows in the order of their files, and what they refer to, as lists, for small JSON.

    seeds: [id, instruction].
    prompts: what each prompt of bootstrap's showed.
    instructions: [text, round, prompt, whether classification (null: not asked)].
    rows: [kind (a place in FILE_OF_KIND), line, instruction, input, output, reason, prompt, round,
        key, rating]; a refused instruction, and whatever is of a whole task, is a text with its own
        prompt and round, for the others both are null; reason is null for what was kept; rating is
        as of the page's rows.
    without_origin: rows whose instruction is of another run.
    """

    seeds: list[list[str]] = field(default_factory=list)
    prompts: list[list[Reference]] = field(default_factory=list)
    instructions: list[list[Any]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    without_origin: int = 0

    def reasons(self) -> Counter[tuple[str, str]]:
        """How often each kind of row was refused for each reason."""
        kinds = list(FILE_OF_KIND)
        return Counter((kinds[row[0]], row[5]) for row in self.rows if row[5] is not None)

    def count(self, kind: str) -> int:
        """How many rows of a kind there are."""
        place = list(FILE_OF_KIND).index(kind)
        return sum(row[0] == place for row in self.rows)

    def of_kind(self, kind: str) -> list[Row]:
        """The rows of a kind as the page wants them."""
        wanted = list(FILE_OF_KIND).index(kind)
        return [
            Row(
                line,
                text,
                input_,
                output,
                reason,
                key,
                None if shown is None else (shown, round_),
                rating=rating,
            )
            for place, line, text, input_, output, reason, shown, round_, key, rating in self.rows
            if place == wanted
        ]


def part() -> Part:
    """What the report's page has of Self-Instruct.

    Its `origins` are the lists of `Rows`; seedFile and instructionFile are where they are from.

    Raises:
        As `collect`.
    """
    rows = collect()
    refused = rows.count("refused instance") + rows.count("refused instruction")
    notices = []
    if rows.without_origin:
        notices.append(
            f"{rows.without_origin:,} rows have an origin that is not known: they are of "
            "another run, or of another program. Run `dvc repro`."
        )
    made_of = [INSTRUCTIONS, REJECTED_INSTRUCTIONS, ALPACA, REJECTED_INSTANCES]
    counts = [
        (len(rows.seeds), "seed tasks"),
        (len(rows.instructions), "new instructions"),
        (rows.count("row"), "finetuning rows"),
        (refused, "pieces refused"),
    ]
    of_tasks = [path for kind, path in FILE_OF_KIND.items() if kind.endswith("whole task")]
    shown = [(kind, path) for kind, path in FILE_OF_KIND.items() if path not in of_tasks]
    if TASKS.exists():
        made_of += of_tasks
        counts.append((rows.count("row of a whole task"), "rows of whole tasks"))
        shown = list(FILE_OF_KIND.items())
    return Part(
        made_of=made_of,
        counts=counts,
        notices=notices,
        kinds=[
            Kind(*NAMES_OF_KIND[kind], FINETUNING if kind == "row" else path, rows.of_kind(kind))
            for kind, path in shown
        ],
        sections=ways(),
        keys=keys(),
        origins={
            "seedFile": SEED_TASKS.as_posix(),
            "instructionFile": INSTRUCTIONS.as_posix(),
            "seeds": rows.seeds,
            "prompts": rows.prompts,
            "instructions": rows.instructions,
        },
    )


def collect() -> Rows:
    """All rows that are there.

    Raises:
        BadFile, BadRow: a file is broken.
    """
    return _Collector().rows


class _Collector:
    def __init__(self) -> None:
        self.rows = Rows()
        seeds = read_seed_tasks(SEED_TASKS) if SEED_TASKS.exists() else []
        self.rows.seeds = [[task.id, task.instruction] for task in seeds]
        # What each id refers to.
        self._by_id: dict[str, Reference] = {
            task.id: -1 - number for number, task in enumerate(seeds)
        }
        self._prompts: dict[tuple[int, tuple[str, ...]], int] = {}
        self._people = everyone()
        self._add_instructions()
        for line, kept in enumerate(rows_if_there(FILE_OF_KIND["row"], GeneratedInstance), 1):
            self._add_instance("row", line, kept)
        rejected = rows_if_there(FILE_OF_KIND["refused instance"], RejectedInstance)
        for line, refused in enumerate(rejected, 1):
            self._add_instance("refused instance", line, refused)
        self._add_refused_instructions()
        self._add_tasks()
        # In the order in which the page names them; within a file, as they stand there.
        self.rows.rows.sort(key=lambda row: row[0])

    def _add_instructions(self) -> None:
        classified = {
            row.instruction_id: is_yes(row.is_classification)
            for row in rows_if_there(CLASSIFIED, ClassifiedInstruction)
        }
        rows = list(rows_if_there(INSTRUCTIONS, Instruction))
        # First: one prompt shows what another led to.
        self._by_id |= {row.id: number for number, row in enumerate(rows)}
        for number, row in enumerate(rows):
            key = row.metadata.key
            prompt = self._prompt(row)
            known = classified.get(row.id)
            self.rows.instructions.append([row.instruction, row.request_idx, prompt, known])
            self._add("instruction", number + 1, number, key=key)

    def _add_instance(
        self, kind: str, line: int, row: GeneratedInstance | RejectedInstance
    ) -> None:
        origin = self._by_id.get(row.instruction_id, row.instruction)
        self.rows.without_origin += isinstance(origin, str)
        self._add_said(kind, line, origin, row)

    def _add_said(
        self,
        kind: str,
        line: int,
        of: Reference,
        row: GeneratedInstance | RejectedInstance,
        prompt: int | None = None,
        round_: int | None = None,
    ) -> None:
        """Add a row, with what people say of it."""
        reason = row.reason if isinstance(row, RejectedInstance) else None
        text = digest(row.instruction, row.input, row.output)
        about = About(FILE_OF_KIND[kind].as_posix(), row.id, None, text)
        said = in_letters(settled(self._people, about))
        self._add(kind, line, of, row.input, row.output, reason, prompt, round_, row.key, said)

    def _add_refused_instructions(self) -> None:
        for line, row in enumerate(rows_if_there(REJECTED_INSTRUCTIONS, RejectedInstruction), 1):
            self.rows.without_origin += row.shown is None
            self._add(
                "refused instruction",
                line,
                row.instruction,
                reason=row.reason,
                prompt=self._prompt(row),
                round_=row.request_idx,
                key=row.key,
            )

    def _add_tasks(self) -> None:
        made: dict[str, tuple[int | None, int | None]] = {}
        for line, task in enumerate(rows_if_there(TASKS, Task), 1):
            prompt, round_ = made[task.instruction_id] = self._prompt(task), task.request_idx
            key = task.instance_metadata.key
            self._add("whole task", line, task.instruction, prompt=prompt, round_=round_, key=key)
        kinds: tuple[tuple[str, type[GeneratedInstance] | type[RejectedInstance]], ...] = (
            ("row of a whole task", GeneratedInstance),
            ("refused instance of a whole task", RejectedInstance),
        )
        for kind, record in kinds:
            for line, row in enumerate(rows_if_there(FILE_OF_KIND[kind], record), 1):
                of = self._by_id.get(row.instruction_id, row.instruction)
                # A seed task's own instance has no prompt.
                origin = made.get(row.instruction_id, (None, None))
                self._add_said(kind, line, of, row, *origin)
        for line, refused in enumerate(rows_if_there(REJECTED_TASKS, RejectedTask), 1):
            self._add(
                "refused whole task",
                line,
                refused.instruction,
                output=refused.raw_instances,
                reason=refused.reason,
                prompt=self._prompt(refused),
                round_=refused.request_idx,
                key=refused.key,
            )

    def _add(
        self,
        kind: str,
        line: int,
        instruction: Reference,
        input_: str = "",
        output: str = "",
        reason: str | None = None,
        prompt: int | None = None,
        round_: int | None = None,
        key: str | None = None,
        rating: str | None = None,
    ) -> None:
        place = list(FILE_OF_KIND).index(kind)
        self.rows.rows.append(
            [place, line, instruction, input_, output, reason, prompt, round_, key, rating]
        )

    def _prompt(self, row: Instruction | Task | RejectedInstruction) -> int | None:
        """The number of what a prompt showed, if known; the same list stands there once a round."""
        if row.shown is None:
            return None
        shown = tuple(row.shown)
        number = self._prompts.setdefault((row.request_idx, shown), len(self._prompts))
        if number == len(self.rows.prompts):
            self.rows.prompts.append([self._by_id.get(id_, id_) for id_ in shown])
        return number
