"""relabel-and-pick as the specification has it, an example at a time: slow, and easy to check.

Shared by the test, which compares what is kept, and the benchmark, which compares the time.
"""

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass

MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Example:
    id: str
    idx: list[int]
    rouge: list[float]


@dataclass(frozen=True)
class Kept:
    id: str
    idx: list[int]
    labels: list[float]


def relabel_and_pick(
    examples: list[Example], candidates: int, allowed: list[int], task: str, params
) -> tuple[list[Kept], Counter[str]]:
    before = popularity([(one.idx, one.rouge) for one in examples], candidates)
    weights = dict(zip(allowed, inverse_weights([before[i] for i in allowed]), strict=True))
    dropped = Counter[str]()
    sound = []
    for one in examples:
        words = key(params.seed, task, one.id)
        score = dict(zip(one.idx, one.rouge, strict=True))
        there = [i for i in allowed if i in score]
        if len(there) < params.sample_instructions:
            dropped["too_few_candidates"] += 1
            continue
        run = {i: -math.log(uniform(words[0], i)) / weights[i] for i in there}
        idx = sorted(sorted(there, key=run.get)[: params.sample_instructions])
        rouge = [score[i] for i in idx]
        reason, labels = judge(rouge, params)
        if reason:
            dropped[reason] += 1
        else:
            sound.append((one.id, idx, rouge, labels, words[1]))

    if params.max_examples is not None and len(sound) > params.max_examples:
        dropped["over_the_maximum"] = len(sound) - params.max_examples
        weight = [1.0] * len(sound)
        if params.pick_example_criteria == "instruction_popularity":
            again = popularity([(idx, rouge) for _, idx, rouge, _, _ in sound], candidates)
            weight = inverse_weights([sum(again[i] for i in idx) for _, idx, _, _, _ in sound])
        run = {n: -math.log(uniform(one[4], 0)) / weight[n] for n, one in enumerate(sound)}
        sound = [sound[n] for n in sorted(sorted(run, key=run.get)[: params.max_examples])]

    if params.rank_criteria == "norm_score_max":
        sound.sort(key=lambda one: -digits(max(one[3])))
    else:
        sound.sort(key=lambda one: -digits(max(one[2]) - min(one[2])))
    return [Kept(name, idx, labels) for name, idx, _, labels, _ in sound], dropped


def digits(value: float) -> int:
    """Twelve of them. Python's `round(value, 12)` and numpy's differ where a half is rounded."""
    return round(value * 1e12)


def judge(rouge: list[float], params) -> tuple[str | None, list[float]]:
    if any(map(math.isnan, rouge)):
        return "nan", []
    labels = normalised(rouge)
    if math.isclose(max(rouge), min(rouge)) or not labels:
        return "all_equal", []
    if digits(max(rouge) - min(rouge)) < digits(params.min_qualify_range / 100):
        return "below_min_range", []
    if params.min_best_norm_score is not None and max(labels) < params.min_best_norm_score:
        return "below_min_best", []
    return None, labels


def popularity(rows: list[tuple[list[int], list[float]]], candidates: int) -> list[int]:
    found = [0] * candidates
    for idx, rouge in rows:
        best = max((score for score in rouge if not math.isnan(score)), default=math.nan)
        for i, score in zip(idx, rouge, strict=True):
            if math.isclose(score, best):
                found[i] += 1
    return found


def inverse_weights(popularities: list[int]) -> list[float]:
    inverse = [1 / one if one else 0.0 for one in popularities]
    if not inverse:
        return []
    low, high = min(inverse), max(inverse)
    scaled = [(one - low) / (high - low) if high > low else 0.0 for one in inverse]
    return softmax(scaled)


def normalised(rouge: list[float]) -> list[float]:
    """z-score, then softmax; nothing if there is no deviation."""
    mean = sum(rouge) / len(rouge)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in rouge) / len(rouge))
    return softmax([(one - mean) / deviation for one in rouge]) if deviation else []


def softmax(values: list[float]) -> list[float]:
    highest = max(values)
    powers = [math.exp(one - highest) for one in values]
    total = sum(powers)
    return [one / total for one in powers]


def key(seed: int, task: str, name: str) -> tuple[int, int]:
    stem = hashlib.sha256(json.dumps([seed, "relabel", task], ensure_ascii=False).encode())
    mask = hashlib.blake2b(stem.digest(), digest_size=16).digest()
    digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
    digest = bytes(a ^ b for a, b in zip(mask, digest, strict=True))
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def uniform(word: int, place: int) -> float:
    """SplitMix64's number at a place of the sequence that begins at `word`."""
    state = (word + (place + 1) * 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    state ^= state >> 31
    return ((state >> 11) + 0.5) * 2.0**-53
