"""curve: scores of tasks → what a model scores by how much it was trained on, and on what.

A point is a source and a number of rows, or a threshold: the mean of all models that share them,
trained with other seeds, with an interval over the tasks. The model that the others are compared
with has no source: it is a line of its own, as long as the others.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.errors import BadFile
from seedbed.tasks.intervals import Interval, interval
from seedbed.training.errors import SameModel
from seedbed.training.fit import fits
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
    classification, generation: the score over tasks of this kind alone, None without any.
    exact_match: 0 to 100; ended: the share of answers that ended by themselves.
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
    classification: float | None
    generation: float | None
    exact_match: float
    ended: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None


class Difference(Record):
    """By how much the models of one point do better than those of another, paired by task.

    low, high: an interval of 95 % over tasks.
    """

    source: str
    rows: int | None
    threshold: float | None
    minus_source: str
    minus_rows: int | None
    minus_threshold: float | None
    rouge_l: float
    low: float
    high: float


def points(scores: Iterable[TaskScore], params: Curve) -> list[Point]:
    """A point for each source, number of rows and threshold, sorted by these."""
    scores_of = _by_point(scores)
    untuned = _by_task(scores_of.get((UNTRAINED, None, None), []))
    return [_point(*key, scores_of[key], untuned, params) for key in scores_of]


def differences(scores: Iterable[TaskScore], params: Curve) -> list[Difference]:
    """Every two points of the same tasks, the later minus the earlier; of one task there is none.

    The tasks are those that are drawn for the points, so that a gain is also the difference here.
    """
    found = []
    scores_of = _by_point(scores)
    for earlier, later in combinations(scores_of, 2):
        sizes = {score.task: score.examples for score in scores_of[later]}
        means, minus = _by_task(scores_of[later]), _by_task(scores_of[earlier])
        if means.keys() == minus.keys() and len(sizes) > 1:
            (mean,), ends = _over_tasks([(means[t] - minus[t],) for t in sizes], sizes, params)
            found.append(
                Difference(
                    source=later[0],
                    rows=later[1],
                    threshold=later[2],
                    minus_source=earlier[0],
                    minus_rows=earlier[1],
                    minus_threshold=earlier[2],
                    rouge_l=_rounded(mean),
                    low=_rounded(ends.low[0]),
                    high=_rounded(ends.high[0]),
                )
            )
    return found


# source, rows, threshold
Key = tuple[str, int | None, float | None]


def _by_point(scores: Iterable[TaskScore]) -> dict[Key, list[TaskScore]]:
    """The scores of each point. Of models without a source only the first is the untuned one."""
    scores_of: dict[Key, list[TaskScore]] = defaultdict(list)
    untuned: str | None = None
    for score in scores:
        source = score.source
        if source is None:
            if untuned is None and score.rows is None:
                untuned = score.model
            source = UNTRAINED if score.model == untuned else score.model
        scores_of[source, score.rows, score.threshold].append(score)
    in_order = sorted(scores_of, key=lambda key: (key[0], key[1] or 0, key[2] or 0))
    return {key: scores_of[key] for key in in_order}


def _over_tasks(
    columns: Sequence[tuple[float, ...]], sizes: Mapping[str, int], params: Curve
) -> tuple[np.ndarray, Interval]:
    """The means of several columns over all examples, and their intervals over tasks.

    columns: a row a task; an example counts as its task's mean. sizes: the examples of each task.
    """
    counts = list(sizes.values())
    values = np.repeat(np.array(columns, dtype=float), counts, axis=0)
    tasks = np.repeat(np.arange(len(sizes)), counts)
    # The same tasks are drawn for every point, and those that `evaluate` draws of all: so that
    # points can be compared, and a model has one interval.
    ends = interval(values, tasks, params.resamples, params.seed, "all", "all")
    assert ends is not None, "more than one task"
    return values.mean(axis=0), ends


def _mean(scores: Sequence[TaskScore], name: str) -> float:
    """Of a field over all examples."""
    values = [getattr(score, name) for score in scores]
    return _rounded(np.average(values, weights=[score.examples for score in scores]))


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
    mean_of = _by_task(scores)
    sizes = {score.task: score.examples for score in scores}
    by_model: dict[str, list[TaskScore]] = defaultdict(list)
    of_kind: dict[bool, list[TaskScore]] = defaultdict(list)
    for score in scores:
        by_model[score.model].append(score)
        of_kind[score.is_classification].append(score)
    of_models = [_mean(those, "rouge_l") for those in by_model.values()]
    tuned = (source, rows, threshold) != (UNTRAINED, None, None)
    gains = tuned and untuned.keys() == mean_of.keys()
    columns = [(mean_of[task], mean_of[task] - untuned[task] if gains else 0.0) for task in sizes]
    ends, gain = None, None
    mean = float(np.average([mean_of[task] for task in sizes], weights=list(sizes.values())))
    if len(sizes) > 1:
        (mean, gain), ends = _over_tasks(columns, sizes, params)
    return Point(
        source=source,
        rows=rows,
        threshold=threshold,
        models=len(by_model),
        tasks=len(sizes),
        rouge_l=_rounded(mean),
        low=_rounded(ends.low[0]) if ends else None,
        high=_rounded(ends.high[0]) if ends else None,
        lowest=min(of_models),
        highest=max(of_models),
        classification=_mean(of_kind[True], "rouge_l") if of_kind[True] else None,
        generation=_mean(of_kind[False], "rouge_l") if of_kind[False] else None,
        exact_match=_mean(scores, "exact_match"),
        ended=_mean(scores, "ended"),
        gain=_rounded(gain) if ends and gains else None,
        gain_low=_rounded(ends.low[1]) if ends and gains else None,
        gain_high=_rounded(ends.high[1]) if ends and gains else None,
    )


def drawn(points: Sequence[Point], by: Literal["rows", "threshold"]) -> list[dict[str, Any]]:
    """The points for the `curve` plot template, by number of rows or by threshold.

    What has a threshold is drawn by it alone. What was not tuned is a point at each place, so that
    its line is as long as the others.
    """
    those = [
        point
        for point in points
        if getattr(point, by) is not None and (by == "threshold" or point.threshold is None)
    ]
    places = sorted({getattr(point, by) for point in those})
    flat = [point for point in points if point.source == UNTRAINED]
    placed = [(point, place) for point in flat for place in places]
    placed += [(point, getattr(point, by)) for point in those if point.source != UNTRAINED]
    fit_of = fits(_by_rows(those)) if by == "rows" else {}

    def fit(point: Point, place: int) -> float | None:
        of_it = fit_of.get(point.source)
        return None if of_it is None else _rounded(of_it.at(place))

    return [
        {
            by: place,
            "rouge_l": point.rouge_l,
            # Without an interval the point stands alone.
            "low": point.rouge_l if point.low is None else point.low,
            "high": point.rouge_l if point.high is None else point.high,
            "source": _named(point, by),
            # Where a set has several numbers of rows, what its score would be if it grew evenly. A
            # field of all: of points whose fields differ DVC draws none.
            "fit": fit(point, place),
        }
        for point, place in placed
    ]


def _by_rows(points: Iterable[Point]) -> Iterator[tuple[str, int, float]]:
    return ((p.source, p.rows, p.rouge_l) for p in points if p.rows and p.threshold is None)


def _named(point: Point, by: Literal["rows", "threshold"]) -> str:
    """A line's name. By threshold one source may be drawn with several numbers of rows."""
    if by == "threshold" and point.rows is not None:
        return f"{point.source}, {point.rows} rows"
    return point.source


def metrics(points: Sequence[Point], differences: Sequence[Difference]) -> dict[str, Any]:
    """The stage's metrics: the best point, beside the tables of all and of their differences."""
    best = max(points, key=lambda point: point.rouge_l)
    return {
        "curve_points": len(points),
        "curve_best_rouge_l": best.rouge_l,
        "point": [point.model_dump() for point in points],
        "fit": [
            {"source": source, "alpha": _rounded(fit.alpha), "c": _rounded(fit.c)}
            for source, fit in fits(_by_rows(points)).items()
        ],
        "difference": [difference.model_dump() for difference in differences],
    }


def _scores(path: Path, place_of: dict[str, Path]) -> Iterator[TaskScore]:
    """The scores of an evaluation. place_of: where each model was met, which is added to."""
    for score in read_rows(path, TaskScore):
        first = place_of.setdefault(score.model, path)
        if first != path:
            raise SameModel(path, score.model, first)
        yield score


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the scores; write points, metrics and two plots.

    Raises:
        BadFile, BadRow: as `read_rows`; BadFile too for a folder without any.
        SameModel: two evaluations have a model of one name, which are then two models or one.
    """
    section, given = params.curve, inputs.scores
    paths = sorted(given.rglob(SCORES)) if given.is_dir() else [given]
    if not paths:
        remedy = "`dvc repro pipelines/training/dvc.yaml:evaluate` writes one."
        raise BadFile(given, f"has no {SCORES}", remedy)
    place_of: dict[str, Path] = {}
    with Progress("curve", None, "scores") as progress:
        scores = list(progress.over(row for path in paths for row in _scores(path, place_of)))
    drawn_points = points(scores, section)
    write_files(
        {
            into.folder / "points.jsonl": map(to_line, drawn_points),
            into.metrics: to_json(metrics(drawn_points, differences(scores, section))),
            into.plot("score_by_rows"): to_json(drawn(drawn_points, "rows")),
            into.plot("score_by_threshold"): to_json(drawn(drawn_points, "threshold")),
        }
    )
    progress.finish(len(drawn_points))


def _rounded(value: Any) -> float:
    return round(float(value), 4) + 0.0  # no -0.0
