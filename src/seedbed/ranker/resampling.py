"""How sure a mean over tasks is of the next examples: intervals and a test, paired within tasks.

The tasks are those that there are; drawn anew are the examples of each (Efron & Tibshirani 1993,
chapters 8 and 13), all columns together, so that a difference is paired by example. A mean is over
the tasks' means, each counting the same.
"""

from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np

from seedbed.core import draws
from seedbed.ranker.listwise import Floats

# Percent of the resampled means that lie below an interval of 95 %, and up to its end.
_ENDS = (2.5, 97.5)
# Of so many pairs every way to flip the signs is tried, 65,536; of more, so many at random.
_EXACT, _FLIPS = 16, 20_000
# So many resampled examples are held at a time.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Means:
    """Means over tasks: (columns,).

    low, high: of an interval of 95 %; None where a task has but one example, which says nothing of
        how far its examples lie apart.
    """

    mean: Floats
    low: Floats | None
    high: Floats | None


def means(values: Floats, tasks: np.ndarray, resamples: int, seed: int, *identity: str) -> Means:
    """Means of columns over tasks, with intervals.

    Args:
        values: (examples, columns), without NaN.
        tasks: of each example.
        identity: what the draw belongs to, beside the stage's seed.
    """
    names = np.unique(tasks)
    of_tasks = [values[tasks == name] for name in names]
    mean = np.mean([own.mean(axis=0) for own in of_tasks], axis=0)
    if any(len(own) < 2 for own in of_tasks):
        return Means(mean, None, None)
    total = np.zeros((resamples, values.shape[1]))
    for name, own in zip(names, of_tasks, strict=True):
        # A generator for each task: one task more changes nothing for the others.
        generator = np.random.default_rng(list(draws.rank(seed, "examples", *identity, str(name))))
        count = len(own)
        block = max(1, _BLOCK // count)
        for start in range(0, resamples, block):
            rows = slice(start, min(start + block, resamples))
            times = generator.multinomial(
                count, np.full(count, 1 / count), size=rows.stop - rows.start
            )
            total[rows] += times @ own / count
    low, high = np.percentile(total / len(names), _ENDS, axis=0)
    return Means(mean, low, high)


def sign_flip(differences: Floats, tasks: np.ndarray, seed: int, *identity: str) -> float:
    """How likely a mean over tasks as far from 0 would be if each sign were chance (two-sided).

    Exact for few differences that are not 0; else by flips drawn at random, the observed one among
    them. Args: differences, tasks: (examples,).
    """
    sizes = {name: np.count_nonzero(tasks == name) for name in np.unique(tasks)}
    weighed = differences / np.array([sizes[name] for name in tasks]) / len(sizes)
    weighed = weighed[weighed != 0]
    if not len(weighed):
        return 1.0
    observed = abs(weighed.sum())
    if len(weighed) <= _EXACT:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(weighed))))
        return float(np.mean(np.abs(signs @ weighed) >= observed - 1e-12))
    generator = np.random.default_rng(list(draws.rank(seed, "signs", *identity)))
    as_far, block = 0, max(1, _BLOCK // len(weighed))
    for start in range(0, _FLIPS, block):
        size = (min(block, _FLIPS - start), len(weighed))
        signs = generator.integers(0, 2, size=size) * 2.0 - 1.0
        as_far += int(np.count_nonzero(np.abs(signs @ weighed) >= observed - 1e-12))
    return (as_far + 1) / (_FLIPS + 1)


def examples_needed(differences: Floats, tasks: np.ndarray, gain: float) -> int | None:
    """How many examples of these tasks it takes for an interval of a gain to exclude 0.

    By the differences' deviation within tasks of two examples or more; None if there is none.
    """
    of_tasks = [differences[tasks == name] for name in np.unique(tasks)]
    within = [np.var(own, ddof=1) for own in of_tasks if len(own) > 1]
    deviation = float(np.sqrt(np.mean(within))) if within else 0.0
    if not deviation:
        return None
    return ceil((1.96 * deviation / gain) ** 2)
