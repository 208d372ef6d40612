"""Heads: what is learned of which tasks, and how much the untrained weights count."""

import json

import numpy as np
import pytest
from support.params import section

from seedbed.ranker.heads import (
    ALL,
    choose_l2,
    heads_of,
    lists_of,
    loss_of,
    parts_of,
    standardise,
    train,
    try_l2,
)
from seedbed.ranker.listwise import Lists
from seedbed.ranker.params import RankTrain

FEATURES = ["yes_no", "length", "seed"]
TASKS = [f"task{number % 4}" for number in range(40)]


def made_up(seed: int = 1) -> Lists:
    random = np.random.default_rng(seed)
    features = random.normal(size=(40, 5, 3)) * [3, 0.1, 1] + [2, 5, 0]
    return Lists(features, random.dirichlet(np.ones(5), size=40))


def params(**changes: object) -> RankTrain:
    return section(RankTrain, **{"features": FEATURES, "l2": [0.01, 1.0, 100.0], **changes})


def test_what_is_found_without_a_task_does_not_change_with_its_labels_or_features() -> None:
    lists = made_up()
    heads, without, _ = heads_of(lists, TASKS, FEATURES, params())
    assert without == {task: f"without {task}" for task in sorted(set(TASKS))}
    own = np.array(TASKS) == "task2"
    features, labels = np.asarray(lists.features[:]).copy(), lists.labels.copy()
    labels[own] = labels[own][:, ::-1]
    features[own] *= 5
    again, _, _ = heads_of(Lists(features, labels), TASKS, FEATURES, params())
    assert again["without task2"] == heads["without task2"]
    others = ["without task0", "without task1", "without task3", ALL]
    assert all(again[name] != heads[name] for name in others)


def test_without_training_a_score_is_yes_itself_but_for_a_constant() -> None:
    lists = made_up()
    head = train(lists, FEATURES, np.inf, 1.0)
    assert head.weights == head.prior
    features = np.asarray(lists.features[:])
    apart = head.scores(features) - features[:, :, 0]
    assert np.ptp(apart) < 1e-6
    trained = train(lists, FEATURES, 1.0, 1.0)
    assert trained.scores(features, trained=False) == pytest.approx(head.scores(features), abs=1e-6)


def test_features_are_standardised_over_the_candidates_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = [np.array([[1.0, 7.0], [3.0, 7.0]]), np.array([[5.0, 7.0], [2.0, 7.0], [4.0, 7.0]])]
    lists = lists_of(values, [[0.5, 0.5], [1.0, 0.0, 0.0]])
    monkeypatch.setattr("seedbed.ranker.listwise.BLOCK", 1)  # list by list
    scaled, mean, sd = standardise(lists)
    there = np.concatenate(values)
    assert mean == pytest.approx(there.mean(axis=0))
    # What is the same everywhere keeps its unit.
    assert sd == pytest.approx([there[:, 0].std(), 1.0])
    found = scaled.features[:]
    assert found[0, 2].tolist() == [0, 0]
    assert found[1, :, 0] == pytest.approx((values[1][:, 0] - 3) / there[:, 0].std())


def test_of_equal_values_of_l2_the_highest_is_taken_and_without_a_trial_too() -> None:
    lists = made_up()
    tried = try_l2(lists, TASKS, FEATURES, params())
    assert [one.l2 for one in tried] == [0.01, 1.0, 100.0]
    assert choose_l2(tried, params()) == min(tried, key=lambda one: one.left_out).l2
    assert try_l2(lists, ["one"] * 40, FEATURES, params()) == []
    assert choose_l2([], params()) == 100.0
    heads, without, _ = heads_of(lists, ["one"] * 40, FEATURES, params())
    assert list(heads) == [ALL]
    assert without == {}


def test_many_tasks_are_left_out_in_parts_that_do_not_share_one() -> None:
    tasks = [f"task{number}" for number in range(25)]
    parts = parts_of(tasks * 3, 10, 42)
    assert len(parts) == 10
    assert sorted(task for part in parts for task in part) == sorted(tasks)
    assert {len(part) for part in parts} == {2, 3}


def test_a_head_is_written_with_so_few_digits_that_two_machines_agree() -> None:
    head = train(made_up(), FEATURES, 1.0, 1.0)
    text = json.dumps(head.model_dump())
    assert head.weights == [float(f"{value:.8g}") for value in head.weights]
    order = np.random.default_rng(3).permutation(40)
    lists = made_up()
    moved = Lists(np.asarray(lists.features[:])[order], lists.labels[order])
    assert train(moved, FEATURES, 1.0, 1.0) == head
    assert train(made_up(), FEATURES, 1.0, 1.0).model_dump_json() == json.dumps(
        json.loads(text), separators=(",", ":")
    )
    lists = made_up()
    assert loss_of(head, lists, 1.0) < loss_of(head, lists, 1.0, trained=False)
