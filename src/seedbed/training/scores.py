"""How answers score, and what a constant label and a copy of the input would score beside them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seedbed.tasks.superni import exact_match, rouge_l
from seedbed.training.held_out import Case


@dataclass(frozen=True)
class Marks:
    """How each example was answered; float64 of shape (examples,).

    rouge_l, exact_match: 0 to 100.
    """

    rouge_l: np.ndarray
    exact_match: np.ndarray


def mark(outputs: Sequence[str], cases: Sequence[Case]) -> Marks:
    """Score outputs as Super-NaturalInstructions does. outputs: one for each case, in order."""
    references = [case.example.targets for case in cases]
    return Marks(rouge_l(outputs, references), exact_match(outputs, references))


def majority(cases: Sequence[Case]) -> Marks:
    """The score of always answering with the label that most of a task's examples have.

    NaN where the task has no closed set of labels. Of labels that are as frequent, the first in
    the alphabet counts.
    """
    counted: dict[str, Counter[str]] = {}
    for case in cases:
        counted.setdefault(case.task.name, Counter())[case.example.targets[0].strip()] += 1
    label_of = {
        name: min(counter, key=lambda label: (-counter[label], label))
        for name, counter in counted.items()
    }
    marks = mark([label_of[case.task.name] for case in cases], cases)
    closed = np.array([bool(case.task.labels) for case in cases], dtype=bool)
    return Marks(
        np.where(closed, marks.rouge_l, np.nan), np.where(closed, marks.exact_match, np.nan)
    )


def copied(cases: Sequence[Case]) -> Marks:
    """The score of giving the input back."""
    return mark([case.example.input for case in cases], cases)
