"""What a model makes of a prompt: the state of its last token, as the output matrix takes it.

Only the embedded server is asked, a second one beside that which completes: with pooling of the
last token and no normalisation its embeddings are that state (xllamacpp 2026.10, Gemma 3 270M
Q4_K_M: 640 numbers). Twenty prompts gave the same bytes forwards, backwards, from a new server,
with one thread or two, and after other prompts. Beside transformers, in float32 from the same
weights, a state is away by 5 to 6 % of its length (cosine 0.998 to 0.999), since llama.cpp
quantises what it multiplies; two of the ranker's questions are away from each other by a cosine of
0.93 to 0.99. It takes twice the time of a score.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.request import Canon, Keyed, canonical, key_of
from seedbed.llm.contract.wire import MalformedBody
from seedbed.llm.send.session import Asking, Session
from seedbed.llm.send.setback import Setback, failure, malformed
from seedbed.llm.send.work import Read
from seedbed.llm.store.rows import Kept

PATH = "/embeddings"


@dataclass(frozen=True)
class State:
    """A state: little-endian float32, one after another."""

    key: str
    data: bytes


@dataclass(frozen=True)
class ToEmbed:
    keyed: Keyed
    prompt: str


def keyed(canon: Canon, prompt: str) -> Keyed:
    """The canonical form of a prompt's state."""
    form = canonical(
        {**json.loads(canon.tokens(prompt).form), "kind": "embedding", "pooling": "last"}
    )
    return Keyed(key_of(form), key_of(form), form)


class Embedder:
    """Has prompts embedded and keeps what comes back. session: of the server that embeds."""

    def __init__(self, session: Session):
        self._session = session

    async def embed_all(self, wanted: Sequence[ToEmbed]) -> dict[str, Kept]:
        """Embed the prompts; gives the store's rows by key.

        Raises:
            SeedbedError: the server failed; what was embedded is kept.
        """
        rows: dict[str, Kept] = {}

        async def embed(_: Session, one: ToEmbed) -> None:
            asking = Asking(one.keyed.key, [one.prompt], (most_tokens(one.prompt), 0))
            try:
                (row,) = await self._session.insist(asking, partial(self._read, one), by_slot=True)
            except Setback as setback:
                raise failure(self._session.endpoint.address, setback) from None
            rows[row.key] = row
            self._session.ledger.book.sent()

        await self._session.each(wanted, embed)
        return rows

    async def _read(self, one: ToEmbed) -> Read:
        body = {
            "model": self._session.endpoint.model,
            "input": one.prompt,
            "encoding_format": "base64",
            "embd_normalize": -1,
        }
        answer = await self._session.client.post(PATH, body)
        try:
            data = json.loads(answer)
            state, usage = data["data"][0]["embedding"], int(data["usage"]["prompt_tokens"])
            base64.b64decode(state, validate=True)
        except (LookupError, TypeError, ValueError) as problem:
            raise malformed(str(problem), answer) from None
        row = Kept(
            key=one.keyed.key,
            base=one.keyed.base,
            model=self._session.model,
            request=one.keyed.form,
            response=json.dumps({"object": "embedding", "embedding": state}),
            max_tokens=0,
            ended=True,
            problem=None,
            prompt_tokens=usage,
            completion_tokens=0,
        )
        return Read([row], (usage, 0))


def read_state(kept: Kept) -> State:
    """Raises MalformedBody: what the store has is no state."""
    try:
        return State(kept.key, base64.b64decode(json.loads(kept.response)["embedding"]))
    except (LookupError, TypeError, ValueError):
        raise MalformedBody("not a state") from None
