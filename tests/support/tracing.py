"""What the tests of `seedbed trace` share: rows that are changed, and what is told of one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from seedbed.cli import app
from seedbed.llm.store.rows import Kept
from seedbed.views.trace import account

EVIL = "\x1b[2J\x1b]0;title\x07\r\x9b1m\u202eend"


def row(
    request: str, response: str, created_at: str = "2026-01-02 03:04:05", problem: str | None = None
) -> Kept:
    """What the store has under a key."""
    return Kept("k", "b", "{}", request, response, 8, True, problem, 3, 4, created_at)


def edit(path: Path, line: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change one row of a file."""
    lines = path.read_text().splitlines(keepends=True)
    row = json.loads(lines[line - 1])
    change(row)
    lines[line - 1] = json.dumps(row) + "\n"
    path.write_text("".join(lines))


def told(place: object, full: bool = False) -> str:
    return "\n".join(account(str(place), full)) + "\n"


def lock(**stages: dict[str, Any]) -> None:
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def assert_refused_in_plain_text(place: str) -> None:
    result = CliRunner().invoke(app, ["trace", place])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert all(line.isprintable() for line in result.stderr.split("\n")), result.stderr
