"""How well scores agree with labels: by hand, and against plain versions."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tries import tries

from seedbed.backtranslation import agreement
from seedbed.backtranslation.agreement import (
    Point,
    auc,
    by_threshold,
    interval,
    paired_auc,
    precision_recall,
)

# Few enough values for ties, and some that lie close together.
score = st.integers(1, 5).map(float) | st.floats(-3, 3) | st.sampled_from([0.1, 0.1 + 1e-15])
Rows = list[tuple[float, bool]]
rows = st.lists(st.tuples(score, st.booleans()), max_size=30)
# Two of each kind at least.
of_both_kinds = st.lists(st.tuples(score, st.booleans()), min_size=4, max_size=30).map(
    lambda drawn: [(one, n % 2 == 0 if n < 4 else good) for n, (one, good) in enumerate(drawn)]
)


def columns(table: Rows) -> tuple[list[float], list[bool]]:
    return [one for one, _ in table], [good for _, good in table]


def plain_auc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    pairs = [(one, other) for one in good for other in bad]
    twice = sum(2 * (one > other) + (one == other) for one, other in pairs)
    return twice / (2 * len(pairs)) if pairs else None


@settings(max_examples=tries(300), deadline=None)
@given(rows)
def test_the_auc_is_the_share_of_pairs_in_order_and_a_tie_is_half(table: Rows) -> None:
    good = [one for one, label in table if label]
    bad = [one for one, label in table if not label]
    assert auc(*columns(table)) == plain_auc(good, bad)
    assert paired_auc(good, bad) == plain_auc(good, bad)


@pytest.mark.parametrize(
    ("good", "bad", "is_"),
    [
        ([3.0, 4.0], [1.0, 2.0], 1.0),
        ([1.0, 2.0], [3.0, 4.0], 0.0),
        ([5.0, 5.0], [5.0, 5.0, 5.0], 0.5),
        ([2.0], [1.0, 2.0, 3.0, 3.0], 0.375),
        ([-0.5, -1.5], [-1.0, float("-inf")], 0.75),
        ([1.0], [], None),
        ([], [1.0], None),
        ([], [], None),
    ],
)
def test_the_auc_by_hand(good: list[float], bad: list[float], is_: float | None) -> None:
    labels = [True] * len(good) + [False] * len(bad)
    assert auc(good + bad, labels) == is_
    assert paired_auc(good, bad) == is_


def test_true_pairs_are_held_against_all_swapped_ones() -> None:
    assert paired_auc([3.0, 1.0], [2.0, 0.0, 0.0]) == 5 / 6


@settings(max_examples=tries(100), deadline=None)
@given(rows)
def test_the_auc_sees_the_order_of_scores_only_and_turns_with_it(table: Rows) -> None:
    scores, labels = columns(table)
    found = auc(scores, labels)
    levels = sorted({*scores})
    assert auc([levels.index(one) * 2.0 - 7 for one in scores], labels) == found
    turned = auc([-one for one in scores], labels)
    assert turned == (None if found is None else pytest.approx(1 - found))


# --- precision and recall


@pytest.mark.parametrize(
    ("kept", "labels", "is_"),
    [
        ("1100", "1010", (0.5, 0.5)),
        ("1110", "1000", (1 / 3, 1.0)),
        ("1000", "1111", (1.0, 0.25)),
        ("0000", "1010", (None, 0.0)),
        ("1100", "0000", (0.0, None)),
        ("0000", "0000", (None, None)),
        ("", "", (None, None)),
    ],
)
def test_precision_and_recall_by_hand(
    kept: str, labels: str, is_: tuple[float | None, float | None]
) -> None:
    assert precision_recall([one == "1" for one in kept], [one == "1" for one in labels]) == is_


def test_points_by_hand() -> None:
    scores = [5.0, 3.0, 5.0, 4.0, 1.0]
    assert by_threshold(scores, [True, True, False, False, False]) == [
        Point(5.0, 2, 1 / 2, 1 / 2),
        Point(4.0, 3, 1 / 3, 1 / 2),
        Point(3.0, 4, 1 / 2, 1.0),
        Point(1.0, 5, 2 / 5, 1.0),
    ]
    assert by_threshold([5.0] * 5, [True, False, False, False, False]) == [Point(5.0, 5, 0.2, 1.0)]
    assert by_threshold([1.0, 2.0], [False, False]) == [
        Point(2.0, 1, 0.0, None),
        Point(1.0, 2, 0.0, None),
    ]
    assert by_threshold([], []) == []


@settings(max_examples=tries(200), deadline=None)
@given(rows)
def test_each_point_is_what_keeping_from_its_score_on_gives(table: Rows) -> None:
    scores, labels = columns(table)
    points = by_threshold(scores, labels)
    assert [point.threshold for point in points] == sorted({*scores}, reverse=True)
    for point in points:
        kept = [one >= point.threshold for one in scores]
        assert point.kept == sum(kept)
        assert (point.precision, point.recall) == precision_recall(kept, labels)


@settings(max_examples=tries(100), deadline=None)
@given(rows)
def test_a_lower_threshold_keeps_more_and_the_lowest_all(table: Rows) -> None:
    points = by_threshold(*columns(table))
    counts = [point.kept for point in points]
    assert all(fewer < more for fewer, more in pairwise(counts))
    assert counts[-1:] == [len(table)][: len(counts)]
    recalls = [point.recall for point in points if point.recall is not None]
    assert recalls == sorted(recalls)
    assert all(type(point.kept) is int and type(point.threshold) is float for point in points)


# --- how sure


@settings(max_examples=tries(100), deadline=None)
@given(of_both_kinds, st.integers())
def test_an_interval_holds_the_auc_and_lies_within_the_scale(table: Rows, seed: int) -> None:
    found, ends = auc(*columns(table)), interval(*columns(table), 300, seed)
    assert found is not None
    assert ends is not None
    assert 0 <= ends[0] <= found <= ends[1] <= 1


@settings(max_examples=tries(50), deadline=None)
@given(of_both_kinds.flatmap(lambda drawn: st.tuples(st.just(drawn), st.permutations(drawn))))
def test_an_interval_is_the_same_whatever_the_order_of_rows(orders: tuple[Rows, Rows]) -> None:
    first, second = (interval(*columns(order), 50, 7) for order in orders)
    assert first == second


def test_an_interval_belongs_to_its_seed_alone() -> None:
    scores = [float(n * n % 17) for n in range(20)]
    labels = [n % 2 == 0 or n % 5 == 0 for n in range(20)]
    assert interval(scores, labels, 100, 1) == interval(scores, labels, 100, 1)
    assert interval(scores, labels, 100, 1) != interval(scores, labels, 100, 2)


def test_an_interval_is_narrower_with_more_rows_and_of_nothing_where_scores_are_perfect() -> None:
    def width(times: int) -> float:
        ends = interval([1.0, 2.0, 3.0, 4.0] * times, [False, True, False, True] * times, 500, 3)
        assert ends is not None
        return ends[1] - ends[0]

    assert 0 < width(100) < width(10) / 2
    assert interval([1.0, 2.0, 3.0, 4.0], [False, False, True, True], 100, 3) == (1.0, 1.0)
    assert interval([5.0] * 9, [True] * 4 + [False] * 5, 100, 3) == (0.5, 0.5)


def test_an_interval_is_as_wide_as_the_draws_of_the_rows_themselves_are() -> None:
    """By hand: two of a kind, the good ones 1 and 3, all bad ones 2. The AUC is the share of 3s."""
    ends = interval([1.0, 3.0, 2.0, 2.0], [True, True, False, False], 1000, 3)
    assert ends == (0.0, 1.0)
    # Of 100 good ones a fifth is 3: the share's deviation is 0.04. Bad ones do not matter.
    ends = interval([1.0, 1.0, 1.0, 1.0, 3.0] * 20 + [2.0] * 2, [True] * 100 + [False] * 2, 4000, 3)
    assert ends == pytest.approx((0.2 - 1.96 * 0.04, 0.2 + 1.96 * 0.04), abs=0.011)


def test_a_kind_of_which_there_is_one_row_or_none_has_no_interval() -> None:
    assert interval([1.0, 2.0, 3.0], [True, False, False], 100, 3) is None
    assert interval([1.0, 2.0, 3.0], [True, True, False], 100, 3) is None
    assert interval([1.0, 2.0], [True, True], 100, 3) is None
    assert interval([], [], 100, 3) is None


def test_resamples_beyond_a_block_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of one draw, of which one alone would make an interval without width."""
    scores, labels = [1.0, 3.0] * 50 + [2.0] * 2, [True] * 100 + [False] * 2
    monkeypatch.setattr(agreement, "_BLOCK", 1)
    ends = interval(scores, labels, 4003, 3)
    assert ends == pytest.approx((0.4, 0.6), abs=0.011)


@pytest.mark.parametrize("of", [auc, by_threshold, lambda a, b: interval(a, b, 10, 1)])
def test_scores_without_a_label_are_refused(of: object) -> None:
    with pytest.raises(ValueError, match=r"scores|zip"):
        of([1.0, 2.0, 3.0, 4.0, 5.0], [True, True, False, False])  # type: ignore[operator]
    with pytest.raises(ValueError, match="zip"):
        precision_recall([True], [])
