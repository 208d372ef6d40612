"""What the metrics of a comparison are, on tables that can be worked out by hand."""

from itertools import product

import numpy as np
import pytest
from support.params import section

from seedbed.ranker.params import RankEvaluate
from seedbed.ranker.resampling import examples_needed, means, sign_flip
from seedbed.ranker.rows import Result
from seedbed.ranker.summary import drawn_methods, lines, metrics, popularity, positions, verdict

METHODS = ["random", "seed", "selected", "oracle", "worst"]
# Three examples of two tasks: the ROUGE-L of four candidates, and which is chosen.
TABLE = {
    "a1": ([0.2, 0.4, 0.6, 0.8], 3),
    "a2": ([1.0, 0.0, 0.0, 0.0], 1),
    "b1": ([0.5, 0.5, 0.5, 0.1], 1),
}


def params(**changes: object) -> RankEvaluate:
    return section(RankEvaluate, **{"methods": METHODS, "resamples": 2000, **changes})


def results(seen: str = "unseen") -> list[Result]:
    rows = []
    for name, (rouge, chosen) in TABLE.items():
        scores = {
            "random": float(np.mean(rouge)),
            "seed": rouge[0],
            "selected": rouge[chosen],
            "oracle": max(rouge),
            "worst": min(rouge),
        }
        order = [rouge[chosen], *(value for i, value in enumerate(rouge) if i != chosen)]
        rows.append(
            Result(
                task=name[0],
                id=name,
                seen=seen,
                is_classification=name[0] == "b",
                rouge=scores,
                exact={method: float(value >= 0.5) for method, value in scores.items()},
                chosen={"seed": 0, "selected": chosen},
                wrote=None,
                keys={},
                order=order,
                tau=None,
                best=[i for i, value in enumerate(rouge) if value == max(rouge)],
            )
        )
    return rows


def test_means_are_over_tasks_and_differences_are_paired() -> None:
    found = metrics(results(), params())
    # Task a: the mean of two examples; task b: one.
    assert found["rank_rouge_random"] == pytest.approx((np.mean([0.5, 0.25]) + 0.4) / 2)
    assert found["rank_rouge_selected"] == pytest.approx((np.mean([0.8, 0.0]) + 0.5) / 2)
    assert found["rank_rouge_oracle"] == pytest.approx((np.mean([0.8, 1.0]) + 0.5) / 2)
    assert found["rank_gain"] == pytest.approx(
        found["rank_rouge_selected"] - found["rank_rouge_random"]
    )
    on_seed = found["rank_rouge_selected"] - found["rank_rouge_seed"]
    assert found["rank_gain_on_seed"] == pytest.approx(on_seed, abs=2e-6)
    room = found["rank_rouge_oracle"] - found["rank_rouge_random"]
    assert found["rank_headroom_share"] == pytest.approx(found["rank_gain"] / room, abs=1e-5)
    assert found["comparison"]["hit_share"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["comparison"]["rankable_examples"] == 3
    table = {row["name"]: row for row in found["method"] if row["group"] == "all"}
    assert table["selected"]["exact"] == pytest.approx((0.5 + 1) / 2)
    # Task a is written, task b has closed answers.
    assert table["selected"]["by_kind"] == pytest.approx((0.4 + 1) / 2)
    assert table["seed"]["selected_minus"] == pytest.approx(
        table["selected"]["rouge"] - table["seed"]["rouge"]
    )
    assert table["random"]["minus_random"] == 0
    # Task b has one example, and so nothing an interval.
    assert "rank_gain_low" not in found
    tasks = {task: row["selected"] for task, row in found["task"].items()}
    assert tasks == {"a": 0.4, "b": 0.5}
    assert {row["group"] for row in found["method"]} == {"all", "unseen"}


def test_an_interval_is_that_of_all_ways_to_draw_the_examples_of_each_task() -> None:
    values = np.array([[0.8], [0.0], [0.3], [0.5]])
    tasks = np.array(["a", "a", "b", "b"])
    found = means(values, tasks, 50_000, 1)
    every = [
        (np.mean([values[i, 0] for i in first]) + np.mean([values[2 + i, 0] for i in second])) / 2
        for first in product(range(2), repeat=2)
        for second in product(range(2), repeat=2)
    ]
    assert found.mean == pytest.approx([0.4])
    assert found.low is not None
    assert found.high is not None
    assert (found.low[0], found.high[0]) == pytest.approx((min(every), max(every)))
    # What is drawn together is paired: a constant apart, an interval of nothing.
    both = means(np.hstack([values, values + 0.1]), tasks, 1000, 1)
    assert both.low is not None
    assert both.low[1] - both.low[0] == pytest.approx(0.1)
    # Of one example nobody knows how far others lie.
    assert means(np.array([[1.0], [2.0], [3.0]]), np.array(["a", "a", "b"]), 100, 1).low is None


def test_a_task_more_draws_nothing_else_for_the_others() -> None:
    values = np.array([[0.8], [0.0], [0.3], [0.5]])
    tasks = np.array(["a", "a", "b", "b"])
    more = means(np.vstack([values, [[0.0], [0.0]]]), np.array([*tasks, "c", "c"]), 1000, 1)
    found = means(values, tasks, 1000, 1)
    assert found.low is not None
    assert more.low is not None
    assert more.low * 3 == pytest.approx(found.low * 2)


def test_the_sign_flip_counts_the_ways_that_are_as_far_from_nothing() -> None:
    tasks = np.array(["a"] * 3)
    assert sign_flip(np.array([0.1, 0.2, 0.3]), tasks, 1) == 2 / 8
    assert sign_flip(np.array([0.1, -0.1, 0.0]), tasks, 1) == 1
    assert sign_flip(np.zeros(3), tasks, 1) == 1
    many = np.full(100, 0.1)
    assert sign_flip(many, np.array(["a"] * 100), 1) < 0.001
    mixed = np.array([0.1, -0.1] * 50)
    assert sign_flip(mixed, np.array(["a"] * 100), 1) == 1


def test_the_examples_that_a_gain_takes_follow_from_the_deviation() -> None:
    differences = np.array([0.3, -0.3, 0.3, -0.3, 0.1])
    needed = examples_needed(differences, np.array([*"aaaab"]), 0.02)
    assert needed == np.ceil((1.96 / 0.02) ** 2 * 4 * 0.3**2 / 3)
    # Only the deviation within tasks counts.
    assert examples_needed(np.array([0.1, 0.1, 0.5, 0.5]), np.array(list("aabb")), 0.02) is None


def test_what_was_trained_on_counts_nowhere() -> None:
    rows = results()
    trained = results("trained")
    found = metrics([*rows, *trained], params())
    assert found["rank_examples"] == found["comparison"].pop("examples_trained_on") == 3
    only = metrics(trained, params())
    assert only["rank_examples"] == 0
    assert lines(only) == ["every example was trained on: nothing to compare"]
    alone = metrics(rows, params())
    assert alone["comparison"].pop("examples_trained_on") == 0
    assert alone == found


def test_a_way_without_a_choice_is_left_out_of_the_pictures() -> None:
    rows = results()
    for row in rows:
        row.rouge["best_seen"] = row.exact["best_seen"] = None
    found = metrics(rows, params(methods=[*METHODS, "best_seen"]))
    assert "rank_rouge_best_seen" not in found
    assert {point["method"] for point in drawn_methods(found)} == set(METHODS)
    assert any("best_seen" in line and "not to be had here" in line for line in lines(found))


def test_the_points_of_the_pictures_are_the_means() -> None:
    rows = results()
    found = metrics(rows, params())
    points = {(one["source"], one["position"]): one["rouge"] for one in positions(rows, params())}
    assert points["ranker", 1] == pytest.approx(found["rank_rouge_selected"])
    assert points["random", 1] == points["random", 4] == pytest.approx(found["rank_rouge_random"])
    ranks = [points["ranker", place] for place in (1, 2, 3, 4)]
    assert np.mean(ranks) == pytest.approx(found["rank_rouge_random"], abs=1e-6)
    shares = {(one["of"], one["candidate"]): one["share"] for one in popularity(rows)}
    assert [shares["chosen", place] for place in range(4)] == pytest.approx(
        [0, 2 / 3, 0, 1 / 3], abs=1e-6
    )
    # What ties counts in equal parts.
    assert [shares["best", place] for place in range(4)] == pytest.approx(
        [4 / 9, 1 / 9, 1 / 9, 1 / 3], abs=1e-6
    )


def test_a_gain_is_said_only_where_its_interval_excludes_nothing() -> None:
    said = {
        (0.01, 0.05): "a gain on these tasks, which is no evidence about others",
        (-0.05, -0.01): "a loss on these tasks",
        (-0.01, 0.05): "show no gain",
    }
    for (low, high), words in said.items():
        counted = {
            "rank_examples": 30,
            "task": ["a", "b"],
            "rank_gain": 0.02,
            "rank_gain_low": low,
            "rank_gain_high": high,
            "comparison": {"examples_for_a_gain_of_two_hundredths": 1234},
        }
        assert words in verdict(counted)
        assert "seed" not in verdict(counted)
        on_seed = {**counted["comparison"], "gain_on_seed_low": -0.1, "gain_on_seed_high": 0.1}
        said_too = verdict({**counted, "rank_gain_on_seed": 0.0, "comparison": on_seed})
        assert said_too == f"{verdict(counted)}; selected − seed is +0.000 (-0.100 to +0.100)"
        assert ("1,234" in verdict(counted)) == (low < 0 < high)
    assert "without an interval" in verdict(
        {"rank_examples": 1, "task": ["a"], "rank_gain": 0.1, "comparison": {}}
    )
