"""instances: instructions → completions that hold inputs and outputs.

For a generation task the model writes the input first, then the output. For a classification
task it writes the class label first and then an input that fits, since inputs written first lean
to one label (Self-Instruct, section 2.2).
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from seedbed.core.files import read_rows, to_json, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import Prompt
from seedbed.core.records import Exchange
from seedbed.core.section import Section
from seedbed.errors import BadFile
from seedbed.llm.answers import answered
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Ask
from seedbed.llm.params import Llm
from seedbed.llm.spool import spooled
from seedbed.self_instruct.errors import RowsDoNotMatch
from seedbed.self_instruct.params import Instances
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    ClassifiedInstruction,
    Completion,
    Instruction,
    is_yes,
)


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    instances: Instances


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    instructions: Path = INSTRUCTIONS
    classified: Path = CLASSIFIED


@dataclass
class Task:
    """An instruction and its kind."""

    row: Instruction
    is_classification: bool


@dataclass(frozen=True)
class Tasks:
    """The instructions with their kinds, in order. Whoever goes through them reads the file anew:
    at 52,000 its rows would be most of the memory.

    kinds: of each, whether it is a classification task.
    """

    instructions: Path
    kinds: list[bool]

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Task]:
        rows = read_rows(self.instructions, Instruction)
        return (Task(row, kind) for row, kind in zip(rows, self.kinds, strict=True))


def read_tasks(inputs: Inputs) -> Tasks:
    """Both files, checked from end to end.

    Raises:
        BadFile, BadRow: as `read_rows`.
        RowsDoNotMatch: the two files do not list the same instructions.
    """
    instructions, classified = inputs.instructions, inputs.classified
    ids = [row.id for row in read_rows(instructions, Instruction)]
    known = set(ids)
    kinds: dict[str, bool] = {}
    for line, kind in enumerate(read_rows(classified, ClassifiedInstruction), 1):
        if kind.instruction_id not in known:
            raise RowsDoNotMatch(classified, line, kind.instruction, instructions)
        kinds[kind.instruction_id] = is_yes(kind.is_classification)
    if known - kinds.keys():
        for line, row in enumerate(read_rows(instructions, Instruction), 1):
            if row.id not in kinds:
                raise RowsDoNotMatch(instructions, line, row.instruction, classified)
    return Tasks(instructions, [kinds[id_] for id_ in ids])


def is_wanted(is_classification: bool, params: Instances) -> bool:
    """Whether a task is of the kind that `tasks` asks for."""
    return params.tasks == "all" or (params.tasks == "classification") == is_classification


def select(tasks: Iterable[Task], params: Instances) -> Iterator[Task]:
    """Yield those of the first `num_instructions` that are of the kind that is asked for."""
    for task in islice(tasks, params.num_instructions):
        if is_wanted(task.is_classification, params):
            yield task


class Prompts:
    """The two few-shot prompts."""

    def __init__(self) -> None:
        self.input_first = Prompt("instances/input_first.txt", "instruction")
        self.output_first = Prompt("instances/output_first.txt", "instruction")


def requests(
    tasks: Iterable[tuple[str, bool]], params: Instances, prompts: Prompts
) -> Iterator[Request]:
    """One request a task, in order. tasks: instruction, and whether it is classification."""
    one_too_many = f"Example {params.max_instances_to_generate + 1}"
    sampling = params.sampling.model_copy(update={"stop": [one_too_many, *params.sampling.stop]})
    for_classification = sampling.model_copy(
        update={"max_tokens": params.classification_max_tokens}
    )
    for instruction, is_classification in tasks:
        prompt = prompts.output_first if is_classification else prompts.input_first
        yield Request(
            prompt.fill(instruction.strip()) + "\n",
            for_classification if is_classification else sampling,
            prefixes=(prompt.prefix,),
        )


def generate(
    tasks: Iterable[Task], params: Instances, prompts: Prompts, ask: Ask
) -> Iterator[Completion]:
    """Yield one row a task, in order. The tasks are read as they are asked about."""

    def asked(tasks: Iterable[Task]) -> Iterator[Request]:
        pairs = ((task.row.instruction, task.is_classification) for task in tasks)
        return requests(pairs, params, prompts)

    for task, request, answer in answered(tasks, asked, ask):
        yield Completion(
            instruction=task.row.instruction,
            instruction_id=task.row.id,
            raw_instances=answer.text,
            is_classification=task.is_classification,
            instance_metadata=Exchange(
                prompt=request.prompt, response=answer.response, key=answer.key
            ),
            instruction_metadata=task.row.metadata,
            most_similar=task.row.most_similar,
            avg_similarity_score=task.row.avg_similarity_score,
        )


def metrics(rows: Iterable[Completion], left_out: int) -> dict[str, Any]:
    """The stage's metrics; the sum of `rows` is the number of instructions that came in.

    Args:
        rows: gone through once.
        left_out: how many were not asked about.
    """
    cut = lowered = 0
    words = array("q")
    kinds: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for row in rows:
        response = row.instance_metadata.response or {}
        cut += response["choices"][0]["finish_reason"] == "length"
        lowered += "max_tokens_lowered_to" in response
        words.append(len(row.raw_instances.split()))
        kinds["classification" if row.is_classification else "generation"] += 1
        problems.update([response["problem"]] if "problem" in response else [])
    return {
        "completions_cut": cut,
        "completion_words": mean(words),
        "max_tokens_lowered": lowered,
        "rows": {**counts(("classification", "generation"), kinds), "left_out": left_out},
        "problems": counts(PROBLEMS, problems),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read instructions and their kinds, ask for instances, write completions and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.instances
    tasks = read_tasks(inputs)
    selected = sum(is_wanted(kind, section) for kind in tasks.kinds[: section.num_instructions])
    if not selected:
        raise BadFile(
            inputs.classified,
            f"none of its {len(tasks)} instructions is of the kind {section.tasks}",
            "Set instances.tasks to all, or generate more instructions.",
        )
    prompts = Prompts()
    completions = into.folder / COMPLETIONS.name
    with spooled(completions) as (spool,):
        with (
            Progress("instances", selected, "rows") as progress,
            open_engine(params.llm, progress.answered_row) as engine,
        ):
            rows = generate(select(tasks, section), section, prompts, engine.ask)
            figures = metrics(spool.over(rows), len(tasks) - selected)
        write_files({completions: spool.lines(), into.metrics: to_json(with_tables(figures))})
    progress.finish(selected)
