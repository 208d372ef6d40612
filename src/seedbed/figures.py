"""The figures of metrics/ and the points of plots/."""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean


def mean(values: Sequence[float]) -> float:
    """The mean to six digits; 0 of nothing, since DVC drops a null without a word."""
    return round(fmean(values), 6) if values else 0.0


def share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def counts(reasons: Iterable[str], found: Counter[str]) -> dict[str, int]:
    """Every reason with its count, the 0s too, so that two runs can be compared."""
    return {reason: found[reason] for reason in reasons}


def words(texts: Sequence[str]) -> dict[str, float]:
    """Mean, shortest and longest length in words."""
    lengths = [len(text.split()) for text in texts]
    return {
        "mean": mean(lengths),
        "min": min(lengths, default=0),
        "max": max(lengths, default=0),
    }


def histogram(values: Iterable[float], step: float, name: str) -> list[dict[str, float]]:
    """Points for the `histogram` plot template: bins of width `step` from 0 on.

    Returns:
        one point a bin up to the last that has a value: where it begins under `name`, where it
        ends under `to`, and `count`. A value on an edge counts in the bin that it begins.
    """
    # The rounding keeps 0.3, which is a hair under 6 × 0.05, out of the bin before its own.
    bins = Counter(int(round(value / step, 9)) for value in values)
    return [
        {name: round(i * step, 9), "to": round((i + 1) * step, 9), "count": bins[i]}
        for i in range(max(bins, default=-1) + 1)
    ]
