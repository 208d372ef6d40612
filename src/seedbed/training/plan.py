"""Which rows each step of the optimizer sees, and at what learning rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from seedbed.core import draws
from seedbed.training.encode import Encoded
from seedbed.training.params import Finetune


@dataclass(frozen=True)
class Step:
    """One step of the optimizer."""

    rows: Sequence[Encoded]
    learning_rate: float


def plan(rows: Sequence[Encoded], params: Finetune) -> list[Step]:
    """All steps. Each epoch shows all rows, in an order of its own that belongs to the rows."""
    batches: list[list[Encoded]] = []
    for epoch in range(params.epochs):
        shuffled = sorted(
            rows, key=lambda row: draws.rank(params.seed, "order", epoch, row.example.id)
        )
        count = ceil(len(rows) / params.batch)
        # Alike in size, so that no row that is left over is a step of its own.
        bounds = [len(rows) * i // count for i in range(count + 1)]
        batches += [shuffled[start:end] for start, end in pairwise(bounds)]
    batches = batches[: params.max_steps]
    warm = ceil(params.warmup * len(batches))
    return [
        Step(batch, params.learning_rate * _share_of_peak(step, warm, len(batches)))
        for step, batch in enumerate(batches)
    ]


def _share_of_peak(step: int, warm: int, steps: int) -> float:
    """Of the highest learning rate: up in `warm` equal parts, then down, to nothing after the last.

    >>> [round(_share_of_peak(step, 2, 6), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    return (step + 1) / warm if step < warm else (steps - step) / (steps - warm)
