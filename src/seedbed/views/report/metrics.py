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
from seedbed.runs.pipeline import PIPELINE, leaves, read_yaml


@dataclass(frozen=True)
class Figure:
    """A metric. before, now: None where there is none; before is now without an earlier commit."""

    name: str
    before: Any
    now: Any

    @property
    def differs(self) -> bool:
        return bool(self.before != self.now)


@dataclass(frozen=True)
class Compared:
    """before: the commit compared with, such as `7c67ffd of 2026-11-20`; None if there is none.

    files: the metrics of each file that there is now, or was.
    """

    before: str | None
    files: dict[str, list[Figure]]

    @property
    def differing(self) -> int:
        return sum(one.differs for figures in self.files.values() for one in figures)


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
        files[file] = [Figure(name, old.get(name), new.get(name)) for name in {**new, **old}]
    told = git("log", "-1", "--format=%h of %cs", before)[1] if before else None
    return Compared(told, files)


def _flat(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(leaves({name: _as_mapping(one) for name, one in (metrics or {}).items()}))


def _earlier() -> str | None:
    known, changed = git("diff", "--name-only", "HEAD", "--", METRICS.as_posix())
    if not known:
        return None
    if changed:
        return git("rev-parse", "HEAD")[1]
    _, last = git("log", "-1", "--format=%H", "--", METRICS.as_posix())
    known, parent = git("rev-parse", "--verify", "--quiet", f"{last}~1")
    return parent if last and known else None


def _metrics(revision: str | None) -> dict[str, Mapping[str, Any]]:
    """The content of each metrics file in a revision, None for the working tree."""
    texts = {}
    if revision is None:
        texts = {path.as_posix(): read_text(path) for path in sorted(METRICS.glob("*.json"))}
    else:
        _, listed = git("ls-tree", "--name-only", revision, f"{METRICS.as_posix()}/")
        for path in listed.splitlines():
            texts[path] = git("show", f"{revision}:./{path}")[1]
    found = {}
    for path, text in texts.items():
        try:
            found[path] = json.loads(text)
        except ValueError as error:
            raise BadFile(Path(path), f"not JSON: {error}", "`dvc repro` writes it anew.") from None
    return found


def _as_mapping(value: Any) -> Any:
    """A table of `seedbed.core.metrics.with_tables` as the mapping that it was."""
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        return value
    cells = [{name: one for name, one in row.items() if name != "name"} for row in value]
    return {
        str(row.get("name")): own["count"] if own.keys() == {"count"} else own
        for row, own in zip(value, cells, strict=True)
    }
