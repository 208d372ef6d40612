"""active-curve: evaluations of all rounds → score by number of tasks, a line a method.

Methods are compared within a pool, at the same number of tasks: pools differ more from each other
than methods do. All lines of a pool begin at its first chunk.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.active.errors import NothingEvaluated, OtherTasks
from seedbed.active.params import Active, ActiveCurve
from seedbed.active.rows import (
    ACTIVE,
    SCORED,
    SELECTED,
    TRAINED,
    Evaluated,
    TrainedRow,
    TrainRow,
    read_chosen,
    read_scores,
)
from seedbed.active.task_map import drawn as task_map
from seedbed.core.files import exists, read_rows, to_json, to_line, write_files
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.tasks.intervals import interval

# What the others are compared with.
BASELINE = "random"
KINDS = {"all": None, "classification": True, "generation": False}


class Chunk(Section):
    """How many tasks a round takes."""

    chunk: int


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    active: Active
    active_pool: Chunk
    active_curve: ActiveCurve


@dataclass(frozen=True)
class Inputs:
    """folder: of all rounds."""

    folder: Path = ACTIVE


@dataclass(frozen=True)
class Round:
    """An evaluated round.

    tasks: so many were chosen. trained: so many of them have a row that was trained on.
    scores: by name of the task that it was evaluated on.
    """

    name: str
    pool: str
    method: str
    tasks: int
    trained: int
    scores: dict[str, Evaluated]


class Point(Record):
    """The score of a method at a number of tasks: ROUGE-L, 0 to 100, the mean over pools.

    trained: of these tasks so many have a row that is not too long to train on, the mean over
    pools. where: test, or dev (held out of the pool). kind: all, classification or generation.
    low, high: an interval of 95 % over the tasks of `where`; null where there is but one.
    lowest, highest: of the pools. gain: the difference to random choice at as many tasks, in the
    same pools, and its interval; of_pools: the difference in each.
    """

    method: str
    tasks: int
    trained: float
    where: str
    kind: str
    pools: int
    rouge_l: float
    low: float | None
    high: float | None
    lowest: float
    highest: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    of_pools: list[float]


def read_rounds(folder: Path, active: Active) -> list[Round]:
    """The rounds that were evaluated, in the order of active.runs.

    Raises:
        NothingEvaluated: none was. OtherTasks: two of them on different tasks of the same pool.
        BadFile, BadRow: of what is read.
    """
    found: list[Round] = []
    for name, run in active.runs.items():
        path = folder / name / "evaluate/scores.jsonl"
        if exists(path):
            scores = {row.task: row for row in read_rows(path, Evaluated)}
            tasks = len(read_chosen(folder / name))
            trained = _trained(folder / name)
            found.append(Round(name, run.pool, run.method, tasks, trained, scores))
            first = next(one for one in found if one.pool == run.pool)
            if _examples(first.scores) != _examples(scores):
                raise OtherTasks(name, first.name)
    if not found:
        raise NothingEvaluated(folder)
    return found


def _examples(scores: Mapping[str, Evaluated]) -> dict[str, int]:
    return {task: row.examples for task, row in scores.items()}


def _trained(folder: Path) -> int:
    """How many of a round's tasks have a row that was trained on."""
    tasks = [row.task for row in read_rows(folder / SELECTED / TRAINED, TrainRow)]
    rows = read_rows(folder / "finetune/rows.jsonl", TrainedRow)
    return len({tasks[row.line - 1] for row in rows})


def lines(rounds: Sequence[Round]) -> dict[tuple[str, int], dict[str, Round]]:
    """The rounds of each method and number of tasks, by pool; each line begins with the start."""
    starts = {one.pool: one for one in rounds if one.method == "first_chunk"}
    found: dict[tuple[str, int], dict[str, Round]] = {}
    methods = dict.fromkeys(one.method for one in rounds if one.method != "first_chunk")
    for method in methods or ["first_chunk"]:
        own = [one for one in rounds if one.method == method]
        for one in [*(starts[pool] for pool in starts if _has(own, pool)), *own]:
            found.setdefault((method, one.tasks), {})[one.pool] = one
    return found


def _has(rounds: Sequence[Round], pool: str) -> bool:
    return any(one.pool == pool for one in rounds)


def points(rounds: Sequence[Round], params: ActiveCurve) -> list[Point]:
    """A point a method, number of tasks, place and kind."""
    found = []
    of = lines(rounds)
    for (method, tasks), by_pool in of.items():
        others = of.get((BASELINE, tasks), {})
        for where in ("test", "dev"):
            for kind, is_cls in KINDS.items():
                point = _point(by_pool, others, where, is_cls, params)
                if point is not None:
                    about = {"method": method, "tasks": tasks, "where": where, "kind": kind}
                    found.append(Point.model_validate(about | point))
    return found


def _point(
    by_pool: Mapping[str, Round],
    others: Mapping[str, Round],
    where: str,
    is_cls: bool | None,
    params: ActiveCurve,
) -> dict[str, Any] | None:
    def values(one: Round) -> dict[tuple[str, str], float]:
        # Pools hold out other tasks, but are tried on the same test tasks.
        return {
            (task, one.pool if where == "dev" else ""): row.rouge_l
            for task, row in one.scores.items()
            if row.category == where and is_cls in (None, row.is_classification)
        }

    of_pools = {pool: values(one) for pool, one in by_pool.items()}
    if not any(of_pools.values()):
        return None
    means = [float(np.mean(list(found.values()))) for found in of_pools.values() if found]
    low, high = _ends(_over_pools(list(of_pools.values())), params)
    # Its own line gains nothing, and neither does the start that all lines share.
    both = [pool for pool in by_pool if pool in others and others[pool] is not by_pool[pool]]
    gains = [
        {task: value - values(others[pool])[task] for task, value in of_pools[pool].items()}
        for pool in both
    ]
    gain_low, gain_high = _ends(_over_pools(gains), params) if gains else (None, None)
    differences = [_rounded(np.mean(list(found.values()))) for found in gains if found]
    return {
        "pools": len(by_pool),
        "trained": _rounded(np.mean([one.trained for one in by_pool.values()])),
        "rouge_l": _rounded(np.mean(means)),
        "low": low,
        "high": high,
        "lowest": _rounded(min(means)),
        "highest": _rounded(max(means)),
        "gain": _rounded(np.mean(differences)) if differences else None,
        "gain_low": gain_low,
        "gain_high": gain_high,
        "of_pools": differences,
    }


def _over_pools(of_pools: Sequence[Mapping[tuple[str, str], float]]) -> list[float]:
    """The mean of each task over the pools that were tried on it."""
    gathered: dict[tuple[str, str], list[float]] = {}
    for found in of_pools:
        for task, value in found.items():
            gathered.setdefault(task, []).append(value)
    return [float(np.mean(values)) for values in gathered.values()]


def _ends(values: Sequence[float], params: ActiveCurve) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    column = np.array(values)[:, None]
    ends = interval(column, np.arange(len(values)), params.resamples, params.seed, "all", "all")
    return (_rounded(ends.low[0]), _rounded(ends.high[0])) if ends else (None, None)


def drawn(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points for the `curve` plot template: of all test tasks, a line a method."""
    return [
        {
            "tasks": point.tasks,
            "rouge_l": point.rouge_l,
            "low": point.rouge_l if point.low is None else point.low,
            "high": point.rouge_l if point.high is None else point.high,
            "source": point.method.replace("_", " "),
        }
        for point in points
        if (point.where, point.kind) == ("test", "all")
    ]


def maps(folder: Path, params: Params) -> Iterator[dict[str, Any]]:
    """The task map of the first scored round, and which tasks the next one took by uncertainty.

    Of one: its tasks are all that a pool has left, and each model has a map of its own.
    """
    runs = params.active.runs
    for name in list(params.active.scored)[:1]:
        if exists(folder / name / SCORED):
            after = [
                next_
                for next_, run in runs.items()
                if (run.before, run.method) == (name, "high_uncertainty")
            ]
            chosen = {row.task for next_ in after[:1] for row in read_chosen(folder / next_)}
            yield from task_map(read_scores(folder / name), params.active_pool.chunk, chosen, name)


def metrics(points: Sequence[Point]) -> dict[str, Any]:
    """The stage's metrics: what uncertainty gains at the end, beside the table of all."""
    # Ten at most: with all nine methods one each, and what uncertainty gains.
    flat: dict[str, Any] = {}
    of_test = [point for point in points if (point.where, point.kind) == ("test", "all")]
    most = max(point.tasks for point in of_test)
    for point in of_test:
        if point.tasks == most:
            flat[f"{point.method}_rouge_l"] = point.rouge_l
            if point.method == "high_uncertainty" and point.gain is not None:
                flat["uncertainty_gain"] = point.gain
    return {**flat, "active_point": [point.model_dump() for point in points]}


def table(points: Sequence[Point]) -> list[str]:
    """The lines to print: test scores by method and number of tasks."""
    rows = [("method", "tasks", "trained on", "pools", "ROUGE-L (95 %)", "minus random (95 %)")]
    for point in points:
        if (point.where, point.kind) == ("test", "all"):
            rows.append(
                (
                    point.method.replace("_", " "),
                    f"{point.tasks}",
                    f"{point.trained:g}",
                    f"{point.pools}",
                    _told(point.rouge_l, point.low, point.high),
                    _told(point.gain, point.gain_low, point.gain_high, "+"),
                )
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def _told(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{value:{sign}.1f}"
    return f"{value:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the evaluations; write points, metrics and two plots.

    Raises:
        NothingEvaluated, OtherTasks, BadFile, BadRow: as `read_rounds`.
    """
    with Progress("active-curve", None, "rounds") as progress:
        rounds = list(progress.over(read_rounds(inputs.folder, params.active)))
        found = points(rounds, params.active_curve)
    write_files(
        {
            into.folder / "points.jsonl": map(to_line, found),
            into.metrics: to_json(metrics(found)),
            into.plot("active_curve"): to_json(drawn(found)),
            into.plot("task_map"): to_json(list(maps(inputs.folder, params))),
        }
    )
    progress.finish(len(rounds))
    print("\n".join(table(found)), flush=True)


def _rounded(value: Any) -> float:
    return round(float(value), 4) + 0.0  # no -0.0
