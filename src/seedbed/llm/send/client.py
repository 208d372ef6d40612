"""The official client, and nothing else: this is the only module that imports `openai`.

Requests go through its low-level `post`, which gives the raw body and skips what costs most in
the typed calls, the conversion of every field both ways.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2
import openai

from seedbed.llm import errors
from seedbed.llm.redaction import quoted
from seedbed.llm.send.limits import pause_before
from seedbed.llm.send.setback import (
    TIMED_OUT,
    Setback,
    malformed,
    of_status,
    said_in,
)
from seedbed.llm.send.transport import TooLarge, Transport
from seedbed.llm.serve.endpoint import Away, Endpoint, number_from_env

Result = TypeVar("Result")


class Client:
    """Speaks to one endpoint; connects at the first request.

    reached: whether something that was insisted on has succeeded.
    """

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint
        self.reached = False
        self._timeout = number_from_env("SEEDBED_TIMEOUT", 600)
        self._deadlines: set[asyncio.Timeout] = set()
        self._at: tuple[str, str] | None = None
        # One that moves is looked for when it is wanted.
        if not endpoint.moves:
            self._go(*endpoint.connect())

    def _go(self, base_url: str, key: str) -> None:
        self._at = base_url, key
        self._place = _place(base_url)
        self._root = self._place.base_url.removesuffix("/v1")
        self._openai = openai.AsyncOpenAI(
            base_url=self._place.base_url,
            api_key=key,
            # The engine itself tries again: it knows what the other requests go through.
            max_retries=0,
            timeout=self._timeout,
            default_headers=self._place.login,
            http_client=self._http_client(whole=True),
        )
        self._downloads: openai.AsyncOpenAI | None = None

    async def _follow(self) -> None:
        """Go where a server is that may have been started anew. Raises Setback: it is nowhere."""
        try:
            # It may take seconds, while others answer.
            found = await asyncio.to_thread(self._endpoint.connect)
        except Away as away:
            raise Setback("absent", str(away), slow=True) from None
        if found != self._at:
            await self.close()
            self._go(*found)

    def _http_client(self, *, whole: bool) -> httpx2.AsyncClient:
        transport = Transport(
            self._place.base_url,
            self._endpoint.address,
            # A proxy is for the way out, never for the server in this process.
            trust_env=not self._endpoint.embedded,
            whole=whole,
        )
        query = httpx2.QueryParams(self._place.query)
        return httpx2.AsyncClient(
            transport=transport, params=query, timeout=self._timeout, follow_redirects=True
        )

    @property
    def downloads(self) -> openai.AsyncOpenAI:
        """The same for what is longer than an answer may be, and is read bit by bit."""
        if self._downloads is None:
            http_client = self._http_client(whole=False)
            self._downloads = self._openai.with_options(http_client=http_client)
        return self._downloads

    @property
    def openai(self) -> openai.AsyncOpenAI:
        return self._openai

    async def close(self) -> None:
        if self._at is None:
            return
        await self._openai.close()
        if self._downloads is not None:
            await self._downloads.close()
            self._downloads = None

    async def post(self, path: str, body: Mapping[str, Any], *, at_root: bool = False) -> str:
        """Send one request and give the raw body of the response.

        at_root: the path is the server's own, not one of the API under /v1.

        Raises:
            Setback, errors.KeyRefused, errors.ModelUnknown, errors.Redirected
        """
        if self._at is None:
            await self._follow()
        where = f"{self._root}{path}" if at_root else path
        with self.setbacks():
            try:
                response = await self._in_time(
                    self._openai.post(
                        where,
                        body=body,
                        cast_to=httpx2.Response,
                        # Its own time to read begins anew with every byte that comes.
                        options={"timeout": httpx2.Timeout(self._timeout, read=None)},
                    )
                )
                # Whatever the response calls it: JSON is UTF-8.
                return response.content.decode()
            except UnicodeDecodeError:
                raise malformed("not UTF-8", response.text) from None
            except openai.NotFoundError as error:
                known = await self.models()
                raise errors.ModelUnknown(
                    self._endpoint.address,
                    self._endpoint.model,
                    said_in(error.body, error.message),
                    known,
                ) from None

    async def insist(
        self, action: Callable[[], Awaitable[Result]], retries: int, patience: float = 0.0
    ) -> Result:
        """Do what may be done again until it succeeds, at most `retries` times more.

        patience: seconds that it is given at least, unless nobody has ever been there; a server
            that asks to wait for longer is not waited for.

        Raises:
            Setback: the last one, or one that another try would not change.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + patience
        failed = 0
        while True:
            try:
                with self.setbacks():
                    done = await action()
                self.reached = True
                return done
            except Setback as setback:
                failed += 1
                never_there = setback.kind == "absent" and not self.reached
                given_up = failed > retries and (never_there or clock() >= end)
                too_long = (setback.retry_after or 0.0) > (patience or self._endpoint.patience)
                if not setback.passes or given_up or too_long:
                    raise
                await asyncio.sleep(setback.retry_after or pause_before(failed))

    async def _in_time(self, response: Awaitable[httpx2.Response]) -> httpx2.Response:
        async with asyncio.timeout(self._timeout) as deadline:
            self._deadlines.add(deadline)
            try:
                return await response
            finally:
                self._deadlines.discard(deadline)

    def grant(self, seconds: float) -> None:
        """Nobody could read what came: what is in flight has so much more time."""
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule((deadline.when() or 0.0) + seconds)

    def setbacks(self) -> "_Setbacks":
        """Turns what the client raises within this context into `Setback`s."""
        return _Setbacks(self._endpoint)

    async def look(self, path: str, *, at_root: bool = True) -> Any:
        """What the server has at a path, as parsed JSON; None if that is nothing.

        at_root: as `post`.
        """
        where = f"{self._root}{path}" if at_root else path
        try:
            response = await self._openai.with_options(timeout=10).get(
                where, cast_to=httpx2.Response
            )
            return json.loads(response.content)
        except (*UNEXPECTED, ValueError, RecursionError):
            return None

    async def present(self) -> list[str]:
        """The models that the server says it has, in its words; none if it does not say.

        Raises:
            Setback: it is not there, or not up to answering just now.
        """
        if self._endpoint.moves:
            await self._follow()
        try:
            models = await self._openai.with_options(timeout=10).models.list()
            return [model.id for model in models.data if isinstance(model.id, str)]
        except (
            openai.APIConnectionError,
            openai.InternalServerError,
            openai.RateLimitError,
        ) as error:
            with self.setbacks():
                raise error  # its cause says why
        except UNEXPECTED:
            return []

    async def models(self) -> list[str]:
        """The models that the server says it has; none if it does not say."""
        try:
            models = await self._openai.with_options(timeout=10).models.list()
            names = [model.id for model in models.data if isinstance(model.id, str)]
            return [quoted(name, 200) for name in names[:20]]
        except UNEXPECTED:
            return []


class _Place(NamedTuple):
    """Where a URL leads, and what goes there with every request.

    login: the header that says what user and password in the URL say.
    """

    base_url: str
    login: dict[str, str]
    query: str


def _place(url: str) -> _Place:
    """A URL taken apart.

    >>> _place("https://ann:pw@host/openai/?api-version=2026-01-01")
    _Place(base_url='https://host/openai', login={'Authorization': 'Basic YW5uOnB3'},
        query='api-version=2026-01-01')
    """
    parts = urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    code = b64encode(unquote(login).encode(errors="surrogateescape")).decode()
    return _Place(
        urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", "")),
        {"Authorization": f"Basic {code}"} if login else {},
        parts.query,
    )


class _Setbacks:
    """Turns the client's exceptions into `Setback`s, and into errors that end the run."""

    def __init__(self, endpoint: Endpoint):
        self._address = endpoint.address
        self._moves = endpoint.moves

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, openai.APIConnectionError):
            raise _of_connection(error) from None
        if isinstance(error, openai.APIStatusError):
            setback = of_status(
                error.status_code, error.body, error.message, error.response.headers
            )
            if self._moves and setback.status == 401:
                # Another one listens by now where it did.
                raise Setback("absent", "it is not there any more", slow=True) from None
            # 402: the account has no money left. None of the other requests will fare better.
            if setback.status in (401, 402, 403) and setback.kind == "bad":
                raise errors.KeyRefused(self._address, setback.status, setback.said) from None
            raise setback from None
        if isinstance(error, TimeoutError):
            raise Setback("broke", TIMED_OUT, slow=True) from None
        if isinstance(error, UNEXPECTED):
            raise Setback("broke", str(error) or type(error).__name__) from None


# What the typed calls raise at a body that is not what the API promises is no OpenAIError.
UNEXPECTED = (
    openai.OpenAIError,
    httpx2.HTTPError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)


def _of_connection(error: Exception) -> Setback:
    """No connection, or one that broke. error: the client's, whose cause says why."""
    cause = error.__cause__
    if isinstance(cause, TooLarge):
        return malformed(str(cause), cause.beginning.decode(errors="replace"))
    if isinstance(cause, httpx2.ConnectError):
        return Setback("absent", str(cause), slow=True)
    if isinstance(cause, httpx2.TimeoutException):
        return Setback("broke", TIMED_OUT, slow=True)
    if isinstance(cause, httpx2.RemoteProtocolError):
        return Setback("broke", f"what came is no HTTP: {cause}")
    return Setback("broke", f"the connection was cut: {cause or error}")
