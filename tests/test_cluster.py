"""Runs on the nodes of a Ray cluster. What starts one needs Ray: `make check-cluster`."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.clusters import Cluster, free_port, soon
from support.engines import (
    EMBEDDED,
    LLM,
    answer_to,
    ask,
    kept_in,
    requests_for,
    response_to,
    set_environment,
)
from support.params import section
from support.processes import kill, wait_for
from support.project import PYTHONPATH, ROOT, Project
from support.server import Cut, fail, serving

from seedbed.core import cluster
from seedbed.core.cluster import (
    BadCluster,
    ClusterNotThere,
    Node,
    OtherVersion,
)
from seedbed.llm import errors
from seedbed.llm.params import Llm
from seedbed.llm.send import limits
from seedbed.llm.serve import embedded, ray_fleet
from seedbed.llm.serve.endpoint import Away, Endpoint, open_endpoint
from seedbed.llm.serve.ray_fleet import Share
from seedbed.llm.server_errors import FleetWithoutName, NoRoom, NoShare

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: make check-cluster")
NODES = [Node(f"{number:02}", f"node{number}", "10.0.0.1", 4, 1, 2e9) for number in range(2)]
PACKAGED = section(Llm, model=embedded.PACKAGED, embedded=EMBEDDED)
VLLM = section(Llm, model="served-model", server="pool")
KEY = "sk-marked-1234567890"


# --- A server that comes back at another address


class Moving:
    """A server that is started anew by somebody else, each time at another port."""

    def __init__(self, answer: Callable[..., dict]):
        self._answer = answer
        self._running = ExitStack()
        self.url: str | None = None
        self.asked = 0

    def start(self) -> None:
        self.url = self._running.enter_context(serving(self._answer))

    def stop(self) -> None:
        self._running.close()
        self.url = None

    def connect(self) -> tuple[str, str]:
        self.asked += 1
        if self.url is None:
            raise Away("it is starting")
        return self.url, "its-key"


def fleet_of(moving: list[Moving], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the endpoint that SEEDBED_RAY names have these servers."""

    def of_vllm(there: Endpoint, running: ExitStack) -> Endpoint:
        team: Any = FakeTeam(moving)
        return ray_fleet.replace(
            there, gather=lambda: ray_fleet._servers(there, team, running), address="a fleet"
        )

    monkeypatch.setattr(ray_fleet, "of_vllm", of_vllm)
    monkeypatch.setenv("SEEDBED_RAY", "local")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "LAST_PAUSE", 0.1)


@dataclass
class FakeTeam:
    moving: list[Moving]
    stopped: bool = False

    def __len__(self) -> int:
        return len(self.moving)

    def wait(self) -> None:
        for one in self.moving:
            one.start()

    def at(self, number: int) -> tuple[str, str]:
        return self.moving[number].connect()

    def stop(self) -> None:
        for one in self.moving:
            one.stop()


def test_a_server_that_is_started_anew_elsewhere_is_asked_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 0

    def answer(body: dict, headers: Any) -> dict:
        nonlocal count
        count += 1
        if count == 20:
            moving.stop()
            moving.start()
            raise Cut
        return response_to(body)

    moving = Moving(answer)
    fleet_of([moving], monkeypatch)
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    prompts = [f"p{number}" for number in range(50)]
    answers = ask(tmp_path / "s.sqlite", requests_for(prompts), VLLM)
    assert [one.text for one in answers] == [answer_to(prompt) for prompt in prompts]
    assert count == 51
    assert moving.asked >= 2
    assert "OPENAI_BASE_URL" not in capsys.readouterr().err


def test_the_progress_line_names_the_servers_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (1, 2):
        notes: list[str | None] = []
        fleet_of([Moving(lambda body, headers: response_to(body))] * count, monkeypatch)
        path = tmp_path / f"{count}.sqlite"
        ask(path, requests_for("ab"), VLLM, lambda tally: notes.append(tally.note))  # noqa: B023
        for number in range(1, count + 1):
            assert all(note and f", server {number} on Ray: " in note for note in notes)
        assert notes


def test_a_key_that_is_refused_there_is_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port of one that died can be another's by now."""
    refuse = True

    def answer(body: dict, headers: Any) -> dict:
        nonlocal refuse
        if refuse:
            refuse = False
            raise fail(401, "another key")
        return response_to(body)

    fleet_of([Moving(answer)], monkeypatch)
    (one,) = ask(tmp_path / "s.sqlite", requests_for(["a"]), VLLM)
    assert one.text == answer_to("a")


def test_a_run_that_the_store_answers_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet_of([Moving(lambda body, headers: response_to(body))], monkeypatch)
    ask(tmp_path / "s.sqlite", requests_for(["a"]), VLLM)
    fleet_of([], monkeypatch)
    assert ask(tmp_path / "s.sqlite", requests_for(["a"]), VLLM)[0].text == answer_to("a")


# --- What a fleet is, and what cannot be


def test_servers_that_are_named_are_asked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDBED_RAY", "local")
    set_environment(monkeypatch, "http://node.invalid/v1")
    with open_endpoint(LLM) as endpoint:
        assert endpoint.gathered() is endpoint
        assert not endpoint.moves


def test_what_answers_on_ray_is_no_part_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with open_endpoint(PACKAGED) as here:
        monkeypatch.setenv("SEEDBED_RAY", "local")
        with open_endpoint(PACKAGED) as there:
            assert there.identity == here.identity
            assert (there.embedded, there.one_slot) == (here.embedded, here.one_slot)
            assert there.address == f"embedded servers on Ray ({here.model})"


def test_a_node_has_as_many_shares_as_its_scarcest_part() -> None:
    assert [Share(cpus=cpus).times(NODES[0]) for cpus in (1, 2, 3, 5)] == [4, 2, 1, 0]
    assert Share(cpus=1, memory=700_000_000).times(NODES[0]) == 2
    assert Share(cpus=1, gpus=1).times(NODES[0]) == 1


def gathering(
    monkeypatch: pytest.MonkeyPatch, llm: Llm, nodes: list[Node]
) -> tuple["Endpoint", ...]:
    monkeypatch.setenv("SEEDBED_RAY", "local")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(cluster, "nodes", lambda: nodes)
    with open_endpoint(llm) as endpoint:
        return endpoint.gathered().servers


def test_a_node_without_memory_for_the_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ray_fleet.replace(NODES[1], memory=100e6)
    with pytest.raises(NoRoom, match=r"^Ray node node1: 100 MB of memory, and gemma.* needs 5"):
        gathering(monkeypatch, PACKAGED, [NODES[0], small])


def test_a_cluster_on_which_no_node_has_a_share_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [ray_fleet.replace(node, cpus=1, gpus=0) for node in NODES]
    wide = PACKAGED.model_copy(update={"embedded": EMBEDDED.model_copy(update={"threads": 2})})
    with pytest.raises(NoShare, match=r"has 2 CPUs \(llm.embedded.threads\): node0, node1"):
        gathering(monkeypatch, wide, few)
    with pytest.raises(NoShare, match="has a GPU: node0, node1"):
        gathering(monkeypatch, VLLM, few)


def test_vllm_needs_a_name_for_what_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FleetWithoutName, match=r"Set llm\.server"):
        gathering(monkeypatch, section(Llm, model="served-model"), NODES)
    monkeypatch.setenv("SEEDBED_MODE", "batch")
    with pytest.raises(errors.BadEnvironment, match="live with SEEDBED_RAY"):
        gathering(monkeypatch, VLLM, NODES)


@pytest.mark.parametrize("said", ["yes", "10.0.0.1", "host:", "host:0", "ray://h:1", "h:99999"])
def test_what_is_no_address_of_a_cluster_is_said(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("SEEDBED_RAY", said)
    with pytest.raises(BadCluster, match="host:port of a Ray cluster"):
        cluster.named()


@pytest.mark.parametrize("said", ["local", "10.0.0.1:6379", "head.cluster:6379", "[::1]:6379"])
def test_what_is_one_is_taken(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("SEEDBED_RAY", said)
    assert cluster.named() == said


def test_a_node_with_another_version_is_named() -> None:
    ours = cluster.versions()
    assert set(ours) == {"Seedbed", "Python", "ray", "xllamacpp"}
    cluster.compare("node1", ours, ours)
    for what in ours:
        with pytest.raises(OtherVersion, match=f"^Ray node node1 has {what} 0.1, and this process"):
            cluster.compare("node1", ours | {what: "0.1"}, ours)


@needs_ray
def test_rays_own_words_for_another_version_are_understood() -> None:
    from ray._private.utils import check_version_info, compute_version_info

    ray, python = compute_version_info()[:2]
    for told, what in (((ray, "3.9.1"), "Python 3.9.1"), (("2.1.0", python), "Ray 2.1.0")):
        with pytest.raises(RuntimeError) as said:
            check_version_info({"ray_version": told[0], "python_version": told[1]}, "here")
        found = cluster._why_not("head:6379", said.value)
        assert isinstance(found, OtherVersion)
        assert f"Ray node head:6379 has {what}, and this process" in str(found)


@needs_ray
def test_where_no_cluster_is_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDBED_RAY", f"127.0.0.1:{free_port()}")
    for name in ("RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.setenv(name, os.environ.get(name, "0"))  # so that it is put back
    with pytest.raises(ClusterNotThere, match="Connection refused"):
        cluster.join.__wrapped__()


def test_without_ray_it_is_said_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from seedbed.core import cluster\n"
        "try: cluster.join()\n"
        "except cluster.NoRay as error: print(error)"
    )
    own = {**os.environ, "PYTHONPATH": PYTHONPATH, "SEEDBED_RAY": "local"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=own, cwd=ROOT, capture_output=True, text=True
    )
    assert "`make cluster` installs it" in done.stdout, done.stderr


# --- A cluster of two nodes


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Cluster]:
    found = Cluster()
    try:
        found.start("one")
        found.start("two")
        yield found
    finally:
        found.stop()


@dataclass
class Run:
    """A run on a cluster, with its own store."""

    cluster: Cluster
    folder: Path
    prompts: list[str]

    @property
    def store(self) -> Path:
        return self.folder / "responses.sqlite"

    def start(self, *model: str, **more: str) -> subprocess.Popen[str]:
        given = self.folder / "prompts.jsonl"
        given.write_text("".join(json.dumps(prompt) + "\n" for prompt in self.prompts))
        self.cluster.asked.unlink(missing_ok=True)
        own = {"SEEDBED_STORE": str(self.store), "SEEDBED_CONCURRENCY": "4"} | more
        out = str(self.folder / "out.jsonl")
        return self.cluster.run("-m", "support.fleet_run", str(given), out, *model, **own)

    def __call__(self, *model: str, **more: str) -> str:
        return finished(self.start(*model, **more))

    def texts(self) -> list[str]:
        lines = (self.folder / "out.jsonl").read_text().splitlines()
        return [json.loads(line)["text"] for line in lines]

    def spent(self) -> int:
        """The tokens that all of its starts have been counted."""
        with closing(sqlite3.connect(self.store)) as db:
            return int(db.execute("SELECT sum(tokens) FROM spending").fetchone()[0])

    def is_right(self) -> bool:
        return self.texts() == [answer_to(prompt) for prompt in self.prompts]

    def asked_twice(self) -> int:
        counts = Counter(prompt for _, prompt in self.cluster.requests())
        assert {*counts} == {*self.prompts}
        return counts.total() - len(counts)


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


@pytest.fixture
def run(two_nodes: Cluster, tmp_path: Path) -> Run:
    return Run(two_nodes, tmp_path, [f"prompt {number}" for number in range(200)])


def mid_run(run: Run, **more: str) -> subprocess.Popen[str]:
    """A run that has had 40 answers, of both nodes."""
    process = run.start(**more)
    wait_for(lambda: len(run.cluster.requests()) > 40, process)
    assert len({pid for pid, _ in run.cluster.requests()}) == 2
    return process


on_cluster = [pytest.mark.slow, pytest.mark.xdist_group("cluster"), needs_ray]


class TestTwoNodes:
    pytestmark = on_cluster

    def test_each_runs_a_server_and_all_is_answered_once(self, run: Run) -> None:
        output = run()
        assert "200 sent, 0 reused" in output
        assert run.is_right()
        assert run.asked_twice() == 0
        shares = Counter(pid for pid, _ in run.cluster.requests())
        assert len(shares) == 2
        assert min(shares.values()) > 20
        # The servers end with the run.
        assert soon(lambda: not any(psutil.pid_exists(pid) for pid in shares))
        assert "200 reused" in run()
        assert run.cluster.requests() == []

    def test_an_actor_that_is_killed_is_started_anew_and_nothing_is_lost(self, run: Run) -> None:
        # What there is to do lasts until it is back.
        run.prompts = [f"slow {number}" for number in range(200)]
        process = mid_run(run, SEEDBED_BUDGET_TOKENS="1000000")
        (actor, _) = run.cluster.named("ray::VllmServer")
        before = {pid for pid, _ in run.cluster.requests()}
        actor.kill()
        finished(process)
        assert run.is_right()
        assert run.asked_twice() <= 4
        assert len({pid for pid, _ in run.cluster.requests()} | before) == 3
        assert len(kept_in(run.store)) == 200
        # What was cut off may have been charged: with a budget it is counted, at its most.
        assert 200 * 15 <= run.spent() <= 200 * 15 + 4 * 100

    def test_a_node_that_is_killed_is_done_without_and_nothing_is_lost(self, run: Run) -> None:
        process = mid_run(run)
        run.cluster.kill("two")
        try:
            finished(process)
            assert run.is_right()
            assert run.asked_twice() <= 4
            assert len(kept_in(run.store)) == 200
        finally:
            run.cluster.start("two")

    def test_a_run_that_is_killed_goes_on_where_it_was(self, run: Run) -> None:
        process = mid_run(run)
        kill(process)
        pids = {pid for pid, _ in run.cluster.requests()}
        assert soon(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        kept = len(kept_in(run.store))
        first = run.cluster.requests()
        assert kept >= 30
        output = run()
        assert f"{200 - kept} sent, {kept} reused" in output
        assert run.is_right()
        again = Counter(prompt for _, prompt in [*first, *run.cluster.requests()])
        assert {*again} == {*run.prompts}
        assert again.total() - 200 <= 2 * 4
        assert len(kept_in(run.store)) == 200
        assert run.spent() == 200 * 15

    def test_a_server_that_does_not_start_is_one_message_with_the_node(self, run: Run) -> None:
        process = run.start("ends")
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 1
        assert "Ray node one: `vllm serve ends` ended with status 3" in output or (
            "Ray node two: `vllm serve ends` ended with status 3" in output
        )
        assert "Traceback" not in output

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("cluster.digest = lambda: 'another'", "has Seedbed "),
            ("os.environ['RAY_AUTH_TOKEN'] = 'ab' * 32", "does not take this machine's token"),
            (
                "del os.environ['RAY_AUTH_TOKEN']; os.environ['HOME'] = '/nowhere'",
                "does not take this machine's token",
            ),
        ],
    )
    def test_who_does_not_belong_there_is_told_why(self, run: Run, code: str, said: str) -> None:
        program = (
            "import os; from seedbed.core import cluster\n"
            f"{code}\n"
            "try: cluster.join()\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        output = finished(run.cluster.run("-c", program))
        assert said in output
        assert "Traceback" not in output

    def test_the_embedded_server_answers_there_as_it_does_here_and_no_key_goes_along(
        self, run: Run, tmp_path: Path
    ) -> None:
        run.prompts = [f"Question: what is {n} and {n}?\nAnswer:" for n in range(6)]
        run(embedded.PACKAGED, OPENAI_API_KEY=KEY)
        # With the folder still there, and what has run in it.
        logs = [path for path in run.cluster.folder.rglob("*") if path.is_file()]
        assert len(logs) > 10
        for path in logs:
            assert KEY.encode() not in path.read_bytes(), path
        for process in run.cluster.processes():
            assert KEY not in " ".join([*process.cmdline(), *process.environ().values()])
        here = Run(run.cluster, tmp_path / "here", run.prompts)
        here.folder.mkdir()
        here(embedded.PACKAGED, SEEDBED_RAY="")
        # Keys, texts and all else of the answers but the time.
        there = (run.folder / "out.jsonl").read_bytes()
        assert (here.folder / "out.jsonl").read_bytes() == there

    def test_a_run_there_gives_the_same_lock_as_here(
        self, two_nodes: Cluster, new_project: Callable[[str], Project]
    ) -> None:
        here = new_project("here")
        here.shrink()
        here.shorten_prompts()
        here.set("llm.embedded.threads", 1)
        there = here.copy(here.folder.with_name("there"))
        joined = {name: two_nodes.environment[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        done = there.run("dvc", "repro", SEEDBED_RAY=two_nodes.address, **joined)
        assert done.returncode == 0, done.stdout
        assert here.run("dvc", "repro").returncode == 0
        assert here.read("dvc.lock") == there.read("dvc.lock")

    def test_a_file_that_a_node_does_not_have_is_one_message(self, run: Run) -> None:
        """Here both have it, or neither: it goes as soon as the run itself has looked at it."""
        model = run.folder / "model.gguf"
        model.symlink_to(embedded.model_file(embedded.PACKAGED)[0])
        program = (
            "import sys; from pathlib import Path\n"
            "from seedbed.llm.serve import ray_fleet\n"
            "from support import fleet_run\n"
            "gather = ray_fleet._servers\n"
            "def gone(*own):\n"
            "    Path(sys.argv[3]).unlink(missing_ok=True)\n"
            "    return gather(*own)\n"
            "ray_fleet._servers = gone\n"
            "team = ray_fleet.Team\n"
            "def made(*own):\n"
            "    Path(sys.argv[3]).unlink(missing_ok=True)\n"
            "    return team(*own)\n"
            "ray_fleet.Team = made\n"
            "fleet_run.main(*sys.argv[1:])"
        )
        (run.folder / "prompts.jsonl").write_text('"a"\n')
        process = run.cluster.run(
            "-c",
            program,
            str(run.folder / "prompts.jsonl"),
            str(run.folder / "out.jsonl"),
            str(model),
            SEEDBED_STORE=str(run.store),
        )
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 1, output
        assert f"llm.model: {model}: no such file" in output
        assert "Ray node one: " in output or "Ray node two: " in output
        assert "at the same path on every node" in output


# --- A cluster of one's own


LOOK = """
import os, sys
from seedbed.core import cluster
ray = cluster.join()
assert os.environ["OPENAI_API_KEY"]
print(ray._private.worker._global_node.get_session_dir_path(), flush=True)
sys.stdin.readline()
"""


@needs_ray
@pytest.mark.slow
@pytest.mark.xdist_group("cluster")
def test_a_cluster_of_ones_own_keeps_to_itself_and_ends_with_the_process() -> None:
    own = {**os.environ, "PYTHONPATH": PYTHONPATH, "SEEDBED_RAY": "local", "OPENAI_API_KEY": KEY}
    with subprocess.Popen(
        [sys.executable, "-c", LOOK],
        env=own,
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        session = Path(process.stdout.readline().strip())
        # Ray opens its own to everybody.
        assert stat.S_IMODE(session.parents[0].stat().st_mode) == 0o777
        assert stat.S_IMODE(session.parents[1].stat().st_mode) == 0o700
        of_it = psutil.Process(process.pid).children(recursive=True)
        assert {"raylet", "gcs_server"} <= {one.name() for one in of_it}
        listening = [
            connection.laddr.ip
            for one in [*of_it, psutil.Process(process.pid)]
            for connection in one.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
        for one in of_it:
            around = one.environ()
            assert KEY not in around.values()
            # Those that have given themselves a title have written it over theirs.
            if one.name() in ("raylet", "gcs_server"):
                assert around["RAY_USAGE_STATS_ENABLED"] == "0"
                assert around["RAY_AUTH_MODE"] == "token"
        process.kill()
        # Ray's agents first try for a minute to tell the head, which has ended before them.
        assert soon(lambda: not any(one.is_running() for one in of_it), 150)
        shutil.rmtree(session.parents[1])
