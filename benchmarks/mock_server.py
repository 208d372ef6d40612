"""A server that speaks as much of the OpenAI API as a benchmark asks for, and answers at once.

    POST /v1/chat/completions   one message list
    POST /v1/completions        a prompt or a list of prompts
    GET  /v1/models
    GET  /counts                how many connections and requests there were, and with --cache how
                                many words of the prompts it evaluated

Every answer is a digest of its prompt, so that one that is attached to another prompt is found
out; with --like-a-model it is what a model might answer to a stage (see model_answers.py). --delay
holds each answer back, as a model would, without holding up the others; with --at-most no more than
so many at a time, and the rest wait. With --cache it counts the words of each prompt after the
longest beginning that it has in common with one that came before: what a prefix cache that never
forgets leaves to be evaluated.

HTTP is parsed by hand, and no more of it than clients send, because the server must not be what
is measured: it answers 15,000 to 28,000 chats a second, ten times what any client here asks. A
client that sends a second request on a connection before it has the answer to the first one
(none does) would get the answers in any order.

Run by itself it prints its port and serves until it is stopped; `running` does that.
"""

import argparse
import asyncio
import http.client
import json
import subprocess
import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

MODEL = "mock"


def answer_to(prompt: str, number: int = 0) -> str:
    """What the server answers; number: which of several choices."""
    return sha256(f"{number} {prompt}".encode()).hexdigest()


# From a request, one of its prompts and the number of the choice to the text of the answer.
Say = Callable[[dict[str, Any], str, int], str]


def say_digest(body: dict[str, Any], prompt: str, number: int) -> str:
    return answer_to(prompt, number)


def usage(prompts: list[str], answers: int) -> dict[str, int]:
    """Token counts that look like some: four characters each."""
    asked, said = sum(map(len, prompts)) // 4, answers * 16
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def chat(body: dict[str, Any], say: Say) -> dict[str, Any]:
    prompt, number = body["messages"][-1]["content"], body.get("n") or 1
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": say(body, prompt, index)},
                "logprobs": None,
                "finish_reason": "stop",
            }
            for index in range(number)
        ],
        "usage": usage([prompt], number),
    }


def completions(body: dict[str, Any], say: Say) -> dict[str, Any]:
    prompts, number = body["prompt"], body.get("n") or 1
    if isinstance(prompts, str):
        prompts = [prompts]
    texts = [say(body, prompt, index) for prompt in prompts for index in range(number)]
    return {
        "id": "cmpl-0",
        "object": "text_completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
            for index, text in enumerate(texts)
        ],
        "usage": usage(prompts, len(texts)),
    }


ASKED = {b"/v1/chat/completions": chat, b"/v1/completions": completions}


class Cache:
    """The beginnings of all prompts so far. evaluated: words that were in none."""

    def __init__(self) -> None:
        self.evaluated = 0
        self._prompts: list[list[str]] = []

    def take(self, prompt: str) -> None:
        words = prompt.split(" ")
        place = bisect_left(self._prompts, words)
        # In order, those with most in common stand side by side.
        beside = self._prompts[max(0, place - 1) : place + 1]
        self.evaluated += len(words) - max((in_common(words, other) for other in beside), default=0)
        self._prompts.insert(place, words)


def in_common(one: list[str], other: list[str]) -> int:
    """With so many words both begin."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


class Server:
    """What all connections share.

    at_most: answers under way at a time, None for any number.
    """

    def __init__(self, delay: float, say: Say, at_most: int | None = None, cache: bool = False):
        self.delay = delay
        self.say = say
        self.connections = 0
        self.requests = 0
        self._cache = Cache() if cache else None
        self._room = at_most
        self._waiting: deque[Callable[[], None]] = deque()

    def told(self, path: bytes) -> dict[str, Any] | None:
        """The answer to a GET."""
        if path == b"/counts":
            counts = {"connections": self.connections, "requests": self.requests}
            return counts | ({"evaluated": self._cache.evaluated} if self._cache else {})
        if path == b"/v1/models":
            return {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
        return None

    def see(self, body: dict[str, Any]) -> None:
        """A request has come."""
        self.requests += 1
        if self._cache and isinstance(body.get("prompt"), str):
            self._cache.take(body["prompt"])

    def answer(self, write: Callable[[], None]) -> None:
        """Write an answer when its time has come."""
        if self._room == 0:
            self._waiting.append(write)
            return
        if self._room is not None:
            self._room -= 1
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, self._written, write)
        else:
            self._written(write)

    def _written(self, write: Callable[[], None]) -> None:
        write()
        if self._room is not None:
            self._room += 1
            if self._waiting:
                self.answer(self._waiting.popleft())


class Connection(asyncio.Protocol):
    def __init__(self, server: Server):
        self._server = server
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._server.connections += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = self._received[:end]
            _, found, length = head.lower().partition(b"\r\ncontent-length:")
            whole = end + int(length.partition(b"\r\n")[0]) if found else end
            if len(self._received) < whole:
                return
            body, self._received = self._received[end:whole], self._received[whole:]
            method, path, _ = head.split(b" ", 2)
            self._answer(method, path, body)

    def _answer(self, method: bytes, path: bytes, body: bytes) -> None:
        server = self._server
        if method == b"GET":
            said = server.told(path)
            self._write(200 if said else 404, said or {"error": {"message": "no such page"}})
            return
        if path not in ASKED:
            self._write(404, {"error": {"message": "no such page"}})
            return
        try:
            asked = json.loads(body)
            server.see(asked)
            said = ASKED[path](asked, server.say)
        except (KeyError, IndexError, TypeError, ValueError) as problem:
            self._write(400, {"error": {"message": f"not understood: {problem!r}"}})
            return
        server.answer(partial(self._write, 200, said))

    def _write(self, status: int, said: dict[str, Any]) -> None:
        if self._transport.is_closing():
            return
        body = json.dumps(said).encode()
        self._transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, http.client.responses[status].encode(), len(body), body)
        )


class Running:
    """A server in a process of its own, seen from outside."""

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}/v1"
        # Kept open, so that asking for the counts adds no connection to them.
        self._line = http.client.HTTPConnection("127.0.0.1", port)

    def counts(self) -> dict[str, int]:
        self._line.request("GET", "/counts")
        return json.loads(self._line.getresponse().read())


@contextmanager
def running(delay: float, *options: str) -> Iterator[Running]:
    """Start a server; it ends with the context."""
    command = [sys.executable, __file__, "--delay", str(delay), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(int(process.stdout.readline()))
        finally:
            process.terminate()


async def serve(server: Server) -> None:
    loop = asyncio.get_running_loop()
    # All clients may connect in the same moment.
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=1024)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0, help="seconds before each answer")
    parser.add_argument(
        "--like-a-model", action="store_true", help="answer as a model might, not with digests"
    )
    parser.add_argument("--at-most", type=int, help="answers under way at a time")
    parser.add_argument("--cache", action="store_true", help="count what is evaluated of prompts")
    options = parser.parse_args()
    say = say_digest
    if options.like_a_model:
        from model_answers import Model

        say = Model().say
    asyncio.run(serve(Server(options.delay, say, options.at_most, options.cache)))
