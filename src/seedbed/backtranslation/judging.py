"""The judge: how good is a pair of instruction and output? What it measures, and what follows.

What it measures is a list of parts for each pair, each an answer or a scoring that the store has.
A likelihood says how well the two belong together, and not how well the output is written; a rating
is meant to say both. Four ways:

- rating: an answer that ends with one (arXiv 2308.06259, section 2.3);
- expected: the mean of 1 to 5, each by how likely it is as the rating: no answer is without one;
- contrast: how likely a text is in its pair, less how likely it is in swapped ones;
- gain: the same less how likely it is alone (pointwise mutual information, a token).
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from seedbed.backtranslation.demos import Demos
from seedbed.backtranslation.errors import NoScoreOfAny
from seedbed.backtranslation.params import Judging
from seedbed.backtranslation.partners import partners
from seedbed.backtranslation.prompts import Backward, Forward, Pair, Rating
from seedbed.backtranslation.rating import REASONS as RATING_REASONS
from seedbed.backtranslation.rating import parse
from seedbed.backtranslation.rows import Part, Scored
from seedbed.core import draws
from seedbed.core.metrics import mean
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer

DIGITS = ("1", "2", "3", "4", "5")
# Why a pair is refused: it has no score, or one that is too low.
BELOW = "below"
REASONS = (*RATING_REASONS, *PROBLEMS, "nothing_scored", BELOW)


class Score(Protocol):
    """What is read of a scoring."""

    @property
    def key(self) -> str: ...
    @property
    def logprobs(self) -> list[float]: ...
    @property
    def total(self) -> float: ...


# A prompt, the text that follows it, and what of the prompt others share.
Scoring = tuple[str, str, tuple[str, ...]]
# A prompt, the texts of which one may follow it, and what of it others share.
Weighing = tuple[str, tuple[str, ...], tuple[str, ...]]


class Asking(Protocol):
    """What of the engine a judge uses."""

    def ask(self, requests: Iterable[Request], /) -> Iterator[Answer]: ...
    def score(self, texts: Iterable[Scoring], /) -> Iterator[Score]: ...
    def weigh(self, options: Iterable[Weighing], /) -> Iterator[Sequence[Score]]: ...
    @property
    def context(self) -> int | None: ...
    def count_tokens(self, texts: Sequence[str], /) -> list[int] | None: ...


@dataclass(frozen=True)
class Wanted:
    """A text to be scored for a pair: its own, swapped with that of another pair, or alone.

    pair: its place among the pairs. place: of the part among the pair's.
    """

    pair: int
    place: int
    what: Literal["own", "swapped", "alone"]
    of: str | None
    scoring: Scoring


class Likelihoods:
    """What is scored for contrast and gain, in either direction."""

    def __init__(self, demos: Demos, params: Judging):
        """Raises as `read_prompt`."""
        self._demos, self._params = demos, params
        self._backward, self._forward = Backward(), Forward()

    def own(self, pair: Pair) -> Scoring:
        """A pair as it is."""
        return self._scoring(pair, pair)

    def swapped(self, pair: Pair, other: Pair) -> Scoring:
        """A pair's text where it follows what belongs to another."""
        return self._scoring(pair, other)

    def alone(self, pair: Pair) -> Scoring:
        """A pair's text after neither. The whole prompt is that of the others, too."""
        shown = self._shown(pair)
        filled = (
            self._forward.fill(shown, None)
            if self._params.direction == "forward"
            else self._backward.fill(shown, "")
        )
        return (filled.text, self._text(pair), (filled.text,))

    def _scoring(self, pair: Pair, other: Pair) -> Scoring:
        shown = self._shown(pair, other)
        filled = (
            self._forward.fill(shown, other.instruction)
            if self._params.direction == "forward"
            else self._backward.fill(shown, other.output)
        )
        return (filled.text, self._text(pair), filled.prefixes)

    def _shown(self, *pairs: Pair) -> list[Pair]:
        asked = [text for pair in pairs for text in (pair.id, pair.instruction, pair.output)]
        return self._demos.before(self._params.demos, *asked)

    def _text(self, pair: Pair) -> str:
        if self._params.direction == "backward":
            return f" {pair.instruction}"
        return f" {first_words(pair.output, self._params.score_words)}"


def first_words(text: str, most: int | None) -> str:
    r"""The beginning of a text, up to so many words, with the white space between them.

    >>> first_words("One two\n three four", 3)
    'One two\n three'
    """
    if most is None:
        return text.strip()
    # Nothing is tried twice (++), however long the text.
    found = re.match(rf"\s*+(?:\S++\s*+){{0,{most}}}+", text)
    return found[0].strip() if found else ""


def wanted(
    pairs: Sequence[Pair], demos: Demos, params: Judging, pool: Sequence[Pair] | None = None
) -> list[Wanted]:
    """What is scored, those that share a prompt together, so that it is evaluated once."""
    likelihoods = Likelihoods(demos, params)
    found = [Wanted(n, 0, "own", None, likelihoods.own(pair)) for n, pair in enumerate(pairs)]
    if params.by == "gain":
        found += [
            Wanted(n, 1, "alone", None, likelihoods.alone(pair)) for n, pair in enumerate(pairs)
        ]
    else:
        for n, (pair, others) in enumerate(zip(pairs, partners(pairs, params, pool), strict=True)):
            found += [
                Wanted(n, place, "swapped", other.id, likelihoods.swapped(pair, other))
                for place, other in enumerate(others, 1)
            ]
    order = {prompt: n for n, prompt in enumerate(dict.fromkeys(w.scoring[0] for w in found))}
    return sorted(found, key=lambda one: order[one.scoring[0]])


def ratings(pairs: Sequence[Pair], params: Judging) -> Iterator[Request]:
    """What is asked for ratings, pair by pair, each so many times."""
    rating = Rating(params.rubric, digit=False)
    for pair in pairs:
        filled = rating.fill(pair.instruction, pair.output)
        seed = None
        if params.samples > 1 or params.sampling.temperature > 0:
            seed = draws.generator(params.seed, "sampling", pair.id).getrandbits(31)
        for sample in range(params.samples):
            yield Request(filled.text, params.sampling, seed, sample, filled.prefixes)


def weighings(pairs: Sequence[Pair], params: Judging) -> Iterator[Weighing]:
    """What is weighed for expected ratings."""
    rating = Rating(params.rubric, digit=True)
    for pair in pairs:
        filled = rating.fill(pair.instruction, pair.output)
        yield filled.text, tuple(f" {digit}" for digit in DIGITS), filled.prefixes


def parts(
    pairs: Sequence[Pair],
    demos: Demos,
    params: Judging,
    engine: Asking,
    pool: Sequence[Pair] | None = None,
) -> list[list[Part]]:
    """What is measured of each pair, in order; nothing of one that the model cannot take.

    pool: see `partners`.
    """
    if params.by == "rating":
        answers = list(engine.ask(ratings(pairs, params)))
        rows = [_rating(answer) for answer in answers]
        size = params.samples
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    if params.by == "expected":
        options = list(weighings(pairs, params))
        fits = fitting([prompt + texts[0] for prompt, texts, _ in options], engine)
        able = [option for option, may in zip(options, fits, strict=True) if may]
        weighed = iter(engine.weigh(able))
        return [
            [
                Part(what="digit", of=digit, value=_finite(one.total), key=one.key)
                for digit, one in zip(DIGITS, next(weighed) if may else (), strict=may)
            ]
            for may in fits
        ]
    found: list[dict[int, Part]] = [{} for _ in pairs]
    to_score = wanted(pairs, demos, params, pool)
    fits = fitting([one.scoring[0] + one.scoring[1] for one in to_score], engine)
    # A score that lacks one of its parts would be another.
    left_out = {one.pair for one, may in zip(to_score, fits, strict=True) if not may}
    to_score = [one for one in to_score if one.pair not in left_out]
    scores = engine.score(one.scoring for one in to_score)
    for one, score in zip(to_score, scores, strict=True):
        part = Part(what=one.what, of=one.of, value=per_token(score), key=score.key)
        found[one.pair][one.place] = part
    # The pair itself first, then in the order of the draw: as it is asked is no affair of a reader.
    return [[part for _, part in sorted(places.items())] for places in found]


def fitting(texts: Sequence[str], engine: Asking) -> list[bool]:
    """Whether the model can take each; all of them where nobody says how much it can."""
    context = engine.context
    if context is None:
        return [True] * len(texts)
    # A token has a byte at least. One begins a prompt, and one may come where two texts meet.
    long = [n for n, text in enumerate(texts) if len(text.encode("utf-8", "replace")) + 2 > context]
    lengths = engine.count_tokens([texts[n] for n in long]) if long else []
    too_long = {n for n, length in zip(long, lengths or [], strict=False) if length + 2 > context}
    return [n not in too_long for n in range(len(texts))]


def per_token(score: Score) -> float | None:
    """The mean log-probability of a text's tokens; None where there is none."""
    return _finite(score.total / len(score.logprobs)) if score.logprobs else None


def _finite(value: float) -> float | None:
    """A server may say that a token is impossible: that is no number that JSON has."""
    return round(value, 6) if math.isfinite(value) else None


def _rating(answer: Answer) -> Part:
    if answer.problem:
        return Part(what="rating", value=None, reason=answer.problem, key=answer.key)
    rating = parse(answer.text, answer.cut)
    return Part(what="rating", value=rating.value, reason=rating.reason, key=answer.key)


def score_of(measured: Sequence[Part], params: Judging) -> tuple[float | None, str | None]:
    """A pair's score by what was measured of it, or why it has none."""
    if not measured:
        return None, "over_context"
    if params.by == "rating":
        return _of_ratings(measured)
    if params.by == "expected":
        # An impossible digit has no weight.
        likely = {int(part.of or 0): part.value for part in measured if part.value is not None}
        if not likely:
            return None, "nothing_scored"
        most = max(likely.values())
        weights = {digit: math.exp(value - most) for digit, value in likely.items()}
        total = sum(digit * weight for digit, weight in weights.items())
        return round(total / sum(weights.values()), 6), None
    own = [part.value for part in measured if part.what == "own"]
    others = [part.value for part in measured if part.what != "own"]
    values = [value for value in (*own, *others) if value is not None]
    if len(values) < len(measured) or not others:
        return None, "nothing_scored"
    return round(values[0] - mean(values[1:]), 6), None


def _of_ratings(measured: Sequence[Part]) -> tuple[float | None, str | None]:
    values = [part.value for part in measured if part.value is not None]
    if 2 * len(values) >= len(measured) and values:
        return round(sum(values) / len(values), 6), None
    reasons = [part.reason for part in measured if part.reason]
    order = (*RATING_REASONS, *PROBLEMS)
    return None, max(reasons, key=lambda reason: (reasons.count(reason), -order.index(reason)))


def settle(
    pairs: Sequence[Pair], measured: Sequence[Sequence[Part]], params: Judging, what: str
) -> list[Scored]:
    """Each pair with its score, and whether it is kept; in order.

    Of `keep_share` of them, rounded up, the best are kept; of equal ones those by a draw.

    what: the stage, for the error.

    Raises:
        NoScoreOfAny: not a single pair has a score.
    """
    scores = [score_of(rows, params) for rows in measured]
    able = [n for n, (score, _) in enumerate(scores) if score is not None]
    if not able:
        raise NoScoreOfAny(what, len(pairs), [reason or "" for _, reason in scores], params.by)
    if params.threshold is not None:
        kept = {n for n in able if (scores[n][0] or 0.0) >= params.threshold}
    else:
        assert params.keep_share is not None
        best = sorted(
            able,
            key=lambda n: (-(scores[n][0] or 0.0), draws.rank(params.seed, "kept", pairs[n].id)),
        )
        # The share as it was written: 0.1 is a tenth.
        kept = set(best[: math.ceil(Fraction(str(params.keep_share)) * len(pairs))])
    return [
        Scored(
            id=pair.id,
            score=score,
            kept=n in kept,
            reason=None if n in kept else reason or BELOW,
            parts=list(rows),
        )
        for n, (pair, rows, (score, reason)) in enumerate(zip(pairs, measured, scores, strict=True))
    ]


def number_of_answers(pairs: int, params: Judging) -> int:
    """How many answers and scorings a judge takes, at most."""
    each = {
        "rating": params.samples,
        "expected": 5,
        "contrast": 1 + min(params.swapped, max(pairs - 1, 0)),
        "gain": 2,
    }
    return pairs * each[params.by]
