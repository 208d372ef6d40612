"""Weighted draws without replacement for a million rows at once, each row's own.

A draw of `k` things with weights, one after the other and none twice, is the same as a race: each
thing runs for a time drawn from the exponential distribution with its weight as the rate, and the
first `k` win (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006). So a
row's draw needs one uniform number for each thing, and no loop.

The numbers of a row come from its identity alone, through BLAKE2b and SplitMix64 (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014). Whichever rows there are besides
it, and in whatever order: it draws the same.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seedbed.core import draws

Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

STEP = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


def name(text: str) -> bytes:
    """A row's name in 16 bytes; two names never have the same in practice."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def keys(names: Keys, seed: int, *identity: str | int) -> Keys:
    """What the rows' draws for `identity`, such as a task, come from with this seed.

    names: (rows, 2), of `name` and `as_keys`; the keys have the same shape.
    """
    mask = hashlib.blake2b(draws.rank(seed, *identity), digest_size=16).digest()
    return names ^ as_keys([mask])


def as_keys(digests: Sequence[bytes]) -> Keys:
    """Keys as numbers: (rows, 2), the same on every machine."""
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)


def uniform(keys: Keys, count: int) -> Floats:
    """`count` numbers for each key: (rows,) → (rows, count), between 0 and 1, both excluded.

    The numbers are SplitMix64's from the key on: more of them does not change the first ones.
    """
    steps = np.arange(1, count + 1, dtype=np.uint64) * STEP  # wraps round, as it should
    state = keys[:, None] + steps
    # In place: these arrays are most of the time that a draw takes.
    shifted = state >> np.uint64(30)
    state ^= shifted
    state *= MIX_1
    np.right_shift(state, np.uint64(27), out=shifted)
    state ^= shifted
    state *= MIX_2
    np.right_shift(state, np.uint64(31), out=shifted)
    state ^= shifted
    state >>= np.uint64(11)
    numbers = state.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-53
    return numbers


def times(numbers: Floats, weights: Floats) -> Floats:
    """How long each thing runs: (…, things), each above 0.

    Args:
        numbers: (…, things), between 0 and 1.
        weights: (things,), above 0.
    """
    taken = np.log(numbers)
    taken /= -weights
    return taken


def first(times: Floats, count: int) -> NDArray[np.bool_]:
    """Mark the `count` shortest times of each row: (rows, things) → the same. Ties: the former."""
    last = np.partition(times, count - 1, axis=1)[:, count - 1 : count]
    won: NDArray[np.bool_] = times <= last
    if np.count_nonzero(won) == count * len(won):
        return won
    for row in np.flatnonzero(np.count_nonzero(won, axis=1) != count):
        won[row] = False
        won[row, np.argsort(times[row], kind="stable")[:count]] = True
    return won


def inverse_weights(popularity: NDArray[np.int64]) -> Floats:
    """softmax(minmax(1/popularity)), with 0 in place of 1/0: the popular are drawn less. (things,)

    The least popular weighs e times the most popular; what was never popular weighs as little as
    that. All weigh the same if all are equally popular. Source: Auto-Instruct, appendix A
    (arXiv 2310.13127); the authors' program divides by zero in that last case.
    """
    inverse = np.zeros(len(popularity))
    np.divide(1.0, popularity, out=inverse, where=popularity > 0)
    inverse -= inverse.min(initial=np.inf)
    span = inverse.max(initial=0.0)
    weights: Floats = np.exp(inverse / span if span > 0 else inverse)
    weights /= weights.sum()
    return weights
