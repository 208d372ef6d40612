"""Sends what is missing, many requests at a time, and gives out each answer once it is kept.

A worker (`seedbed.llm.send.crew`) takes a call, waits for its turn, sends it, waits until the
answer is in the store, and takes the next: so a run that is killed has to send again at most what
was in flight. What is to be sent is claimed first, so that several processes at the same work do
not send it twice.
"""

import asyncio
import sys
from collections.abc import Collection, Sequence

from tqdm import tqdm

from seedbed.llm.redaction import redact
from seedbed.llm.send.caller import Answered, Caller, GivenUp
from seedbed.llm.send.crew import Crew
from seedbed.llm.send.fleet import Asked
from seedbed.llm.send.todo import Todo
from seedbed.llm.send.work import Call, Wanted, Window, group
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store

# So many requests may fail before the first answer: then it is the server, not the request.
HOPELESS = 3
# So many requests in a row may fail while others are under way.
MANY = 100
# Seconds between two looks at what other processes have claimed.
LOOK_EVERY = 0.5


class Sender:
    """Workers on the session of one server, or on those of several."""

    def __init__(self, at: Asked, store: Store):
        self._at = at
        self._ledger = at.ledger
        self._book = at.ledger.book
        self._store = store
        self._callers = [Caller(session) for session in at.sessions]
        self._todo: Todo[Call] = Todo(len(at.sessions), lambda call: call.first.request.prompt)
        self._crew = Crew(
            at,
            self._todo,
            len(at.sessions),
            self._handle,
            lambda: self._ledger.fatal is not None,
            self._end,
        )
        self._failed = 0
        self._failed_in_a_row = 0
        # What other processes have claimed, and who looks for their answers.
        self._theirs: list[Call] = []
        self._looking: asyncio.Task[None] | None = None

    def add(self, wanted: Sequence[Wanted]) -> None:
        together = all(caller.together for caller in self._callers)
        per_call = self._at.endpoint.prompts_per_request if together else 1
        self._claim(group(wanted, per_call, samples=together))

    @property
    def waiting(self) -> int:
        """Calls that no worker has taken yet."""
        return len(self._todo)

    async def start(self) -> None:
        """Send the first of what is to be sent, while more is being looked up."""
        self._hire()
        await asyncio.sleep(0)

    def _hire(self) -> None:
        self._crew.hire()
        if self._theirs and self._looking is None:
            self._looking = asyncio.create_task(self._look())

    async def finish(self, window: Window) -> None:
        """Until every request of the window is answered or has failed. Later ones go on too.

        Raises:
            SeedbedError: what ends the run; what was answered before is kept.
        """
        while window.open and self._ledger.fatal is None:
            self._hire()
            self._crew.wake.clear()
            await self._crew.wake.wait()
        self._ledger.go_on()

    async def wind_up(self, seconds: float) -> None:
        """Let what is in flight finish, for so long, and drop the rest."""
        self._todo.clear()
        self._end(asyncio.CancelledError())
        if self._looking:
            self._looking.cancel()
        end = asyncio.get_running_loop().time() + seconds
        while len(self._crew) and (self._in_flight or self._ledger.busy):
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.02)
        await self._crew.dismiss()

    @property
    def _in_flight(self) -> int:
        return sum(session.limits.in_flight for session in self._at.sessions)

    def _end(self, error: BaseException) -> None:
        self._ledger.stop(error)
        self._crew.wake.set()

    async def _handle(self, server: int, call: Call) -> None:
        """Raises Elsewhere, as `Caller.call`."""
        if self._store.claims_lapsed:
            self._claim([call, *self._todo.clear()])
            return
        outcome = await self._callers[server].call(call)
        if isinstance(outcome, Answered):
            if outcome.as_asked:
                self._failed_in_a_row = 0
            for wanted, row in zip(call.wanted, outcome.rows, strict=True):
                self._book.settle(wanted, row)
        elif isinstance(outcome, GivenUp):
            self._give_up(call, outcome)
        else:
            self._todo.first(server, outcome)

    def _give_up(self, call: Call, given_up: GivenUp) -> None:
        """Raises its error if there is no sign that others will fare better."""
        self._failed += call.size
        self._failed_in_a_row += call.size
        others = len(self._crew) > 1 or bool(self._todo)
        if not self._at.answered and (self._failed >= HOPELESS or not others):
            raise given_up.error
        if self._failed_in_a_row >= MANY:
            raise given_up.error
        self._book.fail(call, redact(given_up.reason))
        self._store.release(_keys_of([call]))

    def _claim(self, calls: Sequence[Call]) -> None:
        """Set out for the calls, but for what others have answered or are at."""
        self._divide(calls, *self._store.claim(_keys_of(calls)))

    def _divide(self, calls: Sequence[Call], answered: dict[str, Kept], theirs: set[str]) -> None:
        ours: list[Call] = []
        for call in calls:
            states = {(key in answered, key in theirs) for key in _keys_of([call])}
            for part in [call] if len(states) == 1 else call.apart():
                if part.first.keyed.key in answered:
                    self._settle_found(part, answered)
                elif part.first.keyed.key in theirs:
                    self._theirs.append(part)
                else:
                    ours.append(part)
        self._todo.add(ours)

    async def _look(self) -> None:
        """Until others have answered what they claimed; what they give up is taken over."""
        try:
            while self._theirs and self._ledger.fatal is None:
                if not len(self._crew):
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
            self._crew.wake.set()

    def _settle_found(self, call: Call, answered: dict[str, Kept]) -> None:
        for wanted in call.wanted:
            self._book.settle(wanted, answered[wanted.keyed.key], sent=False)
        self._crew.wake.set()


def tell_of_batches(store: Store, model: str, wanted: Collection[str]) -> None:
    """Say on stderr if some of what is about to be sent is in a batch that is under way."""
    times = sum(
        len(store.batch_requests(tag).keys() & set(wanted)) for tag, _ in store.batches(model)
    )
    if times:
        # Not through a progress line in its midst.
        tqdm.write(
            f"seedbed: {times} of the requests are in a batch under way and will be paid for "
            "twice; SEEDBED_MODE=batch waits for their answers instead",
            file=sys.stderr,
        )


def _keys_of(calls: Sequence[Call]) -> list[str]:
    return [wanted.keyed.key for call in calls for wanted in call.wanted]
