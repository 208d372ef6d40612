"""dvc.yaml and dvc.lock, as DVC wrote them and as somebody spoilt them."""

from pathlib import Path

import pytest
from support.project import ROOT
from typer.testing import CliRunner

from seedbed.cli import app
from seedbed.errors import BadFile, BadRow
from seedbed.runs.pipeline import LOCK, PIPELINE, Pipeline, read_yaml

DEEP = "stages: &a {bootstrap: {params: {params.yaml: {x: *a}}}}\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (PIPELINE, LOCK):
        path.write_bytes((ROOT / path).read_bytes())


def test_the_projects_own_are_read() -> None:
    pipeline = Pipeline()
    assert pipeline.recorded("bootstrap")
    assert pipeline.made_of(["prepare"]) == ["bootstrap", "clf", "instances", "prepare"]
    assert pipeline.ran_with("clf")["clf"]["sampling"]["max_tokens"] == 3
    assert pipeline.description("clf") == "Instructions -> is it a classification task?"
    assert pipeline.writers[Path("data/candidates")] == "candidates"
    assert [path.name for path in pipeline.prompt_files("clf")] == ["is_classification.txt"]


@pytest.mark.parametrize("command", [["trace", "data/prepare/x.jsonl:1"], ["report"], ["export"]])
@pytest.mark.parametrize(
    ("path", "content", "line", "said"),
    [
        (LOCK, "stages: 5\n", 1, "stages: "),
        (LOCK, "stages: [a]\n", 1, "stages: "),
        (LOCK, "schema: '2.0'\nstages:\n  clf: 5\n", 3, "stages.clf: "),
        (LOCK, "stages:\n  clf:\n    deps: 5\n", 3, "stages.clf.deps: "),
        (LOCK, "stages:\n  clf:\n    deps: [{md5: a}]\n", 3, "stages.clf.deps.0.path: "),
        (LOCK, "stages:\n  clf:\n    outs:\n    - path: 5\n", 4, "stages.clf.outs.0.path: "),
        (LOCK, "stages:\n  clf:\n    params: {p.yaml: 1}\n", 3, "stages.clf.params.p.yaml: "),
        (LOCK, "stages:\n  2024-13-01: {}\n", None, "DVC cannot read it: "),
        (LOCK, "stages: [\n", 2, "while parsing"),
        (LOCK, "stages: {a: {}, a: {}}\n", 1, "found duplicate key"),
        (LOCK, DEEP, 1, "nested more than"),
        (LOCK, "5\n", None, "holds a int, not a mapping"),
        (LOCK, "\0", 1, "the character"),
        (PIPELINE, "stages: 5\n", 1, "stages: "),
        (PIPELINE, "stages: {clf: 5}\n", 1, "stages.clf: "),
        (PIPELINE, "stages: {clf: {outs: 5}}\n", 1, "stages.clf.outs: "),
        (PIPELINE, "stages:\n  clf:\n    outs: [5]\n", 3, "stages.clf.outs.0"),
        (PIPELINE, "stages:\n  clf:\n    outs: [{}]\n", 3, "stages.clf.outs.0"),
        (PIPELINE, "stages:\n  clf:\n    deps: [[]]\n", 3, "stages.clf.deps.0: "),
        (PIPELINE, "stages:\n  clf:\n    desc: [1]\n", 3, "stages.clf.desc: "),
        (PIPELINE, "stages: &a {clf: *a}\n", 1, "nested more than"),
    ],
)
def test_a_spoilt_file_is_one_error_with_its_line(
    tmp_path: Path, command: list[str], path: Path, content: str, line: int | None, said: str
) -> None:
    path.write_text(content)
    arguments = [*command, str(tmp_path / "out")] if command == ["export"] else command
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit), done.exception
    where = f"{path}:{line}" if line else path
    assert done.output.startswith(f"seedbed {command[0]}: {where}: {said}"), done.output


def test_a_pipeline_with_forms_of_its_own_is_read() -> None:
    PIPELINE.write_text(
        "stages:\n  many:\n    foreach: {1: a, no: b}\n    do: {cmd: ls, outs: ['${key}']}\n"
        "  one:\n    cmd: ls\n    outs:\n      - a\n      - b: {cache: false}\n    frozen: true\n"
    )
    LOCK.unlink()
    assert Pipeline().writers == {Path("a"): "one", Path("b"): "one"}


def test_numbers_are_read_as_dvc_writes_them() -> None:
    Path("a.yaml").write_text("x: 1e-06\n")
    assert read_yaml(Path("a.yaml")) == {"x": 1e-06}


def test_what_is_missing_or_no_text_is_named() -> None:
    with pytest.raises(BadFile, match=r"a\.yaml: no such file"):
        read_yaml(Path("a.yaml"))
    Path("a.yaml").write_bytes(b"\xff\xfex\0")
    with pytest.raises(BadFile, match=r"a\.yaml: is UTF-16"):
        read_yaml(Path("a.yaml"))
    Path("a.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(BadRow, match=r"a\.yaml:2: "):
        read_yaml(Path("a.yaml"))
