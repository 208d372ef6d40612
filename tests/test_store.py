"""The store's file: made by an earlier version, written by several at once."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from email.message import Message
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engines import answer_to, ask, requests_for, response_to, set_environment
from support.server import serving
from support.stores import ADDRESS, CANON, body_of, of_version_1, write_version_1, write_version_2

from seedbed.llm import errors
from seedbed.llm.contract.request import Request
from seedbed.llm.serve import endpoint
from seedbed.llm.store import migrations
from seedbed.llm.store.rows import Kept, Spent
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import check, prune_damaged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


class Asking:
    """Asks a server that counts; its address in the keys is always the same."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch):
        self._path = path
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(endpoint, "without_secrets", lambda url: ADDRESS)

    def __call__(self, requests: list[Request]) -> tuple[list[str], list[str]]:
        """The texts, and the prompts that were sent for."""
        sent = []

        def answer(body: dict, headers: Message) -> dict:
            sent.append(body["prompt"])
            return response_to(body)

        with serving(answer) as url:
            set_environment(self._monkeypatch, url, concurrency=1)
            return [one.text for one in ask(self._path, requests)], sent


@pytest.fixture
def asking(path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Asking(path, monkeypatch)


def test_a_store_of_version_1_keeps_every_answer_under_its_key(path: Path, asking: Asking) -> None:
    answers = of_version_1()
    write_version_1(path, answers)
    texts, sent = asking([*(one for one, _ in answers), *requests_for(["new"])])
    assert texts == [*(f"kept {one.prompt}" for one, _ in answers), answer_to("new")]
    assert sent == ["new"]
    with closing(Store(path)) as store:
        rows = {row.key: row for row in store.rows()}
        for request, body in answers:
            keyed = CANON.of(request)
            assert rows[keyed.key] == Kept(
                *(keyed.key, keyed.base, CANON.model, keyed.form, body, 100),
                *(True, None, 7, 3, "2026-01-02 03:04:05"),
            )


def test_what_a_store_of_version_1_says_of_an_answer_is_read_out_of_it(
    path: Path, asking: Asking
) -> None:
    requests = requests_for(["ended", "cut", "empty", "uncounted", "damaged"])
    ended, cut, empty, uncounted, damaged = requests
    write_version_1(
        path,
        [
            (ended, body_of("x")),
            (cut, body_of("x", "length")),
            (empty, body_of("")),
            (uncounted, body_of("x", usage=None)),
            (damaged, '{"choices"'),
        ],
    )
    with closing(Store(path)) as store:
        rows = {json.loads(row.request)["prompt"]: row for row in store.rows()}
    said = {prompt: (row.ended, row.problem, row.prompt_tokens) for prompt, row in rows.items()}
    assert said == {
        "ended": (1, None, 7),
        "cut": (0, None, 7),
        "empty": (1, "empty", 7),
        "uncounted": (1, None, None),
        "damaged": (0, None, None),
    }
    # With more room, only what was cut could have gone on.
    texts, sent = asking(requests_for(["ended", "cut", "empty", "uncounted"], max_tokens=200))
    assert texts == ["x", answer_to("cut"), "", "x"]
    assert sent == ["cut"]
    with pytest.raises(errors.StoreFailed, match="damaged"):
        asking([damaged])


@pytest.mark.parametrize(("version", "write"), [(1, write_version_1), (2, write_version_2)])
def test_an_upgrade_that_is_interrupted_changes_nothing(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    write: Callable[[Path, list[tuple[Request, str]]], None],
) -> None:
    answers = of_version_1()
    write(path, answers)

    class Interrupted(BaseException):
        pass

    def interrupt(db: sqlite3.Connection, version: int) -> None:
        migrations.upgrade(db, version)
        raise Interrupted

    monkeypatch.setattr("seedbed.llm.store.database.upgrade", interrupt)
    with pytest.raises(Interrupted):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (version,)
        assert db.execute("SELECT count(*) FROM responses").fetchone() == (len(answers),)
    monkeypatch.undo()
    with closing(Store(path)) as store:
        assert len(list(store.rows())) == len(answers)


def test_a_store_of_version_2_keeps_all_it_has_and_gets_digests(path: Path) -> None:
    answers = of_version_1()
    write_version_2(path, answers)
    size = path.stat().st_size
    with closing(Store(path)) as store:
        check(store)
        assert {row.key for row in store.rows()} == {CANON.of(one).key for one, _ in answers}
        for request, body in answers:
            keyed = CANON.of(request)
            assert store.row(keyed.key) == Kept(
                *(keyed.key, keyed.base, CANON.model, keyed.form, body, 100),
                *(True, None, 7, 3.5, "2026-01-02 03:04:05"),
            )
        assert store.spent("run") == Spent("run", 12, 0.5)
        assert store.batches(CANON.model) == [("tag", "batch_1")]
        first = CANON.of(answers[0][0])
        assert store.batch_requests("tag") == {first.key: (first.base, first.form, 100)}
    assert path.stat().st_size < 1.2 * size


def test_what_is_damaged_in_a_store_of_version_2_does_not_keep_the_rest_from_being_used(
    path: Path,
) -> None:
    answers = of_version_1()[:3]
    write_version_2(path, answers)
    keys = [CANON.of(one).key for one, _ in answers]
    with closing(sqlite3.connect(path)) as db:
        for column, key in zip(("response", "request"), keys[:2], strict=True):
            change = f"UPDATE responses SET {column} = CAST(x'61ff62' AS TEXT) WHERE key = ?"
            db.execute(change, (key,))
        db.commit()
    with closing(Store(path)) as store:
        assert list(store.get([keys[2]])) == [keys[2]]
        for key in keys[:2]:
            with pytest.raises(errors.RowsDamaged, match=f"the answer {key[:12]}…"):
                store.get([key])
        assert prune_damaged(store, delete=True) == 2
        check(store)


@pytest.mark.parametrize("write", [write_version_1, write_version_2])
def test_a_new_store_and_an_upgraded_one_have_the_same_tables(
    tmp_path: Path, write: Callable[[Path, list[tuple[Request, str]]], None]
) -> None:
    write(tmp_path / "old.sqlite", of_version_1())
    schemas = []
    for name in ("old", "new"):
        Store(tmp_path / f"{name}.sqlite").close()
        with closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as db:
            schemas.append(sorted(db.execute("SELECT name, sql FROM sqlite_schema").fetchall()))
    assert schemas[0] == schemas[1]


def row(key: str, response: str = "{}") -> Kept:
    return Kept(key, "base", "{}", "{}", response, 8, True, None, 3, 4)


def test_a_commit_in_a_thread_does_not_get_into_the_way_of_another(path: Path) -> None:
    """The engine looks up the next requests while answers to the last are being committed."""
    store = Store(path)
    many = [[row(f"{n} {i}") for i in range(1000)] for n in range(10)]
    commits = Thread(target=lambda: [store.put(rows) for rows in many])
    commits.start()
    own = 0
    while commits.is_alive():
        store.put([row(f"own {own}")])
        assert len(store.get([f"own {own}", "0 0"])) >= 1
        own += 1
    commits.join()
    assert own
    assert len(list(store.rows())) == 10_000 + own
    store.close()


def test_what_another_process_kept_first_stays_and_is_told(path: Path) -> None:
    one, other = Store(path), Store(path)
    one.put([row("k", "first"), row("l", "first")])
    assert not one.outrun
    other.put([row("k", "second"), row("m", "second")])
    assert other.outrun == 1
    assert {key: kept.response for key, kept in one.get("klm").items()} == {
        "k": "first",
        "l": "first",
        "m": "second",
    }
    assert one.others_wrote()
    assert not one.others_wrote()
    one.close()
    other.close()


def test_a_comment_in_the_tables_may_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the file too, and says nothing of what is in it."""
    reworded = tuple(one.replace("UTC", "of the answer, in UTC") for one in migrations.TABLES)
    assert reworded != migrations.TABLES
    with monkeypatch.context() as other:
        other.setattr(migrations, "TABLES", reworded)
        other.setattr("seedbed.llm.store.database.TABLES", reworded)
        with closing(Store(path)) as store:
            store.put([row("kept")])
    with closing(Store(path)) as store:
        assert store.row("kept")


def test_what_is_kept_waits_for_the_disk_whatever_was_claimed_before(path: Path) -> None:
    statements: list[str] = []
    with closing(Store(path)) as store:
        store.claim(["k", "l"])
        store.file.db.set_trace_callback(statements.append)
        store.release(["l"])
        store.put([row("k")])
        store.file.db.set_trace_callback(None)
    begun = [before for before, it in pairwise(statements) if it.startswith("BEGIN")]
    assert begun == ["PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"]


# What SQLite gives of a row; whole numbers of 64 bits, and no number that JSON does not have.
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


@given(st.lists(VALUES))
def test_a_digest_is_that_of_the_json_that_it_is_said_to_be(row: list[Any]) -> None:
    texts = [value.encode() for value in row if isinstance(value, str)]
    shape = [[len(value.encode())] if isinstance(value, str) else value for value in row]
    plain = sha256(json.dumps(shape).encode() + b"".join(texts)).hexdigest()
    assert migrations.digest_of(row) == plain
    as_bytes = [value.encode() if isinstance(value, str) else value for value in row]
    assert migrations.digest_of(as_bytes) == plain
