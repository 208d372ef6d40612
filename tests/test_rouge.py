"""The novelty index against the rouge-score package, bit for bit."""

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from support.plain_rouge import exact_f1
from support.tries import tries

from seedbed.core.rouge import RougeIndex, any_above, closest, tokens

SCORER = RougeScorer(["rougeL"], use_stemmer=False)

# Latin, what becomes Latin in lower case (the Kelvin sign), what does not, other scripts.
WORDS = ["a", "b", "c", "the", "cat", "Cat", "CAT", "cats", "7", "007", "3.14", "x2", "a_b"]
WORDS += [
    "don't",
    "co-op",
    "İstanbul",
    "İ",
    "\u212a",
    "ß",
    "\ufb01ne",
    "naïve",
    "e\u0301",
    "½",
    "٣",
]
WORDS += [
    "写一首诗",
    "秋天",
    "Привет",
    "γειά",
    "שלום",
    "مرحبا",
    "नमस्ते",
    "안녕",
    "ありがとう",
    "👩‍🚀",
    "\u200b",
]
texts = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
    st.text(max_size=60),
    st.text(st.sampled_from("aAbB1 .,-İßé写\n\t\u2028"), max_size=60),
)


def reference(text: str, other: str) -> float:
    return SCORER.score(text, other)["rougeL"].fmeasure


def assert_scored_alike(index: RougeIndex, pool: list[str], queries: list[str]) -> None:
    scores = index.scores(queries)
    assert scores.shape == (len(queries), len(pool))
    for row, text in zip(scores, queries, strict=True):
        # Bit for bit: == on floats, and no tolerance.
        assert row.tolist() == [reference(text, other) for other in pool]


def of_length(count: int, seed: int, vocabulary: int = 40) -> str:
    draw = random.Random(seed)
    return " ".join(f"w{draw.randrange(vocabulary)}" for _ in range(count))


@given(st.lists(texts, max_size=8), st.lists(texts, min_size=1, max_size=4))
@settings(max_examples=tries(300), deadline=None)
def test_scores_are_those_of_rouge_score_in_every_script(
    pool: list[str], queries: list[str]
) -> None:
    assert_scored_alike(RougeIndex(pool), pool, queries)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 129, 210, 400])
def test_scores_are_those_of_rouge_score_at_every_length(length: int) -> None:
    # 64 tokens are one machine word of the bit-parallel arithmetic.
    pool = [of_length(count, seed=count) for count in (1, 63, 64, 65, 150, 210, 300)]
    queries = [of_length(length, seed=-1), pool[-1], ""]
    assert_scored_alike(RougeIndex(pool), pool, queries)


@pytest.mark.parametrize("text", ["", " ", "...", "请写一首关于秋天的诗", "Привет, мир!", "👩‍🚀"])
def test_a_text_without_tokens_is_like_nothing_not_even_itself(text: str) -> None:
    assert tokens(text) == ()
    index = RougeIndex([text, "a cat"])
    assert index.scores([text, "a cat"]).tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_unknown_tokens_match_neither_each_other_nor_the_pool() -> None:
    index = RougeIndex(["one two three"])
    assert index.scores(["four five six"]).tolist() == [[0.0]]
    assert index.scores(["four two five"]).tolist() == [
        [reference("four two five", "one two three")]
    ]


def test_an_empty_pool_and_no_texts_give_empty_scores() -> None:
    assert RougeIndex().scores(["a cat"]).shape == (1, 0)
    assert RougeIndex(["a cat"]).scores([]).shape == (0, 1)


@given(st.lists(texts, min_size=2, max_size=8), st.data())
@settings(max_examples=tries(60), deadline=None)
def test_a_pool_that_grew_scores_like_one_that_was_there_at_once(
    pool: list[str], data: st.DataObject
) -> None:
    split = data.draw(st.integers(0, len(pool)))
    index = RougeIndex(pool[:split])
    for text in pool[split:]:
        index.scores([text])  # a query must not leave anything behind
        index.add(text)
    assert len(index) == len(pool)
    assert_scored_alike(index, pool, pool)


def test_a_large_pool_of_short_texts_is_scored_like_a_small_one() -> None:
    # Beyond the room that there is at first, and with more texts than pairs of lengths.
    pool = [of_length(seed % 20, seed) for seed in range(2100)]
    queries = [of_length(count, seed=-count) for count in (0, 1, 9, 19, 30)]
    index = RougeIndex(pool)
    assert_scored_alike(index, pool, queries)


def test_many_queries_are_scored_like_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seedbed.core.rouge._BLOCK", 3)  # several blocks, the last not full
    pool = [of_length(10, seed) for seed in range(7)]
    assert_scored_alike(RougeIndex(pool), pool, [of_length(8, seed) for seed in range(11)])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 8, 9])
def test_a_pool_of_several_windows_is_scored_like_one_of_one(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedbed.core.rouge._WINDOW", 3)
    pool = [of_length(seed % 5 * 4, seed) for seed in range(size)]
    assert_scored_alike(RougeIndex(pool), pool, [of_length(8, seed) for seed in range(4)])


def test_more_distinct_tokens_than_there_are_code_points_before_the_surrogates() -> None:
    pool = [" ".join(f"t{n}" for n in range(first, first + 64)) for first in range(0, 58_000, 64)]
    index = RougeIndex(pool)
    gap = 0xD800
    around = " ".join(f"t{n}" for n in range(gap - 40, gap + 40))
    beyond = "t57000 t57002 t1 t57001 t56999"
    for query in (around, beyond, pool[gap // 64], pool[-1]):
        near = [*range(gap // 64 - 2, gap // 64 + 3), 57_000 // 64, 0, len(pool) - 1]
        scores = index.scores([query])[0]
        assert [scores[i] for i in near] == [reference(query, pool[i]) for i in near]
        assert scores.sum() == sum(scores[i] for i in set(near))  # nothing else is alike


plain = st.lists(st.sampled_from("abcde"), min_size=1, max_size=14).map(" ".join)


@given(plain, st.lists(plain, min_size=1, max_size=6), st.integers(0, 20))
@settings(max_examples=tries(300), deadline=None)
def test_whether_a_score_is_above_a_threshold_is_what_fractions_say(
    text: str, pool: list[str], twentieths: int
) -> None:
    exact = [exact_f1(text, other) for other in pool]
    scores = RougeIndex(pool).scores([text])[0]
    for threshold in (Fraction(twentieths, 20), max(exact)):
        assert any_above(scores, text, pool, threshold) == (max(exact) > threshold)


def test_nothing_is_above_a_threshold_in_an_empty_pool() -> None:
    assert not any_above(RougeIndex().scores(["a cat"])[0], "a cat", [], Fraction(0))


def test_the_closest_come_highest_first_and_ties_in_the_order_of_the_pool() -> None:
    scores = np.array([0.1, 0.5, 0.9, 0.5, 0.0, 0.5])
    assert closest(scores, 3) == [2, 1, 3]
    assert closest(scores, 4) == [2, 1, 3, 5]


def test_fewer_than_asked_for_are_all_of_them() -> None:
    assert closest(np.array([0.2, 0.4]), 10) == [1, 0]
    assert closest(np.array([]), 10) == []


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 2 / 3, 1.0]), max_size=40),
    st.integers(1, 80),
    st.randoms(),
)
@settings(max_examples=tries(100), deadline=None)
def test_the_closest_are_what_a_full_sort_gives(
    some: list[float], times: int, draw: random.Random
) -> None:
    # From none to thousands, most of them as high as another.
    scores = some * times
    draw.shuffle(scores)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:10]
    assert closest(np.array(scores), 10) == expected
