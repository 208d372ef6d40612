"""What is made of the probabilities of answers under a whole prompt and under spoilt ones.

The definitions are those of the authors' program (arXiv 2311.00288, `TLAL_utils.py`). By their
names there `Mean-abs-bald` is absolute, `Mean-bald` signed, `Mean` mean, and none of these std.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal

import numpy as np

Uncertainty = Literal["absolute", "signed", "mean", "std"]
Probability = Literal["geometric", "product"]


def probability_of(total: float, tokens: int, kind: Probability) -> float:
    """Of an answer. total: the sum of its tokens' log-probabilities, in nats."""
    return exp(total / tokens if kind == "geometric" else total)


@dataclass(frozen=True)
class OfTask:
    """A task's numbers, means over its instances.

    probability: of the answer under the whole prompt, 0 to 1. perplexity: the mean of its inverse.
    """

    uncertainty: float
    probability: float
    perplexity: float


def measured(table: Sequence[Sequence[float]], kind: Uncertainty) -> OfTask:
    """The numbers of a task.

    Args:
        table: probabilities, of shape (instances, 1 + perturbations): the whole prompt's first.
    """
    p = np.array(table, dtype=float)
    whole, differences = p[:, 0], p[:, 1:] - p[:, :1]
    uncertainty = {
        "absolute": np.abs(differences).mean(),
        "signed": differences.mean(),
        "mean": p.mean(),
        "std": p.std(axis=1).mean(),
    }[kind]
    # A product of many small ones may be 0, and the sum of what it is the inverse of no number.
    smallest = 1e-300
    return OfTask(
        float(uncertainty), float(whole.mean()), float((1 / np.maximum(whole, smallest)).mean())
    )
