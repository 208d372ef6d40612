"""The fake server: completions on loopback, answered by a function that may raise a fault.

Faults below HTTP are in faults.py, the batch API is in batches.py; both listen as this one does.
"""

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler

MODELS = json.dumps({"object": "list", "data": [{"id": "served-model", "object": "model"}]})


class Reply(Exception):
    """Raised by a handler of `serving`: answer with this status and body."""

    def __init__(self, status: int, body: str, headers: dict[str, str] | None = None):
        self.status, self.body, self.headers = status, body, headers or {}


def fail(status: int, message: object, code: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI's server words it."""
    error = {"message": message, "type": "x", "param": None, "code": code}
    return Reply(status, json.dumps({"error": error}), headers)


class Cut(Exception):
    """Raised by a handler of `serving`: close the connection after so much of an answer."""

    def __init__(self, after: str = ""):
        self.after = after


class Trickle(Exception):
    """Raised by a handler of `serving`: answer with a space now and then, until `over`."""

    def __init__(self, over: threading.Event):
        self.over = over


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1 on connections that stay open, and keeps quiet about it."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this the second waits 40 ms for the first's ACK.
    disable_nagle_algorithm = True

    def send(self, status: int, data: bytes, headers: dict[str, str], missing: int = 0) -> None:
        """missing: bytes that are announced, but not sent."""
        self.send_response(status)
        usual = {"Content-Type": "application/json", "Content-Length": str(len(data) + missing)}
        for name, value in (usual | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 200
    allow_reuse_address = True


@contextmanager
def listening(
    handler: type[socketserver.BaseRequestHandler], port: int = 0, kind: type[Server] = Server
) -> Iterator[str]:
    """A server on loopback, a thread a connection, as long as the context; gives its address."""
    server = kind(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving(
    answer: Callable[[dict, Message], dict],
    connected: Callable[[], None] = lambda: None,
    port: int = 0,
    pages: Mapping[str, object] | None = None,
) -> Iterator[str]:
    """An HTTP server on loopback that answers completion requests with `answer(body, headers)`.

    `connected` is called at each connection; `pages` are what else can be got. Gives the base URL.
    """

    class Answering(Handler):
        def setup(self) -> None:
            connected()
            super().setup()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._send(200, json.dumps(answer(body, self.headers)), {})
            except Reply as reply:
                self._send(reply.status, reply.body, reply.headers)
            except Cut as cut:
                if cut.after:
                    self._send(200, cut.after, {}, missing=100)
                self.close_connection = True
            except Trickle as trickle:
                self._send(200, " ", {}, missing=10_000)
                while not trickle.over.wait(0.05):
                    self.wfile.write(b" ")
            except ConnectionError:
                self.close_connection = True  # the client has gone

        def do_GET(self) -> None:
            found = {path: json.dumps(page) for path, page in (pages or {}).items()}
            found.setdefault("/v1/models", MODELS)
            self._send(200 if self.path in found else 404, found.get(self.path, "{}"), {})

        def _send(self, status: int, text: str, headers: dict[str, str], missing: int = 0) -> None:
            self.send(status, text.encode(errors="surrogateescape"), headers, missing)

    with listening(Answering, port) as address:
        yield f"{address}/v1"


def completion(text: str, finish_reason: str = "stop") -> dict:
    """A response body of the completions API."""
    return {
        "id": f"cmpl-{time.monotonic_ns()}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": "served-model",
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
