"""The metrics beside those of an earlier commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seedbed.errors import BadFile
from seedbed.paths import METRICS
from seedbed.recorded import PIPELINE, git, leaves

WORKSPACE = "workspace"


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
        BadFile: DVC cannot read the pipeline.
    """
    before = _earlier()
    found = _metrics([WORKSPACE, *([before] if before else [])])
    now = found.get(WORKSPACE, {})
    then = found.get(before, {}) if before else now
    files = {}
    for file in {**now, **then}:
        old, new = _flat(then.get(file)), _flat(now.get(file))
        files[file] = [Figure(name, old.get(name), new.get(name)) for name in {**new, **old}]
    told = git("log", "-1", "--format=%h of %cs", before)[1] if before else None
    return Compared(told, files)


def _flat(metrics: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(leaves(metrics)) if metrics else {}


def _earlier() -> str | None:
    known, changed = git("diff", "--name-only", "HEAD", "--", METRICS.as_posix())
    if not known:
        return None
    if changed:
        return git("rev-parse", "HEAD")[1]
    _, last = git("log", "-1", "--format=%H", "--", METRICS.as_posix())
    known, parent = git("rev-parse", "--verify", "--quiet", f"{last}~1")
    return parent if last and known else None


def _metrics(revisions: list[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """For each revision the content of each metrics file; without those that cannot be read."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo() as repo:
            shown = repo.metrics.show(revs=revisions, hide_workspace=False)
    except (DvcException, SCMError) as error:
        raise BadFile(PIPELINE, " ".join(str(error).split()), "See `dvc metrics show`.") from None
    return {
        # Without git DVC knows no revisions, and calls the working tree "".
        revision or WORKSPACE: {
            file: one["data"]
            for file, one in said.get("data", {}).items()
            if isinstance(one.get("data"), Mapping)
        }
        for revision, said in shown.items()
    }
