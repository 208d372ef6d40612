"""Sends what is missing, many requests at a time, and keeps each answer as it arrives.

A worker takes a call, waits for its turn, sends it, waits until the answer is in the store, and
takes the next: so a run that is killed has to send again at most what was in flight. What is to be
sent is claimed first, so that several processes at the same work do not send it twice.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.budget import Budget, cost, most_tokens
from seedbed.llm.contract.wire import MalformedBody, Problem, body_for, problem_body, usage_in
from seedbed.llm.redaction import redact, without_key, without_prompt
from seedbed.llm.send.client import MALFORMED, PATHS, Client, Setback, malformed
from seedbed.llm.send.limits import Limits, Turn, pause_before
from seedbed.llm.send.slot import Slot
from seedbed.llm.send.work import Book, Call, Wanted, Window, group, keep, read
from seedbed.llm.serve.endpoint import Endpoint
from seedbed.llm.store.runlog import RunLog
from seedbed.llm.store.store import Kept, Spent, Store

# A request that does not fit the context is asked with a fifth fewer tokens (as the authors of
# Self-Instruct do), so often: that is a tenth of what was asked for.
LOWER, TIMES = 0.8, 10
# So many requests may fail before the first answer: then it is the server, not the request.
HOPELESS = 3
# So many requests in a row may fail while others are under way.
MANY = 100
# Seconds between two looks at what other processes have claimed.
LOOK_EVERY = 0.5


@dataclass
class Attempts:
    """How often a call was sent, and how often that failed through no fault of the traffic."""

    sent: int = 0
    failed: int = 0
    lowered: int = 0
    renamed: bool = False
    max_tokens: int = 0


class Sender:
    """Workers on one endpoint.

    retries: times that a request which fails is tried again. That the server is busy or has gone
        away does not count: such a request is tried until nothing has succeeded for `patience`
        seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        store: Store,
        book: Book,
        log: RunLog,
        budget: Budget,
        model: str,
    ):
        self._endpoint = endpoint
        self._store = store
        self._book = book
        self._log = log
        self.budget = budget
        self._model = model
        self._limits = Limits(endpoint.concurrency, endpoint.per_minute, endpoint.tokens_per_minute)
        self._client = Client(endpoint)
        self._slot = Slot.at(endpoint, self._client)
        self._todo: deque[Call] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._paid = asyncio.Event()
        self._fatal: BaseException | None = None
        self._answered = False
        self._failed = 0
        self._failed_in_a_row = 0
        # Whether the server calls max_tokens max_completion_tokens, as OpenAI's newer models do.
        self._renamed = False
        self._failing_since: float | None = None
        self._left_at = 0.0
        # What other processes have claimed, and who looks for their answers.
        self._theirs: list[Call] = []
        self._looking: asyncio.Task[None] | None = None
        # Whether the server may take several prompts, or samples, in one request; whether it did.
        self._together = not endpoint.embedded
        self._together_worked = False
        self._pending: list[tuple[Sequence[Kept], Spent, asyncio.Future[None]]] = []
        self._committer: asyncio.Task[None] | None = None

    def lend_client(self) -> Client:
        """The client, for requests of another kind: they leave another prompt in the cache."""
        if self._slot:
            self._slot.forget()
        return self._client

    def add(self, wanted: Sequence[Wanted]) -> None:
        per_call = self._endpoint.prompts_per_request if self._together else 1
        self._claim(group(wanted, per_call, samples=self._together))

    @property
    def waiting(self) -> int:
        """Calls that no worker has taken yet."""
        return len(self._todo)

    async def start(self) -> None:
        """Send the first of what is to be sent, while more is being looked up."""
        self._come_back()
        self._hire()
        await asyncio.sleep(0)
        self._left_at = asyncio.get_running_loop().time()

    def _come_back(self) -> None:
        """The time since the last call was the stage's own, and is no fault of the server's."""
        away = asyncio.get_running_loop().time() - self._left_at
        self._client.grant(away)
        if self._failing_since is not None:
            self._failing_since += away

    def _hire(self) -> None:
        room = self._endpoint.concurrency - len(self._workers)
        for _ in range(min(room, len(self._todo))):
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        if self._theirs and self._looking is None:
            self._looking = asyncio.create_task(self._look())

    async def finish(self, window: Window) -> None:
        """Until every request of the window is answered or has failed. Later ones go on too.

        Raises:
            SeedbedError: what ends the run; what was answered before is kept.
        """
        self._come_back()
        while window.open and self._fatal is None:
            self._hire()
            self._wake.clear()
            await self._wake.wait()
        self._left_at = asyncio.get_running_loop().time()
        if self._fatal is not None:
            raise self._fatal

    async def wind_up(self, seconds: float) -> None:
        """Let what is in flight finish, for so long, and drop the rest."""
        self._todo.clear()
        self._end(asyncio.CancelledError())
        if self._looking:
            self._looking.cancel()
        end = asyncio.get_running_loop().time() + seconds
        while self._workers and (self._limits.in_flight or self._pending or self._committer):
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.02)
        for worker in self._workers:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)
        if self._committer:
            await self._committer

    async def close(self) -> None:
        await self._client.close()

    async def _work(self) -> None:
        try:
            while self._todo and self._fatal is None:
                await self._handle(self._todo.popleft())
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._end(error)
        finally:
            self._wake.set()

    def _end(self, error: BaseException) -> None:
        self._fatal = self._fatal or error
        self._wake.set()
        self._paid.set()

    async def _handle(self, call: Call) -> None:
        if self._store.claims_lapsed:
            calls, self._todo = [call, *self._todo], deque()
            self._claim(calls)
            return
        attempts = Attempts(max_tokens=call.first.request.sampling.max_tokens)
        while self._fatal is None:
            pause = await self._attempt(call, attempts)
            if pause is None:
                return
            if pause:
                await asyncio.sleep(pause)

    async def _attempt(self, call: Call, attempts: Attempts) -> float | None:
        """Send the call once; gives the seconds to wait before the next try, None if it is over."""
        system = self._endpoint.llm.system
        prompt_tokens = sum(most_tokens(prompt, system) for prompt in call.prompts)
        most = prompt_tokens, attempts.max_tokens * call.size
        if not await self._afford(*most):
            return None
        turn: Turn | None = None
        try:
            guess = (most[0] // 4) + most[1]
            async with self._limits.turn(guess) as turn:
                if self._fatal is not None:
                    return None
                attempts.sent += 1
                body = await self._post(call, attempts.max_tokens)
            try:
                shared = self._endpoint.prompts_per_request > 1
                found = read(call, self._model, body, attempts.max_tokens, shared)
            except MalformedBody as problem:
                raise malformed(str(problem), body, usage_in(body)) from None
            self._failing_since = None
            self._failed_in_a_row = 0
            self._answered = True
            self._together_worked |= call.size > 1
            self._limits.went_well()
            self._count(found.usage, turn, most)
            self._note(call, attempts, turn, "200", found.usage)
            await self._settle(call, found.rows, found.usage or most)
            return None
        except Setback as setback:
            assert turn is not None
            if setback.may_be_charged and self.budget.limited:
                await self._commit([], self._price_of(setback.usage or most))
            return await self._after(setback, call, attempts, turn)
        finally:
            self.budget.release(*most)
            self._paid.set()

    async def _afford(self, prompt_tokens: int, completion_tokens: int) -> bool:
        """Wait until the budget has room for a request; False if it never will."""
        while not self.budget.reserve(prompt_tokens, completion_tokens):
            if self.budget.idle:
                self._end(self.budget.exceeded(prompt_tokens, completion_tokens))
            if self._fatal is not None:
                return False
            # What is in flight may turn out cheaper than was set aside for it.
            self._paid.clear()
            await self._paid.wait()
        return True

    async def _post(self, call: Call, max_tokens: int) -> str:
        request, llm = call.first.request, self._endpoint.llm
        body = body_for(
            llm.api,
            self._endpoint.model,
            llm.system,
            call.prompts,
            request,
            max_tokens,
            call.samples,
            llm.leave_out,
            self._endpoint.say_none,
        )
        if self._slot:
            return await self._slot.ask(body, request.prefixes)
        if self._renamed:
            body["max_completion_tokens"] = body.pop("max_tokens")
        return await self._client.post(PATHS[llm.api], body)

    async def _after(
        self, setback: Setback, call: Call, attempts: Attempts, turn: Turn
    ) -> float | None:
        """What to do about a request that was not answered; gives what `_attempt` does."""
        if setback.slow or setback.retry_after is not None:
            self._limits.slow_down(turn, setback.retry_after)
            self._show_pace()
        # A storm of refusals repeats itself; its beginning is enough.
        said = setback.said[:80] if setback.kind == "busy" else setback.said
        self._note(call, attempts, turn, setback.status_or_kind, None, said)
        if "max_completion_tokens" in setback.said and not attempts.renamed:
            attempts.renamed = self._renamed = True
            return 0.0
        waits = setback.kind == "busy" or (setback.kind == "absent" and self._answered)
        if setback.kind == "broke" or (setback.kind == "absent" and not waits):
            attempts.failed += 1
        if call.size > 1 and (
            setback.kind in ("too_long", "refused", "bad")
            or attempts.failed > self._endpoint.retries
        ):
            # One of the prompts may be to blame, or the server takes no lists.
            self._together = self._together_worked
            self._todo.extendleft(reversed(call.apart()))
            self._wake.set()
            return None
        if setback.kind == "too_long":
            attempts.lowered += 1
            attempts.max_tokens = int(attempts.max_tokens * LOWER)
            if attempts.lowered <= TIMES and attempts.max_tokens:
                return 0.0
            await self._keep_problem(call, "over_context", setback)
            return None
        if setback.kind == "refused":
            await self._keep_problem(call, "refused", setback)
            return None
        if setback.kind == "bad":
            if setback.parameter:
                raise errors.ParameterRefused(
                    self._endpoint.address, setback.parameter, setback.said
                )
            status = setback.status or 400
            self._fail(
                call,
                f"HTTP {status}: {setback.said}",
                errors.RequestRefused(self._endpoint.address, status, setback.said),
            )
            return None
        if attempts.failed > self._endpoint.retries:
            if setback.malformed and self._answered:
                await self._keep_problem(call, "malformed", setback)
                return None
            self._fail(call, f"{setback.status_or_kind}: {setback.said}", self._named(setback))
            return None
        self._be_patient(setback)
        if waits and setback.retry_after is not None:
            return 0.0  # nobody goes before
        tries = attempts.sent if waits else attempts.failed
        return pause_before(tries) * random.uniform(0.5, 1.0)

    def _be_patient(self, setback: Setback) -> None:
        """Raises ServerFailed if nothing has succeeded for too long, or will not for too long."""
        patience, now = self._endpoint.patience, asyncio.get_running_loop().time()
        wait = setback.retry_after or 0.0
        if self._failing_since is None:
            # Not since it was sent: others may have been answered while it hung.
            self._failing_since = now
        since = now - self._failing_since
        if wait > patience or since > patience:
            said = f"{setback.status_or_kind}: {setback.said}"
            raise errors.ServerFailed(
                self._endpoint.address,
                f"it asks to wait {wait:.0f} s (more than SEEDBED_PATIENCE={patience}): {said}"
                if wait > patience
                else f"nothing has succeeded for {since:.0f} s (SEEDBED_PATIENCE): {said}",
            )

    def _fail(self, call: Call, reason: str, error: SeedbedError) -> None:
        """Give a call up. Raises `error` if there is no sign that others will fare better."""
        self._failed += call.size
        self._failed_in_a_row += call.size
        others = len(self._workers) > 1 or bool(self._todo)
        if not self._answered and (self._failed >= HOPELESS or not others):
            raise error
        if self._failed_in_a_row >= MANY:
            raise error
        self._book.fail(call, redact(reason))
        self._store.release(one.keyed.key for one in call.wanted)
        self._wake.set()

    def _named(self, setback: Setback) -> SeedbedError:
        where = self._endpoint.address
        if setback.kind == "absent":
            return errors.ServerNotThere(where, setback.said)
        if setback.malformed:
            return errors.BadAnswer(where, setback.said.removeprefix(MALFORMED), setback.body)
        return errors.ServerFailed(where, f"{setback.status_or_kind}: {setback.said}")

    async def _keep_problem(self, call: Call, problem: Problem, setback: Setback) -> None:
        (one,) = call.wanted
        asked = one.request.sampling.max_tokens
        # Not what the server sent: nobody can tell what of the request is in it.
        kept = problem_body(setback.said, setback.body)
        await self._settle(call, [keep(one.keyed, self._model, kept, asked, problem)], (0, 0))

    async def _settle(self, call: Call, rows: list[Kept], cost_tokens: tuple[int, int]) -> None:
        rows = [without_key(row) for row in rows]
        outrun = self._store.outrun
        await self._commit(rows, self._price_of(cost_tokens))
        if self._store.outrun != outrun:
            # Another process was quicker. What the store has is the answer, here as there.
            kept = self._store.get(row.key for row in rows)
            rows = [kept[row.key] for row in rows]
        for one, row in zip(call.wanted, rows, strict=True):
            self._book.settle(one, row)
        self._wake.set()

    def _price_of(self, tokens: tuple[int, int]) -> Spent:
        return Spent(self.budget.spent.run, sum(tokens), cost(self._endpoint.price, *tokens))

    def _count(self, usage: tuple[int, int] | None, turn: Turn, most: tuple[int, int]) -> None:
        self._limits.counted(turn, sum(usage or most))
        self._show_pace()
        self._book.count(usage or (0, 0), self._endpoint.price)

    def _show_pace(self) -> None:
        allowed = int(self._limits.allowed)
        slowed = allowed < self._limits.concurrency
        self._book.tally.note = f"slowed to {allowed} at once" if slowed else None

    def _note(
        self,
        call: Call,
        attempts: Attempts,
        turn: Turn,
        status: str,
        usage: tuple[int, int] | None,
        said: str | None = None,
    ) -> None:
        tokens = usage or (None, None)
        self._log.add(
            seconds=round(asyncio.get_running_loop().time() - turn.began, 3),
            status=status,
            tries=attempts.sent,
            answers=call.size,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            key=call.first.keyed.key,
            **({} if said is None else {"said": without_prompt(said, call.prompts)}),
        )

    async def _commit(self, rows: Sequence[Kept], spent: Spent) -> None:
        """Until the rows are in the store. What arrives meanwhile goes into the next commit."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((rows, spent, done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        await done

    async def _commit_all(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            rows = [row for some, _, _ in batch for row in some]
            spent = Spent(self.budget.spent.run)
            for _, own, _ in batch:
                spent.tokens += own.tokens
                spent.dollars += own.dollars
            try:
                total = await asyncio.to_thread(self._store.put, rows, spent)
                self.budget.spent = total or self.budget.spent
                self._log.flush()
            except Exception as error:
                self._end(error)  # before any worker takes up something else
                for _, _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, _, done in batch:
                    if not done.done():
                        done.set_result(None)
        self._committer = None

    def _claim(self, calls: Sequence[Call]) -> None:
        """Set out for the calls, but for what others have answered or are at."""
        self._divide(calls, *self._store.claim(_keys_of(calls)))

    def _divide(self, calls: Sequence[Call], found: dict[str, Kept], theirs: set[str]) -> None:
        for call in calls:
            states = {(key in found, key in theirs) for key in _keys_of([call])}
            for part in [call] if len(states) == 1 else call.apart():
                if part.first.keyed.key in found:
                    self._settle_found(part, found)
                elif part.first.keyed.key in theirs:
                    self._theirs.append(part)
                else:
                    self._todo.append(part)

    async def _look(self) -> None:
        """Until others have answered what they claimed; what they give up is taken over."""
        try:
            while self._theirs and self._fatal is None:
                if not self._workers:
                    self._book.show("waiting for another process at the same work")
                await asyncio.sleep(LOOK_EVERY)
                calls, self._theirs = self._theirs, []
                # Not here: another process may be writing for long.
                self._divide(calls, *await asyncio.to_thread(self._store.claim, _keys_of(calls)))
                self._hire()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._end(error)
        finally:
            self._looking = None
            self._book.tally.note = None
            self._wake.set()

    def _settle_found(self, call: Call, found: dict[str, Kept]) -> None:
        for one in call.wanted:
            self._book.settle(one, found[one.keyed.key], sent=False)
        self._wake.set()


def _keys_of(calls: Sequence[Call]) -> list[str]:
    return [one.keyed.key for call in calls for one in call.wanted]
