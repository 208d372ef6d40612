"""What the engine's tests share: an engine on a store, and servers that answer from the prompt."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from seedbed.core.progress import Tally
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.contract.wire import Answer, read_body
from seedbed.llm.engine import Engine
from seedbed.llm.params import Llm
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from support.params import sampling, section
from support.server import completion

LLM = section(Llm, model="served-model")
CHAT = section(Llm, model="served-model", api="chat")
EMBEDDED = LLM.embedded
# A model that has a name, and nobody who asks it.
FAKE = section(Llm, model="fake")


class Fake:
    """The fake model, as a stage has it: answers each request with what `reply` makes of it.

    reply: a request → the text, and why it ended where that is not `finish_reason`.
    rounds, answers: what was asked, a list a call, and what was answered.
    """

    def __init__(
        self, reply: Callable[[Request], str | tuple[str, str]], finish_reason: str = "stop"
    ):
        self.reply = reply
        self.finish_reason = finish_reason
        self.rounds: list[list[Request]] = []
        self.answers: list[Answer] = []

    @property
    def requests(self) -> list[Request]:
        return [request for asked in self.rounds for request in asked]

    def __call__(self, requests: Iterable[Request]) -> list[Answer]:
        self.rounds.append(list(requests))
        answers = [self._answer(request) for request in self.rounds[-1]]
        self.answers += answers
        return answers

    def _answer(self, request: Request) -> Answer:
        reply = self.reply(request)
        text, why = reply if isinstance(reply, tuple) else (reply, self.finish_reason)
        return read_body(self.key(request), json.dumps(completion(text, why)))

    @staticmethod
    def key(request: Request) -> str:
        return Canon({"fake": 1}).of(request).key


def requests_for(prompts: Iterable[str], **changes: object) -> list[Request]:
    how = sampling(**changes)
    return [Request(prompt, how) for prompt in prompts]


def ask(
    path: Path,
    requests: Iterable[Request],
    llm: Llm = LLM,
    on_answer: Callable[[Tally], None] = lambda tally: None,
) -> list[Answer]:
    """The answers of the endpoint that the environment names, through the store at `path`."""
    store = Store(path)
    try:
        with open_endpoint(llm) as endpoint:
            engine = Engine(endpoint, store, on_answer)
            try:
                return list(engine.ask(requests))
            finally:
                engine.close()
    finally:
        store.close()


@contextmanager
def engine_on(endpoint: Endpoint, path: Path) -> Iterator[Engine]:
    """An engine on that endpoint, through the store at `path`."""
    store = Store(path)
    engine = Engine(endpoint, store, lambda tally: None)
    try:
        yield engine
    finally:
        engine.close()
        store.close()


# What an engine can be asked about texts.
WAYS: dict[str, Callable[[Engine, list[str]], Any]] = {
    "completions": lambda engine, texts: list(engine.ask(requests_for(texts))),
    "scores": lambda engine, texts: list(engine.score([("Say:", f" {text}") for text in texts])),
    "numbers of tokens": lambda engine, texts: engine.count_tokens(texts),
}


def ask_in(way: str, path: Path, texts: list[str]) -> tuple[Any, Tally]:
    """What one of the WAYS gives, through the store at `path`, and the tally."""
    store = Store(path)
    try:
        with open_endpoint(LLM) as endpoint:
            engine = Engine(endpoint, store, lambda tally: None)
            try:
                return WAYS[way](engine, texts), engine.tally
            finally:
                engine.close()
    finally:
        store.close()


def response_in(way: str, body: dict) -> dict:
    """A right response body to each of the WAYS."""
    if way == "numbers of tokens":
        return {"tokens": list(range(15))}
    if way == "completions":
        return response_to(body)
    said, text = body["prompt"].split(" ", 1)
    tokens = ["<bos>", said, f" {text}", " and"]
    logprobs = {"tokens": tokens, "token_logprobs": [None, -1.0, -2.0, -3.0]}
    choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}
    return {"choices": [choice], "usage": {"prompt_tokens": 14, "completion_tokens": 1}}


def kept_in(path: Path) -> list[Kept]:
    store = Store(path)
    try:
        return list(store.rows())
    finally:
        store.close()


def set_environment(monkeypatch: pytest.MonkeyPatch, url: str, **variables: object) -> None:
    """Point the engine at a server; `concurrency=3` sets SEEDBED_CONCURRENCY to 3."""
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    for name, value in variables.items():
        monkeypatch.setenv(f"SEEDBED_{name.upper()}", str(value))


def answer_to(prompt: str) -> str:
    """What the servers here answer: another text for every prompt."""
    return f"answer {hashlib.sha256(prompt.encode()).hexdigest()[:12]} to {prompt}"


def prompts_of(body: dict) -> list[str]:
    """The prompts of a request body, in either API."""
    if "messages" in body:
        return [body["messages"][-1]["content"]]
    prompt = body["prompt"]
    return prompt if isinstance(prompt, list) else [prompt]


def response_to(body: dict, finish_reason: str = "stop", **more: Any) -> dict:
    """A right response body, in the API that was asked, with `n` samples of each prompt."""
    choices: list[dict] = []
    for prompt in prompts_of(body):
        for sample in range(body.get("n", 1)):
            text = answer_to(prompt) + (f" #{body['seed'] + sample}" if "seed" in body else "")
            said = {"message": {"role": "assistant", "content": text, "refusal": None}}
            choice: dict = said if "messages" in body else {"text": text}
            choices.append(
                {"index": len(choices), "logprobs": None, "finish_reason": finish_reason} | choice
            )
    return {
        "id": "an-id",
        "object": "chat.completion" if "messages" in body else "text_completion",
        "model": "served-model",
        "choices": choices,
        "usage": {
            "prompt_tokens": 10 * len(prompts_of(body)),
            "completion_tokens": 5 * len(choices),
            "total_tokens": 10 * len(prompts_of(body)) + 5 * len(choices),
        },
    } | more
