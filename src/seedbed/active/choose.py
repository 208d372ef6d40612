"""Which tasks a method takes: the remaining ones in its order, and so many of each kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from seedbed.active.params import FREE, Method
from seedbed.active.rows import TaskScore
from seedbed.core import draws


@dataclass(frozen=True)
class Choice:
    """A chosen task. rank: its place in the method's order of its kind, from 1; score: by which.

    filled: whether it stands in for one of the other kind.
    """

    task: str
    is_classification: bool
    rank: int
    score: float | None
    filled: bool


@dataclass(frozen=True)
class Order:
    """Tasks, best first, and the score of each; None where the order is no score's."""

    tasks: list[str]
    scores: Mapping[str, float | None]


def by(tasks: Sequence[str], score: Callable[[str], float], *, highest: bool) -> Order:
    """Sorted by a score, and by name where it is the same: highest first is lowest first reversed.

    So the first half of one and that of the other have no task in common.
    """
    scores = {task: score(task) for task in tasks}
    order = sorted(tasks, key=lambda task: (scores[task], task))
    return Order(order[::-1] if highest else order, scores)


def ranks(tasks: Sequence[str], score: Callable[[str], float], *, highest: bool) -> dict[str, int]:
    """The place of each, from 1, with the highest first or the lowest."""
    return {task: n for n, task in enumerate(by(tasks, score, highest=highest).tasks, 1)}


def in_order(
    tasks: Sequence[str],
    method: Method,
    scores: Mapping[str, TaskScore],
    draw: tuple[int, str],
    wanted: int,
) -> Order:
    """The tasks of one kind in a method's order; those without scores come last, at random.

    Args:
        draw: the stage's seed, and the name of the round.
        wanted: how many will be taken: ambiguous_easy takes one half by each of its two orders.
    """
    seed, name = draw
    shuffled = sorted(tasks, key=lambda task: draws.rank(seed, name, task))
    if method in FREE:
        return Order(shuffled, dict.fromkeys(tasks))
    scored = [task for task in tasks if task in scores]

    def unsure(task: str) -> float:
        return scores[task].uncertainty

    def likely(task: str) -> float:
        return scores[task].probability

    def both(*, likeliest: bool) -> Order:
        """The lowest sum of two ranks: low uncertainty, and high or low probability."""
        sure = ranks(scored, unsure, highest=False)
        other = ranks(scored, likely, highest=likeliest)
        return by(scored, lambda task: float(sure[task] + other[task]), highest=False)

    if method == "ambiguous_easy":
        first, easy = by(scored, unsure, highest=True), both(likeliest=True)
        half = first.tasks[: (wanted + 1) // 2]
        rest = [task for task in easy.tasks if task not in half]
        found = Order([*half, *rest], {**easy.scores, **{task: unsure(task) for task in half}})
    elif method in ("easy", "difficult"):
        found = both(likeliest=method == "easy")
    elif method in ("high_uncertainty", "low_uncertainty"):
        found = by(scored, unsure, highest=method.startswith("high"))
    elif method == "low_probability":
        found = by(scored, likely, highest=False)
    else:
        highest = method == "high_perplexity"
        found = by(scored, lambda task: scores[task].perplexity, highest=highest)
    others = [task for task in shuffled if task not in scores]
    return Order([*found.tasks, *others], {**dict.fromkeys(others), **found.scores})


def choose(
    remaining: Mapping[str, bool],
    method: Method,
    scores: Mapping[str, TaskScore],
    chunk: int,
    cls_share: float | None,
    draw: tuple[int, str],
) -> list[Choice]:
    """The next chunk: classification tasks first, each kind best first.

    Where one kind has too few, the other fills up.

    Args:
        remaining: whether each is a classification task; at least `chunk` of them.
        scores: of those that were scored.
    """
    kinds = [
        [task for task, is_cls in remaining.items() if is_cls is kind] for kind in (True, False)
    ]
    if cls_share is None:
        everything = in_order(list(remaining), method, scores, draw, chunk)
        return [
            Choice(task, remaining[task], rank, everything.scores[task], False)
            for rank, task in enumerate(everything.tasks[:chunk], 1)
        ]
    # As it was written: 0.29 of 100 is 29.
    share = floor(Fraction(str(cls_share)) * chunk)
    wanted = [share, chunk - share]
    taken = [min(most, len(tasks)) for most, tasks in zip(wanted, kinds, strict=True)]
    for one, other in ((0, 1), (1, 0)):
        taken[other] = min(
            len(kinds[other]), taken[other] + wanted[one] - min(wanted[one], len(kinds[one]))
        )
    chosen = []
    for tasks, most, planned in zip(kinds, taken, wanted, strict=True):
        order = in_order(tasks, method, scores, draw, most)
        chosen += [
            Choice(task, remaining[task], rank, order.scores[task], rank > planned)
            for rank, task in enumerate(order.tasks[:most], 1)
        ]
    return chosen
