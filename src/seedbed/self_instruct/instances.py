"""instances: instructions → completions that hold inputs and outputs.

For a generation task the model writes the input first, then the output. For a classification
task it writes the class label first and then an input that fits, since inputs written first lean
to one label (Self-Instruct, section 2.2).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.metrics import counts, mean_words, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import Prompt
from seedbed.core.records import Exchange
from seedbed.core.section import Section
from seedbed.errors import BadFile
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Ask
from seedbed.llm.params import Llm
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


def read_tasks(inputs: Inputs) -> list[Task]:
    """The instructions with their kind, in order.

    Raises:
        RowsDoNotMatch: the two files do not list the same instructions.
    """
    instructions, classified = inputs.instructions, inputs.classified
    rows = list(read_rows(instructions, Instruction))
    ids = {row.id for row in rows}
    kinds: dict[str, bool] = {}
    for line, kind in enumerate(read_rows(classified, ClassifiedInstruction), 1):
        if kind.instruction_id not in ids:
            raise RowsDoNotMatch(classified, line, kind.instruction, instructions)
        kinds[kind.instruction_id] = is_yes(kind.is_classification)
    for line, row in enumerate(rows, 1):
        if row.id not in kinds:
            raise RowsDoNotMatch(instructions, line, row.instruction, classified)
    return [Task(row, kinds[row.id]) for row in rows]


def select(tasks: list[Task], params: Instances) -> list[Task]:
    """Those of the first `num_instructions` that are of the kind that `tasks` asks for."""
    wanted = {"all": (True, False), "generation": (False,), "classification": (True,)}
    return [
        task
        for task in tasks[: params.num_instructions]
        if task.is_classification in wanted[params.tasks]
    ]


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


def generate(tasks: list[Task], params: Instances, prompts: Prompts, ask: Ask) -> list[Completion]:
    """One row a task, in order."""
    pairs = ((task.row.instruction, task.is_classification) for task in tasks)
    asked = list(requests(pairs, params, prompts))
    return [
        Completion(
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
        for task, request, answer in zip(tasks, asked, ask(asked), strict=True)
    ]


def metrics(rows: list[Completion], left_out: int) -> dict[str, Any]:
    """The stage's metrics; the sum of `rows` is the number of instructions that came in.

    left_out: how many were not asked about.
    """
    responses = [row.instance_metadata.response or {} for row in rows]
    cut = sum(response["choices"][0]["finish_reason"] == "length" for response in responses)
    problems = Counter(response["problem"] for response in responses if "problem" in response)
    kinds = Counter("classification" if row.is_classification else "generation" for row in rows)
    return {
        "completions_cut": cut,
        "completion_words": mean_words(row.raw_instances for row in rows),
        "max_tokens_lowered": sum("max_tokens_lowered_to" in response for response in responses),
        "rows": {**counts(("classification", "generation"), kinds), "left_out": left_out},
        "problems": counts(PROBLEMS, problems),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read instructions and their kinds, ask for instances, write completions and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    tasks = read_tasks(inputs)
    selected = select(tasks, params.instances)
    if not selected:
        raise BadFile(
            inputs.classified,
            f"none of its {len(tasks)} instructions is of the kind {params.instances.tasks}",
            "Set instances.tasks to all, or generate more instructions.",
        )
    prompts = Prompts()
    with (
        Progress("instances", len(selected), "rows") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        rows = generate(selected, params.instances, prompts, engine.ask)
    write_files(
        {
            into.folder / COMPLETIONS.name: map(to_line, rows),
            into.metrics: to_json(with_tables(metrics(rows, len(tasks) - len(rows)))),
        }
    )
    progress.finish(len(rows))
