"""Texts that are nearly one that came before.

Which might be is found by MinHash and locality-sensitive hashing (datasketch). It rather names too
many: what those really have in common is counted then, so that nothing goes that is less alike than
it must be. A few that are only just alike enough are missed.

It holds 1 kB for each text that is kept (`benchmarks/segment.py` measures it; the library's own
index, with the same recall, held 6), and no text: the few that it compares with are read back.
"""

from collections.abc import Callable, Iterator
from zlib import crc32

from datasketch import MinHash, MinHashLSH

from seedbed.backtranslation.repetition import Shingles, jaccard, shingles

_PERMUTATIONS = 64
# Of false positives and false negatives. For 0.8 that is 10 bands of 6, which miss 1 in 20 of those
# that are just as alike as that, 1 in 100 that are 0.85 alike, and 1 in 2,000 that are 0.9 alike.
_WEIGHTS = (0.02, 0.98)
# Above, the library finds no bands; who asks for more alike texts gets them by the count.
_MOST = 0.9


class NearDuplicates:
    """The texts that were kept so far, by number.

    threshold: from this Jaccard similarity of shingles on, two are one. text_of: reads one back.
    """

    def __init__(self, threshold: float, text_of: Callable[[int], str]):
        self._threshold = threshold
        self._text_of = text_of
        # The library's own seed: the same permutations in every run.
        self._empty = MinHash(_PERMUTATIONS, hashfunc=crc32)
        index = MinHashLSH(min(threshold, _MOST), _PERMUTATIONS, _WEIGHTS)
        self._bands, self._rows = index.b, index.r
        # The texts that have the same hashes in a band; most are alone.
        self._first: dict[int, int] = {}
        self._others: dict[int, list[int]] = {}

    def find_or_add(self, number: int, text: str) -> int | None:
        """The first of the texts that this one is like; None if there is none, and it is kept."""
        own = shingles(text)
        if not own:
            return None
        keys = list(self._keys(own))
        might = {self._first[key] for key in keys if key in self._first}
        might.update(*(self._others.get(key, ()) for key in keys))
        for other in sorted(might):
            if jaccard(own, shingles(self._text_of(other))) >= self._threshold:
                return other
        for key in keys:
            if self._first.setdefault(key, number) != number:
                self._others.setdefault(key, []).append(number)
        return None

    def _keys(self, own: Shingles) -> Iterator[int]:
        """A number for each band and what it holds. Two of the same cost only a comparison."""
        signature = self._empty.copy()
        signature.update_batch([" ".join(one).encode("utf-8", "surrogatepass") for one in own])
        for band in range(self._bands):
            begin = band * self._rows
            held = signature.hashvalues[begin : begin + self._rows].tobytes()
            yield hash((band, held))
