"""Training's files, and their rows.

A method imports no other, so what others wrote is read as rows of its own: the three forms of
data/prepare, which are also those of TRL (prompt and completion), OpenAI's fine-tuning (messages)
and Alpaca's trainers, and the form of the seed tasks.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from seedbed.core.paths import DATA, PROMPTS
from seedbed.core.records import Record

PIPELINE = Path("pipelines/training/dvc.yaml")
FINETUNE_PROMPTS = PROMPTS / "finetune"
EVALUATED = DATA / "evaluate"
ANSWERS, SCORES = "answers.jsonl", "scores.jsonl"


class PromptRow(Record):
    """A text, and how it is to be continued."""

    prompt: str
    completion: str
    key: str | None = None


class AlpacaRow(Record):
    """A task. `input` is "" where it needs none."""

    instruction: str = Field(pattern=r"\S")
    input: str = ""
    output: str
    key: str | None = None


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class MessagesRow(Record):
    """A conversation: what a user says and what the assistant answers."""

    messages: list[Message] = Field(min_length=2)
    key: str | None = None


class Instance(Record):
    """One (input, output) pair of a task."""

    input: str
    output: str


class TaskRow(Record):
    """A task with instances, as data/seed_tasks.jsonl has them."""

    instruction: str = Field(pattern=r"\S")
    instances: list[Instance] = Field(min_length=1)


class TrainedRow(Record):
    """A row that the model is trained on.

    id: of prompt and completion, wherever they come from.
    source, line: the file that it comes from, and the line, counted from 1.
    key: of the answer that it was made of; None where it has none.
    tokens: of prompt and completion, with the one that begins and the one that ends the text;
        learned: those of them that the loss is on.
    """

    id: str
    source: str
    line: int
    prompt: str
    completion: str
    key: str | None
    tokens: int
    learned: int


class LeftOutRow(TrainedRow):
    """A row that it is not trained on, and why."""

    reason: str


class Evaluation(Record):
    """What a model made of an example (evaluate).

    demos: how many demos the prompt showed. prompt: its file of data/prompts/evaluate.
    scored: the part of the output that is scored, to which rouge_l and exact_match (0 to 100)
        belong.
    ended: whether the answer ended by itself, and not because it was too long.
    overlaps: those of 8 and 13 for which so many words in a row, of its input or of a target, are
        in what the model was trained on.
    """

    model: str
    task: str
    id: str
    input: str
    targets: list[str]
    demos: int
    prompt: str
    output: str
    scored: str
    rouge_l: float
    exact_match: float
    ended: bool
    overlaps: list[int]
    problem: str | None
    key: str


class TaskScore(Record):
    """How a model did on a task: means over its examples (evaluate).

    source, rows, threshold: the model's, as the parameters have them.
    majority: the ROUGE-L of the label that most of the examples have; null if they have no closed
        set of labels.
    copy_input: the ROUGE-L of the input itself.
    """

    model: str
    source: str | None
    rows: int | None
    threshold: float | None
    task: str
    category: str
    is_classification: bool
    examples: int
    rouge_l: float
    exact_match: float
    ended: float
    majority: float | None
    copy_input: float
