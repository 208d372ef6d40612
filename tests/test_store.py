"""The store's file: made by an earlier version, written by several at once."""

import json
import sqlite3
from contextlib import closing
from email.message import Message
from pathlib import Path
from threading import Thread

import pytest
from conftest import serving
from engines import LLM, SAMPLING, answer_to, ask, requests_for, response_to, set_environment

from seedbed import errors
from seedbed.llm import endpoint, migrations
from seedbed.llm.request import Canon, Request
from seedbed.llm.store import Kept, Spent, Store, read_only

ADDRESS = "http://server/v1"
CANON = Canon({"server": ADDRESS, "name": LLM.model})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


def write_version_1(path: Path, answers: list[tuple[Request, str]]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TABLE responses (key TEXT PRIMARY KEY, request TEXT NOT NULL, "
            "response TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) "
            "WITHOUT ROWID"
        )
        for request, body in answers:
            keyed = CANON.of(request)
            row = (keyed.key, keyed.form, body, "2026-01-02 03:04:05")
            db.execute("INSERT INTO responses VALUES (?, ?, ?, ?)", row)
        db.execute("PRAGMA user_version=1")
        db.commit()


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


def body_of(text: str, finish_reason: str | None = "stop", **more: object) -> str:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage} | more)


def of_version_1() -> list[tuple[Request, str]]:
    requests = [Request(f"prompt {n} – ü", SAMPLING, seed=n % 3 or None) for n in range(1000)]
    return [(one, body_of(f"kept {one.prompt}")) for one in requests]


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


def test_an_upgrade_that_is_interrupted_changes_nothing(
    path: Path, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = of_version_1()
    write_version_1(path, answers)

    class Interrupted(BaseException):
        pass

    def interrupt(db: sqlite3.Connection) -> None:
        step(db)
        raise Interrupted

    step = migrations.MIGRATIONS[0]
    monkeypatch.setattr("seedbed.llm.store.MIGRATIONS", (interrupt,))
    with pytest.raises(Interrupted):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM responses").fetchone() == (len(answers),)
    monkeypatch.undo()
    with closing(Store(path)) as store:
        assert len(list(store.rows())) == len(answers)


def test_a_new_store_and_an_upgraded_one_have_the_same_tables(tmp_path: Path) -> None:
    write_version_1(tmp_path / "old.sqlite", of_version_1())
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
    many = [[row(f"{n} {i}") for i in range(3000)] for n in range(10)]
    commits = Thread(target=lambda: [store.put(rows) for rows in many])
    commits.start()
    own = 0
    while commits.is_alive():
        store.put([row(f"own {own}")])
        assert len(store.get([f"own {own}", "0 0"])) >= 1
        own += 1
    commits.join()
    assert own
    assert len(list(store.rows())) == 30_000 + own
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


@pytest.mark.parametrize("column", ["max_tokens", "ended", "prompt_tokens", "completion_tokens"])
def test_a_text_in_a_column_of_numbers_is_damage_and_its_row_is_named(
    path: Path, column: str
) -> None:
    with closing(Store(path)) as store:
        store.put([row("good"), row("bad")])
        # SQLite keeps it as it is.
        store._db.execute(f"UPDATE responses SET {column} = 'many' WHERE key = 'bad'")
        assert store.get(["good"])
        for look in (
            lambda: store.get(["good", "bad"]),
            lambda: list(store.rows()),
            lambda: read_only(path, "bad"),
        ):
            with pytest.raises(errors.StoreDamaged, match="row bad has a text where a number"):
                look()


def test_a_text_in_what_was_spent_or_is_under_way_is_damage_too(path: Path) -> None:
    with closing(Store(path)) as store:
        store.put([], Spent("mine", 1, 0.5))
        store.batch_begun("tag", "{}", [("key", "base", "{}", 8)])
        store._db.execute("UPDATE spending SET tokens = 'many'")
        store._db.execute("UPDATE batch_requests SET max_tokens = 'many'")
        with pytest.raises(errors.StoreDamaged, match="row mine has a text"):
            store.spent("mine")
        with pytest.raises(errors.StoreDamaged, match="row key has a text"):
            store.batch_requests("tag")
