"""The figures of metrics/ and the points of plots/.

DVC compares runs by every number that it finds in a metrics file, in a column each. So a stage has
a few that say how it went, each under a name that no other stage has (else DVC puts the file's
path before it), and all that it counted besides stands in the same file as tables, lists of rows,
which DVC leaves alone.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any


def mean(values: Sequence[float]) -> float:
    """The mean to six digits; 0 of nothing, since DVC drops a null without a word."""
    return round(fmean(values), 6) if values else 0.0


def share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def counts(reasons: Iterable[str], found: Counter[str]) -> dict[str, int]:
    """Every reason with its count, the 0s too, so that two runs can be compared."""
    return {reason: found[reason] for reason in reasons}


def mean_words(texts: Iterable[str]) -> float:
    """The mean length in words."""
    return mean([len(text.split()) for text in texts])


def with_tables(figures: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's figures as its metrics file has them: what is a mapping becomes a table.

    >>> with_tables({"kept": 1, "dropped": {"nan": 2}, "task": {"a": {"kept": 1}}})
    {'kept': 1, 'dropped': [{'name': 'nan', 'count': 2}], 'task': [{'name': 'a', 'kept': 1}]}
    """
    return {
        name: [
            {"name": row, **(cells if isinstance(cells, Mapping) else {"count": cells})}
            for row, cells in value.items()
        ]
        if isinstance(value, Mapping)
        else value
        for name, value in figures.items()
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
