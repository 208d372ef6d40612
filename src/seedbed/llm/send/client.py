"""The official client, and nothing else: this is the only module that imports `openai`.

Requests go through its low-level `post`, which gives the raw body and skips what costs most in
the typed calls, the conversion of every field both ways.
"""

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, TypeVar, get_args
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx2
import openai

from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.contract.request import Parameter
from seedbed.llm.redaction import quoted
from seedbed.llm.send.limits import pause_before
from seedbed.llm.send.transport import TooLarge, Wire
from seedbed.llm.serve.endpoint import Endpoint, number_from_env

Result = TypeVar("Result")

# Under /v1.
PATHS = {"completions": "/completions", "chat": "/chat/completions"}

# busy: the server asks to be left alone for a while; absent: nobody listens there;
# broke: it failed at this request; too_long: the request does not fit the model's context;
# refused: its rules forbid this prompt; bad: it will not take this request as it is.
Kind = Literal["busy", "absent", "broke", "too_long", "refused", "bad"]

MALFORMED = "not a completion: "
# Characters that are quoted of what a server said, and of a body that is malformed.
MOST_SAID, MOST_OF_A_BODY = 500, 1000


@dataclass
class Setback(Exception):
    """A request that was not answered, and whose fault that is.

    said: what the server said, in one line.
    retry_after: seconds that it asks to wait.
    parameter: what a `bad` request should leave out, if the server says so.
    body: of a response that is not what it should be; its beginning is kept.
    usage: the tokens that such a response says it took.
    slow: whether the server may be overloaded.
    """

    kind: Kind
    said: str
    status: int | None = None
    retry_after: float | None = None
    parameter: str | None = None
    body: str = ""
    usage: tuple[int, int] | None = None
    slow: bool = False

    def __post_init__(self) -> None:
        # Whatever came from outside is looked through here, before anybody can show or keep it.
        self.said = quoted(re.sub(r"\s+", " ", self.said), MOST_SAID)
        self.body = quoted(self.body, MOST_OF_A_BODY)

    @property
    def may_be_charged(self) -> bool:
        """Whether the server may have done its work, although it brought no answer."""
        return self.kind == "broke" and self.status in (None, 200)

    @property
    def malformed(self) -> bool:
        """Whether it was answered, with what is no completion."""
        return self.said.startswith(MALFORMED)

    @property
    def status_or_kind(self) -> str:
        return self.kind if self.status is None else f"HTTP {self.status}"


def malformed(why: str, body: str = "", usage: tuple[int, int] | None = None) -> Setback:
    """A response that is no completion: a failed try, like a connection that breaks."""
    return Setback("broke", f"{MALFORMED}{why}", 200, body=body, usage=usage)


class Client:
    """Speaks to one endpoint; connects at the first request.

    reached: whether something that was insisted on has succeeded.
    """

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint
        self.reached = False
        base_url, key = endpoint.connect()
        self._place = _place(base_url)
        self._root = self._place.base_url.removesuffix("/v1")
        self._timeout = number_from_env("SEEDBED_TIMEOUT", 600)
        self._deadlines: set[asyncio.Timeout] = set()
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

    def _http_client(self, *, whole: bool) -> httpx2.AsyncClient:
        wire = Wire(
            self._place.base_url,
            self._endpoint.address,
            # A proxy is for the way out, never for the server in this process.
            trust_env=not self._endpoint.embedded,
            whole=whole,
        )
        query = httpx2.QueryParams(self._place.query)
        return httpx2.AsyncClient(
            transport=wire, params=query, timeout=self._timeout, follow_redirects=True
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
        await self._openai.close()
        if self._downloads is not None:
            await self._downloads.close()

    async def post(self, path: str, body: Mapping[str, Any], *, at_root: bool = False) -> str:
        """Send one request and give the raw body of the response.

        at_root: the path is the server's own, not one of the API under /v1.

        Raises:
            Setback, errors.KeyRefused, errors.ModelUnknown, errors.Redirected
        """
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
                    self._endpoint.address, self._endpoint.model, _said(error), known
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
                if setback.kind not in ("busy", "absent", "broke") or given_up or too_long:
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
        return _Setbacks(self._endpoint.address)

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

    async def models(self) -> list[str]:
        """The models that the server says it has; none if it does not say."""
        try:
            models = await self._openai.with_options(timeout=10).models.list()
            names = [model.id for model in models.data if isinstance(model.id, str)]
            return [quoted(name, 200) for name in names[:20]]
        except UNEXPECTED:
            return []


def failure(address: str, setback: Setback) -> SeedbedError:
    """The error that ends a run for a setback; `address` as `Endpoint` has it."""
    if setback.kind == "absent":
        return errors.ServerNotThere(address, setback.said)
    if setback.parameter:
        return errors.ParameterRefused(address, setback.parameter, setback.said)
    if setback.kind in ("busy", "broke"):
        return errors.ServerFailed(address, f"{setback.status_or_kind}: {setback.said}")
    if setback.status is None:
        return errors.BadAnswer(address, setback.said, setback.body)
    return errors.RequestRefused(address, setback.status, setback.said)


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

    def __init__(self, address: str):
        self._address = address

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, openai.APIConnectionError):
            raise _connection(error) from None
        if isinstance(error, openai.APIStatusError):
            setback = _status(error)
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
TIMED_OUT = "it does not answer in time (SEEDBED_TIMEOUT)"


def _connection(error: openai.APIConnectionError) -> Setback:
    """No connection, or one that broke."""
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


def _status(error: openai.APIStatusError) -> Setback:
    said, status = _said(error), error.status_code
    wait = _retry_after(error.response.headers)
    if status in (429, 503, 529):
        return Setback("busy", said, status, wait, slow=True)
    if status in (408, 409) or status >= 500:
        return Setback("broke", said, status, wait, slow=status in (408, 504))
    if status == 413 or re.search(TOO_LONG, said, re.IGNORECASE):
        return Setback("too_long", said, status)
    if re.search(AGAINST_THE_RULES, f"{said} {_field(error, 'code')}", re.IGNORECASE):
        return Setback("refused", said, status)
    parameter = refused_parameter(said, _field(error, "param"))
    return Setback("bad", said, status, parameter=parameter)


# OpenAI: "maximum context length is 4097 tokens"; vLLM the same, or "longer than the maximum
# model length"; llama.cpp: "exceeds the available context size".
TOO_LONG = (
    r"context.?length|maximum context|context (size|window)|(maximum|max).?(model|input).?len"
    r"|too many tokens|(prompt|input) is too long|reduce the length"
)
AGAINST_THE_RULES = r"content_filter|content_policy|content management policy|moderation|flagged"


def refused_parameter(said: str, named: str = "") -> str | None:
    """Which of the parameters that can be left out a refusal is about.

    >>> refused_parameter("Unrecognized request argument supplied: presence_penalty")
    'presence_penalty'
    >>> refused_parameter("$.stop is too long: at most 4 elements")
    'stop'
    """
    names = ["max_tokens", "n", *get_args(Parameter)]
    text = f"{named} {said}".replace("top_logprobs", "logprobs")
    found = [name for name in names if re.search(rf"(?<![\w-]){name}(?![\w-])", text)]
    # "n" is also a letter: it counts only where it is named as a parameter.
    if "n" in found and named != "n" and not re.search(r"[`'\"]n[`'\"]|\bn ?(=|>|must)", said):
        found.remove("n")
    return found[0] if found else None


def _field(error: openai.APIStatusError, name: str) -> str:
    body = error.body
    return str(body.get(name) or "")[:200] if isinstance(body, dict) else ""


def _said(error: openai.APIStatusError) -> str:
    """What the server answered, in one line."""
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            inner = inner.get("message") or inner.get("detail") or inner
        body = inner
    if isinstance(body, list) and all(isinstance(one, dict) and "msg" in one for one in body):
        # FastAPI's complaints: without their `input`, which repeats the prompt.
        body = "; ".join(f"{'.'.join(map(str, one.get('loc', [])))}: {one['msg']}" for one in body)
    elif isinstance(body, list | dict):
        body = json.dumps(body)
    said = str(body or error.message)
    if found := re.findall(COMPLAINT, said[:MOST_TO_SEARCH]):
        said = "; ".join(f"{place}: {message}" for place, message in found)
    return quoted(" ".join(said.split()), MOST_SAID)


# What finds a complaint takes time in proportion to the square.
MOST_TO_SEARCH = 20_000


# The same in vLLM's words.
COMPLAINT = r"""'loc': \(([^)]*)\), 'msg': ('[^']*'|"[^"]*")"""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header: a number, or a date.

    A date counts from the response's own, since the server's clock need not be ours.

    >>> date, later = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:30 GMT"
    >>> _retry_after({"date": date, "retry-after": later})
    30.0
    """
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    until = _date(value)
    begun = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - begun).total_seconds()) if until else None


def _date(value: str) -> datetime | None:
    """A header's date, None if it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # Without a zone it is UTC, as all dates in headers are.
    return date if date.tzinfo else date.replace(tzinfo=UTC)
