"""A run costs no more than its budget, whatever the server does, and says what it stopped at."""

import json
import random
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from threading import Lock

import pytest
from support.engines import (
    CHAT,
    LLM,
    WAYS,
    answer_to,
    ask,
    ask_in,
    kept_in,
    prompts_of,
    requests_for,
    response_in,
    response_to,
    set_environment,
)
from support.params import SAMPLING
from support.server import Cut, Reply, serving

from seedbed.llm import engine, errors
from seedbed.llm.contract.request import Request
from seedbed.llm.params import Llm, Price
from seedbed.llm.send import limits

PRICED = LLM.model_copy(update={"prices": [Price(model="served-model", input=200, output=800)]})
PROMPTS = [f"prompt {n:03} ".ljust(20 + n % 50, "x") for n in range(300)]
MAX_TOKENS = 100
# What a single request may come to: 70 letters and 64, and its completion.
DEAREST = 70 + 64 + MAX_TOKENS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.sqlite"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "LAST_PAUSE", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Till:
    """A server that charges for every request: a token for two letters, and what it writes.

    says: whether an answer says what it came to.
    fault: what may befall an answer that has been charged for.
    """

    def __init__(self, says: bool = True, fault: Callable[[dict], Exception] | None = None):
        self.says, self.fault = says, fault
        self.tokens = 0
        self.dollars = 0.0
        self.bodies: list[dict] = []
        self._draw = random.Random(3)
        self._lock = Lock()

    def __call__(self, body: dict, headers: Message) -> dict:
        letters = sum(len(prompt.encode()) for prompt in prompts_of(body))
        letters += sum(len(one["content"]) for one in body.get("messages", [])[:-1])
        samples = body.get("n", 1) * len(prompts_of(body))
        with self._lock:
            self.bodies.append(body)
            written = sum(self._draw.randint(1, body["max_tokens"]) for _ in range(samples))
            fails = self.fault is not None and self._draw.random() < 0.3
            self.tokens += letters // 2 + written
            self.dollars += (letters // 2 * 200 + written * 800) / 1e6
        usage = {"prompt_tokens": letters // 2, "completion_tokens": written}
        right = response_to(body, usage=usage if self.says else None)
        if fails and self.fault:
            raise self.fault(right)
        return right


def until_it_stops(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    till: Till,
    requests: list[Request],
    llm: Llm = LLM,
    **variables: object,
) -> str:
    with serving(till) as url:
        set_environment(monkeypatch, url, **variables)
        with pytest.raises(errors.BudgetReached) as failure:
            ask(path, requests, llm)
    return str(failure.value)


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("budget", [0, 1000, 5000, 12_345])
def test_tokens_stay_within_the_budget_and_use_it_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, budget: int, concurrency: int
) -> None:
    till = Till()
    said = until_it_stops(
        path,
        monkeypatch,
        till,
        requests_for(PROMPTS),
        budget_tokens=budget,
        concurrency=concurrency,
    )
    assert budget - DEAREST < till.tokens <= budget
    assert f"SEEDBED_BUDGET_TOKENS={budget}: {till.tokens} used" in said
    assert "run the same command to go on" in said
    assert len(kept_in(path)) == len(till.bodies), "what was paid for is kept"


@pytest.mark.parametrize("budget", [0.5, 2.0])
def test_dollars_stay_within_the_budget_and_use_it_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, budget: float
) -> None:
    till = Till()
    requests = requests_for(PROMPTS)
    said = until_it_stops(path, monkeypatch, till, requests, PRICED, budget_usd=budget)
    dearest = ((70 + 64) * 200 + MAX_TOKENS * 800) / 1e6
    assert budget - dearest < till.dollars <= budget
    assert f"SEEDBED_BUDGET_USD={budget:g}: ${till.dollars:.6f} spent" in said


def test_the_narrower_of_two_budgets_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    till = Till()
    both = {"budget_usd": 1000, "budget_tokens": 3000}
    until_it_stops(path, monkeypatch, till, requests_for(PROMPTS), PRICED, **both)
    assert 3000 - DEAREST < till.tokens <= 3000


@pytest.mark.parametrize(
    ("requests", "llm", "variables"),
    [
        (requests_for(PROMPTS), LLM, {"prompts_per_request": 5}),
        (
            [Request(prompt, SAMPLING, 1, sample) for prompt in PROMPTS for sample in range(4)],
            LLM,
            {},
        ),
        (requests_for(PROMPTS), CHAT.model_copy(update={"system": "Be brief. " * 400}), {}),
    ],
    ids=["lists", "samples", "a long system message"],
)
@pytest.mark.parametrize("says", [True, False])
def test_the_budget_holds_however_it_is_asked(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    requests: list[Request],
    llm: Llm,
    variables: dict[str, object],
    says: bool,
) -> None:
    till = Till(says)
    until_it_stops(path, monkeypatch, till, requests, llm, budget_tokens=12_000, **variables)
    assert 3000 < till.tokens <= 12_000


FAULTS: dict[str, Callable[[dict], Exception]] = {
    "cut": lambda right: Cut(),
    "half": lambda right: Cut('{"id": "x", "choices": ['),
    "not JSON": lambda right: Reply(200, "<html>"),
    "no choices, but a bill": lambda right: Reply(200, json.dumps(right | {"choices": []})),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_budget_holds_if_what_was_charged_for_does_not_arrive(
    path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    till = Till(fault=FAULTS[fault])
    until_it_stops(
        path, monkeypatch, till, requests_for(PROMPTS), budget_tokens=8000, max_retries=9
    )
    assert 4000 < till.tokens <= 8000


@pytest.mark.parametrize("way", WAYS)
def test_the_budget_holds_whatever_is_asked(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Each request comes to 15 tokens, and may come to more."""
    asked: list[dict] = []

    def answer(body: dict, headers: Message) -> dict:
        asked.append(body)
        return response_in(way, body)

    texts = [f"t{n:03}" for n in range(100)]
    with serving(answer) as url:
        set_environment(monkeypatch, url, budget_tokens=500, concurrency=4)
        with pytest.raises(errors.BudgetReached, match=r"500: (\d+) used"):
            ask_in(way, path, texts)
        assert 500 - DEAREST < 15 * len(asked) <= 500
        assert len(kept_in(path)) == len(asked), "what was paid for is kept"
        # The account is the run's: who asks otherwise has nothing left either.
        before = len(asked)
        monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", str(15 * before))
        with pytest.raises(errors.BudgetReached, match=f"{15 * before} used"):
            ask_in(way, path, ["another"])
    assert len(asked) == before


def test_one_budget_is_for_all_stages_of_a_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    till = Till()
    with serving(till) as url:
        set_environment(monkeypatch, url, budget_tokens=8000)
        ask(path, requests_for(PROMPTS[:30]))
        first = till.tokens
        with pytest.raises(errors.BudgetReached, match=r"8000: \d+ used"):
            ask(path, requests_for(PROMPTS[30:]))
    assert 0 < first < 8000 - DEAREST < till.tokens <= 8000


def test_another_run_has_a_budget_of_its_own_and_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    till = Till()
    with serving(till) as url:
        set_environment(monkeypatch, url, budget_tokens=8000)
        runs = 0
        while True:
            runs += 1
            monkeypatch.setattr(engine, "run_of_this_process", lambda: f"run {runs}")  # noqa: B023
            before = till.tokens
            try:
                answers = ask(path, requests_for(PROMPTS))
                break
            except errors.BudgetReached:
                assert 8000 - DEAREST < till.tokens - before <= 8000
    assert runs == till.tokens // 8000 + 1
    assert [answer.text for answer in answers] == [answer_to(prompt) for prompt in PROMPTS]
    assert sorted(body["prompt"] for body in till.bodies) == sorted(PROMPTS), "paid for twice"


def test_what_is_reused_costs_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    till = Till()
    with serving(till) as url:
        set_environment(monkeypatch, url)
        first = ask(path, requests_for(PROMPTS))
        monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", "0")
        assert ask(path, requests_for(PROMPTS)) == first


def test_a_budget_in_dollars_needs_a_price(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, "http://server.invalid/v1", budget_usd=5)
    with pytest.raises(errors.NoPrice, match="no price for 'served-model'"):
        ask(path, requests_for(["a"]))


@pytest.mark.parametrize("value", ["-1", "five", "inf", "nan"])
def test_a_budget_that_is_none_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    set_environment(monkeypatch, "http://server.invalid/v1", budget_usd=value)
    with pytest.raises(errors.BadEnvironment, match="SEEDBED_BUDGET_USD"):
        ask(path, requests_for(["a"]), PRICED)
