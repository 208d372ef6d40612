"""The provider's batch API: requests as a file, answers as a file, within a day, at half the price.

What is submitted is remembered in the store before it is submitted, under a tag that is also in
the batch's metadata. So a run that is killed at any point finds its batches again, with or
without their ids, and submits nothing twice.
"""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from seedbed import errors
from seedbed.llm.api import MalformedBody, body_for, choices_of, problem_of, usage_of
from seedbed.llm.budget import Budget, cost, most_tokens
from seedbed.llm.client import Client, Setback
from seedbed.llm.endpoint import Endpoint, number_from_env
from seedbed.llm.limits import pause_before
from seedbed.llm.runlog import RunLog
from seedbed.llm.store import Kept, Spent, Store
from seedbed.llm.work import Book, Call, Wanted, Window

# OpenAI takes 50,000 requests and 200 MB a file.
MOST_REQUESTS, MOST_BYTES = 50_000, 190_000_000
OVER = ("completed", "failed", "expired", "cancelled")
# Answers a commit.
CHUNK = 1000

Result = TypeVar("Result")


class BatchSender:
    """Submits windows of requests as batches and waits for them."""

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
        self._client = Client(endpoint)
        self._wanted: dict[str, Wanted] = {}
        self._poll = number_from_env("SEEDBED_BATCH_POLL", 30)
        self._most = number_from_env("SEEDBED_BATCH_REQUESTS", MOST_REQUESTS)

    def lend_client(self) -> Client:
        """The client, for requests of another kind."""
        return self._client

    def add(self, wanted: Sequence[Wanted]) -> None:
        self._wanted |= {one.keyed.key: one for one in wanted}

    waiting = 0

    async def start(self) -> None:
        """Nothing: a window is submitted as a whole."""

    async def finish(self, window: Window) -> None:
        """Until every request of the window is answered or has failed.

        Raises:
            SeedbedError: what ends the run; batches under way are picked up by the next one.
        """
        waiting = await self._remembered()
        while window.open:
            asked = {key for keys in waiting.values() for key in keys}
            rest = [one for key, one in self._wanted.items() if key not in asked]
            submitted = await self._submit(rest)
            waiting |= submitted
            if not waiting:
                one = rest[0]
                raise self.budget.exceeded(*self._most_of(one))
            await self._wait(waiting)

    async def wind_up(self, seconds: float) -> None:
        """Nothing to do: what was submitted goes on without us."""

    async def close(self) -> None:
        await self._client.close()

    async def _remembered(self) -> dict[str, set[str]]:
        """The batches of earlier runs that have some of what is wanted: id → keys."""
        waiting = {}
        for tag, known in self._store.batches(self._model):
            id_ = known or await self._find(tag)
            if id_ is None:
                self._store.batch_over(tag)  # killed before it was submitted
                continue
            self._store.batch_made(tag, id_)
            keys = set(self._store.batch_requests(tag))
            if keys & self._wanted.keys():
                waiting[id_] = keys
            else:
                # Nobody waits for it now, but it was paid for.
                await self._collect(tag, id_)
        return waiting

    async def _find(self, tag: str) -> str | None:
        """The id of the batch with that tag, if there is one."""

        async def look() -> str | None:
            async for batch in self._client.openai.batches.list(limit=100):
                if (batch.metadata or {}).get("seedbed") == tag:
                    return str(batch.id)
            return None

        found: str | None = await self._insist(look)
        return found

    async def _insist(self, action: Callable[[], Any]) -> Any:
        """Do what may be done again, until it succeeds or has failed too often."""
        failed = 0
        while True:
            try:
                with self._client.setbacks():
                    return await action()
            except Setback as setback:
                failed += 1
                if setback.kind == "bad" or failed > self._endpoint.retries:
                    said = f"{setback.status_or_kind}: {setback.said}"
                    raise errors.BatchFailed(self._endpoint.address, said) from None
                await asyncio.sleep(setback.retry_after or pause_before(failed))

    def _most_of(self, one: Wanted) -> tuple[int, int]:
        return most_tokens(one.request.prompt), one.request.sampling.max_tokens

    def _line(self, one: Wanted) -> bytes:
        llm = self._endpoint.llm
        body = body_for(
            llm.api,
            self._endpoint.model,
            llm.system,
            Call([one]).prompts,
            one.request,
            one.request.sampling.max_tokens,
            1,
            llm.leave_out,
        )
        line = {"custom_id": one.keyed.key, "method": "POST", "url": self._url, "body": body}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"

    @property
    def _url(self) -> str:
        return "/v1/chat/completions" if self._endpoint.llm.api == "chat" else "/v1/completions"

    def _parts(self, wanted: Sequence[Wanted]) -> Iterator[tuple[list[Wanted], bytes]]:
        """Stretches that fit one file, as far as the budget goes."""
        part: list[Wanted] = []
        lines: list[bytes] = []
        size = 0
        for one in wanted:
            if not self.budget.reserve(*self._most_of(one)):
                break
            line = self._line(one)
            if part and (len(part) == self._most or size + len(line) > MOST_BYTES):
                yield part, b"".join(lines)
                part, lines, size = [], [], 0
            part.append(one)
            lines.append(line)
            size += len(line)
        if part:
            yield part, b"".join(lines)

    async def _submit(self, wanted: Sequence[Wanted]) -> dict[str, set[str]]:
        submitted = {}
        for part, data in self._parts(wanted):
            tag = secrets.token_hex(8)
            self._store.batch_begun(
                tag,
                self._model,
                ((*one.keyed[:2], one.keyed.form, self._most_of(one)[1]) for one in part),
            )
            submitted[await self._make(tag, data)] = {one.keyed.key for one in part}
        return submitted

    async def _make(self, tag: str, data: bytes) -> str:
        api = self._client.openai
        file = await self._insist(
            lambda: api.files.create(file=("seedbed.jsonl", data), purpose="batch")
        )
        failed = 0
        while True:
            try:
                with self._client.setbacks():
                    batch = await api.batches.create(
                        input_file_id=file.id,
                        endpoint=self._url,  # type: ignore[arg-type] # one of its literals
                        completion_window="24h",
                        metadata={"seedbed": tag},
                    )
                id_ = str(batch.id)
                break
            except Setback as setback:
                # It may have been made all the same, if only the answer was lost.
                failed += 1
                if setback.kind == "bad" or failed > self._endpoint.retries:
                    said = f"{setback.status_or_kind}: {setback.said}"
                    raise errors.BatchFailed(self._endpoint.address, said) from None
                await asyncio.sleep(setback.retry_after or pause_before(failed))
                if found := await self._find(tag):
                    id_ = found
                    break
        self._store.batch_made(tag, id_)
        return id_

    async def _wait(self, waiting: dict[str, set[str]]) -> None:
        """Until one of the batches is over; enter what it brought."""
        tags = {id_: tag for tag, id_ in self._store.batches(self._model)}
        while True:
            done = total = 0
            states = []
            for id_ in list(waiting):
                state, counted, of = await self._collect(tags[id_], id_)
                if state in OVER:
                    self._give_up(waiting.pop(id_), id_, state)
                    return
                done, total = done + counted, total + of
                states.append(state)
            self._book.show(f"batch {'/'.join(sorted(set(states)))}: {done} of {total} done")
            await asyncio.sleep(self._poll)

    async def _collect(self, tag: str, id_: str) -> tuple[str, int, int]:
        """Look at a batch; if it is over, keep its answers. Gives status, done, total."""
        api = self._client.openai
        batch = await self._insist(lambda: api.batches.retrieve(id_))
        counts = batch.request_counts
        progress = (counts.completed + counts.failed, counts.total) if counts else (0, 0)
        if batch.status not in OVER:
            return batch.status, *progress
        if batch.status == "failed":
            data = batch.errors.data if batch.errors and batch.errors.data else []
            said = "; ".join(str(one.message) for one in data) or "no reason given"
            self._store.batch_over(tag)
            raise errors.BatchFailed(self._endpoint.address, f"{id_}: {said}")
        asked = self._store.batch_requests(tag)
        for file in (batch.output_file_id, batch.error_file_id):
            if file:
                await self._enter(file, asked)
        self._store.batch_over(tag)
        return batch.status, *progress

    async def _enter(self, file: str, asked: dict[str, tuple[str, str, int]]) -> None:
        api = self._client.openai
        content = await self._insist(lambda: api.files.content(file))
        rows: list[Kept] = []
        usage = [0, 0]
        for line in content.text.splitlines():
            try:
                result = json.loads(line)
                key = result["custom_id"]
                base, form, max_tokens = asked[key]
                response = result.get("response") or {}
                status, body = response.get("status_code"), response.get("body")
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # not an answer to anything that was asked: what it was for stays open
            if status != 200:
                error = result.get("error") or body
                self._fail(key, f"HTTP {status}: {_message(error)}")
                continue
            text = json.dumps(body, ensure_ascii=False)
            try:
                data, (choice,) = choices_of(text, 1)
                problem, finish = problem_of(choice), choice.get("finish_reason")
                counted = usage_of(data)
            except MalformedBody:
                problem, finish, counted = "malformed", None, None
            if counted:
                usage = [usage[0] + counted[0], usage[1] + counted[1]]
            rows.append(
                Kept(
                    *(key, base, self._model, form, text, max_tokens),
                    finish == "stop" and problem in (None, "empty"),
                    problem,
                    *(counted or (None, None)),
                )
            )
            self._log.add(
                seconds=None,
                status="batch",
                tries=1,
                answers=1,
                prompt_tokens=counted and counted[0],
                completion_tokens=counted and counted[1],
                key=key,
            )
        spent = Spent(self.budget.spent.run, sum(usage), cost(self._endpoint.price, *usage))
        for i in range(0, max(len(rows), 1), CHUNK):
            chunk = [errors.without_key(row) for row in rows[i : i + CHUNK]]
            total = self._store.put(chunk, spent if i == 0 else Spent(spent.run))
            self.budget.spent = total or self.budget.spent
        self._log.flush()
        self._book.count(tuple(usage), self._endpoint.price)  # type: ignore[arg-type]
        for row in rows:
            if one := self._over(row.key):
                self._book.settle(one, row)

    def _over(self, key: str) -> Wanted | None:
        one = self._wanted.pop(key, None)
        if one:
            self.budget.release(*self._most_of(one))
        return one

    def _fail(self, key: str, reason: str) -> None:
        if one := self._over(key):
            self._book.fail(Call([one]), errors.redact(reason))

    def _give_up(self, keys: set[str], id_: str, state: str) -> None:
        """A batch is over: what it did not answer has failed."""
        for key in keys & self._wanted.keys():
            self._fail(key, f"batch {id_} is {state} without an answer to it")


def _message(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("error", error)
    if isinstance(error, dict):
        error = error.get("message", error)
    return " ".join(str(error).split())[:500]
