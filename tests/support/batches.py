"""A small server that speaks the batch API, and fails at it when told to."""

import json
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.server import Cut, Handler, Reply, completion, fail, listening

# What it says of a batch before that is over.
BEFORE = ("validating", "in_progress", "finalizing")
PAGE = 3


def answer(body: dict) -> dict:
    """Each prompt in capitals."""
    if "messages" in body:
        text = body["messages"][-1]["content"].upper()
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        return completion("") | {"choices": [choice | {"finish_reason": "stop"}]}
    return completion(body["prompt"].upper())


class BatchServer:
    """What it has been given, and how it behaves.

    answer: a request's body → that of the response; may raise a Reply.
    polls: looks at a batch before it is over; None: it never is.
    end: a batch's last status, given how many were made before it.
    errors: what a batch that failed says of it, as given by OpenAI.
    answers: whether a request of a batch that is not completed was answered before that.
    edit: what becomes of a file with answers or errors before it can be fetched.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks: Counter[str] = Counter()
        self.seen: list[str] = []
        self.keys: set[str] = set()
        self.answer: Callable[[dict], dict] = answer
        self.polls: int | None = 2
        self.end: Callable[[int], str] = lambda number: "completed"
        self.errors: list[dict] = []
        self.answers: Callable[[dict], bool] = lambda body: True
        self.edit: Callable[[bytes], bytes] = lambda data: data
        # Method and path → what to do before it acts, or before it answers; one a request.
        self.before: dict[str, deque[Callable[[], None]]] = {}
        self.after: dict[str, deque[Callable[[], None]]] = {}
        self._lock = threading.Lock()

    def asked(self) -> Counter[str]:
        """How often each prompt is in a batch."""
        return Counter(
            body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
            for batch in self.batches.values()
            for body in self.bodies(batch)
        )

    def sizes(self) -> list[int]:
        return [len(self.bodies(batch)) for batch in self.batches.values()]

    def bodies(self, batch: dict) -> list[dict]:
        return [json.loads(line)["body"] for line in self.lines(batch)]

    def lines(self, batch: dict) -> list[bytes]:
        return self.files[batch["input_file_id"]].split(b"\n")[:-1]

    def upload(self, fields: dict[str, bytes]) -> dict:
        assert fields["purpose"] == b"batch"
        return self._file(fields["file"])

    def _file(self, data: bytes) -> dict:
        id_ = f"file-{len(self.files)}"
        self.files[id_] = data
        return {"id": id_, "object": "file", "bytes": len(data), "purpose": "batch"}

    def make(self, asked: dict) -> dict:
        assert asked["completion_window"] == "24h"
        number = len(self.batches)
        for line in self.lines(asked):
            assert json.loads(line)["url"] == asked["endpoint"]
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": "24h",
            "created_at": number,
            "input_file_id": asked["input_file_id"],
            "metadata": asked.get("metadata"),
            "status": "validating",
            "end": self.end(number),
        }
        batch["request_counts"] = {"total": len(self.bodies(batch)), "completed": 0, "failed": 0}
        self.batches[batch["id"]] = batch
        return batch

    def look(self, id_: str) -> dict:
        batch = self.batches.get(id_)
        if batch is None:
            raise fail(404, f"No batch found with id '{id_}'.")
        looks = self.looks[id_]
        self.looks[id_] += 1
        if self.polls is None or looks < self.polls:
            batch["status"] = BEFORE[min(looks, 2 if self.polls else 1)]
        elif batch["status"] != batch["end"]:
            self._finish(batch)
        return batch

    def _finish(self, batch: dict) -> None:
        batch["status"] = batch["end"]
        if batch["end"] == "failed":
            batch["errors"] = {"object": "list", "data": self.errors}
            return
        good, bad = [], []
        for line in reversed(self.lines(batch)):
            asked = json.loads(line)
            told = {"id": f"batch_req_{asked['custom_id'][:6]}", "custom_id": asked["custom_id"]}
            if batch["end"] != "completed" and not self.answers(asked["body"]):
                if batch["end"] == "expired":
                    error = {"code": "batch_expired", "message": "It was too late."}
                    bad.append(told | {"response": None, "error": error})
                continue
            try:
                response = {"status_code": 200, "body": self.answer(asked["body"])}
                good.append(told | {"response": response, "error": None})
            except Reply as reply:
                response = {"status_code": reply.status, "body": json.loads(reply.body)}
                bad.append(told | {"response": response, "error": None})
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}
        for name, results in (("output_file_id", good), ("error_file_id", bad)):
            if results:
                text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in results)
                data = self.edit(text.encode("utf-8", "surrogatepass"))
                batch[name] = self._file(data)["id"]

    def list(self, query: dict[str, list[str]]) -> dict:
        """Newest first."""
        every = list(reversed(self.batches.values()))
        after = query.get("after", [""])[0]
        start = [one["id"] for one in every].index(after) + 1 if after else 0
        page = every[start : start + PAGE]
        return {"object": "list", "data": page, "has_more": start + PAGE < len(every)}

    def handle(self, method: str, path: str, query: dict, read: Callable[[], Any]) -> Any:
        """What it answers: JSON, or a file's bytes."""
        data = read()
        place = re.sub(r"(?<=/)(batch_|file-)\w+", "ID", path)
        with self._lock:
            self.seen.append(f"{method} {place}")
            before, after = (
                which[self.seen[-1]].popleft() if which.get(self.seen[-1]) else None
                for which in (self.before, self.after)
            )
        if before:
            before()
        with self._lock:
            result = self._act(f"{method} {place}", path, query, data)
        if after:
            after()
        return result

    def _act(self, what: str, path: str, query: dict, data: Any) -> Any:
        id_ = path.split("/")[-1]
        if what == "POST /v1/files":
            return self.upload(data)
        if what == "POST /v1/batches":
            return self.make(json.loads(data))
        if what == "GET /v1/batches":
            return self.list(query)
        if what == "GET /v1/batches/ID":
            return self.look(id_)
        if what == "GET /v1/files/ID/content" and path.split("/")[-2] in self.files:
            return self.files[path.split("/")[-2]]
        if what == "POST /v1/completions":
            return self.answer(json.loads(data))
        raise fail(404, f"nothing at {path}")


def faults(*problems: Exception) -> deque[Callable[[], None]]:
    """What to do at so many requests: raise these."""

    def raising(problem: Exception) -> Callable[[], None]:
        def action() -> None:
            raise problem

        return action

    return deque(map(raising, problems))


@contextmanager
def batch_server() -> Iterator[BatchServer]:
    state = BatchServer()

    class Batching(Handler):
        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def _do(self, method: str) -> None:
            parts = urlsplit(self.path)
            state.keys.add(self.headers["Authorization"])
            try:
                result = state.handle(method, parts.path, parse_qs(parts.query), self._read)
                if isinstance(result, bytes):
                    self.send(200, result, {"Content-Type": "application/octet-stream"})
                else:
                    self.send(200, json.dumps(result).encode(), {})
            except Reply as reply:
                self.send(reply.status, reply.body.encode(), reply.headers)
            except Cut:
                self.close_connection = True
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client was killed

        def _read(self) -> bytes | dict[str, bytes]:
            if self.headers.get("Transfer-Encoding") == "chunked":
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            if not kind.startswith("multipart/"):
                return data
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            return {
                str(part.get_param("name", header="content-disposition")): part.get_payload(
                    decode=True
                )
                for part in BytesParser().parsebytes(head + data).get_payload()
            }

    with listening(Batching) as address:
        state.url = f"{address}/v1"
        yield state
