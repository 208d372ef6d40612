"""The scores of an evaluation: by model and group, with intervals, and what stands beside them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from seedbed.tasks.intervals import interval
from seedbed.tasks.niv2 import Task
from seedbed.training.contamination import SIZES
from seedbed.training.held_out import Case
from seedbed.training.params import Evaluated
from seedbed.training.rows import Evaluation, TaskScore
from seedbed.training.scores import copied, majority

METRICS = ("rouge_l", "exact_match")


def category_of(task: Task) -> str:
    """A task's first category, by which Super-NaturalInstructions counts it."""
    return task.categories[0] if task.categories else "none"


@dataclass(frozen=True)
class Group:
    """Some of the examples, by what their tasks have in common. members: their places."""

    kind: str
    name: str
    members: np.ndarray


def groups(cases: Sequence[Case]) -> list[Group]:
    """All; classification and generation, as far as there are any; each category, by name."""
    kinds: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        kinds["all", "all"].append(number)
        kind = "classification" if case.task.is_classification else "generation"
        kinds["kind", kind].append(number)
        kinds["category", category_of(case.task)].append(number)
    order = ("all", "kind", "category")
    in_order = sorted(kinds, key=lambda key: (order.index(key[0]), key[1]))
    return [Group(*key, np.array(kinds[key])) for key in in_order]


class Summary:
    """What the rows of several models on the same cases say.

    rows: model by model, each in the order of the cases.
    """

    def __init__(
        self,
        models: Sequence[Evaluated],
        cases: Sequence[Case],
        rows: Sequence[Evaluation],
        resamples: int,
        seed: int,
    ):
        self._models, self._cases = models, cases
        self._rows = {
            model.name: rows[number * len(cases) :][: len(cases)]
            for number, model in enumerate(models)
        }
        self._resamples, self._seed = resamples, seed
        # float64 of shape (models, metrics, examples).
        self._values = np.array(
            [
                [[getattr(row, metric) for row in of_model] for metric in METRICS]
                for of_model in self._rows.values()
            ]
        )
        numbers: dict[str, int] = {}
        self._tasks = np.array([numbers.setdefault(c.task.name, len(numbers)) for c in cases])
        self._majority, self._copied = majority(cases), copied(cases)

    def tables(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The scores, and their differences: rows with the model, the group, and each metric.

        A metric stands with `…_low` and `…_high`, the ends of its interval of 95 %, which is
        `over` tasks, or over examples where there is but one task; a group of one example has
        neither interval nor difference. majority: of groups in which all tasks have labels.
        """
        pairs = list(combinations(range(len(self._models)), 2))
        scores: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        for group in groups(self._cases):
            values = self._values[:, :, group.members]
            both = np.array([values[later] - values[first] for first, later in pairs])
            columns = np.concatenate([values, both]) if pairs else values
            flat = columns.reshape(-1, len(group.members)).T
            tasks = self._tasks[group.members]
            ends = interval(flat, tasks, self._resamples, self._seed, group.kind, group.name)
            means = columns.mean(axis=2)
            low, high = (
                (ends.low.reshape(means.shape), ends.high.reshape(means.shape))
                if ends
                else (None, None)
            )
            about = {
                "group": group.kind,
                "name": group.name,
                "tasks": len(np.unique(tasks)),
                "examples": len(group.members),
                "over": ends.over if ends else None,
            }
            beside = self._beside(group)
            for number, model in enumerate(self._models):
                rows = [self._rows[model.name][place] for place in group.members.tolist()]
                scores.append(
                    {"model": model.name}
                    | about
                    | _cells(means, low, high, number)
                    | {"ended": _rounded(np.mean([row.ended for row in rows]))}
                    | beside
                    | {f"overlap_{size}": _overlapping(rows, size) for size in SIZES}
                )
            if ends is None:
                continue
            for number, (first, later) in enumerate(pairs, len(self._models)):
                names = {"model": self._models[later].name, "minus": self._models[first].name}
                differences.append(names | about | _cells(means, low, high, number))
        return scores, differences

    def _beside(self, group: Group) -> dict[str, Any]:
        label, copy = self._majority.rouge_l[group.members], self._copied.rouge_l[group.members]
        return {
            "majority": None if np.isnan(label).any() else _rounded(label.mean()),
            "copy_input": _rounded(copy.mean()),
        }

    def of_tasks(self) -> list[TaskScore]:
        """How each model did on each task."""
        names = list(dict.fromkeys(case.task.name for case in self._cases))
        scores = []
        for number, model in enumerate(self._models):
            for task, name in enumerate(names):
                places = np.flatnonzero(self._tasks == task)
                case = self._cases[int(places[0])]
                beside = self._beside(Group("task", name, places))
                rouge_l, exact = (_rounded(v) for v in self._values[number][:, places].mean(axis=1))
                rows = [self._rows[model.name][place] for place in places.tolist()]
                scores.append(
                    TaskScore(
                        model=model.name,
                        source=model.source,
                        rows=model.rows,
                        threshold=model.threshold,
                        task=name,
                        category=category_of(case.task),
                        is_classification=case.task.is_classification,
                        examples=len(places),
                        rouge_l=rouge_l,
                        exact_match=exact,
                        ended=_rounded(np.mean([row.ended for row in rows])),
                        **beside,
                    )
                )
        return scores


def flat(scores: Iterable[dict[str, Any]], differences: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The few metrics to compare runs by: of all tasks, and the differences to the first model."""
    numbers: dict[str, Any] = {}
    first = None
    for row in scores:
        if row["group"] == "all":
            first = first or row["model"]
            for name in ("rouge_l", "rouge_l_low", "rouge_l_high"):
                numbers[f"{row['model']}_{name}"] = row[name]
    for row in differences:
        if row["group"] == "all" and row["minus"] == first:
            name = f"{row['model']}_minus_{first}"
            for end in ("", "_low", "_high"):
                numbers[f"{name}_rouge_l{end}"] = row[f"rouge_l{end}"]
    return {name: value for name, value in numbers.items() if value is not None}


def lines(scores: Iterable[dict[str, Any]], differences: Iterable[dict[str, Any]]) -> list[str]:
    """The lines to print: the scores of all tasks, of classification and of generation."""
    head = ("model", "tasks", "ROUGE-L", "95 %", "exact", "ended", "majority", "copy")
    table = [(*head, *(f"overlap {size}" for size in SIZES))]
    shown = [row for row in scores if row["group"] != "category"]
    order = list(dict.fromkeys(row["model"] for row in shown))
    for row in sorted(shown, key=lambda row: order.index(row["model"])):
        name = row["model"] if row["group"] == "all" else f"  {row['name']}"
        table.append(
            (
                name,
                f"{row['tasks']}",
                f"{row['rouge_l']:.1f}",
                _range(row),
                f"{row['exact_match']:.1f}",
                f"{100 * row['ended']:.0f} %",
                "-" if row["majority"] is None else f"{row['majority']:.1f}",
                f"{row['copy_input']:.1f}",
                *(f"{row[f'overlap_{size}']} of {row['examples']}" for size in SIZES),
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    printed = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in table
    ]
    for row in differences:
        if row["group"] == "all":
            name = f"{row['model']} - {row['minus']}"
            printed.append(f"{name}: ROUGE-L {row['rouge_l']:+.1f} ({_range(row, '+')})")
    return printed


def _range(row: dict[str, Any], sign: str = "") -> str:
    if row["rouge_l_low"] is None:
        return "-"
    return f"{row['rouge_l_low']:{sign}.1f} to {row['rouge_l_high']:{sign}.1f}"


def _cells(
    means: np.ndarray, low: np.ndarray | None, high: np.ndarray | None, number: int
) -> dict[str, Any]:
    return {
        f"{metric}{end}": None if values is None else _rounded(values[number, place])
        for place, metric in enumerate(METRICS)
        for end, values in (("", means), ("_low", low), ("_high", high))
    }


def _overlapping(rows: Iterable[Evaluation], size: int) -> int:
    return sum(size in row.overlaps for row in rows)


def _rounded(value: Any) -> float:
    return round(float(value), 4) + 0.0  # no -0.0
