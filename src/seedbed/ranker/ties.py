"""What is chosen where several are the best."""

from collections.abc import Sequence

from seedbed.core import draws


def best(scores: Sequence[float], seed: int, *identity: str) -> int:
    """The place of the highest; of equals the one that a draw of its own puts first.

    By place the task's own instruction, which is the first, would win them all.
    """
    highest = max(scores)
    equals = [place for place, score in enumerate(scores) if score == highest]
    return min(equals, key=lambda place: draws.rank(seed, "tie", *identity, place))
