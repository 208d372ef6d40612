"""Requests looked up instead of sent, and what sending the others would take."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from seedbed.core.files import opened
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
LOOKED_UP = 1500
EACH = 16

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
        for note in part.guessed:
            self.guess(note)


class Unknown(Exception):
    """The store does not have the next answers."""


def thinned(things: Sequence[Thing], most: int) -> tuple[Sequence[Thing], float]:
    """At most so many of the things, from first to last; and for how many each of them stands.

    >>> thinned([1, 2, 3, 4, 5], 2), thinned("ab", 2)
    (([1, 4], 2.5), ('ab', 1.0))
    """
    some = things[:: ceil(len(things) / most)] if things else things
    return some, len(things) / len(some) if some else 1.0


def rows_in(path: Path) -> int:
    """How many rows a file has. Raises BadFile."""
    with opened(path) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


@contextmanager
def some_rows(seen: Foreseen, *paths: Path) -> Iterator[tuple[Path, Foreseen]]:
    """A folder with these files, all of one folder, and what is to be seen of their rows.

    Of more than LOOKED_UP rows it has some, evenly spread: what is seen of these stands for all. A
    file that is not there is left to who reads it.
    """
    there = [path for path in paths if path.is_file()]
    lines = sum(map(rows_in, there))
    step = ceil(lines / LOOKED_UP)
    if step <= 1:
        yield paths[0].parent, seen
        return
    with TemporaryDirectory() as place:
        taken = 0
        for path in there:
            with opened(path) as file, (Path(place) / path.name).open("wb") as some:
                for line in islice(file, 0, None, step):
                    some.write(line)
                    taken += 1
        part = Foreseen(seen.stage)
        yield Path(place), part
    seen.add(part, lines / taken)
    seen.guess(f"requests: {taken:,} of {lines:,} rows were read, for all")


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

        def look(part: Foreseen, window: Sequence[Pair], missing: set[bytes]) -> None:
            asked = [(prompt, text) for prompt, text, *_ in window]
            self._scored(part, asked, self._engine.unscored(window), missing)

        _in_windows(seen, texts, look)

    def look_up_options(
        self, seen: Foreseen, options: Iterable[tuple[str, tuple[str, ...], tuple[str, ...]]]
    ) -> None:
        """The same of options, as `Engine.weigh` takes them."""

        def look(
            part: Foreseen,
            window: Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]],
            missing: set[bytes],
        ) -> None:
            # The embedded server is asked once for all of them.
            pairs = [
                ("" if number and self._embedded else prompt, text)
                for prompt, texts, _ in window
                for number, text in enumerate(texts)
            ]
            self._scored(part, pairs, self._engine.unweighed(window), missing)

        _in_windows(seen, options, look)

    def look_up_states(self, seen: Foreseen, prompts: Iterable[str]) -> None:
        """The same of prompts whose state is wanted."""

        def look(part: Foreseen, window: Sequence[str], missing: set[bytes]) -> None:
            pairs = [(prompt, "") for prompt in window]
            self._scored(part, pairs, self._engine.unembedded(window), missing)

        _in_windows(seen, prompts, look)

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


def _in_windows(
    seen: Foreseen,
    things: Iterable[Thing],
    look: Callable[[Foreseen, Sequence[Thing], set[bytes]], None],
) -> None:
    """Look the first LOOKED_UP things up one by one, and of what follows one in EACH, for all."""
    missing: set[bytes] = set()
    source = iter(things)
    left = LOOKED_UP
    while left > 0 and (window := list(islice(source, min(left, WINDOW)))):
        look(seen, window, missing)
        left -= len(window)
    while many := list(islice(source, EACH * WINDOW)):
        some, weight = thinned(many, ceil(len(many) / EACH))
        part = Foreseen(seen.stage)
        look(part, some, missing)
        seen.add(part, weight)
        seen.guess(
            f"in store: the first {LOOKED_UP:,} were looked up, and one in {EACH} after them"
        )
