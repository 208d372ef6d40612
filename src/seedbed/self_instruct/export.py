"""The forms in which Self-Instruct's data is handed on."""

from collections.abc import Callable
from sys import intern

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.runs.forms import Export, Form, Origin, made_with
from seedbed.runs.pipeline import Pipeline
from seedbed.self_instruct.alpaca_rows import PREPARED_TASKS, TASKS
from seedbed.self_instruct.encoding import chat
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    PREPARED,
    ClassifiedInstruction,
    FinetuningRow,
    GeneratedInstance,
    MessagesRow,
    Named,
)

STAGE = "prepare"
PAPER = "https://arxiv.org/abs/2212.10560"
TASKS_STAGE = "pipelines/alpaca/dvc.yaml:alpaca-prepare"


class Metadata(Record):
    """What is read of the answer that an instruction was cut from."""

    key: str | None = None


class Grown(Named):
    """What is read of an instruction: see `Instruction`."""

    most_similar: dict[str, float]
    metadata: Metadata
    shown: list[str] | None = None


def origins(pipeline: Pipeline) -> Callable[[GeneratedInstance], Origin]:
    """An instance came from the instructions that the prompt of its own showed, by three answers.

    A seed task's own instance came from the task. What the run did not make is not known: then an
    instance came from its instruction. Raises BadFile, BadRow, NotOneRun.
    """
    grown: dict[str, Origin] = {}
    if made_with(pipeline, STAGE, INSTRUCTIONS):
        for row in read_rows(INSTRUCTIONS, Grown):
            key = row.metadata.key
            # An id stands in many prompts, and one text is enough.
            grown[row.id] = Origin(
                ids=tuple(map(intern, row.shown or ())),
                keys=() if key is None else (intern(key),),
                similarity=next(iter(row.most_similar.values()), None),
            )
    classified: dict[str, str | None] = {}
    if made_with(pipeline, STAGE, CLASSIFIED):
        for kind in read_rows(CLASSIFIED, ClassifiedInstruction):
            classified[kind.instruction_id] = kind.key

    def origin(row: GeneratedInstance) -> Origin:
        its = grown.get(row.instruction_id)
        if its is None:
            own = () if row.key is None else (row.key,)
            return Origin((row.instruction_id,), own)
        asked = (*its.keys, classified.get(row.instruction_id), row.key)
        keys = tuple(key for key in asked if key is not None)
        return Origin(its.ids or (row.instruction_id,), keys, its.similarity)

    return origin


class Whole(Record):
    """What is read of a whole task: see `Task`."""

    instruction_id: str
    most_similar: dict[str, float]
    shown: list[str]


def origins_of_tasks(pipeline: Pipeline) -> Callable[[GeneratedInstance], Origin]:
    """A whole task came from the seed tasks that its prompt showed, by one answer.

    Otherwise as `origins`.
    """
    grown: dict[str, Origin] = {}
    if made_with(pipeline, TASKS_STAGE, TASKS):
        for task in read_rows(TASKS, Whole):
            similarity = next(iter(task.most_similar.values()), None)
            grown[task.instruction_id] = Origin(tuple(map(intern, task.shown)), (), similarity)

    def origin(row: GeneratedInstance) -> Origin:
        own = () if row.key is None else (row.key,)
        its = grown.get(row.instruction_id)
        if its is None:
            return Origin((row.instruction_id,), own)
        return Origin(its.ids, own, its.similarity)

    return origin


def pair(row: GeneratedInstance) -> tuple[str, str]:
    """What a conversation of it asks, and the answer."""
    asked, answer = chat(row.instruction, row.input, row.output)
    return asked["content"], answer["content"]


EXPORT = Export(
    name="Self-Instruct",
    source=PAPER,
    category="text-generation",
    limits=(
        "Much of it is wrong. The authors of Self-Instruct looked at 200 of their instructions, "
        "written by the 175B GPT-3, with an instance each: in 54% instruction, input and output "
        f"were all valid, 46% had some fault ([arXiv 2212.10560]({PAPER}), "
        "on the quality of the data). Rules alone decided which of Self-Instruct's rows are in it: "
        "a model's score or people's rating, where a row has one, left none out.",
    ),
    origins="of Self-Instruct, the instructions that the prompt of its own showed: seed tasks, or "
    "the `instruction_id` of others; of a seed task's own instance the task",
    forms=(
        Form(
            "finetuning",
            STAGE,
            FinetuningRow,
            {"train": PREPARED / "finetuning.jsonl"},
            ("prompt", "completion"),
            "`prompt` and `completion`, put together in one of several ways at random, as in the "
            "paper",
        ),
        Form(
            "messages",
            STAGE,
            MessagesRow,
            {"train": PREPARED / "messages.jsonl"},
            (),
            "the same rows as `messages` of a user and an assistant",
        ),
        Form(
            "alpaca",
            STAGE,
            GeneratedInstance,
            {"train": PREPARED / "alpaca.jsonl"},
            ("instruction", "input", "output"),
            "the same rows as `instruction`, `input` (empty where none is needed) and `output`",
            origins=origins,
            pair=pair,
        ),
        Form(
            "whole_tasks_finetuning",
            TASKS_STAGE,
            FinetuningRow,
            {"train": PREPARED_TASKS / "finetuning.jsonl"},
            ("prompt", "completion"),
            "`prompt` and `completion` of tasks that were written whole, several in one answer",
        ),
        Form(
            "whole_tasks_messages",
            TASKS_STAGE,
            MessagesRow,
            {"train": PREPARED_TASKS / "messages.jsonl"},
            (),
            "the same rows as `messages` of a user and an assistant",
        ),
        Form(
            "whole_tasks_alpaca",
            TASKS_STAGE,
            GeneratedInstance,
            {"train": PREPARED_TASKS / "alpaca.jsonl"},
            ("instruction", "input", "output"),
            "the same rows as `instruction`, `input` and `output`",
            origins=origins_of_tasks,
            pair=pair,
        ),
    ),
)
