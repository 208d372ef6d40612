"""Rounds as DVC runs them, on the packaged model. Needs torch: `make check-train`."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.project import Project, environment

from seedbed.training import lora

PIPELINE = "pipelines/active/dvc.yaml"
LOCK = "pipelines/active/dvc.lock"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("model")]


@pytest.fixture(autouse=True)
def _torch() -> None:
    for package in lora.NEEDED:
        pytest.importorskip(package, reason="make check-train installs it")


def small(project: Project) -> None:
    """Four tasks a round, trained for a step, and no first run that it would begin with."""
    for name, value in {
        "active_pool.chunk": 4,
        "active_pool.dev": 0,
        "active_score.max_tasks": 3,
        "active_score.perturbations": 2,
        "active_score.sampling.max_tokens": 6,
        "active_curve.resamples": 100,
        "evaluate.sampling.max_tokens": 4,
        "finetune.max_steps": 1,
        "finetune.batch": 2,
    }.items():
        project.set(name, value)
    for folder in ("prepare", "clf"):
        (project.folder / "data" / folder).mkdir(exist_ok=True)
    for name, tasks in (("held_out", 3), ("seed_tasks", 30)):
        path = project.folder / f"data/{name}.jsonl"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:tasks]))
    (project.folder / LOCK).unlink(missing_ok=True)


def targets(*rounds: str, scored: tuple[str, ...] = ("start",)) -> list[str]:
    found = ["active-pool@pool"]
    for name in rounds:
        found += [f"active-{what}@{name}" for what in ("select", "train", "evaluate")]
        found += [f"active-score@{name}"] * (name in scored)
    return [f"{PIPELINE}:{stage}" for stage in [*found, "active-curve"]]


def repro(project: Project, stages: list[str]) -> list[str]:
    """The stages that ran, of those alone."""
    done = project.run("dvc", "repro", "--single-item", *stages)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    began = f"Running stage '{PIPELINE}:active-"
    return [line.removeprefix(began).rstrip("':") for line in lines if line.startswith(began)]


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[[str], Project]:
    return lambda name: Project(tmp_path / name, pipelines=("active",))


def test_one_more_round_runs_one_round_and_going_back_trains_nothing(
    new_project: Callable[[str], Project],
) -> None:
    project = new_project("project")
    small(project)
    assert repro(project, targets("start", "uncertain-1")) == [
        "pool@pool",
        *(f"{what}@start" for what in ("select", "train", "evaluate", "score")),
        *(f"{what}@uncertain-1" for what in ("select", "train", "evaluate")),
        "curve",
    ]
    points = json.loads(project.read("metrics/active_curve.json"))["active_point"]
    assert {(row["method"], row["tasks"]) for row in points} == {
        ("high_uncertainty", 4),
        ("high_uncertainty", 8),
    }
    chosen = project.rows("data/active/uncertain-1/active_select/chosen.jsonl")
    assert [row["round"] for row in chosen] == ["start"] * 4 + ["uncertain-1"] * 4
    before = project.read("params.yaml").decode()
    line = "    random-1: {pool: pool, method: random, before: start}\n"
    more = "    again-1: {pool: pool, method: easy, before: start}\n"
    project.replace("params.yaml", line, line + more)
    ran = repro(project, targets("start", "uncertain-1", "again-1"))
    # The pool looks whether it is large enough; its tasks are the same.
    assert ran == ["pool@pool", "select@again-1", "train@again-1", "evaluate@again-1", "curve"]
    (project.folder / "params.yaml").write_text(before)
    ran = repro(project, targets("start", "uncertain-1"))
    assert not [stage for stage in ran if "train" in stage]


def test_rounds_that_are_killed_again_and_again_end_in_the_same_lock(
    new_project: Callable[[str], Project],
) -> None:
    undisturbed, killed = new_project("undisturbed"), new_project("killed")
    stages = targets("start", "uncertain-1")
    for project in (undisturbed, killed):
        small(project)
    begun = time.monotonic()
    repro(undisturbed, stages)
    whole = time.monotonic() - begun
    moments = random.Random(7)
    for _ in range(5):
        process = subprocess.Popen(
            ["dvc", "repro", "--single-item", *stages],
            cwd=killed.folder,
            env=environment(),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0.05, 0.5) * whole)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed.mend_lock(LOCK)
    repro(killed, stages)
    assert killed.read(LOCK) == undisturbed.read(LOCK)
    for name in ("active_score/scores.jsonl", "finetune/adapter.gguf"):
        path = Path("data/active/start") / name
        assert killed.read(str(path)) == undisturbed.read(str(path))
