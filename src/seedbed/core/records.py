"""What the rows of every file have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A row. Types are taken as they stand: "3" is no number, 1 is no boolean."""

    model_config = ConfigDict(strict=True)


class Exchange(Record):
    """What was asked and what came back, without what differs from run to run.

    `key` is the answer's key in the response store, which holds the whole answer; None where
    another program asked.
    """

    prompt: str | None = None
    response: dict[str, Any] | None = None
    key: str | None = None
