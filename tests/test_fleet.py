"""Several servers with one model: who is asked what, who is left out, and what is kept."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from email.message import Message
from pathlib import Path
from threading import Lock

import httpx2
import pytest
from support.engines import (
    LLM,
    WAYS,
    answer_to,
    ask,
    kept_in,
    requests_for,
    response_in,
    response_to,
    set_environment,
)
from support.params import section
from support.processes import kill, wait_for
from support.project import ROOT
from support.refusals import nobody_there
from support.server import Cut, Reply, fail, serving
from support.simulated import Simulated, Transport, now, refusal

from seedbed.core.progress import Tally
from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.engine import Engine
from seedbed.llm.params import Llm
from seedbed.llm.send import limits
from seedbed.llm.serve import embedded
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.server_errors import (
    NameWithoutAddress,
    NameWithoutServer,
    NoServerName,
    ServersUnlike,
)
from seedbed.llm.store.runlog import RunLog
from seedbed.llm.store.store import Store

POOL = section(Llm, model="served-model", server="pool")
GROUPS = [f"task {group:02}: {'an example of it; ' * 20}" for group in range(20)]
PROMPTS = [f"{group}{number}" for group in GROUPS for number in range(10)]
HOSTS = [f"http://node{number}.invalid/v1" for number in range(3)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "LAST_PAUSE", 0.1)
    return tmp_path / "responses.sqlite"


class Node:
    """A server that counts what it was asked; `fault` may raise instead of answering."""

    def __init__(self, fault: Callable[[dict], None] = lambda body: None):
        self.fault = fault
        self.prompts: list[str] = []
        self._lock = Lock()

    def __call__(self, body: dict, headers: Message) -> dict:
        with self._lock:
            self.prompts.append(body["prompt"])
        self.fault(body)
        return response_to(body)


def raising(error: Exception) -> Callable[[dict], None]:
    def fault(body: dict) -> None:
        raise error

    return fault


def texts(prompts: list[str]) -> list[str]:
    return [answer_to(prompt) for prompt in prompts]


def asked(path: Path, prompts: list[str], llm: Llm = POOL) -> list[str]:
    return [answer.text for answer in ask(path, requests_for(prompts), llm)]


def test_two_share_the_work_and_what_begins_alike_stays_together(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Node(), Node()
    with serving(one) as first, serving(other) as second:
        set_environment(monkeypatch, f"{first}, {second}", concurrency=4)
        assert asked(path, PROMPTS) == texts(PROMPTS)
    assert sorted(one.prompts + other.prompts) == sorted(PROMPTS)
    shares = [Counter(prompt[:8] for prompt in node.prompts) for node in (one, other)]
    # Whoever is quicker takes over some of the other's, at a cut of its own each time.
    assert len(shares[0].keys() & shares[1].keys()) <= 5
    assert min(map(len, shares)) >= 4


def test_what_answers_is_no_part_of_what_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, one, other = Node(), Node(), Node()
    with serving(alone) as single, serving(one) as first, serving(other) as second:
        set_environment(monkeypatch, f"{first} {second}")
        asked(path, PROMPTS[:40])
        set_environment(monkeypatch, single)
        assert asked(path, PROMPTS[:40]) == texts(PROMPTS[:40])
        asked(path.with_name("another.sqlite"), PROMPTS[:40])
    assert len(alone.prompts) == 40  # for the other store alone
    rows = [
        [row._replace(created_at=None) for row in kept_in(where)]
        for where in (path, path.with_name("another.sqlite"))
    ]
    assert rows[0] == rows[1]
    assert json.loads(rows[0][0].model) == {"server": "pool", "name": "served-model"}


def test_without_a_name_the_key_is_that_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in (HOSTS[0], f" {HOSTS[0]}", f"{HOSTS[0]}/ {HOSTS[0]}"):
        monkeypatch.setenv("OPENAI_BASE_URL", given)
        with open_endpoint(LLM) as endpoint:
            assert endpoint.identity == {"server": HOSTS[0], "name": "served-model"}
            assert endpoint.servers == ()
        with open_endpoint(POOL) as endpoint:
            assert endpoint.identity == {"server": "pool", "name": "served-model"}


def test_a_replay_of_what_has_a_name_needs_no_address(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Node()) as url:
        set_environment(monkeypatch, url)
        asked(path, ["a", "b"])
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    replay = POOL.model_copy(update={"replay": True})
    assert asked(path, ["b", "a"], replay) == texts(["b", "a"])


def test_one_that_is_not_there_from_the_beginning_is_told_once_and_done_without(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node, missing = Node(), nobody_there()
    notes: set[str | None] = set()
    with serving(node) as url:
        set_environment(monkeypatch, f"{missing} {url}", max_retries=0)
        asking = requests_for(PROMPTS[:50])
        answers = ask(path, asking, POOL, lambda tally: notes.add(tally.note))
    assert [answer.text for answer in answers] == texts(PROMPTS[:50])
    said = capsys.readouterr().err
    assert said.count(f"seedbed: {missing} does not answer: ") == said.count("seedbed:") == 1
    assert "is OPENAI_BASE_URL right?" in said
    place = missing.removeprefix("http://").removesuffix("/v1")
    assert any(note and f"1 of 2 servers, {place}: left out" in note for note in notes)


def test_all_that_are_not_there_are_named_in_one_message(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = [nobody_there(), nobody_there()]
    set_environment(monkeypatch, " ".join(missing), max_retries=1)
    for way in WAYS:
        with pytest.raises(errors.ServerNotThere) as failure:
            measured(path, way, ["a", "b"])
        assert f"no answer from {missing[0]}, {missing[1]}: " in str(failure.value)


def measured(path: Path, way: str, given: list[str]) -> tuple[object, Tally]:
    """What the engine says of texts in one of the WAYS, and the tally."""
    with closing(Store(path)) as store, open_endpoint(POOL) as endpoint:
        engine = Engine(endpoint, store, lambda tally: None)
        try:
            return WAYS[way](engine, given), engine.tally
        finally:
            engine.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [fail(500, "oh no"), Cut(), fail(503, "loading")])
def test_what_one_fails_at_another_answers_whatever_is_asked(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: str, fault: Exception
) -> None:
    def answer(body: dict, headers: Message) -> dict:
        return response_in(way, body)

    given = [f"text{number}" for number in range(30)]
    with serving(Node(raising(fault))) as broken, serving(answer) as url:
        set_environment(monkeypatch, f"{broken} {url}", concurrency=3)
        found, tally = measured(path, way, given)
        assert measured(path, way, given)[0] == found
    assert len(kept_in(path)) == 30
    assert tally.prompt_tokens + tally.completion_tokens == 30 * 15


def test_one_whose_answers_are_no_completions_is_left_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Node(raising(Reply(200, "{half a bo")))
    with serving(broken) as first, serving(Node()) as second:
        set_environment(monkeypatch, f"{first} {second}", concurrency=2)
        assert asked(path, PROMPTS[:50]) == texts(PROMPTS[:50])
    assert len(broken.prompts) < 20
    assert all(row.problem is None for row in kept_in(path))


def test_a_request_that_no_server_answers_is_given_up_and_ends_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(body: dict) -> None:
        if body["prompt"] == "p07":
            raise fail(500, "oh no")

    nodes = Node(fault), Node(fault)
    with serving(nodes[0]) as first, serving(nodes[1]) as second:
        set_environment(monkeypatch, f"{first} {second}", max_retries=3, concurrency=2)
        with pytest.raises(errors.RowsFailed, match=r"request 8 .*HTTP 500: oh no") as failure:
            asked(path, [f"p{number:02}" for number in range(20)])
    assert len(failure.value.failed) == 1
    assert len(kept_in(path)) == 19
    tried = [node.prompts.count("p07") for node in nodes]
    assert sum(tried) == 4
    assert min(tried) > 0


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        (fail(401, "bad key"), errors.KeyRefused, "Set OPENAI_API_KEY"),
        (fail(403, "not yours"), errors.KeyRefused, "Set OPENAI_API_KEY"),
        (fail(404, "no such model"), errors.ModelUnknown, "end in /v1"),
        (fail(400, "logprobs not allowed"), errors.ParameterRefused, "logprobs to llm.leave_out"),
    ],
)
def test_one_that_refuses_ends_the_run_and_is_named_with_the_remedy(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    error: type[SeedbedError],
    says: str,
) -> None:
    with serving(Node()) as url, serving(Node(raising(fault))) as refusing:
        set_environment(monkeypatch, f"{url} {refusing}")
        with pytest.raises(error, match=says) as failure:
            asked(path, PROMPTS)
    assert str(failure.value).startswith(refusing)
    assert url not in str(failure.value)


# --- Which models they have


def test_servers_of_different_models_are_asked_nothing(simulated: Simulated) -> None:
    sent = []

    async def answer(body: dict) -> httpx2.Response:
        sent.append(body)
        return httpx2.Response(200, json=response_to(body))

    def found(*models: list[str] | None) -> str:
        servers = zip(HOSTS, models, strict=False)
        simulated.set_up_several({url: Transport(answer, names) for url, names in servers})
        with pytest.raises(ServersUnlike) as failure:
            ask(simulated.path, requests_for(["a"]), POOL)
        return str(failure.value)

    said = found(["served-model"], ["a-model", "another"])
    assert f"{HOSTS[1]} serves a-model, another, but {HOSTS[0]} serves served-model\n" in said
    assert "take its address out of OPENAI_BASE_URL" in said
    assert found(["a-model"], None, ["served-model"]).startswith(HOSTS[0])
    assert found(["a.gguf"], ["b.gguf"]).startswith(HOSTS[1])
    assert not sent


def test_servers_that_do_not_say_which_models_they_have_are_asked(simulated: Simulated) -> None:
    async def answer(body: dict) -> httpx2.Response:
        return httpx2.Response(200, json=response_to(body))

    for models in ((None, None), (None, ["m"]), (["a", "served-model"], ["served-model"])):
        servers = zip(HOSTS, models, strict=False)
        simulated.set_up_several({url: Transport(answer, names) for url, names in servers})
        assert asked(simulated.path, ["a"]) == texts(["a"])


# --- Who is left out, in simulated time


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return Simulated(tmp_path / "responses.sqlite", monkeypatch)


class Simulation:
    """Three servers that take a second for an answer.

    fault: of a server's number and the time, what it does instead, None: nothing else.
    seen: at what time each was asked.
    """

    def __init__(self, fault: Callable[[int, float], httpx2.Response | Exception | None]):
        self.fault = fault
        self.seen: list[list[float]] = [[] for _ in HOSTS]
        self.in_flight = [0] * len(HOSTS)
        self.most = [0] * len(HOSTS)

    def servers(self) -> Iterator[tuple[str, Transport]]:
        for number, url in enumerate(HOSTS):
            yield url, Listed(self, number)

    async def answer(self, number: int, body: dict) -> httpx2.Response:
        self.seen[number].append(now())
        fault = self.fault(number, now())
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return fault
        self.in_flight[number] += 1
        self.most[number] = max(self.most[number], self.in_flight[number])
        await asyncio.sleep(1)
        self.in_flight[number] -= 1
        return httpx2.Response(200, json=response_to(body))


class Listed(Transport):
    """A server of a simulation; one that is not there lists no models either."""

    def __init__(self, simulation: Simulation, number: int):
        super().__init__(lambda body: simulation.answer(number, body), ["served-model"])
        self._simulation, self._number = simulation, number

    def _listed(self) -> httpx2.Response:
        fault = self._simulation.fault(self._number, now())
        if isinstance(fault, Exception):
            raise fault
        return super()._listed()


GONE = httpx2.ConnectError("nobody listens there")


def simulate(
    simulated: Simulated,
    fault: Callable[[int, float], httpx2.Response | Exception | None],
    count: int,
    **variables: object,
) -> Simulation:
    """Ask for so many, one in flight at each."""
    simulation = Simulation(fault)
    own: dict[str, object] = {"concurrency": 1, **variables}
    simulated.set_up_several(dict(simulation.servers()), **own)
    prompts = [f"p{number:04}" for number in range(count)]
    assert asked(simulated.path, prompts) == texts(prompts)
    return simulation


def test_each_is_asked_as_fast_as_it_answers(simulated: Simulated) -> None:
    simulation = simulate(simulated, lambda number, at: None, 300, concurrency=5)
    assert simulation.most == [5, 5, 5]
    assert [len(seen) for seen in simulation.seen] == [100, 100, 100]
    assert max(map(max, simulation.seen)) < 21


def test_one_that_goes_away_is_tried_ever_less_often_and_used_when_it_is_back(
    simulated: Simulated,
) -> None:
    def fault(number: int, at: float) -> Exception | None:
        return GONE if number == 1 and 10 <= at < 60 else None

    simulation = simulate(simulated, fault, 300)
    seen = simulation.seen[1]
    assert len([at for at in seen if at < 10]) >= 9
    # What it was asked when it went: later it is only asked which models it has.
    assert len([at for at in seen if 10 <= at < 60]) == 1
    late = [at for at in seen if at >= 60]
    assert late[0] <= 60 + 32
    assert len(late) >= 10
    assert max(map(max, simulation.seen)) < 130


def test_one_that_asks_for_a_pause_gets_it_and_the_others_go_on(simulated: Simulated) -> None:
    def fault(number: int, at: float) -> httpx2.Response | None:
        return refusal(retry_after="40") if number == 1 and 5 <= at < 6 else None

    simulation = simulate(simulated, fault, 200)
    seen = simulation.seen[1]
    (refused,) = [at for at in seen if 5 <= at < 6]
    after = [at for at in seen if at > refused]
    assert refused + 40 <= after[0] < refused + 42
    assert [at for at in simulation.seen[0] if 10 < at < 40]


def test_a_server_error_now_and_then_leaves_nobody_out(simulated: Simulated) -> None:
    count = 0

    def fault(number: int, at: float) -> httpx2.Response | None:
        nonlocal count
        count += 1
        return refusal(500, "oh no") if count % 20 == 0 else None

    simulation = simulate(simulated, fault, 300, concurrency=5)
    assert min(len(seen) for seen in simulation.seen) > 80
    assert max(map(max, simulation.seen)) < 40


def test_one_that_fails_is_told_with_what_it_said_and_not_as_one_that_is_not_there(
    simulated: Simulated, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(simulated, lambda number, at: refusal(500, "oh no") if number == 0 else None, 100)
    said = capsys.readouterr().err
    assert f"seedbed: {HOSTS[0]} fails (HTTP 500): oh no\n" in said
    assert "while others answer. What does its own log say?" in said
    assert "Is the server running" not in said


def test_the_run_ends_when_no_server_answers_for_longer_than_our_patience(
    simulated: Simulated,
) -> None:
    simulation = Simulation(lambda number, at: GONE if at >= 10 else None)
    simulated.set_up_several(dict(simulation.servers()), patience=100)
    notes: list[str | None] = []
    asking = requests_for([f"p{number:04}" for number in range(1000)])
    # The last try is when it ends, however long the pauses have become by then.
    with pytest.raises(errors.ServerFailed, match=r"nothing has succeeded for 10[01] s") as failure:
        ask(simulated.path, asking, POOL, lambda tally: notes.append(tally.note))
    assert all(url in str(failure.value) for url in HOSTS)
    # The line says so although no answer draws it anew.
    assert notes[-1]
    assert notes[-1].startswith("0 of 3 servers, ")
    assert notes[-1].count("left out") == 3
    # What was answered is kept.
    before = [at for seen in simulation.seen for at in seen if at < 9.5]
    assert len(kept_in(simulated.path)) == len(before)


def test_all_that_are_away_for_less_than_our_patience_are_waited_for(simulated: Simulated) -> None:
    simulate(simulated, lambda number, at: GONE if 10 <= at < 90 else None, 100, patience=100)


def test_all_that_ask_for_longer_pauses_than_our_patience_are_not_waited_for(
    simulated: Simulated,
) -> None:
    simulation = Simulation(lambda number, at: refusal(retry_after="500"))
    simulated.set_up_several(dict(simulation.servers()), patience=100)
    with pytest.raises(errors.ServerFailed, match="it asks to wait 500 s"):
        asked(simulated.path, ["a", "b", "c"])


# --- What cannot be


@pytest.mark.parametrize("given", [" ".join(HOSTS), ", ".join(HOSTS), "\n".join(HOSTS)])
def test_several_addresses_need_a_name(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", given)
    with pytest.raises(NoServerName, match=r"Set llm\.server"), open_endpoint(LLM):
        pass
    with open_endpoint(POOL) as endpoint:
        assert [server.address for server in endpoint.servers] == HOSTS
        assert (endpoint.concurrency, endpoint.servers[0].concurrency) == (24, 8)


def test_a_batch_has_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, " ".join(HOSTS), mode="batch")
    with pytest.raises(errors.BadEnvironment, match="SEEDBED_MODE"), open_endpoint(POOL):
        pass


def test_a_name_is_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    packaged = section(Llm, model=embedded.PACKAGED, server="pool")
    with pytest.raises(NameWithoutServer, match="pool"), open_endpoint(packaged):
        pass
    # A key alone stands for OpenAI's server, which is not the one that has the name.
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-pool")
    with (
        pytest.raises(NameWithoutAddress, match=r"pool.*\n.*OPENAI") as failure,
        open_endpoint(POOL),
    ):
        pass
    assert "sk-of-the-pool" not in str(failure.value)
    with open_endpoint(POOL.model_copy(update={"replay": True})) as endpoint:
        assert endpoint.identity["server"] == "pool"
    monkeypatch.setenv("OPENAI_BASE_URL", HOSTS[0])
    with open_endpoint(POOL) as endpoint:
        assert endpoint.address == HOSTS[0]


@pytest.mark.parametrize("name", ["", "http://host/v1", "host:8000", "a b", "a,b", ".", "x" * 101])
def test_a_name_is_no_address(name: str) -> None:
    with pytest.raises(ValueError, match="a name of letters"):
        section(Llm, server=name)


@pytest.mark.parametrize(
    "given", [f"{HOSTS[0]} node1.invalid/v1", f"{HOSTS[0]} http://", f"{HOSTS[0]}, ftp://b/v1"]
)
def test_what_is_no_address_among_several_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", given)
    with pytest.raises(errors.BadAddress, match="several of them"), open_endpoint(POOL):
        pass


# --- Secrets


LOGIN, KEY = "ann:HIDDENpassword", "sk-HIDDEN-12345678"


def test_no_login_of_any_address_is_in_a_message_the_log_or_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def telling(body: dict, headers: Message) -> dict:
        said = f"{LOGIN} {headers['Authorization']} {KEY}"
        if body["prompt"].endswith("3"):
            raise fail(500, said)
        return response_to(body, model=said)

    with serving(telling) as first, serving(telling) as second:
        logged_in = [url.replace("//", f"//{LOGIN}@") for url in (first, second, nobody_there())]
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        set_environment(monkeypatch, " ".join(logged_in), max_retries=1)
        with pytest.raises(errors.RowsFailed) as failure:
            asked(path, [f"p{number:02}" for number in range(20)])
    said = str(failure.value) + capsys.readouterr().err + RunLog(path).path.read_text()
    assert "does not answer" in said
    assert "oh no" in said or "HTTP 500" in said
    for text in (said, *(row.response for row in kept_in(path))):
        assert "HIDDEN" not in text


# --- A server that is killed


class Lone:
    """A server in a process of its own, at a port that stays its own."""

    def __init__(self, log: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log = log
        log.touch()
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "support.lone_server", str(self.port), str(self.log)]
        paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT)))
        own = os.environ | {"PYTHONPATH": paths}
        self.process = subprocess.Popen([*command, "0.02"], env=own, text=True)
        return self.process

    def seen(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.mark.slow
def test_one_that_is_killed_in_mid_run_loses_nothing_and_is_used_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    concurrency, prompts = 4, [f"prompt {number:04}" for number in range(900)]
    nodes = [Lone(path.with_name(f"seen{number}")) for number in range(2)]
    stays, dies = nodes
    killed_at = back_at = 0
    last = Tally()

    def on_answer(tally: Tally) -> None:
        nonlocal killed_at, back_at, last
        last = tally
        if not killed_at and tally.sent >= 200:
            kill(dies.process)
            killed_at = len(dies.seen())
        elif not back_at and tally.sent >= 400:
            back_at = len(dies.seen())
            dies.start()

    try:
        for node in nodes:
            wait_for(lambda node=node: _listens(node.port), node.process)
        set_environment(monkeypatch, f"{stays.url} {dies.url}", concurrency=concurrency)
        monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", "10000000")
        answers = ask(path, requests_for(prompts), POOL, on_answer)
    finally:
        for node in nodes:
            kill(node.process)
    assert [answer.text for answer in answers] == [prompt.upper() for prompt in prompts]
    assert len(kept_in(path)) == 900
    seen = Counter(stays.seen() + dies.seen())
    assert seen.keys() == set(prompts)
    assert sum(seen.values()) <= 900 + concurrency
    assert 100 - 2 * concurrency <= killed_at == back_at < len(dies.seen())
    # Each answer is counted once: 7 and 3 tokens.
    assert (last.prompt_tokens, last.completion_tokens) == (6300, 2700)


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
