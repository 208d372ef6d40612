"""What does the papers' size take, stage by stage: time, memory, room on disk?

`seedbed preset paper` sets the parameters; a mock server in a process of its own answers at once,
as a model might (see model_answers.py), so what is measured is Seedbed. Each stage runs in a
process of its own, in a temporary copy of the project with its own response store, first at a
quarter of the size and then at the whole. Natural Instructions tasks are made up, each as large as
an official one of middling size: EXAMPLES examples, of which label tries the first 400 with 22
candidates.

No stage but bootstrap, whose novelty filter compares with a pool that grows, may take more time of
a core, memory or room a row at the whole size than at the quarter; SLACK is for the noise.
`seedbed estimate` is measured before the run and after it.

Ends with an error if a stage grows faster than its rows.

Run it from the project's folder: PYTHONPATH=src python benchmarks/paper.py [--rows N]
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

from mock_server import MODEL, Running, running
from project import Project, environment
from sizes import ARGUMENTS, sized
from texts import Writer

ROWS = 52_000
# A task is about as many answers of label as so many instructions: the two methods take as long.
ROWS_A_TASK = 6_500
EXAMPLES = sized(3_000, 8)
SLACK = sized(1.25, inf)
# The whole is compared with a quarter of it.
PARTS = sized((4, 1), (1,))
STAGES = {
    "bootstrap": "data/bootstrap",
    "clf": "data/clf",
    "instances": "data/instances",
    "prepare": "data/prepare",
    "candidates": "data/candidates",
    "label": "data/label",
    "relabel-and-pick": "data/relabel_and_pick",
}
FREE = ("bootstrap",)
ENDING = "no stage but bootstrap grows faster than its rows."


@dataclass(frozen=True)
class Ran:
    """What one process took.

    said: what it printed. cpu: seconds of its own, which a busy machine does not stretch as it does
    the others. peak: its memory in bytes, at the most.
    """

    said: str
    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Stage:
    """rows: of its input or, of label, the answers: what its work should grow with.

    bytes: of its outputs; kept: of the store, after it.
    """

    ran: Ran
    rows: int
    sent: int
    bytes: int
    kept: int


def run(project: Project, server: Running, *command: str) -> Ran:
    """Run one `seedbed …` in the project."""
    begun = time.perf_counter()
    process = Popen(
        [sys.executable, "-m", "seedbed", *command],
        cwd=project.folder,
        env=environment(
            PYTHONPATH="src",
            OPENAI_BASE_URL=server.url,
            SEEDBED_CONCURRENCY="64",
            SEEDBED_STORE=str(project.folder / ".seedbed/responses.sqlite"),
        ),
        text=True,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    said = process.stdout.read()
    # Of this process alone: the children's maximum would be that of the largest so far.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"seedbed {' '.join(command)} failed: {said}")
    seconds, cpu = time.perf_counter() - begun, used.ru_utime + used.ru_stime
    return Ran(said, seconds, cpu, used.ru_maxrss * 1024)


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


def prepare(folder: Path, rows: int, tasks: int) -> Project:
    """A copy of the project with that many instructions to grow and tasks to label."""
    project = Project(folder)
    (folder / "data/niv2").mkdir(exist_ok=True)
    for path in (folder / "data/niv2").glob("*.json"):
        path.unlink()
    writer = Writer(seed=1)
    for number in range(1, tasks + 1):
        write_task(folder / f"data/niv2/task{number}_made_up.json", number, writer)
    done = project.stage("preset", "paper")
    if done.returncode:
        sys.exit(done.stdout)
    project.replace("params.yaml", "model: gemma-3-270m-q4_k_m", f"model: {MODEL}")
    project.replace("params.yaml", f"_to_generate: {ROWS}", f"_to_generate: {rows}")
    return project


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure(rows: int, tasks: int) -> dict[str, Stage]:
    """Run every stage at one size; prints a line for each."""
    found = {}
    with tempfile.TemporaryDirectory() as name, running(0, "--like-a-model") as server:
        project = prepare(Path(name), rows, tasks)
        estimate = [run(project, server, "estimate")]
        for stage, folder in STAGES.items():
            ran = run(project, server, stage)
            sent = int(re.search(r"(\d+) sent", ran.said)[1])
            found[stage] = Stage(
                ran=ran,
                # Of relabel-and-pick: labels, as label had answers.
                rows=found["label"].rows if stage == "relabel-and-pick" else sent or rows,
                sent=sent,
                bytes=size_of(project.folder / folder),
                kept=size_of(project.folder / ".seedbed"),
            )
            print(line(stage, found[stage]), flush=True)
        estimate.append(run(project, server, "estimate"))
    for ran, when in zip(estimate, ("before the run", "after it"), strict=True):
        took = f"{ran.seconds:.1f} s ({ran.cpu:.1f} s of one core), {ran.peak / 1e6:,.0f} MB"
        print(f"estimate, {when}: {took}")
    print()
    return found


COLUMNS = ("stage", "rows", "sent", "seconds", "CPU s", "rows/s", "peak MB", "out MB", "store MB")
FORM = "{:<18}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}".format


def line(name: str, one: Stage) -> str:
    return FORM(
        name,
        f"{one.rows:,}",
        f"{one.sent:,}",
        f"{one.ran.seconds:.1f}",
        f"{one.ran.cpu:.1f}",
        f"{one.rows / one.ran.seconds:,.0f}",
        f"{one.ran.peak / 1e6:,.0f}",
        f"{one.bytes / 1e6:,.1f}",
        f"{one.kept / 1e6:,.1f}",
    )


def grows_too_fast(few: dict[str, Stage], many: dict[str, Stage]) -> list[str]:
    """Print how each stage grew; gives the names of those that grew faster than their rows."""
    print(f"{'whole over quarter':<18}{'rows':>9}{'CPU s':>10}{'memory':>10}{'outputs':>10}")
    too_fast = []
    for name, one in many.items():
        before = few[name]
        rows = one.rows / before.rows
        cpu = one.ran.cpu / before.ran.cpu
        memory, outputs = one.ran.peak / before.ran.peak, one.bytes / before.bytes
        print(f"{name:<18}{rows:>9.2f}{cpu:>10.2f}{memory:>10.2f}{outputs:>10.2f}")
        if name not in FREE and max(cpu, memory, outputs) > SLACK * rows:
            too_fast.append(name)
    return too_fast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    grow = sized(ROWS, 20)
    parser.add_argument("--rows", type=int, default=grow, help="instructions to grow")
    rows = parser.parse_args(ARGUMENTS).rows
    tasks = max(PARTS[0], round(rows / ROWS_A_TASK))
    sizes = []
    for part in PARTS:
        print(f"{rows // part:,} instructions, {tasks // part} tasks with 22 candidates\n")
        print(FORM(*COLUMNS))
        sizes.append(measure(rows // part, tasks // part))
    whole = sizes[-1]
    too_fast = grows_too_fast(sizes[0], whole)
    ending = f"FASTER THAN THEIR ROWS GROW {', '.join(too_fast)}." if too_fast else ENDING
    seconds = sum(one.ran.seconds for one in whole.values())
    peak = max(one.ran.peak for one in whole.values())
    print(
        f"\n{rows:,} instructions and {whole['label'].rows:,} labels take Seedbed "
        f"{seconds / 60:.1f} minutes and at most {peak / 1e6:,.0f} MB of memory; " + ending
    )
    sys.exit(1 if too_fast else 0)


if __name__ == "__main__":
    main()
