"""What DVC and git recorded: which stage wrote a file, with what, and which revision a file is."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedbed.errors import BadFile

PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as DVC reads it: `1e-06`, as dvc.lock has it, is a text to PyYAML.

    Raises:
        BadFile: it is missing or no YAML.
    """
    # Imported here because the other commands do without it.
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import load_yaml

    try:
        data = load_yaml(str(path))
    except FileNotFoundError:
        raise BadFile(path, "no such file", "Run Seedbed from the project's folder.") from None
    except OSError as error:
        raise BadFile(path, error.strerror or str(error), "It must be a readable file.") from None
    except DvcException as error:
        raise BadFile(path, " ".join(str(error).split()), "Mend the YAML there.") from None
    return data if isinstance(data, dict) else {}


def md5_of(path: Path) -> str | None:
    """A file's MD5, by which DVC knows it; None if it is not there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError:
        return None


class Pipeline:
    """dvc.yaml and dvc.lock."""

    def __init__(self) -> None:
        """Read both. Raises BadFile; a dvc.lock that is missing records nothing."""
        self._stages = read_yaml(PIPELINE).get("stages", {})
        self._locked = read_yaml(LOCK).get("stages", {}) if LOCK.exists() else {}
        # An entry with settings of its own, such as `cache: false`, is a mapping of one name.
        self.writers = {
            Path(out if isinstance(out, str) else next(iter(out))): name
            for name, stage in self._stages.items()
            for out in stage.get("outs", [])
        }

    def stage_of(self, path: Path) -> str:
        """The stage that writes a file; one that dvc.yaml does not name has its folder's name."""
        return str(self.writers.get(path, path.parent.name))

    def prompt_files(self, stage: str) -> list[Path]:
        """The text files among the stage's dependencies."""
        paths = map(Path, self._stages.get(stage, {}).get("deps", []))
        return [path for path in paths if path.suffix == ".txt"]

    def compared(self, stage: str, path: Path) -> str:
        """How a dependency or output compares with what dvc.lock recorded when the stage ran."""
        entries = self._locked.get(stage, {})
        for kind in ("deps", "outs"):
            for entry in entries.get(kind, []):
                if entry["path"] == path.as_posix():
                    role = f"what {stage} {'ran with' if kind == 'deps' else 'wrote'}"
                    if entry.get("md5") == md5_of(path):
                        return f"the file is {role} (dvc.lock)"
                    return f"the file is NOT {role}: it has changed since (dvc.lock)"
        return f"the file is not in dvc.lock's record of {stage}"

    def parameters(self, stage: str) -> Iterator[tuple[str, Any, Any]]:
        """Name, value when the stage ran, value now: of every parameter that dvc.lock records.

        A parameter that came since has the value MISSING when the stage ran, one that went, now.
        """
        for file, then in self._locked.get(stage, {}).get("params", {}).items():
            path = Path(file)
            current = read_yaml(path) if path.exists() else {}
            now = {name: _at(current, name) for name in then}
            before, after = dict(_leaves(then)), dict(_leaves(now))
            for name in {**before, **after}:
                yield name, before.get(name, MISSING), after.get(name, MISSING)


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


def _leaves(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict) and data:
        for part, value in data.items():
            yield from _leaves(value, f"{name}.{part}" if name else str(part))
    elif data is not MISSING:
        yield name, data


def revision(path: Path) -> str:
    """The last commit that touched a file, such as `7c67ffd of 2026-11-20`, and what came since."""
    known, said = _git("log", "-1", "--format=%h of %cs", "--", str(path))
    if not known:
        return f"not in git ({said})" if said else "not in git"
    if not said:
        return "not in git: it was never committed"
    _, changes = _git("status", "--porcelain", "--", str(path))
    return f"{said}, with uncommitted changes" if changes else said


def _git(*arguments: str) -> tuple[bool, str]:
    """Whether git knew an answer, and what it said."""
    git = shutil.which("git")
    if git is None:
        return False, "there is no git here"
    done = subprocess.run(  # noqa: S603 - no shell, and paths stand after `--`
        # A look should not take the lock that a commit may be waiting for.
        [git, "--no-optional-locks", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return True, done.stdout.strip()
    said = done.stderr.strip().partition("\n")[0]
    return False, "" if "not a git repository" in said else said
