"""A client that counts what the embedded server evaluates, and an engine with one."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seedbed.llm.engine import Engine, open_engine
from seedbed.llm.params import Llm
from seedbed.llm.send import client
from seedbed.llm.send.client import Client
from seedbed.llm.send.score import Pair
from seedbed.llm.serve.endpoint import open_endpoint


class Counting(Client):
    """Counts the requests, and the prompt tokens that the server evaluated for them."""

    requests = evaluated = 0

    async def post(self, path, body, *, at_root=False):
        answer = await super().post(path, body, at_root=at_root)
        if timings := json.loads(answer).get("timings"):  # what only tokenizes has none
            Counting.requests += 1
            Counting.evaluated += timings["prompt_n"]
        return answer

    @classmethod
    def start_over(cls) -> None:
        Counting.requests = Counting.evaluated = 0


@contextmanager
def fresh_engine(llm: Llm) -> Iterator[Engine]:
    """An engine with an empty store, a server of its own and a client that counts."""
    original, client.Client = client.Client, Counting
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEEDBED_STORE"] = str(Path(folder) / "responses.sqlite")
        try:
            with open_engine(llm, lambda tally: None) as engine:
                yield engine
        finally:
            client.Client = original


async def count_nodes(prompts: Sequence[str], client: Client) -> int:
    """Distinct beginnings of all prompts, in tokens: what has to be evaluated at least."""
    tokenized = []
    for prompt in dict.fromkeys(prompts):
        body = {"content": prompt, "add_special": True, "parse_special": True}
        answer = await client.post("/tokenize", body, at_root=True)
        tokenized.append(json.loads(answer)["tokens"])
    # Sorted, each prompt adds what it does not share with the one before.
    nodes, before = 0, []
    for tokens in sorted(tokenized):
        shared = next(
            (i for i, (a, b) in enumerate(zip(before, tokens, strict=False)) if a != b),
            min(len(before), len(tokens)),
        )
        nodes += len(tokens) - shared
        before = tokens
    return nodes


def bound(prompts: Sequence[str], llm: Llm) -> int:
    """As `count_nodes`, by a server of its own."""

    async def count() -> int:
        client = Counting(endpoint)
        try:
            return await count_nodes(prompts, client)
        finally:
            await client.close()

    with open_endpoint(llm) as endpoint:
        return asyncio.run(count())


@dataclass
class Counted:
    """What scoring took; totals in nats."""

    totals: list[float]
    requests: int
    evaluated: int
    seconds: float


def scored(wanted: Sequence[Pair], llm: Llm) -> Counted:
    """Score texts with a fresh engine, whose start is not counted."""
    with fresh_engine(llm) as engine:
        list(engine.score([("Hello", " there")]))  # the server starts
        Counting.start_over()
        begun = time.perf_counter()
        totals = [one.total for one in engine.score(wanted)]
        seconds = time.perf_counter() - begun
    return Counted(totals, Counting.requests, Counting.evaluated, seconds)


def table(least: int, ways: dict[str, Counted]) -> Iterator[str]:
    """What each way took beside the bound, a line each."""
    columns = "{:<28}{:>10}{:>26}{:>10}{:>10}".format
    yield columns("way", "requests", "prompt tokens evaluated", "× bound", "seconds")
    yield columns("bound", "", f"{least:,}", "1.000", "")
    for way, one in ways.items():
        ratio, seconds = f"{one.evaluated / least:.3f}", f"{one.seconds:.1f}"
        yield columns(way, f"{one.requests:,}", f"{one.evaluated:,}", ratio, seconds)
