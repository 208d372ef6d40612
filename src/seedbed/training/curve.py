"""curve: scores of tasks → what a model scores by how much it was trained on, and on what.

A point is a source and a number of rows, or a threshold: the mean of all models that share them,
trained with other seeds, with an interval over the tasks. The model that the others are compared
with has no source: it is a line of its own, as long as the others.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.training.intervals import interval
from seedbed.training.params import Curve
from seedbed.training.rows import EVALUATED, SCORES, TaskScore

UNTRAINED = "not tuned"


class Params(Section):
    """The section that dvc.yaml declares for this stage."""

    curve: Curve


@dataclass(frozen=True)
class Inputs:
    """scores: what an evaluation wrote, or a folder of what several did of the same tasks."""

    scores: Path = EVALUATED / SCORES


class Point(Record):
    """The score of models that were trained on as many rows of one source; ROUGE-L, 0 to 100.

    models: how many there are; lowest, highest: the scores of the worst and the best of them.
    low, high: an interval of 95 % over tasks.
    gain: the difference to what was not tuned, paired by task, with its interval: None where
        there is no such model, or but one task.
    """

    source: str
    rows: int | None
    threshold: float | None
    models: int
    tasks: int
    rouge_l: float
    low: float | None
    high: float | None
    lowest: float
    highest: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None


def points(scores: Iterable[TaskScore], params: Curve) -> list[Point]:
    """A point for each source, number of rows and threshold, sorted by these."""
    scores_of: dict[tuple[str, int | None, float | None], list[TaskScore]] = defaultdict(list)
    for score in scores:
        scores_of[score.source or UNTRAINED, score.rows, score.threshold].append(score)
    in_order = sorted(scores_of, key=lambda key: (key[0], key[1] or 0, key[2] or 0))
    untuned = _by_task(scores_of.get((UNTRAINED, None, None), []))
    return [_point(*key, scores_of[key], untuned, params) for key in in_order]


def _by_task(scores: Iterable[TaskScore]) -> dict[str, float]:
    """Each task's mean over the models."""
    values: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        values[score.task].append(score.rouge_l)
    return {task: float(np.mean(means)) for task, means in values.items()}


def _point(
    source: str,
    rows: int | None,
    threshold: float | None,
    scores: Sequence[TaskScore],
    untuned: dict[str, float],
    params: Curve,
) -> Point:
    models = {name: number for number, name in enumerate(dict.fromkeys(s.model for s in scores))}
    mean_of = _by_task(scores)
    sizes: dict[str, int] = {}
    sums = np.zeros((len(models), 2))
    for score in scores:
        sizes[score.task] = score.examples
        sums[models[score.model]] += (score.rouge_l * score.examples, score.examples)
    of_models = sums[:, 0] / sums[:, 1]
    tuned = (source, rows, threshold) != (UNTRAINED, None, None)
    gains = tuned and untuned.keys() == mean_of.keys()
    columns = [(mean_of[task], mean_of[task] - untuned[task] if gains else 0.0) for task in sizes]
    # An example counts as its task's mean: what is drawn anew are tasks.
    values = np.repeat(columns, list(sizes.values()), axis=0)
    means = values.mean(axis=0)
    tasks = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    ends = None
    if len(sizes) > 1:
        # The same tasks are drawn for every point, and those that `evaluate` draws of all: so that
        # points can be compared, and a model has one interval.
        ends = interval(values, tasks, params.resamples, params.seed, "all", "all")
    return Point(
        source=source,
        rows=rows,
        threshold=threshold,
        models=len(models),
        tasks=len(sizes),
        rouge_l=_rounded(means[0]),
        low=_rounded(ends.low[0]) if ends else None,
        high=_rounded(ends.high[0]) if ends else None,
        lowest=_rounded(of_models.min()),
        highest=_rounded(of_models.max()),
        gain=_rounded(means[1]) if ends and gains else None,
        gain_low=_rounded(ends.low[1]) if ends and gains else None,
        gain_high=_rounded(ends.high[1]) if ends and gains else None,
    )


def drawn(points: Sequence[Point], by: Literal["rows", "threshold"]) -> list[dict[str, Any]]:
    """The points for the `curve` plot template, by number of rows or by threshold.

    What was not tuned is a point at each place, so that its line is as long as the others.
    """
    those = [point for point in points if getattr(point, by) is not None]
    places = sorted({getattr(point, by) for point in those})
    flat = [point for point in points if point.source == UNTRAINED]
    placed = [(point, place) for point in flat for place in places]
    placed += [(point, getattr(point, by)) for point in those if point.source != UNTRAINED]
    return [
        {
            by: place,
            "rouge_l": point.rouge_l,
            # Without an interval the point stands alone.
            "low": point.rouge_l if point.low is None else point.low,
            "high": point.rouge_l if point.high is None else point.high,
            "source": _named(point, by),
        }
        for point, place in placed
    ]


def _named(point: Point, by: Literal["rows", "threshold"]) -> str:
    """A line's name. Of one source there may be several thresholds, or numbers of rows."""
    if by == "rows" and point.threshold is not None:
        return f"{point.source}, threshold {point.threshold:g}"
    if by == "threshold" and point.rows is not None:
        return f"{point.source}, {point.rows} rows"
    return point.source


def metrics(points: Sequence[Point]) -> dict[str, Any]:
    """The stage's metrics: the best point, beside the table of all."""
    best = max(points, key=lambda point: point.rouge_l)
    return {
        "curve_points": len(points),
        "curve_best_rouge_l": best.rouge_l,
        "point": [point.model_dump() for point in points],
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the scores; write points, metrics and two plots."""
    section, given = params.curve, inputs.scores
    paths = sorted(given.rglob(SCORES)) if given.is_dir() else [given]
    with Progress("curve", None, "scores") as progress:
        scores = (row for path in paths for row in read_rows(path, TaskScore))
        drawn_points = points(progress.over(scores), section)
    write_files(
        {
            into.folder / "points.jsonl": map(to_line, drawn_points),
            into.metrics: to_json(metrics(drawn_points)),
            into.plot("score_by_rows"): to_json(drawn(drawn_points, "rows")),
            into.plot("score_by_threshold"): to_json(drawn(drawn_points, "threshold")),
        }
    )
    progress.finish(len(drawn_points))


def _rounded(value: Any) -> float:
    return round(float(value), 4) + 0.0  # no -0.0
