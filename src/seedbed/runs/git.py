"""What git recorded."""

import shutil
import subprocess
from pathlib import Path


def revision(path: Path) -> str:
    """The last commit that touched a file, such as `7c67ffd of 2026-11-20`, and what came since."""
    known, said = git("log", "-1", "--format=%h of %cs", "--", str(path))
    if not known:
        return f"not in git ({said})" if said else "not in git"
    if not said:
        return "not in git: it was never committed"
    _, changes = git("status", "--porcelain", "--", str(path))
    return f"{said}, with uncommitted changes" if changes else said


def git(*arguments: str) -> tuple[bool, str]:
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
    outside = "not a git repository" in said or "outside repository" in said
    return False, "" if outside else said
