"""Servers that break the rules of HTTP, send without end, or point elsewhere: see fault_server."""

import asyncio
import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from threading import Event, Lock

import pytest
from support.engines import (
    CHAT,
    LLM,
    answer_to,
    ask,
    kept_in,
    prompts_of,
    requests_for,
    response_to,
    set_environment,
)
from support.faults import (
    FAULTS,
    MALFORMED,
    SLOW,
    SPELLINGS,
    UNUSUAL,
    Asked,
    Fault,
    answer,
    early_answer,
    echoing,
    endless_body,
    fault_server,
    gzip_bomb,
    right,
)
from support.project import PYTHONPATH
from support.server import Reply, serving

from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.send import limits
from seedbed.llm.send import transport as wire
from seedbed.llm.send.client import Client
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.runlog import RunLog
from seedbed.llm.store.store import Store
from seedbed.llm.store.transfer import export
from seedbed.views.doctor import examine

# Put together here, because this file is copied into the projects of tests that look for marks.
MARKS = ("MAR" + "KED", "DEK" + "RAM")
KEY = f"{MARKS[0]}/x+abc=def/ghi+jkl=mno/{MARKS[1]}=="
LIST = 4


def traces_of_the_key(text: str) -> list[str]:
    """The spellings of which as much as a dozen characters are in a text."""
    found = [mark for mark in MARKS if mark in text]
    for name, spelt in SPELLINGS.items():
        told = spelt(KEY)
        # A dozen characters in a row hold six of these: where there are none, no more is sought.
        if any(told[i : i + 6] in text for i in range(12, len(told) - 18, 7)):
            pieces = (told[i : i + 12] for i in range(12, len(told) - 24))
            found += [f"{name}: {piece}" for piece in pieces if piece in text]
    return found


def everything_in(folder: Path) -> str:
    return "".join(file.read_bytes().decode(errors="replace") for file in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "LAST_PAUSE", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return tmp_path / "responses.sqlite"


class Choosing:
    """Meets the requests for one prompt with a fault, so many times; counts them."""

    def __init__(self, fault: Fault, prompt: str, times: int = 10**6):
        self.fault, self.prompt, self.times = fault, prompt, times
        self.tries = 0

    def __call__(self, asked: Asked) -> Fault | None:
        if self.prompt not in prompts_of(asked.body):
            return None
        self.tries += 1
        return self.fault if self.tries <= self.times else None


@pytest.mark.parametrize(
    "name", [*FAULTS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_what_is_no_answer_is_a_failed_try_that_is_made_again_and_named_in_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, name: str
) -> None:
    server = Choosing((FAULTS | SLOW)[name], "b")
    with fault_server(server) as url:
        how = {"max_retries": 1, "concurrency": 1, "timeout": 1 if name in SLOW else 20}
        set_environment(monkeypatch, url, **how)
        with pytest.raises(errors.RowsFailed) as failure:
            ask(path, requests_for("abc"))
        assert server.tries == 2
        assert [one.row for one in failure.value.failed] == [2]
        assert len(kept_in(path)) == 2
        server.times, server.tries = 1, 0
        answers = ask(path, requests_for("abc"))
    assert server.tries == 2
    assert [one.text for one in answers] == [answer_to(prompt) for prompt in "abc"]
    output = capfd.readouterr()
    assert output.err == output.out == ""
    assert not traces_of_the_key(everything_in(path.parent) + str(failure.value))
    assert RunLog(path).path.read_text().count('"said"') == 3


@pytest.mark.parametrize("name", MALFORMED)
def test_an_answer_that_is_no_completion_is_kept_as_malformed_after_all_retries(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, name: str
) -> None:
    monkeypatch.setattr(wire, "MOST_BYTES", 4_000_000)
    server = Choosing(MALFORMED[name], "b")
    with fault_server(server) as url:
        set_environment(monkeypatch, url, max_retries=1, concurrency=1, timeout=20)
        first = ask(path, requests_for("abc"))
        assert ask(path, requests_for("abc")) == first
    assert server.tries == 2
    assert [one.problem for one in first] == [None, "malformed", None]
    assert max(len(row.response) for row in kept_in(path)) < 2500
    assert capfd.readouterr().err == ""
    assert not traces_of_the_key(everything_in(path.parent))


@pytest.mark.parametrize(
    "asked", ["one", *(pytest.param(way, marks=pytest.mark.slow) for way in ("list", "chat"))]
)
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_only_unusual_is_an_answer(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    name: str,
    asked: str,
) -> None:
    sent = []

    def choose(asked: Asked) -> Fault:
        sent.append(asked)
        return UNUSUAL[name]

    with fault_server(choose) as url:
        set_environment(monkeypatch, url, max_retries=0, concurrency=1, timeout=20)
        monkeypatch.setenv("SEEDBED_PROMPTS_PER_REQUEST", str(LIST if asked == "list" else 1))
        answers = ask(path, requests_for("abcd"), CHAT if asked == "chat" else LLM)
    assert [one.text for one in answers] == [answer_to(prompt) for prompt in "abcd"]
    assert len(sent) == (1 if asked == "list" else 4)
    assert capfd.readouterr().err == ""
    assert not traces_of_the_key(everything_in(path.parent))
    store = Store(path)
    assert not traces_of_the_key("".join(export(store)))
    store.close()


def test_an_answer_before_the_request_was_read_is_one_or_the_request_is_sent_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Choosing(early_answer, "b", times=3)
    with fault_server(server) as url:
        set_environment(monkeypatch, url, max_retries=5, concurrency=1)
        answers = ask(path, requests_for("abc"))
    assert [one.text for one in answers] == [answer_to(prompt) for prompt in "abc"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_of_a_refusal_the_message_is_kept_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    server = Choosing(echoing(SPELLINGS[spelling], "refused"), "b")
    with fault_server(server) as url:
        set_environment(monkeypatch, url, concurrency=1)
        assert [one.problem for one in ask(path, requests_for("abc"))] == [None, "refused", None]
    (kept,) = (row.response for row in kept_in(path) if row.problem)
    assert list(json.loads(kept)) == ["error"]
    assert "no" in json.loads(kept)["error"]["message"]
    assert "[key]" in kept
    assert not traces_of_the_key(everything_in(path.parent))


def test_what_is_quoted_of_a_malformed_answer_has_no_half_of_a_key_at_its_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def malformed(place: int) -> Fault:
        def fault(asked: Asked) -> Iterator[bytes]:
            yield answer("x" * place + asked.key * 5000)

        return fault

    for place in (0, 990, 999, 100_000 - 20):
        with fault_server(Choosing(malformed(place), "b")) as url:
            set_environment(monkeypatch, url, concurrency=1, max_retries=0)
            ask(path, requests_for("abc"))
    assert sum(row.problem == "malformed" for row in kept_in(path)) == 4
    assert not traces_of_the_key(everything_in(path.parent))


# --- Half of all requests


class Mix:
    """Draws a fault for half of all tries, the same ones for the same seed.

    good: how often each prompt was answered rightly; met: the faults that it met.
    """

    def __init__(self, seed: int, kinds: dict[str, Fault]):
        self.seed, self.kinds = seed, kinds
        self.rate = 0.5
        self.tries: Counter[str] = Counter()
        self.good: Counter[str] = Counter()
        self.met: defaultdict[str, list[str]] = defaultdict(list)
        self._lock = Lock()

    def __call__(self, asked: Asked) -> Fault | None:
        prompts = prompts_of(asked.body)
        with self._lock:
            self.tries[str(prompts)] += 1
            draw = random.Random(f"{self.seed} {prompts} {self.tries[str(prompts)]}")
            name = draw.choice(list(self.kinds)) if draw.random() < self.rate else None
            for prompt in prompts:
                if name:
                    self.met[prompt].append(name)
                if name is None or self.kinds[name] in (*UNUSUAL.values(), early_answer):
                    self.good[prompt] += 1
        return None if name is None else self.kinds[name]


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["one", "list", "chat"])
def test_every_row_is_answered_or_named_once_if_half_of_the_requests_fail_in_any_way(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, asked: str
) -> None:
    """FAULT_ROWS and FAULT_SEED make it longer, and another."""
    rows, seed = int(os.environ.get("FAULT_ROWS", 150)), int(os.environ.get("FAULT_SEED", 1))
    print(f"seed {seed}")
    monkeypatch.setattr(wire, "MOST_BYTES", 4_000_000)
    server = Mix(seed, FAULTS | SLOW | MALFORMED | UNUSUAL | {"early answer": early_answer})
    llm = CHAT if asked == "chat" else LLM
    prompts = [f"prompt {n:05}" for n in range(rows)]
    requests = requests_for(prompts)
    with fault_server(server) as url:
        set_environment(monkeypatch, url, concurrency=16, timeout=2, max_retries=2)
        monkeypatch.setenv("SEEDBED_PROMPTS_PER_REQUEST", str(LIST if asked == "list" else 1))
        named: list[errors.RowFailed] = []
        said = ""
        try:
            ask(path, requests, llm)
        except errors.RowsFailed as failure:
            named, said = failure.failed, str(failure)
        failed = {one.row for one in named}
        assert len(failed) == len(named), "a row is named twice"
        kept = {json.loads(row.request)["prompt"]: row for row in kept_in(path)}
        for row, prompt in enumerate(prompts, 1):
            assert (row in failed) != (prompt in kept), "neither answered nor named, or both"
            if row in failed or kept[prompt].problem:
                assert len(server.met[prompt]) > 2, "it was given up too early"
            else:
                assert server.good[prompt], "an answer came of nothing"
        tries = server.tries.total()
        server.rate = 0.0
        answers = ask(path, requests, llm)
    assert server.tries.total() - tries == -(-len(failed) // (LIST if asked == "list" else 1))
    for prompt, one in zip(prompts, answers, strict=True):
        assert one.problem in (None, "malformed")
        assert one.text == ("" if one.problem else answer_to(prompt))
    assert len(kept_in(path)) == rows
    output = capfd.readouterr()
    print(f"{output.out}{len(failed)} named, {sum(bool(one.problem) for one in answers)} malformed")
    assert output.err == ""
    log = "".join(one.reason for one in named) + said
    assert not traces_of_the_key(everything_in(path.parent) + log)


# --- How much is read


PEAK = """
import runpy, sys
try:
    runpy.run_module("support.killed_run", run_name="__main__")
finally:
    print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("fault", [gzip_bomb, endless_body])
def test_the_memory_for_a_response_without_end_is_bounded(tmp_path: Path, fault: Fault) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('"a"\n"b"\n"c"\n')
    with fault_server(Choosing(fault, "b")) as url:
        own = {"OPENAI_BASE_URL": url, "SEEDBED_STORE": str(tmp_path / "responses.sqlite")}
        own |= {"SEEDBED_CONCURRENCY": "1", "SEEDBED_MAX_RETRIES": "0"}
        run = [sys.executable, "-c", PEAK, prompts, tmp_path / "out.jsonl"]
        done = subprocess.run(
            run,
            env=os.environ | own | {"PYTHONPATH": PYTHONPATH},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    sent, _, peak = done.stdout.partition("\n")
    assert sent == "3 sent, 0 reused"
    assert int(peak) < 300_000, "kB"
    assert [row.problem for row in kept_in(tmp_path / "responses.sqlite")].count("malformed") == 1


def test_a_large_answer_is_read_as_far_as_the_limit_goes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is that of the text, however small it was packed."""

    def large(asked: Asked) -> Iterator[bytes]:
        body = right(asked).ljust(size[asked.body["prompt"]]).encode()
        yield answer(gzip.compress(body), "Content-Encoding: gzip")

    monkeypatch.setattr(wire, "MOST_BYTES", 4_000_000)
    size = {"a": wire.MOST_BYTES, "b": wire.MOST_BYTES + 1}
    with fault_server(lambda asked: large) as url:
        set_environment(monkeypatch, url, max_retries=0, concurrency=1)
        answers = ask(path, requests_for("ab"))
    assert [one.problem for one in answers] == [None, "malformed"]


def test_an_error_without_end_is_an_error_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused_without_end(asked: Asked) -> Iterator[bytes]:
        yield from (b"HTTP/1.1 401 No\r\n\r\n", *([b"no way " * 100_000] * 1000))

    monkeypatch.setattr(wire, "MOST_BYTES", 4_000_000)
    with fault_server(lambda asked: refused_without_end) as url:
        set_environment(monkeypatch, url)
        with pytest.raises(errors.KeyRefused, match="no way no way"):
            ask(path, requests_for("a"))


# --- Whose answer it is


@pytest.mark.parametrize("then", ["an answer", "the head of one", "rubbish"])
def test_what_comes_unasked_on_an_idle_connection_is_not_the_next_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """It would be, and every later answer on that connection would be the one before."""
    late = {
        "an answer": answer(json.dumps(response_to({"prompt": "of another"}))),
        "the head of one": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        "rubbish": b"0\r\n\r\n",
    }[then]
    said = Event()

    def unasked(asked: Asked) -> Iterator[bytes]:
        yield answer(right(asked), stay=True)
        time.sleep(0.05)
        yield late
        said.set()
        time.sleep(1)

    async def ask_in_turn(client: Client) -> list[str]:
        first = await client.post("/completions", {"prompt": "a"})
        while not said.is_set():
            await asyncio.sleep(0.01)
        rest = [await client.post("/completions", {"prompt": prompt}) for prompt in "bc"]
        await client.close()
        return [first, *rest]

    with fault_server(Choosing(unasked, "a")) as url:
        set_environment(monkeypatch, url)
        with open_endpoint(LLM) as endpoint:
            bodies = asyncio.run(ask_in_turn(Client(endpoint)))
    texts = [json.loads(body)["choices"][0]["text"] for body in bodies]
    assert texts == [answer_to(prompt) for prompt in "abc"]


# --- Where it goes


class Elsewhere:
    """Another server, which nobody should turn to."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked) -> None:
        self.asked.append(asked)


def redirecting(status: int, to: str) -> Fault:
    def fault(asked: Asked) -> Iterator[bytes]:
        yield answer("{}", f"Location: {to}", status=f"{status} There")

    return fault


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_place_is_an_error_and_not_followed(
    path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    elsewhere = Elsewhere()
    with fault_server(elsewhere) as other:
        for to in (f"{other}/completions?key={KEY}", other.replace("http://", "//ann:pw@")):
            server = Choosing(redirecting(status, to), "b")
            with fault_server(server) as url:
                set_environment(monkeypatch, url, concurrency=1)
                with pytest.raises(errors.Redirected) as failure:
                    ask(path, requests_for("abc"))
            assert server.tries == 1
            assert f"redirects requests to '{other}" in str(failure.value)
            assert "OPENAI_BASE_URL" in str(failure.value)
            assert "ann" not in str(failure.value)
            assert not traces_of_the_key(str(failure.value))
        for to in ("http://[", "gopher://x", "http:///", "\xff\x00", "https://" + "a" * 9000):
            with fault_server(Choosing(redirecting(status, to), "b")) as url:
                set_environment(monkeypatch, url, concurrency=1, max_retries=0)
                with pytest.raises(SeedbedError) as failure:
                    ask(path, requests_for("abc"))
                assert len(str(failure.value)) < 1000
    assert elsewhere.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_place_is_followed_if_the_request_survives(
    path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    paths = []

    def choose(asked: Asked) -> Fault | None:
        paths.append((asked.method, asked.path, asked.body.get("prompt")))
        assert asked.key == KEY
        return redirecting(status, "/v2/there") if asked.path == "/v1/completions" else None

    with fault_server(choose) as url:
        set_environment(monkeypatch, url, concurrency=1)
        if status in (307, 308):
            (one,) = ask(path, requests_for("a"))
            assert one.text == answer_to("a")
            assert paths == [("POST", "/v1/completions", "a"), ("POST", "/v2/there", "a")]
        else:
            with pytest.raises(errors.Redirected):
                ask(path, requests_for("a"))
            assert len(paths) == 1


def test_a_redirect_in_a_circle_ends(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fault_server(lambda asked: redirecting(307, "/v1/completions")) as url:
        set_environment(monkeypatch, url, max_retries=0)
        with pytest.raises(errors.ServerFailed, match="redirects"):
            ask(path, requests_for("a"))


QUERY = "api-version=2026-01-01&sig=a%2Bb%3D%2F" + MARKS[0] + "&empty=&api-version=again"


def test_the_query_of_the_address_goes_along_with_every_request_and_nowhere_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []

    def choose(asked: Asked) -> None:
        paths.append(asked.path)

    with fault_server(choose) as url:
        set_environment(monkeypatch, url.replace("/v1", f"/openai/v1/?{QUERY}"))
        ask(path, requests_for("a"))
        with open_endpoint(LLM) as endpoint:
            assert endpoint.address == url.replace("/v1", "/openai/v1")
            said = list(examine(LLM))

            async def the_others() -> None:
                client = Client(endpoint)
                assert await client.models() == ["served-model"]
                await client.post("/tokenize", {"prompt": "a"}, at_root=True)
                await client.close()

            asyncio.run(the_others())
    wanted = "api-version=2026-01-01&sig=a%2Bb%3D%2F" + MARKS[0] + "&empty=&api-version=again"
    places = {path.partition("?")[0] for path in paths}
    of_its_own = {"/openai/tokenize", "/openai/props", "/openai/server_info"}
    assert places == {"/openai/v1/completions", "/openai/v1/models"} | of_its_own
    for one in paths:
        assert sorted(parse(one)) == sorted(parse(f"?{wanted}"))
    assert MARKS[0] not in everything_in(path.parent) + "".join(said)
    assert "api-version" not in everything_in(path.parent)


def parse(path: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(path.partition("?")[2], keep_blank_values=True)


def test_a_secret_in_the_query_that_the_server_repeats_is_not_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sig/" + KEY

    def answered(body: dict, headers: Message) -> dict:
        if body["prompt"] == "b":
            raise Reply(500, json.dumps({"error": {"message": f"no {secret}"}}))
        return response_to(body, model=f"for {secret}, 2026-01-01")

    monkeypatch.delenv("OPENAI_API_KEY")
    with serving(answered) as url:
        quoted = secret.replace("+", "%2B").replace("/", "%2F")
        set_environment(
            monkeypatch, f"{url}?api-version=2026-01-01&code={quoted}", max_retries=0, concurrency=1
        )
        with pytest.raises(errors.RowsFailed) as failure:
            ask(path, requests_for("ab"))
    assert not traces_of_the_key(everything_in(path.parent) + str(failure.value))
    assert "for [key], 2026-01-01" in kept_in(path)[0].response


def test_the_way_to_the_server_in_this_process_is_through_no_proxy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Elsewhere()
    with fault_server(lambda asked: None) as url, fault_server(elsewhere) as proxy:
        set_environment(monkeypatch, "http://server.invalid/v1")
        monkeypatch.setenv("http_proxy", proxy.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        (one,) = ask(path, requests_for("a"))
        assert one.text == answer_to("a")
        assert [asked.path for asked in elsewhere.asked] == ["http://server.invalid/v1/completions"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        ask(path, requests_for("b"))
        monkeypatch.delenv("no_proxy")
        with open_endpoint(LLM) as endpoint:
            here = Client(replace(endpoint, embedded=True))
            asyncio.run(here.post("/completions", {"prompt": "c"}))
    assert len(elsewhere.asked) == 1
