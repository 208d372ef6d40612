"""How fast a server is asked, in simulated time: the real engine, a clock that jumps, a server
that is a function. Minutes pass in seconds, and the same way every time.
"""

import asyncio
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx2
import pytest
from support.engines import (
    LLM,
    WAYS,
    answer_to,
    ask_in,
    kept_in,
    requests_for,
    response_in,
    response_to,
)
from support.simulated import Simulated, now, refusal

from seedbed.errors import SeedbedError
from seedbed.llm import engine, errors
from seedbed.llm.send import limits
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.store import Store


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    return Simulated(tmp_path / "responses.sqlite", monkeypatch)


class Metered:
    """Allows so many requests and tokens in any 60 seconds, and answers 429 beyond.

    seconds: an answer takes so long, from … to.

    A request is charged when it arrives, with all the tokens that it will come to; one that is
    refused is not charged.
    """

    def __init__(self, requests: int, tokens: int, seconds: tuple[float, float]):
        self.most = (requests, tokens)
        self.seconds = seconds
        self.most_completion = 10**6
        self.draw = random.Random(5)
        self.charged: deque[tuple[float, int]] = deque()
        self.statuses: list[tuple[float, int, int]] = []
        self.tokens = 0

    def size_of(self, body: dict) -> tuple[int, int]:
        """Prompt and completion tokens."""
        return len(body["prompt"]) // 4, self.draw.randint(
            1, min(body["max_tokens"], self.most_completion)
        )

    async def __call__(self, body: dict) -> httpx2.Response:
        await asyncio.sleep(self.draw.uniform(0.01, 0.1))
        arrived = now()
        while self.charged and self.charged[0][0] <= arrived - 60:
            self.tokens -= self.charged.popleft()[1]
        usage = self.size_of(body)
        tokens = sum(usage)
        requests_left = len(self.charged) < self.most[0]
        if not requests_left or self.tokens + tokens > self.most[1]:
            wait = self.charged[0][0] + 60 - arrived
            self.statuses.append((arrived, 429, 0))
            return refusal(retry_after=f"{wait:.3f}")
        self.charged.append((arrived, tokens))
        self.tokens += tokens
        self.statuses.append((arrived, 200, tokens))
        await asyncio.sleep(self.draw.uniform(*self.seconds))
        counted = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        return httpx2.Response(200, json=response_to(body, usage=counted))

    def used(self) -> tuple[float, float, float]:
        """Shares of the requests and tokens allowed after the first minute, and of refusals."""
        end = max(at for at, _, _ in self.statuses)
        late = [(status, tokens) for at, status, tokens in self.statuses if 60 <= at < end]
        minutes = (end - 60) / 60
        answered = [tokens for status, tokens in late if status == 200]
        refused = sum(status == 429 for _, status, _ in self.statuses)
        return (
            len(answered) / minutes / self.most[0],
            sum(answered) / minutes / self.most[1],
            refused / len(self.statuses),
        )


def prompts_of_many_lengths(count: int, mean: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [f"{n:05} ".ljust(int(mean * draw.uniform(0.4, 1.6)), "x") for n in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "letters", "max_tokens", "seconds"),
    [
        # 100 + 150 tokens: requests are scarce
        (3000, 400, 300, (0.5, 5)),
        # 200 + 100: exactly what is allowed, for ten minutes, and half a minute for an answer
        (6000, 800, 200, (10, 40)),
        # 400 + 200: tokens are scarce, and for half as many requests as are allowed
        (1500, 1600, 400, (0.5, 5)),
        # 200 of 2000 tokens asked for: what a request will come to must be learnt
        (2400, 800, 4000, (0.5, 5)),
    ],
)
def test_what_a_server_allows_a_minute_is_used_and_not_exceeded(
    simulated: Simulated, count: int, letters: int, max_tokens: int, seconds: tuple[float, float]
) -> None:
    server = Metered(600, 180_000, seconds)
    if max_tokens == 4000:
        server.most_completion = 200
    allowed = {"requests_per_minute": 600, "tokens_per_minute": 180_000, "concurrency": 600}
    prompts = prompts_of_many_lengths(count, letters)
    simulated(prompts, server, max_tokens=max_tokens, **allowed)
    requests, tokens, refused = server.used()
    print(f"{requests:.2%} of the requests, {tokens:.2%} of the tokens, {refused:.3%} refused")
    assert max(requests, tokens) >= 0.95
    assert refused <= 0.005


class Overloaded:
    """Takes `most` at once, for a second each, and answers 429 to the others."""

    def __init__(self, most: int, recovers_at: float = float("inf"), **headers: str):
        self.most, self.recovers_at, self.headers = most, recovers_at, headers
        self.in_flight = 0
        self.arrived: list[tuple[float, int, int]] = []

    async def __call__(self, body: dict) -> httpx2.Response:
        full = self.in_flight >= self.most and now() < self.recovers_at
        self.arrived.append((now(), 429 if full else 200, self.in_flight + 1))
        if full:
            await asyncio.sleep(0.01)
            return refusal(**self.headers)
        self.in_flight += 1
        await asyncio.sleep(1)
        self.in_flight -= 1
        return httpx2.Response(200, json=response_to(body))


def test_a_server_that_takes_ten_at_once_is_asked_about_ten_at_once(simulated: Simulated) -> None:
    server = Overloaded(10)
    simulated([f"p{n}" for n in range(1000)], server, concurrency=64)
    settled = [status for at, status, _ in server.arrived if at > 20]
    assert settled.count(429) / len(settled) < 0.1
    assert server.arrived[-1][0] < 1000 / 10 / 0.7, "most of what it can do is used"


@pytest.mark.slow
def test_a_server_that_recovers_is_asked_more_and_more_again(simulated: Simulated) -> None:
    server = Overloaded(10, recovers_at=60)
    simulated([f"p{n}" for n in range(4000)], server, concurrency=64)
    most: Counter[int] = Counter()
    for at, _, in_flight in server.arrived:
        most[int(at) // 10] = max(most[int(at) // 10], in_flight)
    assert most[5] <= 12
    assert most[6] < most[8] < most[10] < most[11]
    assert max(most.values()) == 64


def in_seconds(seconds: int) -> str:
    return str(seconds)


def as_a_date(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("form", [in_seconds, as_a_date])
@pytest.mark.parametrize("status", [429, 503, 500])
def test_nothing_is_sent_before_the_end_of_a_retry_after(
    simulated: Simulated, form: Callable[[int], str], status: int
) -> None:
    arrived: list[float] = []
    asked_to_wait_at = 0.0

    async def answer(body: dict) -> httpx2.Response:
        nonlocal asked_to_wait_at
        arrived.append(now())
        if len(arrived) == 30:
            asked_to_wait_at = now()
            return refusal(status, retry_after=form(40))
        await asyncio.sleep(random.Random(len(arrived)).uniform(0.5, 1.5))
        return httpx2.Response(200, json=response_to(body))

    simulated([f"p{n}" for n in range(100)], answer, concurrency=8)
    later = [at for at in arrived if at > asked_to_wait_at]
    assert len(later) >= 60
    assert 38 <= min(later) - asked_to_wait_at <= 41
    assert sum(at < min(later) + 0.1 for at in later) > 1, "then all may go on, not only the one"


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_asks_to_wait_is_waited_for_whatever_is_asked(
    simulated: Simulated, way: str
) -> None:
    """And what it says that it allows a minute is kept to."""
    arrived: list[float] = []

    async def answer(body: dict) -> httpx2.Response:
        arrived.append(now())
        if len(arrived) == 3:
            return refusal(retry_after="40")
        return httpx2.Response(200, json=response_in(way, body))

    simulated.set_up(answer, requests_per_minute=60, concurrency=8, max_retries=0)
    ask_in(way, simulated.path, [f"t{n}" for n in range(20)])
    assert len(arrived) == 21
    assert arrived[3] - arrived[2] >= 40
    steps = [later - earlier for earlier, later in itertools.pairwise(arrived[3:])]
    assert all(step >= 0.99 for step in steps[1:])


def test_a_wait_longer_than_our_patience_stops_the_run_and_says_so(simulated: Simulated) -> None:
    sent = 0

    async def answer(body: dict) -> httpx2.Response:
        nonlocal sent
        sent += 1
        if sent == 10:
            return refusal(message="come back tomorrow", retry_after="86400")
        await asyncio.sleep(1)
        return httpx2.Response(200, json=response_to(body))

    with pytest.raises(
        errors.ServerFailed,
        match=r"wait 86400 s \(more than SEEDBED_PATIENCE=300\): HTTP 429: come back tomorrow",
    ):
        simulated([f"p{n}" for n in range(100)], answer, concurrency=4)
    assert len(kept_in(simulated.path)) == sent - 1, "what was in flight is kept too"


@pytest.mark.slow
@pytest.mark.parametrize("good", [0, 50])
@pytest.mark.parametrize("status", [429, 500])
def test_a_run_in_which_nothing_succeeds_any_more_stops_and_says_why(
    simulated: Simulated, good: int, status: int
) -> None:
    sent: list[float] = []

    async def answer(body: dict) -> httpx2.Response:
        sent.append(now())
        await asyncio.sleep(1)
        if len(sent) > good:
            return refusal(status, message="I am so tired")
        return httpx2.Response(200, json=response_to(body))

    prompts = [f"p{n:03}" for n in range(300)]
    with pytest.raises(SeedbedError, match=f"HTTP {status}: I am so tired") as failure:
        simulated(prompts, answer, concurrency=4, patience=100, max_retries=30)
    assert isinstance(failure.value, errors.ServerFailed)
    assert "run the same command again" in str(failure.value)
    assert 95 < sent[-1] - good / 4 < 140
    kept = len(kept_in(simulated.path))
    assert good - 4 <= kept <= good

    before = len(sent)
    good = 10**6
    simulated(prompts, answer, concurrency=4)
    assert len(sent) - before == 300 - kept


def test_a_server_that_is_away_for_a_minute_is_waited_for(simulated: Simulated) -> None:
    arrived: list[float] = []

    async def answer(body: dict) -> httpx2.Response:
        arrived.append(now())
        if 20 < now() < 80:
            raise httpx2.ConnectError("nobody listens there")
        await asyncio.sleep(1)
        return httpx2.Response(200, json=response_to(body))

    simulated([f"p{n}" for n in range(400)], answer, concurrency=8, max_retries=0)
    assert 400 / 8 + 60 <= arrived[-1] <= 400 / 8 + 60 + 45


def test_the_time_that_the_stage_takes_for_itself_is_not_the_servers_fault(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two windows the stage may work for longer than our patience."""
    monkeypatch.setattr(engine, "WINDOW", 10)
    sent: Counter[str] = Counter()
    tries: Counter[str] = Counter()

    async def answer(body: dict) -> httpx2.Response:
        sent[body["prompt"]] += 1
        tries["all"] += 1
        number = tries["all"]
        await asyncio.sleep(random.Random(number).uniform(1, 20))
        if number % 10 == 0:
            sent[body["prompt"]] -= 1
            return refusal(500)
        return httpx2.Response(200, json=response_to(body))

    simulated.set_up(answer, concurrency=4)
    prompts = [f"p{n}" for n in range(60)]
    store = Store(simulated.path)
    with open_endpoint(LLM) as endpoint:
        asking = engine.Engine(endpoint, store, lambda tally: None)
        texts = []
        for one in asking.ask(requests_for(prompts)):
            texts.append(one.text)
            asking._runner.get_loop().clock.now += 100  # type: ignore[attr-defined]
        asking.close()
    store.close()
    assert texts == [answer_to(prompt) for prompt in prompts]
    assert set(sent.values()) == {1}, "an answer was not waited for"


def test_one_request_that_hangs_for_longer_than_our_patience_does_not_end_the_run(
    simulated: Simulated,
) -> None:
    sent: Counter[str] = Counter()

    async def answer(body: dict) -> httpx2.Response:
        sent[body["prompt"]] += 1
        hangs = body["prompt"] == "p7" and sent["p7"] == 1
        await asyncio.sleep(10_000 if hangs else 10)
        return httpx2.Response(200, json=response_to(body))

    simulated([f"p{n}" for n in range(400)], answer, concurrency=4, timeout=600, patience=60)
    assert sent["p7"] == 2


def test_a_short_wait_ends() -> None:
    """Even one that is shorter than the clock's last digit."""
    for per_minute in range(1, 3000, 7):
        pace, at = limits.Pace(per_minute), 1e6
        for _ in range(20):
            while wait := pace.wait(at):
                assert at + wait > at
                at += wait
            pace.take(1)


def test_pauses_double_up_to_the_last_however_often_it_is_tried() -> None:
    assert [limits.pause_before(attempt) for attempt in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert limits.pause_before(7) == limits.pause_before(10**9) == limits.LAST_PAUSE
