"""A pool of texts that takes only what is unlike all that it has, in shares.

The pool is cut into blocks, which are dealt to the workers of `seedbed.core.shards` in turn: the
texts from n × BLOCK on are block n, and that is worker n mod K's. A worker holds its blocks as one
`RougeIndex`, and gives for each text what is wanted of its scores, not these themselves. However
many there are, the answer is the one that a single index would give, to the last bit:

- a text is too similar if it is so to anything of one of the shares;
- of what each share finds closest, the closest are taken, ties in the pool's order;
- the mean is of a sum in numpy's order: it adds up in halves, down to 128 scores, and where the
  halves are cut depends on how many there are. Each share sums the parts that lie in a block of it
  as they stand in that tree, and only the sums are put together here.

A worker's memory grows with its share alone: the scores of the AT_ONCE texts that are compared
together, 8 bytes each, and some bytes for each token. `benchmarks/shards.py` measures it.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import nan
from typing import NamedTuple

import numpy as np

from seedbed.core.rouge import RougeIndex, any_above, closest
from seedbed.core.shards import Held, Place, from_environment

BLOCK = 1 << 15
# Texts that are scored against the pool together.
AT_ONCE = 32
# So many of the closest are told.
_CLOSEST = 10
# numpy sums so many in one go.
_LEAF = 128


class Sifted(NamedTuple):
    """What became of a text. taken: it is in the pool now; else it is `similar`, or over the most.

    closest: places in the pool, and scores, highest first; mean: of its scores with the pool, and
        with those that were taken with it and before it. Both only of what was taken.
    """

    taken: bool
    similar: bool
    closest: list[tuple[int, float]]
    mean: float


class Pool:
    """texts: all of them, by place. pairs: how many were scored so far, but those of new texts."""

    def __init__(
        self,
        texts: Iterable[str],
        expected: int,
        where: Place | None = None,
        block: int | None = None,
    ):
        """expected: how many texts there will be; there are no more workers than blocks of it.

        block: BLOCK if None.

        Raises:
            SeedbedError: as `Held`.
        """
        block = BLOCK if block is None else block
        where = from_environment() if where is None else where
        where = where.at_most(-(-expected // block)).settled()
        self.texts = list(texts)
        self.pairs = 0
        self._block = block
        # What each share does not have yet.
        self._new: list[list[str]] = [[] for _ in range(where.workers)]
        self._shares = Held(Share, [(n, where.workers, block) for n in range(where.workers)], where)
        self._hand_out(0)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._shares.close()

    def sift(self, texts: Sequence[str], threshold: Fraction, most: int) -> list[Sifted]:
        """Take those texts, in order, that are like nothing in the pool or before them.

        A text is compared with the pool as it is when this begins, and with what was taken since.

        Args:
            threshold: a ROUGE-L F1 above it is too similar.
            most: so many are taken.

        Returns:
            one for each text, in order.

        Raises:
            SeedbedError: as `Held`.
        """
        before = len(self.texts)
        with_each_other = RougeIndex(texts).scores(texts)
        sifted: list[Sifted] = []
        taken: list[int] = []
        for begin in range(0, len(texts), AT_ONCE):
            some = texts[begin : begin + AT_ONCE]
            similar = self._similar(some, threshold)
            self.pairs += before * len(some)
            verdicts: list[tuple[bool, bool]] = []
            wanted: list[tuple[int, int]] = []
            own: list[np.ndarray] = []
            for row, text in enumerate(some):
                scores = with_each_other[begin + row, taken]
                others = [texts[i] for i in taken]
                too_similar = similar[row] or any_above(scores, text, others, threshold)
                takes = not too_similar and len(taken) < most
                verdicts.append((takes, too_similar))
                if takes:
                    wanted.append((row, before + len(taken)))
                    own.append(scores)
                    taken.append(begin + row)
                    self.texts.append(text)
            found = self._found(wanted, own, before)
            for takes, too_similar in verdicts:
                nearest, mean = next(found) if takes else ([], 0.0)
                sifted.append(Sifted(takes, too_similar, nearest, mean))
        # Not before: what comes later in a round is compared with the pool as it was.
        self._hand_out(before)
        return sifted

    def _hand_out(self, begin: int) -> None:
        """Each of the texts from a place on to its share, with the next that is asked of it."""
        for number, text in enumerate(self.texts[begin:], begin):
            self._new[number // self._block % len(self._new)].append(text)

    def _similar(self, texts: Sequence[str], threshold: Fraction) -> list[bool]:
        new, self._new = self._new, [[] for _ in self._new]
        answers = self._shares.all("compare", [(of_one, texts, threshold) for of_one in new])
        return [any(of_text) for of_text in zip(*answers, strict=True)]

    def _found(
        self, wanted: list[tuple[int, int]], own: list[np.ndarray], before: int
    ) -> Iterator[tuple[list[tuple[int, float]], float]]:
        """Yield the closest, and the mean, of each text that is taken."""
        if not wanted:
            return
        answers = self._shares.all("look", [(wanted,)] * len(self._shares))
        for (_, size), scores, of_text in zip(wanted, own, zip(*answers, strict=True), strict=True):
            nearest = [(before + i, float(scores[i])) for i in closest(scores, _CLOSEST)]
            parts: dict[int, Part] = {}
            for share in of_text:
                nearest += share.closest
                parts |= share.parts
            parts |= _parts(scores, before, before, size, size)
            nearest.sort(key=lambda one: (-one[1], one[0]))
            mean = _total(0, size, parts) / size if size else nan
            yield nearest[:_CLOSEST], mean


class Part(NamedTuple):
    """Scores from a place on up to `end`: their sum, or, of less than a leaf, they themselves."""

    end: int
    scores: float | np.ndarray


class Found(NamedTuple):
    """What a share knows of a text. parts: by the place where they begin."""

    closest: list[tuple[int, float]]
    parts: dict[int, Part]


class Share:
    """One worker's blocks. number: its own, of `of`; block: texts in one."""

    def __init__(self, number: int, of: int, block: int):
        self._number, self._of, self._block = number, of, block
        self._index = RougeIndex()
        self._scores = np.empty((0, 0))

    def compare(self, new: list[str], texts: Sequence[str], threshold: Fraction) -> list[bool]:
        """Take new ones in; say which of some texts are too similar to one of the share."""
        for text in new:
            self._index.add(text)
        del self._scores  # or there would be room for twice as many
        self._scores = self._index.scores(texts)
        return [
            self._index.any_above(scores, text, threshold)
            for scores, text in zip(self._scores, texts, strict=True)
        ]

    def look(self, wanted: list[tuple[int, int]]) -> list[Found]:
        """More of texts that were compared last: each by its row, and by how many scores it has."""
        return [self._look(self._scores[row], size) for row, size in wanted]

    def _look(self, scores: np.ndarray, size: int) -> Found:
        nearest = [(self._place(i), float(scores[i])) for i in closest(scores, _CLOSEST)]
        parts: dict[int, Part] = {}
        # With one share all lies in a row.
        step = self._block if self._of > 1 else max(1, len(scores))
        for begin in range(0, len(scores), step):
            here = scores[begin : begin + step]
            place = self._place(begin)
            parts |= _parts(here, place, place, place + len(here), size)
        return Found(nearest, parts)

    def _place(self, own: int) -> int:
        """Where in the pool one of the share's texts stands."""
        block, offset = divmod(own, self._block)
        return (block * self._of + self._number) * self._block + offset


def _halves(low: int, high: int) -> int:
    """Where numpy cuts a sum of these scores in two: nearly in the middle, at a multiple of 8."""
    half = (high - low) // 2
    return low + half - half % 8


def _parts(scores: np.ndarray, offset: int, begin: int, end: int, size: int) -> dict[int, Part]:
    """The parts of a sum of `size` scores that lie between two places.

    Args:
        scores: those from `offset` on.
    """
    parts: dict[int, Part] = {}
    nodes = [(0, size)]
    while nodes:
        low, high = nodes.pop()
        if high <= begin or end <= low:
            continue
        if begin <= low and high <= end:
            parts[low] = Part(high, float(scores[low - offset : high - offset].sum()))
        elif high - low <= _LEAF:
            low, high = max(low, begin), min(high, end)
            parts[low] = Part(high, scores[low - offset : high - offset])
        else:
            cut = _halves(low, high)
            nodes += [(low, cut), (cut, high)]
    return parts


def _total(low: int, high: int, parts: dict[int, Part]) -> float:
    """The sum of the scores from one place to another, in numpy's order."""
    part = parts.get(low)
    if part is not None and part.end == high and isinstance(part.scores, float):
        return part.scores
    if high - low > _LEAF:
        cut = _halves(low, high)
        return _total(low, cut, parts) + _total(cut, high, parts)
    pieces = []
    while low < high:
        pieces.append(parts[low].scores)
        low = parts[low].end
    return float(np.concatenate(pieces).sum())
