"""dvc.yaml and dvc.lock, as DVC wrote them and as somebody spoilt them."""

from pathlib import Path

import pytest
from dvc.repo import Repo
from support.project import ROOT
from typer.testing import CliRunner

from seedbed.cli import app
from seedbed.core.paths import PARAMS
from seedbed.errors import BadFile, BadParam, BadRow
from seedbed.runs.pipeline import LOCK, PIPELINE, Pipeline
from seedbed.runs.plain_yaml import read_yaml

DEEP = "stages: &a {bootstrap: {params: {params.yaml: {x: *a}}}}\n"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (PIPELINE, LOCK, PARAMS):
        path.write_bytes((ROOT / path).read_bytes())


def test_the_projects_own_are_read() -> None:
    pipeline = Pipeline()
    assert pipeline.recorded("bootstrap")
    assert pipeline.made_of(["prepare"]) == ["bootstrap", "clf", "instances", "prepare"]
    assert pipeline.ran_with("clf")["clf"]["sampling"]["max_tokens"] == 3
    assert pipeline.description("clf") == "Instructions -> is it a classification task?"
    assert pipeline.writers[Path("data/candidates")] == "candidates"
    assert [path.name for path in pipeline.prompt_files("clf")] == ["is_classification.txt"]


@pytest.mark.slow
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
        (
            PIPELINE,
            "stages:\n  clf:\n    foreach: [1]\n    do:\n      outs: 5\n",
            5,
            "stages.clf.do.outs: ",
        ),
        (PIPELINE, "stages: {clf: {cmd: ls, deps: ['${no}']}}\n", None, "DVC cannot read it: "),
        (PIPELINE, "stages: {clf: {foreach: 5, do: {cmd: ls}}}\n", None, "DVC cannot read it: "),
        (PIPELINE, "stages: {clf: {matrix: 5, cmd: ls}}\n", None, "DVC cannot read it: "),
        (PARAMS, "a: [\n", 2, "while parsing"),
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


GROWN = """
stages:
  train:
    foreach: ${rounds}
    do:
      desc: Round ${key}
      cmd: mkdir -p data/${key} && echo ${item.seed} | tee data/${key}/model
      deps: ["data/prompts/${item.prompt}"]
      params: ["rounds.${key}"]
      outs: ["data/${key}"]
  compare:
    matrix:
      a: [x, y]
      b: [1]
    cmd: echo ${item.a} > data/${item.a}.txt
    frozen: false
    outs:
      - "data/${item.a}.txt": {cache: false}
"""
BESIDE = """
vars: [../../params.yaml]
stages:
  judge:
    wdir: ../..
    desc: Judges ${judged}
    cmd: cat data/${judged}/model > data/judged.txt
    deps: ["data/${judged}"]
    params: [judged]
    outs: [data/judged.txt]
  note:
    cmd: echo note > note.txt
    outs: [note.txt]
"""
JUDGE, NOTE = (f"pipelines/evaluate/dvc.yaml:{name}" for name in ("judge", "note"))


@pytest.fixture
def grown(tmp_path: Path) -> Repo:
    """A pipeline with rounds, and another one beside it, as DVC ran them."""
    LOCK.unlink()
    PIPELINE.write_text(GROWN)
    beside = Path("pipelines/evaluate")
    beside.mkdir(parents=True)
    (beside / PIPELINE).write_text(BESIDE)
    PARAMS.write_text(
        "rounds: {r1: {seed: 7, prompt: a.txt}, r2: {seed: 8, prompt: b.txt}}\njudged: r2\n"
    )
    Path("data/prompts").mkdir(parents=True)
    for name in "ab":
        Path(f"data/prompts/{name}.txt").write_text(name)
    repo = Repo.init(no_scm=True)
    repo.reproduce(all_pipelines=True)
    return repo


def test_rounds_and_pipelines_beside_go_by_the_names_and_paths_that_dvc_has(grown: Repo) -> None:
    assert Pipeline().writers == {
        Path(out.fs_path).relative_to(grown.root_dir): stage.addressing
        for stage in grown.index.stages
        for out in stage.outs
    }
    assert {JUDGE, NOTE, "train@r2", "compare@x-1"} < set(Pipeline().writers.values())


def test_rounds_and_pipelines_beside_have_their_record(grown: Repo) -> None:
    pipeline = Pipeline()
    assert pipeline.stage_of(Path("data/r2/model")) == "train@r2"
    assert pipeline.description("train@r2") == "Round r2"
    assert pipeline.prompt_files("train@r2") == [Path("data/prompts/b.txt")]
    assert pipeline.ran_with("train@r2") == {"rounds.r2": {"seed": 8, "prompt": "b.txt"}}
    assert pipeline.description(JUDGE) == "Judges r2"
    assert pipeline.made_of([JUDGE]) == ["train@r2", JUDGE]
    wrote = "the file is what {0} wrote (dvc.lock)"
    for path in ("data/r2/model", "data/judged.txt", "pipelines/evaluate/note.txt", "data/x.txt"):
        stage = pipeline.stage_of(Path(path))
        assert pipeline.compared(stage, Path(path)) == wrote.format(stage)
    Path("data/r2/model").write_text("another")
    ran = f"the file is NOT what {JUDGE} ran with: it has changed since (dvc.lock)"
    assert Pipeline().compared(JUDGE, Path("data/r2/model")) == ran
    PARAMS.write_text(PARAMS.read_text().replace("judged: r2", "judged: r1"))
    assert list(Pipeline().parameters(JUDGE)) == [("judged", "r2", "r1")]


def test_a_mistake_in_a_pipeline_beside_is_told_with_its_file_and_line(grown: Repo) -> None:
    path = Path("pipelines/evaluate/dvc.yaml")
    path.write_text("stages:\n  judge:\n    outs: 5\n")
    with pytest.raises(BadParam, match=rf"{path}:3: stages\.judge\.outs: "):
        Pipeline()


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
