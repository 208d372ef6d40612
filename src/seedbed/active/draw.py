"""The draw of a pool: which of its tasks come first, which are held out, and what remains.

The authors' program (`utils.py:86` of arXiv 2311.00288's repository) draws with one generator, and
so do we, so that its splits come out byte for byte.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Draw:
    """Names of tasks. start: the first chunk; dev: held out; rest: the others, as drawn."""

    start: list[str]
    dev: list[str]
    rest: list[str]


def draw(
    names: Sequence[str], classification: Collection[str], chunk: int, dev: int, seed: int
) -> Draw:
    """Shuffle the pool, hold out `dev` tasks, half of each kind, and take the first chunk.

    Args:
        names: of the pool, in the order of its file. classification: those of them that are.
        dev: an odd one has a generation task more.
    """
    generator = random.Random(seed)
    shuffled = list(names)
    generator.shuffle(shuffled)
    kinds = [
        [name for name in shuffled if name in classification],
        [name for name in shuffled if name not in classification],
    ]
    held_out, rest = [], []
    for tasks, most in zip(kinds, (dev // 2, dev - dev // 2), strict=True):
        held_out += tasks[:most]
        rest += tasks[most:]
    generator.shuffle(rest)
    return Draw(rest[:chunk], held_out, rest[chunk:])
