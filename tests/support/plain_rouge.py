"""ROUGE-L as it is defined: slow, exact, and easy to check."""

from fractions import Fraction
from itertools import product


def exact_f1(text: str, other: str) -> Fraction:
    """ROUGE-L F1 of texts of plain words, as the fraction that it is."""
    a, b = text.split(), other.split()
    common = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, j in product(range(len(a)), range(len(b))):
        longer = max(common[i][j + 1], common[i + 1][j])
        common[i + 1][j + 1] = common[i][j] + 1 if a[i] == b[j] else longer
    return Fraction(2 * common[-1][-1], len(a) + len(b))
