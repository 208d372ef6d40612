"""The engine: everything that reaches a model goes through here, and only through here.

It answers from the store what the store has, sends the rest, and keeps each answer the moment it
arrives. The order of the results is that of the requests.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from seedbed.core.progress import Tally
from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.budget import run_of_this_process
from seedbed.llm.contract.request import Canon, Keyed, Request, canonical
from seedbed.llm.contract.wire import Answer, MalformedBody
from seedbed.llm.measuring import Measuring
from seedbed.llm.params import Llm
from seedbed.llm.send.fleet import Asked, Fleet
from seedbed.llm.send.ledger import Ledger
from seedbed.llm.send.sender import Sender, tell_of_batches
from seedbed.llm.send.session import Session
from seedbed.llm.send.work import Book, Wanted, Window
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint
from seedbed.llm.store.place import default_path
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.runlog import RunLog
from seedbed.llm.store.store import Store

if TYPE_CHECKING:
    from seedbed.llm.send.batch import BatchSender

Result = TypeVar("Result")

# Requests are looked up, and answers given out, a window at a time. So many more windows are open
# that as much waits to be sent as may be in flight, and nobody waits for the last answer of
# one. That bounds the memory, however many requests come.
WINDOW = 512
# A provider's batch takes so many requests; its answers come all at once.
BATCH_WINDOW = 50_000
# Seconds that an interrupted run waits for what is in flight: it may have been paid for.
GRACE = 5.0


class Engine(Measuring):
    """Asks one endpoint, through one store.

    on_answer: called with the tally after each answer, from the store or the server.
    """

    def __init__(self, endpoint: Endpoint, store: Store, on_answer: Callable[[Tally], None]):
        self._endpoint = endpoint
        self._store = store
        llm = endpoint.llm
        self._canon = Canon(
            endpoint.identity, llm.api, llm.system, llm.leave_out, endpoint.say_none
        )
        self._book = Book(on_answer, stop_here="stop" in llm.leave_out)
        if endpoint.price is None:
            self._book.tally.cost = None
        self._log = RunLog(store.path)
        self._runner = asyncio.Runner()
        self._opened: Asked | None = None
        self._opened_embedding: Session | None = None
        self._made: Sender | BatchSender | None = None
        self._row = 0
        # What the windows under way wait for.
        self._asked: dict[str, Wanted] = {}

    @property
    def tally(self) -> Tally:
        return self._book.tally

    @property
    def _session(self) -> Asked:
        """Made at the first request that has to be sent: a run that needs none does not connect."""
        if self._opened is None:
            self._store.demand_writing()  # before anything is sent
            self._endpoint = self._endpoint.gathered()
            budget = self._endpoint.budget(self._store.spent(run_of_this_process()))
            ledger = Ledger(self._store, self._log, self._book, budget, self._endpoint.price)
            kind = Fleet if self._endpoint.servers else Session
            self._opened = kind(self._endpoint, self._canon.model, ledger)
        return self._opened

    @property
    def _embedding(self) -> Session:
        """A server for states of prompts beside it, on the same account."""
        if self._opened_embedding is None:
            connect = self._endpoint.connect_embedding
            assert connect is not None, "asked before"
            beside = replace(self._endpoint, connect=connect)
            self._opened_embedding = Session(beside, self._canon.model, self._session.ledger)
        return self._opened_embedding

    @property
    def _sender(self) -> "Sender | BatchSender":
        if self._made is None:
            if self._endpoint.batch:
                # It loads the client, see Session.
                from seedbed.llm.send.batch import BatchSender

                self._made = BatchSender(self._alone, self._store)
            else:
                self._made = Sender(self._session, self._store)
        return self._made

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        async def at_work() -> Result:
            with self._session.at_work():
                return await work

        return self._runner.run(at_work())

    def close(self) -> None:
        """Let what is in flight arrive, for a few seconds, and disconnect."""
        try:
            if self._opened:
                with suppress(SeedbedError):  # another one is on its way
                    self._run(self._wind_up(self._opened))
                self._run(self._opened.close())
                if self._opened_embedding:
                    self._run(self._opened_embedding.close())
        finally:
            self._log.close()
            self._runner.close()

    async def _wind_up(self, session: Asked) -> None:
        if self._made:
            await self._made.wind_up(GRACE)
        await session.ledger.finish()

    def ask(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """One answer a request, in the requests' order; equal requests share one.

        The requests are read as they are needed, a few thousand ahead of the answers.

        Raises:
            RowsFailed: some requests have no answer after all retries; the others were all asked,
                and are kept.
            SeedbedError: the server cannot be reached or refuses; what has arrived is kept.
            KeyboardInterrupt: likewise.
        """
        source = iter(requests)
        self._asked.clear()
        self._book.given_up.clear()
        windows: deque[Window] = deque()
        failed: list[errors.RowFailed] = []
        while True:
            while not windows or (windows[0].open and self._may_open(len(windows))):
                window = self._open(source)
                if not window.keys:
                    break
                windows.append(window)
                if window.open:
                    self._run(self._sender.start())
            if not windows:
                break
            if windows[0].open:
                self._run(self._sender.finish(windows[0]))
            window = windows.popleft()
            for key in window.keys:
                self._asked.pop(key, None)
            failed += window.failed
            if not failed:
                yield from (window.answers[key] for key in window.keys)
        if failed:
            raise errors.RowsFailed(self._endpoint.address, failed, self._log.path)

    def _may_open(self, windows: int) -> bool:
        at_once = self._endpoint.concurrency
        # One straggler holds up all that was asked after it: at some point enough is open.
        most = max(8, 4 * at_once * self._endpoint.prompts_per_request // WINDOW)
        waiting = self._made.waiting if self._made else 0
        return not self._endpoint.batch and windows < most and waiting < at_once

    def _open(self, source: Iterator[Request]) -> Window:
        """Read the next requests; take what the store has and set out for the rest."""
        # Whole lists, so that no request goes out with half of one.
        size = WINDOW + -WINDOW % self._endpoint.prompts_per_request
        if self._endpoint.batch:
            size = BATCH_WINDOW
        window = Window()
        requests: dict[str, tuple[Keyed, Request]] = {}
        rows: dict[str, int] = {}
        for request in islice(source, size):
            self._row += 1
            keyed = self._canon.of(request)
            window.keys.append(keyed.key)
            requests.setdefault(keyed.key, (keyed, request))
            rows.setdefault(keyed.key, self._row)
        window.answers = self._look_up(requests)
        wanted = []
        for key, (keyed, request) in requests.items():
            if key in window.answers or key in self._book.given_up:
                continue
            window.open += 1
            if key in self._asked:
                self._asked[key].windows.append(window)
            else:
                self._asked[key] = Wanted(keyed, request, rows[key], [window])
                wanted.append(self._asked[key])
        self._book.reused(len(window.keys) - len(wanted))
        if wanted:
            self._refuse_in_replay(wanted[0].row, wanted[0].keyed)
            if self._made is None and not self._endpoint.batch:
                tell_of_batches(self._store, self._canon.model, requests.keys())
            self._sender.add(wanted)
        return window

    def peek(self, requests: Sequence[Request]) -> list[Answer | None]:
        """The answers that the store has, None for the others; nothing is sent."""
        keyed = [(self._canon.of(request), request) for request in requests]
        kept = self._look_up({entry.key: (entry, request) for entry, request in keyed}, enter=False)
        return [kept.get(entry.key) for entry, _ in keyed]

    def kept_like(self, request: Request, beginning: str) -> int:
        """How many answers the store has to prompts that begin so, asked for as the request.

        All of the file is gone through for it.
        """
        form = self._canon.of(replace(request, prompt=beginning, sample=0)).form
        text = canonical(beginning)
        return self._store.count(
            form[: form.index(f'"prompt":{text}') + len(f'"prompt":{text}') - 1]
        )

    @property
    def model(self) -> str:
        """The endpoint's identity, as the store has it."""
        return self._canon.model

    def key_of(self, request: Request) -> str:
        return self._canon.of(request).key

    def _look_up(
        self, requests: dict[str, tuple[Keyed, Request]], *, enter: bool = True
    ) -> dict[str, Answer]:
        kept = self._store.get(requests)
        missing = [entry for entry in requests.values() if entry[0].key not in kept]
        kept |= self._ended_before(missing, enter)
        answers = {}
        for key, row in kept.items():
            try:
                answers[key] = self._book.answer(row, requests[key][1])
            except MalformedBody as problem:
                raise self._damaged(key, problem) from None
        return answers

    def _ended_before(self, missing: list[tuple[Keyed, Request]], enter: bool) -> dict[str, Kept]:
        """Answers that ended by themselves within fewer tokens than are allowed now.

        They are entered under the new key too (with `enter`): rows name the key of what was
        asked, whichever way the answer came.
        """
        if not missing:
            return {}
        ended = self._store.ended({keyed.base for keyed, _ in missing})
        reused = {}
        for keyed, request in missing:
            asked = request.sampling.max_tokens
            for kept in ended.get(keyed.base, ()):
                if kept.max_tokens <= asked:
                    reused[keyed.key] = kept._replace(
                        key=keyed.key, request=keyed.form, max_tokens=asked
                    )
                    break
        if reused and enter and self._store.writable:
            self._store.put(list(reused.values()))
        return reused


@contextmanager
def open_engine(llm: Llm, on_answer: Callable[[Tally], None]) -> Iterator[Engine]:
    """An engine on the endpoint and the store that parameters and environment name."""
    store = Store(default_path())
    try:
        with open_endpoint(llm) as endpoint:
            engine = Engine(endpoint, store, on_answer)
            try:
                yield engine
            finally:
                engine.close()
    finally:
        store.close()
