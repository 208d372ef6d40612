"""Which pairs a pair is swapped with."""

from collections.abc import Sequence

import numpy as np

from seedbed.backtranslation.params import Judging
from seedbed.backtranslation.prompts import Pair
from seedbed.core import draws


def partners(
    pairs: Sequence[Pair], params: Judging, pool: Sequence[Pair] | None = None
) -> list[list[Pair]]:
    """For each pair those that it is swapped with: at random, none with a text of its own.

    A draw belongs to its pair: one more pair takes at most one other's place.

    pool: of these; None for the pairs themselves.
    """
    others = pairs if pool is None else pool
    # Every pair ranks all others: numbers, since of thousands of pairs that are millions of ranks.
    numbers: dict[str, int] = {}
    theirs = _numbered(others, numbers)
    marks = _marks(others, params.seed, "partner")
    found = []
    for own, mark in zip(_numbered(pairs, numbers), _marks(pairs, params.seed, "of"), strict=True):
        able = np.flatnonzero((theirs != own).all(axis=1))
        ranks = _mixed(marks[able] ^ mark)
        if len(able) > params.swapped:
            first = np.argpartition(ranks, params.swapped)[: params.swapped]
            able, ranks = able[first], ranks[first]
        found.append([others[n] for n in able[np.argsort(ranks)].tolist()])
    return found


def _numbered(pairs: Sequence[Pair], numbers: dict[str, int]) -> np.ndarray:
    """Id, instruction and output of each as numbers, the same for the same: shape (pairs, 3)."""
    texts = [(pair.id, pair.instruction, pair.output) for pair in pairs]
    rows = [[numbers.setdefault(text, len(numbers)) for text in row] for row in texts]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _marks(pairs: Sequence[Pair], seed: int, what: str) -> np.ndarray:
    """Of each 64 random bits that are its own."""
    ranks = [draws.rank(seed, "swapped", what, pair.id) for pair in pairs]
    return np.array([int.from_bytes(rank[:8], "big") for rank in ranks], dtype=np.uint64)


def _mixed(bits: np.ndarray) -> np.ndarray:
    """64 other bits, to each of which all of the given ones matter: the end of SplitMix64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = bits ^ (bits >> np.uint64(31))
    return mixed
