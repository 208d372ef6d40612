"""A pool in shares says what one index would, to the last bit."""

import random
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.novelty import rounds_of, sift_all, sift_plainly
from support.sharded import TWO, several_here
from support.tries import tries

from seedbed.core import pool
from seedbed.core.pool import Pool, Share
from seedbed.core.shards import HERE, Place

plain = st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join)


@given(
    st.lists(plain, min_size=1, max_size=12),
    st.lists(st.lists(plain, max_size=9), max_size=4),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(0, 10),
    st.integers(0, 6),
)
@settings(max_examples=tries(200), deadline=None)
def test_whatever_the_shares_each_text_becomes_what_one_index_makes_of_it(
    texts: list[str],
    rounds: list[list[str]],
    workers: int,
    block: int,
    tenths: int,
    most: int,
) -> None:
    threshold = Fraction(tenths, 10)
    with several_here(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "AT_ONCE", 3)
        found = sift_all(texts, rounds, Place(workers), block, threshold, most)
    assert found == sift_plainly(texts, rounds, threshold, most)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("block", [7, 64, 129, 1000])
def test_a_pool_of_many_blocks_and_leaves_has_the_same_means_and_ties(
    workers: int, block: int
) -> None:
    given = rounds_of(block, pool=1500, rounds=8)
    with several_here():
        found = sift_all(*given, Place(workers), block)
    assert found == sift_plainly(*given)
    kinds = {(one.taken, one.similar) for of_round in found for one in of_round}
    assert kinds == {(True, False), (False, True), (False, False)}
    nearest = [one.closest for of_round in found for one in of_round if one.taken]
    assert any(a[1] == b[1] for one in nearest for a, b in pairwise(one))


def test_two_processes_sift_as_this_one() -> None:
    given = rounds_of(1)
    assert sift_all(*given, TWO, block=40) == sift_all(*given, HERE) == sift_plainly(*given)


@given(st.integers(1, 3000), st.integers(1, 700), st.integers(0, 40), st.randoms())
@settings(max_examples=tries(200), deadline=None)
def test_a_sum_in_parts_is_numpys_to_the_last_bit(
    before: int, block: int, more: int, draw: random.Random
) -> None:
    size = before + more
    scores = np.array([draw.random() for _ in range(size)])
    parts: dict[int, pool.Part] = {}
    begins = [*range(0, before, block)]
    draw.shuffle(begins)
    for begin in begins:
        end = min(begin + block, before)
        parts |= pool._parts(scores[begin:end], begin, begin, end, size)
    parts |= pool._parts(scores[before:], before, before, size, size)
    assert pool._total(0, size, parts) / size == float(scores.mean())


def test_a_sum_of_a_million_is_numpys_too() -> None:
    scores = np.random.default_rng(1).random(1_000_003)
    parts: dict[int, pool.Part] = {}
    for begin in range(0, len(scores), pool.BLOCK):
        end = min(begin + pool.BLOCK, len(scores))
        parts |= pool._parts(scores[begin:end], begin, begin, end, len(scores))
    assert pool._total(0, len(scores), parts) == float(scores.sum())


def test_the_pool_has_what_was_taken_in_order_and_a_round_is_compared_with_it_as_it_was() -> None:
    with Pool(["one two three"], 10, HERE) as sieve:
        first = sieve.sift(["four five six", "one two three", "four five six"], Fraction(1, 2), 9)
        assert [one.taken for one in first] == [True, False, False]
        assert sieve.texts == ["one two three", "four five six"]
        assert sieve.pairs == 3
        (again,) = sieve.sift(["four five six"], Fraction(1, 2), 9)
        assert again.similar
        assert sieve.pairs == 5


def test_blocks_are_dealt_in_turn_and_a_share_knows_where_its_texts_stand() -> None:
    with several_here(), Pool(map(str, range(11)), 100, Place(2), 3) as sieve:
        assert sieve._new == [list("012678"), [*"345", "9", "10"]]
    assert [Share(1, 2, 3)._place(own) for own in range(5)] == [3, 4, 5, 9, 10]


def test_there_are_no_more_workers_than_blocks_and_a_small_pool_stays_here() -> None:
    with several_here():
        for expected, workers in ((1, 1), (100, 1), (101, 2), (1000, 4)):
            with Pool([], expected, Place(4), block=100) as sieve:
                assert len(sieve._shares) == workers
