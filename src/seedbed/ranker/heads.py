"""Heads: weights on features, found on some tasks and tried on others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedbed.core import draws
from seedbed.core.records import Record
from seedbed.ranker.errors import NoOptimum
from seedbed.ranker.listwise import ABSENT, Features, Floats, Lists, fit, loss
from seedbed.ranker.params import RankTrain

# A head's numbers in files: more digits would differ between two machines.
DIGITS = 8
# A gradient that is larger is not that of an optimum.
FLAT = 1e-7
# What the head is called that was trained on all tasks.
ALL = "all"


class Head(Record):
    """What a score is made of: weights · (features − mean) / sd.

    prior: the weights before training, with which the score is `yes_no` itself, but for a constant.
    l2: how much the prior counted; None if nothing was trained.
    """

    mean: list[float]
    sd: list[float]
    prior: list[float]
    weights: list[float]
    l2: float | None

    def scores(self, features: Floats, trained: bool = True) -> Floats:
        """Of (…, features): (…). trained: whether by the weights, or by the prior."""
        own = np.array(self.weights if trained else self.prior)
        return np.asarray((features - np.array(self.mean)) / np.array(self.sd) @ own)


@dataclass(frozen=True)
class Standard:
    """Features less their mean, by their standard deviation, in the precision that they have."""

    features: Features
    mean: Floats
    sd: Floats
    labels: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        return self.features.shape

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self.features.dtype

    def __getitem__(self, rows: slice) -> NDArray[np.floating]:
        scaled = (self.features[rows] - self.mean) / self.sd
        scaled[self.labels[rows] == ABSENT] = 0.0
        return scaled.astype(self.dtype, copy=False)


def standardise(lists: Lists) -> tuple[Lists, Floats, Floats]:
    """The lists with features of mean 0 and deviation 1 over all candidates; mean and deviation.

    A feature that is the same everywhere keeps its unit.
    """
    features = lists.features.shape[2]
    count, mean, squares = 0.0, np.zeros(features), np.zeros(features)
    # Chan et al. 1979: block by block, without the difference of two large squares.
    for x, p in lists.blocks():
        rows = x[p != ABSENT]
        if not len(rows):
            continue
        there, own = len(rows), rows.mean(axis=0)
        squares += ((rows - own) ** 2).sum(axis=0)
        squares += (own - mean) ** 2 * count * there / (count + there)
        mean += (own - mean) * there / (count + there)
        count += there
    sd = np.sqrt(squares / count)
    sd[sd < 1e-9 * np.maximum(1.0, np.abs(mean))] = 1.0
    scaled = Standard(lists.features, mean, sd, lists.labels)
    return Lists(scaled, lists.labels), mean, sd


def train(lists: Lists, features: Sequence[str], l2: float, temperature: float) -> Head:
    """The head of some lists. l2: infinite for the prior itself."""
    scaled, mean, sd = standardise(lists)
    # In the units that the features were measured in the prior is 1 for `yes_no`, else 0.
    prior = np.array([sd[i] if name == "yes_no" else 0.0 for i, name in enumerate(features)])
    found = fit(scaled, prior, l2, temperature)
    if found.gradient > FLAT:
        raise NoOptimum(l2, found.gradient)
    return Head(
        mean=_rounded(mean),
        sd=_rounded(sd),
        prior=_rounded(prior),
        weights=_rounded(found.weights),
        l2=None if np.isinf(l2) else l2,
    )


@dataclass(frozen=True)
class Tried:
    """How a value of l2 did: the mean loss of the lists trained on, and of those left out."""

    l2: float
    train: float
    left_out: float


def parts_of(tasks: Sequence[str], most: int, seed: int) -> list[list[str]]:
    """The tasks in as many parts as there are, but for at most so many, of even sizes."""
    names = sorted(set(tasks), key=lambda task: draws.rank(seed, "part", task))
    number = min(most, len(names))
    return sorted(sorted(names[start::number]) for start in range(number))


def try_l2(
    lists: Lists, tasks: Sequence[str], features: Sequence[str], params: RankTrain
) -> list[Tried]:
    """What each l2 gives on the parts of the tasks that are left out in turn.

    Args:
        tasks: of each list.

    Returns:
        nothing if there is but one value, or but one task.
    """
    if len(params.l2) < 2 or len(set(tasks)) < 2:
        return []
    own = np.array(tasks)
    sums = np.zeros((len(params.l2), 2))
    parts = parts_of(tasks, params.folds or 10, params.seed)
    for part in parts:
        out = np.isin(own, part)
        inside, outside = subset(lists, ~out), subset(lists, out)
        for number, l2 in enumerate(params.l2):
            head = train(inside, features, l2, params.temperature)
            sums[number] += (
                loss_of(head, inside, params.temperature) / len(parts),
                loss_of(head, outside, params.temperature) * len(outside.labels) / len(own),
            )
    return [Tried(l2, *map(float, row)) for l2, row in zip(params.l2, sums, strict=True)]


def choose_l2(tried: Sequence[Tried], params: RankTrain) -> float:
    """The one that does best on what is left out; of equals, or without a trial, the highest."""
    if not tried:
        return max(params.l2)
    return min(tried, key=lambda one: (round(one.left_out, 9), -one.l2)).l2


def loss_of(head: Head, lists: Lists, temperature: float, trained: bool = True) -> float:
    """The mean divergence of lists under a head."""
    shifted = Standard(lists.features, np.array(head.mean), np.array(head.sd), lists.labels)
    weights = np.array(head.weights if trained else head.prior)
    return loss(Lists(shifted, lists.labels), weights, temperature)


def subset(lists: Lists, wanted: NDArray[np.bool_]) -> Lists:
    """Some of the lists, which are held in memory."""
    return Lists(np.asarray(lists.features[:])[wanted], lists.labels[wanted])


def heads_of(
    lists: Lists, tasks: Sequence[str], features: Sequence[str], params: RankTrain
) -> tuple[dict[str, Head], dict[str, str], list[Tried]]:
    """The head of all tasks, and one without each part of them.

    Each is found from nothing but its own tasks: l2, mean and deviation too.

    Returns:
        the heads by name; by task the name of the one that was found without it; how the values of
        l2 did for the head of all.
    """
    tried = try_l2(lists, tasks, features, params)
    heads = {ALL: train(lists, features, choose_l2(tried, params), params.temperature)}
    without: dict[str, str] = {}
    parts = parts_of(tasks, params.folds, params.seed) if params.folds else []
    for part in parts if len(parts) > 1 else []:
        kept = ~np.isin(np.array(tasks), part)
        inside = subset(lists, kept)
        names = [task for task in tasks if task not in part]
        name = f"without {part[0]}" + (f" and {len(part) - 1} more" if len(part) > 1 else "")
        l2 = choose_l2(try_l2(inside, names, features, params), params)
        heads[name] = train(inside, features, l2, params.temperature)
        without |= dict.fromkeys(part, name)
    return heads, without, tried


def lists_of(values: Sequence[Floats], labels: Sequence[Sequence[float]]) -> Lists:
    """Lists of unlike lengths as one array. values: a (candidates, features) a list."""
    longest = max((len(own) for own in labels), default=0)
    width = values[0].shape[1] if values else 0
    features = np.zeros((len(labels), longest, width))
    shares = np.full((len(labels), longest), ABSENT)
    for number, (own, given) in enumerate(zip(values, labels, strict=True)):
        features[number, : len(given)] = own
        shares[number, : len(given)] = given
    return Lists(features, shares)


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") + 0.0 for value in values]
