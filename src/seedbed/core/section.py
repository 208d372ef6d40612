"""What the sections of params.yaml are made of."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section: nothing is converted, no name is unknown, no number is none."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def place(text: str) -> str:
    """The text itself. Raises ValueError: it cannot name a file or folder."""
    if "\0" in text:
        raise ValueError("no file or folder can have a NUL character in its name")
    return text
