"""Scores drawn by what the models were trained on."""

import json
from pathlib import Path

import numpy as np
import pytest
from dvc.render.converter.vega import get_datapoints
from support.params import section
from support.stages import run_stage

from seedbed.core.files import to_line, write_files
from seedbed.core.paths import Into
from seedbed.errors import BadFile
from seedbed.training import curve
from seedbed.training.curve import UNTRAINED, differences, drawn, points
from seedbed.training.errors import SameModel
from seedbed.training.params import Curve
from seedbed.training.rows import EVALUATED, SCORES, TaskScore

OWN = section(Curve, resamples=500)


def score(model: str, task: str, rouge_l: float, **about: object) -> TaskScore:
    row = {
        "model": model, "source": None, "rows": None, "threshold": None, "task": task,
        "category": "none", "is_classification": False, "examples": 4, "rouge_l": rouge_l,
        "exact_match": 0.0, "ended": 1.0, "majority": None, "copy_input": 0.0,
    }  # fmt: skip
    return TaskScore.model_validate(row | about)


def some() -> list[TaskScore]:
    """A base, a source at two sizes of which one was trained with two seeds, and another source."""
    scores = []
    for number, task in enumerate(("one", "two", "three")):
        scores += [
            score("base", task, 10.0 * number),
            score("seed-40", task, 20.0 + number, source="seed", rows=40),
            score("seed-150-a", task, 30.0 + number, source="seed", rows=150),
            score("seed-150-b", task, 40.0 + number, source="seed", rows=150),
            score("new-40", task, 5.0, source="generated", rows=40),
        ]
    return scores


def test_models_that_share_source_and_rows_are_one_point_and_their_spread_is_told() -> None:
    found = {(point.source, point.rows): point for point in points(some(), OWN)}
    assert list(found) == [("generated", 40), (UNTRAINED, None), ("seed", 40), ("seed", 150)]
    point = found["seed", 150]
    assert (point.models, point.tasks) == (2, 3)
    assert (point.lowest, point.rouge_l, point.highest) == (31, 36, 41)
    assert point.low is not None
    assert point.high is not None
    assert 35 <= point.low < 36 < point.high <= 37


def test_a_gain_is_paired_by_task_and_never_without_its_interval() -> None:
    # Each task is far from the others, and each gains ten or twelve.
    scores = [
        score(model, task, base + gain, **about)
        for task, base, least in (("one", 0.0, 10.0), ("two", 40.0, 12.0), ("three", 80.0, 10.0))
        for model, gain, about in (("base", 0.0, {}), ("t", least, {"source": "new", "rows": 40}))
    ]
    tuned, untuned = sorted(points(scores, OWN), key=lambda point: point.gain is None)
    assert tuned.gain == pytest.approx(32 / 3, abs=1e-4)
    assert tuned.gain_low is not None
    assert tuned.gain_high is not None
    assert 10 <= tuned.gain_low < tuned.gain < tuned.gain_high <= 12
    assert (untuned.gain, untuned.gain_low, untuned.gain_high) == (None, None, None)
    (alone,) = points([one for one in scores if one.model == "t"], OWN)
    assert alone.gain is None


def test_two_points_differ_by_an_interval_that_is_paired_by_task() -> None:
    found = {
        (one.source, one.rows, one.minus_source, one.minus_rows): one
        for one in differences(some(), OWN)
    }
    assert len(found) == 6  # of four points
    sizes = found["seed", 150, "seed", 40]
    # Every task is better by as much, however far the tasks are from each other.
    assert (sizes.low, sizes.rouge_l, sizes.high) == (15, 15, 15)
    (gain,) = (point for point in points(some(), OWN) if point.rows == 150)
    other = found["seed", 150, UNTRAINED, None]
    assert (gain.gain, gain.gain_low, gain.gain_high) == (other.rouge_l, other.low, other.high)
    elsewhere = [score("new-40", "four", 5.0, source="new", rows=40)]
    assert differences(some()[:1] + elsewhere, OWN) == [], "they were asked different tasks"


def test_kinds_of_tasks_are_told_apart() -> None:
    scores = [
        score("base", "one", 10.0, is_classification=True, ended=0.5),
        score("base", "two", 40.0),
        score("base", "three", 70.0, exact_match=30.0, examples=8),
    ]
    (point,) = points(scores, OWN)
    assert (point.classification, point.generation) == (10, 60)
    assert (point.exact_match, point.ended) == (15, 0.875)
    (point,) = points(scores[:1], OWN)
    assert (point.classification, point.generation) == (10, None)


def test_a_task_counts_by_its_examples() -> None:
    scores = [score("base", "one", 0.0, examples=1), score("base", "two", 100.0, examples=3)]
    (point,) = points(scores, OWN)
    assert point.rouge_l == 75


def test_of_models_without_a_source_the_first_is_the_untuned_one() -> None:
    scores = [
        score(model, task, value, rows=rows)
        for model, value, rows in (("base", 10.0, None), ("tuned", 50.0, None), ("mine", 30.0, 25))
        for task in ("one", "two")
    ]
    found = {point.source: point for point in points(scores, OWN)}
    assert {name: point.rouge_l for name, point in found.items()} == {
        UNTRAINED: 10, "tuned": 50, "mine": 30
    }  # fmt: skip
    assert (found["tuned"].gain, found["mine"].gain) == (40, 20)


def test_a_point_is_the_middle_of_its_interval_where_models_were_asked_other_tasks() -> None:
    about = {"source": "new", "rows": 40}
    scores = [
        score("a", "one", 0.0, **about), score("a", "two", 0.0, **about),
        score("b", "two", 90.0, **about),
    ]  # fmt: skip
    (point,) = points(scores, OWN)
    assert (point.rouge_l, point.low, point.high) == (22.5, 0, 45)


def test_two_evaluations_of_one_name_are_refused_and_none_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = curve.Inputs(scores=Path("data"))
    Path("data").mkdir()
    with pytest.raises(BadFile, match=r"data: has no scores.jsonl"):
        curve.run(curve.Params(curve=OWN), inputs, Into("curve"))
    for folder in ("r1", "r2"):
        write_files({Path("data", folder, SCORES): [to_line(score("tuned", "one", 1.0))]})
    with pytest.raises(SameModel, match=r"^data/r2/scores.jsonl: there is a model"):
        curve.run(curve.Params(curve=OWN), inputs, Into("curve"))
    assert not Path("metrics").exists()


def test_one_task_gives_a_point_without_an_interval() -> None:
    (point,) = points([score("base", "one", 50.0)], OWN)
    assert (point.low, point.high) == (None, None)


def test_what_was_not_trained_is_a_line_as_long_as_the_others() -> None:
    picture = drawn(points(some(), OWN), "rows")
    flat = [(point["rows"], point["rouge_l"]) for point in picture if point["source"] == UNTRAINED]
    assert flat == [(40, 10), (150, 10)]
    assert {point["source"] for point in picture} == {UNTRAINED, "seed", "generated"}
    assert all(point["low"] <= point["rouge_l"] <= point["high"] for point in picture)
    assert drawn(points(some(), OWN), "threshold") == []


def test_thresholds_are_a_picture_of_their_own() -> None:
    scores = [
        score("base", "one", 1.0),
        *(
            score(f"at-{threshold}", "one", 10 * threshold, threshold=threshold, rows=40)
            for threshold in (0.5, 0.7)
        ),
    ]
    scores = [one.model_copy(update={"source": "generated"}) if one.rows else one for one in scores]
    assert drawn(points(scores, OWN), "rows") == []
    picture = drawn(points(scores, OWN), "threshold")
    assert [(point["source"], point["threshold"]) for point in picture] == [
        (UNTRAINED, 0.5), (UNTRAINED, 0.7),
        ("generated, 40 rows", 0.5), ("generated, 40 rows", 0.7),
    ]  # fmt: skip


def test_the_stage_reads_scores_and_writes_points_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files({EVALUATED / SCORES: map(to_line, some())})
    run_stage(curve, curve.Params(curve=OWN))
    rows = [json.loads(line) for line in Path("data/curve/points.jsonl").read_text().splitlines()]
    assert json.loads(Path("metrics/curve.json").read_text())["point"] == rows
    told = json.loads(Path("metrics/curve.json").read_text())
    assert told["curve_best_rouge_l"] == 36
    assert told["difference"] == [one.model_dump() for one in differences(some(), OWN)]
    picture = json.loads(Path("plots/score_by_rows.json").read_text())
    assert np.array_equal(picture, drawn(points(some(), OWN), "rows"))


def test_a_source_of_two_sizes_has_the_fit_of_its_score_to_the_logarithm_of_its_rows() -> None:
    fit = {row["source"]: row for row in curve.metrics(points(some(), OWN), [])["fit"]}
    assert set(fit) == {"seed"}
    small, large = (p.rouge_l for p in points(some(), OWN) if p.source == "seed")
    alpha = (large - small) / np.log(150 / 40)
    assert fit["seed"]["alpha"] == pytest.approx(alpha, abs=1e-3)
    assert fit["seed"]["c"] == pytest.approx(small - alpha * np.log(40), abs=1e-3)
    # It goes through both of the points that it is made of, and is drawn nowhere else.
    found = {
        (row["source"], row["rows"]): row["fit"]
        for row in drawn(points(some(), OWN), "rows")
        if row["fit"] is not None
    }
    assert found == {
        ("seed", 40): pytest.approx(small, abs=1e-3),
        ("seed", 150): pytest.approx(large, abs=1e-3),
    }


def test_dvc_finds_all_points_of_a_picture_of_which_some_have_a_fit() -> None:
    picture = drawn(points(some(), OWN), "rows")
    assert {row["fit"] is None for row in picture} == {True, False}
    assert len(get_datapoints(picture)) == len(picture)
