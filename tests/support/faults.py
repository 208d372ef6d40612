"""A server that breaks every rule of HTTP that a client may rely on: each fault has a name.

It speaks through plain sockets, because `http.server` cannot misbehave. A fault is a generator of
the bytes that are sent; the connection is closed after the last of them.
"""

import base64
import gzip
import html
import json
import socket
import socketserver
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from email.parser import BytesParser
from functools import cache
from typing import NamedTuple
from urllib.parse import quote

from support.engines import response_to
from support.server import MODELS, Server, listening


class Asked(NamedTuple):
    """A request as it came in."""

    method: str
    path: str
    headers: Message
    body: dict

    @property
    def key(self) -> str:
        return (self.headers["Authorization"] or "").partition(" ")[2]


class Reset(Exception):
    """Raised by a fault: the connection is not closed, but torn."""


Fault = Callable[[Asked], Iterator[bytes]]


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """The beginning of a response; each line a header."""
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode()


def answer(body: str | bytes, *lines: str, status: str = "200 OK", stay: bool = False) -> bytes:
    """A whole response; stay: do not announce that the connection is closed then."""
    data = body.encode() if isinstance(body, str) else body
    usual = ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return head(*usual, *([] if stay else [CLOSE]), *lines, status=status) + data


def right(asked: Asked) -> str:
    return json.dumps(response_to(asked.body))


def chunks(*parts: bytes) -> Iterator[bytes]:
    for part in parts:
        yield b"%x\r\n%s\r\n" % (len(part), part)


CHUNKED, CLOSE = "Transfer-Encoding: chunked", "Connection: close"
MIB = 2**20


# --- What is no HTTP


def bad_status_line(asked: Asked) -> Iterator[bytes]:
    yield f"SPDY/9 {asked.key} what?\r\n\r\n".encode()


def status_of_letters(asked: Asked) -> Iterator[bytes]:
    yield head(status=f"OK {asked.key}")


def header_without_colon(asked: Asked) -> Iterator[bytes]:
    yield head(f"Authorization Bearer {asked.key}", "Content-Length: 2") + b"{}"


def header_of_70_kb(asked: Asked) -> Iterator[bytes]:
    yield answer(right(asked), f"X-Told: {asked.key} {'x' * 70_000}")


def headers_without_end(asked: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(10**6):
        yield f"X-{number}: {asked.key}\r\n".encode()


def length_too_small(asked: Asked) -> Iterator[bytes]:
    body = right(asked)
    yield head(f"Content-Length: {len(body) - 30}") + body.encode() + asked.key.encode()


def length_too_large(asked: Asked) -> Iterator[bytes]:
    body = right(asked)
    yield head(f"Content-Length: {len(body) + 30}") + body.encode()


def length_of_letters(asked: Asked) -> Iterator[bytes]:
    yield head(f"Content-Length: {asked.key}") + right(asked).encode()


def length_below_zero(asked: Asked) -> Iterator[bytes]:
    yield head("Content-Length: -5") + right(asked).encode()


def two_lengths(asked: Asked) -> Iterator[bytes]:
    yield head("Content-Length: 5", "Content-Length: 7") + right(asked).encode()


def bad_chunk_size(asked: Asked) -> Iterator[bytes]:
    yield head(CHUNKED)
    yield f"{asked.key}\r\n{right(asked)}\r\n0\r\n\r\n".encode()


def chunk_longer_than_its_size(asked: Asked) -> Iterator[bytes]:
    yield head(CHUNKED)
    yield f"5\r\n{right(asked)}\r\n0\r\n\r\n".encode()


def no_last_chunk(asked: Asked) -> Iterator[bytes]:
    yield head(CHUNKED)
    yield from chunks(right(asked).encode())


def half_a_chunk(asked: Asked) -> Iterator[bytes]:
    yield head(CHUNKED)
    yield b"ffff\r\n" + right(asked).encode()


# --- What is cut off


def cut(asked: Asked) -> Iterator[bytes]:
    yield from ()


def reset_at_once(asked: Asked) -> Iterator[bytes]:
    raise Reset
    yield b""


def reset_in_the_middle(asked: Asked) -> Iterator[bytes]:
    body = right(asked).encode()
    yield head(f"Content-Length: {len(body)}") + body[: len(body) // 2]
    time.sleep(0.05)
    raise Reset


def early_error(asked: Asked) -> Iterator[bytes]:
    """Before the request is read; the rest of it meets a closed door."""
    yield answer('{"error": {"message": "too early"}}', status="500 No")


# --- What does not end


def endless_body(asked: Asked) -> Iterator[bytes]:
    yield head("Content-Type: application/json")
    while True:
        yield b" " * MIB


def endless_chunks(asked: Asked) -> Iterator[bytes]:
    yield head(CHUNKED)
    while True:
        yield from chunks(b"[" * MIB)


@cache
def bomb(megabytes: int) -> bytes:
    """So much of white space as gzip; the checksum at the end is wrong, for whoever gets there."""
    packer = zlib.compressobj(9, wbits=31)
    begin = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    return begin + again * (megabytes - 1) + packer.flush()


def gzip_bomb(asked: Asked) -> Iterator[bytes]:
    yield answer(bomb(600), "Content-Encoding: gzip")


def slow(asked: Asked) -> Iterator[bytes]:
    body = right(asked).encode()
    yield head(f"Content-Length: {len(body)}")
    for byte in body:
        time.sleep(0.05)
        yield bytes([byte])


def slow_headers(asked: Asked) -> Iterator[bytes]:
    for byte in answer(right(asked)):
        time.sleep(0.05)
        yield bytes([byte])


def informed_without_end(asked: Asked) -> Iterator[bytes]:
    while True:
        yield head(status="102 Processing") * 10
        time.sleep(0.01)


# --- What is no text


def bad_gzip(asked: Asked) -> Iterator[bytes]:
    yield answer(b"\x1f\x8b" + right(asked).encode(), "Content-Encoding: gzip")


def half_a_gzip(asked: Asked) -> Iterator[bytes]:
    packed = gzip.compress(right(asked).encode())
    yield answer(packed[: len(packed) // 2], "Content-Encoding: gzip")


def gzip_that_is_none(asked: Asked) -> Iterator[bytes]:
    yield answer(right(asked), "Content-Encoding: gzip")


def unknown_encoding(asked: Asked) -> Iterator[bytes]:
    yield answer(b"\x8b\x02\x80" + right(asked).encode()[::-1], "Content-Encoding: br")


def bad_utf_8(asked: Asked) -> Iterator[bytes]:
    yield answer(right(asked).encode().replace(b"answer", b"\xff\xfe\xe4"))


# --- What is no answer


def web_page(asked: Asked) -> Iterator[bytes]:
    page = f"<html><body>{html.escape(asked.key)} is welcome</body></html>"
    yield head("Content-Type: text/html", CLOSE) + page.encode()


def doubled_choices(asked: Asked) -> Iterator[bytes]:
    body = response_to(asked.body)
    yield answer(json.dumps(body | {"choices": body["choices"] * 2}))


def no_choices(asked: Asked) -> Iterator[bytes]:
    yield answer(json.dumps(response_to(asked.body) | {"choices": []}))


def list_of_models(asked: Asked) -> Iterator[bytes]:
    yield answer(MODELS)


def half_of_the_json(asked: Asked) -> Iterator[bytes]:
    body = right(asked)
    yield answer(body[: len(body) // 2])


def nested_deep(asked: Asked) -> Iterator[bytes]:
    yield answer('{"choices": ' + "[" * 200_000)


def error_nested_deep(asked: Asked) -> Iterator[bytes]:
    yield answer('{"error": ' + "[" * 200_000, status="500 No")


# --- The key, as a server may have come to spell it


def in_json(text: str) -> str:
    return "".join(f"\\u{ord(one):04X}" if not one.isalnum() else one for one in text)


def in_html(text: str) -> str:
    return html.escape(text).replace("+", "&#43;").replace("/", "&#x2F;")


def in_html_by_name(text: str) -> str:
    return text.replace("+", "&plus;").replace("/", "&sol;").replace("=", "&equals;")


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda key: json.dumps(key)[1:-1],
    "slashes escaped": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "json": in_json,
    "json, every letter": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "json in json": lambda key: json.dumps(in_json(key))[1:-1],
    "percent": lambda key: quote(key, safe=""),
    "percent, small letters": lambda key: quote(key, safe="").replace("%2B", "%2b"),
    "percent twice": lambda key: quote(quote(key, safe=""), safe=""),
    "base64": in_base64,
    "base64 without =": lambda key: in_base64(key).rstrip("="),
    "base64 for addresses": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "base64 of more": lambda key: in_base64(f"Bearer {key}, then"),
    "base64 of a login": lambda key: in_base64(f":{key}"),
    "html": in_html,
    "html by name": in_html_by_name,
    "html in json": lambda key: json.dumps(in_html(key))[1:-1].replace("&", "\\u0026"),
}


def echoing(spelt: Callable[[str], str], where: str) -> Fault:
    """An answer that has the key in it: in an "error", or in what is "refused", "malformed"."""

    def fault(asked: Asked) -> Iterator[bytes]:
        told = spelt(asked.key)
        if where == "error":
            yield answer(f'{{"error": {{"message": "no: {told}"}}}}', status="500 No")
        elif where == "refused":
            error = f'{{"error": {{"message": "no {told}", "code": "content_filter"}}}}'
            yield answer(error, status="400 No")
        elif where == "malformed":
            yield answer(f'{{"told": "{told}"}}')
        else:
            body = json.dumps(response_to(asked.body, model="MODEL"))
            yield answer(body.replace("MODEL", told))

    return fault


def named(*faults: Fault) -> dict[str, Fault]:
    return {fault.__name__.replace("_", " "): fault for fault in faults}


def in_all_spellings(where: str) -> dict[str, Fault]:
    return {f"key {where}: {name}": echoing(spelt, where) for name, spelt in SPELLINGS.items()}


# A try that meets one of these fails, and the next is made.
FAULTS: dict[str, Fault] = {
    **named(
        bad_status_line,
        status_of_letters,
        header_without_colon,
        header_of_70_kb,
        headers_without_end,
        length_too_small,
        length_too_large,
        length_of_letters,
        length_below_zero,
        two_lengths,
        bad_chunk_size,
        chunk_longer_than_its_size,
        no_last_chunk,
        half_a_chunk,
        cut,
        reset_at_once,
        reset_in_the_middle,
        early_error,
        bad_gzip,
        gzip_that_is_none,
        unknown_encoding,
        error_nested_deep,
    ),
    **in_all_spellings("error"),
}
# Likewise, and it is never given time enough.
SLOW = named(slow, slow_headers, informed_without_end)
# An answer that is no completion: if the last try brings one, the row is kept as malformed.
MALFORMED: dict[str, Fault] = {
    **named(
        endless_body,
        endless_chunks,
        gzip_bomb,
        half_a_gzip,
        bad_utf_8,
        web_page,
        doubled_choices,
        no_choices,
        list_of_models,
        half_of_the_json,
        nested_deep,
    ),
    **in_all_spellings("malformed"),
}


# --- What is unusual and right


def header_of_9_kb(asked: Asked) -> Iterator[bytes]:
    yield answer(right(asked), f"X-Long: {'x' * 9000}")


def header_of_64_kb(asked: Asked) -> Iterator[bytes]:
    yield answer(right(asked), f"X-Long: {'x' * 65_536}")


def many_headers(asked: Asked) -> Iterator[bytes]:
    yield answer(right(asked), *(f"X-{number}: {'x' * 50}" for number in range(100)))


def old_version(asked: Asked) -> Iterator[bytes]:
    yield head("Content-Type: application/json", version="1.0") + right(asked).encode()


def informed_before(asked: Asked) -> Iterator[bytes]:
    yield head(status="100 Continue")
    yield head("Link: </x>; rel=preload", status="103 Early Hints")
    yield head(status="102 Processing") + answer(right(asked))


def shuffled_choices(asked: Asked) -> Iterator[bytes]:
    body = response_to(asked.body)
    yield answer(json.dumps(body | {"choices": body["choices"][::-1]}))


def wrong_content_type(asked: Asked) -> Iterator[bytes]:
    body = right(asked)
    yield head("Content-Type: text/html; charset=utf-16", f"Content-Length: {len(body)}", CLOSE)
    yield body.encode()


def packed(asked: Asked) -> Iterator[bytes]:
    yield answer(gzip.compress(right(asked).encode()), "Content-Encoding: gzip")


def in_many_chunks(asked: Asked) -> Iterator[bytes]:
    yield head(CHUNKED, CLOSE)
    yield from chunks(*(bytes([byte]) for byte in right(asked).encode()))
    yield b"0\r\n\r\n"


def answered_twice(asked: Asked) -> Iterator[bytes]:
    """The second time with what was not asked."""
    another = json.dumps(response_to({"prompt": "another"}))
    yield answer(right(asked), stay=True) + answer(another, stay=True)


def early_answer(asked: Asked) -> Iterator[bytes]:
    """In full, but the connection is closed with the request unread."""
    yield answer(right(asked))


# A try that meets one of these succeeds.
UNUSUAL: dict[str, Fault] = {
    **named(
        header_of_9_kb,
        header_of_64_kb,
        many_headers,
        old_version,
        informed_before,
        shuffled_choices,
        wrong_content_type,
        packed,
        in_many_chunks,
        answered_twice,
    ),
    **in_all_spellings("answer"),
}
# These answer before the request is read: the client may hear of the answer, or of the closed door.
EARLY = (early_error, early_answer)
# After these the connection stays open.
STAYING = (answered_twice, length_too_small)


class Connection:
    """One connection to the server, until it is closed."""

    def __init__(self, wire: socket.socket, choose: Callable[[Asked], Fault | None]):
        self._wire, self._choose = wire, choose

    def serve(self) -> None:
        while (found := self._next()) is not None:
            asked, size = found
            fault = self._choose(asked)
            while size and fault not in EARLY:
                size -= len(self._wire.recv(size))
            if fault is None:
                self._wire.sendall(answer(right(asked) if asked.body else MODELS, stay=True))
                continue
            try:
                for block in fault(asked):
                    self._wire.sendall(block)
            except Reset:
                linger = struct.pack("ii", 1, 0)
                self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            if fault not in STAYING:
                return

    def _next(self) -> tuple[Asked, int] | None:
        """The next request, and its size: it is looked at, but not taken yet."""
        data = b""
        while True:
            before, data = data, self._wire.recv(MIB, socket.MSG_PEEK)
            if not data:
                return None
            first, end, body = data.partition(b"\r\n\r\n")
            if end:
                line, _, lines = first.partition(b"\r\n")
                headers = BytesParser().parsebytes(lines + b"\r\n\r\n")
                size = int(headers["Content-Length"] or 0)
                if len(body) >= size:
                    method, path, _ = line.decode().split(" ")
                    asked = Asked(method, path, headers, json.loads(body[:size] or b"{}"))
                    return asked, len(first) + 4 + size
            if data == before:
                time.sleep(0.001)


@contextmanager
def fault_server(choose: Callable[[Asked], Fault | None]) -> Iterator[str]:
    """choose: what to do with a request, None: answer it rightly. Gives the base URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError):  # the client has had enough
                Connection(self.request, choose).serve()

        def finish(self) -> None:
            self.request.close()

    class Tearing(Server):
        def shutdown_request(self, request: socket.socket) -> None:
            request.close()  # without a farewell, so that what is unread tears it

    with listening(Handler, kind=Tearing) as address:
        yield f"{address}/v1"
