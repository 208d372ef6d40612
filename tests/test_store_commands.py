"""What looks at the response store, and what deletes from it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from support.params import sampling
from support.server import completion
from support.snapshots import Snapshots
from typer.testing import CliRunner

from seedbed.cli import app
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.errors import StoreFailed
from seedbed.llm.store.database import Database
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import check

SAMPLING = sampling(max_tokens=8, stop=[])
OURS = Canon({"server": "http://host/v1", "name": "ours"})
THEIRS = Canon({"server": "http://host/v1", "name": "theirs"})


def kept(canon: Canon, prompt: str, day: str, problem: str | None = None, **change: object) -> Kept:
    keyed = canon.of(Request(prompt, SAMPLING))
    body = json.dumps(completion("x"))
    row = Kept(
        keyed.key,
        keyed.base,
        canon.model,
        keyed.form,
        body,
        8,
        not problem,
        problem,
        1000.5,
        3.0,
        f"{day} 12:00:00",
    )
    return row._replace(**change)


ROWS = [
    kept(OURS, "a", "2026-01-01"),
    kept(OURS, "b", "2026-01-02", ended=False),
    kept(OURS, "c", "2026-01-03", "refused"),
    kept(OURS, "d", "2026-01-03", "empty"),
    kept(OURS, "e", "2026-01-04", "empty", prompt_tokens=None, completion_tokens=None),
    kept(THEIRS, "a", "2026-01-05", "over_context"),
    kept(THEIRS, "b", "2026-01-06"),
]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "responses.sqlite"
    monkeypatch.setenv("SEEDBED_STORE", str(path))
    monkeypatch.setenv("COLUMNS", "200")
    store = Store(path)
    store.put(ROWS)
    store.close()
    return path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["store", *words])


def prompts(path: Path) -> list[str]:
    """What is in the store: the model's initial and the prompt."""
    store = Store(path)
    try:
        forms = [json.loads(row.request) for row in store.rows()]
    finally:
        store.close()
    return sorted(form["model"]["name"][0] + form["prompt"] for form in forms)


def test_stats_has_a_paragraph_a_model(path: Path, snapshot: Snapshots) -> None:
    done = call("stats")
    assert done.exit_code == 0
    first, *rest = done.output.splitlines()
    assert first.startswith(f"{path}: ")
    assert first.endswith(" MB")
    snapshot("store-stats", "\n".join(rest) + "\n")


def test_stats_of_a_store_without_answers_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new.sqlite"
    monkeypatch.setenv("SEEDBED_STORE", str(path))
    Store(path).close()
    assert call("stats").output.splitlines()[1:] == ["  no answers"]


@pytest.mark.parametrize(
    "words", [["stats"], ["check"], ["export", "a.jsonl"], ["prune", "--model", "x"]]
)
def test_a_store_that_is_not_there_is_not_made_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "elsewhere/s.sqlite"))
    done = call(*words)
    assert done.exit_code == 1
    assert done.output.startswith(f"seedbed store {words[0]}: {tmp_path}/elsewhere/s.sqlite: there")
    assert list(tmp_path.iterdir()) == []


def test_a_sound_store_is_sound(path: Path) -> None:
    done = call("check")
    assert (done.exit_code, done.output) == (0, f"{path}: sound\n")


def overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 5 : 4096 * 6] = b"\xff" * 4096
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 4])


def illegible(path: Path) -> None:
    data = path.read_bytes()
    assert b"CREATE TABLE responses" in data
    path.write_bytes(data.replace(b"CREATE TABLE responses", b"CREATE TABLX responses"))


@pytest.mark.parametrize("damage", [overwritten, cut_short, illegible])
@pytest.mark.parametrize("at_opening", [True, False])
def test_damage_is_found_and_told_in_one_message(
    path: Path, monkeypatch: pytest.MonkeyPatch, damage, at_opening: bool
) -> None:
    damage(path)
    if not at_opening:
        # As when the file is so large that there is no time for all of it.
        monkeypatch.setattr(Database, "_glance", lambda self: None)
    done = call("check")
    assert done.exit_code == 1
    assert done.output.startswith(f"seedbed store check: response store {path}: ")
    assert "damaged" in done.output or "malformed" in done.output
    assert isinstance(done.exception, SystemExit)


def test_damage_that_stops_the_check_itself_is_told_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping:
        def execute(self, statement: str) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

        def set_progress_handler(self, *_: object) -> None:
            pass

    store = Store(path)
    monkeypatch.setattr(store.file, "db", Stopping())
    with pytest.raises(StoreFailed, match="malformed"):
        check(store)


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        (["--problem", "empty"], {"od", "oe"}),
        (["--problem", "malformed"], set()),
        (["--model", '"ours"'], {"oa", "ob", "oc", "od", "oe"}),
        (["--model", "host"], {"oa", "ob", "oc", "od", "oe", "ta", "tb"}),
        (["--model", "nobody's"], set()),
        (["--before", "2026-01-03"], {"oa", "ob"}),
        (["--before", "2026-1-3"], {"oa", "ob"}),
        (["--before", "2027-01-01"], {"oa", "ob", "oc", "od", "oe", "ta", "tb"}),
        (["--model", "ours", "--problem", "empty", "--before", "2026-01-04"], {"od"}),
    ],
)
def test_prune_counts_first_and_deletes_what_all_conditions_hold_for(
    path: Path, words: list[str], gone: set[str]
) -> None:
    before = prompts(path)
    done = call("prune", *words)
    assert (done.exit_code, done.output) == (
        0,
        f"{len(gone)} answers would be deleted: add --yes\n",
    )
    assert prompts(path) == before
    done = call("prune", *words, "--yes")
    assert (done.exit_code, done.output) == (0, f"{len(gone)} answers deleted\n")
    assert prompts(path) == sorted(set(before) - gone)
    assert call("check").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["prune"], "--model, --problem or --before"),
        (["prune", "--yes"], "--model, --problem or --before"),
        (["prune", "--model", "", "--yes"], "--model, --problem or --before"),
        # As a text, every day is before "yesterday".
        (["prune", "--before", "yesterday", "--yes"], "--before"),
        (["prune", "--before", "2026-13-01", "--yes"], "--before"),
        (["prune", "--problem", "odd", "--yes"], "--problem"),
        (["prune", "--day", "2026-01-01"], "--day"),
        (["export"], "FILE"),
        (["import"], "FILE"),
        (["stats", "more"], "more"),
        (["burn"], "burn"),
    ],
)
def test_a_wrong_call_is_told_with_status_2_and_deletes_nothing(
    path: Path, words: list[str], says: str
) -> None:
    before = prompts(path)
    done = call(*words)
    assert done.exit_code == 2
    assert says in done.output
    assert prompts(path) == before


def test_pruning_gives_the_room_back_also_while_another_reads(path: Path) -> None:
    store = Store(path)
    store.put([kept(OURS, f"{i}" * 10_000, "2026-01-07") for i in range(100)])
    rows = store.rows()
    next(rows)
    assert call("prune", "--model", "ours", "--yes").output == "105 answers deleted\n"
    assert len(list(rows)) == 106  # as it was when the other began
    store.close()
    assert path.stat().st_size < 100_000
    assert prompts(path) == ["ta", "tb"]


def test_what_was_pruned_is_asked_anew_and_the_rest_is_not(path: Path) -> None:
    assert call("prune", "--problem", "empty", "--yes").exit_code == 0
    store = Store(path)
    found = store.get(row.key for row in ROWS)
    store.close()
    assert found.keys() == {row.key for row in ROWS if row.problem != "empty"}


def test_an_export_to_a_place_that_cannot_be_written_leaves_nothing(path: Path) -> None:
    (path.parent / "file").write_text("x")
    done = call("export", str(path.parent / "file" / "a.jsonl"))
    assert done.exit_code == 1
    assert "cannot be written" in done.output


def test_an_export_can_be_of_one_model_and_replaces_what_was_there(path: Path) -> None:
    file = path.parent / "a.jsonl"
    file.write_text("old\n")
    assert call("export", str(file), "--model", "theirs").exit_code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["request"]["model"]["name"] for line in lines} == {"theirs"}
    assert len(lines) == 2
    assert [entry.name for entry in path.parent.glob("*.partial")] == []


# --- Another name for a server


def renamed(canon: Canon) -> Canon:
    return Canon({**json.loads(canon.model), "server": "pool"})


def rows_of(path: Path) -> dict[str, Kept]:
    store = Store(path)
    try:
        return {row.key: row for row in store.rows()}
    finally:
        store.close()


@pytest.mark.parametrize("words", [["http://host/v1"], ["http://ann:pw@host/v1/"]])
def test_answers_moved_to_a_name_are_those_that_a_run_under_it_would_have_kept(
    path: Path, words: list[str]
) -> None:
    done = call("rename", *words, "pool")
    assert (done.exit_code, done.output) == (0, "7 answers moved to pool\n")
    assert call("check").exit_code == 0
    rows = rows_of(path)
    assert len(rows) == 7
    for canon, prompt in [(OURS, "a"), (OURS, "e"), (THEIRS, "b")]:
        before = canon.of(Request(prompt, SAMPLING))
        after = renamed(canon).of(Request(prompt, SAMPLING))
        row = rows[after.key]
        assert (row.base, row.request, row.model) == (after.base, after.form, renamed(canon).model)
        (was,) = [one for one in ROWS if one.key == before.key]
        assert row._replace(**{name: getattr(was, name) for name in Kept._fields[:4]}) == was


def test_moving_back_leaves_what_there_was(path: Path) -> None:
    before = rows_of(path)
    assert call("rename", "http://host/v1", "pool").exit_code == 0
    assert call("rename", "pool", "http://host/v1").output == (
        "7 answers moved to http://host/v1\n"
    )
    assert rows_of(path) == before


def test_only_one_model_and_only_one_server_are_moved(path: Path) -> None:
    store = Store(path)
    elsewhere = Canon({"server": "http://host2/v1", "name": "ours"})
    embedded = Canon({"engine": "x", "sha256": "0"})
    store.put([kept(elsewhere, "a", "2026-01-01"), kept(embedded, "a", "2026-01-01")])
    store.close()
    done = call("rename", "http://host/v1", "pool", "--model", "ours")
    assert done.output == "5 answers moved to pool\n"
    models = sorted({row.model for row in rows_of(path).values()})
    assert models == sorted([renamed(OURS).model, THEIRS.model, elsewhere.model, embedded.model])


def test_what_the_name_has_an_answer_to_stays_where_it_is(path: Path) -> None:
    store = Store(path)
    there = kept(renamed(OURS), "a", "2025-01-01")
    store.put([there])
    store.close()
    done = call("rename", "http://host/v1", "pool")
    assert done.exit_code == 0
    first, second = done.output.splitlines()
    assert first == "6 answers moved to pool"
    assert second == "1 stay: pool has an answer to the same already"
    rows = rows_of(path)
    assert rows[there.key] == there
    assert sorted(row.model for row in rows.values()).count(OURS.model) == 1


def test_answers_on_their_way_are_waited_for(path: Path) -> None:
    before = rows_of(path)
    store = Store(path)
    keyed = OURS.of(Request("on its way", SAMPLING))
    store.batch_begun("tag", OURS.model, [(*keyed, 8)])
    store.close()
    done = call("rename", "http://host/v1", "pool")
    assert done.exit_code == 1
    assert "a batch is under way at http://host/v1" in done.output
    assert rows_of(path) == before


def test_what_another_process_asks_just_now_is_waited_for(path: Path) -> None:
    before = rows_of(path)
    with closing(Store(path)) as store:
        store.claim([ROWS[0].key, "what is new"])
        done = call("rename", "http://host/v1", "pool")
    assert done.exit_code == 1
    assert "another process is asking" in done.output
    assert rows_of(path) == before
    assert call("rename", "http://host/v1", "pool").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["http://nobody/v1", "pool"], "It has those of: http://host/v1."),
        (["http://host/v1", "pool", "--model", "nobody's"], 'to model "nobody\'s"'),
        (["http://host/v1", "a pool"], "expected a name of letters"),
        (["http://host/v1", "http://ann:pw@"], "expected a name of letters"),
        (["host:8000", "pool"], "Or give an address: http(s)://host:port/v1."),
    ],
)
def test_a_rename_of_what_is_not_there_is_told_in_one_message(
    path: Path, words: list[str], says: str
) -> None:
    before = rows_of(path)
    done = call("rename", *words)
    assert done.exit_code == 1
    assert done.output.startswith("seedbed store rename: ")
    assert says in done.output
    assert "ann:pw" not in done.output
    assert rows_of(path) == before


def test_a_damaged_answer_stops_the_rename_before_anything_is_moved(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE responses SET response = '{' WHERE key = ?", (ROWS[2].key,))
    done = call("rename", "http://host/v1", "pool")
    assert done.exit_code == 1
    assert "damaged" in done.output
    with sqlite3.connect(path) as db:
        models = db.execute("SELECT DISTINCT model FROM responses ORDER BY model").fetchall()
    assert models == [(OURS.model,), (THEIRS.model,)]
