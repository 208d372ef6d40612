"""Texts that are nearly one that came before.

Which might be is found by MinHash and locality-sensitive hashing (datasketch). It rather names too
many: what those really have in common is counted then, so that nothing goes that is less alike than
it must be. A few that are only just alike enough are missed.

What is known of the texts lies in a database on the disk that SQLite throws away, and a few pages
of it in memory, however many there are (`benchmarks/segment.py` measures it; the library's own
index, with the same recall, held 6 kB a text). The few texts that it compares with are read back.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from zlib import crc32

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from seedbed.backtranslation.repetition import jaccard, shingles

_PERMUTATIONS = 64
# Of false positives and false negatives. For 0.8 that is 10 bands of 6, which miss 1 in 20 of those
# that are just as alike as that, 1 in 100 that are 0.85 alike, and 1 in 2,000 that are 0.9 alike.
_WEIGHTS = (0.02, 0.98)
# Above, the library finds no bands; who asks for more alike texts gets them by the count.
_MOST = 0.9
# Of the database's pages in memory, in kB.
_CACHE = 64_000

Signature = NDArray[np.uint64]


def signature(text: str) -> Signature | None:
    """The text's MinHash, (_PERMUTATIONS,); None if it has no words.

    Pure, and what takes longest: so it may be made elsewhere, and what is found by it here.
    """
    own = shingles(text)
    if not own:
        return None
    minhash = _empty().copy()
    minhash.update_batch([" ".join(one).encode("utf-8", "surrogatepass") for one in own])
    found: Signature = minhash.hashvalues
    return found


@cache
def _empty() -> MinHash:
    # The library's own seed: the same permutations in every run.
    return MinHash(_PERMUTATIONS, hashfunc=crc32)


def _number(data: bytes) -> int:
    """A number that SQLite can hold, the same in every run."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


class NearDuplicates:
    """The texts that were kept so far, by number.

    threshold: from this Jaccard similarity of shingles on, two are one; so are two of the same
    text. text_of: reads one back.
    """

    def __init__(self, threshold: float, text_of: Callable[[int], str]):
        self._threshold = threshold
        self._text_of = text_of
        index = MinHashLSH(min(threshold, _MOST), _PERMUTATIONS, _WEIGHTS)
        self._bands, self._rows = index.b, index.r
        # Without a name: SQLite puts what does not fit in memory into a file that nobody else sees.
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute(f"PRAGMA cache_size = -{_CACHE}")
        self._base.execute("PRAGMA journal_mode = OFF")
        # The texts that have the same hashes in a band.
        self._base.execute(
            "CREATE TABLE band (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) "
            "WITHOUT ROWID"
        )
        # For as long as this lasts: at the end of each transaction SQLite goes through all pages in
        # memory, so that a text would take the longer the more there are.
        self._base.execute("BEGIN")

    def find_or_add(self, number: int, text: str, own: Signature | None) -> int | None:
        """The first of the texts that this one is like; None if there is none, and it is kept.

        own: its `signature`.

        Raises:
            OSError: there is no room on the disk.
        """
        # What has no words is like its equals.
        keys = (
            [_number(text.encode("utf-8", "surrogatepass"))]
            if own is None
            else list(self._keys(own))
        )
        try:
            might = self._base.execute(
                "SELECT DISTINCT number FROM band WHERE key IN (SELECT value FROM json_each(?)) "
                "ORDER BY number",
                [json.dumps(keys)],
            ).fetchall()
            shingled = shingles(text) if might else frozenset()
            for (other,) in might:
                there = self._text_of(other)
                if there == text or jaccard(shingled, shingles(there)) >= self._threshold:
                    return int(other)
            self._base.executemany(
                "INSERT OR IGNORE INTO band VALUES (?, ?)", [(key, number) for key in keys]
            )
        except sqlite3.OperationalError as error:
            raise OSError(f"no room for what near-duplicates are found by: {error}") from None
        return None

    def _keys(self, own: Signature) -> Iterator[int]:
        """A number for each band and what it holds. Two of the same cost only a comparison."""
        for band in range(self._bands):
            begin = band * self._rows
            held = own[begin : begin + self._rows].tobytes()
            yield _number(bytes([band]) + held)
