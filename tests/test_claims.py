"""Claims in the store: who has them, and when they are void."""

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from email.message import Message
from pathlib import Path

import pytest
from support.engines import LLM, requests_for, response_to, set_environment
from support.project import ROOT
from support.server import Reply, serving

from seedbed.llm import errors
from seedbed.llm.contract.request import Canon
from seedbed.llm.engine import Engine
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store import claims
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import prune

KEYS = ["a", "b", "c"]


def row(key: str) -> Kept:
    return Kept(key, "base", "{}", "{}", "{}", 8, True, None, 3, 4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[[], Store]]:
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(Store(path))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def files(path: Path) -> int:
    return len(list(path.parent.glob("*.claims")))


def test_one_has_what_the_other_does_not_get(opened: Callable[[], Store]) -> None:
    one, other = opened(), opened()
    assert one.claim(["a", "b"]) == ({}, set())
    assert other.claim(KEYS) == ({}, {"a", "b"})
    assert one.claim(KEYS) == ({}, {"c"})
    assert one.claim(["a"]) == ({}, set()), "its own"


def test_a_claim_goes_with_the_answer_and_the_answer_is_given_instead(
    opened: Callable[[], Store],
) -> None:
    one, other = opened(), opened()
    one.claim(KEYS)
    one.put([row("a")])
    found, theirs = other.claim(KEYS)
    assert (list(found), theirs) == (["a"], {"b", "c"})


def test_what_is_given_up_is_free(path: Path, opened: Callable[[], Store]) -> None:
    one, other, third = opened(), opened(), Store(path)
    third.claim(["c"])
    one.claim(["a", "b"])
    one.release(["a"])
    assert files(path) == 2
    third.close()
    assert other.claim(KEYS) == ({}, {"b"})
    assert files(path) == 2  # of one and other


CLAIMING = """
import sys, time
from pathlib import Path
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import prune
store = Store(Path(sys.argv[1]))
store.claim(["a", "b"])
print("claimed", flush=True)
time.sleep(600)
"""


@pytest.fixture
def claiming(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMING, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def test_what_a_killed_process_had_is_free_at_once(
    path: Path, opened: Callable[[], Store], claiming: subprocess.Popen[str]
) -> None:
    other = opened()
    assert other.claim(KEYS) == ({}, {"a", "b"})
    claiming.send_signal(signal.SIGKILL)
    claiming.wait()
    assert other.claim(KEYS) == ({}, set())
    assert files(path) == 1


def test_a_claim_runs_out_if_it_is_not_renewed_and_who_lost_it_knows(
    path: Path, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims.Claims, "wait", lambda self: False)  # as if it were stopped
    one, other = opened(), opened()
    assert not one.claims_lapsed
    monkeypatch.setattr(claims, "LEASE", 0.0)
    one.claim(KEYS)
    monkeypatch.setattr(claims, "LEASE", 60.0)
    assert one.claims_lapsed
    assert other.claim(["a"]) == ({}, set())
    assert one.claim(KEYS) == ({}, {"a"})
    assert not one.claims_lapsed
    assert other.claim(KEYS) == ({}, {"b", "c"})
    assert files(path) == 2


@pytest.mark.slow
def test_a_claim_is_renewed_while_its_process_is_at_other_work(
    path: Path, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LEASE", 4.0)

    def expires() -> float:
        with closing(sqlite3.connect(path)) as db:
            return float(db.execute("SELECT expires FROM claimants").fetchone()[0])

    one = opened()
    one.claim(KEYS)
    first, end = expires(), time.monotonic() + 60
    while expires() == first:
        assert time.monotonic() < end, "it was not renewed"
        sum(range(100_000))  # no event loop, and no commit
    assert opened().claim(KEYS) == ({}, set(KEYS))


def test_without_locks_a_claim_holds_until_it_runs_out(
    opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that has none."""

    def flock(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    one, other = opened(), opened()
    one.claim(KEYS)
    assert other.claim(KEYS) == ({}, set(KEYS))
    monkeypatch.setattr(claims.time, "time", lambda now=time.time: now() + 61)
    assert other.claim(KEYS) == ({}, set())


def test_what_is_answered_and_then_pruned_is_free(opened: Callable[[], Store]) -> None:
    one, other = opened(), opened()
    one.claim(KEYS)
    one.put([row("a")])
    assert prune(one, None, None, "9999-01-01", delete=True) == 1
    assert other.claim(["a"]) == ({}, set())


def test_a_request_that_is_given_up_may_be_tried_by_another(
    path: Path, opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_b(body: dict, headers: Message) -> dict:
        if body["prompt"] == "b":
            raise Reply(400, '{"error": {"message": "there is something in it"}}')
        return response_to(body)

    with serving(not_b) as url:
        set_environment(monkeypatch, url)
        key = Canon({"server": url, "name": LLM.model}).of(*requests_for("b")).key
        with closing(Store(path)) as store, open_endpoint(LLM) as endpoint:
            engine = Engine(endpoint, store, lambda tally: None)
            with pytest.raises(errors.RowsFailed):
                list(engine.ask(requests_for("abc")))
            assert opened().claim([key]) == ({}, set())
            engine.close()


def test_a_run_in_which_nothing_is_sent_claims_nothing(path: Path) -> None:
    with closing(Store(path)) as store:
        store.put([row("a")])
        assert list(store.get(["a"])) == ["a"]
        assert files(path) == 0
