"""What changes in the store's file after an answer was kept is found, and said."""

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.params import sampling
from support.server import completion
from typer.testing import CliRunner

from seedbed.cli import app
from seedbed.errors import SeedbedError
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.errors import RowsDamaged, StoreFailed
from seedbed.llm.store.migrations import COLUMNS
from seedbed.llm.store.reading import read_only, requests_of
from seedbed.llm.store.rows import Kept, Spent
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import by_model, prune, tokens_a_character
from seedbed.llm.store.upkeep import check as look_through

SAMPLING = sampling(max_tokens=8, temperature=0.5, stop=[])
CANON = Canon({"server": "http://host/v1", "name": "served-model"})


def kept(prompt: str, **change: object) -> Kept:
    keyed = CANON.of(Request(prompt, SAMPLING))
    reason = "stop" if change.get("ended", True) else "length"
    body = json.dumps(completion(f"{prompt} answered", reason))
    row = Kept(
        *(keyed.key, keyed.base, CANON.model, keyed.form, body, 8, True, None),
        *(1000.5, 3.0, "2026-01-02 03:04:05"),
    )
    return row._replace(**change)


ROWS = [
    kept("plain"),
    kept("long " * 3000),  # on pages of its own
    kept("cut", ended=False),
    kept("refused", ended=False, problem="refused", prompt_tokens=None, completion_tokens=None),
    kept("lowered", max_tokens=6),
    *(kept(f"prompt {n}") for n in range(40)),
]
KEYS = [row.key for row in ROWS]


def fill(path: Path) -> Path:
    with closing(Store(path)) as store:
        store.put(ROWS, Spent("run", 1234, 0.5))
        for tag in ("tag 1", "tag 2"):
            asked = [(row.key, row.base, row.request, 8) for row in ROWS[5:9]]
            store.batch_begun(tag, CANON.model, asked)
        store.batch_made("tag 1", "batch_1")
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "responses.sqlite"
    monkeypatch.setenv("SEEDBED_STORE", str(path))
    return fill(path)


def looked_up(path: Path) -> list[object]:
    """All that the store gives to anyone who looks something up."""
    with closing(Store(path)) as store:
        return [
            store.get(KEYS),
            store.ended(row.base for row in ROWS),
            list(store.rows()),
            list(store.rows(CANON.model)),
            by_model(store),
            tokens_a_character(store, CANON.model),
            store.spent("run"),
            store.batches(CANON.model),
            [store.batch_requests(tag) for tag in ("tag 1", "tag 2")],
            prune(store, "served", None, "2026-01-03", delete=False),
            [read_only(path, key) for key in KEYS],
            list(requests_of(path, KEYS)),
        ]


def check(path: Path) -> str | None:
    """What `seedbed store check` says of it, None if it is sound."""
    try:
        with closing(Store(path)) as store:
            look_through(store)
    except SeedbedError as error:
        return str(error)
    return None


@pytest.mark.slow
def test_no_bit_that_changes_a_look_up_flips_unnoticed(path: Path, tmp_path: Path) -> None:
    draw = random.Random(3)
    right, data = looked_up(path), path.read_bytes()
    flipped = tmp_path / "flipped.sqlite"
    found = 0
    for place in draw.sample(range(8 * len(data)), 400):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        flipped.write_bytes(changed)
        if check(flipped):
            found += 1
        else:
            assert looked_up(flipped) == right, f"bit {place % 8} of byte {place // 8}"
    print(f"{found} of 400 found; the others change nothing")
    assert found > 200


OTHERS: dict[str, object] = {
    "key": KEYS[1],
    "base": kept("another").base,
    "model": '{"name":"another"}',
    "request": kept("another").request,
    "response": kept("another").response,
    "max_tokens": 7,
    "ended": 0,
    "problem": "empty",
    "prompt_tokens": None,
    "completion_tokens": 4.0,
    "created_at": "2026-01-02 03:04:06",
    "run": "another",
    "tokens": 1235,
    "dollars": 0.25,
    "tag": "another",
    "id": "batch_2",
    "digest": "0" * 64,
}


def changes() -> Iterator[tuple[str, str]]:
    for table, columns in COLUMNS.items():
        for column in (*columns, "digest"):
            yield table, column


@pytest.mark.parametrize(("table", "column"), list(changes()))
def test_no_column_changes_unnoticed(path: Path, table: str, column: str) -> None:
    assert check(path) is None
    with closing(sqlite3.connect(path)) as db:
        first = f"(SELECT min(rowid) FROM {table})"
        if (table, column) == ("responses", "key"):
            db.execute("DELETE FROM responses WHERE key = ?", (KEYS[1],))
        db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = {first}", (OTHERS[column],))
        db.commit()
    said = check(path)
    assert said is not None
    assert f"response store {path}: damaged: " in said
    assert "prune --damaged" in said


@pytest.mark.parametrize("column", ["response", "problem", "max_tokens", "ended", "created_at"])
def test_a_changed_answer_is_named_when_it_is_looked_up(path: Path, column: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"UPDATE responses SET {column} = ? WHERE key = ?", (OTHERS[column], KEYS[0]))
        db.commit()
    said = f"the answer {KEYS[0][:12]}… is not what was kept"
    with closing(Store(path)) as store:
        with pytest.raises(RowsDamaged, match=said):
            store.get(KEYS)
        with pytest.raises(RowsDamaged, match=said):
            list(store.rows())
        assert store.get(KEYS[1:]).keys() == set(KEYS[1:])
        if column != "ended":
            with pytest.raises(RowsDamaged, match=said):
                store.ended([ROWS[0].base])
    with pytest.raises(RowsDamaged, match=said):
        read_only(path, KEYS[0])
    with pytest.raises(RowsDamaged, match=said):
        list(requests_of(path, KEYS))


def test_an_answer_under_anothers_key_is_found_even_with_a_digest_of_its_own(path: Path) -> None:
    """As a program would enter it that made a mistake."""
    with closing(Store(path)) as store:
        store.put([ROWS[0]._replace(key="0" * 64)])
    assert "the answer 000000000000… has the request of another" in str(check(path))


def test_a_body_that_holds_no_answer_is_found(path: Path) -> None:
    with closing(Store(path)) as store:
        store.put([kept("new", response='{"choices": [')])
    assert f"the answer {kept('new').key[:12]}… cannot be read: not JSON" in str(check(path))


def test_a_text_that_is_no_utf_8_is_named_wherever_it_stands(path: Path) -> None:
    for column in ("response", "model", "problem", "created_at"):
        copy = Path(shutil.copy(path, path.with_name(f"{column}.sqlite")))
        with closing(sqlite3.connect(copy)) as db:
            db.execute(
                f"UPDATE responses SET {column} = CAST(x'61ff62' AS TEXT) WHERE key = ?",
                (KEYS[0],),
            )
            db.commit()
        assert f"the answer {KEYS[0][:12]}… is not what was kept" in str(check(copy))
        with closing(Store(copy)) as store:
            assert by_model(store)
            with pytest.raises(RowsDamaged):
                store.get(KEYS)


def test_pruning_what_is_damaged_leaves_a_sound_store_that_an_export_makes_whole(
    path: Path, tmp_path: Path
) -> None:
    def call(*words: str) -> str:
        return CliRunner().invoke(app, ["store", *words]).output

    right = looked_up(path)
    call("export", str(tmp_path / "a.jsonl"))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE responses SET response = '{}' WHERE key = ?", (KEYS[0],))
        db.execute("UPDATE responses SET request = '{}' WHERE key = ?", (KEYS[1],))
        db.commit()
    assert call("export", str(tmp_path / "b.jsonl")).startswith("seedbed store export: response")
    assert call("prune", "--damaged") == "2 answers would be deleted: add --yes\n"
    assert call("prune", "--damaged", "--yes") == "2 answers deleted\n"
    assert call("check") == f"{path}: sound\n"
    assert call("import", str(tmp_path / "a.jsonl")) == f"{len(ROWS)} answers, 2 of them new\n"
    assert looked_up(path)[0] == right[0]
    assert not (tmp_path / "b.jsonl").exists()


def test_a_file_whose_version_is_not_that_of_its_tables_is_damaged(path: Path) -> None:
    for version in (1, 2):
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"PRAGMA user_version={version}")
        with pytest.raises(StoreFailed, match=f"damaged: .* not those of version {version}"):
            Store(path)
