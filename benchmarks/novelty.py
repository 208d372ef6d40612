"""How fast is it found out whether an instruction is new?

New is what has a ROUGE-L F1 of at most 0.7 with every text of the pool. Three ways to decide
that are timed on the same made-up instructions, a third of which is a pool text with one or two
words replaced:

    guide    the way of the usual guide: for every instruction a fresh multiprocessing.Pool of 4
             processes that maps rouge-score over the pool
    rs       the rouge-score-rs package: score_batch, on all cores, gives every score
    rs max   its score_multi, on one core, gives only the highest, which is enough to decide
    seedbed  judge_round of seedbed.self_instruct.bootstrap, in rounds of 25: it also cuts the
             answers into instructions and takes the mean and the ten closest texts, for the record

An accepted instruction joins the pool, whichever way it was found. The guide's way is given only
the first few of the instructions. Every score and every decision is compared; a difference is an
error. The best of several repeats counts. What a run of the stage has at hand anyway, the index
of the pool as it stands, is made before the clock starts.

Before that, a whole bootstrap is filtered: from 175 seeds to 52,000 accepted instructions, with
the stage's own code and without a model; once only, since it takes long. It runs in a process of
its own, for its peak memory.

Run it from the project's folder: PYTHONPATH=src python benchmarks/novelty.py
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from math import inf
from multiprocessing import Pool as Processes
from multiprocessing import get_context
from statistics import mean

import rouge_score_rs
import yaml
from rouge_score import rouge_scorer
from sizes import sized
from texts import Writer

from seedbed.core.paths import PARAMS
from seedbed.core.pool import Pool
from seedbed.core.prompts import Prompt
from seedbed.core.rouge import RougeIndex, tokens
from seedbed.core.shards import HERE
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.contract.wire import Answer
from seedbed.self_instruct.bootstrap import Asked, Grown, PoolEntry, draw_requests, judge_round
from seedbed.self_instruct.instructions import refuser
from seedbed.self_instruct.params import Bootstrap

THRESHOLD = 0.7
# Scores are floats here: one that rounding alone puts above the threshold is not above it.
AT_MOST = THRESHOLD + 1e-12
ROUND = 25
# Pool size -> how many instructions the guide's way is given, so that the run stays short.
POOLS = sized({1_000: 5, 10_000: 3, 52_000: 2}, {100: 1})
SEEDS, WANTED = 175, sized(52_000, 50)


@dataclass
class Timed:
    """What one way made of some instructions, in how long.

    scores: for each instruction, those with the pool's texts, or only the highest; none where
        the way keeps them to itself.
    """

    seconds: float
    accepted: list[bool]
    pairs: int
    scores: list[list[float]]


def one_by_one(
    score: Callable[[str, list[str]], list[float]], pool: list[str], new: list[str]
) -> Timed:
    """Decide each instruction in turn with a function that scores it against a pool."""
    pool = list(pool)
    timed = Timed(0.0, [], 0, [])
    begun = time.perf_counter()
    for text in new:
        scores = score(text, pool)
        timed.pairs += len(pool)
        timed.scores.append(scores)
        timed.accepted.append(max(scores) <= AT_MOST)
        if timed.accepted[-1]:
            pool.append(text)
    timed.seconds = time.perf_counter() - begun
    return timed


def score_as_guide(text: str, pool: list[str]) -> list[float]:
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    with Processes(4) as processes:
        found = processes.map(partial(scorer.score, text), pool)
    return [one["rougeL"].fmeasure for one in found]


def score_with_rs(text: str, pool: list[str]) -> list[float]:
    scorer = rouge_score_rs.RougeScorer(["rougeL"], use_stemmer=False)
    return [one["rougeL"].fmeasure for one in scorer.score_batch([text] * len(pool), pool)]


def highest_with_rs(text: str, pool: list[str]) -> list[float]:
    scorer = rouge_score_rs.RougeScorer(["rougeL"], use_stemmer=False)
    return [scorer.score_multi(pool, text)["rougeL"].fmeasure]


def parameters(wanted: int) -> Bootstrap:
    """params.yaml's, with rounds of five requests, for five instructions each."""
    own = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["bootstrap"]
    own |= {
        "num_instructions_to_generate": wanted,
        "request_batch_size": 5,
        "rouge_threshold": THRESHOLD,
    }
    return Bootstrap.model_validate(own)


def refuse_with(params: Bootstrap) -> Callable[[str], str | None]:
    return refuser(
        min_words=params.min_words,
        max_words=params.max_words,
        refused_words=params.refused_words,
        refused_prefixes=params.refused_prefixes,
        refuse_non_ascii=params.refuse_non_ascii,
    )


def answer(texts: list[str], key: str) -> Answer:
    """A model's continuation of a numbered list, as the engine hands it over."""
    text = " " + "\n".join([texts[0], *(f"{i}. {one}" for i, one in enumerate(texts[1:], 10))])
    usage = {"prompt_tokens": 200, "completion_tokens": 100}
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    response = {"object": "text_completion", "model": "none", "choices": [choice], "usage": usage}
    return Answer(key=key, text=text, finish_reason="stop", response=response)


def answers(texts: list[str], asked: list[Asked]) -> list[Answer]:
    """The texts, in as many answers as there are requests."""
    each = len(texts) // len(asked)
    return [
        answer(texts[i * each : (i + 1) * each], Canon({}).of(request).key)
        for i, (request, _) in enumerate(asked)
    ]


def judge_as_seedbed(pool: list[str], new: list[str]) -> Timed:
    params = parameters(len(new))
    asked = [
        Asked(Request("", params.sampling, number), [])
        for number in range(params.request_batch_size)
    ]
    given = answers(new, asked)
    refuse, grown = refuse_with(params), Grown()
    with Pool(pool, len(pool) + len(new), HERE) as known:
        known.sift(["of no use"], Fraction(1), 0)  # the texts go into the index with the first
        known.pairs = 0
        tokens.cache_clear()  # what an earlier repeat left there
        begun = time.perf_counter()
        judge_round(grown, asked, given, params, refuse, known)
        seconds = time.perf_counter() - begun
    accepted = {row.instruction for row in grown.accepted}
    return Timed(seconds, [text in accepted for text in new], known.pairs, [])


def score_as_seedbed(pool: list[str], new: list[str]) -> Timed:
    """All scores that judge_round takes, in the same two steps; it keeps only some. Not timed."""
    with_pool, with_each_other = RougeIndex(pool).scores(new), RougeIndex(new).scores(new)
    exact, taken = Timed(0.0, [], 0, []), []
    for row in range(len(new)):
        exact.scores.append([*with_pool[row].tolist(), *with_each_other[row, taken].tolist()])
        exact.accepted.append(max(exact.scores[-1]) <= AT_MOST)
        if exact.accepted[-1]:
            taken.append(row)
    return exact


def candidates(writer: Writer, pool: list[str]) -> Iterator[str]:
    """New instructions without end; of three, the second is one of the pool, a little changed."""
    while True:
        yield writer.instruction()
        yield writer.mutated(writer.random.choice(pool))
        yield writer.instruction()


def best_of(repeats: int, run: Callable[[], Timed]) -> Timed:
    """The fastest: the machine may have other work now and then."""
    return min((run() for _ in range(repeats)), key=lambda timed: timed.seconds)


def compare(size: int, given_to_guide: int) -> tuple[dict[str, float], bool]:
    """Print a pool size's rows. Returns the pairs a second of each way, and if all agree."""
    writer = Writer(seed=size)
    pool = [writer.instruction() for _ in range(size)]
    new = list(islice(candidates(writer, pool), ROUND))
    few = new[:given_to_guide]

    guide = best_of(2, lambda: one_by_one(score_as_guide, pool, few))
    rs = best_of(3, lambda: one_by_one(score_with_rs, pool, new))
    rs_max = best_of(3, lambda: one_by_one(highest_with_rs, pool, new))
    seedbed = best_of(20, lambda: judge_as_seedbed(pool, new))
    exact = score_as_seedbed(pool, new)

    rates = {}
    ways = {"guide": guide, "rs": rs, "rs max": rs_max, "seedbed": seedbed}
    for name, timed in ways.items():
        rates[name] = timed.pairs / timed.seconds
        print(
            f"{size:>8,}  {name:<8}{len(timed.accepted):>12}{timed.pairs:>12,}"
            f"{timed.seconds:>11.4f}{rates[name]:>15,.0f}{rates[name] / rates['guide']:>10,.1f}"
        )
    words = [len(text.split()) for text in pool]
    print(
        f"          {min(words)} to {max(words)} words, {mean(words):.1f} on average; "
        f"{sum(seedbed.accepted)} of {ROUND} accepted"
    )

    right = True
    same = all(timed.accepted == exact.accepted for timed in (rs, rs_max, seedbed))
    if not same or guide.accepted != exact.accepted[: len(few)]:
        print("          DECISIONS DIFFER")
        right = False
    for name, ours, theirs, allowed in (
        ("seedbed and rouge-score", exact.scores[: len(few)], guide.scores, 0),
        ("seedbed and rs", exact.scores, rs.scores, 1e-12),
        ("seedbed and rs max", [[max(row)] for row in exact.scores], rs_max.scores, 1e-12),
        ("rs and rouge-score", rs.scores[: len(few)], guide.scores, inf),
    ):
        off = [abs(a - b) for a, b in flat(ours, theirs)]
        differing, most = sum(one != 0 for one in off), max(off)
        print(
            f"          {name}: {differing:,} of {len(off):,} scores differ"
            + (f", by at most {most:.1e}" if differing else "")
        )
        right = right and most <= allowed
    return rates, right


def flat(some: list[list[float]], other: list[list[float]]) -> Iterator[tuple[float, float]]:
    """The scores of both, pair by pair."""
    for a, b in zip(some, other, strict=True):
        yield from zip(a, b, strict=True)


@dataclass
class Whole:
    """A whole bootstrap; judge_round and draw_requests are timed, the fabricated model is not."""

    judging: float
    drawing: float
    pairs: int
    grown: tuple[int, int, int]
    peak: int


def whole_bootstrap() -> Whole:
    """What `seedbed.self_instruct.bootstrap.grow` does, with the clock on each of its two parts."""
    writer = Writer(seed=0)
    seeds = [writer.instruction() for _ in range(SEEDS)]
    params, prompt = parameters(WANTED), Prompt("bootstrap/tasks.txt", "tasks")
    refuse, grown = refuse_with(params), Grown()
    known = [PoolEntry(f"seed_task_{number}", text) for number, text in enumerate(seeds)]
    pool = Pool(seeds, SEEDS + WANTED, HERE)
    source = candidates(writer, pool.texts)
    judging = drawing = 0.0
    while len(grown.accepted) < WANTED:
        begun = time.perf_counter()
        machine = [PoolEntry(row.id, row.instruction) for row in grown.accepted]
        asked = draw_requests(grown.completions, known, machine, params, prompt)
        drawing += time.perf_counter() - begun
        given = answers(list(islice(source, ROUND)), asked)
        begun = time.perf_counter()
        judge_round(grown, asked, given, params, refuse, pool)
        judging += time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = len(grown.accepted), grown.reasons()["too_similar"], grown.rounds
    return Whole(judging, drawing, pool.pairs, found, peak)


def main() -> None:
    # First, since a process that this one starts counts this one's memory as its own at birth.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        whole = other.submit(whole_bootstrap).result()
    accepted, too_similar, rounds = whole.grown
    print(f"A whole bootstrap: {SEEDS} seeds, rounds of {ROUND}, up to {WANTED:,} accepted\n")
    print(f"  accepted {accepted:,}, too similar {too_similar:,}, rounds {rounds:,}")
    print(f"  judging {whole.judging:.1f} s, drawing the prompts {whole.drawing:.1f} s")
    print(f"  {whole.pairs:,} pairs, {whole.pairs / whole.judging:,.0f} a second")
    print(f"  peak memory {whole.peak / 1e6:.0f} MB\n")

    print(f"One instruction against the whole pool: is its highest F1 at most {THRESHOLD}?\n")
    print(
        f"{'pool':>8}  {'way':<8}{'instructions':>12}{'pairs':>12}{'seconds':>11}"
        f"{'pairs/second':>15}{'× guide':>10}"
    )
    right = True
    for size, given_to_guide in POOLS.items():
        rates, agree = compare(size, given_to_guide)
        right = right and agree
        guide, seedbed = rates["guide"], rates["seedbed"]
        rs = max(rates["rs"], rates["rs max"])
        print(f"          seedbed/guide {seedbed / guide:,.0f}, seedbed/rs {seedbed / rs:.1f}\n")
    print(
        f"At {size:,} texts seedbed scores {seedbed / 1e6:.1f} million pairs a second, "
        f"{seedbed / guide:,.0f} × the guide's way and {seedbed / rs:.1f} × the faster way of "
        f"rouge-score-rs; filtering a whole bootstrap of {WANTED:,} takes {whole.judging:.0f} s "
        f"(at the guide's rate it would be {whole.pairs / guide / 3600:,.0f} h); "
        f"scores and decisions {'agree' if right else 'DO NOT AGREE'}."
    )
    sys.exit(0 if right else 1)


if __name__ == "__main__":
    main()
