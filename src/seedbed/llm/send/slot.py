"""How the embedded server is asked, so that its answers depend on the request alone.

Two things are put right here that llama.cpp's server leaves to the caller:

- How much of a prompt comes from the prompt cache changes the rounding of what is computed from
  it, and so, now and then, a word. Left alone, that part depends on the request before: 20 prompts
  asked forwards and backwards gave 4 different texts. With one slot each request therefore finds
  exactly what its `prefixes` say in the cache, neither more nor less.
- llama.cpp counts presence and frequency penalties over the last tokens of prompt and completion
  together: a word of the prompt loses its place at the very first token. The OpenAI API and vLLM
  count what was generated. Its window can be made just as long as that, but for one token at a
  time, so a request with penalties is asked for token by token. On two cores that takes a fifth
  longer a token.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seedbed.llm.serve.endpoint import PATHS, Endpoint

if TYPE_CHECKING:
    from seedbed.llm.send.client import Client

# llama.cpp's own API, next to the OpenAI API.
COMPLETION, TOKENIZE, DETOKENIZE, TEMPLATE = (
    "/completion",
    "/tokenize",
    "/detokenize",
    "/apply-template",
)
# What both APIs call alike.
SHARED = ("temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty")

Tokens = list[int]


class Slot:
    """Asks the embedded server for completions.

    one: whether it has one slot, whose cache is then under control; with several of them the
        server chooses one for each request.
    context: tokens that a slot holds.
    """

    def __init__(self, client: "Client", one: bool, context: int):
        self._client = client
        self._one = one
        self._context = context
        # The prefixes that the cache was made from, the longer after the shorter, and what the
        # slot holds by now: a prompt, which some generated tokens follow. None: not known.
        self._prefixes: list[Tokens] = []
        self._held: Tokens | None = None
        self._tokens_of: dict[str, Tokens] = {}

    @classmethod
    def at(cls, endpoint: Endpoint, client: "Client") -> "Slot | None":
        """The way to ask the embedded server; None: another server is asked as it comes."""
        context = endpoint.llm.embedded.context
        return cls(client, endpoint.one_slot, context) if endpoint.embedded else None

    def forget(self) -> None:
        """Somebody else has asked the server: what its cache holds is not known any more."""
        self._prefixes, self._held = [], None

    async def ask(self, body: Mapping[str, Any], prefixes: Sequence[str]) -> str:
        """Ask for a completion; gives the raw body of the response.

        body: as it would go to the OpenAI API, for one sample of one prompt.
        prefixes: beginnings that the prompt shares with others, the shorter before the longer.

        Raises:
            Setback, and the errors of `Client.post`.
        """
        try:
            return await self._ask(body, prefixes)
        except BaseException:
            self.forget()
            raise

    async def _ask(self, body: Mapping[str, Any], prefixes: Sequence[str]) -> str:
        chat = "messages" in body
        penalties = bool(body.get("frequency_penalty") or body.get("presence_penalty"))
        # The beginning of a chat is its template's affair.
        cached = bool(prefixes) and not chat
        if not cached:
            self.forget()
        if chat and not penalties:
            return await self._client.post(PATHS["chat"], self._cached(body, False))
        prompt = await self._tokens(await self._rendered(body) if chat else body["prompt"])
        if self._one and cached:
            await self._leave([await self._remembered(text) for text in prefixes], prompt)
        if penalties:
            return await self._by_tokens(body, prompt, cached)
        whole = self._cached({**body, "prompt": prompt}, cached)
        answer = await self._client.post(PATHS["completions"], whole)
        self._held = prompt
        return answer

    def _cached(self, body: Mapping[str, Any], cached: bool) -> dict[str, Any]:
        return {**body, "cache_prompt": cached} if self._one else dict(body)

    async def _rendered(self, body: Mapping[str, Any]) -> str:
        """The prompt that a chat becomes."""
        answer = await self._post(TEMPLATE, {"messages": body["messages"]})
        return str(answer["prompt"])

    async def _remembered(self, text: str) -> Tokens:
        """The tokens of a prefix: hundreds of requests have the same ones."""
        if text not in self._tokens_of:
            if len(self._tokens_of) == 64:
                self._tokens_of.clear()
            self._tokens_of[text] = await self._tokens(text)
        return self._tokens_of[text]

    async def _tokens(self, prompt: str) -> Tokens:
        # As the server itself makes a prompt of a text.
        asked = {"content": prompt, "add_special": True, "parse_special": True}
        tokens: Tokens = (await self._post(TOKENIZE, asked))["tokens"]
        return tokens

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._client.post(path, body, at_root=True))
        return answer

    # --- what the cache holds

    async def _leave(self, prefixes: list[Tokens], prompt: Tokens) -> None:
        """See to it that the server takes exactly the last of the prefixes from its cache.

        Each prefix was evaluated after the one before it, and its last token by itself: that is
        what asking for a prefix that is in the cache does. So whatever was asked in between, the
        same numbers are there.
        """
        prefixes = list(_rising(prefixes))
        shared = _common(prefixes[-1], prompt)
        if prefixes == self._prefixes and self._held is not None:
            # What the prompt has in common with the one before may end where the prefix does.
            held = _common(self._held, prompt)
            if held == shared and (held < len(self._held) or held == len(prompt)):
                return
        whole = 0
        for mine, theirs in zip(prefixes, self._prefixes, strict=False):
            if mine != theirs or _common(self._held or [], mine) < len(mine) - 1:
                break
            whole += 1
        if whole:
            await self._evaluate(prefixes[whole - 1], cached=True)
        for number, prefix in enumerate(prefixes[whole:], whole):
            await self._evaluate(prefix, cached=number > 0)
            await self._evaluate(prefix, cached=True)
        self._prefixes = prefixes

    async def _evaluate(self, tokens: Tokens, *, cached: bool) -> None:
        body = {"prompt": tokens, "n_predict": 0, "cache_prompt": cached}
        await self._client.post(COMPLETION, body, at_root=True)
        self._held = tokens

    # --- penalties

    async def _by_tokens(self, body: Mapping[str, Any], prompt: Tokens, cached: bool) -> str:
        """The completion of a request with penalties, as if it had come as a whole."""
        how = {name: body[name] for name in SHARED if name in body}
        generated = _Generated(body.get("stop", ()))
        for number in range(min(body["max_tokens"], max(1, self._context - len(prompt)))):
            step = {
                **how,
                "prompt": prompt + generated.tokens,
                "n_predict": 1,
                "n_probs": body.get("logprobs") or 0,
                "repeat_last_n": number,
                "return_tokens": True,
            }
            if "seed" in body:
                step["seed"] = _seed(body["seed"], number)
            answer = await self._post(COMPLETION, self._cached(step, cached or number > 0))
            if not generated.take(answer):
                break
            if generated.unfinished:
                said = await self._post(DETOKENIZE, {"tokens": generated.tokens})
                generated.text = said["content"]
            if generated.stop():
                break
        self._held = prompt + generated.tokens
        return generated.response(body, len(prompt))


class _Generated:
    """What was generated so far."""

    def __init__(self, stop: Sequence[str]):
        self.tokens: Tokens = []
        self.text = ""
        self.unfinished = False
        self._stop = stop
        self._logprobs: list[Any] = []
        self._finish_reason = "length"

    def take(self, answer: Mapping[str, Any]) -> bool:
        """Add a token; False if the text has ended."""
        if answer.get("stop_type") == "eos" or not answer["tokens"]:
            self._finish_reason = "stop"
            return False
        self.tokens += answer["tokens"]
        self._logprobs += answer.get("completion_probabilities", ())
        piece = answer["content"]
        self.text += piece
        # A token may be a part of a character: the text is then put together from all of them.
        self.unfinished = self.unfinished or not piece or "\ufffd" in piece
        return True

    def stop(self) -> bool:
        """Whether the text has come to a stop sequence, at which it then ends."""
        ends = [place for sequence in self._stop if (place := self.text.find(sequence)) >= 0]
        if ends:
            self.text, self._finish_reason = self.text[: min(ends)], "stop"
        return bool(ends)

    def response(self, body: Mapping[str, Any], prompt_tokens: int) -> str:
        """In the form of the API that was asked."""
        chat = "messages" in body
        said = (
            {"message": {"role": "assistant", "content": self.text}}
            if chat
            else {"text": self.text}
        )
        logprobs = {"content": self._logprobs} if body.get("logprobs") else None
        choice = {"index": 0, **said, "finish_reason": self._finish_reason, "logprobs": logprobs}
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(self.tokens)}
        return json.dumps(
            {
                "object": "chat.completion" if chat else "text_completion",
                "model": body["model"],
                "choices": [choice],
                "usage": {**usage, "total_tokens": sum(usage.values())},
            },
            ensure_ascii=False,
        )


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """With so many tokens both begin.

    >>> _common([1, 2, 3], [1, 2, 4]), _common([1], [])
    (2, 0)
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _rising(prefixes: Sequence[Tokens]) -> Iterator[Tokens]:
    """Those that begin with the one before; the last in any case.

    A prefix may be cut within what is one token of the longer one.

    >>> list(_rising([[1, 2], [1, 3, 4]])), list(_rising([[1], [1, 3]]))
    ([[1, 3, 4]], [[1], [1, 3]])
    """
    last = prefixes[-1]
    for prefix in prefixes[:-1]:
        if _common(prefix, last) == len(prefix) < len(last):
            yield prefix
    yield last


def _seed(seed: int, number: int) -> int:
    """The seed of a completion's token: 31 bits, for each token another."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big") >> 1
