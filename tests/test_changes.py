"""A stage's command may change some of its parameters, and what looks at a run sees it."""

from typing import Any

import pytest
from support.growing import growing, small
from support.project import Project

from seedbed.runs.changes import changed, changes_in, read_changes
from seedbed.runs.errors import BadChange
from seedbed.runs.pipeline import Pipeline

FEW = """
  bootstrap-few:
    foreach: {two: 2, three: 3}
    do:
      cmd: >-
        PYTHONPATH=src python -m seedbed bootstrap --round ${key}
        --set bootstrap.num_instructions_to_generate=${item} --set 'bootstrap.refused_words=[]'
      deps:
        - data/seed_tasks.jsonl
      params:
        - llm
        - bootstrap
      outs:
        - data/${key}/bootstrap
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("null", None),
        ("", None),
        ("0.5", 0.5),
        ("a b", "a b"),
        ("[{file: x, share: 1.0}]", None),
    ],
)
def test_a_value_is_read_as_it_would_stand_in_params_yaml(text: str, value: Any) -> None:
    value = [{"file": "x", "share": 1.0}] if text.startswith("[") else value
    assert read_changes([f"a.b={text}"]) == {"a.b": value}


@pytest.mark.parametrize("text", ["", "a", "=1", "a=[", "a=1e-6", "a=yes", "a=!!x 1", "a=1\nb: 2"])
def test_what_is_no_change_is_refused_in_one_message(text: str) -> None:
    with pytest.raises(BadChange, match=r"^--set .*\n  Say NAME=VALUE"):
        read_changes([text])


def test_the_same_parameter_is_set_once() -> None:
    with pytest.raises(BadChange, match="set twice"):
        read_changes(["a=1", "a=2"])


def test_a_change_stands_in_a_copy_of_the_sections() -> None:
    before = {"a": {"b": {"c": 1}, "d": 2}}
    assert changed(before, {"a.b.c": 5}) == {"a": {"b": {"c": 5}, "d": 2}}
    assert before == {"a": {"b": {"c": 1}, "d": 2}}
    with pytest.raises(BadChange, match=r"a\.d\.e"):
        changed(before, {"a.d.e": 1})


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        ("seedbed clf", {}),
        ("seedbed clf --set a.b=1 --round r1 --set 'c=[1, 2]'", {"a.b": 1, "c": [1, 2]}),
        (["true", "seedbed clf --set a=1"], {"a": 1}),
        ("seedbed clf --set=a=1 --set b=2", {"a": 1, "b": 2}),
        (["seedbed clf --set a=1", "seedbed clf --set a=2"], {"a": 2}),
        ("seedbed clf --set 'a=1", {}),
        ("seedbed clf --set", {}),
    ],
)
def test_a_commands_changes_are_read_out_of_it(command: Any, changes: dict[str, Any]) -> None:
    assert changes_in(command) == changes


@pytest.mark.slow
def test_a_stage_runs_with_its_changes_and_its_run_is_told_with_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(project)
    project.replace("dvc.yaml", "\nartifacts:", f"{FEW}\nartifacts:")
    with growing() as server:
        done = project.run("dvc", "repro", "bootstrap-few", OPENAI_BASE_URL=server.url)
    assert done.returncode == 0, done.stdout
    for name, count in (("two", 2), ("three", 3)):
        path = f"data/{name}/bootstrap/machine_generated_instructions.jsonl"
        assert len(project.rows(path)) == count
    monkeypatch.chdir(project.folder)
    pipeline = Pipeline()
    assert pipeline.parameter("bootstrap-few@two", "bootstrap.num_instructions_to_generate") == 2
    assert pipeline.ran_with("bootstrap-few@three")["bootstrap"]["refused_words"] == []
    project.replace("dvc.yaml", "{two: 2,", "{two: 4,")
    told = {name: values for name, *values in Pipeline().parameters("bootstrap-few@two")}
    assert told["bootstrap.num_instructions_to_generate"] == [2, 4]
    assert told["bootstrap.refused_words"] == [[], []]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("clf.sampling.max_token=1", "clf.sampling.max_token: there is no such parameter"),
        ("clf.sampling.max_tokens=x", "clf.sampling.max_tokens: "),
        ("bootstrap.seed=1", "--set 'bootstrap.seed"),
        ("clf.sampling={}", "--set 'clf.sampling={}'"),
    ],
)
def test_a_change_that_cannot_be_is_told_as_such(project: Project, change: str, said: str) -> None:
    command = ("python", "-m", "seedbed", "clf", "--set", change)
    done = project.run(*command, PYTHONPATH="src")
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stdout
    assert "Say NAME=VALUE" in done.stdout
