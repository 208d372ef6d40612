"""How fast are outputs scored? One million (output, target) pairs, ROUGE-L F1 of each.

    seedbed      rouge_l of seedbed.tasks.scoring
    rouge-score  the rouge-score package, as the seed's program calls it: a scorer made once, a
                 pair at a time; it is given only the first pairs, since it takes half a minute

The pairs are made up (benchmarks/texts.py) in the shape of label's: 22 outputs of 1 to 20 words
for each target of 1 to 20. They come in two kinds:

    repeated     of an example's 22 outputs every second one says what another does (of those of
                 the default run, at temperature 0, more than nine tenths do)
    all differ   no output stands there twice

Every score that both have is compared; a difference is an error. The best of several repeats
counts. The pairs come from a generator and the scores are kept, in a process of its own for each
kind, whose peak memory is shown.

Run it from the project's folder: PYTHONPATH=src python benchmarks/scoring.py
"""

import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context

import numpy as np
from rouge_score import rouge_scorer
from sizes import sized
from texts import Writer

from seedbed.tasks.scoring import rouge_l

PAIRS, CANDIDATES = sized(1_000_000, 1_000), 22
FOR_ROUGE_SCORE = sized(20_000, 100)
REPEATS = 3
# What it must reach.
TIMES, PEAK = sized(20, 0), 1e9


def pairs(count: int, repeated: bool) -> Iterator[tuple[str, str]]:
    """The same ones every time. Each text is an object of its own, as those of answers are."""
    writer = Writer(seed=22)
    made = 0
    while made < count:
        target = writer.words(writer.random.randint(1, 20))
        # Some of an output is the target's.
        near = [target.split()[: writer.random.randint(0, 8)] for _ in range(CANDIDATES)]
        outputs = [
            " ".join([*own, writer.words(writer.random.randint(1, 12))]) + "." for own in near
        ]
        if repeated:
            outputs[CANDIDATES // 2 :] = outputs[: CANDIDATES // 2]
        for output in outputs[: count - made]:
            yield "".join(list(output)), target
        made += CANDIDATES


@dataclass
class Timed:
    """Seconds for all pairs, and rouge-score's for them at its rate; bytes."""

    seconds: float
    as_rouge_score: float
    differing: int
    peak: int


def measure(repeated: bool) -> Timed:
    given = list(pairs(FOR_ROUGE_SCORE, repeated))
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    as_rouge_score = float("inf")
    for _ in range(REPEATS):
        begun = time.perf_counter()
        theirs = [scorer.score(target, output)["rougeL"].fmeasure for output, target in given]
        as_rouge_score = min(as_rouge_score, time.perf_counter() - begun)
    # The clock runs while pairs are scored, not while they are made up.
    best = float("inf")
    for _ in range(REPEATS):
        seconds, source, ours = 0.0, pairs(PAIRS, repeated), []
        while block := list(islice(source, 100_000)):
            begun = time.perf_counter()
            ours.append(rouge_l(block))
            seconds += time.perf_counter() - begun
        best = min(best, seconds)
    differing = int(np.count_nonzero(np.concatenate(ours)[: len(theirs)] != np.array(theirs)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Timed(best, as_rouge_score * PAIRS / FOR_ROUGE_SCORE, differing, peak)


def main() -> None:
    columns = "{:<12}{:>10}{:>14}{:>20}{:>8}{:>10}{:>9}".format
    print(f"{PAIRS:,} pairs\n")
    print(columns("kind", "seconds", "pairs/second", "rouge-score, s", "ratio", "differing", "MB"))
    right = True
    for kind, repeated in (("repeated", True), ("all differ", False)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            timed = other.submit(measure, repeated).result()
        ratio = timed.as_rouge_score / timed.seconds
        print(
            columns(
                kind,
                f"{timed.seconds:.2f}",
                f"{PAIRS / timed.seconds:,.0f}",
                f"{timed.as_rouge_score:.1f}",
                f"{ratio:.1f}",
                timed.differing,
                f"{timed.peak / 1e6:.0f}",
            )
        )
        right = right and timed.differing == 0 and timed.peak < PEAK and ratio >= TIMES
    print(f"\nAt least {TIMES} times as fast, below 1 GB, same scores: {'yes' if right else 'NO'}.")
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
