"""Random draws that belong to what they are drawn for.

Each draw has a generator of its own, seeded by the stage's seed and by the identity of the row or
request. So a draw depends neither on the order of the others nor on how many there are: a row
more changes nothing for the rest.
"""

import hashlib
import json
import random


def generator(seed: int, *identity: str | int) -> random.Random:
    """A generator of its own for `identity` under the stage's `seed`."""
    return random.Random(rank(seed, *identity))


def rank(seed: int, *identity: str | int) -> bytes:
    """A random but fixed rank for `identity`: sorting by it shuffles, its first N are a sample."""
    name = json.dumps([seed, *identity], ensure_ascii=False)
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
