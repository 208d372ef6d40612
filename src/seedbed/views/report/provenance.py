"""What was run: commit, parameters, model and packages."""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from seedbed.auto_instruct.candidate_files import ORIGINS
from seedbed.auto_instruct.label_file import HEADERS
from seedbed.auto_instruct.rows import LABELLED, Candidate
from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.llm.store.place import default_path
from seedbed.llm.store.reading import requests_of
from seedbed.runs.git import git
from seedbed.runs.pipeline import MISSING, Pipeline
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    RAW_INSTANCES,
    ClassifiedInstruction,
)

# What may change a result, or draws the page. The server's engine is told with the model.
PACKAGES = ("dvc", "numpy", "openai", "pydantic", "rapidfuzz", "rouge-score", "vl-convert-python")
# Of each task that many labelled examples are enough to know who answered.
EXAMPLES = 1


@dataclass(frozen=True)
class Commit:
    """HEAD. date: as git has it, with the committer's time zone. changed: tracked files."""

    id: str
    date: str
    subject: str
    changed: list[str]


def commit() -> Commit | None:
    """None where there is no commit, or no git.

    Untracked files are left out: the report itself may be one.
    """
    known, said = git("log", "-1", "--format=%H%n%cs%n%s")
    if not known:
        return None
    id_, date, subject = (*said.split("\n", 2), "", "")[:3]
    known, changed = git("diff", "--name-only", "HEAD")
    return Commit(id_, date, subject, changed.split("\n") if changed else [])


def packages() -> dict[str, str]:
    """Python and the packages that are installed, with their versions."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Parameter:
    """A parameter as dvc.lock recorded it. now: None if params.yaml has the same."""

    name: str
    value: str
    now: str | None
    stages: list[str]


def parameters(pipeline: Pipeline, stages: Iterable[str]) -> list[Parameter]:
    """All that dvc.lock recorded; one that stages ran with in two ways stands there twice."""
    found: dict[tuple[str, str], Parameter] = {}
    for stage in stages:
        for name, then, now in pipeline.parameters(stage):
            value = _json(then)
            changed = None if then == now else _json(now)
            one = found.setdefault((name, value), Parameter(name, value, changed, []))
            one.stages.append(stage)
    return sorted(found.values(), key=lambda one: not one.name.startswith("llm."))


def _json(value: Any) -> str:
    return "none" if value is MISSING else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Model:
    """Who answered, as answers are kept under it: see `seedbed.llm.contract.request`."""

    identity: Mapping[str, Any]
    stages: list[str]


def models() -> tuple[list[Model], int]:
    """The models that the rows' answers are of, as the response store has them.

    Returns:
        the models, and how many of the answers that were looked up the store lacks.

    Raises:
        StoreFailed, NoRepository; BadFile and BadRow as `read_rows`.
    """
    found: dict[str, list[str]] = {}
    missing = 0
    for stage, keys in _keys().items():
        there = [model for _, model, _ in requests_of(default_path(), sorted(keys))]
        for model in dict.fromkeys(there):
            found.setdefault(model, []).append(stage)
        missing += len(keys) - len(there)
    return [Model(json.loads(model), stages) for model, stages in found.items()], missing


class _Keyed(Record):
    key: str | None = None


class _Made(Record):
    metadata: _Keyed


class _Answered(Record):
    instance_metadata: _Keyed


class _Labelled(Record):
    instruction_keys: list[str] = Field(default_factory=list)


def _keys() -> dict[str, set[str]]:
    """For each stage that asks, the keys of the answers that its rows are made of."""
    keys: dict[str, set[str]] = {}
    if _there(INSTRUCTIONS):
        made = read_rows(INSTRUCTIONS, _Made)
        keys["bootstrap"] = {one.metadata.key for one in made if one.metadata.key}
    if _there(CLASSIFIED):
        classified = read_rows(CLASSIFIED, ClassifiedInstruction)
        keys["clf"] = {one.key for one in classified if one.key}
    if _there(RAW_INSTANCES):
        rows = read_rows(RAW_INSTANCES, _Answered)
        keys["instances"] = {one.instance_metadata.key for one in rows if one.instance_metadata.key}
    if _there(ORIGINS):
        keys["candidates"] = {one.key for one in read_rows(ORIGINS, Candidate) if one.key}
    for path in sorted(LABELLED.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in islice(lines, HEADERS, HEADERS + EXAMPLES):
                own = _Labelled.model_validate_json(line).instruction_keys
                keys.setdefault("label", set()).update(own)
    return keys


def _there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
