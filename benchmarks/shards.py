"""How much faster do several workers find out what is new, and what would a million take?

The pool of bootstrap (`seedbed.core.pool`) is given rounds of 25 made-up instructions, a third of
which is a pool text with one or two words replaced: once in this process, once in two processes,
once in two actors of a Ray cluster on this machine (where Ray is installed). What becomes of each
text, its closest and its mean are compared; a difference is an error. The texts of the pool are
handed out before the clock starts, as in a run, where they came round by round; the best of
several repeats counts, and each repeat's rounds join the pool.

Then a bootstrap of a million, by formula:

    time     the novelty of a whole bootstrap is a cost a round and a cost a pair. Both are taken
             from a bootstrap's first and second size, and the third is foretold and measured. The
             clock is the processor's, for one process is at work: so it may have other work, too.
    memory   a share's is a cost a text, as Python and numpy account for it. It is taken from two
             sizes, and the third is foretold and measured. (Each is twice the one before, since
             what a share is kept in grows to twice its size.) A process has some 100 MB besides.

Run it from the project's folder: PYTHONPATH=src python benchmarks/shards.py [POOL]
"""

import os
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice

from novelty import candidates
from sizes import ARGUMENTS, sized
from texts import Writer

from seedbed.core import pool as pools
from seedbed.core.pool import AT_ONCE, Pool, Share, Sifted
from seedbed.core.shards import HERE, Place

THRESHOLD = Fraction(7, 10)
ROUND = 25
POOL = int(ARGUMENTS[0]) if ARGUMENTS else sized(200_000, 600)
ROUNDS, REPEATS = sized(20, 2), sized(4, 2)
# Of a whole bootstrap; of a share's texts.
GROWN = sized((POOL // 20, POOL // 10, POOL // 5), (250, 400, 600))
SHARES = sized((POOL // 4, POOL // 2, POOL), (500, 1_000, 2_000))
MILLION = 1_000_000
# A block has at most so many texts that there are some of each worker's.
BLOCK = min(pools.BLOCK, POOL // 4)


@dataclass
class Way:
    """What one way made of the rounds. seconds: of the fastest repeat; pairs: of that, too."""

    seconds: float
    pairs: int
    start: float
    sifted: list[Sifted]


def measure(texts: list[str], rounds: list[list[str]], where: Place) -> Way:
    """The same rounds by one way."""
    begun = time.perf_counter()
    way = Way(float("inf"), 0, 0.0, [])
    with Pool(texts, len(texts), where, BLOCK) as pool:
        pool.sift(["of no use"], THRESHOLD, 0)  # the texts go where they belong with the first
        way.start = time.perf_counter() - begun
        for repeat in range(REPEATS):
            before, begun = pool.pairs, time.perf_counter()
            for new in rounds[repeat * ROUNDS : (repeat + 1) * ROUNDS]:
                way.sifted += pool.sift(new, THRESHOLD, ROUND)
            seconds = time.perf_counter() - begun
            if seconds < way.seconds:
                way.seconds, way.pairs = seconds, pool.pairs - before
    return way


def compare() -> tuple[dict[str, float], bool]:
    """Print a row a way. Returns the pairs a second of each, and whether all said the same."""
    writer = Writer(seed=POOL)
    texts = [writer.instruction() for _ in range(POOL)]
    source = candidates(writer, texts)
    rounds = [list(islice(source, ROUND)) for _ in range(ROUNDS * REPEATS)]
    ways = {"one process": HERE, "two processes": Place(2)}
    if find_spec("ray"):
        os.environ.setdefault("SEEDBED_RAY", "local")
        ways["two actors"] = Place(2, ray=True)
    print(f"A pool of {POOL:,}, {ROUNDS} rounds of {ROUND}; {os.cpu_count()} cores\n")
    columns = "{:<16}{:>10}{:>14}{:>10}{:>16}".format
    print(columns("way", "seconds", "pairs/second", "ratio", "until it begins"))
    rates: dict[str, float] = {}
    first: list[Sifted] = []
    same = True
    for name, where in ways.items():
        way = measure(texts, rounds, where)
        first = first or way.sifted
        same = same and way.sifted == first
        rates[name] = way.pairs / way.seconds
        ratio = rates[name] / rates["one process"]
        seconds, start = f"{way.seconds:.2f}", f"{way.start:.1f} s"
        print(columns(name, seconds, f"{rates[name]:,.0f}", f"{ratio:.2f}", start))
    if "two actors" not in ways:
        print("two actors: Ray is not installed")
    taken = sum(one.taken for one in first)
    print(f"{taken:,} of {len(first):,} taken; the same from all: {'yes' if same else 'NO'}\n")
    return rates, same


@dataclass
class Growth:
    """A bootstrap up to some size, all from the beginning. seconds: of the processor."""

    size: int
    rounds: int
    pairs: int
    seconds: float


def grown() -> Iterator[Growth]:
    """One bootstrap, seen at each of GROWN; the made-up model takes no time."""
    writer = Writer(seed=0)
    begin = [writer.instruction() for _ in range(175)]
    rounds, seconds = 0, 0.0
    with Pool(begin, GROWN[-1], HERE) as pool:
        source = candidates(writer, pool.texts)
        for size in GROWN:
            while len(pool.texts) < size:
                new = list(islice(source, ROUND))
                begun = time.process_time()
                pool.sift(new, THRESHOLD, ROUND)
                seconds += time.process_time() - begun
                rounds += 1
            yield Growth(len(pool.texts), rounds, pool.pairs, seconds)


def million_in_time(speed_up: float) -> None:
    """Print what a million would take, and how well the third size was foretold."""
    first, second, third = grown()
    # seconds = a_round × rounds + a_pair × pairs, twice.
    by_rounds = second.rounds / first.rounds
    a_pair = (second.seconds - by_rounds * first.seconds) / (second.pairs - by_rounds * first.pairs)
    a_round = (first.seconds - a_pair * first.pairs) / first.rounds
    for one in (first, second, third):
        foretold = a_round * one.rounds + a_pair * one.pairs
        print(
            f"  {one.size:>9,} instructions: {one.rounds:,} rounds, {one.pairs:,} pairs, "
            f"{one.seconds:.1f} s, by formula {foretold:.1f} s"
        )
    a_text = third.rounds / third.size  # rounds
    rounds = a_text * MILLION
    pairs = ROUND * a_text * MILLION**2 / 2
    seconds = a_round * rounds + a_pair * pairs
    print(
        f"  seconds = {a_round * 1e3:.2f} ms × rounds + {a_pair * 1e9:.1f} ns × pairs; "
        f"rounds = {a_text:.3f} × N, pairs = {ROUND * a_text / 2:.2f} × N²\n"
        f"  a million: {pairs:,.0f} pairs, {seconds / 3600:.1f} h in one process, "
        f"{seconds / 3600 / speed_up:.1f} h in two\n"
    )


def memory_of_share(texts: list[str], new: list[str]) -> int:
    """Bytes that a share of these texts takes at its peak, with all that it works in."""
    tracemalloc.start()
    share = Share(0, 1, pools.BLOCK)
    for begin in range(0, len(texts), 1_000):
        # As texts come round by round; few are compared until the end.
        share.compare(texts[begin : begin + 1_000], new[:1], THRESHOLD)
    share.compare([], new, THRESHOLD)
    share.look([(row, len(texts) + row) for row in range(len(new))])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def million_in_memory() -> float:
    """Print what a block, and a million, would take. Returns bytes a text."""
    writer = Writer(seed=1)
    new = [writer.instruction() for _ in range(AT_ONCE)]
    texts = [writer.instruction() for _ in range(SHARES[-1])]
    taken = [memory_of_share(texts[:size], new) for size in SHARES]
    a_text = (taken[1] - taken[0]) / (SHARES[1] - SHARES[0])
    fixed = taken[0] - a_text * SHARES[0]
    for size, bytes_ in zip(SHARES, taken, strict=True):
        foretold = fixed + a_text * size
        print(f"  {size:>9,} texts: {bytes_ / 1e6:.0f} MB, by formula {foretold / 1e6:.0f} MB")
    print(
        f"  {a_text:.0f} bytes a text: {a_text * pools.BLOCK / 1e6:.1f} MB a block of "
        f"{pools.BLOCK:,}, {a_text * MILLION / 1e6:.0f} MB a million, over all workers\n"
    )
    return a_text


def main() -> None:
    rates, same = compare()
    two = rates["two processes"] / rates["one process"]
    million_in_time(two)
    a_text = million_in_memory()
    print(
        f"Two processes score {two:.2f} times the pairs a second of one"
        + (
            f", two actors {rates['two actors'] / rates['one process']:.2f} times"
            if "two actors" in rates
            else ""
        )
        + f", with the same scores{'' if same else ' NOT'}; a block takes "
        f"{a_text * pools.BLOCK / 1e6:.1f} MB"
    )
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
