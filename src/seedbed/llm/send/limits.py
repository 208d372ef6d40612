"""How fast a server may be asked: in flight, requests a minute, tokens a minute, pauses.

All of it runs in one event loop and takes the time from it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Pauses before trying again without a Retry-After: doubled each time, up to the last.
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0
# Additive increase, multiplicative decrease, as TCP does (Chiu and Jain, 1989).
DECREASE = 0.7
# Of a budget of so many a minute this share is used. The server's clock and ours, and its way
# of counting, differ: what is lost to caution is less than what a refusal costs.
SHARE = 0.98


def pause_before(attempt: int) -> float:
    """Seconds to wait before try number `attempt` (the second is 1)."""
    # Who tries for a day tries more often than a float can be doubled.
    return min(FIRST_PAUSE * 2.0 ** min(attempt - 1, 100), LAST_PAUSE)


class Pace:
    """So many units a minute, evenly: a token bucket that holds a second's worth, empty at first.

    What a request will cost is a guess when it is sent and corrected when it is answered, so the
    level may fall below nothing; then all wait until it has come up again.
    """

    def __init__(self, per_minute: int):
        self._rate = SHARE * per_minute / 60
        self._level = 0.0
        self._at: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until the next may go."""
        if self._at is not None:
            # What was not used within a second is lost. So no minute ever sees more than a
            # second's worth and SHARE of the budget, which is less than all of it.
            most = max(1.0, self._rate)
            self._level = min(most, self._level + (now - self._at) * self._rate)
        self._at = now
        # Rounded: a wait too short to put the clock forward would never end.
        return max(0.0, round(-self._level / self._rate, 6))

    def take(self, units: float) -> None:
        self._level -= units


class Limits:
    """The turnstile that every request passes.

    allowed: how many may be in flight just now; it falls when the server is overloaded and creeps
        up again, at most to `concurrency`.
    """

    def __init__(
        self, concurrency: int, per_minute: int | None = None, tokens_per_minute: int | None = None
    ):
        self.concurrency = concurrency
        self.allowed = float(concurrency)
        self.in_flight = 0
        self._requests = Pace(per_minute) if per_minute else None
        self._tokens = Pace(tokens_per_minute) if tokens_per_minute else None
        self._resume_at = 0.0
        self._slowed_at = 0.0
        # One waits at the door, the others behind it: first come, first served.
        self._door = asyncio.Lock()
        self._left = asyncio.Event()
        self._guessed = self._counted = 0.0

    @asynccontextmanager
    async def turn(self, tokens: int) -> AsyncIterator["Turn"]:
        """Wait for a turn; in flight until the context ends.

        tokens: a guess of what prompt and completion will come to.
        """
        loop = asyncio.get_running_loop()
        async with self._door:
            while True:
                now = loop.time()
                wait = self._resume_at - now
                for pace in (self._requests, self._tokens):
                    if pace:
                        wait = max(wait, pace.wait(now))
                if wait > 0:
                    await asyncio.sleep(wait)
                elif self.in_flight >= int(self.allowed):
                    self._left.clear()
                    await self._left.wait()
                else:
                    break
            self.in_flight += 1
        turn = Turn(self, loop.time(), tokens)
        if self._requests:
            self._requests.take(1)
        if self._tokens:
            self._tokens.take(turn.reserved)
        try:
            yield turn
        finally:
            self.in_flight -= 1
            self._left.set()

    @property
    def guess_factor(self) -> float:
        """How the tokens counted compare with those guessed, so far."""
        return self._counted / self._guessed if self._guessed else 1.0

    def counted(self, turn: "Turn", tokens: int) -> None:
        """The server says what a request really came to."""
        self._guessed += turn.guess
        self._counted += tokens
        if self._tokens:
            self._tokens.take(tokens - turn.reserved)

    def went_well(self) -> None:
        self.allowed = min(self.concurrency, self.allowed + 1 / self.allowed)

    def slow_down(self, turn: "Turn", retry_after: float | None = None) -> None:
        """The server is overloaded: fewer at once, and none before `retry_after` seconds."""
        now = asyncio.get_running_loop().time()
        # A server that is asked by the minute and says when to come back is short of minutes, not
        # overloaded. What was sent before the last slowing down says nothing about the pace since.
        by_the_minute = bool(self._requests or self._tokens) and retry_after is not None
        if turn.began >= self._slowed_at and not by_the_minute:
            self.allowed = max(1.0, self.allowed * DECREASE)
            self._slowed_at = now
        if retry_after is not None:
            self._resume_at = max(self._resume_at, now + retry_after)


class Turn:
    """A request in flight."""

    def __init__(self, limits: Limits, began: float, guess: int):
        self.began = began
        self.guess = guess
        self.reserved = guess * limits.guess_factor
