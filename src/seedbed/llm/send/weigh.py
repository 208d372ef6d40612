"""How likely each of several words is after the same prompt, such as " yes" and " no".

On the embedded server one request says it of all of them: the log-probabilities of the likeliest
tokens come with any answer, whichever token is forced. And it is asked by way of the slot, so that
what prompts have in common is evaluated once, as for completions (`seedbed.llm.send.slot`): of 22
candidates for one input, say, the input. Both move a log-probability by rounding, the latter by as
much as a score may be away from transformers' (0.8 at most over 132 questions), and each is the
same every time. So the canonical form of such a score is another, with the field `among`: how many
tokens the server was asked for. Words that are more than one token are scored by themselves.

Other servers are asked for each word by itself, as `seedbed.llm.send.score` does.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from seedbed.llm import errors
from seedbed.llm.budget import most_tokens
from seedbed.llm.contract.request import Canon, Keyed, canonical, key_of
from seedbed.llm.contract.wire import MalformedBody, choices_of
from seedbed.llm.send.score import ALL, ODD, Scorer
from seedbed.llm.send.session import Asking, Session
from seedbed.llm.send.setback import Setback, malformed
from seedbed.llm.send.work import Read
from seedbed.llm.store.rows import Kept

# Of 50 of the ranker's questions each had " yes" and " no" among the first 700.
AMONG = 5000


# A prompt, the texts that may follow it, and prefixes as a `Request` has them.
Options = tuple[str, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class ToWeigh:
    """keyed: of each text."""

    options: Options
    keyed: tuple[Keyed, ...]


def keyed(canon: Canon, options: Options) -> tuple[Keyed, ...]:
    """The canonical form of each text's score."""
    prompt, texts, _ = options
    forms = [json.loads(canon.score(prompt, text).form) for text in texts]
    return tuple(
        Keyed(key_of(form), key_of(form), form)
        for form in (canonical({**fields, "among": AMONG}) for fields in forms)
    )


class Weigher(Scorer):
    """Weighs options on the embedded server and keeps what comes back."""

    def __init__(self, session: Session):
        super().__init__(session)
        self._tokens: dict[str, list[dict[str, Any]]] = {}

    async def weigh_all(self, wanted: Sequence[ToWeigh]) -> dict[str, Kept]:
        """Weigh the options; gives the store's rows by key. Raises as `score_all`."""
        rows: dict[str, Kept] = {}

        async def weigh(_: Session, one: ToWeigh) -> None:
            rows.update(await self._weigh(one))

        await self._session.each(wanted, weigh)
        return rows

    async def _weigh(self, one: ToWeigh) -> dict[str, Kept]:
        prompt, texts, _ = one.options
        most = (most_tokens(prompt + max(texts, key=len)), 1)
        asking = Asking(one.keyed[0].key, [prompt, *texts], most, answers=len(texts))
        try:
            rows = await self._session.insist(asking, partial(self._read, one), by_slot=True)
        except Setback as setback:
            said = f"{setback.status_or_kind}: {setback.said}"
            if setback.kind in ("bad", "too_long"):
                remedy = "If it is too long, shorten it, or raise llm.embedded.context."
                raise self._not_offered(said, remedy) from None
            raise errors.ServerFailed(self._endpoint.address, said) from None
        except ODD as problem:
            said = f"its answer is not what was asked for: {problem}"
            raise errors.ServerFailed(self._endpoint.address, said) from None
        for _ in rows:
            self._session.ledger.book.sent()
        return {row.key: row for row in rows}

    async def _read(self, one: ToWeigh) -> Read:
        found = await self._found(one.options)
        rows: list[Kept] = [
            # The first has what the request took; the others came with it.
            self._kept(keyed, text, tokens, logprobs, (0 if number else prompt, 0 if number else 1))
            for number, (keyed, text) in enumerate(zip(one.keyed, one.options[1], strict=True))
            for tokens, logprobs, prompt in [found[text]]
        ]
        return Read(rows, (max(prompt for _, _, prompt in found.values()), 1))

    async def _found(self, options: Options) -> dict[str, tuple[list[str], list[float], int]]:
        """Of each text its tokens, their log-probabilities, and how long the prompt is."""
        prompt, texts, prefixes = options
        tokens = {text: await self._tokens_once(text) for text in texts}
        found: dict[str, tuple[list[str], list[float], int]] = {}
        single = {
            text: pieces[0]
            for text, pieces in tokens.items()
            if len(pieces) == 1 and isinstance(pieces[0]["piece"], str)
        }
        if single:
            found |= await self._together(prompt, prefixes, single)
        for text in [text for text in tokens if text not in found]:
            if self._session.slot:
                self._session.slot.forget()
            pieces, logprobs, usage = await self._forced(prompt, text)
            found[text] = pieces, logprobs, usage[0] if usage else 0
        return found

    async def _together(
        self, prompt: str, prefixes: Sequence[str], single: dict[str, dict[str, Any]]
    ) -> dict[str, tuple[list[str], list[float], int]]:
        """The texts that are one token each, as far as they are among the likeliest."""
        body: dict[str, Any] = {
            "model": self._endpoint.model,
            "temperature": 0,
            "prompt": prompt,
            "grammar": f"root ::= <[{next(iter(single.values()))['id']}]>",
            "max_tokens": 1,
        }
        for among in (AMONG, ALL):
            assert self._session.slot, "the embedded server has one"
            answer = await self._session.slot.ask({**body, "logprobs": among}, prefixes)
            try:
                data, (choice,) = choices_of(answer, 1)
            except MalformedBody as problem:
                raise malformed(str(problem), answer) from None
            (first,) = choice.raw["logprobs"]["content"]
            likely = {token["id"]: float(token["logprob"]) for token in first["top_logprobs"]}
            found = {
                text: ([token["piece"]], [likely[token["id"]]], data["usage"]["prompt_tokens"])
                for text, token in single.items()
                if token["id"] in likely
            }
            if len(found) == len(single):
                break
        return found

    async def _tokens_once(self, text: str) -> list[dict[str, Any]]:
        """The tokens of a text: thousands of prompts have the same options."""
        if text not in self._tokens:
            self._tokens[text] = await self._tokenize(text, whole=False)
        return self._tokens[text]
