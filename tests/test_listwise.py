"""The list-wise loss, its gradient and its optimum."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tries import tries

from seedbed.ranker import listwise
from seedbed.ranker.listwise import (
    ABSENT,
    Floats,
    Lists,
    Objective,
    divergences,
    fit,
    kendall,
    loss,
)


def made_up(seed: int, lists: int = 40, candidates: int = 6, features: int = 3) -> Lists:
    random = np.random.default_rng(seed)
    return Lists(
        random.normal(size=(lists, candidates, features)),
        random.dirichlet(np.ones(candidates), size=lists),
    )


def plain_loss(lists: Lists, weights: Floats, temperature: float) -> float:
    """The same by a double loop."""
    total = 0.0
    for features, labels in zip(lists.features[:], lists.labels, strict=True):
        there = [i for i, label in enumerate(labels) if label != ABSENT]
        scores = {i: float(features[i] @ weights) / temperature for i in there}
        whole = sum(exp(scores[i]) for i in there)
        for i in there:
            if labels[i]:
                total += labels[i] * (log(labels[i]) - (scores[i] - log(whole)))
    return total / len(lists.labels)


@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 8.0]))
@settings(max_examples=tries(20), deadline=None)
def test_the_loss_is_that_of_a_double_loop(seed: int, temperature: float) -> None:
    lists = made_up(seed)
    # A list with fewer candidates, and a label of nothing.
    lists.labels[0] = [0.1, 0.2, 0.3, 0.4, ABSENT, ABSENT]
    lists.labels[1] = [1, 0, 0, 0, 0, 0]
    weights = np.random.default_rng(seed + 1).normal(size=3)
    found = loss(lists, weights, temperature)
    assert found == pytest.approx(plain_loss(lists, weights, temperature), abs=1e-12)
    assert found >= 0


def test_the_loss_is_nothing_if_the_shares_are_the_labels_and_only_then() -> None:
    scores = np.array([[1.0, 2.0, -1.0]])
    shares = np.exp(scores) / np.exp(scores).sum()
    assert divergences(scores, shares)[0] == pytest.approx(0, abs=1e-15)
    assert divergences(scores + np.array([0, 0.1, 0]), shares)[0] > 1e-4


@given(st.integers(0, 10**6))
@settings(max_examples=tries(10), deadline=None)
def test_the_gradient_is_that_of_finite_differences(seed: int) -> None:
    lists = made_up(seed)
    lists.labels[0] = [0.1, 0.2, 0.3, 0.4, ABSENT, ABSENT]
    random = np.random.default_rng(seed)
    prior, weights = random.normal(size=3), random.normal(size=3)
    objective = Objective(lists, prior, 0.3, 2.0)

    def whole(at: Floats) -> float:
        return objective.at(at)[0] + objective.penalty(at)

    step = 1e-6
    numeric = [
        (whole(weights + step * e) - whole(weights - step * e)) / (2 * step) for e in np.eye(3)
    ]
    assert objective.at(weights)[1] == pytest.approx(numeric, abs=1e-7)
    slopes = [
        (objective.at(weights + step * e)[1] - objective.at(weights - step * e)[1]) / (2 * step)
        for e in np.eye(3)
    ]
    assert objective.curvature(weights) == pytest.approx(np.array(slopes), abs=1e-6)


# Of 8 candidates so many tie for the best, the rest are equal: label of a best one, of another, and
# the loss of even shares. z-scores erase how much better they are.
TIED = {
    1: (0.746, 0.036, 1.019),
    2: (0.385, 0.038, 0.595),
    3: (0.275, 0.035, 0.429),
    4: (0.220, 0.030, 0.328),
    5: (0.186, 0.024, 0.251),
    6: (0.161, 0.016, 0.181),
    7: (0.142, 0.007, 0.106),
}


@pytest.mark.parametrize("best", TIED)
def test_labels_of_ties_and_their_loss_are_the_known_ones(best: int) -> None:
    rouge = np.array([1.0] * best + [0.0] * (8 - best))
    z = (rouge - rouge.mean()) / rouge.std()
    labels = np.exp(z) / np.exp(z).sum()
    found = divergences(np.zeros((1, 8)), labels[np.newaxis])[0]
    assert (labels[0], labels[-1], found) == pytest.approx(TIED[best], abs=6e-4)


def test_what_is_added_to_a_list_and_how_things_are_ordered_changes_nothing() -> None:
    lists = made_up(1)
    weights = np.array([0.3, -1.0, 2.0])
    once = loss(lists, weights)
    features, labels = np.asarray(lists.features[:]), lists.labels
    random = np.random.default_rng(2)
    shifted = Lists(features + random.normal(size=(len(labels), 1, 3)), labels)
    order, within = random.permutation(len(labels)), random.permutation(labels.shape[1])
    moved = Lists(features[order][:, within], labels[order][:, within])
    for other in (shifted, moved):
        assert loss(other, weights) == pytest.approx(once, abs=1e-12)
        there, here = (fit(some, np.zeros(3), 0.1).weights for some in (other, lists))
        assert there == pytest.approx(here, abs=1e-10)


def test_the_optimum_is_the_same_from_three_starts() -> None:
    lists, prior = made_up(3), np.array([1.0, 0.0, 0.0])
    starts = (None, np.array([30.0, -20.0, 5.0]), np.full(3, -8.0))
    found = [fit(lists, prior, 0.01, start=start) for start in starts]
    assert all(one.gradient < 1e-9 for one in found)
    weights = np.array([one.weights for one in found])
    assert np.ptp(weights, axis=0).max() < 1e-9
    # And that of a slow descent.
    slow, objective = prior.copy(), Objective(lists, prior, 0.01, 1.0)
    for _ in range(4000):
        slow -= 0.5 * objective.at(slow)[1]
    assert slow == pytest.approx(weights[0], abs=1e-8)


def test_features_of_half_the_precision_have_the_same_optimum() -> None:
    lists = made_up(4)
    single = Lists(np.asarray(lists.features[:]).astype(np.float32), lists.labels)
    double = Lists(np.asarray(single.features[:]).astype(np.float64), lists.labels)
    found = fit(single, np.zeros(3), 0.01)
    assert found.gradient < 1e-9
    assert found.weights == pytest.approx(fit(double, np.zeros(3), 0.01).weights, abs=1e-9)


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = made_up(5)
    whole = fit(lists, np.zeros(3), 0.01).weights
    monkeypatch.setattr(listwise, "BLOCK", 7 * 6 * 3)
    assert len(list(lists.blocks())) == 6
    assert fit(lists, np.zeros(3), 0.01).weights == pytest.approx(whole, abs=1e-10)


def test_the_more_the_prior_counts_the_nearer_the_weights_are_to_it() -> None:
    lists, prior = made_up(6), np.array([1.0, -2.0, 0.5])
    away = [np.abs(fit(lists, prior, l2).weights - prior).max() for l2 in (0.1, 10.0, 1e4, 1e8)]
    assert away == sorted(away, reverse=True)
    assert away[-1] < 1e-7
    assert (fit(lists, prior, np.inf).weights == prior).all()


def test_doubled_data_has_the_same_optimum() -> None:
    lists = made_up(7)
    twice = Lists(
        np.concatenate([lists.features[:], lists.features[:]]),
        np.concatenate([lists.labels, lists.labels]),
    )
    once = fit(lists, np.zeros(3), 0.1).weights
    assert fit(twice, np.zeros(3), 0.1).weights == pytest.approx(once, abs=1e-10)


def test_a_feature_of_the_example_alone_keeps_its_prior_weight() -> None:
    lists = made_up(8)
    features = np.asarray(lists.features[:]).copy()
    features[:, :, 1] = np.random.default_rng(9).normal(size=(len(features), 1))
    for l2 in (0.001, 1.0):
        weights = fit(Lists(features, lists.labels), np.array([0.0, 0.7, 0.0]), l2).weights
        assert weights[1] == pytest.approx(0.7, abs=1e-9)


def test_planted_linear_scores_are_found_on_new_lists() -> None:
    planted = np.array([1.5, -2.0, 0.7])

    def labelled(seed: int) -> Lists:
        features = np.asarray(made_up(seed, lists=200).features[:])
        shares = np.exp(features @ planted)
        return Lists(features, shares / shares.sum(axis=1, keepdims=True))

    weights = fit(labelled(10), np.zeros(3), 1e-9).weights
    new = labelled(11)
    chosen = (np.asarray(new.features[:]) @ weights).argmax(axis=1)
    assert (chosen == new.labels.argmax(axis=1)).all()
    assert weights == pytest.approx(planted, abs=1e-4)


def test_kendalls_tau_is_the_known_one() -> None:
    assert kendall([1, 2, 3], [1, 2, 3]) == 1
    assert kendall([1, 2, 3], [3, 2, 1]) == -1
    # One tie: 2 of 3 pairs, of 3 and of 2 that are told apart.
    assert kendall([1, 2, 3], [1, 1, 2]) == pytest.approx(2 / 6**0.5)
    assert kendall([1, 2, 3], [1, 1, 1]) is None
