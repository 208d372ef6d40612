"""Real processes that are killed, interrupted, left without a server or a disk, or not alone."""

import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from email.message import Message
from pathlib import Path
from threading import Condition

import pytest
from support.engines import kept_in
from support.processes import kill, wait_for
from support.project import PYTHONPATH, ROOT, Project, environment
from support.server import completion, serving

from seedbed.core.files import to_line
from seedbed.core.records import Exchange
from seedbed.self_instruct.rows import Instruction

# Each starts real processes.
pytestmark = pytest.mark.slow
CONCURRENCY = 16


class Run:
    """Runs of support/killed_run.py on the same prompts, with a folder of their own."""

    def __init__(self, folder: Path, prompts: list[str], lease: float | None = None):
        folder.mkdir()
        self._lease = [] if lease is None else [str(lease)]
        self.folder = folder
        self.store = folder / "responses.sqlite"
        self.out = folder / "out.jsonl"
        self._prompts = folder / "prompts.jsonl"
        self._prompts.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))

    def start(self, url: str, *before: str, **variables: object) -> subprocess.Popen[str]:
        chosen = {"concurrency": CONCURRENCY, "store": self.store, **variables}
        chosen = {f"SEEDBED_{name.upper()}": str(value) for name, value in chosen.items()}
        python = [sys.executable, "-m", "support.killed_run", str(self._prompts), str(self.out)]
        python += self._lease
        return subprocess.Popen(
            [*before, *python],
            cwd=self.folder,
            env=environment(PYTHONPATH=PYTHONPATH, OPENAI_BASE_URL=url, **chosen),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __call__(self, url: str, *before: str, **variables: object) -> str:
        process = self.start(url, *before, **variables)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return output

    def texts(self) -> list[str]:
        return [json.loads(line)["text"] for line in self.out.read_text().splitlines()]


class Counting:
    """Answers with the prompt in capitals, counts, and lets a test wait for a count."""

    def __init__(self, seconds: float = 0.0, answers_differ: bool = False):
        self.seconds = seconds
        self.answers_differ = answers_differ
        self.asked: Counter[str] = Counter()
        self.changed = Condition()

    def __call__(self, body: dict, headers: Message) -> dict:
        prompt = body["prompt"]
        with self.changed:
            self.asked[prompt] += 1
            total = self.asked.total()
            self.changed.notify_all()
        time.sleep(self.seconds)
        return completion(prompt.upper() + (f" {total}" if self.answers_differ else ""))

    @property
    def total(self) -> int:
        return self.asked.total()

    def settle(self) -> None:
        """Until what a killed process had on its way has reached the server."""
        before = -1
        while before != self.total:
            before = self.total
            time.sleep(0.2)

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        with self.changed:
            while not condition():
                assert self.changed.wait(20) or process.poll() is None, process.communicate()[0]


def test_a_run_killed_at_twenty_points_sends_again_only_what_was_in_flight(tmp_path: Path) -> None:
    prompts = [f"prompt {n:04}" for n in range(1500)]
    undisturbed, killed = Run(tmp_path / "undisturbed", prompts), Run(tmp_path / "killed", prompts)
    draw = random.Random(7)
    server = Counting()
    with serving(server) as url:
        undisturbed(url)
        assert set(server.asked.values()) == {1}
        server.asked.clear()
        again = []
        for point in sorted(draw.sample(range(1, 1400), 20)):
            before = server.asked.copy()
            process = killed.start(url)
            server.wait_for(lambda: len(server.asked) >= max(point, len(before) + 1), process)  # noqa: B023
            time.sleep(draw.uniform(0, 0.02))
            kill(process)
            server.settle()
            again.append(sum((server.asked - before)[prompt] for prompt in before))
            assert not killed.out.exists()
        before = server.asked.copy()
        killed(url)
        again.append(sum((server.asked - before)[prompt] for prompt in before))
    print(f"sent again after each kill: {again[1:]}, {sum(again)} in all")
    assert again[0] == 0
    assert max(again) <= CONCURRENCY
    assert len(server.asked) == 1500
    assert server.total == 1500 + sum(again)
    assert killed.out.read_bytes() == undisturbed.out.read_bytes()
    assert len(kept_in(killed.store)) == 1500


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_ctrl_c_ends_a_run_within_seconds_and_keeps_what_arrived(
    tmp_path: Path, seconds: float
) -> None:
    """Be the server quick, or hanging."""
    prompts = [f"prompt {n:04}" for n in range(600)]
    run = Run(tmp_path / "run", prompts)
    server = Counting()

    def slower_from_100_on(body: dict, headers: Message) -> dict:
        if server.total >= 100:
            time.sleep(seconds)
        return server(body, headers)

    with serving(slower_from_100_on) as url:
        process = run.start(url)
        server.wait_for(lambda: server.total >= 100, process)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        output, _ = process.communicate(timeout=30)
        assert time.monotonic() - begun < 10
        assert process.returncode != 0
        assert "Task" not in output, "asyncio complains about what was left behind"
        kept = len(kept_in(run.store))
        assert kept >= 100 - CONCURRENCY
        if not seconds:
            assert kept == server.total, "what was in flight is kept too"
    before = server.asked.copy()
    with serving(server, port=int(url.rpartition(":")[2].partition("/")[0])) as url:
        run(url)
    assert (server.asked - before).total() == 600 - kept
    assert run.texts() == [prompt.upper() for prompt in prompts]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stage_that_is_interrupted_says_how_to_go_on(
    project: Project, number: signal.Signals
) -> None:
    """By a person, by a scheduler, or by a terminal that goes away."""
    write_instructions(project, [f"Name the capital of country number {n}" for n in range(200)])
    server = Counting()
    hanging = Condition()

    def hang_from_50_on(body: dict, headers: Message) -> dict:
        if server.total < 50:
            return server(body, headers)
        with hanging:
            hanging.wait(60)
        return server(body, headers)

    with serving(hang_from_50_on) as url:
        environment = {"OPENAI_BASE_URL": url, "SEEDBED_CONCURRENCY": "4"}
        process = project.start_stage("clf", **environment)
        server.wait_for(lambda: server.total >= 50, process)
        time.sleep(1)
        process.send_signal(number)
        begun = time.monotonic()
        output, _ = process.communicate(timeout=30)
        assert time.monotonic() - begun < 10
        with hanging:
            hanging.notify_all()
    assert process.returncode == 128 + number
    assert "50 answers are in the response store" in output
    assert "Run the same command to go on from there." in output
    assert "Traceback" not in output
    assert not list(project.folder.glob("data/clf/*.jsonl*"))
    assert len(kept_in(project.folder / ".seedbed/responses.sqlite")) == 50


def test_a_stage_under_nohup_goes_on_when_its_terminal_goes_away(project: Project) -> None:
    write_instructions(project, [f"Name the capital of country number {n}" for n in range(40)])
    server = Counting(0.05)
    with serving(server) as url:
        environment = {"OPENAI_BASE_URL": url, "SEEDBED_CONCURRENCY": "1"}
        ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a child begins with the same
        try:
            process = project.start_stage("clf", **environment)
        finally:
            signal.signal(signal.SIGHUP, ignored)
        server.wait_for(lambda: server.total >= 5, process)
        process.send_signal(signal.SIGHUP)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert server.total == 40


def write_instructions(project: Project, texts: list[str]) -> None:
    rows = [
        Instruction(
            instruction=text,
            most_similar={},
            avg_similarity_score=0.0,
            metadata=Exchange(prompt="p", response={}, key="k"),
            request_idx=n,
        )
        for n, text in enumerate(texts)
    ]
    path = project.folder / "data/bootstrap/machine_generated_instructions.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(map(to_line, rows)))


def test_a_server_that_is_killed_and_brought_back_is_waited_for(tmp_path: Path) -> None:
    prompts = [f"prompt {n:04}" for n in range(600)]
    run = Run(tmp_path / "run", prompts)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "seen"
    log.touch()

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "support.lone_server", str(port), str(log), "0.02"]
        own = os.environ | {"PYTHONPATH": PYTHONPATH}
        return subprocess.Popen(command, env=own, text=True, stdout=subprocess.PIPE)

    def seen() -> list[str]:
        return log.read_text().splitlines()

    server = start()
    try:
        process = run.start(f"http://127.0.0.1:{port}/v1", max_retries=2)
        wait_for(lambda: len(seen()) >= 200, process)
        kill(server)
        time.sleep(3)
        assert process.poll() is None, process.communicate()[0]
        server = start()
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    finally:
        kill(server)
    assert output == "600 sent, 0 reused\n"
    assert run.texts() == [prompt.upper() for prompt in prompts]
    assert len(seen()) <= 600 + CONCURRENCY
    assert len(kept_in(run.store)) == 600


def test_a_full_disk_stops_the_run_with_one_message_and_keeps_what_was_kept(tmp_path: Path) -> None:
    """A file system of 600 kB, in a namespace of its own, holds the store."""
    prompts = [f"prompt {n:04} {'x' * 300}" for n in range(1000)]
    run = Run(tmp_path / "run", prompts)
    small, saved = tmp_path / "small", tmp_path / "saved.sqlite"
    small.mkdir()
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, f"mount -t tmpfs tmpfs {small}"], check=False).returncode:
        pytest.skip("this machine allows no mount in a namespace")
    inside = f"""
        mount -t tmpfs -o size=600k tmpfs {small}
        "$@"; echo "exit $?"
        mount -o remount,size=50m {small}
        "$@"; echo "exit $?"
        cp {small}/store.sqlite {saved}
    """
    server = Counting()
    with serving(server) as url:
        output = run(url, *unshare, inside, "sh", store=small / "store.sqlite")
    first, _, second = output.partition("exit 1\n")
    assert second, output
    # Whichever of the two meets the end of the room first.
    full = rf"response store {small}/store\.sqlite: .*full|{small}/store\.log\.jsonl: .*No space"
    assert re.match(full, first), first
    assert first.count("\n") == 2, first
    assert "ake room and run the same command again" in first
    sent, reused = map(int, re.fullmatch(r"(\d+) sent, (\d+) reused\nexit 0\n", second).groups())
    assert sent + reused == 1000
    assert reused > 20, "what was kept before is there"
    assert server.total <= 1000 + CONCURRENCY
    assert run.texts() == [prompt.upper() for prompt in prompts]
    assert len(kept_in(saved)) == 1000


@pytest.mark.parametrize("start_together", [True, False])
@pytest.mark.parametrize("prompts", [500, 1500])  # one window of requests, or several
def test_two_processes_at_the_same_work_ask_nothing_twice(
    tmp_path: Path, start_together: bool, prompts: int
) -> None:
    """What one asks the other waits for, and both write the same, be the answers what they may."""
    texts = [f"prompt {n:04}" for n in range(prompts)]
    one, other = Run(tmp_path / "one", texts), Run(tmp_path / "other", texts)
    server = Counting(seconds=0.05, answers_differ=True)
    with serving(server) as url:
        processes = [one.start(url, store=tmp_path / "s.sqlite", concurrency=8)]
        if not start_together:
            server.wait_for(lambda: server.total >= 100, processes[0])
        processes.append(other.start(url, store=tmp_path / "s.sqlite", concurrency=8))
        outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    print(f"sent {server.total} for {prompts}: {outputs}")
    assert one.out.read_bytes() == other.out.read_bytes()
    assert len(kept_in(tmp_path / "s.sqlite")) == prompts
    assert set(server.asked.values()) == {1}
    assert list(tmp_path.glob("*.claims")) == []


def test_what_a_killed_process_was_asking_another_takes_over_at_once(tmp_path: Path) -> None:
    """Not when its lease runs out, which is in an hour; but for what it was asking just then."""
    prompts = [f"prompt {n:04}" for n in range(500)]
    killed, other = (Run(tmp_path / name, prompts, lease=3600) for name in ("killed", "other"))
    server = Counting(seconds=0.05)
    with serving(server) as url:
        process = killed.start(url, store=tmp_path / "s.sqlite", concurrency=8)
        server.wait_for(lambda: server.total >= 100, process)
        waiting = other.start(url, store=tmp_path / "s.sqlite", concurrency=8)
        server.wait_for(lambda: server.total >= 200, process)
        kill(process)
        output, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, output
    assert other.texts() == [prompt.upper() for prompt in prompts]
    assert len(server.asked) == 500
    assert server.total <= 500 + 8
    assert list(tmp_path.glob("*.claims")) == []


def stop(process: subprocess.Popen[str], store: Path) -> None:
    """Not in the middle of a write: then nobody else could write."""
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        try:
            with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as db:
                db.execute("BEGIN IMMEDIATE")
                return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)


def test_what_a_stopped_process_was_asking_is_taken_over_when_its_lease_runs_out(
    tmp_path: Path,
) -> None:
    """And when it goes on, it asks nothing of that."""
    prompts = [f"prompt {n:04}" for n in range(500)]
    stopped, other = (Run(tmp_path / name, prompts, lease=2) for name in ("stopped", "other"))
    server = Counting(seconds=0.05, answers_differ=True)
    with serving(server) as url:
        process = stopped.start(url, store=tmp_path / "s.sqlite", concurrency=8)
        server.wait_for(lambda: server.total >= 100, process)
        try:
            stop(process, tmp_path / "s.sqlite")
            output = other(url, store=tmp_path / "s.sqlite", concurrency=8)
        finally:
            process.send_signal(signal.SIGCONT)
        late, _ = process.communicate(timeout=60)
    assert process.returncode == 0, late
    print(output, late, server.total)
    assert len(server.asked) == 500
    assert server.total <= 500 + 8
    assert stopped.out.read_bytes() == other.out.read_bytes()
    assert list(tmp_path.glob("*.claims")) == []


def test_several_processes_may_create_one_store_at_once(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from seedbed.llm.store.rows import Kept\n"
        "from seedbed.llm.store.store import Store\n"
        "for n in range(20):\n"
        "    while time.time() % 0.1 > 0.01: pass\n"
        "    store = Store(Path(sys.argv[1]) / f'{n}.sqlite')\n"
        "    store.put([Kept(sys.argv[2], 'b', '{}', '{}', '{}', 1, True, None, 1, 1)])\n"
        "    store.close()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), str(number)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            text=True,
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 3
    for n in range(20):
        assert len(kept_in(tmp_path / f"{n}.sqlite")) == 3
