"""Each benchmark still runs: at a tiny size, where its figures say nothing about speed."""

import re

import pytest
from support.project import ROOT, Project

# What each prints at its end, once it has measured all that it measures.
ENDINGS = {
    "novelty": r"scores [\d.]+ million pairs a second, .* scores and decisions agree\.",
    "shards": r"a million: .*(.*\n)+Two processes score [\d.]+ times .* with the same scores;",
    "prepare": r"prepare turns 400 raw tasks \(\d+ MB\) into [\d,]+ rows in [\d.]+ s",
    "relabel": r"both keep the same +yes\n\nrelabel-and-pick: the steps \d+ times as fast",
    "engine": r"0 ms: seedbed/bare client [\d.]+; .*\n.* the full store needs no connection\.",
    "servers": r"2 servers answer [\d.]+ times as much as one, .* two evaluate [\d.]+ × what",
    "scoring": r"all differ +[\d.]+ .*\n\nAt least .*: yes\.",
    "label": r"seedbed evaluates [\d.]+ × the bound .* and [\d.]+ × the seed's order",
    "ranker": r"times as long\n(.*\n)+a selection evaluates 1/[\d.]+ of the tokens",
    "active": r"times fewer; the scores .*\nUncertainty, .* of the same \d+ scores",
    "segment": r"segment reads [\d.]+ MB/s and holds -?[\d.]+ kB a segment; .* as all pairs",
    "judge": r"times fewer prompt tokens than each by itself; .* nats",
    "export": r"export describes 200 rows in [\d.]+ s of a processor .*; peak \d+ MB",
    "report": r"50 rows, .*\nwritten in [\d.]+ s, [\d.]+ MB",
    "training": r"seedbed/plain: [\d.]+ times the tokens a second(.*\n)+.*The same loss: yes\.",
    "cluster": r"\d servers answer [\d.]+ times as much as one; 4 of 4 answers",
    "paper": r"estimate: [\d.]+ s before .*\nreport of 20 rows .*(.*\n)+.* within all limits",
}
# One worker runs all that asks the real model.
ASKING = ("label", "ranker", "active", "judge", "cluster")


def test_every_benchmark_of_the_makefile_is_run_here() -> None:
    named = re.findall(r"python benchmarks/(\w+)\.py", (ROOT / "Makefile").read_text())
    # Not of `make bench`: they take torch, Ray.
    assert {*named, "training", "cluster"} == ENDINGS.keys()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xdist_group("model") if name in ASKING else ())
        for name in ENDINGS
    ],
)
def test_a_benchmark_ends_well_and_prints_its_figures(name: str, project: Project) -> None:
    if name == "training":
        pytest.importorskip("torch", reason="make check-train installs it")
    if name == "cluster":
        pytest.importorskip("ray", reason="make check-cluster installs it")
    done = project.run("python", f"benchmarks/{name}.py", "--tiny", PYTHONPATH="src")
    assert done.returncode == 0, done.stdout
    assert re.search(ENDINGS[name], done.stdout), done.stdout
