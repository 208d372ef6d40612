"""The metrics beside those of an earlier commit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.files import read_text
from seedbed.core.paths import METRICS
from seedbed.errors import BadFile
from seedbed.runs.git import git
from seedbed.runs.pipeline import PIPELINE, leaves
from seedbed.runs.plain_yaml import read_yaml


@dataclass(frozen=True)
class Metric:
    """A metric, before and now; None where it is missing.

    Without an earlier commit both are what it is now.
    """

    name: str
    before: Any
    now: Any

    @property
    def differs(self) -> bool:
        return bool(self.before != self.now)

    @property
    def change(self) -> float | None:
        """The difference; None if one of the two is no number."""
        both = isinstance(self.before, int | float) and isinstance(self.now, int | float)
        return self.now - self.before if both else None

    @property
    def leaf(self) -> str:
        """Its name in its group."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Group:
    """The metrics whose names begin alike, such as the counts of reasons; "" for the others."""

    name: str
    metrics: list[Metric]

    @property
    def idle(self) -> list[Metric]:
        """What never occurred, such as reasons for which nothing was refused."""
        idle = [metric for metric in self.metrics if metric.now == 0 and not metric.differs]
        return idle if len(idle) > 1 else []


@dataclass(frozen=True)
class Compared:
    """The metrics of two states.

    before: the commit compared with, such as `7c67ffd of 2026-11-20`; None if there is none.
    files: the metrics of each file that there is now, or was.
    """

    before: str | None
    files: dict[str, list[Metric]]

    @property
    def differing(self) -> int:
        return sum(metric.differs for metrics in self.files.values() for metric in metrics)


@dataclass(frozen=True)
class Card:
    """The metrics of a file. single: those of each single task, which are folded away."""

    name: str
    differs: bool
    whole: list[Group]
    single: list[Group]

    @property
    def of_single(self) -> list[Metric]:
        return [metric for group in self.single for metric in group.metrics]


def cards(compared: Compared) -> list[Card]:
    """A card a file, in order."""
    made = []
    for path, metrics in compared.files.items():
        members: dict[str, list[Metric]] = {}
        for metric in metrics:
            members.setdefault(metric.name.rpartition(".")[0], []).append(metric)
        groups = [Group(name, of) for name, of in members.items()]
        differs = compared.before is not None and any(metric.differs for metric in metrics)
        whole = [group for group in groups if "." not in group.name]
        single = [group for group in groups if "." in group.name]
        made.append(Card(Path(path).stem, differs, whole, single))
    return made


def compared() -> Compared:
    """The metrics of the working tree, and of the commit before they last changed.

    That is HEAD if they differ from it, HEAD~1 if HEAD changed them, else the parent of the last
    commit that did: a commit that only mends a comment should not hide what the run before gave.

    Raises:
        BadFile: a metrics file is no JSON.
    """
    before = _earlier()
    now = _metrics(None)
    then = _metrics(before) if before else now
    files = {}
    # In the order of the stages; a stage and its metrics file share one name.
    stages = [name.replace("-", "_") for name in read_yaml(PIPELINE).get("stages", {})]
    for file in sorted(
        {**now, **then}, key=lambda file: [Path(file).stem != name for name in stages]
    ):
        old, new = _flat(then.get(file)), _flat(now.get(file))
        files[file] = [Metric(name, old.get(name), new.get(name)) for name in {**new, **old}]
    commit = git("log", "-1", "--format=%h of %cs", before)[1] if before else None
    return Compared(commit, files)


def _flat(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(leaves({name: _as_mapping(value) for name, value in (metrics or {}).items()}))


def _earlier() -> str | None:
    # Those of the run itself: a folder in it is of a round, which the page has nothing of.
    own = f":(glob){METRICS.as_posix()}/*.json"
    known, changed = git("diff", "--name-only", "HEAD", "--", own)
    if not known:
        return None
    if changed:
        return git("rev-parse", "HEAD")[1]
    _, last = git("log", "-1", "--format=%H", "--", own)
    known, parent = git("rev-parse", "--verify", "--quiet", f"{last}~1")
    return parent if last and known else None


def _metrics(revision: str | None) -> dict[str, Mapping[str, Any]]:
    """The content of each metrics file in a revision, None for the working tree."""
    texts = {}
    if revision is None:
        texts = {path.as_posix(): read_text(path) for path in sorted(METRICS.glob("*.json"))}
    else:
        _, listed = git("ls-tree", "--name-only", revision, f"{METRICS.as_posix()}/")
        for path in (path for path in listed.splitlines() if path.endswith(".json")):
            texts[path] = git("show", f"{revision}:./{path}")[1]
    metrics = {}
    for path, text in texts.items():
        try:
            metrics[path] = json.loads(text)
        except ValueError as error:
            raise BadFile(Path(path), f"not JSON: {error}", "`dvc repro` writes it anew.") from None
    return metrics


def _as_mapping(value: Any) -> Any:
    """A table of `seedbed.core.metrics.with_tables` as the mapping that it was."""
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        return value
    cells = [{name: cell for name, cell in row.items() if name != "name"} for row in value]
    return {
        str(row.get("name")): rest["count"] if rest.keys() == {"count"} else rest
        for row, rest in zip(value, cells, strict=True)
    }
