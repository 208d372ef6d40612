"""A choice among a task's candidates, whichever kind of ranker gave the scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from seedbed.ranker.features import Listing
from seedbed.ranker.params import RankSelect
from seedbed.ranker.ranker_file import Ranker
from seedbed.ranker.rows import Selection
from seedbed.ranker.ties import best
from seedbed.tasks.niv2 import Task

# Scores that agree in so many digits behind the point are equal.
DIGITS = 6


@dataclass(frozen=True)
class Field:
    """A task, and the candidates that compete on each of its examples."""

    task: Task
    candidates: list[str]

    @property
    def examples(self) -> int:
        """How many are chosen for."""
        return len(self.task.examples)

    def listings(self, inputs: Sequence[str]) -> list[Listing]:
        """A list an example. inputs: as the question shows them."""
        places = range(len(self.candidates))
        return [Listing(self.task.name, given, self.candidates, places) for given in inputs]


def selection(
    ranker: Ranker,
    field: Field,
    number: int,
    given: str,
    scores: Sequence[float],
    untrained: Sequence[float] | None,
    keys: list[list[str]],
    params: RankSelect,
) -> Selection:
    """What is chosen for an example. number: its place among the task's."""
    task, example = field.task.name, field.task.examples[number]
    rounded = [_rounded(score) for score in scores]
    before = None if untrained is None else [_rounded(score) for score in untrained]
    chosen = best(rounded, params.seed, task, example.id)
    head = ranker.head_for(task, params.held_out_head)
    return Selection(
        task=task,
        id=example.id,
        input=example.input,
        head=head,
        seen=ranker.seen(task, example.id, head),
        cut=given != example.input,
        scores=rounded,
        untrained=before,
        chosen=chosen,
        instruction=field.candidates[chosen],
        # By the same draw: what ties before and after is chosen before and after.
        untrained_chosen=best(before, params.seed, task, example.id) if before else None,
        keys=keys,
    )


def _rounded(score: float) -> float:
    return round(float(score), DIGITS) + 0.0  # no -0.0
