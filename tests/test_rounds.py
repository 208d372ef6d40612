"""A stage may stand in an experiment several times, each with files of its own."""

from pathlib import Path

import pytest
from support.growing import growing, small
from support.project import Project

from seedbed.core.paths import Into
from seedbed.errors import SeedbedError
from seedbed.runs.errors import NoSuchInput, NotARound
from seedbed.runs.rounds import read_instead, write_into
from seedbed.self_instruct import prepare

ROUNDS = """
  prepare-rounds:
    foreach: {r1: instances, r2: instances}
    do:
      cmd: >-
        PYTHONPATH=src python -m seedbed prepare --round ${key}
        --input raw_instances=data/${item}/machine_generated_instances.jsonl
      deps:
        - data/${item}/machine_generated_instances.jsonl
      params:
        - prepare
      outs:
        - data/${key}/prepare
      metrics:
        - metrics/${key}/prepare.json:
            cache: false
"""


def test_a_round_has_a_folder_of_its_own_for_data_metrics_and_plots() -> None:
    own, second = write_into("relabel-and-pick", None), write_into("relabel-and-pick", "models/r-2")
    assert own == Into("relabel_and_pick")
    assert (own.folder, own.metrics, own.plot("x")) == (
        Path("data/relabel_and_pick"),
        Path("metrics/relabel_and_pick.json"),
        Path("plots/x.json"),
    )
    assert (second.folder, second.metrics, second.plot("x")) == (
        Path("data/models/r-2/relabel_and_pick"),
        Path("metrics/models/r-2/relabel_and_pick.json"),
        Path("plots/models/r-2/x.json"),
    )


def test_an_input_is_replaced_by_name_and_the_others_stay() -> None:
    inputs = read_instead(prepare.Inputs(), ["seed_tasks=a=b.jsonl"])
    assert inputs == prepare.Inputs(seed_tasks=Path("a=b.jsonl"))


@pytest.mark.parametrize("text", ["", "seed_tasks", "seed_tasks=", "seeds=x", "__class__=x"])
def test_an_input_that_is_none_is_told_with_those_there_are(text: str) -> None:
    with pytest.raises(NoSuchInput, match="raw_instances, classified, seed_tasks"):
        read_instead(prepare.Inputs(), [text])


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/../b", "a//b", "a/", "/tmp", ".", "a b", "$(x)", "-"]
)
def test_a_round_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(NotARound) as failure:
        write_into("prepare", name)
    assert isinstance(failure.value, SeedbedError)


@pytest.mark.slow
def test_dvc_runs_a_stage_in_rounds(project: Project) -> None:
    small(project)
    project.replace("dvc.yaml", "\nartifacts:", f"{ROUNDS}\nartifacts:")
    with growing() as server:
        done = project.run("dvc", "repro", "prepare", "prepare-rounds", OPENAI_BASE_URL=server.url)
    assert done.returncode == 0, done.stdout
    rows = project.read("data/prepare/finetuning.jsonl")
    for key in ("r1", "r2"):
        assert project.read(f"data/{key}/prepare/finetuning.jsonl") == rows
        assert project.read(f"metrics/{key}/prepare.json") == project.read("metrics/prepare.json")
