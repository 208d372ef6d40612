"""The page's server: on loopback, for who knows the token in its address, and for nobody else.

Any page in the same browser may send requests to 127.0.0.1, and a name that somebody else owns may
be made to mean it. So whoever asks must know the token, which no other page can read; the Host
must be loopback's; and an answer is JSON, which a form of another page cannot send.
"""

import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from seedbed.errors import SeedbedError
from seedbed.views.errors import NoSuchQuestion
from seedbed.views.report.build import digest
from seedbed.views.review.session import Session

# No answer is longer, in bytes.
LONGEST = 1000
_JSON, _HTML = "application/json", "text/html; charset=utf-8"


class Server(ThreadingHTTPServer):
    """Serves a session's page at `address`."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0):
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self.page, self.policy = _page()
        super().__init__(("127.0.0.1", port), _Handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.address = f"http://{self.host}/{self.token}/"


def _page() -> tuple[bytes, str]:
    """The page, and what it may do: run this script, look like this, and ask this server."""
    style = _file("seedbed.views.report", "page.css") + _file(__package__, "review.css")
    script = _file(__package__, "review.js")
    page = _file(__package__, "review.html")
    page = page.replace("STYLE", style).replace("SCRIPT", script)
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"connect-src 'self'; style-src '{digest(style)}'; script-src '{digest(script)}'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return page.encode(), policy


def _file(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Who opens a connection and says nothing holds a thread no longer than this, in seconds.
    timeout = 60

    def do_GET(self) -> None:
        what, query = self._asked()
        session = self.server.session
        if what == "":
            # Without the slash the page would ask for its state beside the token, not below it.
            self._send(307, b"", _HTML, {"Location": f"{self.server.token}/"})
        elif what == "/":
            self._send(200, self.server.page, _HTML)
        elif what == "/state":
            place = query.get("place")
            self._reply(lambda: session.state(None if place is None else _number(place)))
        elif what == "/origin":
            self._reply(lambda: {"lines": session.origin(_number(query.get("place", "")))})
        else:
            self._refuse()

    def do_POST(self) -> None:
        what, _ = self._asked()
        if what is None:  # of whom nothing is read
            self._refuse()
            return
        session = self.server.session
        length = self.headers.get("Content-Length", "")
        is_json = self.headers.get("Content-Type", "").partition(";")[0].strip() == _JSON
        origin = self.headers.get("Origin")
        # Of thousands of digits Python makes no number.
        small = length.isdecimal() and len(length) < 10 and int(length) <= LONGEST
        if not (small and is_json) or origin not in (None, f"http://{self.server.host}"):
            self._refuse()
            return
        try:
            said = json.loads(self.rfile.read(int(length)))
            place, answer = said.get("place"), said.get("answer")
        except (ValueError, AttributeError, RecursionError):
            self._refuse(400)
            return
        if what == "/answer" and type(place) is int and isinstance(answer, str):
            self._reply(lambda: session.answer(place, answer))
        elif what == "/undo":
            self._reply(session.undo)
        else:
            self._refuse(400)

    def _asked(self) -> tuple[str | None, dict[str, str]]:
        """What stands behind the token, and its values; None of somebody who does not know it."""
        try:
            url = urlsplit(self.path)
        except ValueError:  # it is no address at all
            return None, {}
        token, slash, what = url.path[1:].partition("/")
        knows = secrets.compare_digest(token.encode(), self.server.token.encode())
        if not knows or self.headers.get("Host") != self.server.host:
            return None, {}
        return slash + what, {name: values[0] for name, values in parse_qs(url.query).items()}

    def _reply(self, what: Any) -> None:
        try:
            self._send(200, json.dumps(what()).encode(), _JSON)
        except NoSuchQuestion as error:
            self._send(400, json.dumps({"error": str(error)}).encode(), _JSON)
        except SeedbedError as error:
            self._send(500, json.dumps({"error": str(error)}).encode(), _JSON)

    def _refuse(self, status: int = 403) -> None:
        self.close_connection = True  # what it may still have sent is not read
        self._send(status, b"refused\n", "text/plain; charset=utf-8")

    def _send(
        self, status: int, body: bytes, kind: str, more: Mapping[str, str] | None = None
    ) -> None:
        # Who has closed the window does not wait for it.
        with suppress(ConnectionError):
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                "Content-Security-Policy": self.server.policy,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Cache-Control": "no-store",
                **(more or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal is the person's, and the address has the token."""


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise NoSuchQuestion(text)
    return int(text)
