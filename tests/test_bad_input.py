"""What is wrong with the input is told before anything is asked or written."""

import codecs
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

import pytest
from support.project import ROOT, Project
from support.refusals import assert_refused, refusal, run_bootstrap
from support.server import Reply, serving

SEEDS = "data/seed_tasks.jsonl"
LINES = (ROOT / SEEDS).read_bytes().splitlines(keepends=True)
FIELDS = "id, name, instruction, instances, is_classification"


@pytest.fixture(scope="module")
def one_copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("bad-input") / "project")


@pytest.fixture
def project(one_copy: Project) -> Iterator[Project]:
    """The same copy for every test, as it was."""
    yield one_copy
    one_copy.run("git", "reset", "-q", "--hard")
    one_copy.run("git", "clean", "-q", "-f", "-d")


def test_with_good_input_it_comes_as_far_as_the_server(project: Project) -> None:
    assert "no answer from http://127.0.0.1:" in run_bootstrap(project, process=True)


# --- the seed tasks


def changed(**fields: object) -> bytes:
    return json.dumps(json.loads(LINES[2]) | fields).encode() + b"\n"


def third(line: bytes) -> bytes:
    """The seed tasks with another third line."""
    return b"".join([*LINES[:2], line, *LINES[3:]])


def without(field: str) -> bytes:
    task = json.loads(LINES[2])
    del task[field]
    return json.dumps(task).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(third(LINES[2][:-20] + b"\n"), [f"{SEEDS}:3: ", FIELDS], id="broken line"),
        pytest.param(third(b"\n"), [f"{SEEDS}:3: ", FIELDS], id="blank line"),
        pytest.param(third(without("name")), [f"{SEEDS}:3: field name", FIELDS], id="no name"),
        pytest.param(
            third(changed(is_classification="no")),
            [f"{SEEDS}:3: field is_classification", "boolean", FIELDS],
            id="wrong type",
        ),
        pytest.param(
            third(changed(instances=[])), [f"{SEEDS}:3: field instances", FIELDS], id="no instance"
        ),
        pytest.param(
            third(changed(instruction=" \t")),
            [f"{SEEDS}:3: field instruction", FIELDS],
            id="blank instruction",
        ),
        pytest.param(
            third(changed(id=json.loads(LINES[0])["id"])),
            [f"{SEEDS}:3: id", "line 1", "Give it its own"],
            id="duplicate id",
        ),
        pytest.param(
            third(LINES[2].replace(b'"name": "', b'"name": "\xff')),
            [f"{SEEDS}:3: not UTF-8 (byte ", "Save it as UTF-8"],
            id="not UTF-8",
        ),
        pytest.param(
            codecs.BOM_UTF8 + b"".join(LINES),
            [f"{SEEDS}:1: begins with a byte order mark", "Save it as UTF-8"],
            id="byte order mark",
        ),
        pytest.param(
            b"".join(LINES).decode().encode("utf-16"),
            [f"{SEEDS}:1: is UTF-16, not UTF-8", "Save it as UTF-8"],
            id="UTF-16",
        ),
        pytest.param(
            third(LINES[2].replace(b'"name": "', b'"name": "\\ud800')),
            [f"{SEEDS}:3: ", "half of a surrogate pair (column ", FIELDS],
            id="half of a surrogate pair",
        ),
        pytest.param(
            b"".join(LINES[:5]), [f"{SEEDS}: 5 seed tasks", "show 8", "Add tasks"], id="too few"
        ),
        pytest.param(b"", [f"{SEEDS}: empty", FIELDS], id="empty"),
        pytest.param(None, [f"{SEEDS}: no such file", "Check the path"], id="missing"),
    ],
)
def test_bad_seed_tasks_are_refused(
    project: Project, content: bytes | None, said: list[str]
) -> None:
    path = project.folder / SEEDS
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert_refused(project, *said)


def test_too_few_classification_seeds_are_counted_apart(project: Project) -> None:
    tasks = [line for line in LINES if not json.loads(line)["is_classification"]]
    (project.folder / SEEDS).write_bytes(b"".join(tasks[:20]))
    project.set("bootstrap.use_clf_seed_tasks_only", True)
    assert_refused(project, f"{SEEDS}: 0 classification seed tasks", "show 8")


# --- the prompt


def test_a_prompt_that_is_missing_is_refused(project: Project) -> None:
    (project.folder / "data/prompts/bootstrap/tasks.txt").unlink()
    assert_refused(project, "data/prompts/bootstrap/tasks.txt: no such file", "Check the path")


# --- the model


def write_gguf(path: Path) -> None:
    path.write_bytes(b"GGUF" + bytes(4096))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda path: None, ["no such file", "Check the path"], id="missing"),
        pytest.param(
            lambda path: path.write_text("I am no model."), ["not a GGUF", "Convert"], id="text"
        ),
        pytest.param(write_gguf, ["cannot load it", "cut short"], id="truncated"),
    ],
)
def test_a_model_that_cannot_be_run_is_refused(
    project: Project, make: Callable[[Path], object], said: list[str]
) -> None:
    project.set("llm.model", "my-model.gguf")
    make(project.folder / "my-model.gguf")
    assert_refused(project, "llm.model", "my-model.gguf", *said, OPENAI_BASE_URL="")


def test_a_model_that_nobody_serves_is_refused(project: Project) -> None:
    project.set("llm.model", "gpt-9")
    said = ("llm.model: gpt-9", ".gguf", "OPENAI_BASE_URL", "OPENAI_API_KEY")
    assert_refused(project, *said, OPENAI_BASE_URL="")


# --- the environment


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SEEDBED_CONCURRENCY", "zero", "a whole number of at least 1"),
        ("SEEDBED_MAX_RETRIES", "-1", "a whole number of at least 0"),
        # No float takes the one, and Python writes no int out of the other.
        ("SEEDBED_PATIENCE", "9" * 400, "a whole number of at least 1"),
        ("SEEDBED_TIMEOUT", "9" * 5000, "a whole number of at least 1"),
    ],
)
def test_a_bad_environment_variable_is_named(
    project: Project, name: str, value: str, expected: str
) -> None:
    said = refusal(project, **{name: value})
    assert f"environment variable {name}=" in said
    assert expected in said
    assert len(said) < 1000


@pytest.mark.parametrize(
    "address",
    [
        "not a url",
        "http://localhost:port/v1",
        "http://localhost:99999/v1",
        "http://[::1/v1",
        "http:/ann:hunter22@host/v1",
        "http://ann:hunter22/x@host/v1",
    ],
)
def test_a_bad_address_is_named_but_not_shown_for_a_password_may_be_in_it(
    project: Project, address: str
) -> None:
    said = refusal(project, OPENAI_BASE_URL=address)
    assert "environment variable OPENAI_BASE_URL: not the address of a server" in said
    assert "http(s)://[user:password@]host[:port]/v1" in said
    assert address not in said
    assert "hunter22" not in said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, ("refused the key (HTTP 401)", "Set OPENAI_API_KEY")),
        (
            404,
            ("does not know the model 'gemma-3-270m-q4_k_m'", "one that it serves: served-model."),
        ),
        (400, ("refused a request (HTTP 400)", "[key] is not welcome", "params.yaml")),
    ],
)
def test_a_server_that_refuses_is_named_and_the_key_is_not(
    project: Project, status: int, said: tuple[str, ...]
) -> None:
    key = "a-key-that-nobody-may-see"

    def refuse(body: dict, headers: Message) -> dict:
        raise Reply(status, json.dumps({"error": {"message": f"{key} is not welcome"}}))

    with serving(refuse) as url:
        assert_refused(project, *said, OPENAI_BASE_URL=url, OPENAI_API_KEY=key)
        assert key not in refusal(project, OPENAI_BASE_URL=url, OPENAI_API_KEY=key)


def test_outside_a_repository_it_says_so(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "seedbed", "clf"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"{tmp_path} is not in a DVC repository" in done.stderr


def test_a_python_without_the_packages_is_named() -> None:
    # -I: no PYTHONPATH and no packages of the user's; -S: none of the environment's.
    run = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_module('seedbed.__main__')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", run, ROOT / "src"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"seedbed: {sys.executable} has no ")
    assert ".venv/bin/activate" in done.stderr
    assert "Traceback" not in done.stderr
