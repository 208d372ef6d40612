"""How many tokens a text has for the model: its server's `/tokenize` is asked.

llama.cpp and vLLM have it, next to the OpenAI API; each reads its own fields of the one body.
"""

import asyncio
import json
from collections.abc import Mapping

from seedbed.llm import errors
from seedbed.llm.contract.request import Keyed
from seedbed.llm.send.client import Client, Setback, failure
from seedbed.llm.serve.endpoint import Endpoint
from seedbed.llm.store.store import Kept

PATH = "/tokenize"
# No such path, or something else is there.
NOT_THERE = (
    errors.ModelUnknown,
    errors.Redirected,
    LookupError,
    TypeError,
    ValueError,
    RecursionError,
)


async def count_tokens(
    client: Client, endpoint: Endpoint, model: str, wanted: Mapping[str, Keyed]
) -> list[Kept] | None:
    """Count the tokens of texts, without those that begin or end a prompt.

    Args:
        model: the endpoint's identity, as the store has it.

    Returns:
        a row for the store for each text, in order; None if the server has no `/tokenize`.

    Raises:
        SeedbedError: it cannot be reached, or fails.
    """
    at_once = asyncio.Semaphore(endpoint.concurrency)

    async def count(text: str, keyed: Keyed) -> Kept | None:
        llama_cpp = {"content": text, "add_special": False}
        vllm = {"model": endpoint.model, "prompt": text, "add_special_tokens": False}
        async with at_once:
            try:
                answer = await client.insist(
                    lambda: client.post(PATH, llama_cpp | vllm, at_root=True), endpoint.retries
                )
                tokens = json.loads(answer)["tokens"]
            except NOT_THERE:
                return None
            except Setback as setback:
                if setback.kind == "bad":
                    return None
                raise failure(endpoint.address, setback) from None
        if not isinstance(tokens, list):
            return None
        return Kept(
            key=keyed.key,
            base=keyed.base,
            model=model,
            request=keyed.form,
            response=json.dumps({"tokens": len(tokens)}),
            max_tokens=0,
            ended=True,
            problem=None,
            prompt_tokens=None,
            completion_tokens=None,
        )

    rows = await asyncio.gather(*(count(text, keyed) for text, keyed in wanted.items()))
    found = [row for row in rows if row is not None]
    return found if len(found) == len(rows) else None


def read_count(row: Kept) -> int:
    """The number that `count_tokens` kept."""
    number: int = json.loads(row.response)["tokens"]
    return number
