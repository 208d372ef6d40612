"""The generated rows and the refused ones, each with its way back to the seed tasks.

The same way as `seedbed trace` goes for one row, for all of them at once: each file is read once.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.llm.store.place import default_path
from seedbed.llm.store.reading import requests_of
from seedbed.runs.page import Kind, Part
from seedbed.runs.page import Row as PageRow
from seedbed.self_instruct.answers import keys
from seedbed.self_instruct.origins import ALPACA, Pool, shown_in
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    PREPARED,
    RAW_INSTANCES,
    REJECTED_INSTRUCTIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    GeneratedInstance,
    Instruction,
    RejectedInstance,
    RejectedInstruction,
    SeedTask,
    is_yes,
)
from seedbed.self_instruct.seeds import read_seed_tasks

REJECTED_INSTANCES = PREPARED / "rejected.jsonl"

# alpaca.jsonl has instruction, input and output apart, which finetuning.jsonl encodes on the same
# line: it is the one that is named.
FINETUNING = PREPARED / "finetuning.jsonl"
FILES = {
    "row": ALPACA,
    "instruction": INSTRUCTIONS,
    "refused instance": REJECTED_INSTANCES,
    "refused instruction": REJECTED_INSTRUCTIONS,
}

# What the page calls a row of each, and many.
NAMES = {
    "row": ("finetuning row", "finetuning rows"),
    "instruction": ("accepted instruction", "accepted instructions"),
    "refused instance": ("refused instance", "refused instances"),
    "refused instruction": ("refused instruction", "refused instructions"),
}

Row = TypeVar("Row", bound=Record)


class _Keyed(Record):
    key: str | None = None


class _RawInstances(Record):
    """What is wanted of a RawInstances row: the prompts in it are most of the file."""

    instruction: str
    instance_metadata: _Keyed
    instruction_metadata: _Keyed


# Where an instruction comes from: its number among the instructions; a seed task's, as -1 less
# its number, so that 0 is no exception; or, if it is of neither, its text.
Reference = int | str
# One that a prompt showed may be that of several seed tasks.
Shown = Reference | list[int]


@dataclass
class Rows:
    """All rows in the order of their files, and what they refer to, as lists: JSON is then small.

    seeds: [id, instruction].
    prompts: what each prompt of bootstrap's showed.
    instructions: [text, round, prompt, key, whether classification (null: not asked)].
    rows: [kind (a place in FILES), line, instruction, input, output, reason, prompt, round, key];
        a refused instruction is a text with its own prompt and round, for the others both are
        null; reason is null for what was kept.
    without_origin: rows whose instruction is of another run.
    """

    seeds: list[list[str]] = field(default_factory=list)
    prompts: list[list[Shown]] = field(default_factory=list)
    instructions: list[list[Any]] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    without_origin: int = 0

    def reasons(self) -> Counter[tuple[str, str]]:
        """How often each kind of row was refused for each reason."""
        kinds = list(FILES)
        return Counter((kinds[row[0]], row[5]) for row in self.rows if row[5] is not None)

    def count(self, kind: str) -> int:
        place = list(FILES).index(kind)
        return sum(row[0] == place for row in self.rows)

    def of_kind(self, kind: str) -> list[PageRow]:
        """The rows of a kind as the page wants them."""
        place = list(FILES).index(kind)
        return [
            PageRow(
                line, text, input_, output, reason, key, None if shown is None else (shown, round_)
            )
            for own, line, text, input_, output, reason, shown, round_, key in self.rows
            if own == place
        ]


def part() -> Part:
    """What the report's page has of Self-Instruct.

    Its `origins` are the lists of `Rows`; seedFile and instructionFile are where they are from.

    Raises:
        As `collect`.
    """
    found = collect()
    refused = found.count("refused instance") + found.count("refused instruction")
    notices = []
    if found.without_origin:
        notices.append(
            f"{found.without_origin:,} rows have an origin that is not known: files of another "
            "run, or an answer that the response store lacks. Run `dvc repro`."
        )
    return Part(
        made_of=[INSTRUCTIONS, REJECTED_INSTRUCTIONS, ALPACA, REJECTED_INSTANCES],
        counts=[
            (len(found.seeds), "seed tasks"),
            (len(found.instructions), "new instructions"),
            (found.count("row"), "finetuning rows"),
            (refused, "pieces refused"),
        ],
        notices=notices,
        kinds=[
            Kind(*NAMES[kind], FINETUNING if kind == "row" else path, found.of_kind(kind))
            for kind, path in FILES.items()
        ],
        keys=keys(),
        origins={
            "seedFile": SEED_TASKS.as_posix(),
            "instructionFile": INSTRUCTIONS.as_posix(),
            "seeds": found.seeds,
            "prompts": found.prompts,
            "instructions": found.instructions,
        },
    )


def collect() -> Rows:
    """All rows that are there.

    Raises:
        BadFile, BadRow: a file is broken.
        StoreFailed, NoRepository: the response store cannot be read, or found.
    """
    return _Collecting().found


class _Collecting:
    def __init__(self) -> None:
        self.found = Rows()
        seeds = read_seed_tasks() if SEED_TASKS.exists() else []
        self.found.seeds = [[task.id, task.instruction] for task in seeds]
        self._pool = Pool() if SEED_TASKS.exists() and _there(INSTRUCTIONS) else None
        self._prompts: dict[tuple[str, int], int] = {}
        self._prompt_of: dict[str | None, str] = {}  # by the key of its answer
        self._by_text_and_key: dict[tuple[str, str | None], int] = {}
        self._add_instructions()
        self._add_instances(seeds)
        self._add_refused_instructions()
        # In the order in which the page names them; within a file, as they stand there.
        self.found.rows.sort(key=lambda row: row[0])

    def _add_instructions(self) -> None:
        classified = {
            row.instruction: is_yes(row.is_classification)
            for _, row in _rows(CLASSIFIED, ClassifiedInstruction)
        }
        for line, row in _rows(INSTRUCTIONS, Instruction):
            key = row.metadata.key
            shown = row.metadata.prompt or ""
            self._prompt_of[key] = shown
            number = len(self.found.instructions)
            self._by_text_and_key[row.instruction, key] = number
            prompt = self._prompt(shown, row.request_idx)
            known = classified.get(row.instruction)
            self.found.instructions.append([row.instruction, row.request_idx, prompt, key, known])
            self._add("instruction", line, number, key=key)

    def _add_instances(self, seeds: list[SeedTask]) -> None:
        # An answer without a key is known by its instruction.
        instruction_of = {
            row.instance_metadata.key or row.instruction: (
                row.instruction,
                row.instruction_metadata.key,
            )
            for _, row in _rows(RAW_INSTANCES, _RawInstances)
        }
        seed_of: dict[tuple[str, str, str], int] = {}
        for number, task in enumerate(seeds):
            for own in task.instances:
                seed_of.setdefault((task.instruction, own.input, own.output), -1 - number)

        def add(kind: str, line: int, row: GeneratedInstance | RejectedInstance) -> None:
            origin: Reference | None = None
            if row.key is None:
                origin = seed_of.get((row.instruction, row.input, row.output))
            if origin is None:
                asked = instruction_of.get(row.key or row.instruction)
                origin = self._by_text_and_key.get(asked) if asked else None
            if origin is None:
                self.found.without_origin += 1
                origin = row.instruction
            reason = row.reason if isinstance(row, RejectedInstance) else None
            self._add(kind, line, origin, row.input, row.output, reason, key=row.key)

        for line, kept in _rows(FILES["row"], GeneratedInstance):
            add("row", line, kept)
        for line, refused in _rows(FILES["refused instance"], RejectedInstance):
            add("refused instance", line, refused)

    def _add_refused_instructions(self) -> None:
        rows = list(_rows(REJECTED_INSTRUCTIONS, RejectedInstruction))
        # Of an answer that yielded nothing else only the store has the prompt.
        unknown = {row.key for _, row in rows} - self._prompt_of.keys()
        for key, _, request in requests_of(default_path(), sorted(unknown)) if unknown else ():
            self._prompt_of[key] = _prompt_in(request)
        for line, row in rows:
            text = self._prompt_of.get(row.key)
            prompt = None if text is None else self._prompt(text, row.request_idx)
            self.found.without_origin += prompt is None
            self._add(
                "refused instruction",
                line,
                row.instruction,
                reason=row.reason,
                prompt=prompt,
                round_=row.request_idx,
                key=row.key,
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
    ) -> None:
        place = list(FILES).index(kind)
        own = [place, line, instruction, input_, output, reason, prompt, round_, key]
        self.found.rows.append(own)

    def _prompt(self, prompt: str, round_: int) -> int:
        """The number of what a prompt showed; a prompt is looked at once."""
        number = self._prompts.setdefault((prompt, round_), len(self._prompts))
        if number == len(self.found.prompts):
            self.found.prompts.append([self._reference(text, round_) for text in shown_in(prompt)])
        return number

    def _reference(self, text: str, round_: int) -> Shown:
        seeds, machine = self._pool.known(text, round_) if self._pool else ([], None)
        if seeds:
            numbers = [-place.line for place, _ in seeds]
            return numbers if len(numbers) > 1 else numbers[0]
        return machine.place.line - 1 if machine else text


def _there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _rows(path: Path, record: type[Row]) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their lines; none of one that is missing or has none."""
    return enumerate(read_rows(path, record), 1) if _there(path) else iter(())


def _prompt_in(request: str) -> str:
    try:
        asked = json.loads(request)
    except ValueError:
        return ""
    prompt = asked.get("prompt") if isinstance(asked, dict) else None
    return prompt if isinstance(prompt, str) else ""
