"""A copy of the project in a git repository of its own, where commands can be run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


class Project:
    """A copy of the project's files in a git repository of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        names = git(ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file():  # not what is deleted but not committed yet
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        git(folder, "init", "-q")
        self.commit("Copy the project")

    def commit(self, message: str) -> None:
        git(self.folder, "add", "-A")
        me = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        git(self.folder, *me, "commit", "-q", "--allow-empty", "-m", message)

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; output and errors come as one text, in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment(**more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def stage(self, *names: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "seedbed", *names, PYTHONPATH="src", **more)

    def replace(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))


def environment(**more: str) -> dict[str, str]:
    """Without what somebody may have set for Seedbed, a model's server, DVC or git."""
    own = ("SEEDBED_", "OPENAI_", "DVC_", "GIT_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return clean | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | more


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
