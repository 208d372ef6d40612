"""Which tasks are drawn, how unsure a model is of them, and which are chosen: by hand."""

import json
import random
import re
from itertools import product
from math import exp, isfinite, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.project import SHARED
from support.tries import tries

from seedbed.active.choose import choose
from seedbed.active.draw import draw
from seedbed.active.measures import measured, probability_of
from seedbed.active.params import Method
from seedbed.active.perturb import drop_words
from seedbed.active.rows import TaskScore
from seedbed.active.task_map import sets

AUTHORS = SHARED / "data/active"
TABLE = [[0.5, 0.4, 0.8], [0.25, 0.25, 0.05]]


def names_in(path: str) -> list[str]:
    return (AUTHORS / path).read_text().split()


@pytest.mark.skipif(not AUTHORS.is_dir(), reason="the authors' lists are not here")
@pytest.mark.parametrize("seed", [10, 20, 30])
def test_the_draw_is_that_of_the_authors(seed: int) -> None:
    pool, test = names_in("train_tasks.txt"), names_in("test_tasks.txt")
    kinds = json.loads((AUTHORS / "kinds.json").read_text())
    drawn = draw(pool, set(kinds[0]), len(pool) // 11, 68, seed)
    assert drawn.start == names_in(f"splits/{seed}/train_tasks.txt")
    assert test + drawn.dev == names_in(f"splits/{seed}/dev_tasks.txt")
    assert drawn.rest == names_in(f"splits/{seed}/remain_tasks.txt")
    assert len(drawn.rest) == 620


@settings(max_examples=tries(60), deadline=None)
@given(
    st.integers(1, 60), st.integers(0, 60), st.integers(1, 20), st.integers(0, 20), st.integers()
)
def test_a_draw_gives_each_task_once(
    tasks: int, classification: int, chunk: int, dev: int, seed: int
) -> None:
    pool = [f"task{n}" for n in range(tasks)]
    drawn = draw(pool, set(pool[:classification]), chunk, dev, seed)
    assert sorted([*drawn.start, *drawn.dev, *drawn.rest]) == sorted(pool)
    assert len(drawn.dev) <= dev


# --- words that go


@settings(max_examples=tries(200), deadline=None)
@given(st.text(), st.integers())
def test_nothing_goes_at_a_rate_of_0_and_every_word_at_1(text: str, seed: int) -> None:
    assert drop_words(text, 0.0, random.Random(seed)) == text.strip()
    assert drop_words(text, 1.0, random.Random(seed)) == ""


@settings(max_examples=tries(200), deadline=None)
@given(st.text("ab \n\t"), st.floats(0, 1), st.integers())
def test_what_is_kept_is_in_its_order_and_its_white_space_is_the_texts(
    text: str, rate: float, seed: int
) -> None:
    kept = drop_words(text, rate, random.Random(seed))
    rest = iter(text.split())
    assert all(word in rest for word in kept.split())
    assert set(re.findall(r"\s+", kept)) <= set(re.findall(r"\s+", text.strip()))
    assert kept == kept.strip()


def test_words_go_as_often_as_the_rate_says() -> None:
    text = " ".join(f"w{n}" for n in range(20_000))
    left = len(drop_words(text, 0.2, random.Random(7)).split())
    # Five standard deviations of a binomial.
    assert abs(left - 16_000) < 5 * (20_000 * 0.2 * 0.8) ** 0.5


def test_a_line_break_outlives_the_words_around_it() -> None:
    for seed in range(40):
        kept = drop_words("one two\nthree four", 0.5, random.Random(seed)).split("\n")
        before = {"one", "two"} & set(" ".join(kept).split())
        after = {"three", "four"} & set(" ".join(kept).split())
        assert (len(kept) == 2) == bool(before and after)


# --- numbers of a task


def test_the_four_uncertainties_of_a_table_by_hand() -> None:
    def uncertainty(kind: str) -> float:
        return measured(TABLE, kind).uncertainty  # type: ignore[arg-type]

    assert uncertainty("absolute") == pytest.approx((0.1 + 0.3 + 0.0 + 0.2) / 4)
    assert uncertainty("signed") == pytest.approx((-0.1 + 0.3 + 0.0 - 0.2) / 4)
    assert uncertainty("mean") == pytest.approx(2.25 / 6)
    first = ((0.5**2 + 0.4**2 + 0.8**2) / 3 - (1.7 / 3) ** 2) ** 0.5
    second = ((0.25**2 + 0.25**2 + 0.05**2) / 3 - (0.55 / 3) ** 2) ** 0.5
    assert uncertainty("std") == pytest.approx((first + second) / 2)
    found = measured(TABLE, "absolute")
    assert found.probability == pytest.approx(0.375)
    assert found.perplexity == pytest.approx((2 + 4) / 2)


def test_a_probability_is_a_tokens_on_average_or_that_of_all() -> None:
    assert probability_of(3 * log(0.5), 3, "geometric") == pytest.approx(0.5)
    assert probability_of(3 * log(0.5), 3, "product") == pytest.approx(0.125)


@settings(max_examples=tries(200), deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=8))
def test_uncertainty_has_bounds_and_perplexity_is_the_inverse_of_one_instances_probability(
    p: list[float],
) -> None:
    found = measured([p], "absolute")
    assert 0 <= found.uncertainty <= max(p[0], 1 - p[0]) + 1e-12
    assert found.perplexity * found.probability == pytest.approx(1)
    assert measured([[p[0]] * len(p)], "absolute").uncertainty == 0


# --- which are chosen


def score(name: str, uncertainty: float, probability: float, is_cls: bool = False) -> TaskScore:
    return TaskScore(
        task=name,
        is_classification=is_cls,
        instances=1,
        refused=0,
        uncertainty=uncertainty,
        probability=probability,
        perplexity=1 / probability,
    )


# By name: how unsure, how probable.
SCORES = {
    name: score(name, uncertainty, probability)
    for name, uncertainty, probability in (
        ("a", 0.30, 0.50),
        ("b", 0.25, 0.40),
        ("c", 0.01, 0.90),
        ("d", 0.02, 0.95),
        ("e", 0.01, 0.10),
        ("f", 0.02, 0.05),
        ("g", 0.10, 0.30),
    )
}


def taken(method: Method, chunk: int = 2, **remaining: bool) -> list[str]:
    tasks = remaining or dict.fromkeys(SCORES, False)
    return [one.task for one in choose(tasks, method, SCORES, chunk, None, (1, ""))]


@pytest.mark.parametrize(
    ("method", "tasks"),
    [
        ("high_uncertainty", ["a", "b"]),
        # As unsure as one another: by name.
        ("low_uncertainty", ["c", "e"]),
        ("high_perplexity", ["f", "e"]),
        ("low_perplexity", ["d", "c"]),
        ("low_probability", ["f", "e"]),
        # Ranks of uncertainty c e d f, of probability d c a b g e f: 1 + 2, 3 + 1.
        ("easy", ["c", "d"]),
        ("difficult", ["e", "f"]),
        ("ambiguous_easy", ["a", "c"]),
    ],
)
def test_each_method_takes_what_it_says(method: Method, tasks: list[str]) -> None:
    assert taken(method) == tasks


def test_the_map_has_each_task_in_one_set() -> None:
    of = {"a": "ambiguous", "b": "ambiguous", "c": "easy", "d": "easy", "e": "difficult"}
    assert sets(SCORES, 2) == {**of, "f": "difficult", "g": "other"}


def test_random_choice_knows_no_score_and_is_another_in_another_draw() -> None:
    tasks = dict.fromkeys(map(str, range(50)), False)

    def drawn(scores: dict, seed: int) -> list[str]:
        return [one.task for one in choose(tasks, "random", scores, 10, None, (seed, ""))]

    scores = {name: score(name, float(name) / 50, 0.5) for name in tasks}
    assert drawn(scores, 1) == drawn({}, 1) != drawn({}, 2)
    shuffled = dict(reversed(tasks.items()))
    assert [one.task for one in choose(shuffled, "random", {}, 10, None, (1, ""))] == drawn({}, 1)


def test_of_68_tasks_24_are_classification_as_the_authors_have_it() -> None:
    tasks = {f"c{n}": True for n in range(245)} | {f"g{n}": False for n in range(375)}
    scores = {name: score(name, 0.5, 0.5, is_cls) for name, is_cls in tasks.items()}
    for method in ("random", "high_uncertainty"):
        chosen = choose(tasks, method, scores, 68, 0.356, (1, ""))  # type: ignore[arg-type]
        assert [one.is_classification for one in chosen] == [True] * 24 + [False] * 44
        assert not any(one.filled for one in chosen)


@pytest.mark.parametrize(("cls", "generation"), [(1, 20), (20, 3), (20, 20)])
def test_too_few_of_a_kind_are_filled_from_the_other_and_counted(cls: int, generation: int) -> None:
    tasks = {f"c{n:02}": True for n in range(cls)} | {f"g{n:02}": False for n in range(generation)}
    chosen = choose(tasks, "random", {}, 10, 0.4, (1, ""))
    assert len({one.task for one in chosen}) == 10
    of_kind = sum(one.is_classification for one in chosen)
    assert of_kind == min(cls, max(4, 10 - generation))
    assert sum(one.filled for one in chosen) == max(0, 4 - cls) + max(0, 6 - generation)


@settings(max_examples=tries(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0, 1), st.floats(0.01, 1)), min_size=12, max_size=40
    ),
    st.integers(1, 6),
    st.floats(0, 1),
)
def test_high_and_low_never_meet_and_no_order_matters(
    tasks: list[tuple[bool, float, float]], chunk: int, share: float
) -> None:
    scores = {f"t{n:02}": score(f"t{n:02}", u, p, c) for n, (c, u, p) in enumerate(tasks)}
    kinds = {name: row.is_classification for name, row in scores.items()}
    other_way = dict(reversed(kinds.items()))
    found = {}
    for method, order in product(("high_uncertainty", "low_uncertainty"), (kinds, other_way)):
        chosen = choose(order, method, scores, chunk, share, (1, ""))  # type: ignore[arg-type]
        assert found.setdefault(method, chosen) == chosen
        assert len({one.task for one in chosen}) == chunk
    names = [{one.task for one in chosen} for chosen in found.values()]
    most = max(sum(c for c in kinds.values()), 1), max(sum(not c for c in kinds.values()), 1)
    if 2 * chunk <= min(most):
        assert not names[0] & names[1]


def test_a_task_more_changes_no_other_tasks_place() -> None:
    tasks = dict.fromkeys(SCORES, False)
    before = choose(tasks, "high_uncertainty", SCORES, 7, None, (1, ""))
    more = {**SCORES, "h": score("h", 0.2, 0.5)}
    after = choose({**tasks, "h": False}, "high_uncertainty", more, 8, None, (1, ""))
    assert [one.task for one in after if one.task != "h"] == [one.task for one in before]


def test_the_probability_of_nothing_at_all_is_no_error() -> None:
    assert exp(-800) == 0.0
    assert isfinite(measured([[0.0, 0.0]] * 1000, "absolute").perplexity)
