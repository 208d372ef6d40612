"""What the commands say of themselves."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from support.snapshots import Snapshots
from typer.testing import CliRunner

from seedbed.cli import app


def test_every_command_has_the_help_that_was_read(
    snapshot: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    helps = [help_of(words) for words in commands(typer.main.get_command(app))]
    snapshot("help", "\n".join(helps))


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of the command, and then those of the commands in it."""
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


def help_of(words: tuple[str, ...]) -> str:
    words = (*words, "--help")
    done = CliRunner().invoke(app, words, prog_name="seedbed")
    assert done.exit_code == 0
    # Without colours, which a server that runs the tests may ask for.
    lines = [
        line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", done.output).strip().splitlines()
    ]
    return "\n".join([f"$ seedbed {' '.join(words)}", "", *lines, ""])
