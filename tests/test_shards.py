"""What is pure gives the same in this process, in several and on a cluster; a worker that goes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import add

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import sharded
from support.processes import kill
from support.project import ROOT
from support.sharded import TWO, Counter, several_here
from support.tries import tries

from seedbed.core import shards
from seedbed.core.cluster import BadCluster
from seedbed.core.shards import AHEAD, HERE, Held, Place, from_environment, mapped
from seedbed.errors import BadShards, NoRepository, ShardLost


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(0, 8))
@settings(max_examples=tries(100), deadline=None)
def test_results_come_in_the_items_order_however_many_workers(
    items: list[int], workers: int, least: int
) -> None:
    with several_here():
        where = Place(workers)
        found = list(mapped(sharded.squared, iter(items), least=least, where=where))
    assert found == [item * item for item in items]


def test_processes_give_what_this_process_gives() -> None:
    items = list(range(40))
    assert list(mapped(sharded.squared, items, where=TWO)) == [n * n for n in items]
    # A partial of what is in a module travels, too.
    assert list(mapped(partial(add, 3), items, where=TWO)) == [n + 3 for n in items]


def test_two_processes_share_the_items() -> None:
    found = list(mapped(sharded.process_of, range(6), where=TWO))
    assert len({*found}) == 2
    assert os.getpid() not in found
    assert found == found[:2] * 3


def test_what_is_more_than_a_pipe_takes_goes_both_ways_at_once() -> None:
    items = [bytes([n]) * 1_000_000 for n in range(8)]
    assert list(mapped(sharded.size_of, items, where=TWO)) == [item + b"." for item in items]


def test_what_is_small_starts_no_process() -> None:
    assert {*mapped(sharded.process_of, range(6), least=6, where=TWO)} == {os.getpid()}
    found = list(mapped(sharded.process_of, [3, 3, 3], least=5, size=int, where=TWO))
    assert found[:2] == [os.getpid()] * 2
    assert found[2] != os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_items_are_taken_as_they_are_worked_on(workers: int) -> None:
    taken = given_back = most = 0

    def items() -> Iterator[int]:
        nonlocal taken, most
        for number in range(200):
            taken += 1
            most = max(most, taken - given_back)
            yield number

    with several_here():
        for _ in mapped(sharded.squared, items(), where=Place(workers)):
            given_back += 1
    assert taken == 200
    assert most <= AHEAD * workers + 2


def test_a_state_answers_in_the_order_in_which_it_was_asked() -> None:
    for where in (HERE, TWO):
        with Held(Counter, [(0,), (100,)], where) as held:
            held.ask(0, "add", 1)
            held.ask(0, "add", 2)
            held.ask(1, "add", 5)
            assert [held.answer(0), held.answer(1), held.answer(0)] == [1, 105, 3]
            assert held.all("add", [(10,), (20,)]) == [13, 125]


def test_a_failure_in_a_worker_is_the_same_as_here() -> None:
    for where in (HERE, TWO):
        results = mapped(sharded.refuses, range(9), where=where)
        with pytest.raises(NoRepository, match="five is not in a DVC repository\n  Run Seedbed"):
            list(results)


def test_a_failure_as_a_state_is_made_is_told_with_its_first_answer() -> None:
    with (
        Held(Counter, [(1,), (-1,)], TWO) as held,
        pytest.raises(NoRepository, match="below nothing"),
    ):
        held.all("add", [(1,), (1,)])


def test_an_error_of_the_program_in_a_worker_shows_where() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in broken.*ZeroDivisionError"):
        list(mapped(sharded.broken, range(9), where=TWO))


def test_a_worker_that_is_killed_is_told_in_one_message() -> None:
    with pytest.raises(ShardLost, match=r"worker 2 of 2 is gone: killed by SIGKILL\n.*memory"):
        list(mapped(sharded.kills_itself, range(40), where=TWO))
    with Held(Counter, [(0,), (0,)], TWO) as held:
        held.ask(0, "die")
        with pytest.raises(ShardLost, match=r"worker 1 of 2 .*SIGKILL"):
            held.answer(0)


def test_who_looks_at_the_first_results_alone_leaves_no_process() -> None:
    results = mapped(sharded.squared, range(100), where=TWO)
    assert next(results) == 0
    assert len(children()) == 2
    results.close()
    assert children() == []


def children() -> list[psutil.Process]:
    """The workers of this process."""
    of_this = psutil.Process().children()
    return [one for one in of_this if "spawn_main" in " ".join(one.cmdline())]


def test_where_work_is_done_is_for_the_environment_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEEDBED_SHARDS", raising=False)
    monkeypatch.delenv("SEEDBED_RAY", raising=False)
    assert from_environment() == HERE
    assert from_environment().here
    monkeypatch.setenv("SEEDBED_SHARDS", "3")
    assert from_environment() == Place(3)
    assert from_environment().at_most(2) == Place(2)
    assert from_environment().at_most(1).here
    monkeypatch.setenv("SEEDBED_RAY", "local")
    assert from_environment() == Place(3, ray=True)
    monkeypatch.setenv("SEEDBED_RAY", "nowhere")
    with pytest.raises(BadCluster):
        from_environment()


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "9" * 400, "²"])
def test_a_number_of_workers_that_is_none_is_refused(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_SHARDS", value)
    with pytest.raises(BadShards, match=r"SEEDBED_SHARDS=.*: expected a number of workers, 1 to"):
        from_environment()


def test_a_cluster_of_few_cores_has_as_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        cpus = 2.0

    monkeypatch.setattr(shards, "nodes", lambda: [Node(), Node()])
    assert Place(3, ray=True).settled() == Place(3, ray=True)
    assert Place(1024, ray=True).settled() == Place(4, ray=True)
    assert Place(1024).settled() == Place(1024)


# --- a whole program

PROGRAM = """
from support import sharded
from seedbed.core.shards import Place, mapped

if __name__ == "__main__":
    for result in mapped(sharded.slow, range(100_000), where=Place(2)):
        print(result, flush=True)
"""


@pytest.fixture
def program(tmp_path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts one that works for an hour, in a group of its own, and waits for its first result."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    begun: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"}
        process = subprocess.Popen(
            [sys.executable, str(path)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        begun.append(process)
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            kill(process)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = psutil.Process(process.pid).children()
    return [one for one in found if "spawn_main" in " ".join(one.cmdline())]


def gone(workers: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers)


@pytest.mark.slow
def test_ctrl_c_ends_all_and_no_worker_says_a_word(program: Callable) -> None:
    process = program()
    workers = workers_of(process)
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGINT
    assert said.count("KeyboardInterrupt") == 1
    assert said.count("Traceback") == 1
    assert gone(workers)


@pytest.mark.slow
def test_workers_end_with_the_process_that_asks(program: Callable) -> None:
    process = program()
    workers = workers_of(process)
    kill(process)
    while not gone(workers):
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_killed_from_outside_ends_the_program_with_one_message(program: Callable) -> None:
    process = program()
    workers = workers_of(process)
    workers[0].kill()
    said, _ = process.communicate()
    assert process.returncode == 1
    assert "ShardLost: worker 1 of 2 is gone: killed by SIGKILL" in said
    assert gone(workers)


# --- on a cluster

ON_RAY = """
import os
from fractions import Fraction
from functools import partial
from support import sharded
from support.novelty import rounds_of, sift_all
from seedbed.core.cluster import join
from seedbed.core.shards import Held, Place, mapped
from seedbed.errors import SeedbedError

there = Place(2, ray=True)
found = list(mapped(sharded.process_of, range(6), where=there))
assert len({*found}) == 2 and os.getpid() not in found, found
print(list(mapped(sharded.squared, range(20), where=there)))
print(sift_all(*rounds_of(7), there, block=40))
for function in (sharded.refuses, sharded.kills_itself):
    try:
        list(mapped(function, range(40), where=there))
    except SeedbedError as error:
        print(type(error).__name__, str(error).partition("\\n")[0])
"""


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_actors_give_what_this_process_gives_and_one_that_dies_is_told() -> None:
    pytest.importorskip("ray", reason="make cluster installs it")
    from support.novelty import rounds_of, sift_all

    done = subprocess.run(
        [sys.executable, "-c", ON_RAY],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
            "SEEDBED_RAY": "local",
            "SEEDBED_SHARDS": "2",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # Ray has a word of its own about an actor that dies.
    said = [line for line in done.stdout.splitlines() if "(raylet)" not in line]
    squares, sifted, refused, lost = said
    assert squares == str([n * n for n in range(20)])
    assert sifted == str(sift_all(*rounds_of(7), HERE))
    assert refused == "NoRepository five is not in a DVC repository"
    assert lost.startswith("ShardLost worker 2 of 2 is gone: ")
