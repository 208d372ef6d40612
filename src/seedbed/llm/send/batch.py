"""Requests through the provider's batch API: all at once, answered within a day, at half the price.

A batch is remembered in the store before it is made, under a tag that is also in its metadata. So
a run that is killed at any point finds its batches again, with or without their ids, and submits
nothing twice. Only one process at a time submits or takes answers in: what it finds begun but
without an id was begun by one that is dead.
"""

import asyncio
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import IO

from seedbed.errors import WriteFailed
from seedbed.llm import errors
from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.request import Keyed
from seedbed.llm.contract.wire import MalformedBody, body_for, problem_body, written
from seedbed.llm.redaction import redact
from seedbed.llm.send.batch_api import URLS, BatchApi, Line, State, read_line, to_line
from seedbed.llm.send.session import Session
from seedbed.llm.send.setback import AGAINST_THE_RULES
from seedbed.llm.send.work import Call, Tokens, Wanted, Window, keep, read_of
from seedbed.llm.serve.endpoint import number_from_env
from seedbed.llm.store.lock import alone
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store

# OpenAI and Azure take 50,000 requests and 200 MB a file.
MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000
# Answers a commit.
CHUNK = 1000
# Seconds between two looks.
POLL: float = 30

# What a batch asks, by key: base, canonical form, max_tokens.
Asked = dict[str, tuple[str, str, int]]


@dataclass(eq=False)
class UnderWay:
    """A batch that is being waited for.

    keys: those of its requests that were wanted when it was submitted or found.
    most: tokens that are set aside for them.
    ours: whether this process submitted it.
    """

    tag: str
    id: str
    keys: set[str]
    most: Tokens
    ours: bool


class BatchSender:
    """Submits windows of requests as batches and waits for them."""

    def __init__(self, session: Session, store: Store):
        self._endpoint = session.endpoint
        self._model = session.model
        self._ledger = session.ledger
        self._budget = session.ledger.budget
        self._book = session.ledger.book
        self._store = store
        self._poll = number_from_env("SEEDBED_BATCH_POLL", 0) or POLL
        self._most = number_from_env("SEEDBED_BATCH_REQUESTS", MOST_REQUESTS)
        self._api = BatchApi(session.endpoint, session.client)
        self._lock = store.path.with_suffix(".batch.lock")
        self._wanted: dict[str, Wanted] = {}
        self._under_way: list[UnderWay] = []
        self._seen: set[str] = set()
        # The provider takes no more tokens until one of the batches under way is over.
        self._full = False

    def add(self, wanted: Sequence[Wanted]) -> None:
        self._wanted |= {each.keyed.key: each for each in wanted}

    waiting = 0

    async def start(self) -> None:
        """Nothing: a window is submitted as a whole."""

    async def finish(self, window: Window) -> None:
        """Until every request of the window is answered or has failed.

        Raises:
            SeedbedError: what ends the run; batches under way are picked up by the next one.
        """
        try:
            while window.open:
                async with self._alone():
                    await self._take_stock()
                    await self._submit()
                if not self._under_way and self._wanted:
                    raise self._budget.exceeded(*self._most_of(next(iter(self._wanted.values()))))
                if self._under_way:
                    await self._wait()
        finally:
            self._book.show(None)

    async def wind_up(self, seconds: float) -> None:
        """Nothing to do: what was submitted goes on without us."""

    def _alone(self) -> AbstractAsyncContextManager[None]:
        return alone(self._lock, lambda: self._book.show("another process is at its batches"))

    async def _take_stock(self) -> None:
        """Find out what others, or earlier runs, have answered or submitted of what is wanted."""
        if self._store.others_wrote():
            self._settle_found(self._wanted)
        mine = {batch.tag for batch in self._under_way}
        for tag, known in self._store.batches(self._model):
            if tag in mine:
                continue
            id_ = known or await self._api.find(tag)
            if id_ is None:
                self._store.batch_over(tag)  # it came to its end before the batch was made
                continue
            if known is None:
                self._store.batch_made(tag, id_)
            keys = self._store.batch_requests(tag).keys() & self._wanted.keys()
            batch = UnderWay(tag, id_, keys, self._most_of(*map(self._wanted.get, keys)), False)
            if keys:
                self._budget.set_aside(*batch.most)
                self._under_way.append(batch)
            elif tag not in self._seen:
                # Nobody here waits for it, but it is paid for.
                self._seen.add(tag)
                state = await self._api.look(id_, sure=False)
                if state.over:
                    await self._take_in(batch, state)

    def _most_of(self, *wanted: Wanted | None) -> Tokens:
        """The most tokens that requests can come to."""
        system = self._endpoint.llm.system or ""
        requests = [each.request for each in wanted if each]
        return (
            sum(most_tokens(system + request.prompt) for request in requests),
            sum(request.sampling.max_tokens for request in requests),
        )

    async def _submit(self) -> None:
        """Make batches of what is wanted and under way in none, as far as the budget goes."""
        if self._full and self._under_way:
            return
        asked = {key for batch in self._under_way for key in batch.keys}
        rest = [wanted for key, wanted in self._wanted.items() if key not in asked]
        with self._temporary() as lines:
            for part in self._parts(rest, lines):
                self._book.show(f"submitting a batch of {len(part)}")
                file = await self._api.upload(lines)
                tag = secrets.token_hex(8)
                self._store.batch_begun(
                    tag,
                    self._model,
                    ((*wanted.keyed, wanted.request.sampling.max_tokens) for wanted in part),
                )
                id_ = await self._api.create(file, tag)
                self._store.batch_made(tag, id_)
                keys = {wanted.keyed.key for wanted in part}
                self._under_way.append(UnderWay(tag, id_, keys, self._most_of(*part), True))

    def _parts(self, wanted: Iterable[Wanted], lines: IO[bytes]) -> Iterator[list[Wanted]]:
        """Stretches that the provider takes in one batch; the lines of each are in the file."""
        part: list[Wanted] = []
        for one in wanted:
            if not self._budget.reserve(*self._most_of(one)):
                break
            line = self._line(one)
            if part and (len(part) == self._most or lines.tell() + len(line) > MOST_BYTES):
                yield part
                part = []
            if not part:
                lines.seek(0)
                lines.truncate()
            part.append(one)
            lines.write(line)
        if part:
            yield part

    def _line(self, wanted: Wanted) -> bytes:
        llm, request = self._endpoint.llm, wanted.request
        body = body_for(
            llm.api,
            self._endpoint.model,
            llm.system,
            [request.prompt],
            request,
            request.sampling.max_tokens,
            1,
            llm.leave_out,
            self._endpoint.say_none,
        )
        return to_line(wanted.keyed.key, URLS[llm.api], body)

    @contextmanager
    def _temporary(self) -> Iterator[IO[bytes]]:
        """A file that nobody sees and nobody has to remove, where there must be room anyway."""
        folder = self._store.path.parent
        try:
            with TemporaryFile(dir=folder) as file:
                yield file
        except OSError as error:
            raise WriteFailed(folder, error) from None

    async def _wait(self) -> None:
        """Until one of the batches is over, and what it brought is entered."""
        over: list[tuple[UnderWay, State]] = []
        while True:
            states = []
            for batch in self._under_way:
                state = await self._api.look(batch.id, sure=batch.ours)
                states.append(state)
                if state.over:
                    over.append((batch, state))
            if over:
                break
            self._show(states)
            await asyncio.sleep(self._poll)
        failed = None
        async with self._alone():
            for batch, state in over:
                self._under_way.remove(batch)
                failed = await self._take_in(batch, state) or failed
                self._budget.release(*batch.most)
        if failed:
            raise errors.BatchFailed(self._endpoint.address, failed)

    def _show(self, states: list[State]) -> None:
        words = "/".join(sorted({state.status for state in states})).replace("_", " ")
        what = "batch" if len(states) == 1 else f"{len(states)} batches"
        done, total = sum(state.done for state in states), sum(state.total for state in states)
        self._book.show(f"{what} {words}: {done} of {total} done")

    async def _take_in(self, batch: UnderWay, state: State) -> str | None:
        """Enter what a batch that is over has brought; gives what ends the run, if it does."""
        self._full = False
        wanted = batch.keys & self._wanted.keys()
        if state.status == "failed":
            self._store.batch_over(batch.tag)
            self._full = state.full and bool(self._under_way)
            if not wanted or self._full:
                return None
            smaller = " (SEEDBED_BATCH_REQUESTS makes smaller batches)" if state.full else ""
            return f"{batch.id} failed: {state.said}{smaller}"
        if state.status == "unknown":
            self._store.batch_over(batch.tag)
            return None  # asked for anew
        self._settle_found(wanted)  # another process may have taken it in meanwhile
        asked = {
            key: (one.keyed.base, one.keyed.form, one.request.sampling.max_tokens)
            for key in wanted
            if (one := self._wanted.get(key))
        }
        if not batch.ours:
            asked |= self._store.batch_requests(batch.tag)
        reason = f"batch {batch.id} is {state.status} without an answer to it"
        for file in state.files if asked else ():
            with self._temporary() as lines:
                if missing := await self._api.download(file, lines):
                    reason = f"{missing} of batch {batch.id}"
                lines.seek(0)
                await self._enter(lines, asked, batch.id)
        for key in sorted(wanted & self._wanted.keys(), key=lambda key: self._wanted[key].row):
            self._fail(key, reason)
        self._store.batch_over(batch.tag)
        return None

    async def _enter(self, lines: Iterable[bytes], asked: Asked, batch: str) -> None:
        """Keep and give out what the lines say, many a commit."""
        results = (one for line in lines if (one := read_line(line)) and one.key in asked)
        while chunk := list(islice(results, CHUNK)):
            # What an earlier run, which was killed at this, has kept and counted.
            kept = self._store.get(result.key for result in chunk)
            rows: list[Kept] = []
            failed: dict[str, str] = {}
            paid = spent = (0, 0)
            for result in chunk:
                if result.key in kept:
                    continue
                row, usage, reason = self._read(result, asked)
                if row:
                    rows.append(row)
                    most = self._most_of(self._wanted.get(result.key))
                    paid, spent = _sum(paid, usage or (0, 0)), _sum(spent, usage or most)
                else:
                    failed[result.key] = reason
                said = redact(reason) or None
                self._ledger.note(result.key, str(result.status), usage, batch=batch, said=said)
            entered = await self._ledger.enter(rows, spent, paid)
            for row in kept.values():
                self._settle(row, sent=False)
            for row in entered:
                self._settle(row)
            for key, reason in failed.items():
                self._fail(key, reason)

    def _read(self, line: Line, asked: Asked) -> tuple[Kept | None, Tokens | None, str]:
        """What a line says: a row for the store and its usage, or why there is none."""
        base, form, max_tokens = asked[line.key]
        keyed = Keyed(line.key, base, form)
        if line.status == 200:
            try:
                found = read_of([keyed], self._model, written(line.body), max_tokens)
            except MalformedBody as problem:
                return None, None, f"not a completion: {problem}"
            return found.rows[0], found.usage, ""
        if re.search(AGAINST_THE_RULES, line.said, re.IGNORECASE):
            kept = problem_body(line.said)
            return keep(keyed, self._model, kept, max_tokens, "refused"), (0, 0), line.said
        return None, None, line.said

    def _settle_found(self, keys: Iterable[str]) -> None:
        """Give out what the store has of these, whoever brought it."""
        for row in self._store.get(keys).values():
            self._settle(row, sent=False)

    def _settle(self, row: Kept, *, sent: bool = True) -> None:
        if one := self._wanted.pop(row.key, None):
            self._book.settle(one, row, sent=sent)

    def _fail(self, key: str, reason: str) -> None:
        if one := self._wanted.pop(key, None):
            self._book.fail(Call([one]), redact(reason))


def _sum(a: Tokens, b: Tokens) -> Tokens:
    return a[0] + b[0], a[1] + b[1]
