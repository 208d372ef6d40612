"""Requests looked up instead of sent, and what sending the others would take."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from typing import TypeVar

from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.llm.engine import WINDOW, Engine
from seedbed.llm.params import Llm
from seedbed.llm.send.score import Pair
from seedbed.llm.serve.endpoint import Endpoint, open_endpoint
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import tokens_a_character

# Where nothing was counted yet. Characters a token: English, with the tokenizers of today.
CHARACTERS_A_TOKEN = 4.0
# Of more requests so many are looked up, and stand for the others: to look all up takes minutes.
LOOKED_UP = 4000

Thing = TypeVar("Thing")


@dataclass
class Foreseen:
    """What one stage would ask.

    requests: in all; kept: of them, in the store, or the same as one before. Tokens: of those to
        be sent.
    guessed: what of it is no count but a guess, and from what.
    counted: of its answers in the store, as far as the server counted their tokens.
    characters, most_tokens: of the prompts to be sent, and of what may come back, in all.
    """

    stage: str
    requests: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guessed: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    most_tokens: int = 0

    @property
    def missing(self) -> int:
        return self.requests - self.kept

    def guess(self, note: str) -> None:
        if note not in self.guessed:
            self.guessed.append(note)

    def add(self, part: "Foreseen", weight: float = 1.0) -> None:
        """Add what was seen of a part of the requests, each of which stands for `weight` of all."""
        for name in ("requests", "kept", "characters", "most_tokens"):
            setattr(self, name, getattr(self, name) + round(getattr(part, name) * weight))
        self.counted.update(part.counted)


class Unknown(Exception):
    """The store does not have the next answers."""


def thinned(things: Sequence[Thing], most: int) -> tuple[Sequence[Thing], float]:
    """At most so many of the things, from first to last; and for how many each of them stands.

    >>> thinned([1, 2, 3, 4, 5], 2), thinned("ab", 2)
    (([1, 4], 2.5), ('ab', 1.0))
    """
    some = things[:: ceil(len(things) / most)] if things else things
    return some, len(things) / len(some) if some else 1.0


class Foresight:
    """Looks requests up, sends none, and adds up what sending them would take."""

    def __init__(self, endpoint: Endpoint, store: Store):
        self.llm = endpoint.llm
        self.price = endpoint.price
        self._engine = Engine(endpoint, store, lambda tally: None)
        self._store = store
        self._embedded = endpoint.embedded
        # A part of every prompt.
        self._system = endpoint.llm.system or ""
        # What the model made of prompts so far, None if none were counted.
        self._tokens_a_character = tokens_a_character(store, self._engine.model)

    @classmethod
    @contextmanager
    def opened(cls, llm: Llm, store: Store) -> Iterator["Foresight"]:
        """Of the endpoint that the parameters and the environment name. As `open_endpoint`."""
        with open_endpoint(llm) as endpoint:
            foresight = cls(endpoint, store)
            try:
                yield foresight
            finally:
                foresight._engine.close()

    @contextmanager
    def of(self, llm: Llm) -> Iterator["Foresight"]:
        """The same for another model."""
        with Foresight.opened(llm, self._store) as other:
            yield other

    def look_up(self, seen: Foreseen, requests: Iterable[Request]) -> Iterator[Answer | None]:
        """The answers that the store has, in order; the requests are read as answers are taken."""
        missing: set[bytes] = set()  # by key: equal ones are sent once
        source = iter(requests)
        while window := list(islice(source, WINDOW)):
            kept = self._engine.peek(window)
            for request, answer in zip(window, kept, strict=True):
                seen.requests += 1
                if answer is not None:
                    seen.kept += 1
                    if (usage := answer.response.get("usage")) and usage["prompt_tokens"]:
                        characters = self._characters(request)
                        seen.counted.update(usage, answers=1, characters=characters)
                    continue
                # Of millions of keys so much of each will do.
                key = bytes.fromhex(self._engine.key_of(request))[:8]
                if key in missing:
                    seen.kept += 1
                    continue
                missing.add(key)
                self._to_send(seen, request)
            yield from kept

    def answers(self, seen: Foreseen, requests: Iterable[Request]) -> list[Answer]:
        """All answers.

        Raises:
            Unknown: the store lacks one; all are looked up nevertheless.
        """
        looked_up = list(self.look_up(seen, requests))
        answers = [answer for answer in looked_up if answer is not None]
        if len(answers) < len(looked_up):
            raise Unknown
        return answers

    def more(self, seen: Foreseen, like: Iterable[Request]) -> None:
        """Requests that are not known, as long as these."""
        for request in like:
            seen.requests += 1
            self._to_send(seen, request)

    def kept_like(self, request: Request, beginning: str) -> int:
        """How many answers the store has to prompts that begin so, asked for as the request."""
        return self._engine.kept_like(request, beginning)

    def look_up_scores(self, seen: Foreseen, texts: Iterable[Pair]) -> None:
        """Pairs to be scored, as `Engine.score` takes them: which of them the store has."""
        missing: set[bytes] = set()
        source = iter(texts)
        while window := list(islice(source, WINDOW)):
            asked = [(prompt, text) for prompt, text, *_ in window]
            self._scored(seen, asked, self._engine.unscored(window), missing)

    def look_up_options(
        self, seen: Foreseen, options: Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]]
    ) -> None:
        """The same of options, as `Engine.weigh` takes them."""
        missing: set[bytes] = set()
        source = iter(options)
        while window := list(islice(source, WINDOW)):
            # The embedded server is asked once for all of them.
            pairs = [
                ("" if number and self._embedded else prompt, text)
                for prompt, texts, _ in window
                for number, text in enumerate(texts)
            ]
            self._scored(seen, pairs, self._engine.unweighed(window), missing)

    def look_up_states(self, seen: Foreseen, prompts: Iterable[str]) -> None:
        """The same of prompts whose state is wanted."""
        missing: set[bytes] = set()
        source = iter(prompts)
        while window := list(islice(source, WINDOW)):
            pairs = [(prompt, "") for prompt in window]
            self._scored(seen, pairs, self._engine.unembedded(window), missing)

    def _scored(
        self,
        seen: Foreseen,
        pairs: Iterable[tuple[str, str]],
        keys: Iterable[str | None],
        missing: set[bytes],
    ) -> None:
        for (prompt, text), key in zip(pairs, keys, strict=True):
            seen.requests += 1
            if key is None or (short := bytes.fromhex(key)[:8]) in missing:
                seen.kept += 1
                continue
            missing.add(short)
            seen.characters += len(prompt) + len(text) + len(self._system)

    def add_tokens(self, seen: Foreseen) -> None:
        """What the requests to be sent take, now that all answers of the stage are counted."""
        if not seen.missing:
            return
        counted, notes = seen.counted, []
        if counted:
            ratio = counted["prompt_tokens"] / counted["characters"]
        elif self._tokens_a_character:
            ratio = self._tokens_a_character
        else:
            notes.append(f"prompt tokens: {CHARACTERS_A_TOKEN:g} characters each")
            ratio = 1 / CHARACTERS_A_TOKEN
        seen.prompt_tokens = round(seen.characters * ratio)
        if counted:
            mean = counted["completion_tokens"] / counted["answers"]
            seen.completion_tokens = round(seen.missing * mean)
        elif seen.most_tokens:  # what is scored is written by nobody
            notes.append("completion tokens: at most, all max_tokens")
            seen.completion_tokens = seen.most_tokens
        seen.guessed[:0] = notes

    def _to_send(self, seen: Foreseen, request: Request) -> None:
        seen.characters += self._characters(request)
        seen.most_tokens += request.sampling.max_tokens

    def _characters(self, request: Request) -> int:
        return len(request.prompt) + len(self._system)
