"""The log-probability of each token of a given text under a prompt.

On the embedded server the text is forced: a grammar of llama.cpp's token literals, `root ::=
<[id]> <[id]> …`, leaves the model no choice, and the log-probabilities that come with the answer
are the model's own, as they were before the grammar. A token that is a piece of a character has
no place in a grammar; such a text is forced token by token with a bias instead, which gives the
same bits (470 tokens compared).

On other servers `echo` gives back the log-probabilities of the prompt's own tokens, the text
being a part of it: vLLM and OpenAI's older models do that.

What prompts have in common can be evaluated once, as for completions (`seedbed.llm.send.slot`): of
ten answers to one task, say, the instruction. That moves a log-probability by rounding, by 0.16 at
most over twelve tokens, and is the same every time. So the canonical form of such a score is
another, with the field `prefixes`: how long they are.

What prompt and text are when tokenized together is not asked: the prompt's tokens, then the
text's, as when a model continues a prompt.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan
from typing import Any

from seedbed.llm import errors
from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.request import Canon, Keyed, canonical, key_of
from seedbed.llm.contract.wire import MalformedBody, choices_of, usage_of
from seedbed.llm.send.fleet import Asked
from seedbed.llm.send.session import Asking, Session
from seedbed.llm.send.setback import Setback, malformed
from seedbed.llm.send.work import Read, Tokens
from seedbed.llm.serve.endpoint import PATHS
from seedbed.llm.store.rows import Kept

# A bias that no other token can make up for.
FORCE = 1000.0
# A lead byte comes without log-probabilities; it is then looked up among so many, and among all.
WIDE, ALL = 20_000, 262_144
# What reading an answer of another shape than llama.cpp's raises.
ODD = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Score:
    """A scored text: its tokens, and the natural log-probability of each given all before it."""

    key: str
    tokens: list[str]
    logprobs: list[float]

    @property
    def total(self) -> float:
        return sum(self.logprobs)


# The tokens of a text, their log-probabilities, and the usage, if it is known.
Scored = tuple[list[str], list[float], Tokens | None]
# The choice that comes back, and the usage.
Posted = tuple[dict[str, Any], Tokens | None]


# A prompt, the text that follows it, and perhaps prefixes as a `Request` has them.
Pair = tuple[str, str] | tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class ToScore:
    keyed: Keyed
    prompt: str
    text: str
    prefixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, canon: Canon, pair: Pair, *, by_slot: bool) -> "ToScore":
        """by_slot: whether the server can be told what of a prompt to take from its cache."""
        prompt, text, *more = pair
        prefixes = more[0] if more and by_slot else ()
        keyed = canon.score(prompt, text)
        if prefixes:
            lengths = [len(prefix) for prefix in prefixes]
            form = canonical({**json.loads(keyed.form), "prefixes": lengths})
            keyed = Keyed(key_of(form), key_of(form), form)
        return cls(keyed, prompt, text, prefixes)


class Scorer:
    """Scores texts on one server and keeps what comes back."""

    def __init__(self, session: Session):
        self._session = session
        self._endpoint = session.endpoint
        self._client = session.client

    async def score(self, pair: ToScore) -> Kept:
        """Score a text; gives the store's row. Raises as `score_all`."""
        whole = pair.prompt + pair.text
        asking = Asking(pair.keyed.key, [pair.prompt, pair.text, whole], (most_tokens(whole), 1))
        try:
            by_slot = bool(pair.prefixes)
            (row,) = await self._session.insist(asking, partial(self._scored, pair), by_slot)
        except Setback as setback:
            said = f"{setback.status_or_kind}: {setback.said}"
            if setback.kind in ("bad", "too_long"):
                raise self._not_offered(said) from None
            raise errors.ServerFailed(self._endpoint.address, said) from None
        except ODD as problem:
            said = f"its answer is not what was asked for: {problem}"
            raise errors.ServerFailed(self._endpoint.address, said) from None
        self._session.ledger.book.sent()
        return row

    async def _scored(self, pair: ToScore) -> Read:
        tokens, logprobs, usage = await self._tokens_of(pair)
        return Read([self._kept(pair.keyed, pair.text, tokens, logprobs, usage)], usage)

    def _kept(
        self,
        keyed: Keyed,
        text: str,
        tokens: list[str],
        logprobs: list[float],
        usage: Tokens | None,
    ) -> Kept:
        """A score as the store keeps it."""
        return Kept(
            key=keyed.key,
            base=keyed.base,
            model=self._session.model,
            request=keyed.form,
            response=_body(text, tokens, logprobs),
            max_tokens=0,
            ended=True,
            problem=None,
            prompt_tokens=usage and usage[0],
            completion_tokens=usage and usage[1],
        )

    def _not_offered(self, why: str, remedy: str | None = None) -> errors.ScoringNotOffered:
        return errors.ScoringNotOffered(self._endpoint.address, why, remedy)

    async def _tokens_of(self, pair: ToScore) -> Scored:
        if not pair.text:
            return [], [], (0, 0)
        if self._endpoint.embedded:
            return await self._forced(pair.prompt, pair.text, pair.prefixes)
        return await self._echoed(pair.prompt, pair.text)

    async def _post(self, body: dict[str, Any]) -> Posted:
        body = {"model": self._endpoint.model, "temperature": 0, **body}
        return _posted(await self._client.post(PATHS["completions"], body))

    # --- the embedded server

    async def _tokenize(self, text: str, *, whole: bool) -> list[dict[str, Any]]:
        """The tokens of a prompt (`whole`: with what begins one), or of a text as it stands."""
        # In a prompt "<eos>" is the token, as when it is completed; in a text it is five letters.
        body = {"content": text, "add_special": whole, "parse_special": whole, "with_pieces": True}
        answer = await self._client.post("/tokenize", body, at_root=True)
        tokens: list[dict[str, Any]] = json.loads(answer)["tokens"]
        return tokens

    async def _forced(self, prompt: str, text: str, prefixes: Sequence[str] = ()) -> Scored:
        before = [token["id"] for token in await self._tokenize(prompt, whole=True)]
        tokens = await self._tokenize(text, whole=False)
        room = self._endpoint.llm.embedded.context
        if len(before) + len(tokens) > room:
            raise self._not_offered(
                f"prompt and text have {len(before)} and {len(tokens)} tokens, "
                f"llm.embedded.context is {room}",
                "Shorten them, or raise llm.embedded.context.",
            )
        ids = [token["id"] for token in tokens]
        # A piece of a character comes as bytes.
        texts = [
            piece if isinstance(piece := token["piece"], str) else bytes(piece).decode("latin-1")
            for token in tokens
        ]
        logprobs = None
        if all(isinstance(token["piece"], str) for token in tokens):
            logprobs = await self._by_grammar(prompt, before, ids, prefixes)
        if logprobs is None:
            if self._session.slot:
                self._session.slot.forget()
            logprobs = [
                await self._by_bias(before + ids[:i], ids[i], first=i == 0) for i in range(len(ids))
            ]
        return texts, logprobs, (len(before), len(ids))

    async def _by_grammar(
        self, prompt: str, before: list[int], ids: list[int], prefixes: Sequence[str]
    ) -> list[float] | None:
        """None if a token (the end of a text, say) has no place in a grammar.

        before: the prompt's tokens. prefixes: what of them the cache is to hold.
        """
        body: dict[str, Any] = {
            "grammar": "root ::= " + " ".join(f"<[{id_}]>" for id_ in ids),
            "logprobs": 1,
            "max_tokens": len(ids),
        }
        try:
            if prefixes:
                assert self._session.slot, "the embedded server has one"
                asked = {"model": self._endpoint.model, "temperature": 0, "prompt": prompt, **body}
                choice, _ = _posted(await self._session.slot.ask(asked, prefixes))
            else:
                # What the cache holds changes the rounding.
                choice, _ = await self._post({"prompt": before, **body, "cache_prompt": False})
        except Setback as setback:
            if setback.status == 500:
                return None
            raise
        content = (choice.get("logprobs") or {}).get("content") or []
        if [token["id"] for token in content] != ids:
            return None
        return [float(token["logprob"]) for token in content]

    async def _by_bias(self, before: list[int], id_: int, *, first: bool) -> float:
        body = {"prompt": before, "max_tokens": 1, "cache_prompt": not first}
        choice, _ = await self._post({**body, "logprobs": 1, "logit_bias": [[id_, FORCE]]})
        content = (choice.get("logprobs") or {}).get("content")
        if content:
            return float(content[0]["logprob"])
        # Nor would the model's own choice have any, if that were a lead byte.
        whole = (await self._tokenize(".", whole=False))[0]["id"]
        body |= {"cache_prompt": True, "logit_bias": [[whole, FORCE]]}
        for among in (WIDE, ALL):
            choice, _ = await self._post({**body, "logprobs": among})
            for token in (choice.get("logprobs") or {}).get("content") or []:
                for likely in token["top_logprobs"]:
                    if likely["id"] == id_:
                        return float(likely["logprob"])
        raise self._not_offered(f"it gives no log-probability for token {id_}")

    # --- servers with echo

    async def _echoed(self, prompt: str, text: str) -> Scored:
        body = {"prompt": prompt + text, "max_tokens": 1, "logprobs": 1, "echo": True}
        choice, usage = await self._post(body)
        listed = choice.get("logprobs")
        tokens = listed.get("tokens") if isinstance(listed, dict) else None
        logprobs = listed.get("token_logprobs") if isinstance(listed, dict) else None
        if (
            not isinstance(tokens, list)
            or not isinstance(logprobs, list)
            or not all(isinstance(token, str) for token in tokens)
            or not len(tokens) == len(logprobs) > 1
        ):
            raise self._not_offered("it does not echo the prompt with log-probabilities")
        # The last one was generated. Counted from the end, because what a server puts before the
        # prompt is its own affair.
        end = len(tokens) - (usage[1] if usage else 1)
        begin = end
        while begin > 0 and len("".join(tokens[begin:end])) < len(text):
            begin -= 1
        spelt = "".join(tokens[begin:end])
        if spelt != text:
            if "\ufffd" in spelt or "bytes:" in spelt:
                raise self._not_offered(
                    "a character of the text is several tokens, which it does not spell",
                    "Leave such a character out, or use the embedded server.",
                )
            raise self._not_offered(
                "no token begins where the text does",
                "Let the prompt end and the text begin where a word does, with the space before "
                "it in the text.",
            )
        scores = logprobs[begin:end]
        if not all(map(_is_number, scores)):
            raise self._not_offered(
                "a token of the text has no log-probability",
                "The first of all has none: give a prompt.",
            )
        return tokens[begin:end], [float(score) for score in scores], usage


async def score_all(at: Asked, wanted: Sequence[ToScore]) -> dict[str, Kept]:
    """Score the texts; gives the store's rows by key.

    Raises:
        SeedbedError: the server cannot score, or failed; what was scored is kept, and what
            was in flight then is scored too.
    """
    rows: dict[str, Kept] = {}

    async def score(session: Session, pair: ToScore) -> None:
        rows[pair.keyed.key] = await Scorer(session).score(pair)

    await at.each(wanted, score, prompt=lambda pair: pair.prompt)
    return rows


def _posted(answer: str) -> Posted:
    try:
        data, (choice,) = choices_of(answer, 1)
    except MalformedBody as problem:
        raise malformed(str(problem), answer) from None
    return choice.raw, usage_of(data)


def _is_number(value: object) -> bool:
    """JSON may also hold NaN, and integers that are too long for a float."""
    try:
        return isinstance(value, int | float) and not isnan(value)
    except OverflowError:
        return False


def _body(text: str, tokens: list[str], logprobs: list[float]) -> str:
    """A score in the form of a completion, as the store keeps it."""
    choice = {
        "index": 0,
        "text": text,
        "finish_reason": "stop",
        "logprobs": {"tokens": tokens, "token_logprobs": logprobs},
    }
    return json.dumps({"object": "text_completion", "choices": [choice]}, ensure_ascii=False)


def read_score(kept: Kept) -> Score:
    """Raises MalformedBody: what the store has is no score."""
    _, (choice,) = choices_of(kept.response, 1)
    try:
        listed = choice.raw["logprobs"]
        return Score(
            kept.key,
            list(listed["tokens"]),
            [float(logprob) for logprob in listed["token_logprobs"]],
        )
    except (KeyError, TypeError, ValueError):
        raise MalformedBody("not a score") from None
