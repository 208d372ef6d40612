"""What DVC and git recorded: which stage wrote a file, with what, and which revision a file is."""

import hashlib
import os.path
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.files import exists
from seedbed.core.paths import PARAMS
from seedbed.errors import BadFile
from seedbed.runs.changes import changed, changes_in
from seedbed.runs.errors import NotOneRun
from seedbed.runs.plain_yaml import read_yaml
from seedbed.runs.stages import Entry, Locked, Stage, recorded_of, stages_of

PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
# A folder of it may have a dvc.yaml of its own.
PIPELINES = Path("pipelines")


def md5_of(path: Path) -> str | None:
    """A file's MD5, by which DVC knows it; None if it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError:
        return None


def pipelines() -> list[Path]:
    """The project's dvc.yaml, and those of what the first run does not make."""
    return [PIPELINE, *sorted(PIPELINES.glob(f"**/{PIPELINE}"))]


class Pipeline:
    """Every dvc.yaml, with its dvc.lock.

    A stage goes by the name that DVC's commands take, `pipelines/evaluate/dvc.yaml:judge` if its
    dvc.yaml is not that of the project's folder; paths are as seen from that folder.
    """

    def __init__(self) -> None:
        """Read them, and the first run's dvc.lock; another when one of its stages is asked for.

        Raises:
            BadFile, BadRow, BadParam: one of them is broken, or there is no dvc.yaml. So do the
                methods that ask a dvc.lock; one that is missing records nothing.
        """
        self._read: dict[Path, dict[str, Any]] = {}
        self._stages: dict[str, Stage] = {}
        # dvc.yaml → its stages, by their names in it.
        self._named: dict[Path, dict[str, Stage]] = {}
        self._recorded: dict[Path, dict[str, Locked]] = {}
        for path in pipelines():
            data = read_yaml(path)
            self._current(path.parent / PARAMS)  # DVC fills it in, and its errors know no line
            self._named[path] = stages_of(path, data)
            for name, stage in self._named[path].items():
                self._stages[_prefix(path) + name] = stage
        self._lock(PIPELINE)
        self.writers = {
            Path(out): name for name, stage in self._stages.items() for out in stage.outs
        }
        self._folders: dict[str, dict[Path, _Folder] | str] = {}

    @property
    def stages(self) -> Mapping[str, Stage]:
        """Every stage, by the name that DVC's commands take, in the order of the files."""
        return self._stages

    def stage_of(self, path: Path) -> str:
        """The stage that writes a file; one that dvc.yaml does not name has its folder's name."""
        return str(self.writers.get(path) or self.writers.get(path.parent, path.parent.name))

    def prompt_files(self, stage: str) -> list[Path]:
        """The text files among the stage's dependencies."""
        paths = map(Path, self._stages.get(stage, Stage()).deps)
        return [path for path in paths if path.suffix == ".txt"]

    def compared(self, stage: str, path: Path) -> str:
        """How a dependency or output, or what lies in one, compares with what dvc.lock recorded."""
        locked = self._locked(stage)
        for entries, role in (
            (locked.deps, f"what {stage} ran with"),
            (locked.outs, f"what {stage} wrote"),
        ):
            same = self._same(stage, entries, path)
            if same is None:
                continue
            if isinstance(same, str):
                return f"whether the file is {role} is not known: {same}"
            if same:
                return f"the file is {role} (dvc.lock)"
            return f"the file is NOT {role}: it has changed since (dvc.lock)"
        return f"the file is not in dvc.lock's record of {stage}"

    def _same(self, stage: str, entries: list[Entry], path: Path) -> bool | str | None:
        """Whether a file is as dvc.lock recorded it; a text, why that is not known.

        None if it is not among `entries`, which are the stage's dependencies or outputs.
        """
        for entry in entries:
            recorded = Path(entry.path)
            if recorded == path:
                return entry.md5 == md5_of(path)
            if recorded in path.parents:
                return self._compared_within(stage, recorded, path)
        return None

    def _compared_within(self, stage: str, folder: Path, path: Path) -> bool | str:
        """Whether what lies in a dependency or output is the same, or why that is not known.

        dvc.lock has one digest for all of a folder, and DVC's cache, for an output, its list.
        """
        if stage not in self._folders:
            self._folders[stage] = _folders_as_recorded(stage)
        folders = self._folders[stage]
        if isinstance(folders, str):
            return folders
        if folder not in folders:
            return f"dvc.yaml does not name {folder} any more"
        now = folders[folder]
        if now.same:
            return True
        if now.files is None:
            return f"something in {folder} has changed since (dvc.lock)"
        return now.files.get(path.relative_to(folder).as_posix()) == md5_of(path)

    def recorded(self, stage: str) -> bool:
        """Whether dvc.lock says what the stage wrote."""
        return stage in self._lock(_file_of(stage))

    def _locked(self, stage: str) -> Locked:
        return self._lock(_file_of(stage)).get(stage, Locked())

    def _lock(self, path: Path) -> dict[str, Locked]:
        """What the dvc.lock beside a dvc.yaml records, by the names that DVC's commands take."""
        if path not in self._recorded:
            lock, named = path.with_name(LOCK.name), self._named.get(path, {})
            found = recorded_of(lock, read_yaml(lock), named) if exists(lock) else {}
            self._recorded[path] = {_prefix(path) + name: one for name, one in found.items()}
        return self._recorded[path]

    def check_written(self, stage: str, path: Path) -> None:
        """Make sure that a file is there, and what the stage wrote.

        Raises:
            BadFile: it is missing, has changed since, or dvc.lock does not know it.
        """
        if not path.exists():
            raise BadFile(
                path,
                f"no such file, though dvc.lock says that {stage} wrote it",
                f"`dvc pull` fetches it if it was pushed; `dvc repro {stage}` makes it.",
            )
        same = self._same(stage, self._locked(stage).outs, path)
        if same is not True:
            why = {None: "dvc.lock does not say so", False: "it has changed since"}
            raise BadFile(
                path,
                f"not what {stage} wrote: {same if isinstance(same, str) else why[same]}",
                f"`dvc checkout --force {path}` brings that back, `dvc repro {stage}` makes it.",
            )

    def made_of(self, stages: Iterable[str]) -> list[str]:
        """The stages and all that they were made of, as dvc.lock has them, in dvc.yaml's order.

        Raises:
            NotOneRun: one of them ran on what another wrote, and that has run again since.
        """
        locked = {name: one for path in self._named for name, one in self._lock(path).items()}
        wrote = {out.path: (name, out.md5) for name, one in locked.items() for out in one.outs}
        made_of, todo = set[str](), list(stages)
        while todo:
            stage = todo.pop()
            if stage in made_of:
                continue
            made_of.add(stage)
            for entry in locked[stage].deps:
                writer, md5 = wrote.get(entry.path, (None, None))
                if writer is not None and md5 != entry.md5:
                    raise NotOneRun(stage, Path(entry.path), writer)
                # What lies in a folder has no digest there, and cannot be compared.
                todo += [name for path, (name, _) in wrote.items() if _overlap(path, entry.path)]
        return sorted(made_of, key=list({**self._stages, **locked}).index)

    def description(self, stage: str) -> str:
        """What dvc.yaml says that the stage does; "" if it does not say."""
        return self._stages.get(stage, Stage()).desc

    def ran_with(self, stage: str) -> dict[str, Any]:
        """The parameters that it ran with, each under the name that the stage declares.

        As dvc.lock records them, and the command changed them.
        """
        locked = self._locked(stage)
        recorded = {name: value for file in locked.params.values() for name, value in file.items()}
        return _changed(recorded, changes_in(locked.cmd))

    def parameters(self, stage: str) -> Iterator[tuple[str, Any, Any]]:
        """Name, value when the stage ran, value now: of every parameter that dvc.lock records.

        A parameter that came since has the value MISSING when the stage ran, one that went, now.
        """
        locked = self._locked(stage)
        changes_then = changes_in(locked.cmd)
        changes_now = changes_in(self._stages.get(stage, Stage()).cmd)
        for file, then in locked.params.items():
            current = self._current(Path(file))
            now = {name: _at(current, name) for name in then}
            before = dict(leaves(_changed(then, changes_then)))
            after = dict(leaves(_changed(now, changes_now)))
            for name in {**before, **after}:
                yield name, before.get(name, MISSING), after.get(name, MISSING)

    def _current(self, path: Path) -> dict[str, Any]:
        if path not in self._read:
            self._read[path] = read_yaml(path) if exists(path) else {}
        return self._read[path]

    def parameter(self, stage: str, name: str) -> Any:
        """A parameter as it was when the stage ran; as it is, where dvc.lock does not say.

        Raises:
            BadFile: params.yaml has no such parameter either, or cannot be read.
        """
        for recorded, then, _ in self.parameters(stage):
            if recorded == name and then is not MISSING:
                return then
        now = _at(self._current(PARAMS), name)
        if now is MISSING:
            raise BadFile(
                PARAMS, f"has no {name}", f"`dvc repro {stage}` records what it runs with."
            )
        return now


def _prefix(path: Path) -> str:
    """What stands before the names of a dvc.yaml's stages."""
    return "" if path == PIPELINE else f"{path.as_posix()}:"


def _file_of(stage: str) -> Path:
    return Path(stage.rpartition(":")[0] or PIPELINE)


def _overlap(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


@dataclass(frozen=True)
class _Folder:
    """A folder beside what dvc.lock says of it.

    same: whether all of it is as it was.
    files: the MD5 that each file had; None if DVC's cache does not have the folder's list.
    """

    same: bool
    files: dict[str, str] | None


def _folders_as_recorded(stage: str) -> dict[Path, _Folder] | str:
    """What DVC makes of a stage's folders; a text, why it cannot say."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    folders = {}
    try:
        # Not `Repo.status`: that waits for a `dvc repro` that is running.
        with Repo() as repo:
            (loaded,) = repo.stage.from_target(stage)
            for entry in (*loaded.deps, *loaded.outs):
                # The value of params.yaml's is a mapping.
                if str(entry.hash_info.value).endswith(".dir"):
                    # Of what lies outside the repository DVC keeps no list.
                    listed = entry.get_obj() if entry.is_in_repo else None
                    files = listed and {"/".join(key): md5.value for key, _, md5 in listed}
                    folder = Path(os.path.relpath(entry.fs_path))
                    folders[folder] = _Folder(not entry.workspace_status(), files)
    except (DvcException, SCMError) as error:
        return " ".join(str(error).split())
    return folders


def _changed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, which may be that of a section, with those changes that are within one."""
    result = dict(values)
    for full, value in changes.items():
        for name, before in values.items():
            if full == name:
                result[name] = value
            elif full.startswith(f"{name}.") and isinstance(before, dict):
                result[name] = changed(result[name], {full.removeprefix(f"{name}."): value})
    return result


class _Missing:
    def __repr__(self) -> str:
        return "none"


MISSING = _Missing()


def _at(data: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(data, dict) or part not in data:
            return MISSING
        data = data[part]
    return data


def leaves(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value under its full name.

    >>> list(leaves({"clf": {"sampling": {"stop": ["a", "b"]}}, "llm.system": None}))
    [('clf.sampling.stop', ['a', 'b']), ('llm.system', None)]
    """
    if isinstance(data, dict) and data:
        for part, value in data.items():
            yield from leaves(value, f"{name}.{part}" if name else str(part))
    elif data is not MISSING:
        yield name, data
