"""The scores of one task's candidates → the examples and labels that a ranker learns from.

Auto-Instruct (arXiv 2310.13127), section 3.3 and appendix A: a few candidates are drawn for each
example, the popular ones less often; their scores become the target of a list-wise loss; examples
on which the candidates hardly differ go; of many examples those are drawn whose candidates are
less popular. What the authors' program leaves to chance, to a division by zero or to a field that
nobody writes is settled here:

- a score of NaN never ties the best; an example for which such a score was drawn is dropped;
- scores are equal if `math.isclose` says so, when the best are counted and when all are compared;
- an example with fewer candidates to draw from than are wanted is dropped;
- criteria that agree to 12 digits are equal, and the example that stands first in the file wins:
  sums of the same numbers in another order differ in the last digit.

Scores are a matrix of examples × candidates, `ABSENT` where a candidate was not tried on an
example. Everything goes in blocks of rows: what is held for all rows is little beside the scores.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from seedbed.auto_instruct import weighted_draws
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct.weighted_draws import Floats, Keys

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ABSENT = -np.inf
# Rows that are computed together: a block of 22 candidates fits the processor's cache.
BLOCK = 4096
# math.isclose's.
RELATIVE_TOLERANCE = 1e-9
DIGITS = 12

REASONS = (
    "candidates_too_long",  # the whole task is skipped
    "too_few_candidates",
    "nan",
    "all_equal",
    "below_min_range",
    "below_min_best",
    "over_the_maximum",
)
# No place in REASONS.
SOUND = -1


@dataclass(frozen=True)
class Picked:
    """What became of a task's examples. Examples = len(rows) + the sum of dropped.

    rows: the numbers of the kept examples, best first. (kept,)
    drawn: their candidates, ascending; labels: these candidates' labels, which sum to 1. Both
        (kept, sample_instructions).
    before: on how many of the examples without a fault each candidate ties the best; after: the
        same among the drawn candidates of the kept examples. (candidates,)
    """

    rows: Ints
    drawn: Ints
    labels: Floats
    dropped: Counter[str]
    before: Ints
    after: Ints


def pick(scores: Floats, keys: Keys, allowed: Bools, params: RelabelAndPick) -> Picked:
    """Draw candidates, relabel, drop, draw examples, sort.

    Args:
        scores: (examples, candidates), 0 or above, NaN, or ABSENT.
        keys: (examples, 2): the draw of the candidates comes from the first, that of the example
            from the second.
        allowed: (candidates,): which of them may be drawn. The others still count when the best
            are: popularity is a matter of the labels as they are.
    """
    examples, candidates = scores.shape
    sound = _Sound.of(scores, keys, allowed, _popularity(scores, np.arange(examples)), params)
    chosen = _choose(sound, keys, candidates, params)
    sound.dropped["over_the_maximum"] = len(sound.rows) - len(chosen)
    # Stable, so that what is equal keeps the file's order.
    chosen = chosen[np.argsort(-np.round(sound.criterion[chosen], DIGITS), kind="stable")]

    rows, drawn = sound.rows[chosen], sound.drawn[chosen].astype(np.int64)
    assert examples == len(rows) + sound.dropped.total(), "examples in = kept + dropped"
    return Picked(
        rows=rows,
        drawn=drawn,
        labels=relabel(scores[rows[:, None], drawn]),
        dropped=sound.dropped,
        before=_popularity(scores, sound.rows),
        after=_count(drawn, sound.ties[chosen], candidates),
    )


def blocks(rows: int) -> Iterator[slice]:
    """Slices of BLOCK rows each, the last of what is left."""
    return (slice(begin, min(begin + BLOCK, rows)) for begin in range(0, rows, BLOCK))


def columns(scores: Floats) -> Floats:
    """A copy, (rows, few) → (few, rows), along which numpy adds and compares many times faster."""
    return np.array(scores.T, order="C")


def best(scores: Floats) -> Bools:
    """Which candidates tie the best of their example: (examples, candidates) → the same."""
    with np.errstate(invalid="ignore"):  # NaN, and -inf less -inf: neither is close to anything
        # fmax passes over NaN. Scores are not negative, so the best is the larger of the two.
        highest = np.fmax.reduce(columns(scores), axis=0, initial=ABSENT)[:, None]
        close: Bools = highest - scores <= RELATIVE_TOLERANCE * highest
    return close


def relabel(scores: Floats) -> Floats:
    """z-score, then softmax, of each row: the target of the list-wise loss.

    Args:
        scores: (rows, drawn), in no row all equal.

    Returns:
        the same shape; each row sums to 1.
    """
    labels = columns(scores)
    labels -= labels.mean(axis=0)
    labels /= np.sqrt(np.square(labels).mean(axis=0))
    labels -= labels.max(axis=0, initial=ABSENT)
    np.exp(labels, out=labels)
    labels /= labels.sum(axis=0)
    return labels.T


@dataclass
class _Sound:
    """The examples that have no fault, in order, and why the others fell.

    rows: (sound,); drawn: (sound, drawn); ties: whether each drawn candidate ties the best drawn;
    criterion: what the examples are sorted by, the higher the better.
    """

    rows: Ints
    drawn: NDArray[np.int32]
    ties: Bools
    criterion: Floats
    dropped: Counter[str]

    @classmethod
    def of(
        cls, scores: Floats, keys: Keys, allowed: Bools, popularity: Ints, params: RelabelAndPick
    ) -> "_Sound":
        wanted = params.sample_instructions
        weights = np.ones(len(allowed))
        weights[allowed] = weighted_draws.inverse_weights(popularity[allowed])
        dropped = Counter[str]()
        # With what an empty task has, so that there is something to join.
        rows, drawn = [np.zeros(0, np.int64)], [np.zeros((0, wanted), np.int32)]
        ties, criterion = [np.zeros((0, wanted), np.bool_)], [np.zeros(0)]
        for block in blocks(len(scores)):
            here = np.arange(block.start, block.stop)
            may = allowed & (scores[block] != ABSENT)
            if not may.all():
                enough = np.count_nonzero(may, axis=1) >= wanted
                dropped["too_few_candidates"] += int(np.count_nonzero(~enough))
                here, may = here[enough], may[enough]
                if not len(here):
                    continue
            times = weighted_draws.times(
                weighted_draws.uniform(keys[here, 0], len(allowed)), weights
            )
            times[~may] = np.inf
            won = np.flatnonzero(weighted_draws.first(times, wanted)).reshape(-1, wanted)
            place, candidates = won // len(allowed), won % len(allowed)
            drawn_scores = scores[here[place], candidates]

            fault = _faults(drawn_scores, params)
            for number, count in zip(*np.unique(fault, return_counts=True), strict=True):
                if number != SOUND:
                    dropped[REASONS[number]] += int(count)
            kept = fault == SOUND
            drawn_scores = drawn_scores[kept]
            rows.append(here[kept])
            drawn.append(candidates[kept].astype(np.int32))
            ties.append(best(drawn_scores))
            criterion.append(
                relabel(drawn_scores).max(axis=1, initial=0.0)
                if params.rank_criteria == "norm_score_max"
                else np.ptp(drawn_scores, axis=1)
            )
        return cls(
            np.concatenate(rows),
            np.concatenate(drawn),
            np.concatenate(ties),
            np.concatenate(criterion),
            dropped,
        )


def _faults(scores: Floats, params: RelabelAndPick) -> Ints:
    """The place in REASONS of what is wrong with each row of drawn scores, or SOUND."""
    with np.errstate(invalid="ignore", divide="ignore"):  # of the rows that fall anyway
        by_candidate = columns(scores)
        highest = by_candidate.max(axis=0)
        span = highest - by_candidate.min(axis=0)
        # Numbers that differ by next to nothing may have no deviation in this arithmetic.
        equal = (span <= RELATIVE_TOLERANCE * highest) | (by_candidate.std(axis=0) == 0)
        # To DIGITS, or 0.6 and 0.5 would be less than ten hundredths apart.
        narrow = np.round(span, DIGITS) < round(params.min_qualify_range / 100, DIGITS)
        conditions = [np.isnan(highest), equal, narrow]
        names = ["nan", "all_equal", "below_min_range"]
        if params.min_best_norm_score is not None:
            conditions.append(relabel(scores).max(axis=1) < params.min_best_norm_score)
            names.append("below_min_best")
    # The first that holds, in the order in which the method asks.
    return np.select(conditions, [REASONS.index(name) for name in names], default=SOUND)


def _choose(sound: _Sound, keys: Keys, candidates: int, params: RelabelAndPick) -> Ints:
    """Places of the examples that stay, in order: all of them, or max_examples drawn."""
    number = len(sound.rows)
    if params.max_examples is None or number <= params.max_examples:
        return np.arange(number)
    weights = np.ones(number)
    if params.pick_example_criteria == "instruction_popularity":
        popularity = _count(sound.drawn, sound.ties, candidates)
        sums = np.empty(number, dtype=np.int64)
        for block in blocks(number):
            sums[block] = popularity[sound.drawn[block]].sum(axis=1)
        weights = weighted_draws.inverse_weights(sums)
    numbers = weighted_draws.uniform(keys[sound.rows, 1], 1)[:, 0]
    return np.flatnonzero(
        weighted_draws.first(weighted_draws.times(numbers, weights)[None, :], params.max_examples)
    )


def _popularity(scores: Floats, rows: Ints) -> Ints:
    """On how many of these rows each candidate ties the best, all candidates counted."""
    counts = np.zeros(scores.shape[1], dtype=np.int64)
    for block in blocks(len(rows)):
        counts += np.count_nonzero(best(scores[rows[block]]), axis=0)
    return counts


def _count(drawn: NDArray[np.integer], ties: Bools, candidates: int) -> Ints:
    """How often each candidate ties the best among those drawn with it."""
    return np.bincount(drawn[ties], minlength=candidates)


def evenness(counts: Ints) -> float:
    """Entropy of the counts as a share of the highest there could be, in 0..1.

    1 if all counts are equal; 0 if one has everything, or if there is nothing to share out.
    """
    total = int(counts.sum())
    if len(counts) < 2 or not total:
        return 0.0
    shares = counts[counts > 0] / total
    return round(abs(float(-(shares * np.log(shares)).sum())) / log(len(counts)), 6)
