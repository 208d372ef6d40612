"""One endpoint, and what a request to it needs, whatever it asks: a way there, a turn, an account.

Who asks for completions, for scores or for numbers of tokens says what is to be sent (`attempt`,
or `insist` until it succeeds); that it is within the budget and the limits, how long a server that
is busy or away is waited for, the store and the log are seen to here.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from seedbed.llm import errors
from seedbed.llm.redaction import without_prompt
from seedbed.llm.send.ledger import Ledger
from seedbed.llm.send.limits import Limits, Turn, pause_before
from seedbed.llm.send.setback import Setback
from seedbed.llm.send.slot import Slot
from seedbed.llm.send.work import Read, Tokens
from seedbed.llm.serve.endpoint import Endpoint
from seedbed.llm.store.rows import Kept

Item = TypeVar("Item")


@dataclass
class Asking:
    """What is asked, and how often that was tried.

    key: of the (first) answer in the store; answers: so many are asked for.
    prompts: what the log must not repeat.
    most: the tokens that it can come to.
    failed: tries that failed through no fault of the traffic, out of all that were `sent`.
    """

    key: str
    prompts: Sequence[str]
    most: Tokens
    answers: int = 1
    sent: int = 0
    failed: int = 0


class Session:
    """Made when something has to be sent: it starts the embedded server.

    model: the endpoint's identity, as the store has it.
    slot: by way of which the embedded server is asked; None for another one.
    answered: whether anything was answered yet.
    sessions: one a server, as a `seedbed.llm.send.fleet.Fleet` has them; here itself.
    """

    def __init__(self, endpoint: Endpoint, model: str, ledger: Ledger):
        self.endpoint = endpoint
        self.model = model
        self.ledger = ledger
        # The client takes most of a second to import, and a run that the store answers needs none.
        from seedbed.llm.send.client import Client

        self.client = Client(endpoint)
        self.slot = Slot.at(endpoint, self.client)
        self.limits = Limits(endpoint.concurrency, endpoint.per_minute, endpoint.tokens_per_minute)
        self.answered = False
        self.sessions: tuple[Session, ...] = (self,)
        self._failing_since: float | None = None
        self._left_at = 0.0

    async def close(self) -> None:
        await self.client.close()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While the event loop runs. What passes between is the stage's own time, and no fault of
        the server's."""
        clock = asyncio.get_running_loop().time
        away = clock() - self._left_at
        self.client.grant(away)
        if self._failing_since is not None:
            self._failing_since += away
        try:
            yield
        finally:
            self._left_at = clock()

    async def attempt(self, asking: Asking, send: Callable[[], Awaitable[Read]]) -> list[Kept]:
        """Send a request once, when it is its turn; gives the rows that the store then has.

        Raises:
            Setback: it was not answered.
            SeedbedError: what ends the run.
        """
        prompt_tokens, completion_tokens = asking.most
        async with self.ledger.afford(*asking.most):
            turn: Turn | None = None
            try:
                async with self.limits.turn(prompt_tokens // 4 + completion_tokens) as turn:
                    self.ledger.go_on()
                    asking.sent += 1
                    came = await send()
            except Setback as setback:
                assert turn is not None
                await self._failed(asking, setback, turn)
                raise
            self._succeeded(asking, came.usage, turn)
            paid = came.usage or asking.most
            return await self.ledger.enter(came.rows, paid, came.usage or (0, 0))

    async def insist(
        self, asking: Asking, send: Callable[[], Awaitable[Read]], by_slot: bool = False
    ) -> list[Kept]:
        """The same until it is answered, as long as that makes sense.

        Args:
            by_slot: whether it is sent by way of the slot, which then knows what the cache holds.

        Raises:
            Setback: the last one, or one that another try would not change.
            SeedbedError: what ends the run.
        """

        async def alone() -> Read:
            if self.slot and not by_slot:
                self.slot.forget()  # what it sends leaves another prompt in the cache
            return await send()

        while True:
            try:
                return await self.attempt(asking, alone)
            except Setback as setback:
                if not setback.passes or asking.failed > self.endpoint.retries:
                    raise
                await asyncio.sleep(self.pause(asking, setback))

    async def each(
        self,
        items: Iterable[Item],
        do: Callable[["Session", Item], Awaitable[None]],
        prompt: Callable[[Item], str] = lambda item: "",
    ) -> None:
        """Do something with each of the items here, as many at once as may be in flight.

        prompt: what of an item is sent, where there are several servers to choose from.

        Raises:
            Exception: what it raised first; no other was begun after that, and those that were
                came to their end.
        """
        queue = iter(items)
        failures: list[Exception] = []

        async def work() -> None:
            for item in queue:
                if failures:
                    return
                try:
                    await do(self, item)
                except Exception as failure:
                    failures.append(failure)

        async with asyncio.TaskGroup() as workers:
            for _ in range(self.endpoint.concurrency):
                workers.create_task(work())
        if failures:
            raise failures[0]

    def places(self, server: int) -> int:
        """How many may be at work for it. server: as there is one, 0."""
        return self.endpoint.concurrency

    async def ready(self, server: int) -> bool:
        return True

    def failed(self, server: int, setback: Setback) -> None:
        raise AssertionError("one server is tried again by whoever asked it")

    def away(self, server: int) -> float:
        return 0.0

    def waits_for(self, setback: Setback) -> bool:
        """Whether it is the traffic's fault, and tried again as long as our patience lasts."""
        return setback.kind == "busy" or (setback.kind == "absent" and self.answered)

    def pause(self, asking: Asking, setback: Setback) -> float:
        """Seconds to wait before the next try.

        Raises:
            ServerFailed: nothing has succeeded for too long, or will not for too long.
        """
        patience, now = self.endpoint.patience, asyncio.get_running_loop().time()
        wait = setback.retry_after or 0.0
        if self._failing_since is None:
            # Not since it was sent: others may have been answered while it hung.
            self._failing_since = now
        since = now - self._failing_since
        if wait > patience or since > patience:
            said = f"{setback.status_or_kind}: {setback.said}"
            raise errors.ServerFailed(
                self.endpoint.address,
                f"it asks to wait {wait:.0f} s (more than SEEDBED_PATIENCE={patience}): {said}"
                if wait > patience
                else f"nothing has succeeded for {since:.0f} s (SEEDBED_PATIENCE): {said}",
            )
        waits = self.waits_for(setback)
        if waits and setback.retry_after is not None:
            return 0.0  # nobody goes before
        return pause_before(asking.sent if waits else asking.failed) * random.uniform(0.5, 1.0)

    def _succeeded(self, asking: Asking, usage: Tokens | None, turn: Turn) -> None:
        self._failing_since = None
        self.answered = True
        self.limits.went_well()
        self.limits.counted(turn, sum(usage or asking.most))
        self._show_pace()
        self._note(asking, turn, "200", usage)

    async def _failed(self, asking: Asking, setback: Setback, turn: Turn) -> None:
        if setback.may_be_charged and self.ledger.budget.limited:
            await self.ledger.enter([], setback.usage or asking.most)
        if setback.slow or setback.retry_after is not None:
            self.limits.slow_down(turn, setback.retry_after)
            self._show_pace()
        # A storm of refusals repeats itself; its beginning is enough.
        said = setback.said[:80] if setback.kind == "busy" else setback.said
        self._note(asking, turn, setback.status_or_kind, None, said)
        if setback.kind in ("broke", "absent") and not self.waits_for(setback):
            asking.failed += 1

    def _show_pace(self) -> None:
        allowed = int(self.limits.allowed)
        slowed = allowed < self.limits.concurrency
        self.ledger.book.tally.note = f"slowed to {allowed} at once" if slowed else None

    def _note(
        self, asking: Asking, turn: Turn, status: str, usage: Tokens | None, said: str | None = None
    ) -> None:
        self.ledger.note(
            asking.key,
            status,
            usage,
            seconds=round(asyncio.get_running_loop().time() - turn.began, 3),
            tries=asking.sent,
            answers=asking.answers,
            said=None if said is None else without_prompt(said, asking.prompts),
        )
