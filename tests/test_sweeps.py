"""Sweeps: DVC's real queue with its background worker, and what runs are compared by."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import psutil
import pytest
from support.growing import growing, small
from support.project import Project, stages_run

# Seconds until both experiments must be over; on two busy cores it took 44.
PATIENCE = 300


def clone(project: Project, folder: Path) -> Project:
    """What somebody else has: what is committed, without DVC's cache and without a store."""
    command = ["git", "clone", "-q", str(project.folder), str(folder)]
    subprocess.run(command, check=True)
    other = copy(project)
    other.folder = folder
    return other


def workers(mark: str) -> list[psutil.Process]:
    """All processes that were started with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SWEEP") == mark:
                found.append(process)
        except psutil.Error:
            continue  # somebody else's, or over
    return found


@contextmanager
def queue_worker(project: Project, **environment: str) -> Iterator[None]:
    """Start one; afterwards nothing that it started is left."""
    mark = str(project.folder)
    try:
        done = project.run("dvc", "queue", "start", SWEEP=mark, **environment)
        assert done.returncode == 0, done.stdout
        yield
    finally:
        for process in workers(mark):
            process.kill()
        psutil.wait_procs(workers(mark), timeout=10)
        assert not workers(mark)


def states(project: Project) -> tuple[dict[str, str], str]:
    """What became of each experiment, by name, and how DVC says it."""
    said = project.run("dvc", "queue", "status").stdout
    rows = (line.split() for line in said.splitlines())
    known = ("Queued", "Running", "Success", "Failed", "Killed")
    return {row[1]: row[-1] for row in rows if len(row) > 2 and row[-1] in known}, said


def wait_for_all(project: Project, count: int) -> dict[str, str]:
    """Until that many experiments have succeeded; gives what each of them printed."""
    end = time.monotonic() + PATIENCE
    while True:
        found, said = states(project)
        if Counter(found.values()) == {"Success": count}:
            return {name: project.run("dvc", "queue", "logs", name).stdout for name in found}
        wrong = [name for name, state in found.items() if state in ("Failed", "Killed")]
        if wrong or time.monotonic() > end:
            logs = [project.run("dvc", "queue", "logs", name).stdout for name in wrong or found]
            pytest.fail("\n".join([f"not done after {PATIENCE} s, or failed:", said, *logs]))
        time.sleep(3)  # to ask DVC takes a second of a core, which they need


def queue(project: Project, note: str, *arguments: str) -> None:
    """Queue experiments of the first two stages, with code that says `note` as it runs."""
    path = project.folder / "src/seedbed/core/progress.py"
    text = path.read_text()
    project.replace("src/seedbed/core/progress.py", "print(", f"print('{note}', __file__);print(")
    done = project.run("dvc", "exp", "run", "--queue", *arguments, "clf")
    assert done.returncode == 0, done.stdout
    path.write_text(text)


def test_a_queued_sweep_asks_nothing_twice_and_each_experiment_runs_its_own_copys_code(
    project: Project, tmp_path: Path
) -> None:
    small(project)
    sweep = clone(project, tmp_path / "clone")
    for note, threshold in (("first copy", "0.7"), ("second copy", "0.1")):
        queue(sweep, note, "-S", f"bootstrap.rouge_threshold={threshold}")
    with growing() as server, queue_worker(sweep, OPENAI_BASE_URL=server.url):
        logs = wait_for_all(sweep, 2)

    asked = [body["prompt"] for body in server.bodies]
    assert len(asked) == len(set(asked)), "a prompt was sent again"
    ran = {}
    for log in logs.values():
        note = "first copy" if "first copy" in log else "second copy"
        ran[note] = stages_run(log)
        own = [line.split()[2] for line in log.splitlines() if line.startswith(note)]
        assert len(own) == len(ran[note]) == 2
        assert all(".dvc/tmp/exps" in path for path in own), "the code is not that of the copy"
    assert sum(sent for one in ran.values() for _, sent, _ in one.values()) == len(asked)
    # DVC does not promise which is the first.
    bootstrap = [one["bootstrap"] for one in ran.values()]
    assert max(reused for _, _, reused in bootstrap) > 0, "what both ask is asked for one of them"
    assert min(sent for _, sent, _ in bootstrap) > 0, "nothing was new: the test shows little"
    assert (sweep.folder / ".seedbed/responses.sqlite").is_file()
    assert not list((sweep.folder / ".dvc/tmp/exps").rglob("responses.sqlite"))
    shown = sweep.run("dvc", "exp", "show", "--csv", "--only-changed").stdout
    assert all(name in shown for name in logs)


def test_each_number_that_runs_are_compared_by_has_a_name_of_its_own() -> None:
    """DVC puts the path of a file before a name that two files have, and a column for each."""
    root = Path(__file__).parents[1]
    numbers: Counter[str] = Counter()
    for path in (root / "metrics").glob("*.json"):
        figures = json.loads(path.read_text())
        assert not any(isinstance(value, dict) for value in figures.values()), path
        own = [name for name, value in figures.items() if not isinstance(value, list)]
        assert len(own) <= 10, f"{path}: more than one can look at"
        numbers.update(own)
    assert [name for name, times in numbers.items() if times > 1] == []
