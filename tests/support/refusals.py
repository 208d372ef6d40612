"""What bootstrap says of input that it refuses, run where no model can answer."""

import contextlib
import os
import socket
from unittest.mock import patch

from typer.testing import CliRunner

from seedbed.cli import app
from support.project import Project, environment


def nobody_there() -> str:
    """The address of a server that is not running."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def run_bootstrap(project: Project, process: bool = False, **more: str) -> str:
    """Run the command where no model can answer; give what it said.

    Whatever is wrong, it must fail with a message and write nothing.

    process: as a process of its own, which takes two seconds to start.
    """
    before = project.run("git", "status", "--porcelain").stdout
    more = {"OPENAI_BASE_URL": nobody_there(), "SEEDBED_MAX_RETRIES": "0"} | more
    if process:
        done = project.stage("bootstrap", **more)
        code, output = done.returncode, done.stdout
    else:
        with (
            contextlib.chdir(project.folder),
            patch.dict(os.environ, environment(**more), clear=True),
        ):
            result = CliRunner().invoke(app, ["bootstrap"])
        assert isinstance(result.exception, SystemExit), result.exc_info
        code, output = result.exit_code, result.output
    assert code == 1, output
    assert "Traceback" not in output, output
    assert project.run("git", "status", "--porcelain").stdout == before
    assert [path.name for path in (project.folder / "data/bootstrap").iterdir()] == [".gitignore"]
    return output


def refusal(project: Project, **more: str) -> str:
    """What it said without having come as far as to ask the server."""
    output = run_bootstrap(project, **more)
    assert "no answer from" not in output
    return output


def assert_refused(project: Project, *said: str, **more: str) -> None:
    output = refusal(project, **more)
    for part in said:
        assert part in output
