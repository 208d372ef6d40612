"""Instruction backtranslation as DVC runs it, on a few documents and a server that scores."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.project import Project, environment
from support.ranking import Scoring, chance, scoring

from seedbed.views.preview.look import look

LOCK = "pipelines/backtranslation/dvc.lock"
STAGES = "pipelines/backtranslation/dvc.yaml"
KEPT = ("bean-soups", "burns-and-scalds", "compost", "eclipses")
MADE = (
    "data/segment/segments.jsonl",
    "data/backtranslation/round-2/curate/pairs.jsonl",
    "data/assessed/round-2/assess/swapped.jsonl",
    "data/combine/seed_and_curated/finetuning.jsonl",
    "data/judge/rows.jsonl",
    "data/ifd/rows.jsonl",
)

# One process, since both begin with the same run.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("backtranslation")]


def small(folder: Path) -> Project:
    project = Project(folder, pipelines=("backtranslation",))
    for path in (project.folder / "data/corpus").iterdir():
        if path.stem not in KEPT:
            path.unlink()
    for name, value in {
        "llm.model": "served-model",
        "augment.demos": 2,
        "curate.demos": 2,
        "curate.swapped": 2,
        "judge.swapped": 2,
        "assess.resamples": 100,
    }.items():
        project.set(name, value)
    rows = [
        f'{{"messages": [{{"role": "user", "content": "Say {n}."}}, '
        f'{{"role": "assistant", "content": "It is {n}."}}], "id": "{n}", "key": null}}\n'
        for n in range(6)
    ]
    # What is judged is made here, so that no stage of the first run has to make it.
    project.replace("params.yaml", "rows: data/prepare/messages.jsonl", "rows: rows.jsonl")
    (project.folder / "rows.jsonl").write_text("".join(rows))
    (project.folder / LOCK).unlink(missing_ok=True)
    return project


@pytest.fixture(scope="module")
def server() -> Iterator[Scoring]:
    def reply(prompt: str) -> str:
        return f" Tell me about thing number {int(1000 * chance(prompt))} of them."

    with scoring(reply=reply) as served:
        yield served


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, server: Scoring
) -> tuple[Project, list[str], float]:
    """A project that has run, the stages that did, and how many seconds that took."""
    project = small(tmp_path_factory.mktemp("undisturbed") / "project")
    begun = time.monotonic()
    ran = repro(project, server)
    return project, ran, time.monotonic() - begun


def repro(project: Project, server: Scoring, *stages: str) -> list[str]:
    done = project.run("dvc", "repro", *(stages or (STAGES,)), OPENAI_BASE_URL=server.url)
    assert done.returncode == 0, done.stdout
    began = f"Running stage '{STAGES}:"
    lines = done.stdout.splitlines()
    return [line.removeprefix(began).rstrip("':") for line in lines if line.startswith(began)]


@pytest.mark.parametrize("stage", ["augment", "curate@round-2", "assess", "judge", "ifd"])
def test_what_a_preview_asks_the_run_has_asked(
    undisturbed: tuple[Project, list[str], float],
    server: Scoring,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    monkeypatch.chdir(undisturbed[0].folder)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.delenv("SEEDBED_STORE", raising=False)
    sent = len(server.bodies)
    seen = look(stage, 3)
    assert len(seen.samples) == 3
    assert all(sample.asked and sample.made for sample in seen.samples)
    assert (seen.sent, len(server.bodies)) == (0, sent)


def test_killed_replayed_and_in_another_clone_it_makes_the_same_bytes(
    undisturbed: tuple[Project, list[str], float], server: Scoring, tmp_path: Path
) -> None:
    project, ran, whole = undisturbed
    killed = small(tmp_path / "killed")
    assert {"augment@round-1", "curate@round-2", "assess@round-1", "judge", "ifd"} <= {*ran}
    moments = random.Random(3)
    for _ in range(3):
        process = subprocess.Popen(
            ["dvc", "repro", STAGES],
            cwd=killed.folder,
            env=environment(OPENAI_BASE_URL=server.url),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0.1, 0.6) * whole)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        killed.mend_lock(LOCK)
    repro(killed, server)
    assert killed.read(LOCK) == project.read(LOCK)
    for name in MADE:
        assert killed.read(name) == project.read(name), name
    # All answers are there, so nothing is sent, and the same comes of it.
    before = {name: project.read(name) for name in MADE}
    sent = len(server.bodies)
    done = project.run("dvc", "repro", "--force", STAGES, OPENAI_BASE_URL=server.url)
    assert done.returncode == 0, done.stdout
    assert len(server.bodies) == sent
    assert {name: project.read(name) for name in MADE} == before


def test_one_more_round_runs_that_round_and_what_is_made_of_the_last(
    undisturbed: tuple[Project, list[str], float], server: Scoring, tmp_path: Path
) -> None:
    project = undisturbed[0].copy(tmp_path / "project")
    line = "    round-2: {before: round-1}\n"
    project.replace("params.yaml", line, line + "    round-3: {before: round-2}\n")
    ran = repro(project, server)
    assert {"augment@round-3", "curate@round-3", "assess@round-3"} <= {*ran}
    assert not [stage for stage in ran if stage.endswith(("@round-1", "@round-2"))]
    assert not {"segment", "judge", "ifd", "combine"} & {*ran}
    project.set("backtranslation.last", "round-3")
    ran = repro(project, server)
    assert "combine" in ran
    assert not [stage for stage in ran if "@" in stage]
