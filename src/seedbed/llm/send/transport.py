"""The wire under the official client: aiohttp, which carries more requests a second than its own.

A server may send anything, so

- headers of 64 KB are taken, and of a response at most MOST_BYTES are read;
- what is no HTTP is a connection that broke, and is never quoted: the key may be in it;
- a connection on which something came unasked is not used again: it would be taken for the next
  request's answer, and every answer after it would be another's;
- a redirect to another place is not followed: key and prompts would go there.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2

from seedbed.llm import errors

# Of a response, decompressed.
MOST_BYTES = 32_000_000
# Of one header, with its name; aiohttp's own limit is 8,190.
MOST_OF_A_HEADER = 65_600
# Of what is too large so much is given back, to be quoted.
BEGINNING = 100_000
# Seconds.
LOOK_EVERY = 0.5
# Servers close a connection that was idle for longer.
KEEP_ALIVE = 5.0


class TooLarge(httpx2.RequestError):
    """A response of more than MOST_BYTES; beginning: of its body."""

    def __init__(self, beginning: bytes):
        super().__init__(f"more than {MOST_BYTES // 10**6} MB")
        self.beginning = beginning


class Transport(httpx2.AsyncBaseTransport):
    """Connections to the one server of a base URL; made at the first request.

    address: what messages call the server.
    trust_env: whether the environment may name a proxy and certificates.
    whole: whether responses are read here, as far as they may be; else one with the status 200 is
        for the caller to read, however long it is.
    """

    def __init__(self, base_url: str, address: str, *, trust_env: bool, whole: bool = True):
        self._address = address
        self._origin = httpx2.URL(base_url).origin
        self._whole = whole
        self._proxy = _proxy_for(base_url) if trust_env else None
        secure = urlsplit(base_url).scheme == "https"
        self._ssl = httpx2.create_ssl_context(trust_env=trust_env) if secure else True
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and read the response.

        Raises:
            httpx2.TransportError: no connection, one that broke, or no HTTP.
            TooLarge
            errors.Redirected
        """
        if request.url.origin != self._origin:
            raise self._redirected(request.url)
        if self._session is None:
            self._session = self._open()
        with _failures():
            response = await self._session.request(
                request.method,
                str(request.url),
                headers=request.headers,
                data=_data_of(request),
                allow_redirects=False,
                timeout=_timeout_of(request),
                proxy=self._proxy,
            )
            if response.status == 200 and not self._whole:
                return _made(response, stream=_Stream(response))
            try:
                self._refuse_redirect(request, response)
                return _made(response, content=await _read(response))
            finally:
                response.release()  # a connection with something left to read is closed by that

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # Requests in flight are bounded elsewhere.
        connector = _Connector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=self._ssl)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # the client above has its own
            max_field_size=MOST_OF_A_HEADER,
        )

    def _refuse_redirect(self, request: httpx2.Request, response: aiohttp.ClientResponse) -> None:
        """If the client above would follow it without the request's body."""
        location = response.headers.get("Location")
        if location is None or response.status not in (301, 302, 303) or request.method == "GET":
            return
        try:
            raise self._redirected(request.url.join(location))
        except httpx2.InvalidURL:
            raise httpx2.RemoteProtocolError("a redirect to nowhere") from None

    def _redirected(self, target: httpx2.URL) -> errors.Redirected:
        shown = target.copy_with(userinfo=b"", query=None, fragment=None)
        return errors.Redirected(self._address, str(shown))


class _Connector(aiohttp.TCPConnector):
    async def _get(self, *arguments: Any) -> Any:
        """A connection to be used again, but none on which something came meanwhile."""
        while (connection := await super()._get(*arguments)) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                break
            connection.close()
        return connection


class _Stream(httpx2.AsyncByteStream):
    """The body of a response that the caller reads."""

    def __init__(self, response: aiohttp.ClientResponse):
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _failures():
            async for block in _blocks(self._response):
                yield block

    async def aclose(self) -> None:
        self._response.release()


@contextmanager
def _failures() -> Iterator[None]:
    """Turns aiohttp's exceptions into those that the client above knows."""
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise httpx2.ConnectError(str(error).replace(" ssl:default", "")) from None
    except TimeoutError:
        raise httpx2.ReadTimeout("it took too long") from None
    except aiohttp.ClientResponseError as error:
        raise httpx2.RemoteProtocolError(_own_words(error.message)) from None
    except aiohttp.ClientPayloadError as error:
        said = getattr(error.__cause__, "message", "") or str(error)
        raise httpx2.ReadError(_own_words(said)) from None
    except (aiohttp.ClientError, OSError) as error:
        raise httpx2.ReadError(str(error) or type(error).__name__) from None


def _own_words(said: str) -> str:
    """How aiohttp begins to say what is wrong, before it quotes the server.

    >>> _own_words("Invalid character in Content-Length:\\n\\n  b'Content-Length: sk-…'")
    'Invalid character in Content-Length'
    """
    return re.match(r"[\w -]*", said)[0].strip()  # type: ignore[index] # it always matches


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    named = getproxies()
    proxy = named.get(parts.scheme) or named.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _data_of(request: httpx2.Request) -> Any:
    try:
        return request.content or None
    except httpx2.RequestNotRead:  # a file on its way up
        request.headers.pop("Transfer-Encoding", None)  # aiohttp's affair
        return request.stream


def _timeout_of(request: httpx2.Request) -> aiohttp.ClientTimeout:
    given = request.extensions.get("timeout", {})
    return aiohttp.ClientTimeout(
        connect=given.get("pool"), sock_connect=given.get("connect"), sock_read=given.get("read")
    )


async def _blocks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body, bit by bit.

    What is no HTTP in the middle of a body, aiohttp does not tell its reader, who would wait for
    ever: so the connection is looked at now and then.
    """
    connection = response.connection  # None: all of it is here
    protocol = connection and connection.protocol
    while True:
        try:
            async with asyncio.timeout(LOOK_EVERY) as deadline:
                block = await response.content.readany()
        except TimeoutError:
            if not deadline.expired():
                raise
            problem = None if protocol is None else protocol.exception()
            if problem is not None:
                said = getattr(problem, "message", "")
                raise httpx2.RemoteProtocolError(_own_words(said)) from None
        else:
            if not block:
                return
            yield block


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises TooLarge, but not of an error, whose beginning is enough."""
    body = bytearray()
    async for block in _blocks(response):
        body += block
        if len(body) > MOST_BYTES:
            if response.status == 200:
                raise TooLarge(bytes(body[:BEGINNING]))
            break
    return bytes(body)


def _made(response: aiohttp.ClientResponse, **body: Any) -> httpx2.Response:
    gone = (b"content-encoding", b"content-length", b"transfer-encoding")
    headers = [(name, value) for name, value in response.raw_headers if name.lower() not in gone]
    return httpx2.Response(response.status, headers=headers, **body)
