"""A client that counts what the embedded server evaluates, and an engine with one."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seedbed.llm.engine import Engine, open_engine
from seedbed.llm.params import Llm
from seedbed.llm.send import client
from seedbed.llm.send.client import Client


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
