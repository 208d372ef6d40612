"""The list-wise loss of Auto-Instruct (arXiv 2310.13127, section 3.3), and its optimum.

A list is an example with the candidates that were tried on it. Its labels p sum to 1, its scores
are s = w·f, f being a candidate's features; q = softmax(s / temperature). The loss is the mean over
the lists of KL(p ‖ q), plus l2 / 2 · ‖w − w0‖². On fixed features that is strictly convex in w: its
Hessian is the mean covariance of f under q, over temperature², plus l2. So there is one optimum,
and Newton's method finds it without a seed, an order or a number of epochs. The paper's ranker is
the same with the features trained too: the logit that T5 gives to "yes" is a row of its output
matrix times its last hidden state.

What depends on the example alone moves no score of a list against another: its weight stays w0's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A label that says that a list has no candidate there.
ABSENT = -1.0
# Newton's method ends below this norm of the gradient, or after so many steps.
SMALL, MOST_STEPS = 1e-11, 200
# A step that is halved to less leads nowhere; a change of the loss below this is rounding.
_SHORTEST, _LOST = 1e-10, 1e-12
# So many numbers of features are held as float64 at a time.
BLOCK = 1 << 23


class Features(Protocol):
    """Features of lists, of shape (lists, candidates, features): an array, or what reads a file."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[np.floating]: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.floating]: ...


@dataclass(frozen=True)
class Lists:
    """Lists of as many candidates each as the longest has.

    features: (lists, candidates, features), float32 or float64; 0 where there is no candidate.
    labels: (lists, candidates); those of a list sum to 1, ABSENT is where there is no candidate.
    """

    features: Features
    labels: Floats

    def blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield features and labels of the lists, as many at a time as BLOCK allows."""
        lists, candidates, features = self.features.shape
        step = max(1, BLOCK // max(1, candidates * features))
        for start in range(0, lists, step):
            rows = slice(start, start + step)
            yield self.features[rows].astype(np.float64, copy=False), self.labels[rows]


def softmax(scores: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """The shares of scores in each list, and their logarithms: 0 and -inf without a candidate.

    Args:
        scores, labels: (lists, candidates).
    """
    there = np.where(labels == ABSENT, -np.inf, scores)
    there = there - there.max(axis=1, keepdims=True)
    shares = np.exp(there)
    total = shares.sum(axis=1, keepdims=True)
    return shares / total, there - np.log(total)


def divergences(scores: Floats, labels: Floats) -> Floats:
    """KL(labels ‖ softmax of the scores) of each list, in nats: (lists,)."""
    log_shares = softmax(scores, labels)[1]
    labelled = labels > 0
    p = np.where(labelled, labels, 1.0)
    apart = np.log(p) - np.where(labelled, log_shares, 0.0)
    return np.asarray(np.where(labelled, p * apart, 0.0).sum(axis=1))


def loss(lists: Lists, weights: Floats, temperature: float = 1.0) -> float:
    """The mean of the lists' divergences, without the penalty."""
    total = sum(divergences(x @ weights / temperature, p).sum() for x, p in lists.blocks())
    return float(total) / len(lists.labels)


@dataclass(frozen=True)
class Fit:
    """The optimum. loss: without the penalty; gradient: the norm of the whole loss's."""

    weights: Floats
    loss: float
    gradient: float
    steps: int


@dataclass(frozen=True)
class Objective:
    """The whole loss: the lists' mean divergence, and the penalty for being away from the prior."""

    lists: Lists
    prior: Floats
    l2: float
    temperature: float

    def at(self, weights: Floats) -> tuple[float, Floats]:
        """The loss without the penalty, and the gradient of the whole."""
        total, gradient = 0.0, np.zeros(len(weights))
        for x, p in self.lists.blocks():
            scores = x @ weights / self.temperature
            apart = np.where(p == ABSENT, 0.0, softmax(scores, p)[0] - p) / self.temperature
            total += float(divergences(scores, p).sum())
            gradient += apart.ravel() @ x.reshape(-1, len(weights))
        count = len(self.lists.labels)
        return total / count, gradient / count + self.l2 * (weights - self.prior)

    def penalty(self, weights: Floats) -> float:
        """What being away from the prior costs."""
        return self.l2 / 2 * float(((weights - self.prior) ** 2).sum())

    def curvature(self, weights: Floats) -> Floats:
        """The Hessian of the whole loss: (features, features).

        It is summed in the features' own precision: a step needs no more, while the gradient, which
        says where the optimum is, is always summed in float64.
        """
        features = len(weights)
        own = self.lists.features.dtype
        total = np.zeros((features, features), dtype=own)
        for x, p in self.lists.blocks():
            shares = softmax(x @ weights / self.temperature, p)[0]
            mean = np.einsum("lc,lcf->lf", shares, x)
            spread = (x - mean[:, np.newaxis]).astype(own, copy=False)
            spread *= np.sqrt(shares)[:, :, np.newaxis].astype(own, copy=False)
            flat = spread.reshape(-1, features)
            total += flat.T @ flat
        mean_of_lists = total.astype(np.float64) / len(self.lists.labels) / self.temperature**2
        return np.asarray(mean_of_lists + self.l2 * np.eye(features))


def fit(
    lists: Lists,
    prior: Floats,
    l2: float,
    temperature: float = 1.0,
    start: Floats | None = None,
) -> Fit:
    """The weights of least loss, by Newton's method; a step that goes too far is halved.

    Args:
        prior: w0, (features,): what the weights are without any list.
        l2: how much it counts, above 0; infinite for the prior itself.
        start: where to begin; the optimum is the same wherever that is.
    """
    if np.isinf(l2):
        return Fit(prior.copy(), loss(lists, prior, temperature), 0.0, 0)
    objective = Objective(lists, prior, l2, temperature)
    weights = np.asarray(prior if start is None else start, dtype=np.float64)
    value, gradient = objective.at(weights)
    hessian: Floats | None = None
    steps = 0
    while steps < MOST_STEPS and (norm := float(np.linalg.norm(gradient))) > SMALL:
        # As long as one Hessian brings each step ten times nearer it is good enough: with hundreds
        # of features it is nearly all of the work.
        if hessian is None:
            hessian = objective.curvature(weights)
        direction = -np.linalg.solve(hessian, gradient)
        slope = float(gradient @ direction)
        whole = value + objective.penalty(weights)
        size = 1.0
        while size > _SHORTEST:
            ahead = weights + size * direction
            value_ahead, gradient_ahead = objective.at(ahead)
            change = value_ahead + objective.penalty(ahead) - whole
            # Next to the optimum the change is lost in rounding, and the gradient tells.
            nearer = abs(change) < _LOST and float(np.linalg.norm(gradient_ahead)) < norm
            if nearer or change <= 1e-4 * size * slope:
                break
            size /= 2
        else:
            break  # as near as floating point comes
        weights, value, gradient = ahead, value_ahead, gradient_ahead
        steps += 1
        if float(np.linalg.norm(gradient)) > norm / 10:
            hessian = None
    return Fit(weights, value, float(np.linalg.norm(gradient)), steps)


def kendall(scores: Sequence[float], values: Sequence[float]) -> float | None:
    """Kendall's tau-b of two rankings of the same things; None if one of them ranks nothing."""
    upper = np.triu_indices(len(scores), 1)
    first = np.sign(np.subtract.outer(np.asarray(scores), np.asarray(scores)))[upper]
    second = np.sign(np.subtract.outer(np.asarray(values), np.asarray(values)))[upper]
    room = float(np.count_nonzero(first)) * float(np.count_nonzero(second))
    return float(first @ second) / room**0.5 if room else None
