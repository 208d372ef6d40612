"""How a score grows with the number of rows: the fit w = alpha log N + C.

That is the form in which the paper on instruction backtranslation compares data sets (arXiv
2308.06259, section 3.3): a set with a larger alpha gains more by each row. N is the number of rows,
the logarithm the natural one.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fit:
    """alpha and c of a source, by least squares over so many points of different N."""

    alpha: float
    c: float
    points: int

    def at(self, rows: int) -> float:
        """The score that it gives for so many rows."""
        return self.alpha * float(np.log(rows)) + self.c


def fits(points: Iterable[tuple[str, int, float]]) -> dict[str, Fit]:
    """The fit of each source that has two numbers of rows or more; points: (source, rows, score).

    >>> found = fits([("a", 1, 2.0), ("a", 10, 4.0), ("b", 5, 1.0)])
    >>> list(found), round(found["a"].c, 6), round(found["a"].at(100), 6)
    (['a'], 2.0, 6.0)
    """
    of_source: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for source, rows, score in points:
        of_source[source].append((rows, score))
    found = {}
    for source, pairs in sorted(of_source.items()):
        numbers = np.log([rows for rows, _ in pairs])
        if len({rows for rows, _ in pairs}) > 1:
            alpha, c = np.polyfit(numbers, [score for _, score in pairs], 1)
            found[source] = Fit(float(alpha), float(c), len(pairs))
    return found
