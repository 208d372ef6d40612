"""Servers that fail: every row is answered, or named with its reason; none gets another's answer.

The faults of a try are drawn from the prompts and the number of the try, so that a test fails the
same way again.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from threading import Event, Lock, Timer
from typing import Any

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
from support.params import SAMPLING
from support.server import Cut, Reply, Trickle, fail, serving

from seedbed.llm import engine, errors
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.contract.wire import Answer
from seedbed.llm.params import Llm
from seedbed.llm.send import limits
from seedbed.llm.serve import endpoint
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.store import Store

LIST = 4


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "LAST_PAUSE", 0.05)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


def other_count(body: dict, draw: random.Random) -> Reply:
    """An answer for another request count: too few, too many, or one index twice."""
    right = response_to(body)
    choices = right["choices"]
    if len(choices) > 1 and draw.random() < 0.5:
        choices[0]["index"] = 1
    elif draw.random() < 0.5:
        choices.pop()
    else:
        choices.append(choices[0] | {"index": len(choices)})
    return Reply(200, json.dumps(right))


def hang(body: dict, draw: random.Random) -> Cut:
    time.sleep(1.5)
    return Cut()


Fault = Callable[[dict, random.Random], Exception]
# Each kind of fault, and what the reason of a row says that fell to it.
FAULTS: dict[str, tuple[Fault, str]] = {
    "429 with Retry-After": (
        lambda body, draw: fail(429, "slow down", **{"Retry-After": "0.02"}),
        "never",
    ),
    "429 without": (lambda body, draw: fail(429, "slow down"), "never"),
    "500": (lambda body, draw: fail(500, "out of order"), "HTTP 500: out of order"),
    "hanging": (hang, "does not answer in time"),
    "cut": (lambda body, draw: Cut(), "connection was cut"),
    "half a body": (
        lambda body, draw: Cut(json.dumps(response_to(body))[: draw.randint(1, 200)]),
        "connection was cut",
    ),
    "broken JSON": (
        lambda body, draw: Reply(200, json.dumps(response_to(body))[: draw.randint(0, 200)]),
        "not JSON",
    ),
    "another count": (other_count, "choice"),
    "context length": (
        lambda body, draw: fail(400, "This model's maximum context length is 4 tokens"),
        "never",
    ),
}


class FaultServer:
    """Answers rightly but for a share of the tries.

    good: how often each prompt was answered rightly.
    faults: the kinds of fault that each prompt met.
    """

    def __init__(self, kinds: list[str], rate: float):
        self.kinds, self.rate = kinds, rate
        self.tries: Counter[tuple[str, ...]] = Counter()
        self.good: Counter[str] = Counter()
        self.faults: dict[str, set[str]] = {}
        self._lock = Lock()

    def __call__(self, body: dict, headers: Message) -> dict:
        prompts = prompts_of(body)
        with self._lock:
            self.tries[tuple(prompts)] += 1
            draw = random.Random(f"{prompts} {self.tries[tuple(prompts)]}")
            fails = draw.random() < self.rate
            kind = draw.choice(self.kinds)
            for prompt in prompts:
                if fails:
                    self.faults.setdefault(prompt, set()).add(kind)
                else:
                    self.good[prompt] += 1
        if fails:
            raise FAULTS[kind][0](body, draw)
        return response_to(body)


@pytest.mark.parametrize("rate", [pytest.param(0.1, marks=pytest.mark.slow), 0.5])
@pytest.mark.parametrize("asked", ["one", "list", "chat"])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in ("hanging", "mix") else ())
        for kind in (*FAULTS, "mix")
    ],
)
def test_every_row_is_answered_or_named_once_and_with_its_own_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, asked: str, rate: float
) -> None:
    server = FaultServer([kind] if kind in FAULTS else list(FAULTS), rate)
    llm = CHAT if asked == "chat" else LLM
    prompts = [f"prompt {n} of {kind}" for n in range(16 if kind in ("hanging", "mix") else 48)]
    requests = requests_for(prompts)
    with serving(server) as url:
        # Where the timeout is short, a busy machine may exceed it with a good answer too.
        short = kind in ("hanging", "mix")
        set_environment(monkeypatch, url, concurrency=16, timeout=1 if short else 60, max_retries=2)
        monkeypatch.setenv("SEEDBED_PROMPTS_PER_REQUEST", str(LIST if asked == "list" else 1))
        named: list[errors.RowFailed] = []
        try:
            ask(path, requests, llm)
        except errors.RowsFailed as failure:
            named = failure.failed
        failed = {one.row: one for one in named}
        assert len(failed) == len(named), "a row is named twice"
        kept = {row.key: row for row in kept_in(path)}
        canon = Canon({"server": url, "name": llm.model}, llm.api)
        for row, request in enumerate(requests, 1):
            prompt, key = request.prompt, canon.of(request).key
            assert (row in failed) != (key in kept), "neither answered nor named, or both"
            if row in failed:
                assert failed[row].key == key
                reasons = [FAULTS[one][1] for one in server.faults[prompt]]
                reasons += ["does not answer in time"] * short
                assert any(one in failed[row].reason for one in reasons), failed[row].reason
                if not short:
                    assert not server.good[prompt], "it was answered, and is named as failed"
            elif kept[key].problem is None:
                assert json.dumps(answer_to(prompt)) in kept[key].response
                assert server.good[prompt] == 1 or (short and server.good[prompt]), "twice"
            else:
                kinds = {"malformed": {"broken JSON", "another count"}}
                kinds["over_context"] = {"context length"}
                assert server.faults[prompt] & kinds[kept[key].problem]
                assert not server.good[prompt]

        tries = server.tries.total()
        server.rate = 0.0
        answers = ask(path, requests, llm)
    assert [answer.key for answer in answers] == [canon.of(one).key for one in requests]
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.text == ("" if answer.problem else answer_to(prompt))
    per_request = LIST if asked == "list" else 1
    again = server.tries.total() - tries
    assert again == -(-len(failed) // per_request), "more was sent again than what had failed"
    assert len(kept_in(path)) == len(requests)


# --- Answers that no server should give, one at a time


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> "Served":
    return Served(monkeypatch)


class Served:
    """Asks a server that answers with `answer(body)`; remembers the bodies that were sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._monkeypatch = monkeypatch
        self.bodies: list[dict] = []

    def __call__(
        self,
        path: Path,
        requests: list[Request],
        answer: Callable[[dict], dict] = response_to,
        llm: Llm = LLM,
        **variables: object,
    ) -> list[Answer]:
        def remember(body: dict, headers: Message) -> dict:
            self.bodies.append(body)
            return answer(body)

        with serving(remember) as url:
            # One address for all servers of a test, so that their answers share their keys.
            variables = {"max_retries": 1, "timeout": 20, **variables}
            set_environment(self._monkeypatch, url, **variables)
            self._monkeypatch.setattr(endpoint, "without_secrets", lambda url: "http://server/v1")
            return ask(path, requests, llm)

    @property
    def prompts(self) -> list[str]:
        return [prompt for body in self.bodies for prompt in prompts_of(body)]


def test_the_answers_of_a_list_go_by_their_index(path: Path, served: Served) -> None:
    def backwards(body: dict) -> dict:
        right = response_to(body)
        return right | {"choices": right["choices"][::-1]}

    answers = served(path, requests_for("dbca"), backwards, prompts_per_request=4)
    assert [body["prompt"] for body in served.bodies] == [["a", "b", "c", "d"]]
    assert [answer.text for answer in answers] == [answer_to(prompt) for prompt in "dbca"]


def test_a_server_that_takes_no_lists_is_asked_one_by_one_and_keeps_being(
    path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WINDOW", 8)

    def singles_only(body: dict) -> dict:
        if isinstance(body["prompt"], list):
            raise fail(400, "prompt must be a string")
        return response_to(body)

    prompts = [f"p{n:02}" for n in range(24)]
    answers = served(
        path, requests_for(prompts), singles_only, prompts_per_request=4, concurrency=1
    )
    assert [answer.text for answer in answers] == [answer_to(prompt) for prompt in prompts]
    assert sum(isinstance(body["prompt"], list) for body in served.bodies) == 2
    assert len(served.bodies) == 2 + 24


def test_one_prompt_that_spoils_its_list_is_named_alone(path: Path, served: Served) -> None:
    def not_c(body: dict) -> dict:
        if "c" in prompts_of(body):
            raise fail(400, "there is something in it")
        return response_to(body)

    with pytest.raises(errors.RowsFailed) as failure:
        served(path, requests_for("abcdefgh"), not_c, prompts_per_request=4)
    assert [one.row for one in failure.value.failed] == [3]
    assert len(kept_in(path)) == 7
    assert sum(isinstance(body["prompt"], list) for body in served.bodies) == 2


STRANGE = {
    "nested deeper than any parser goes": "[" * 200_000,
    "an index that is a list": json.dumps(
        {"choices": [{"index": [n], "text": "x", "finish_reason": "stop"} for n in range(2)]}
    ),
    "an index that is a text": json.dumps(
        {"choices": [{"index": str(n), "text": "x", "finish_reason": "stop"} for n in range(2)]}
    ),
    "choices that are texts": '{"choices": ["a", "b"]}',
    "a list": "[1, 2]",
    "a number of a million digits": "1" * 1_000_000,
    "a text that is a number": '{"choices": [{"text": 1}, {"text": 2}]}',
    "no text": '{"choices": [{"index": 0}, {"index": 1}]}',
    "nothing": "",
    "null": "null",
    "bytes that are no UTF-8": "\udcff\udcfe",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("prompts_per_request", [1, 2])
def test_no_body_is_too_strange_to_be_named_and_the_next_is_read(
    path: Path, served: Served, kind: str, prompts_per_request: int
) -> None:
    def strange(body: dict) -> dict:
        if set(prompts_of(body)) & {"of no use", "useless"}:
            raise Reply(200, STRANGE[kind])
        return response_to(body)

    requests = requests_for(["of no use", "good", "useless"])
    answers = served(
        path, requests, strange, concurrency=1, prompts_per_request=prompts_per_request
    )
    assert [answer.problem for answer in answers] == ["malformed", None, "malformed"]
    assert answers[1].text == answer_to("good")


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        "7",
        {"prompt_tokens": "7"},
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {"prompt_tokens": -5, "completion_tokens": -5},
        {"prompt_tokens": 1.5, "completion_tokens": None},
    ],
)
def test_a_usage_that_cannot_be_is_no_usage(path: Path, served: Served, usage: object) -> None:
    answers = served(path, requests_for("ab"), lambda body: response_to(body, usage=usage))
    assert [answer.text for answer in answers] == [answer_to("a"), answer_to("b")]
    assert [(row.prompt_tokens, row.completion_tokens) for row in kept_in(path)] == [
        (None, None)
    ] * 2


def test_half_a_surrogate_pair_in_a_list_becomes_a_question_mark(
    path: Path, served: Served
) -> None:
    def half(body: dict) -> dict:
        raise Reply(200, json.dumps(response_to(body)).replace("answer", "a\\ud800b"))

    first = served(path, requests_for("ab"), half, prompts_per_request=2)
    again = served(path, requests_for("ab"), half, prompts_per_request=2)
    assert first[0].text == answer_to("a").replace("answer", "a?b")
    assert again == first
    assert len(served.bodies) == 1


@pytest.mark.slow
def test_an_answer_that_trickles_in_without_end_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Event()

    def trickle(body: dict, headers: Message) -> dict:
        raise Trickle(over)

    begun = time.monotonic()
    with serving(trickle) as url:
        set_environment(monkeypatch, url, max_retries=0, timeout=1)
        Timer(8, over.set).start()
        with pytest.raises(errors.ServerFailed, match="in time"):
            ask(path, requests_for("a"))
        over.set()
    assert time.monotonic() - begun < 6


# --- Answers that are of no use, and why


def refuse_by_finish_reason(body: dict) -> dict:
    return response_to(body, finish_reason="content_filter")


def refuse_by_message(body: dict) -> dict:
    right = response_to(body)
    right["choices"][0]["message"] = {
        "role": "assistant",
        "content": None,
        "refusal": "I cannot help with that.",
    }
    return right


def refuse_by_status(body: dict) -> dict:
    raise fail(400, "The response was filtered", code="content_filter")


def refuse_by_policy(body: dict) -> dict:
    raise fail(400, "triggering Azure OpenAI's content management policy")


def answer_nothing(body: dict) -> dict:
    right = response_to(body)
    right["choices"][0] |= {"text": " \n"} if "text" in right["choices"][0] else {}
    right["choices"][0] |= (
        {"message": {"role": "assistant", "content": None}} if "messages" in body else {}
    )
    return right


def answer_rubbish(body: dict) -> dict:
    raise Reply(200, "<html>Bad gateway</html>")


@pytest.mark.parametrize(
    ("llm", "answer", "problem"),
    [
        (LLM, refuse_by_finish_reason, "refused"),
        (CHAT, refuse_by_finish_reason, "refused"),
        (CHAT, refuse_by_message, "refused"),
        (LLM, refuse_by_status, "refused"),
        (CHAT, refuse_by_policy, "refused"),
        (LLM, answer_nothing, "empty"),
        (CHAT, answer_nothing, "empty"),
        (LLM, answer_rubbish, "malformed"),
    ],
)
def test_an_answer_of_no_use_is_kept_with_its_problem_and_not_asked_for_again(
    path: Path, served: Served, llm: Llm, answer: Callable[[dict], dict], problem: str
) -> None:
    def only_b(body: dict) -> dict:
        return answer(body) if prompts_of(body) == ["b"] else response_to(body)

    first = served(path, requests_for("abc"), only_b, llm, concurrency=1)
    sent = len(served.bodies)
    again = served(path, requests_for("abc"), only_b, llm)
    assert again == first
    assert len(served.bodies) == sent
    assert [one.problem for one in first] == [None, problem, None]
    assert first[1].text.strip() == ""
    assert first[1].response["problem"] == problem
    assert "problem" not in first[0].response
    assert [row.problem for row in kept_in(path) if row.problem] == [problem]


def test_a_request_that_does_not_fit_gets_a_fifth_fewer_tokens_each_time_and_says_so(
    path: Path, served: Served
) -> None:
    def small(body: dict) -> dict:
        if body["max_tokens"] > 50:
            raise fail(
                400,
                "This model's maximum context length is 4097 tokens, however you requested 5000",
                code="context_length_exceeded",
            )
        return response_to(body, finish_reason="length")

    first = served(path, requests_for("ab"), small, concurrency=1)
    assert [body["max_tokens"] for body in served.bodies] == [100, 80, 64, 51, 40] * 2
    assert [one.lowered_to for one in first] == [40, 40]
    assert first[0].response["max_tokens_lowered_to"] == 40
    assert first[0].cut
    again = served(path, requests_for("ab"), small)
    assert again == first
    assert len(served.bodies) == 10


def test_a_request_that_never_fits_is_kept_as_such_after_ten_times(
    path: Path, served: Served
) -> None:
    def never(body: dict) -> dict:
        if prompts_of(body) == ["b"]:
            raise fail(400, "the request exceeds the available context size", n_ctx="512")
        return response_to(body)

    first = served(path, requests_for("ab", max_tokens=1000), never, concurrency=1)
    tried = [body["max_tokens"] for body in served.bodies if body["prompt"] == "b"]
    assert tried == [1000, 800, 640, 512, 409, 327, 261, 208, 166, 132, 105]
    assert [one.problem for one in first] == [None, "over_context"]
    assert served(path, requests_for("ab", max_tokens=1000), never) == first
    assert len(served.bodies) == 12


# --- Parameters that a server does not take


def openai_says(name: str) -> str:
    return json.dumps(
        {
            "error": {
                "message": f"Unsupported parameter: '{name}' is not supported with this model.",
                "type": "invalid_request_error",
                "param": name,
                "code": "unsupported_parameter",
            }
        }
    )


def openai_argument(name: str) -> str:
    message = f"Unrecognized request argument supplied: {name}"
    return json.dumps({"error": {"message": message, "type": "x", "param": None, "code": None}})


def vllm_says(name: str) -> str:
    return json.dumps(
        {
            "object": "error",
            "message": f"[{{'type': 'value_error', 'loc': ('body', '{name}'), "
            f"'msg': 'Value error, {name} is out of range', "
            "'input': {'max_tokens': 1, 'seed': 2, 'prompt': 'THE PROMPT'}}]",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        }
    )


def pydantic_says(name: str) -> str:
    body = {"max_tokens": 1, "seed": 2, "prompt": "THE PROMPT", "model": "m", name: 5}
    return json.dumps(
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", name],
                    "msg": "Extra inputs are not permitted",
                    "input": body,
                }
            ]
        }
    )


REFUSED = ["stop", "logprobs", "seed", "presence_penalty", "frequency_penalty", "temperature"]


@pytest.mark.parametrize(
    ("says", "status"),
    [(openai_says, 400), (openai_argument, 400), (vllm_says, 400), (pydantic_says, 422)],
)
@pytest.mark.parametrize("llm", [LLM, pytest.param(CHAT, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", REFUSED)
def test_a_parameter_that_is_refused_is_named_and_can_be_left_out(
    path: Path,
    served: Served,
    name: str,
    llm: Llm,
    says: Callable[[str], str],
    status: int,
) -> None:
    sent_as = "top_logprobs" if (name, llm) == ("logprobs", CHAT) else name

    def picky(body: dict) -> dict:
        if sent_as in body:
            raise Reply(status, says(sent_as))
        return response_to(body)

    how = SAMPLING.model_copy(update={"logprobs": 2, "temperature": 0.5, "stop": [" to "]})
    requests = [Request(prompt, how, seed=7) for prompt in "ab"]
    with pytest.raises(errors.ParameterRefused, match=f"(Add|add) {name} to llm.leave_out") as why:
        served(path, requests, picky, llm)
    assert "THE PROMPT" not in str(why.value)
    assert kept_in(path) == []

    leaving_out = llm.model_copy(update={"leave_out": [name]})
    answers = served(path, requests, picky, leaving_out)
    wanted = [answer_to(prompt) + (" #7" if name != "seed" else "") for prompt in "ab"]
    if name == "stop":  # cut here, since the server was not told
        wanted = [text.partition(" to ")[0] for text in wanted]
    assert [answer.text for answer in answers] == wanted
    body = served.bodies[-1]
    every = {"stop", "seed", "presence_penalty", "frequency_penalty", "temperature", "top_p"}
    every |= {"logprobs", "top_logprobs"} if llm is CHAT else {"logprobs"}
    assert every - body.keys() == {name, sent_as} | ({"logprobs"} & {name})


def test_a_text_that_is_cut_here_ended_at_its_stop_sequence(path: Path, served: Served) -> None:
    def long(body: dict) -> dict:
        right = response_to(body, finish_reason="length")
        right["choices"][0]["text"] = "one\nTask: two\n\nthree"
        return right

    llm = LLM.model_copy(update={"leave_out": ["stop"]})
    (answer,) = served(path, requests_for("a", stop=["\n\n", "Task:"]), long, llm)
    assert (answer.text, answer.finish_reason, answer.cut) == ("one\n", "stop", False)
    # The whole of it is kept: other stop sequences cut it elsewhere, and nothing is sent.
    (other,) = served(path, requests_for("a", stop=["\n\n"]), long, llm)
    assert other.text == "one\nTask: two"
    (uncut,) = served(path, requests_for("a", stop=["never"]), long, llm)
    assert (uncut.text, uncut.cut) == ("one\nTask: two\n\nthree", True)
    assert len(served.bodies) == 1


# --- What is asked together


def samples_of(prompt: str, *samples: int, **more: Any) -> list[Request]:
    return [Request(prompt, SAMPLING, seed=100, sample=sample, **more) for sample in samples]


def test_samples_of_a_prompt_share_a_request_and_more_of_them_ask_for_the_rest_only(
    path: Path, served: Served
) -> None:
    first = served(path, samples_of("p", 0, 1, 2))
    assert [(body["n"], body["seed"]) for body in served.bodies] == [(3, 100)]
    assert [answer.text for answer in first] == [f"{answer_to('p')} #{100 + n}" for n in range(3)]
    more = served(path, samples_of("p", 4, 3, 2, 1, 0))
    assert [(body.get("n"), body["seed"]) for body in served.bodies[1:]] == [(2, 103)]
    assert more[2:] == first[::-1]
    assert [answer.text for answer in more[:2]] == [f"{answer_to('p')} #{n}" for n in (104, 103)]


def test_samples_with_a_gap_are_asked_apart(path: Path, served: Served) -> None:
    answers = served(path, samples_of("p", 0, 1, 3), concurrency=1)
    assert [(body.get("n"), body["seed"]) for body in served.bodies] == [(2, 100), (None, 103)]
    assert [answer.text for answer in answers] == [
        f"{answer_to('p')} #{n}" for n in (100, 101, 103)
    ]


def test_samples_of_several_prompts_come_in_lists_too(path: Path, served: Served) -> None:
    requests = [one for prompt in "abc" for one in samples_of(prompt, 0, 1)]
    answers = served(path, requests, prompts_per_request=2, concurrency=1)
    assert [(body["prompt"], body["n"]) for body in served.bodies] == [(["a", "b"], 2), ("c", 2)]
    assert [answer.text for answer in answers] == [
        f"{answer_to(prompt)} #{seed}" for prompt in "abc" for seed in (100, 101)
    ]


def test_samples_that_a_server_refuses_together_are_asked_one_by_one(
    path: Path, served: Served
) -> None:
    def one_only(body: dict) -> dict:
        if body.get("n", 1) > 1:
            raise fail(400, "n > 1 is not supported")
        return response_to(body)

    apart = served(path, samples_of("p", 0, 1, 2), one_only)
    together = served(path.with_name("other.sqlite"), samples_of("p", 0, 1, 2))
    assert [answer.text for answer in apart] == [f"{answer_to('p')} #{100 + n}" for n in range(3)]
    assert apart == together, "the rows would tell how they were asked"


def test_a_list_has_one_sampling_and_one_seed(path: Path, served: Served) -> None:
    """Equal ones, be they one object or several."""
    warm = SAMPLING.model_copy(update={"temperature": 0.5})
    requests = []
    for n in range(12):
        how = (SAMPLING, warm)[n % 2].model_copy()
        requests.append(Request(f"prompt {n:02}", how, seed=(1, 1, 2, 2)[n % 4]))
    answers = served(path, requests, prompts_per_request=3, concurrency=1)
    assert len(served.bodies) == 4
    for body in served.bodies:
        numbers = {int(prompt.removeprefix("prompt ")) % 4 for prompt in body["prompt"]}
        assert len(body["prompt"]) == 3
        assert len(numbers) == 1
        (number,) = numbers
        assert (body["temperature"], body["seed"]) == ((0.0, 0.5)[number % 2], (1, 1, 2, 2)[number])
    assert [answer.text for answer in answers] == [
        f"{answer_to(one.prompt)} #{one.seed}" for one in requests
    ]


def test_equal_requests_far_apart_are_sent_once(
    path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WINDOW", 4)
    count = Counter()

    def another_text_each_time(body: dict) -> dict:
        count[body["prompt"]] += 1
        right = response_to(body)
        right["choices"][0]["text"] = f"{body['prompt']} {count[body['prompt']]}"
        return right

    prompts = [f"p{n % 5}" for n in range(40)]
    answers = served(path, requests_for(prompts), another_text_each_time, concurrency=1)
    assert sorted(served.prompts) == [f"p{n}" for n in range(5)]
    assert [answer.text for answer in answers] == [f"{prompt} 1" for prompt in prompts]


def test_an_equal_request_far_apart_that_fails_is_named_once(
    path: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WINDOW", 2)

    def not_b(body: dict) -> dict:
        if prompts_of(body) == ["b"]:
            raise fail(500, "no")
        return response_to(body)

    with pytest.raises(errors.RowsFailed) as failure:
        served(path, requests_for("abacabad"), not_b, concurrency=1, max_retries=0)
    assert [one.row for one in failure.value.failed] == [2]
    assert sorted(served.prompts) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("known", [False, True])
def test_requests_are_read_no_further_ahead_than_the_open_windows(
    path: Path, served: Served, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr(engine, "WINDOW", 10)
    prompts = [f"p{n:03}" for n in range(200)]
    if known:
        served(path, requests_for(prompts))
    read = 0

    def requests() -> Iterator[Request]:
        nonlocal read
        for request in requests_for(prompts):
            read += 1
            yield request

    with serving(lambda body, headers: response_to(body)) as url:
        set_environment(monkeypatch, url)
        store = Store(path)
        with open_endpoint(LLM) as where:
            asking = engine.Engine(where, store, lambda tally: None)
            for given, answer in enumerate(asking.ask(requests())):
                assert answer.text == answer_to(prompts[given])
                # At most eight in flight, eight waiting, and what remains of the two windows.
                assert read <= min(200, (given // 10 + 1) * 10 + 8 + 8 + 10)
            asking.close()
        store.close()
    assert read == 200
