"""How well a judge's scores agree with labels, and tell true pairs from swapped ones.

A score is a number, never None or NaN: what got none is left out before, and counted there.
Scores and labels of different lengths are a ValueError.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seedbed.core import draws

# Percent of the resampled AUCs that lie below an interval of 95 %, and up to its end.
_ENDS = (2.5, 97.5)
# So many resampled counts are held at a time.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Point:
    """What keeping everything from a score on comes to.

    kept: how many. precision: the share of good ones in them. recall: the share of the good ones
    that are among them; None where nothing is good.
    """

    threshold: float
    kept: int
    precision: float
    recall: float | None


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """How likely a good one, drawn at random, has a higher score than a bad one; a tie is half.

    The area under the ROC curve, which is Mann and Whitney's U by the number of pairs (Hanley &
    McNeil 1982): 0.5 where scores say nothing.

    Returns:
        0 to 1; None where all are good, or all are bad.
    """
    return paired_auc(*_good_and_bad(scores, labels))


def paired_auc(true: Sequence[float], swapped: Sequence[float]) -> float | None:
    """How likely a true pair, drawn at random, has a higher score than a swapped one; see `auc`.

    Every true pair is held against every swapped one, not only against those made of it.
    """
    if not len(true) or not len(swapped):
        return None
    below, up_to = _ranks(np.asarray(true, dtype=float), np.sort(np.asarray(swapped, dtype=float)))
    # Twice the pairs, so that halves are whole numbers, and the sum is exact.
    return int((below + up_to).sum()) / (2 * len(true) * len(swapped))


def precision_recall(
    kept: Sequence[bool], labels: Sequence[bool]
) -> tuple[float | None, float | None]:
    """The share of good ones in what is kept, and the share of the good ones that are kept.

    The first is None where nothing is kept, the second where nothing is good.
    """
    both = sum(1 for of, good in zip(kept, labels, strict=True) if of and good)
    return _share(both, sum(map(bool, kept))), _share(both, sum(map(bool, labels)))


def by_threshold(scores: Sequence[float], labels: Sequence[bool]) -> list[Point]:
    """Precision and recall at each score that there is, the highest first: fewest are kept."""
    _same_length(scores, labels)
    levels, level = np.unique(np.asarray(scores, dtype=float), return_inverse=True)
    good = level[np.asarray(labels, dtype=bool)]
    # From each level on.
    kept = np.bincount(level, minlength=len(levels))[::-1].cumsum().tolist()
    hits = np.bincount(good, minlength=len(levels))[::-1].cumsum().tolist()
    return [
        Point(threshold, count, hit / count, _share(hit, len(good)))
        for threshold, count, hit in zip(levels[::-1].tolist(), kept, hits, strict=True)
    ]


def interval(
    scores: Sequence[float], labels: Sequence[bool], resamples: int, seed: int
) -> tuple[float, float] | None:
    """Where 95 of 100 resampled AUCs lie: how sure it is of the next ones.

    Good and bad ones are drawn anew, each kind by itself (Efron & Tibshirani 1993, chapter 8). The
    order of rows does not matter, since drawn is how often each distinct score comes.

    Args:
        resamples: how often to draw, once or more.

    Returns:
        Both ends; None where there are fewer than two of a kind: one alone does not tell how far
        they lie apart.
    """
    good, bad = _good_and_bad(scores, labels)
    if len(good) < 2 or len(bad) < 2:
        return None
    good_levels, good_counts = np.unique(good, return_counts=True)
    bad_levels, bad_counts = np.unique(bad, return_counts=True)
    below, up_to = _ranks(good_levels, bad_levels)
    generator = np.random.default_rng(list(draws.rank(seed, "auc")))
    block = max(1, _BLOCK // (len(good_levels) + len(bad_levels)))
    found = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        of_good = generator.multinomial(len(good), good_counts / len(good), size=size)
        of_bad = generator.multinomial(len(bad), bad_counts / len(bad), size=size)
        # (size, 1 + bad levels): how many bad ones lie below each level.
        lower = np.pad(of_bad.cumsum(axis=1), ((0, 0), (1, 0)))
        twice = (of_good * (lower[:, below] + lower[:, up_to])).sum(axis=1)
        found.append(twice / (2 * len(good) * len(bad)))
    low, high = np.percentile(np.concatenate(found), _ENDS)
    return float(low), float(high)


def _ranks(values: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of `ordered`, ascending, are less than each value, and how many are not greater."""
    return np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")


def _good_and_bad(
    scores: Sequence[float], labels: Sequence[bool]
) -> tuple[list[float], list[float]]:
    pairs = list(zip(scores, labels, strict=True))
    return [score for score, good in pairs if good], [score for score, good in pairs if not good]


def _same_length(scores: Sequence[float], labels: Sequence[bool]) -> None:
    if len(scores) != len(labels):
        raise ValueError(f"{len(scores)} scores, but {len(labels)} labels")


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
