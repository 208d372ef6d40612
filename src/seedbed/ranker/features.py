"""What is measured of a pair of example and candidate: the numbers that a head weighs.

yes_no  log p(" yes") − log p(" no") after the question: the difference of the two logits, since
        what both are divided by cancels. (log p(" yes") alone would order otherwise, because that
        divisor depends on the candidate. And `yes` cannot be its name: to readers of YAML 1.1 it is
        true, and `dvc exp run -S` writes it without the quotes that would keep it a text.)
demos   the mean over the task's demos of the log-probability a token of a demo's output, after the
        candidate with the other demos: cross-validation on the demos by likelihood
input   the mean log-probability a token of the input after the candidate
length  the natural logarithm of the candidate's tokens
seed    1 for the task's own instruction, else 0
hidden  the state of the question's last token, of which the answer's logits are made: hundreds of
        numbers, from the embedded server

The model is asked through `Engine.weigh` and `Engine.score`, so every number can be had again from
the response store.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from typing import Protocol

import numpy as np

from seedbed.core.metrics import mean
from seedbed.ranker.errors import NotFinite
from seedbed.ranker.listwise import Floats
from seedbed.ranker.question import Question, tokens_of
from seedbed.tasks.few_shot import DEMOS, beginning, prompt, shown
from seedbed.tasks.niv2 import Demo

YES, NO = " yes", " no"


class Scored(Protocol):
    """The log-probabilities of a text's tokens, and the key that they are stored under."""

    @property
    def key(self) -> str: ...

    @property
    def logprobs(self) -> list[float]: ...

    @property
    def total(self) -> float: ...


# By task, the demos whose outputs are scored; no task where `demos` is no feature.
Demos = Mapping[str, Sequence[Demo]]
# A prompt, the texts that may follow it, and what it shares with others.
Options = tuple[str, tuple[str, ...], tuple[str, ...]]


class State(Protocol):
    """A state as little-endian float32, and the key that it is stored under."""

    @property
    def key(self) -> str: ...

    @property
    def data(self) -> bytes: ...


class Measuring(Protocol):
    """The part of the engine that measures texts."""

    def score(self, texts: Iterable[tuple[str, str]], /) -> Iterator[Scored]: ...
    def weigh(self, options: Iterable[Options], /) -> Iterator[Sequence[Scored]]: ...
    def embed(self, prompts: Iterable[str], /) -> Iterator[State]: ...
    def count_tokens(self, texts: Sequence[str], /) -> list[int] | None: ...


@dataclass(frozen=True)
class Listing:
    """An example, and the candidates that compete on it.

    given: its input as the question shows it. places: the candidates' among those of the task.
    """

    task: str
    given: str
    instructions: Sequence[str]
    places: Sequence[int]


@dataclass(frozen=True)
class Measured:
    """values: (candidates, features). keys: of each pair's scorings, without those of demos."""

    values: Floats
    keys: list[list[str]]


@dataclass(frozen=True)
class OfDemos:
    """How likely an instruction makes the outputs of a task's demos."""

    score: float
    keys: list[str]


def texts_of(listings: Sequence[Listing], demos: Demos) -> dict[str, list[str]]:
    """The instructions of each task whose demos are scored, each once, in the lists' order."""
    found: dict[str, dict[str, None]] = {task: {} for task in demos}
    for listing in listings:
        if listing.task in found:
            found[listing.task].update(dict.fromkeys(listing.instructions))
    return {task: list(texts) for task, texts in found.items()}


def to_score(
    listings: Sequence[Listing], features: Sequence[str], demos: Demos
) -> Iterator[tuple[str, str]]:
    """All texts that are scored by themselves, in order: (prompt, text)."""
    for task, texts in texts_of(listings, demos).items():
        for text in texts:
            yield from _demo_pairs(text, demos[task][:DEMOS])
    for listing in listings if "input" in features else ():
        yield from _input_pairs(listing)


def to_weigh(
    listings: Sequence[Listing], features: Sequence[str], question: Question
) -> Iterator[Options]:
    """All questions, in order: (prompt, texts, what the prompts of a list share)."""
    for listing in listings if "yes_no" in features else ():
        shared = question.before_instruction(listing.given)
        for instruction in listing.instructions:
            yield question.ask(listing.given, instruction), (YES, NO), (shared,)


def to_embed(
    listings: Sequence[Listing], features: Sequence[str], question: Question
) -> Iterator[str]:
    """All questions whose state is wanted, in order."""
    for listing in listings if "hidden" in features else ():
        for instruction in listing.instructions:
            yield question.ask(listing.given, instruction)


def number_of_scorings(listings: Sequence[Listing], features: Sequence[str], demos: Demos) -> int:
    """How many texts are scored, or embedded, in all."""
    pairs = sum(len(listing.instructions) for listing in listings)
    asked = pairs * (2 * ("yes_no" in features) + ("hidden" in features))
    return asked + sum(1 for _ in to_score(listings, features, demos))


def columns(features: Sequence[str], width: int) -> list[str]:
    """The name of each column of what is measured; those of `hidden` share one."""
    return [
        name
        for feature in features
        for name in [feature] * (width - len(features) + 1 if feature == "hidden" else 1)
    ]


def _input_pairs(listing: Listing) -> Iterator[tuple[str, str]]:
    for instruction in listing.instructions:
        yield beginning(instruction.strip(), ""), f" {listing.given}"


def _demo_pairs(instruction: str, demos: Sequence[Demo]) -> Iterator[tuple[str, str]]:
    for number, demo in enumerate(demos):
        others = [(other.input, other.output) for other in (*demos[:number], *demos[number + 1 :])]
        yield prompt(instruction.strip(), shown(others), demo.input), f" {demo.output.strip()}"


def score_demos(
    listings: Sequence[Listing], demos: Demos, engine: Measuring
) -> dict[tuple[str, str], OfDemos]:
    """How likely each instruction makes the demos of its task, by (task, instruction)."""
    names = [(task, text) for task, texts in texts_of(listings, demos).items() for text in texts]
    scores = iter(engine.score(to_score(listings, (), demos)))
    found = {}
    for task, text in names:
        own = list(islice(scores, len(demos[task][:DEMOS])))
        found[task, text] = OfDemos(
            mean([_per_token(one) for one in own]), [one.key for one in own]
        )
    return found


def measure(
    listings: Sequence[Listing],
    features: Sequence[str],
    of_demos: Mapping[tuple[str, str], OfDemos],
    question: Question,
    engine: Measuring,
) -> Iterator[Measured]:
    """Yield what is measured of each list, in order.

    Args:
        of_demos: as `score_demos` gives it, if `demos` is among the features.

    Raises:
        NotFinite: the server gave a log-probability that is no number.
        SeedbedError: as the engine.
    """
    answers = iter(engine.weigh(to_weigh(listings, features, question)))
    inputs = iter(engine.score(to_score(listings, features, {})))
    states = iter(engine.embed(to_embed(listings, features, question)))
    sizes: dict[str, int] = {}
    if "length" in features:
        texts = list(dict.fromkeys(text for listing in listings for text in listing.instructions))
        sizes = dict(zip(texts, tokens_of(texts, engine.count_tokens), strict=True))
    for listing in listings:
        rows, keys = [], []
        for place, text in zip(listing.places, listing.instructions, strict=True):
            values: dict[str, float | Floats] = {"seed": float(place == 0)}
            asked: list[Scored | State] = []
            if "hidden" in features:  # first: a server that has none is found out at once
                state = next(states)
                asked.append(state)
                values["hidden"] = np.frombuffer(state.data, dtype="<f4").astype(np.float64)
            if "yes_no" in features:
                yes, no = next(answers)
                asked += [yes, no]
                values["yes_no"] = yes.total - no.total
            if "input" in features:
                scored = next(inputs)
                asked.append(scored)
                values["input"] = _per_token(scored)
            if "length" in features:
                values["length"] = log(max(1, sizes[text]))
            if "demos" in features:
                values["demos"] = of_demos[listing.task, text].score
            rows.append(np.hstack([values[name] for name in features]))
            keys.append([one.key for one in asked])
        values_of = np.array(rows, dtype=np.float64)
        if not np.isfinite(values_of).all():
            raise NotFinite(listing.task, features)
        yield Measured(values_of, keys)


def _per_token(scored: Scored) -> float:
    """0 of a text without a token: nothing speaks for or against it."""
    return scored.total / len(scored.logprobs) if scored.logprobs else 0.0
