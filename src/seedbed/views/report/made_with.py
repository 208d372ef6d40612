"""What the run was made with: commit, models, packages and parameters."""

import json
import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from seedbed.llm.store.place import default_path
from seedbed.llm.store.reading import requests_of
from seedbed.runs.git import git
from seedbed.runs.pipeline import MISSING, Pipeline

# What may change a result, or draws the page. The server's engine is told with the model.
PACKAGES = (
    "dvc",
    "jinja2",
    "numpy",
    "openai",
    "pydantic",
    "rapidfuzz",
    "rouge-score",
    "vl-convert-python",
)


@dataclass(frozen=True)
class Commit:
    """HEAD. date: as git has it, with the committer's time zone. changed: tracked files."""

    id: str
    date: str
    subject: str
    changed: list[str]


def commit() -> Commit | None:
    """HEAD; None where there is no commit, or no git.

    It leaves untracked files out: the report itself may be one.
    """
    known, shown = git("log", "-1", "--format=%H%n%cs%n%s")
    if not known:
        return None
    id_, date, subject = (*shown.split("\n", 2), "", "")[:3]
    known, changed = git("diff", "--name-only", "HEAD")
    return Commit(id_, date, subject, changed.split("\n") if changed else [])


def packages() -> dict[str, str]:
    """Python and the packages that are installed, with their versions."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class Parameter:
    """A parameter as dvc.lock recorded it, as JSON. now: None if params.yaml has the same."""

    section: str
    name: str
    value: str
    now: str | None


def parameters(pipeline: Pipeline, stages: Iterable[str]) -> dict[str, list[Parameter]]:
    """All that dvc.lock recorded, by sections, the model's first.

    A parameter that had two values in two stages stands there twice.
    """
    known: dict[tuple[str, str], Parameter] = {}
    for stage in stages:
        for full, then, now in pipeline.parameters(stage):
            changed = None if then == now else _json(now)
            section = full.partition(".")[0]
            name = full.removeprefix(f"{section}.")
            known.setdefault((full, _json(then)), Parameter(section, name, _json(then), changed))
    sections: dict[str, list[Parameter]] = {"llm": []}
    for parameter in known.values():
        sections.setdefault(parameter.section, []).append(parameter)
    return {section: listed for section, listed in sections.items() if listed}


def _json(value: Any) -> str:
    return "none" if value is MISSING else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Model:
    """Who answered, as answers are kept under it: see `seedbed.llm.contract.request`.

    stages: that it answered.
    """

    identity: Mapping[str, Any]
    stages: list[str]

    @property
    def name(self) -> str | None:
        """Its name; None for an embedded model, which is known by its digest alone."""
        return self.identity.get("name") or None

    @property
    def digest(self) -> str | None:
        """The SHA-256 of an embedded model's file; None for another."""
        return self.identity.get("sha256")

    @property
    def engine(self) -> str | None:
        """What runs it, as far as that is known."""
        return self.identity.get("engine") or self.identity.get("server")

    @property
    def settings(self) -> str:
        """Whatever else it is known by."""
        rest = dict(self.identity)
        for name in ("name", "sha256", "engine", *(() if rest.get("engine") else ("server",))):
            rest.pop(name, None)
        return ", ".join(f"{name} {json.dumps(value)}" for name, value in rest.items())


def models(keys: Mapping[str, Collection[str]]) -> tuple[list[Model], int]:
    """The models that answers are of, as the response store has them.

    Args:
        keys: of the answers, for each stage that asked.

    Returns:
        the models, and how many of the answers the store lacks.

    Raises:
        StoreFailed, NoRepository.
    """
    stages_of: dict[str, list[str]] = {}
    missing = 0
    for stage, asked in keys.items():
        there = [model for _, model, _ in requests_of(default_path(), sorted(set(asked)))]
        for model in dict.fromkeys(there):
            stages_of.setdefault(model, []).append(stage)
        missing += len(set(asked)) - len(there)
    return [Model(json.loads(model), stages) for model, stages in stages_of.items()], missing
