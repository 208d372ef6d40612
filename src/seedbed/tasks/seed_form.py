"""Tasks in the form of Self-Instruct's seed tasks, as its user-oriented ones are in too."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from seedbed.core.files import read_named
from seedbed.core.records import Record
from seedbed.tasks.niv2 import Demo, Example, Task


def _listed(output: Any) -> Any:
    """Several outputs are equally right; one may stand without the list."""
    return [output] if isinstance(output, str) else output


class _Instance(Record):
    input: str
    output: Annotated[list[str], BeforeValidator(_listed)] = Field(min_length=1)


class _SeedForm(Record):
    """What is read of a line. motivation_app: what a user-oriented task was written for."""

    id: str = Field(min_length=1)
    instruction: str = Field(pattern=r"\S")
    instances: list[_Instance] = Field(min_length=1)
    demos: list[Demo] = Field(default=[])
    is_classification: bool = False
    motivation_app: str = ""


def read_seed_form(path: Path) -> list[Task]:
    """The tasks of a file, in order; an example's id is its place among its task's, from 0.

    They have no closed set of labels, and demos only where a line has some; one that does not say
    what it is, is no classification.

    Raises:
        BadFile, BadRow: as `read_named`.
    """
    return [
        Task(
            name=row.id,
            instruction=row.instruction.strip(),
            demos=row.demos,
            examples=[
                Example(id=str(number), input=instance.input, targets=instance.output)
                for number, instance in enumerate(row.instances)
            ],
            is_classification=row.is_classification,
            labels=[],
            categories=[row.motivation_app] if row.motivation_app else [],
        )
        for row in read_named(path, _SeedForm, "id")
    ]
