"""What is measured of a pair of example and candidate, by an engine that is asked in the open."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np
import pytest
from support.ranking import TEMPLATE

from seedbed.ranker.features import (
    Listing,
    Options,
    columns,
    measure,
    number_of_scorings,
    score_demos,
)
from seedbed.ranker.question import Question
from seedbed.tasks.niv2 import Demo

DEMOS = {"t": [Demo(input=f"in {i}", output=f"out {i}") for i in range(4)]}
LISTINGS = [
    Listing("t", "one", ["Say it.", "Do say it."], [0, 5]),
    Listing("t", "two", ["Do say it.", "Say it."], [5, 0]),
]


@dataclass
class Said:
    key: str
    logprobs: list[float]
    data: bytes = b""

    @property
    def total(self) -> float:
        return sum(self.logprobs)


@dataclass
class Engine:
    """Every text has a log-probability of its length, in as many tokens as it has words."""

    scored: list[tuple[str, str]] = field(default_factory=list)
    weighed: list[Options] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)

    def score(self, texts: Iterable[tuple[str, str]], /) -> Iterator[Said]:
        for prompt, text in texts:
            self.scored.append((prompt, text))
            words = text.split()
            yield Said(f"{prompt}|{text}", [-float(len(prompt))] * len(words))

    def weigh(self, options: Iterable[Options], /) -> Iterator[Sequence[Said]]:
        for prompt, texts, shared in options:
            self.weighed.append((prompt, texts, shared))
            yield [Said(f"{prompt}|{text}", [-float(len(prompt) * len(text))]) for text in texts]

    def embed(self, prompts: Iterable[str], /) -> Iterator[Said]:
        for prompt in prompts:
            self.embedded.append(prompt)
            state = np.arange(4, dtype="<f4") + len(prompt)
            yield Said(prompt, [], state.tobytes())

    def count_tokens(self, texts: Sequence[str], /) -> list[int] | None:
        return [len(text.split()) for text in texts]


def measured(*features: str) -> tuple[Engine, list[np.ndarray], list[list[list[str]]]]:
    engine, question = Engine(), Question(TEMPLATE)
    of_demos = score_demos(LISTINGS, DEMOS if "demos" in features else {}, engine)
    found = list(measure(LISTINGS, features, of_demos, question, engine))
    return engine, [one.values for one in found], [one.keys for one in found]


def test_yes_is_one_question_a_pair_that_both_words_follow() -> None:
    engine, values, keys = measured("yes_no")
    asked = Question(TEMPLATE).ask("one", "Say it.")
    assert engine.weighed[0] == (asked, (" yes", " no"), ("Input: one\n\nInstruction:",))
    assert len(engine.weighed) == 4
    assert values[0][0] == [-len(asked) * 4 + len(asked) * 3]
    assert keys[0][0] == [f"{asked}| yes", f"{asked}| no"]
    assert engine.scored == []


def test_demos_are_scored_once_an_instruction_each_after_the_two_others() -> None:
    engine, values, keys = measured("demos", "seed")
    assert len(engine.scored) == 2 * 3
    prompt, text = engine.scored[1]
    assert text == " out 1"
    shown = "Input: in 0\nOutput: out 0\n\nInput: in 2\nOutput: out 2"
    assert prompt == f"Say it.\n\n{shown}\n\nInput: in 1\nOutput:"
    # A token's log-probability, whatever the number of tokens; the same wherever the text stands.
    mean = -np.mean([len(prompt) for prompt, _ in engine.scored[:3]])
    assert values[0][0].tolist() == pytest.approx([mean, 1.0])
    assert values[1][1].tolist() == values[0][0].tolist()
    assert values[0][1, 1] == 0
    assert keys == [[[], []], [[], []]]


def test_the_input_is_scored_after_the_candidate_alone() -> None:
    engine, values, _ = measured("length", "input")
    assert engine.scored[0] == ("Say it.\n\nInput:", " one")
    assert values[0][1].tolist() == [log(3), -float(len("Do say it.\n\nInput:"))]


def test_a_state_has_a_column_for_each_of_its_numbers() -> None:
    engine, values, keys = measured("seed", "hidden", "length")
    assert values[0].shape == (2, 6)
    names = columns(["seed", "hidden", "length"], 6)
    assert names == ["seed", *["hidden"] * 4, "length"]
    assert values[0][0, 1:5].tolist() == [len(engine.embedded[0]) + i for i in range(4)]
    assert keys[1][1] == [engine.embedded[3]]


def test_as_much_is_asked_as_is_foreseen() -> None:
    for features in (("yes_no",), ("demos",), ("yes_no", "demos", "input", "hidden", "length")):
        engine, _, _ = measured(*features)
        asked = len(engine.scored) + 2 * len(engine.weighed) + len(engine.embedded)
        demos = DEMOS if "demos" in features else {}
        assert number_of_scorings(LISTINGS, features, demos) == asked
