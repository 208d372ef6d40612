"""A stage that stands in an experiment several times: what it reads, and where it writes."""

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from seedbed.core.paths import Into
from seedbed.runs.errors import NoSuchInput, NotARound

Inputs = TypeVar("Inputs")


def read_instead(inputs: Inputs, given: Iterable[str]) -> Inputs:
    """The inputs of a stage with some replaced. given: NAME=PATH each. Raises NoSuchInput."""
    known = [field.name for field in fields(inputs)]  # type: ignore[arg-type]
    paths: dict[str, Path] = {}
    for text in given:
        name, _, path = text.partition("=")
        if name not in known or not path:
            raise NoSuchInput(text, known)
        paths[name] = Path(path)
    return replace(inputs, **paths)  # type: ignore[type-var]


def write_into(stage: str, round_: str | None) -> Into:
    """Where a stage writes. round_: None for its own place. Raises NotARound."""
    # It becomes a folder of data/, of metrics/ and of plots/.
    if round_ is not None and not re.fullmatch(r"\w[\w-]*(/\w[\w-]*)*", round_):
        raise NotARound(round_)
    return Into(stage.replace("-", "_"), round_ or "")
