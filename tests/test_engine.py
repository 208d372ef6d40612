"""The engine against a server that does what a real one does only on a bad day."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from threading import Event, Lock

import pytest
from support import server
from support.engines import LLM, WAYS, ask_in, kept_in, response_in, set_environment
from support.params import sampling
from support.server import Cut, Reply, completion, fail, serving

from seedbed.llm import errors
from seedbed.llm.contract.request import Request, key_of
from seedbed.llm.contract.wire import Answer
from seedbed.llm.engine import Engine
from seedbed.llm.send import limits
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.place import default_path
from seedbed.llm.store.store import Store

SAMPLING = sampling(max_tokens=8)
SECRET = "sk-very-secret-123456"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "0")
    monkeypatch.setenv("SEEDBED_PATIENCE", "1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "responses.sqlite")
    yield store
    store.close()


Ask = Callable[..., list[Answer]]


@pytest.fixture
def ask(store: Store, monkeypatch: pytest.MonkeyPatch) -> Ask:
    def ask(url: str, prompts: list[str], **sampling: object) -> list[Answer]:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        how = SAMPLING.model_copy(update=sampling)
        with open_endpoint(LLM) as endpoint:
            engine = Engine(endpoint, store, lambda tally: None)
            try:
                return list(engine.ask([Request(prompt, how) for prompt in prompts]))
            finally:
                engine.close()

    return ask


class Echo:
    """Answers each prompt with itself in capitals, and remembers what was asked."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, body: dict, headers: Message) -> dict:
        self.prompts.append(body["prompt"])
        return completion(body["prompt"].upper())


def test_answers_come_in_the_order_of_the_requests_whichever_arrives_first(ask: Ask) -> None:
    first_may_answer = Event()

    def slow_first(body: dict, headers: Message) -> dict:
        if body["prompt"] == "a":
            assert first_may_answer.wait(30)
        else:
            first_may_answer.set()
        return completion(body["prompt"].upper())

    with serving(slow_first) as url:
        assert [answer.text for answer in ask(url, ["c", "a", "b"])] == ["C", "A", "B"]


def test_equal_requests_are_sent_once_and_both_answered(ask: Ask) -> None:
    echo = Echo()
    with serving(echo) as url:
        answers = ask(url, ["a", "b", "a"])
    assert [answer.text for answer in answers] == ["A", "B", "A"]
    assert sorted(echo.prompts) == ["a", "b"]


def test_what_was_answered_is_not_sent_again(ask: Ask) -> None:
    echo = Echo()
    with serving(echo) as url:
        first = ask(url, ["a", "b"])
        again = ask(url, ["b", "c", "a"])
    assert sorted(echo.prompts) == ["a", "b", "c"]
    assert again[0] == first[1]
    assert again[2] == first[0]


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (fail(401, f"bad key {SECRET}"), errors.KeyRefused, "OPENAI_API_KEY"),
        (fail(403, "not yours"), errors.KeyRefused, "OPENAI_API_KEY"),
        (fail(404, "no model served-model"), errors.ModelUnknown, "end in /v1?"),
        (fail(400, "no such thing"), errors.RequestRefused, "no such thing"),
        (fail(400, "logprobs not allowed"), errors.ParameterRefused, "logprobs to llm.leave_out"),
        (fail(429, f"slow down {SECRET}"), errors.ServerFailed, "slow down [key]"),
        (fail(500, "oh no"), errors.ServerFailed, "oh no"),
        (Reply(200, "{half a bo"), errors.BadAnswer, "not JSON"),
        (Reply(200, '{"choices": []}'), errors.BadAnswer, "one choice"),
        (Reply(200, '{"choices": [{"text": null}]}'), errors.BadAnswer, "text"),
        (Cut(), errors.ServerFailed, "the connection was cut"),
    ],
)
def test_each_failure_has_its_message_without_the_key_and_keeps_nothing(
    ask: Ask, store: Store, reply: Exception, error: type[Exception], says: str
) -> None:
    def answer(body: dict, headers: Message) -> dict:
        raise reply

    with serving(answer) as url, pytest.raises(error) as failure:
        ask(url, ["a"])
    assert says in str(failure.value)
    assert SECRET not in str(failure.value)
    assert _count(store) == 0


def _count(store: Store) -> int:
    with sqlite3.connect(store.path) as db:
        return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])


def test_greedy_requests_leave_out_the_top_p_that_some_servers_refuse(ask: Ask) -> None:
    seen: list[dict] = []

    def remember(body: dict, headers: Message) -> dict:
        seen.append(body)
        return completion("x")

    with serving(remember) as url:
        ask(url, ["a"], temperature=0.0, top_p=0.0)
        ask(url, ["a"], temperature=0.7, top_p=0.5)
    assert [body.get("top_p") for body in seen] == [None, 0.5]


def test_an_address_without_the_api_is_not_taken_for_an_unknown_model(ask: Ask) -> None:
    def nothing_here(body: dict, headers: Message) -> dict:
        raise fail(404, "Not Found")

    with serving(nothing_here) as url, pytest.raises(errors.ModelUnknown, match="end in /v1"):
        ask(url.replace("/v1", "/elsewhere"), ["a"])


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("", "{root}/.seedbed/responses.sqlite"),
        ("my/answers.sqlite", "{root}/my/answers.sqlite"),
        ("~/answers.sqlite", "{home}/answers.sqlite"),
    ],
)
def test_the_store_of_a_temporary_copy_is_that_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a copy; DVC says where it was copied from
    monkeypatch.setenv("DVC_ROOT", "/repository")
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SEEDBED_STORE", chosen)
    assert str(default_path()) == expected.format(root="/repository", home="/home/ann")


def test_a_server_that_is_not_there_is_named(ask: Ask) -> None:
    with serving(Echo()) as url:
        pass
    with pytest.raises(errors.ServerNotThere, match=url):
        ask(url, ["a"])


@pytest.mark.slow
def test_a_server_that_recovers_is_asked_again(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "3")
    monkeypatch.setenv("SEEDBED_PATIENCE", "60")
    faults = iter([fail(429, "slow down", **{"Retry-After": "0"}), fail(503, "busy"), Cut()])

    def answer(body: dict, headers: Message) -> dict:
        for fault in faults:
            raise fault
        return completion("at last")

    with serving(answer) as url:
        assert ask(url, ["a"])[0].text == "at last"


def test_what_arrived_before_a_failure_is_kept(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()

    def fail_on_c(body: dict, headers: Message) -> dict:
        if body["prompt"] == "c" and "c" not in echo.prompts:
            echo.prompts.append("c")
            raise fail(500, "oh no")
        return echo(body, headers)

    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    with serving(fail_on_c) as url:
        with pytest.raises(errors.RowsFailed, match=r"request 3 .*HTTP 500: oh no") as failure:
            ask(url, ["a", "b", "c", "d"])
        assert [one.row for one in failure.value.failed] == [3]
        assert [a.text for a in ask(url, ["a", "b", "c", "d"])] == ["A", "B", "C", "D"]
    assert echo.prompts == ["a", "b", "c", "d", "c"]


def test_no_more_requests_are_in_flight_than_allowed(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "3")
    lock, now, most = Lock(), 0, 0
    three_at_once = Event()

    def answer(body: dict, headers: Message) -> dict:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == 3:
                three_at_once.set()
        three_at_once.wait(30)
        with lock:
            now -= 1
        return completion("x")

    with serving(answer) as url:
        ask(url, [str(i) for i in range(12)])
    assert most == 3


def test_a_surrogate_half_in_an_answer_becomes_a_question_mark(ask: Ask) -> None:
    def answer(body: dict, headers: Message) -> dict:
        raise Reply(200, json.dumps(completion("x")).replace('"x"', '"a\\ud800b"'))

    with serving(answer) as url:
        assert ask(url, ["a"])[0].text == "a?b"


def test_what_differs_from_run_to_run_is_not_in_an_answer(ask: Ask) -> None:
    with serving(lambda body, headers: completion("x")) as url:
        answer = ask(url, ["a"])[0]
    assert set(answer.response) == {"object", "model", "choices", "usage"}


def test_a_full_disk_stops_the_asking_and_loses_no_more_than_was_in_flight(
    ask: Ask, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "16")
    echo = Echo()
    # SQLite says of a file that may not grow what it says of a full disk.
    (pages,) = store.file.db.execute("PRAGMA page_count").fetchone()
    store.file.db.execute(f"PRAGMA max_page_count={pages + 60}")
    with serving(echo) as url:
        with pytest.raises(errors.StoreFull, match="at most what was in flight is lost"):
            ask(url, [f"{n:03} {'x' * 2000}" for n in range(400)])
        asked = len(echo.prompts)
    kept = _count(store)
    assert 10 < kept < 100
    assert asked - kept <= 16
    assert asked == len(echo.prompts)


def test_a_store_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(errors.StoreFailed, match="version 99"):
        Store(path)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but somebody's notes\n" * 100)
    before = path.read_bytes()
    with pytest.raises(errors.StoreFailed, match=r"notes\.txt"):
        Store(path)
    assert path.read_bytes() == before


def test_a_damaged_answer_in_the_store_is_named(ask: Ask, store: Store) -> None:
    with serving(Echo()) as url:
        ask(url, ["a"])
        with sqlite3.connect(store.path) as db:
            db.execute("UPDATE responses SET response = '{'")
        with pytest.raises(errors.StoreFailed, match="damaged"):
            ask(url, ["a"])


@pytest.mark.parametrize("key", ["anything", "password", "classification"])
def test_a_key_that_is_a_word_changes_no_answer(
    ask: Ask, store: Store, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    prompt = "Tell me anything about password and classification"
    with serving(lambda body, headers: completion(body["prompt"])) as url:
        assert ask(url, [prompt])[0].text == prompt
    with serving(lambda body, headers: completion(prompt)) as url:
        assert ask(url, ["b"])[0].text == prompt
    for row in store.rows():
        assert key_of(row.request) == row.key


@pytest.mark.parametrize(
    "models", ["<html>hello</html>", '{"data": null}', '{"data": [{}]}', '{"data": [', "[]"]
)
def test_an_odd_list_of_models_is_no_list(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, models: str
) -> None:
    def nothing_here(body: dict, headers: Message) -> dict:
        raise fail(404, "Not Found")

    monkeypatch.setattr(server, "MODELS", models)
    with serving(nothing_here) as url, pytest.raises(errors.ModelUnknown, match="end in /v1"):
        ask(url, ["a"])


def test_a_prompt_that_is_flagged_is_kept_as_refused(ask: Ask) -> None:
    def answer(body: dict, headers: Message) -> dict:
        if body["prompt"] == "b":
            raise fail(403, "Your input was flagged by moderation")
        return completion("x")

    with serving(answer) as url:
        assert [one.problem for one in ask(url, ["a", "b", "c"])] == [None, "refused", None]


def test_an_account_without_money_ends_the_run(ask: Ask) -> None:
    asked = []

    def answer(body: dict, headers: Message) -> dict:
        asked.append(body["prompt"])
        raise fail(402, "no credit left")

    with serving(answer) as url, pytest.raises(errors.KeyRefused, match=r"402.*no credit left"):
        ask(url, [f"p{n:02}" for n in range(60)])
    assert len(asked) <= 8  # those that were in flight


def test_a_run_in_which_all_fails_from_some_point_on_ends(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    asked = []

    def good_once(body: dict, headers: Message) -> dict:
        asked.append(body["prompt"])
        if len(asked) > 1:
            raise fail(400, "the moon is full")
        return completion("x")

    with serving(good_once) as url, pytest.raises(errors.RequestRefused, match="the moon is full"):
        ask(url, [f"p{n:03}" for n in range(300)])
    assert len(asked) == 1 + 100


@pytest.mark.parametrize("way", WAYS)
def test_each_try_is_a_line_of_the_log_and_each_answer_in_the_tally_whatever_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    faults = iter([Reply(503, "I know the secret")])

    def answer(body: dict, headers: Message) -> dict:
        for fault in faults:
            raise fault
        return response_in(way, body)

    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    path = tmp_path / "responses.sqlite"
    with serving(answer) as url:
        set_environment(monkeypatch, url, concurrency=1)
        _, tally = ask_in(way, path, ["a text to be kept secret"])
        _, again = ask_in(way, path, ["a text to be kept secret"])
    assert tally.prompt_tokens + tally.completion_tokens == 15
    assert (again.sent, again.prompt_tokens) == (0, 0)
    written = (tmp_path / "responses.log.jsonl").read_text()
    failed, answered = map(json.loads, written.splitlines())
    (kept,) = kept_in(path)
    assert failed.keys() - answered.keys() == {"said"}
    assert (failed["status"], failed["tries"]) == ("HTTP 503", 1)
    assert (answered["status"], answered["tries"], answered["answers"]) == ("200", 2, 1)
    assert failed["key"] == answered["key"] == kept.key
    assert answered["prompt_tokens"] + answered["completion_tokens"] == 15
    assert "to be kept secret" not in written


def test_a_model_that_wants_max_completion_tokens_gets_them(ask: Ask) -> None:
    seen: list[dict] = []

    def newer(body: dict, headers: Message) -> dict:
        seen.append(body)
        if "max_tokens" in body:
            raise fail(400, "'max_tokens' is not supported, use 'max_completion_tokens' instead.")
        return completion("x")

    with serving(newer) as url:
        assert len(ask(url, [f"p{n:02}" for n in range(20)])) == 20
    assert sum("max_completion_tokens" in body for body in seen) == 20
    assert sum("max_tokens" in body for body in seen) <= 8  # those that were in flight
