"""How sure a mean is: intervals by bootstrap over tasks.

A task's examples are alike, so that to draw examples anew would make a model seem surer than it
is of the next task. Drawn anew are whole tasks (Efron & Tibshirani 1993, chapter 8); what is
compared is drawn together, so a difference is paired by example.
"""

from dataclasses import dataclass

import numpy as np

from seedbed.core import draws

# Percent of the resampled means that lie below an interval of 95 %, and up to its end.
_ENDS = (2.5, 97.5)
# So many resampled tasks are held at a time.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """Where 95 of 100 resampled means lie. over: what was drawn anew, tasks or examples."""

    low: np.ndarray
    high: np.ndarray
    over: str


def interval(
    values: np.ndarray, tasks: np.ndarray, resamples: int, seed: int, *identity: str
) -> Interval | None:
    """Intervals for the means of several columns of values.

    Args:
        values: float64 of shape (examples, columns).
        tasks: int of shape (examples,), the task of each; if there is one task, examples are
            drawn anew.
        resamples: how often to draw.
        identity: what the draw belongs to, beside the stage's seed.

    Returns:
        low and high: float64 of shape (columns,). None if there is but one example.
    """
    over, units = "tasks", np.unique(tasks, return_inverse=True)[1]
    if units.max(initial=0) == 0:
        over, units = "examples", np.arange(len(values))
    count = int(units.max(initial=0)) + 1
    if count < 2:
        return None
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, units, values)
    sizes = np.bincount(units, minlength=count)
    generator = np.random.default_rng(list(draws.rank(seed, "bootstrap", *identity)))
    block = max(1, _BLOCK // count)
    means = []
    for start in range(0, resamples, block):
        times = generator.multinomial(
            count, np.full(count, 1 / count), size=min(block, resamples - start)
        )
        means.append((times @ sums) / (times @ sizes)[:, np.newaxis])
    low, high = np.percentile(np.concatenate(means), _ENDS, axis=0)
    return Interval(low, high, over)
