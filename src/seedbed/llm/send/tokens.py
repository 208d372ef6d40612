"""How many tokens a text has for the model: its server's `/tokenize` is asked.

llama.cpp and vLLM have it, next to the OpenAI API; each reads its own fields of the one body.
"""

import json
from collections.abc import Mapping
from functools import partial

from seedbed.llm import errors
from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.request import Keyed
from seedbed.llm.send.fleet import Asked
from seedbed.llm.send.session import Asking, Session
from seedbed.llm.send.setback import Setback, failure
from seedbed.llm.send.work import Read
from seedbed.llm.store.rows import Kept

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


async def count_tokens(at: Asked, wanted: Mapping[str, Keyed]) -> list[Kept] | None:
    """Count the tokens of texts, without those that begin or end a prompt.

    Returns:
        the store's row for each text; None if the server has no `/tokenize`.

    Raises:
        SeedbedError: it cannot be reached, or fails.
    """
    rows: list[Kept] = []

    async def count(session: Session, item: tuple[str, Keyed]) -> None:
        text, keyed = item
        # It writes nothing, but what it reads it may charge for.
        asking = Asking(keyed.key, [text], (most_tokens(text), 0))
        rows.extend(await session.insist(asking, partial(_count, session, text, keyed)))

    try:
        await at.each(wanted.items(), count)
    except NOT_THERE:
        return None
    except Setback as setback:
        if setback.kind == "bad":
            return None
        raise failure(at.endpoint.address, setback) from None
    return rows


async def _count(session: Session, text: str, keyed: Keyed) -> Read:
    llama_cpp = {"content": text, "add_special": False}
    vllm = {"model": session.endpoint.model, "prompt": text, "add_special_tokens": False}
    answer = await session.client.post(PATH, llama_cpp | vllm, at_root=True)
    tokens = json.loads(answer)["tokens"]
    if not isinstance(tokens, list):
        raise TypeError("the tokens are no list")
    row = Kept(
        key=keyed.key,
        base=keyed.base,
        model=session.model,
        request=keyed.form,
        response=json.dumps({"tokens": len(tokens)}),
        max_tokens=0,
        ended=True,
        problem=None,
        prompt_tokens=None,
        completion_tokens=None,
    )
    return Read([row], (len(tokens), 0))


def read_count(row: Kept) -> int:
    """The number that `count_tokens` kept."""
    number: int = json.loads(row.response)["tokens"]
    return number
