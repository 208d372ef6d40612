"""The provider's side of the batch API: a file up, a batch, how it stands, a file down.

What fails is done again as long as that makes sense: a batch takes hours, and a bad minute of the
server's should not end the wait for it.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, TypeVar

from seedbed.llm import errors
from seedbed.llm.redaction import quoted
from seedbed.llm.send.client import Client
from seedbed.llm.send.setback import MOST_SAID, Setback
from seedbed.llm.send.transport import MOST_BYTES
from seedbed.llm.serve.endpoint import PATHS, Endpoint

OVER = ("completed", "failed", "expired", "cancelled", "unknown")
# What a batch calls an endpoint, wherever the server has it.
URLS = {api: f"/v1{path}" for api, path in PATHS.items()}

Result = TypeVar("Result")


@dataclass(frozen=True)
class State:
    """How a batch stands.

    status: in the provider's words; "unknown": it has no such batch.
    done, total: requests.
    files: of the answers, and of the errors.
    said: why the batch failed as a whole.
    full: whether it did because too much of this account's was waiting already.
    """

    status: str
    done: int = 0
    total: int = 0
    files: tuple[str, ...] = ()
    said: str = ""
    full: bool = False

    @property
    def over(self) -> bool:
        return self.status in OVER


class Line(NamedTuple):
    """One line of a file that came down: status and body of the response to one request.

    said: what went wrong, "" if nothing did.
    """

    key: str
    status: int | None
    body: Any
    said: str


def to_line(key: str, url: str, body: dict[str, Any]) -> bytes:
    """One line of a file that goes up."""
    line = {"custom_id": key, "method": "POST", "url": url, "body": body}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def read_line(line: bytes) -> Line | None:
    """None: it does not say which request it is about.

    >>> read_line(b'{"custom_id": "a", "error": {"code": "batch_expired", "message": "Too late"}}')
    Line(key='a', status=None, body=None, said='batch_expired: Too late')
    """
    try:
        fields = json.loads(line)
        key, response = fields["custom_id"], fields.get("response") or {}
        status, body = response.get("status_code"), response.get("body")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(key, str):
        return None
    if status == 200:
        return Line(key, status, body, "")
    error = fields.get("error") or body
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    code, said = "", error
    if isinstance(error, dict):
        code, said = str(error.get("code") or ""), error.get("message") or error
    parts = ("" if status is None else f"HTTP {status}", code, " ".join(str(said).split()))
    return Line(key, status, body, quoted(": ".join(filter(None, parts)), MOST_SAID))


class BatchApi:
    """Speaks it, to one endpoint."""

    def __init__(self, endpoint: Endpoint, client: Client):
        self._endpoint = endpoint
        self._client = client

    async def upload(self, lines: IO[bytes]) -> str:
        """Gives the file's id.

        Raises:
            BatchFailed, ServerNotThere, KeyRefused
        """

        async def send() -> str:
            lines.seek(0)
            files = self._client.openai.files
            return _id_of(await files.create(file=("seedbed.jsonl", lines), purpose="batch"))

        with self._named():
            return await self._insist(send)

    async def create(self, file: str, tag: str) -> str:
        """Make a batch of an uploaded file; gives its id. It is made once, whatever happens.

        Raises:
            BatchFailed, ServerNotThere, KeyRefused
        """
        tried = False

        async def make() -> str:
            nonlocal tried
            # If only the answer was lost, it was made all the same.
            if tried and (found := await self._look_for(tag)):
                return found
            tried = True
            return _id_of(
                await self._client.openai.batches.create(
                    input_file_id=file,
                    endpoint=URLS[self._endpoint.llm.api],  # type: ignore[arg-type] # one of its literals
                    completion_window="24h",
                    metadata={"seedbed": tag},
                )
            )

        with self._named():
            return await self._insist(make)

    async def find(self, tag: str) -> str | None:
        """The id of the batch that was made with that tag, if one was.

        Raises:
            BatchFailed, ServerNotThere, KeyRefused
        """
        with self._named():
            return await self._insist(lambda: self._look_for(tag))

    async def _look_for(self, tag: str) -> str | None:
        async for batch in self._client.openai.batches.list(limit=100):
            if (batch.metadata or {}).get("seedbed") == tag:
                return _id_of(batch)
        return None

    async def look(self, id_: str, *, sure: bool) -> State:
        """How a batch stands.

        sure: whether it is there for certain. A server may need a moment before it shows what it
            has just made, so that one is asked for until it does.

        Raises:
            BatchFailed, ServerNotThere, KeyRefused
        """

        async def see() -> State:
            try:
                with self._client.setbacks():
                    batch = await self._client.openai.batches.retrieve(id_)
            except Setback as setback:
                if setback.status != 404:
                    raise
                if sure:
                    raise Setback("broke", setback.said, 404) from None
                return State("unknown")
            return _state_of(batch)

        with self._named():
            return await self._insist(see)

    async def download(self, file: str, into: IO[bytes]) -> str:
        """Fetch a file; gives why not all of it came, "" if it did.

        A line that is longer than an answer may be ends it: what stands before is there.

        Raises:
            BatchFailed, ServerNotThere, KeyRefused
        """

        async def fetch() -> str:
            into.seek(0)
            into.truncate()
            line = 0
            streamed = self._client.downloads.files.with_streaming_response.content(file)
            async with streamed as response:
                blocks: AsyncIterator[bytes] = response.iter_bytes()
                async for block in blocks:
                    into.write(block)
                    _, end, rest = block.rpartition(b"\n")
                    line = len(rest) if end else line + len(block)
                    if line > MOST_BYTES:
                        into.truncate(into.tell() - line)
                        return f"a line of more than {MOST_BYTES // 10**6} MB ends the answers"
            return ""

        with self._named():
            try:
                return await self._insist(fetch)
            except Setback as setback:
                if setback.status not in (404, 410):
                    raise
                return "the server no longer has the answers"

    async def _insist(self, action: Callable[[], Awaitable[Result]]) -> Result:
        return await self._client.insist(action, self._endpoint.retries, self._endpoint.patience)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except Setback as setback:
            if setback.kind == "absent" and not self._client.reached:
                raise errors.ServerNotThere(self._endpoint.address, setback.said) from None
            said = f"{setback.status_or_kind}: {setback.said}"
            raise errors.BatchFailed(self._endpoint.address, said) from None


def _id_of(made: Any) -> str:
    """The id of a file or a batch. The client gives whatever a server sent, be it a web page."""
    id_ = getattr(made, "id", None)
    if not isinstance(id_, str) or not id_:
        raise Setback("bad", f"its answer has no id: {quoted(str(made), 200)!r}")
    return id_


def _state_of(batch: Any) -> State:
    if not isinstance(getattr(batch, "status", None), str):
        raise Setback("bad", f"its answer has no status: {quoted(str(batch), 200)!r}")
    counts = batch.request_counts
    problems = (batch.errors and batch.errors.data) or []
    said = [
        f"{'' if problem.line is None else f'line {problem.line}: '}"
        f"{problem.message or problem.code}"
        for problem in problems
    ]
    more = f"; and {len(said) - 3} more" if len(said) > 3 else ""
    return State(
        status=batch.status,
        done=(counts.completed or 0) + (counts.failed or 0) if counts else 0,
        total=counts.total or 0 if counts else 0,
        files=tuple(filter(None, (batch.output_file_id, batch.error_file_id))),
        said="; ".join(said[:3]) + more or "it does not say why",
        full=any(problem.code == "token_limit_exceeded" for problem in problems),
    )
