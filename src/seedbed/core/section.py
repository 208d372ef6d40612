"""A section of params.yaml."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def place(text: str) -> str:
    if "\0" in text:
        raise ValueError("no file or folder can have a NUL character in its name")
    return text
