"""prepare: completions → finetuning data.

The completions of `instances` are cut into (input, output) pairs, the faulty ones go, and what
remains is written in the forms that today's trainers read (Self-Instruct, section 2.3). Every
random draw belongs to the instruction or the instance that it is for, so one more row changes no
other.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.core import draws
from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.metrics import counts, histogram, mean, mean_words, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.errors import BadFile, BadRow
from seedbed.llm.spool import Rows, spooled
from seedbed.self_instruct.completions import REASONS, judge, parse_input_first, parse_output_first
from seedbed.self_instruct.encoding import chat, encode
from seedbed.self_instruct.errors import TooFewInstructions, TooFewRows
from seedbed.self_instruct.params import Prepare
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    FinetuningRow,
    GeneratedInstance,
    LeanCompletion,
    MessagesRow,
    RejectedInstance,
    instance_id,
    is_yes,
)
from seedbed.self_instruct.seeds import read_seed_tasks


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    prepare: Prepare


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    raw_instances: Path = COMPLETIONS
    classified: Path = CLASSIFIED
    seed_tasks: Path = SEED_TASKS


@dataclass
class Parsed:
    """The instances of all tasks. Pairs in = kept + rejected, each with a reason.

    refused: how many were rejected for each reason.
    """

    kept: list[GeneratedInstance] = field(default_factory=list)
    rejected: Rows[RejectedInstance] = field(default_factory=list[RejectedInstance])
    refused: Counter[str] = field(default_factory=Counter)
    tasks: int = 0
    tasks_unparsable: int = 0
    tasks_all_rejected: int = 0
    per_task: list[int] = field(default_factory=list)


def read_completions(inputs: Inputs) -> Iterator[LeanCompletion]:
    """Yield the completions, in order, each with its kind: clf's file has it where a row lacks it.

    Raises:
        BadFile, BadRow: as `read_rows`; BadRow too for an instruction that clf's file lacks.
    """
    kinds: dict[str, bool] | None = None
    for line, row in enumerate(read_rows(inputs.raw_instances, LeanCompletion), 1):
        if row.is_classification is None:
            if kinds is None:
                classified = read_rows(inputs.classified, ClassifiedInstruction)
                kinds = {kind.instruction_id: is_yes(kind.is_classification) for kind in classified}
            if row.instruction_id not in kinds:
                raise BadRow(
                    inputs.raw_instances,
                    line,
                    f"no is_classification, nor has {inputs.classified} this instruction",
                    "Put the file there that was made with it, or add the field: true or false.",
                )
            row.is_classification = kinds[row.instruction_id]
        yield row


def parse(
    rows: Iterable[LeanCompletion], params: Prepare, rejected: Rows[RejectedInstance] | None = None
) -> Parsed:
    """Cut each row's completion into instances and sort them into kept and rejected.

    rejected: what takes the latter, a list if nothing is said.
    """
    parsed = Parsed() if rejected is None else Parsed(rejected=rejected)
    for row in rows:
        parsed.tasks += 1
        key = row.instance_metadata.key
        pairs = (
            parse_output_first(row.raw_instances)
            if row.is_classification
            else parse_input_first(row.raw_instances, params.output_without_label)
        )
        verdicts = judge(pairs, row.cut)
        sound = [i for i, (_, reason) in enumerate(verdicts) if reason is None]
        draw = draws.generator(params.seed, "instances", row.instruction)
        chosen = draw.sample(sound, min(len(sound), params.max_instances_per_task))
        for i, ((given, output), reason) in enumerate(verdicts):
            if i in chosen:
                assert output is not None  # else it would have had a reason
                parsed.kept.append(
                    GeneratedInstance(
                        instruction=row.instruction,
                        input=given,
                        output=output,
                        id=instance_id(row.instruction_id, i + 1),
                        instruction_id=row.instruction_id,
                        key=key,
                    )
                )
            else:
                refused = RejectedInstance(
                    instruction=row.instruction,
                    input=given,
                    output=output or "",
                    id=instance_id(row.instruction_id, i + 1),
                    instruction_id=row.instruction_id,
                    reason=reason or "over_the_maximum",
                    key=key,
                )
                parsed.rejected.append(refused)
                parsed.refused[refused.reason] += 1
        if chosen:
            parsed.per_task.append(len(chosen))
        elif pairs:
            parsed.tasks_all_rejected += 1
        else:
            parsed.tasks_unparsable += 1
    return parsed


def sample(rows: list[GeneratedInstance], params: Prepare) -> list[GeneratedInstance]:
    """The instances of `num_instructions` instructions, which are drawn at random; in order.

    Raises:
        TooFewInstructions: there are fewer.
    """
    if params.num_instructions is None:
        return rows
    instructions = list(dict.fromkeys(row.instruction for row in rows))
    if len(instructions) < params.num_instructions:
        raise TooFewInstructions(params.num_instructions, len(instructions))
    instructions.sort(key=lambda text: draws.rank(params.seed, "sample", text))
    chosen = set(instructions[: params.num_instructions])
    return [row for row in rows if row.instruction in chosen]


@dataclass(slots=True)
class Training:
    """One instance, and the place that its form for training gets among the others.

    It is encoded when somebody asks: the texts of all would be as much memory as the instances.
    """

    instance: GeneratedInstance
    seed: int
    rank: bytes

    @property
    def encoded(self) -> tuple[str, str]:
        """Prompt and completion."""
        return encoded(self.instance, self.seed)


def encoded(row: GeneratedInstance, seed: int) -> tuple[str, str]:
    """An instance as prompt and completion. The draw is its own."""
    draw = draws.generator(seed, "encode", row.instruction, row.input, row.output)
    return encode(row.instruction, row.input, row.output, draw)


def finetuning(rows: list[GeneratedInstance], params: Prepare) -> list[Training]:
    """Encode each instance as prompt and completion, drop what repeats exactly, shuffle."""
    unique: dict[bytes, Training] = {}
    for row in rows:
        # The same prompt and completion have the same rank, and no others do.
        rank = draws.rank(params.seed, "shuffle", *encoded(row, params.seed))
        unique.setdefault(rank, Training(row, params.seed, rank))
    return sorted(unique.values(), key=lambda row: row.rank)


def exactly(
    training: list[Training], sampled: list[GeneratedInstance], instructions: int, params: Prepare
) -> list[Training]:
    """The first `num_rows` of the rows; all of them for null.

    sampled: the instances that so many instructions brought: the seed tasks' own stay as many.

    Raises:
        TooFewRows: there are fewer.
    """
    wanted, there = params.num_rows, len(training)
    if wanted is None or wanted <= there:
        return training[:wanted]
    more = -(-(wanted - there) * instructions // len(finetuning(sampled, params)))
    raise TooFewRows(wanted, there, instructions, more, params.num_instructions is not None)


def seed_instances(path: Path) -> Iterator[GeneratedInstance]:
    """Yield the seed tasks' own instances, in order. Raises as `read_seed_tasks`."""
    for task in read_seed_tasks(path):
        for number, instance in enumerate(task.instances, 1):
            yield GeneratedInstance(
                instruction=task.instruction,
                input=instance.input,
                output=instance.output,
                id=instance_id(task.id, number),
                instruction_id=task.id,
                key=None,
            )


def metrics(
    parsed: Parsed, encoded: int, training: list[Training], left_out: int = 0
) -> dict[str, Any]:
    """The stage's metrics; lengths (in words) and shares are those of the finetuning data.

    encoded: how many instances were encoded, repeats included. left_out: how many rows were over
        `num_rows`.
    """
    instances = [row.instance for row in training]
    return {
        "finetuning_rows": len(training),
        "instances_rejected": parsed.refused.total(),
        "instances_per_task": mean(parsed.per_task),
        "tasks_with_instances": len(parsed.per_task),
        "with_input_share": share(sum(bool(row.input) for row in instances), len(instances)),
        "input_words": mean_words(row.input for row in instances if row.input),
        "output_words": mean_words(row.output for row in instances),
        "tasks": {
            "with_instances": len(parsed.per_task),
            "unparsable": parsed.tasks_unparsable,
            "all_rejected": parsed.tasks_all_rejected,
        },
        "instances": {
            "kept": len(parsed.kept),
            "duplicates": encoded - len(training) - left_out,
            **({"over_num_rows": left_out} if left_out else {}),
        },
        "rejected": counts(REASONS, parsed.refused),
    }


def finetuning_row(row: Training) -> FinetuningRow:
    """The row of finetuning.jsonl."""
    prompt, completion = row.encoded
    return FinetuningRow(
        prompt=prompt,
        completion=completion,
        id=row.instance.id,
        instruction_id=row.instance.instruction_id,
        key=row.instance.key,
    )


def messages_row(row: GeneratedInstance) -> MessagesRow:
    """The row of messages.jsonl."""
    return MessagesRow.model_validate(
        {
            "messages": chat(row.instruction, row.input, row.output),
            "id": row.id,
            "instruction_id": row.instruction_id,
            "key": row.key,
        }
    )


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the completions, parse, encode; write the forms, metrics and plots."""
    section = params.prepare
    rejected = into.folder / "rejected.jsonl"
    with Progress("prepare", None, "tasks") as progress, spooled(rejected) as (spool,):
        parsed = parse(progress.over(read_completions(inputs)), section, spool)
        if not parsed.kept:
            raise BadFile(
                inputs.raw_instances,
                f"none of its {parsed.tasks} completions holds a usable instance",
                "Look at its raw_instances: a model that keeps to the form of "
                "data/prompts/instances/input_first.txt is needed.",
            )
        sampled = sample(parsed.kept, section)
        rows = list(sampled)
        if section.include_seed_tasks:
            rows += seed_instances(inputs.seed_tasks)
        unique = finetuning(rows, section)
        training = exactly(unique, sampled, section.num_instructions or parsed.tasks, section)
        figures = metrics(parsed, len(rows), training, len(unique) - len(training))
        instances = [row.instance for row in training]
        input_words = [len(instance.input.split()) for instance in instances if instance.input]
        output_words = [len(instance.output.split()) for instance in instances]
        write_files(
            {
                into.folder / "all_generated_instances.jsonl": map(to_line, parsed.kept),
                into.folder / "sampled_generated_instances.jsonl": map(to_line, sampled),
                rejected: spool.lines(),
                into.folder / "finetuning.jsonl": map(to_line, map(finetuning_row, training)),
                into.folder / "messages.jsonl": map(to_line, map(messages_row, instances)),
                into.folder / "alpaca.jsonl": map(to_line, instances),
                into.metrics: to_json(with_tables(figures)),
                into.plot("input_words"): to_json(histogram(input_words, 5, "words")),
                into.plot("output_words"): to_json(histogram(output_words, 5, "words")),
            }
        )
    progress.finish(len(training))
