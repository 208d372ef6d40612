"""The task map: tasks by how unsure a model is of them, and how probable it finds its answers.

Ambiguous tasks are those that it is least sure of; of the others those that it is sure of and finds
probable are easy, and those that it is sure of and does not are difficult (arXiv 2311.00288).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from seedbed.active.choose import by, in_order
from seedbed.active.rows import TaskScore

SETS = ("ambiguous", "easy", "difficult", "other")


def sets(scores: Mapping[str, TaskScore], chunk: int) -> dict[str, str]:
    """The set of each task: the first `chunk` of each, ambiguous before easy before difficult."""
    tasks = sorted(scores)
    unsure = by(tasks, lambda task: scores[task].uncertainty, highest=True).tasks[:chunk]
    found = dict.fromkeys(unsure, "ambiguous")
    for method in ("easy", "difficult"):
        order = in_order(tasks, method, scores, (0, ""), chunk).tasks[:chunk]
        found = {**dict.fromkeys(order, method), **found}
    return {task: found.get(task, "other") for task in tasks}


def drawn(
    scores: Mapping[str, TaskScore], chunk: int, chosen: Collection[str], name: str
) -> Sequence[dict[str, Any]]:
    """The points for the `task_map` plot template. chosen: the tasks that the next round took."""
    set_of = sets(scores, chunk)
    return [
        {
            "uncertainty": scores[task].uncertainty,
            "probability": scores[task].probability,
            "set": set_of[task],
            "chosen": "chosen" if task in chosen else "left",
            "task": task,
            "round": name,
        }
        for task in sorted(scores, key=lambda task: (SETS.index(set_of[task]), task))
    ]
