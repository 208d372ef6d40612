"""Self-Instruct's files, and their rows. Field names are those of the authors' files.

Their own files are read as they are: what these lack, or have as null, may be None here, and an
instruction without an id gets one that is made of its text.

Ids: an instruction has that of bootstrap's request and answer (`instruction_id`), or, by hand, its
seed task's; an instance has its instruction's and its place in the completion (`instance_id`).
They are looked up and never taken apart.
"""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from seedbed.core.records import Exchange, Record

SEED_TASKS = Path("data/seed_tasks.jsonl")
INSTRUCTIONS = Path("data/bootstrap/machine_generated_instructions.jsonl")
REJECTED_INSTRUCTIONS = Path("data/bootstrap/rejected.jsonl")
CLASSIFIED = Path("data/clf/is_clf_or_not.jsonl")
COMPLETIONS = Path("data/instances/machine_generated_instances.jsonl")
PREPARED = Path("data/prepare")


def instruction_id(request: int, piece: int, key: str) -> str:
    """The id of a piece of a completion. request: its number in the run; key: the answer's.

    >>> instruction_id(17, 2, "3fa92c01b7de55aa")
    '17.2-3fa92c01b7de'
    """
    return f"{request}.{piece}-{key[:12]}"


def instance_id(of: str, number: int) -> str:
    """The id of an instruction's instance, or of a seed task's. number: its place, from 1 on."""
    return f"{of}/{number}"


def _by_its_text(row: dict[str, Any]) -> str:
    return "text-" + sha256(row.get("instruction", "").encode()).hexdigest()[:16]


# The id of an instruction, in its own row and in those that were made of it.
InstructionId = Annotated[str, Field(default_factory=_by_its_text)]


class Instance(Record):
    """One (input, output) pair of a seed task; `input` is "" where the task needs none."""

    input: str
    output: str


class SeedTask(Record):
    """A hand-written task: a line of data/seed_tasks.jsonl."""

    id: str
    name: str
    instruction: str = Field(pattern=r"\S")
    instances: list[Instance] = Field(min_length=1)
    is_classification: bool


class Named(Record):
    """An instruction and its id: some stages read no more of its row."""

    instruction: str
    id: InstructionId


class Instruction(Named):
    """An accepted machine-written instruction (bootstrap).

    shown: the ids of the instructions that its prompt showed, in order; None where another
        program asked.
    most_similar: the ten closest instructions of the pool as it stood, and their ROUGE-L F1,
        highest first; equal texts share an entry.
    avg_similarity_score: mean ROUGE-L F1 over that whole pool.
    request_idx: the round of requests that it came from.
    """

    most_similar: dict[str, float]
    avg_similarity_score: float
    metadata: Exchange
    request_idx: int
    shown: list[str] | None = None


class RejectedInstruction(Record):
    """A piece of a completion that did not become an instruction, and why. shown: as above."""

    instruction: str
    id: InstructionId
    reason: str
    key: str
    request_idx: int
    shown: list[str] | None = None


class ClassifiedInstruction(Record):
    """The model's completion when asked "is it classification?" (clf)."""

    instruction: str
    instruction_id: InstructionId
    is_classification: str
    problem: str | None = None
    key: str | None = None


def is_yes(completion: str) -> bool:
    """Whether a completion of clf's means yes; whatever else it says means no."""
    return completion.strip() in ("Yes", "yes", "YES")


def meaning(row: ClassifiedInstruction) -> str:
    """Whether the model said `yes`, `no`, or neither (`unparsable`, which counts as no)."""
    text = row.is_classification
    return "yes" if is_yes(text) else "no" if text.strip().lower() == "no" else "unparsable"


class Completion(Record):
    """The completion that holds an instruction's instances, not yet parsed (instances).

    raw_instances: its text, under the name of the authors' files.
    is_classification: None in the authors' files, which leave it to clf's.
    """

    instruction: str
    instruction_id: InstructionId
    raw_instances: str
    is_classification: bool | None = None
    instance_metadata: Exchange
    instruction_metadata: Exchange
    most_similar: dict[str, float]
    avg_similarity_score: float


class LeanCompletion(Record):
    """What prepare reads of a Completion row: at 52,000 rows the rest is most of the memory."""

    instruction: str
    instruction_id: InstructionId
    raw_instances: str
    is_classification: bool | None = None
    instance_metadata: "LeanMetadata"

    @property
    def cut(self) -> bool:
        """Whether the completion ran into its length limit."""
        response = self.instance_metadata.response
        return response is not None and response.choices[0].finish_reason == "length"


class LeanMetadata(Record):
    response: "LeanResponse | None" = None
    key: str | None = None


class LeanResponse(Record):
    choices: list["LeanChoice"] = Field(min_length=1)


class LeanChoice(Record):
    finish_reason: str | None


class GeneratedInstance(Record):
    """One instance of an instruction (prepare); also a row for Alpaca's trainers.

    instruction_id: its instruction's; a seed task's own instance has the task's.
    key: that of the answer it was cut from; null for a seed task's own instance, and where the
        answer has none.
    """

    instruction: str
    input: str
    output: str
    id: str
    instruction_id: str
    key: str | None


class RejectedInstance(Record):
    """An instance that prepare refused, and why."""

    instruction: str
    input: str
    output: str
    id: str
    instruction_id: str
    reason: str
    key: str | None


class FinetuningRow(Record):
    """An instance as the text that a model is finetuned on (prepare)."""

    prompt: str
    completion: str
    id: str
    instruction_id: str
    key: str | None


class Message(Record):
    """One turn of a conversation."""

    role: str
    content: str


class MessagesRow(Record):
    """An instance as a conversation, for chat trainers (prepare)."""

    messages: list[Message]
    id: str
    instruction_id: str
    key: str | None
