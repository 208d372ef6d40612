"""What bootstrap says of input that it refuses, run where no model can answer."""

import socket

from support.project import Project


def nobody_there() -> str:
    """The address of a server that is not running."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def run_bootstrap(project: Project, **environment: str) -> str:
    """Run the real command where no model can answer; give what it said.

    Whatever is wrong, it must fail with a message and write nothing.
    """
    before = project.run("git", "status", "--porcelain").stdout
    environment = {"OPENAI_BASE_URL": nobody_there(), "SEEDBED_MAX_RETRIES": "0"} | environment
    done = project.stage("bootstrap", **environment)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    assert project.run("git", "status", "--porcelain").stdout == before
    assert [path.name for path in (project.folder / "data/bootstrap").iterdir()] == [".gitignore"]
    return done.stdout


def refusal(project: Project, **environment: str) -> str:
    """What it said without having come as far as to ask the server."""
    output = run_bootstrap(project, **environment)
    assert "no answer from" not in output
    return output


def assert_refused(project: Project, *said: str, **environment: str) -> None:
    output = refusal(project, **environment)
    for part in said:
        assert part in output
