"""The batch API against a small server that speaks it: bad days, and kills at every point."""

import json
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from support.batches import BatchServer, answer, batch_server, faults
from support.params import sampling, section
from support.processes import kill, wait_for
from support.project import Project
from support.server import Cut, Reply, completion, fail

from seedbed.core.files import to_line
from seedbed.core.progress import Tally
from seedbed.core.records import Exchange
from seedbed.llm import errors
from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.llm.engine import Engine
from seedbed.llm.params import Llm
from seedbed.llm.send import batch
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import prune
from seedbed.self_instruct.rows import Instruction

SAMPLING = sampling(max_tokens=8)
SECRET = "sk-very-secret-123456"
POST_FILES, POST_BATCHES = "POST /v1/files", "POST /v1/batches"
GET_BATCH, GET_CONTENT = "GET /v1/batches/ID", "GET /v1/files/ID/content"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEEDBED_BATCH_REQUESTS", "SEEDBED_BUDGET_TOKENS", "SEEDBED_BATCH_POLL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEEDBED_MODE", "batch")
    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "2")
    monkeypatch.setenv("SEEDBED_PATIENCE", "1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setattr(batch, "POLL", 0.01)
    monkeypatch.setattr("seedbed.llm.send.limits.FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with batch_server() as state:
        yield state


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "responses.sqlite")
    yield store
    store.close()


Ask = Callable[..., list[Answer]]


@pytest.fixture
def ask(store: Store, server: BatchServer, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask the server, in a run of its own."""

    def ask(
        prompts: str, notes: list[str | None] | None = None, **settings: object
    ) -> list[Answer]:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        llm = section(Llm, **{"model": "served-model"} | settings)

        def look(tally: Tally) -> None:
            if notes is not None and tally.note not in notes[-1:]:
                notes.append(tally.note)

        with open_endpoint(llm) as endpoint:
            engine = Engine(endpoint, store, look)
            try:
                return list(engine.ask([Request(prompt, SAMPLING) for prompt in prompts]))
            finally:
                engine.close()

    return ask


def texts(answers: list[Answer]) -> str:
    return "".join(answer.text for answer in answers)


def remembered(store: Store) -> int:
    return len(store.file.db.execute("SELECT * FROM batches").fetchall())


def once(prompts: str) -> dict[str, int]:
    return dict.fromkeys(prompts, 1)


def test_a_batch_is_submitted_waited_for_and_its_answers_given_in_order(
    ask: Ask, server: BatchServer, store: Store
) -> None:
    notes: list[str | None] = []
    server.polls = 4
    assert texts(ask("cabc", notes)) == "CABC"
    assert server.asked() == once("abc")
    assert server.sizes() == [3]
    (made,) = server.batches.values()
    assert server.bodies(made)[0] == {
        "model": "served-model",
        "prompt": "c",
        "max_tokens": 8,
        "temperature": 0.0,
        "top_k": -1,
        "min_p": 0.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "stop": ["\n"],
    }
    assert notes == [
        None,
        "submitting a batch of 3",
        "batch validating: 0 of 3 done",
        "batch in progress: 0 of 3 done",
        "batch finalizing: 0 of 3 done",
        None,
    ]
    assert remembered(store) == 0
    assert texts(ask("abc")) == "ABC"
    assert len(server.batches) == 1


def test_a_chat_goes_to_the_chat_endpoint(ask: Ask, server: BatchServer) -> None:
    assert texts(ask("ab", api="chat", system="Be brief.")) == "AB"
    (made,) = server.batches.values()
    assert made["endpoint"] == "/v1/chat/completions"
    assert server.bodies(made)[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
    ]


def test_answers_are_those_of_the_live_mode(
    ask: Ask, server: BatchServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(body: dict) -> dict:
        return completion(f"{body['prompt']}\u2028\x85\x0b\ud800 \N{SNOWMAN}")

    server.answer = odd
    in_batch = ask("ab")
    rows = list(store.rows())
    prune(store, "served-model", None, None, delete=True)
    monkeypatch.setenv("SEEDBED_MODE", "live")
    assert ask("ab") == in_batch
    live = list(store.rows())
    assert [row._replace(response="", created_at="") for row in rows] == [
        row._replace(response="", created_at="") for row in live
    ]
    assert in_batch[0].text == "a\u2028\x85\x0b? \N{SNOWMAN}"


def test_many_requests_become_several_batches(
    ask: Ask, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str | None] = []
    monkeypatch.setenv("SEEDBED_BATCH_REQUESTS", "2")
    assert texts(ask("abcde", notes)) == "ABCDE"
    assert server.sizes() == [2, 2, 1]
    assert server.asked() == once("abcde")
    assert "3 batches in progress: 0 of 5 done" in notes


def test_large_requests_become_several_batches(
    ask: Ask, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask("a")
    line = max(map(len, server.files["file-0"].splitlines(keepends=True)))
    monkeypatch.setattr(batch, "MOST_BYTES", 2 * line)
    assert texts(ask("bcd")) == "BCD"
    assert server.sizes() == [1, 2, 1]
    assert len(server.files["file-2"]) == 2 * line
    monkeypatch.setattr(batch, "MOST_BYTES", line - 1)  # what is too large goes by itself
    assert texts(ask("ef")) == "EF"
    assert server.sizes() == [1, 2, 1, 1, 1]


def test_requests_that_failed_are_reported_and_asked_again_alone(
    ask: Ask, server: BatchServer, store: Store
) -> None:
    def faulty(body: dict) -> dict:
        if body["prompt"] == "b":
            raise fail(400, f"no such thing, {SECRET}", "bad_thing")
        if body["prompt"] == "d":
            return {"choices": []}
        return answer(body)

    server.answer = faulty
    with pytest.raises(errors.RowsFailed) as failure:
        ask("abcde")
    assert [(one.row, one.reason) for one in failure.value.failed] == [
        (4, "not a completion: it should have one choice"),
        (2, "HTTP 400: bad_thing: no such thing, [key]"),
    ]
    log = [json.loads(line) for line in _log(store)]
    assert [one["said"] for one in log if "said" in one] == [
        one.reason for one in failure.value.failed
    ]
    assert len(store.get(_keys(store))) == 3
    server.answer = answer
    assert texts(ask("abcde")) == "ABCDE"
    assert server.sizes() == [5, 2]
    assert server.asked() == once("ace") | dict.fromkeys("bd", 2)


def _log(store: Store) -> list[str]:
    return store.path.with_suffix(".log.jsonl").read_text().splitlines()


def _keys(store: Store) -> list[str]:
    return [row.key for row in store.rows()]


def test_what_the_rules_forbid_is_kept_as_refused(ask: Ask, server: BatchServer) -> None:
    def strict(body: dict) -> dict:
        if body["prompt"] == "b":
            raise fail(400, "The response was filtered", "content_filter")
        return answer(body)

    server.answer = strict
    assert [one.problem for one in ask("ab")] == [None, "refused"]
    assert [one.problem for one in ask("ab")] == [None, "refused"]
    assert len(server.batches) == 1


def test_lines_that_make_no_sense_leave_the_others_alone(ask: Ask, server: BatchServer) -> None:
    def spoil(data: bytes) -> bytes:
        lines = data.splitlines()
        spoilt = [lines[0][:-20], b"", b"[]", b'{"custom_id": ["x"]}', b"\xff", b"null"]
        spoilt += [b'{"custom_id": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"]
        stranger = lines[1].replace(b'"custom_id": "', b'"custom_id": "another')
        odd = b'{"custom_id": "%s", "response": 7}' % json.loads(lines[2])["custom_id"].encode()
        return b"\n".join([*spoilt, stranger, odd, *lines[3:]])

    server.edit = spoil
    with pytest.raises(errors.RowsFailed) as failure:
        ask("abcde")
    reason = "batch batch_0 is completed without an answer to it"
    assert [(one.row, one.reason) for one in failure.value.failed] == [
        (3, reason),
        (4, reason),
        (5, reason),
    ]
    server.edit = lambda data: data
    assert texts(ask("abcde")) == "ABCDE"
    assert server.sizes() == [5, 3]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("expired", "batch_expired: It was too late."),
        ("cancelled", "batch batch_0 is cancelled without an answer to it"),
    ],
)
def test_what_a_batch_did_before_it_ended_is_kept(
    ask: Ask, server: BatchServer, end: str, reason: str
) -> None:
    server.end = lambda number: end if number == 0 else "completed"
    server.answers = lambda body: body["prompt"] in "ac"
    with pytest.raises(errors.RowsFailed) as failure:
        ask("abcd")
    assert {(one.row, one.reason) for one in failure.value.failed} == {(2, reason), (4, reason)}
    assert texts(ask("abcd")) == "ABCD"
    assert server.sizes() == [4, 2]


def test_a_batch_that_fails_says_why_and_the_others_go_on(
    ask: Ask, server: BatchServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_BATCH_REQUESTS", "2")
    server.end = lambda number: "failed" if number == 0 else "completed"
    server.errors = [
        {"code": "invalid_model", "message": f"no model x {SECRET}", "line": n, "param": None}
        for n in range(1, 6)
    ]
    said = r"batch_0 failed: line 1: no model x \[key\]; line 2: .*; and 2 more\n"
    with pytest.raises(errors.BatchFailed, match=said):
        ask("abcd")
    assert remembered(store) + len(_keys(store)) in (1, 2)  # the other: under way, or kept
    assert texts(ask("abcd")) == "ABCD"
    assert server.asked() == {"a": 2, "b": 2, "c": 1, "d": 1}


def test_what_exceeds_the_tokens_that_may_wait_is_submitted_later(
    ask: Ask, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_BATCH_REQUESTS", "1")
    server.end = lambda number: "failed" if number in (1, 2, 4) else "completed"
    server.errors = [
        {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
    ]
    looks = server.look

    def fail_at_once(id_: str) -> dict:
        if server.batches[id_]["end"] == "failed":
            server.looks[id_] = 9
        return looks(id_)

    server.look = fail_at_once
    assert texts(ask("abc")) == "ABC"
    assert server.asked() == {"a": 1, "b": 2, "c": 3}


def test_a_batch_that_never_fits_ends_the_run(ask: Ask, server: BatchServer) -> None:
    server.end = lambda number: "failed"
    server.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]
    with pytest.raises(errors.BatchFailed, match=r"limit reached \(SEEDBED_BATCH_REQUESTS makes"):
        ask("ab")
    assert len(server.batches) == 1


@pytest.mark.slow
@pytest.mark.parametrize("where", [POST_FILES, POST_BATCHES, GET_BATCH, GET_CONTENT])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_that_recovers_is_asked_again_and_nothing_submitted_twice(
    ask: Ask, server: BatchServer, where: str, when: str
) -> None:
    problems = [
        fail(500, "oh no"),
        fail(429, "slow down", **{"Retry-After": "0"}),
        Cut(),
        fail(502, "bad gateway"),
    ]
    getattr(server, when)[where] = faults(*problems)
    assert texts(ask("abc")) == "ABC"
    assert len(getattr(server, when)[where]) < len(problems)
    assert server.asked() == once("abc")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "headers"),
    [
        (POST_FILES, {"Retry-After": "100"}),  # more than SEEDBED_PATIENCE
        (POST_BATCHES, {}),
        (GET_BATCH, {"Retry-After": "100"}),
        (GET_CONTENT, {"Retry-After": "100"}),
    ],
)
def test_a_server_that_does_not_recover_ends_the_run_and_the_next_goes_on(
    ask: Ask, server: BatchServer, where: str, headers: dict[str, str]
) -> None:
    server.before[where] = faults(*[fail(500, f"oh no {SECRET}", **headers)] * 300)
    with pytest.raises(errors.BatchFailed, match=r"HTTP 500: oh no \[key\]"):
        ask("abc")
    server.before.clear()
    assert texts(ask("abc")) == "ABC"
    assert server.asked() == once("abc")


@pytest.mark.parametrize("where", [POST_FILES, POST_BATCHES])
def test_a_server_that_refuses_is_not_asked_again(
    ask: Ask, server: BatchServer, where: str
) -> None:
    server.before[where] = faults(fail(400, "no batches here"))
    with pytest.raises(errors.BatchFailed, match="HTTP 400: no batches here"):
        ask("a")
    assert server.seen.count(where) == 1
    assert texts(ask("a")) == "A"


def test_a_page_is_not_taken_for_a_file(ask: Ask, server: BatchServer) -> None:
    page = Reply(200, "<html>Welcome</html>", {"Content-Type": "text/html"})
    server.before[POST_FILES] = faults(page)
    with pytest.raises(errors.BatchFailed, match="no id: '<html>Welcome"):
        ask("a")


def test_a_key_that_is_refused_is_named_as_such(ask: Ask, server: BatchServer) -> None:
    server.before[GET_BATCH] = faults(fail(401, "who are you?"))
    with pytest.raises(errors.KeyRefused):
        ask("a")
    assert texts(ask("a")) == "A"
    assert server.asked() == once("a")


def test_a_server_that_is_not_there_is_named(ask: Ask, server: BatchServer) -> None:
    server.url = "http://127.0.0.1:1/v1"
    with pytest.raises(errors.ServerNotThere):
        ask("a")


def test_a_download_that_breaks_off_is_begun_again(ask: Ask, server: BatchServer) -> None:
    half = Reply(200, '{"custom_id": ', {"Content-Length": "1000", "Connection": "close"})
    server.after[GET_CONTENT] = faults(half)
    assert texts(ask("abc")) == "ABC"
    assert server.seen.count(GET_CONTENT) == 2


def test_a_batch_that_the_server_does_not_know_is_made_anew(
    ask: Ask, server: BatchServer, store: Store
) -> None:
    stop_at(server, GET_BATCH)
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    server.batches.clear()
    assert texts(ask("abc")) == "ABC"
    assert server.asked() == once("abc")
    assert remembered(store) == 0


def stop_at(server: BatchServer, where: str, when: str = "before") -> None:
    """End the next run there, as a refused key does."""
    getattr(server, when)[where] = faults(fail(401, "stop"))


def test_a_batch_of_ours_that_is_not_shown_yet_is_waited_for(ask: Ask, server: BatchServer) -> None:
    server.before[GET_BATCH] = faults(*[fail(404, "No such batch")] * 3)
    assert texts(ask("abc")) == "ABC"
    assert server.asked() == once("abc")


@pytest.mark.slow
def test_a_server_that_never_shows_a_batch_gets_no_second_one(
    ask: Ask, server: BatchServer
) -> None:
    server.before[GET_BATCH] = faults(*[fail(404, "No such batch")] * 300)
    with pytest.raises(errors.BatchFailed, match="HTTP 404"):
        ask("abc")
    assert server.asked() == once("abc")


def test_answers_that_the_server_has_no_longer_are_asked_for_anew(
    ask: Ask, server: BatchServer
) -> None:
    server.before[GET_CONTENT] = faults(fail(404, "No such file"))
    with pytest.raises(errors.RowsFailed, match="no longer has the answers of batch batch_0"):
        ask("a")
    assert texts(ask("a")) == "A"


def test_a_batch_among_many_is_found_by_its_tag(
    ask: Ask, server: BatchServer, store: Store
) -> None:
    stop_at(server, POST_BATCHES, "after")
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    for n in range(10):
        server.batches[f"batch_another{n}"] = next(iter(server.batches.values())) | {
            "id": f"batch_another{n}",
            "metadata": None if n % 2 else {"seedbed": "another"},
        }
    assert texts(ask("abc")) == "ABC"
    assert server.seen.count(POST_BATCHES) == 1
    assert server.seen.count("GET /v1/batches") == 4


def test_answers_that_nobody_wants_any_more_are_kept(
    ask: Ask, server: BatchServer, store: Store
) -> None:
    stop_at(server, GET_BATCH)
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    server.polls = 0
    assert texts(ask("d")) == "D"
    assert len(_keys(store)) == 4
    assert remembered(store) == 0
    assert texts(ask("abcd")) == "ABCD"
    assert server.asked() == once("abcd")


@pytest.mark.parametrize("end", ["failed", "unknown"])
def test_a_batch_that_came_to_nothing_and_nobody_wants_is_forgotten(
    ask: Ask, server: BatchServer, store: Store, end: str
) -> None:
    server.end = lambda number: "failed" if number == 0 else "completed"
    stop_at(server, GET_BATCH)
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    server.polls = 0
    if end == "unknown":
        server.batches["batch_x"] = server.batches.pop("batch_0") | {"id": "batch_x"}
    assert texts(ask("d")) == "D"
    assert remembered(store) == 0


def test_a_batch_that_covers_a_part_of_what_is_wanted_is_picked_up(
    ask: Ask, server: BatchServer
) -> None:
    stop_at(server, GET_BATCH)
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    assert texts(ask("bcde")) == "BCDE"
    assert server.asked() == once("abcde")
    assert server.sizes() == [3, 2]


def test_the_collecting_that_was_broken_off_is_gone_on_with_and_nothing_counted_twice(
    ask: Ask, server: BatchServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "CHUNK", 2)
    put, puts = store.put, []

    def full(*arguments: object) -> object:
        puts.append(arguments)
        if len(puts) == 2:
            raise errors.StoreFailed(store.path, "disk full")
        return put(*arguments)

    monkeypatch.setattr(store, "put", full)
    with pytest.raises(errors.StoreFailed):
        ask("abcde")
    assert len(_keys(store)) == 2
    assert texts(ask("abcde")) == "ABCDE"
    assert server.asked() == once("abcde")
    assert _spent(store) == 5 * 10


def _spent(store: Store) -> int:
    (row,) = store.file.db.execute("SELECT sum(tokens) FROM spending").fetchall()
    return int(row[0])


EACH = most_tokens("a") + SAMPLING.max_tokens


def test_the_budget_ends_what_is_submitted_and_what_fitted_is_collected(
    ask: Ask, server: BatchServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Answers take 10 tokens. 3 fit; then 30 are spent, and 2 fit; then 1; then 60 are spent.
    monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", str(3 * EACH))
    with pytest.raises(errors.BudgetReached, match=f"{3 * EACH}: 1[0-9]0 used"):
        ask("abcdefghijklmnopqrstuvwxyz")
    sizes = server.sizes()
    assert sizes[:3] == [3, 2, 2]
    assert len(_keys(store)) == sum(sizes) == len(server.asked())
    assert _spent(store) == 10 * sum(sizes) <= 3 * EACH < 10 * sum(sizes) + EACH


def test_a_batch_of_an_earlier_run_counts_against_the_budget(
    ask: Ask, server: BatchServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at(server, GET_BATCH)
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", str(2 * EACH))  # which is under way already
    assert texts(ask("abcd")) == "ABCD"
    assert server.sizes() == [3, 1]
    assert server.seen.index(GET_CONTENT) < _last(server.seen, POST_BATCHES)


def _last(seen: list[str], what: str) -> int:
    return len(seen) - 1 - seen[::-1].index(what)


def test_a_budget_for_nothing_submits_nothing(
    ask: Ask, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", "10")
    with pytest.raises(errors.BudgetReached):
        ask("a")
    assert server.seen == []


def test_answers_of_unknown_size_are_counted_as_large_as_they_can_be(
    ask: Ask, server: BatchServer, store: Store
) -> None:
    def silent(body: dict) -> dict:
        return {name: value for name, value in answer(body).items() if name != "usage"}

    server.answer = silent
    ask("ab")
    assert _spent(store) == 2 * EACH


def test_the_key_is_in_no_file(ask: Ask, server: BatchServer, store: Store) -> None:
    def indiscreet(body: dict) -> dict:
        if body["prompt"] == "b":
            raise fail(500, f"{SECRET}!")
        return completion(f"your key is {SECRET}")

    server.answer = indiscreet
    with pytest.raises(errors.RowsFailed):
        ask("ab")
    assert server.keys == {f"Bearer {SECRET}"}
    files = [path for path in store.path.parent.iterdir() if path.is_file()]
    assert {path.suffix for path in files} >= {".sqlite", ".jsonl"}
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert not [data for name, data in server.files.items() if name == "file-0" and b"sk-" in data]


def test_the_live_mode_tells_of_batches_under_way(
    ask: Ask, server: BatchServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    stop_at(server, GET_BATCH)
    with pytest.raises(errors.KeyRefused):
        ask("abc")
    monkeypatch.setenv("SEEDBED_MODE", "live")
    ask("de")
    assert capsys.readouterr().err == ""
    ask("bcd")
    assert "2 of the requests are in a batch under way" in capsys.readouterr().err


# Real processes, real kills.

INSTRUCTIONS = [f"Say the word number {n}" for n in range(4)]


def say_yes(body: dict) -> dict:
    return completion(f" {'Yes' if '1' in body['prompt'][-40:] else 'No'}")


@pytest.fixture
def stage(project: Project, server: BatchServer) -> Project:
    """A project with instructions to classify."""
    metadata = Exchange(prompt="p", response={}, key="k")
    rows = [
        Instruction(
            instruction=text,
            most_similar={},
            avg_similarity_score=0.0,
            metadata=metadata,
            request_idx=1,
        )
        for text in INSTRUCTIONS
    ]
    path = project.folder / "data/bootstrap/machine_generated_instructions.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(map(to_line, rows)))
    server.answer = say_yes
    server.polls = 1
    return project


def environment(server: BatchServer, **more: str) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": server.url,
        "SEEDBED_MODE": "batch",
        "SEEDBED_BATCH_POLL": "1",
        "SEEDBED_BATCH_REQUESTS": "2",
    } | more


def check(project: Project, server: BatchServer) -> None:
    """Each request is in one batch, and the rows are what they should be."""
    assert sorted(server.asked().values()) == [1] * len(INSTRUCTIONS)
    rows = project.rows("data/clf/is_clf_or_not.jsonl")
    assert [row["instruction"] for row in rows] == INSTRUCTIONS
    assert [row["is_classification"] for row in rows] == [" No", " Yes", " No", " No"]
    path = project.folder / ".seedbed/responses.sqlite"
    with sqlite3.connect(path) as db:
        counts = [
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("responses", "batches", "batch_requests")
        ]
        assert counts == [len(INSTRUCTIONS), 0, 0]
        assert db.execute("SELECT sum(tokens) FROM spending").fetchone()[0] == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "where", "times", "batches"),
    [
        ("after", POST_FILES, 1, 0),  # between upload and creation, of the first batch
        ("after", POST_BATCHES, 1, 1),  # between creation and the answer with its id
        ("after", POST_BATCHES, 2, 2),  # the same, of the second
        ("after", GET_BATCH, 2, 2),  # while waiting
        ("before", GET_CONTENT, 2, 2),  # in the midst of collecting
    ],
)
def test_a_run_that_is_killed_is_gone_on_with_and_nothing_submitted_twice(
    stage: Project, server: BatchServer, when: str, where: str, times: int, batches: int
) -> None:
    there, dead = Event(), Event()

    def stop() -> None:
        there.set()
        dead.wait(30)

    getattr(server, when)[where] = deque([*[lambda: None] * (times - 1), stop])
    process = stage.start_stage("clf", **environment(server))
    wait_for(there.is_set, process)
    kill(process)
    dead.set()
    assert len(server.batches) == batches
    done = stage.stage("clf", **environment(server))
    assert done.returncode == 0, done.stdout
    check(stage, server)


@pytest.mark.slow
def test_two_processes_submit_nothing_twice(stage: Project, server: BatchServer) -> None:
    both = [stage.start_stage("clf", **environment(server)) for _ in range(2)]
    for process in both:
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
    check(stage, server)
