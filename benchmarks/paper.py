"""What does the papers' size take: memory and time of each stage, of an estimate, of a report?

`seedbed preset paper` sets the parameters: 52,000 instructions; and 756 tasks as Super-Natural
Instructions has them for training, with 400 examples × 22 candidates each. A made-up model takes
the engine's place (see answering.py), so what is measured is the stage alone; benchmarks/engine.py
measures the engine. Each stage runs in a process of its own, in a temporary copy of the project.
The answers are kept in its response store, but for those of label, some seven million.

The report is that of benchmarks/report.py, of as many instructions and of 300 tasks.

Ends with an error if one of the limits is passed.

Run it from the project's folder: PYTHONPATH=src python benchmarks/paper.py
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import report
from answering import take_the_engines_place
from project import Project, environment
from sizes import sized
from texts import Writer

from seedbed import params
from seedbed.core.paths import Into
from seedbed.methods import module_of

INSTRUCTIONS = sized(52_000, 20)
TASKS = sized(756, 2)
EXAMPLES = sized(400, 8)
REPORTED_TASKS = sized(300, 2)
# What is grown in the paper, as the preset says it.
IN_PRESET = 52_000
CANDIDATES = 22
# stage → its rows: what its memory might grow with.
STAGES = {
    "bootstrap": INSTRUCTIONS,
    "clf": INSTRUCTIONS,
    "instances": INSTRUCTIONS,
    "prepare": INSTRUCTIONS,
    "describe-tasks": INSTRUCTIONS,
    "candidates": TASKS * CANDIDATES,
    "label": TASKS * EXAMPLES,
    "relabel-and-pick": TASKS * EXAMPLES,
}
NOT_KEPT = ("label",)
# What none may pass.
MOST_MEMORY = sized(300e6, inf)
MOST_ESTIMATE = sized(5.0, inf)
MOST_PAGE = sized(20e6, inf)
MOST_OPENING = sized(1.0, inf)
# Nobody listens there: nothing is to be sent.
ADDRESS = "http://127.0.0.1:9/v1"


@dataclass(frozen=True)
class Took:
    """A run of a stage. before, peak: memory of its process in bytes, as it began and at most."""

    seconds: float
    before: int
    peak: int


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work in a process of its own: a process's peak is of all its life."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        return other.submit(work, *arguments).result()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def settle_in(folder: Path) -> None:
    """Make this process one of the project, which says nothing."""
    os.chdir(folder)
    os.environ.update(
        OPENAI_BASE_URL=ADDRESS, SEEDBED_STORE=str(folder / ".seedbed/responses.sqlite")
    )
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)


def run(folder: Path, name: str) -> Took:
    """Run a stage, in a process that runs nothing else."""
    settle_in(folder)
    take_the_engines_place(keep=name not in NOT_KEPT)
    stage = module_of(name)
    own = params.load(name, stage.Params)
    before, begun = peak(), time.perf_counter()
    stage.run(own, stage.Inputs(), Into(stage.__name__.rpartition(".")[2]))
    return Took(time.perf_counter() - begun, before, peak())


def estimated(folder: Path) -> float:
    """Seconds of `seedbed estimate`, with the start of Python in it."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "seedbed", "estimate"],
        cwd=folder,
        env=environment(
            PYTHONPATH="src",
            OPENAI_BASE_URL=ADDRESS,
            SEEDBED_STORE=str(folder / ".seedbed/responses.sqlite"),
        ),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begun


def write_task(path: Path, number: int, writer: Writer) -> None:
    """A classification task, or (every other one) a task with outputs of some words."""
    draw = writer.random
    labels = [writer.words(1).capitalize() for _ in range(3)]

    def pair() -> dict[str, str]:
        output = draw.choice(labels) if number % 2 else writer.words(draw.randint(3, 20))
        return {"input": f"Text: {writer.words(draw.randint(10, 60))}.", "output": output}

    instances = [
        {"id": f"task{number}-{i:032x}", "input": one["input"], "output": [one["output"]]}
        for i, one in enumerate(pair() for _ in range(EXAMPLES))
    ]
    task = {
        "Categories": ["Text Categorization" if number % 2 else "Question Answering"],
        "Definition": [writer.instruction()],
        "Positive Examples": [{**pair(), "explanation": ""} for _ in range(3)],
        "Instances": instances,
    }
    path.write_text(json.dumps(task), encoding="utf-8")


def prepare(folder: Path) -> None:
    """Put a copy of the project there, with so many instructions to grow and tasks to label."""
    project = Project(folder)
    (folder / "data/niv2").mkdir(exist_ok=True)
    for path in (folder / "data/niv2").glob("*.json"):
        path.unlink()
    writer = Writer(seed=1)
    for number in range(1, TASKS + 1):
        write_task(folder / f"data/niv2/task{number}_made_up.json", number, writer)
    done = project.stage("preset", "paper")
    if done.returncode:
        raise SystemExit(done.stdout)
    project.replace("params.yaml", "model: gemma-3-270m-q4_k_m", "model: made-up")
    grow = f"_to_generate: {INSTRUCTIONS}"
    project.replace("params.yaml", f"_to_generate: {IN_PRESET}", grow)


FORM = "{:<18}{:>10}{:>10}{:>10}{:>10}".format


class Limits:
    """What was passed, to be told at the end."""

    def __init__(self) -> None:
        self.passed: list[str] = []

    def hold(self, name: str, found: float, most: float, form: str) -> None:
        if found > most:
            self.passed.append(f"{name}: {form.format(found)}, at most {form.format(most)}")


def stages(folder: Path, limits: Limits) -> tuple[float, int]:
    """Run them all; a line each. Gives the seconds of all and the highest peak."""
    print(FORM("stage", "rows", "seconds", "peak MB", "kB a row"))
    seconds, highest = 0.0, 0
    for name, rows in STAGES.items():
        took = alone(run, folder, name)
        more = (took.peak - took.before) / rows / 1e3
        cells = (f"{rows:,}", f"{took.seconds:.1f}", f"{took.peak / 1e6:.0f}", f"{more:.2f}")
        print(FORM(name, *cells), flush=True)
        limits.hold(name, took.peak / 1e6, MOST_MEMORY / 1e6, "{:.0f} MB")
        seconds, highest = seconds + took.seconds, max(highest, took.peak)
    return seconds, highest


def main() -> None:
    limits = Limits()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        alone(prepare, folder)
        before = estimated(folder)
        seconds, highest = stages(folder, limits)
        after = estimated(folder)
    print(f"\nestimate: {before:.1f} s before the run, {after:.1f} s after it")
    limits.hold("estimate", max(before, after), MOST_ESTIMATE, "{:.1f} s")

    page = alone(report.measured, INSTRUCTIONS, REPORTED_TASKS)
    print(f"report of {INSTRUCTIONS:,} rows and {REPORTED_TASKS} tasks: {page}")
    limits.hold("report", page.size / 1e6, MOST_PAGE / 1e6, "{:.1f} MB")
    limits.hold("report, opened", page.opening or 0.0, MOST_OPENING, "{:.2f} s")

    labels = TASKS * EXAMPLES * CANDIDATES
    print(
        f"\n{INSTRUCTIONS:,} instructions and {labels:,} labels take Seedbed "
        f"{seconds / 60:.1f} minutes and at most {highest / 1e6:,.0f} MB of memory; "
        + ("PASSED: " + "; ".join(limits.passed) if limits.passed else "within all limits")
    )
    sys.exit(1 if limits.passed else 0)


if __name__ == "__main__":
    main()
