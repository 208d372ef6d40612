"""What is paid for, kept and counted: the same for every request, whatever it asks.

The most that a request may come to is reserved before it is sent (`afford`). What comes back is put
into the store without the key, with what it cost (`enter`). What became of the request, answered or
not, is a line of the log (`note`).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from seedbed.llm.budget import Budget, cost
from seedbed.llm.params import Price
from seedbed.llm.redaction import without_key
from seedbed.llm.send.work import Book, Tokens
from seedbed.llm.store.rows import Kept, Spent
from seedbed.llm.store.runlog import RunLog
from seedbed.llm.store.store import Store


class Ledger:
    """The accounts of one run on one endpoint.

    price: what its tokens cost, None if nobody says.
    """

    def __init__(self, store: Store, log: RunLog, book: Book, budget: Budget, price: Price | None):
        self.book = book
        self.budget = budget
        self._store = store
        self._log = log
        self._price = price
        self._paid = asyncio.Event()
        self._fatal: BaseException | None = None
        self._pending: list[tuple[Sequence[Kept], Tokens, asyncio.Future[None]]] = []
        self._committer: asyncio.Task[None] | None = None

    @property
    def fatal(self) -> BaseException | None:
        """What ends the run, if anything does."""
        return self._fatal

    def stop(self, error: BaseException) -> None:
        """Let nothing more be sent: `error` ends the run."""
        self._fatal = self._fatal or error
        self._paid.set()

    def go_on(self) -> None:
        """Raises what ends the run."""
        if self._fatal is not None:
            raise self._fatal

    @asynccontextmanager
    async def afford(self, prompt_tokens: int, completion_tokens: int) -> AsyncIterator[None]:
        """Wait until the budget has room for the most that a request may come to.

        It is set aside until the context ends; what the request came to is entered by then.

        Raises:
            BudgetReached: it never will have.
        """
        while not self.budget.reserve(prompt_tokens, completion_tokens):
            if self.budget.idle:
                raise self.budget.exceeded(prompt_tokens, completion_tokens)
            # What is in flight may turn out cheaper than was set aside for it.
            self._paid.clear()
            await self._paid.wait()
            self.go_on()
        try:
            yield
        finally:
            self.budget.release(prompt_tokens, completion_tokens)
            self._paid.set()

    async def enter(
        self, rows: Sequence[Kept], paid: Tokens, counted: Tokens = (0, 0)
    ) -> list[Kept]:
        """Keep answers and what they cost; gives them as the store has them from then on.

        paid: what they came to, or the most that it can be if nobody says.
        counted: what the server said that they came to.
        """
        rows = without_key(rows)
        outrun = self._store.outrun
        await self._commit(rows, paid)
        self.book.count(counted, self._price)
        if self._store.outrun != outrun:
            # Another process was quicker. What the store has is the answer, here as there.
            kept = self._store.get(row.key for row in rows)
            rows = [kept[row.key] for row in rows]
        return rows

    def note(
        self,
        key: str,
        status: str,
        usage: Tokens | None,
        *,
        seconds: float | None = None,
        tries: int = 1,
        answers: int = 1,
        batch: str | None = None,
        said: str | None = None,
    ) -> None:
        """Add a line to the log; `batch` and what the server `said` are in it only if given."""
        tokens = usage or (None, None)
        more = {"batch": batch, "said": said}
        self._log.add(
            seconds=seconds,
            status=status,
            tries=tries,
            answers=answers,
            prompt_tokens=tokens[0],
            completion_tokens=tokens[1],
            key=key,
            **{name: value for name, value in more.items() if value is not None},
        )

    @property
    def busy(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._pending or self._committer)

    async def finish(self) -> None:
        """Until all that was entered is written."""
        if self._committer:
            await self._committer

    async def _commit(self, rows: Sequence[Kept], paid: Tokens) -> None:
        """Until the rows are in the store. What arrives meanwhile goes into the next commit."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.append((rows, paid, done))
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all())
        await done

    async def _commit_all(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            rows = [row for some, _, _ in batch for row in some]
            spent = Spent(self.budget.spent.run)
            for _, paid, _ in batch:
                spent.tokens += sum(paid)
                spent.dollars += cost(self._price, *paid)
            try:
                total = await asyncio.to_thread(self._store.put, rows, spent)
                self.budget.spent = total or self.budget.spent
                self._log.flush()
            except Exception as error:
                self.stop(error)  # before anything else is sent
                for _, _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, _, done in batch:
                    if not done.done():
                        done.set_result(None)
        self._committer = None
