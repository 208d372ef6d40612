"""Training's files, and their rows.

A method imports no other, so what others wrote is read as rows of its own: the three forms of
data/prepare, which are also those of TRL (prompt and completion), OpenAI's fine-tuning (messages)
and Alpaca's trainers, and the form of the seed tasks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from seedbed.core.paths import METRICS, PLOTS
from seedbed.core.records import Record

PIPELINE = Path("pipelines/training/dvc.yaml")
PROMPTS = Path("data/prompts/finetune")


@dataclass(frozen=True)
class Outputs:
    """Where a stage writes. A stage that stands in a pipeline twice writes `into` two places."""

    into: str

    @property
    def data(self) -> Path:
        return Path("data") / self.into

    @property
    def metrics(self) -> Path:
        return METRICS / f"{self.into}.json"

    @property
    def plots(self) -> Path:
        return PLOTS / self.into


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
