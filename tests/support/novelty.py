"""Rounds of made-up texts, sifted by a pool, and by a plain loop around one index."""

import random
from fractions import Fraction

import numpy as np

from seedbed.core.pool import Pool, Sifted
from seedbed.core.rouge import RougeIndex, any_above, closest
from seedbed.core.shards import Place

THRESHOLD = Fraction(7, 10)


def rounds_of(seed: int, pool: int = 150, rounds: int = 6) -> tuple[list[str], list[list[str]]]:
    """A pool, and rounds of texts, of few words: so that many are as like as others."""
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices("abcdefghijklmnop", k=draw.randint(1, 12)))

    return [text() for _ in range(pool)], [
        [text() for _ in range(draw.randint(0, 40))] for _ in range(rounds)
    ]


def sift_all(
    pool: list[str],
    rounds: list[list[str]],
    where: Place,
    block: int = 1 << 15,
    threshold: Fraction = THRESHOLD,
    most: int = 20,
) -> list[list[Sifted]]:
    """What becomes of each round's texts."""
    with Pool(pool, 1 << 20, where, block) as sieve:
        return [sieve.sift(texts, threshold, most) for texts in rounds]


def sift_plainly(
    pool: list[str],
    rounds: list[list[str]],
    threshold: Fraction = THRESHOLD,
    most: int = 20,
) -> list[list[Sifted]]:
    """The same by one index, text by text."""
    pool, index = list(pool), RougeIndex(pool)
    sifted = []
    for texts in rounds:
        with_pool, with_each_other = index.scores(texts), RougeIndex(texts).scores(texts)
        taken: list[int] = []
        of_round = []
        for row, text in enumerate(texts):
            scores = np.concatenate([with_pool[row], with_each_other[row, taken]])
            if any_above(scores, text, pool, threshold):
                of_round.append(Sifted(False, True, [], 0.0))
            elif len(taken) == most:
                of_round.append(Sifted(False, False, [], 0.0))
            else:
                nearest = [(i, float(scores[i])) for i in closest(scores, 10)]
                of_round.append(Sifted(True, False, nearest, float(scores.mean())))
                taken.append(row)
                pool.append(text)
                index.add(text)
        sifted.append(of_round)
    return sifted
