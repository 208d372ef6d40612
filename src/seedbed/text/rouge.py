"""Exact ROUGE-L F1 of a text against a growing pool of texts, fast.

Every distinct token gets a code point of its own, so that a text becomes a short string and the
longest common subsequence of two token lists is that of two strings, which rapidfuzz computes
with bit-parallel arithmetic for many pairs at once (Hyyrö 2004). Tokens are those of the
rouge-score package without a stemmer, and the F1 is computed from the lengths with the same
floating-point operations in the same order as that package does, so the scores are bit for bit
its own: `tests/test_rouge.py` holds that.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rouge_score.tokenize import tokenize

# UTF-16 surrogates are code points that no string may hold.
_SURROGATES = range(0xD800, 0xE000)
_UNKNOWN = chr(0)
_BLOCK_PAIRS = 4_000_000  # the most pairs whose scores are held at once


def tokens(text: str) -> list[str]:
    """rouge-score's tokens: runs of a-z and 0-9 in the lower-cased text."""
    found: list[str] = tokenize(text, None)
    return found


class RougeIndex:
    """A pool of texts that others are scored against."""

    def __init__(self, texts: Iterable[str] = ()):
        self._code_point: dict[str, str] = {}
        self._encoded: list[str] = []
        self._lengths = np.empty(1024, dtype=np.int64)
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._encoded)

    def _encode(self, text: str) -> str:
        # A token that the pool does not have matches nothing in it, whichever it is.
        return "".join([self._code_point.get(token, _UNKNOWN) for token in tokens(text)])

    def add(self, text: str) -> None:
        """Put one text into the pool."""
        if len(self) == len(self._lengths):
            self._lengths = np.resize(self._lengths, 2 * len(self))
        for token in tokens(text):
            if token not in self._code_point:
                code = 1 + len(self._code_point)
                skip = len(_SURROGATES) if code >= _SURROGATES.start else 0
                self._code_point[token] = chr(code + skip)
        encoded = self._encode(text)
        self._lengths[len(self)] = len(encoded)
        self._encoded.append(encoded)

    def scores(self, texts: Sequence[str], start: int = 0) -> np.ndarray:
        """ROUGE-L F1 of each text against the pool's texts from `start` on.

        Returns:
            float64 of shape (len(texts), len(self) - start), each in 0..1.
        """
        queries = [self._encode(text) for text in texts]
        pool = self._encoded[start:]
        lengths = self._lengths[start : len(self)]
        result = np.empty((len(queries), len(pool)))
        step = max(1, _BLOCK_PAIRS // max(1, len(pool)))
        for first in range(0, len(queries), step):
            block = queries[first : first + step]
            common = cdist(block, pool, scorer=LCSseq.similarity, dtype=np.int32)
            own = np.array([[len(query)] for query in block])
            result[first : first + step] = f1(common, lengths, own)
        return result


def f1(common: np.ndarray, candidate: np.ndarray, target: np.ndarray) -> np.ndarray:
    """F1 from lengths in tokens: of the common subsequence, the candidate and the target.

    rouge-score's `2 * p * r / (p + r)`, in that order; 0 where nothing is in common.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = common / candidate
        recall = common / target
        score = 2 * precision * recall / (precision + recall)
    return np.where(common > 0, score, 0.0)


def closest(scores: np.ndarray, count: int) -> list[int]:
    """Positions of the `count` highest scores, highest first; ties in the pool's order."""
    if len(scores) > count:
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        positions = np.flatnonzero(scores >= least)
    else:
        positions = np.arange(len(scores))
    order = np.argsort(-scores[positions], kind="stable")
    return [int(position) for position in positions[order][:count]]
