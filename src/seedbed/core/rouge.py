"""Exact ROUGE-L F1 of texts against a growing pool of texts, fast.

ROUGE-L asks for the longest common subsequence of two token lists. For a few texts at a time,
only the tokens that they hold can matter: each of these gets a code point, every other token of
the pool is dropped, and what is left of a pool's text is a short string. rapidfuzz finds the
subsequences of many such strings at once with bit-parallel arithmetic (Hyyrö 2004), fastest while
all code points fit a byte.

Tokens are those of the rouge-score package without a stemmer, and F1 is computed from the lengths
with the same floating-point operations in the same order as there, so the scores are bit for bit
its own: `tests/test_rouge.py` holds that.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist
from rouge_score.tokenize import tokenize

# Texts are scored in blocks: as many as keep to one byte, and so many at most.
_CODES, _BLOCK = 254, 64
# Texts of the pool that are looked at together, so that what is made of them stays small.
_WINDOW = 1 << 14
# UTF-16 surrogates are code points that no string may hold.
_SURROGATES = range(0xD800, 0xE000)
_UTF_32 = f"utf-32-{sys.byteorder[0]}e"  # numpy's bytes
# The code points of a token that the pool does not have, which matches nothing there, and of
# the end of a text; those of tokens follow.
_UNKNOWN, _END, _FIRST = 0, 1, 2
# Scores of which only the highest is looked at first.
_GROUP = 64
# Rounding moves a score by less than a hair; only scores so near a threshold need more than a look.
_HAIR = 1e-12


@lru_cache(maxsize=1024)  # a text is asked about several times within a round
def tokens(text: str) -> tuple[str, ...]:
    """rouge-score's tokens: runs of a-z and 0-9 in the lower-cased text."""
    return tuple(tokenize(text, None))


class RougeIndex:
    """A pool of texts that others are scored against."""

    def __init__(self, texts: Iterable[str] = ()):
        self._id = {"": 0}  # token → its number; the empty one, which no text has, ends a text
        # The tokens of all texts in a row, each text with its end, and how many each has; both
        # arrays have room for more.
        self._flat, self._used = np.zeros(1 << 14, dtype=np.uint32), 0
        self._lengths, self._size = np.zeros(1 << 10, dtype=np.int64), 0
        self._windows: list[int] = []  # where each begins among the tokens
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return self._size

    def add(self, text: str) -> None:
        """Put one text into the pool."""
        ids = [self._id.setdefault(token, len(self._id)) for token in (*tokens(text), "")]
        end = self._used + len(ids)
        while end > len(self._flat):
            self._flat = np.concatenate([self._flat, np.zeros_like(self._flat)])
        if self._size == len(self._lengths):
            self._lengths = np.concatenate([self._lengths, np.zeros_like(self._lengths)])
        if self._size % _WINDOW == 0:
            self._windows.append(self._used)
        self._flat[self._used : end] = ids
        self._lengths[self._size] = len(ids) - 1
        self._used, self._size = end, self._size + 1

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """ROUGE-L F1 of each text against each of the pool.

        Returns:
            float64 of shape (len(texts), len(self)), each in 0..1.
        """
        result = np.empty((len(texts), self._size))
        row = 0
        for block in _blocks(tokens(text) for text in texts):
            codes = _Codes(block, self._id)
            for number, begin in enumerate(range(0, self._size, _WINDOW)):
                lengths = self._lengths[begin : min(begin + _WINDOW, self._size)]
                pool = codes.pool(self._flat[slice(*self._tokens_of(number))])
                common = cdist(codes.targets, pool, scorer=LCSseq.similarity, dtype=np.int32)
                for target, lcs in enumerate(common):
                    scores = _f1_of_one(lcs, lengths, len(codes.targets[target]))
                    result[row + target, begin : begin + len(lengths)] = scores
            row += len(block)
        return result

    def any_above(self, scores: np.ndarray, text: str, threshold: Fraction) -> bool:
        """As `any_above`, of what `scores` gave for this text."""
        return _any_above(scores, len(tokens(text)), lambda i: int(self._lengths[i]), threshold)

    def _tokens_of(self, window: int) -> tuple[int, int]:
        after = window + 1
        return self._windows[window], (
            self._windows[after] if after < len(self._windows) else self._used
        )


class _Codes:
    """A few texts over an alphabet of their own. targets: these texts."""

    def __init__(self, block: list[tuple[str, ...]], id_of: dict[str, int]):
        known = dict.fromkeys(t for text in block for t in text if t in id_of)
        codes = np.arange(_FIRST, _FIRST + len(known))
        codes[codes >= _SURROGATES.start] += len(_SURROGATES)
        self._narrow = len(known) <= _CODES
        self._code_of_id = np.zeros(len(id_of), dtype=np.uint8 if self._narrow else np.uint32)
        self._code_of_id[[id_of[token] for token in known]] = codes
        self._code_of_id[id_of[""]] = _END

        code = dict(zip(known, codes.tolist(), strict=True))
        self.targets = ["".join([chr(code.get(t, _UNKNOWN)) for t in text]) for text in block]

    def pool(self, flat: np.ndarray) -> list[str]:
        """Texts of the pool over the same alphabet. flat: their tokens, each text with its end."""
        coded = self._code_of_id[flat]
        text: str = coded[coded != 0].tobytes().decode("latin-1" if self._narrow else _UTF_32)
        return text.split(chr(_END))[:-1]


def _blocks(texts: Iterable[tuple[str, ...]]) -> Iterator[list[tuple[str, ...]]]:
    """Texts together as long as they are not too many and their distinct tokens fit a byte."""
    block: list[tuple[str, ...]] = []
    distinct: set[str] = set()
    for text in texts:
        if block and (len(block) == _BLOCK or len(distinct | set(text)) > _CODES):
            yield block
            block, distinct = [], set()
        block.append(text)
        distinct.update(text)
    if block:
        yield block


def _f1_of_one(common: np.ndarray, candidates: np.ndarray, target: int) -> np.ndarray:
    """`f1` of one target, by table: most pairs repeat the three lengths of another pair, and to
    look their score up is cheaper than to compute it.
    """
    wide = 1 + int(candidates.max(initial=0))
    if (target + 1) * wide > len(candidates):
        return f1(common, candidates, target)
    table = f1(np.arange(target + 1)[:, np.newaxis], np.arange(wide), target)
    return np.asarray(table.ravel()[common * wide + candidates])


def f1(common: np.ndarray, candidate: np.ndarray, target: int | np.ndarray) -> np.ndarray:
    """F1 from lengths in tokens: of the common subsequence, the candidate and the target.

    rouge-score's `2 * p * r / (p + r)`, in that order; 0 where nothing is in common.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = common / candidate
        recall = common / target
        score = 2 * precision * recall / (precision + recall)
    return np.where(common > 0, score, 0.0)


def any_above(scores: np.ndarray, text: str, pool: Sequence[str], threshold: Fraction) -> bool:
    """Whether one of a text's scores is above a threshold, whatever their last digits.

    Two texts of 10 tokens that have 7 in common score 0.7, computed as 0.7000000000000001 or as
    0.7: how near the threshold a score is, is settled with the fraction that it stands for.

    Args:
        scores: as `RougeIndex.scores` gives them, of `text` with each of `pool`.
    """
    return _any_above(scores, len(tokens(text)), lambda i: len(tokens(pool[i])), threshold)


def _any_above(
    scores: np.ndarray, length: int, length_of: Callable[[int], int], threshold: Fraction
) -> bool:
    highest, limit = float(scores.max(initial=0.0)), float(threshold)
    if highest == 0 or abs(highest - limit) > _HAIR:
        return highest > limit
    return any(
        _exact_f1(scores[i], length + length_of(i)) > threshold
        for i in np.flatnonzero(scores > limit - _HAIR).tolist()
    )


def _exact_f1(score: float, both: int) -> Fraction:
    """both: tokens of the two texts together."""
    return Fraction(2 * round(score * both / 2), both)


def closest(scores: np.ndarray, count: int) -> list[int]:
    """Positions of the `count` highest scores, highest first; ties in the pool's order."""
    positions = np.arange(len(scores))
    if len(scores) > count:
        # So many groups have a score of at least this, and so have as many scores.
        groups = len(scores) // _GROUP
        highest = scores
        if groups > count:
            highest = scores[: groups * _GROUP].reshape(groups, _GROUP).max(axis=1)
        least = np.partition(highest, len(highest) - count)[len(highest) - count]
        positions = np.flatnonzero(scores >= least)
    if len(positions) > _GROUP * count:
        # Too many to sort: most are as high as one another.
        of_them = scores[positions]
        least = np.partition(of_them, len(of_them) - count)[len(of_them) - count]
        positions = positions[of_them >= least]
    order = np.argsort(-scores[positions], kind="stable")
    return [int(position) for position in positions[order][:count]]
