"""The rows of every file. Field names are those of the Self-Instruct authors' files.

Their own files are read as they are: what these lack, or have as null, may be None here.
"""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Record(BaseModel):
    """A row. Types are taken as they stand: "3" is no number, 1 is no boolean."""

    model_config = ConfigDict(strict=True)


def _number_as_text(id_: Any) -> Any:
    return str(id_) if type(id_) is int else id_  # true is no number


# An example's id, which is a number in some of the Auto-Instruct authors' label files.
Id = Annotated[str, BeforeValidator(_number_as_text)]


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


class Exchange(Record):
    """What was asked and what came back, without what differs from run to run.

    `key` is the answer's key in the response store, which holds the whole raw answer; None where
    another program asked.
    """

    prompt: str | None = None
    response: dict[str, Any] | None = None
    key: str | None = None


class Instruction(Record):
    """An accepted machine-written instruction (bootstrap).

    most_similar: the ten closest instructions of the pool as it stood, and their ROUGE-L F1,
        highest first; equal texts share an entry.
    avg_similarity_score: mean ROUGE-L F1 over that whole pool.
    request_idx: the round of requests that it came from.
    """

    instruction: str
    most_similar: dict[str, float]
    avg_similarity_score: float
    metadata: Exchange
    request_idx: int


class RejectedInstruction(Record):
    """A piece of a completion that did not become an instruction, and why."""

    instruction: str
    reason: str
    key: str
    request_idx: int


class ClassifiedInstruction(Record):
    """The model's raw answer to "is it classification?" (clf)."""

    instruction: str
    is_classification: str
    problem: str | None = None
    key: str | None = None


def is_yes(raw: str) -> bool:
    """Whether clf's raw answer means yes; whatever else it says means no."""
    return raw.strip() in ("Yes", "yes", "YES")


class RawInstances(Record):
    """The completion that holds an instruction's instances, not yet parsed (instances).

    is_classification: None in the authors' files, which leave it to clf's.
    """

    instruction: str
    raw_instances: str
    is_classification: bool | None = None
    instance_metadata: Exchange
    instruction_metadata: Exchange
    most_similar: dict[str, float]
    avg_similarity_score: float


class RawAnswer(Record):
    """What prepare reads of a RawInstances row: at 52,000 rows the rest is most of the memory."""

    instruction: str
    raw_instances: str
    is_classification: bool | None = None
    instance_metadata: "RawAnswerMetadata"

    @property
    def cut(self) -> bool:
        """Whether the completion ran into its length limit."""
        response = self.instance_metadata.response
        return response is not None and response.choices[0].finish_reason == "length"


class RawAnswerMetadata(Record):
    response: "RawAnswerResponse | None" = None
    key: str | None = None


class RawAnswerResponse(Record):
    choices: list["RawAnswerChoice"] = Field(min_length=1)


class RawAnswerChoice(Record):
    finish_reason: str | None


class GeneratedInstance(Record):
    """One instance of an instruction (prepare); also a row for Alpaca's trainers.

    `key` is that of the answer it was cut from; null for a seed task's own instance, and where
    the answer has none.
    """

    instruction: str
    input: str
    output: str
    key: str | None


class RejectedInstance(Record):
    """An instance that prepare refused, and why."""

    instruction: str
    input: str
    output: str
    reason: str
    key: str | None


class FinetuningRow(Record):
    """An instance as the text that a model is finetuned on (prepare)."""

    prompt: str
    completion: str
    key: str | None


class Message(Record):
    """One turn of a conversation."""

    role: str
    content: str


class MessagesRow(Record):
    """An instance as a conversation, for chat trainers (prepare)."""

    messages: list[Message]
    key: str | None


class Candidate(Record):
    """Where one of a task's candidate instructions came from (candidates).

    index: its place among the task's candidates; the seed instruction has 0.
    meta_prompt, sample, key: what it was asked with and the answer's key; null for the seed
        instruction, and where it stands in for a text that never came.
    """

    task: str
    index: int
    meta_prompt: str | None
    sample: int | None
    key: str | None
    instruction: str


class LabelledExample(Record):
    """An example, and how each candidate did on it (label).

    target: its first reference; targets: all of them, if there are several.
    The lists belong together: instruction_idx are places among the task's candidates,
    instruction_rouge is ROUGE-L F1 (0 to 1), instruction_keys are those of the answers,
    instruction_problems is there only if one of the answers is of no use, or has none otherwise.
    """

    id: str
    input: str
    target: str
    targets: list[str] | None = None
    instruction_idx: list[int]
    instruction_labels: list[int]
    instruction_outputs: list[str]
    instruction_rouge: list[float]
    instruction_keys: list[str]
    instruction_problems: list[str | None] | None = None
