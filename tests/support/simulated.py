"""The real engine in simulated time: a clock that jumps, and servers that are functions.

Minutes pass in seconds, and the same way every time.
"""

import asyncio
import json
import selectors
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from seedbed.llm.send import client
from support.engines import answer_to, ask, requests_for, set_environment

RUNNER = asyncio.Runner


class Jumping(selectors.DefaultSelector):
    """Does not wait until the next timer, but puts the clock forward.

    Real threads (the store's commits) are waited for in real time; the clock stands meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if self.threads or timeout is None:
            return super().select(None if timeout is None else min(timeout, 0.001))
        events = super().select(0)
        if not events and timeout > 0:
            self.now += timeout
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = Jumping()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now

    def run_in_executor(self, *arguments: Any) -> Any:
        self.clock.threads += 1
        future = super().run_in_executor(*arguments)

        def over(_: object) -> None:
            self.clock.threads -= 1

        future.add_done_callback(over)
        return future


Answer = Callable[[dict], Awaitable[httpx2.Response]]


class Transport(httpx2.AsyncBaseTransport):
    """answer: to what is asked; models: those that the server names, None if it names none."""

    def __init__(self, answer: Answer, models: list[str] | None = None):
        self._answer = answer
        self._models = models

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            response = self._listed()
        else:
            response = await self._answer(json.loads(request.content))
        response.request = request
        return response

    def _listed(self) -> httpx2.Response:
        if self._models is None:
            return httpx2.Response(404, json={})
        data = [{"id": name, "object": "model"} for name in self._models]
        return httpx2.Response(200, json={"object": "list", "data": data})


class Simulated:
    """Runs the engine in simulated time."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch):
        self.path = path
        self._monkeypatch = monkeypatch
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def set_up(self, answer: Answer, **variables: object) -> None:
        self.set_up_several({"http://server.invalid/v1": Transport(answer)}, **variables)

    def set_up_several(
        self, servers: Mapping[str, httpx2.AsyncBaseTransport], **variables: object
    ) -> None:
        """servers: by address."""
        set_environment(self._monkeypatch, " ".join(servers), **variables)
        runner = partial(RUNNER, loop_factory=SimulatedLoop)
        self._monkeypatch.setattr(asyncio, "Runner", runner)
        self._monkeypatch.setattr(client, "Transport", lambda url, *_, **__: servers[url])

    def __call__(
        self, prompts: list[str], answer: Answer, max_tokens: int = 100, **variables: object
    ) -> None:
        self.set_up(answer, **variables)
        answers = ask(self.path, requests_for(prompts, max_tokens=max_tokens))
        assert [one.text for one in answers] == [answer_to(prompt) for prompt in prompts]


def now() -> float:
    return asyncio.get_running_loop().time()


def refusal(status: int = 429, message: str = "slow down", **headers: str) -> httpx2.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json={"error": {"message": message}}, headers=names)
