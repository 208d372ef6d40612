"""The pictures of instruction backtranslation: what their points say, and how they are drawn."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import vl_convert
import yaml
from dvc_render.vega import VegaRenderer
from support.params import sections
from support.project import ROOT

from seedbed.backtranslation import describe_pairs
from seedbed.backtranslation.describe_pairs import (
    BAD,
    GOOD,
    KEPT,
    LEFT,
    STEPS,
    UNLABELLED,
    Inputs,
    Pair,
    Params,
    Round,
    run,
)
from seedbed.backtranslation.params import Round as InParams
from seedbed.backtranslation.rows import PIPELINE, Labelled, SeedPair
from seedbed.core.files import to_line, write_files
from seedbed.core.paths import Into
from seedbed.errors import BadFile

Points = list[dict[str, Any]]
# By id. The last one has a label, but no score.
SCORES = {"a": -1.25, "b": 0.3, "c": 0.3, "d": 2.0, "e": None}
LABELS = {"a": False, "b": True, "d": True, "e": True}


def pair(
    id_: str, score: float | None, instruction: str = "Write a poem.", output: str = "x"
) -> Pair:
    """Which of them is kept is no affair of its score here."""
    return Pair(id=id_, instruction=instruction, output=output, score=score, kept=id_ == "d")


def labelled(id_: str, score: float | None, good: bool) -> Labelled:
    fault = None if good else "navigation"
    return Labelled(id=id_, score=score, kept=id_ == "d", good=good, fault=fault)


def round_(name: str, labels: dict[str, bool], shift: float = 0.0) -> Round:
    scores = {id_: None if value is None else value + shift for id_, value in SCORES.items()}
    return Round(
        name,
        [pair(id_, score) for id_, score in scores.items()],
        [labelled(id_, scores[id_], good) for id_, good in labels.items()],
    )


def full(points: Points, panel: str) -> dict[str, dict[float, int]]:
    """The bins with something in them, of each kind."""
    found: dict[str, dict[float, int]] = {}
    for point in points:
        if point["panel"] == panel:
            bins = found.setdefault(point["kind"], {})
            bins |= {point["score"]: point["count"]} if point["count"] else {}
    return found


# --- what the points say


def test_each_scored_pair_is_in_one_bin_with_what_people_say_of_it() -> None:
    points = list(describe_pairs.scores([round_("round-1", LABELS), round_("round-2", {}, 1.0)]))
    # From -1.25 to 3 in 24 bins or fewer.
    assert {round(point["to"] - point["score"], 9) for point in points} == {0.2}
    assert full(points, "round-1") == {GOOD: {0.2: 1, 2.0: 1}, BAD: {-1.4: 1}, UNLABELLED: {0.2: 1}}
    assert full(points, "round-2") == {GOOD: {}, BAD: {}, UNLABELLED: {-0.4: 1, 1.2: 2, 3.0: 1}}
    assert [point["layer"] for point in points if point["score"] == 3.0] == [0, 1, 2] * 2


def test_rounds_have_the_same_bins_and_none_is_missing() -> None:
    points = list(describe_pairs.scores([round_("round-1", LABELS), round_("round-2", {}, 1.0)]))
    edges = {
        (panel, kind): [
            (point["score"], point["to"])
            for point in points
            if (point["panel"], point["kind"]) == (panel, kind)
        ]
        for panel in ("round-1", "round-2")
        for kind in (GOOD, BAD, UNLABELLED)
    }
    (every, *others) = edges.values()
    assert all(own == every for own in others)
    assert all(left[1] == right[0] for left, right in pairwise(every))
    assert every[0][0] <= -1.25
    assert every[-1][1] > 3.0


def test_a_value_on_an_edge_is_in_the_bin_that_it_begins() -> None:
    values = [n / 10 for n in range(-12, 13)]
    points = list(describe_pairs.stacked({"p": {"k": values}}, "score"))
    assert [point["score"] for point in points] == values
    assert {point["count"] for point in points} == {1}


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [-1e-9, 1e9], [0.0, 1e-12]])
def test_whatever_the_values_bins_are_few(values: list[float]) -> None:
    points = list(describe_pairs.stacked({"p": {"k": values}}, "score"))
    assert sum(point["count"] for point in points) == len(values)
    assert len(points) <= describe_pairs.BINS + 2
    assert list(describe_pairs.stacked({"p": {"k": []}}, "score")) == []


def test_precision_and_recall_are_those_of_keeping_from_a_score_on() -> None:
    points = list(describe_pairs.thresholds([round_("round-1", LABELS), round_("round-2", {})]))
    assert {point["panel"] for point in points} == {"round-1"}, "nobody assessed the other"
    shares = {
        kind: [(point["threshold"], point["share"]) for point in points if point["kind"] == kind]
        for kind in ("precision", "recall")
    }
    assert shares["precision"] == [(2.0, 1.0), (0.3, 1.0), (-1.25, 0.666667)]
    # The third good one has no score, and so is never kept.
    assert shares["recall"] == [(2.0, 0.333333), (0.3, 0.666667), (-1.25, 0.666667)]


def test_without_a_good_pair_there_is_no_recall() -> None:
    points = describe_pairs.thresholds([round_("round-1", {"a": False})])
    assert [(point["kind"], point["share"]) for point in points] == [("precision", 0.0)]


def test_a_long_list_of_labels_is_drawn_from_end_to_end_by_some_of_its_points() -> None:
    rows = [labelled(str(n), float(n), n % 3 == 0) for n in range(10_000)]
    points = list(describe_pairs.thresholds([Round("round-1", [], rows)]))
    drawn = Counter(point["threshold"] for point in points)
    assert set(drawn.values()) == {2}
    assert 100 < len(drawn) <= STEPS + 1
    assert {0.0, 9999.0} <= drawn.keys()


def test_the_curated_and_the_others_are_all_pairs_by_instruction_and_by_output() -> None:
    pairs = [
        pair("d", 2.0, instruction="x" * 30, output="y" * 600),
        pair("b", 1.0, instruction="x" * 31, output="y" * 3000),
        pair("c", None, instruction="x" * 59, output="y" * 700),
    ]
    points = list(describe_pairs.lengths(pairs))
    found = {
        (point["panel"], point["kind"], point["characters"]): point["count"]
        for point in points
        if point["count"]
    }
    assert found == {
        ("instructions", KEPT, 30.0): 1,
        ("instructions", LEFT, 30.0): 1,
        ("instructions", LEFT, 58.0): 1,
        ("outputs", KEPT, 600.0): 1,
        ("outputs", LEFT, 3000.0): 1,
        ("outputs", LEFT, 700.0): 1,
    }
    of_one_character = list(
        describe_pairs.lengths([pair("a", 1.0), pair("b", 1.0, "Write it up.")])
    )
    assert all(point["characters"].is_integer() for point in of_one_character)


def seed_pair(task: str, number: int, instruction: str) -> SeedPair:
    return SeedPair(
        id=f"{task}/{number}", instruction=instruction, output="x", demo=True, not_shown=None,
        task=task, source="data/seed_tasks.jsonl",
    )  # fmt: skip


SEED = [
    seed_pair("poem", 1, "Write a poem.\n\nPaint a house."),
    seed_pair("poem", 2, "Write a poem.\n\nBuild a boat."),
    seed_pair("river", 1, "List three rivers."),
]


def test_a_seed_task_is_counted_once_and_without_its_input() -> None:
    instructions = describe_pairs.seed_instructions(SEED)
    assert instructions == ["Write a poem.", "List three rivers."]
    points = describe_pairs.verbs(instructions)
    assert [(point["verb"], point["noun"]) for point in points if point["ring"] == "noun"] == [
        ("list", "river"),
        ("write", "poem"),
    ]
    assert points[-1]["label"] == "2 of 2\ninstructions"


# --- the stage


@pytest.fixture
def params() -> Params:
    return sections(Params)


def write_run(params: Params, *rounds: str) -> None:
    """The rounds, the first of which is assessed."""
    files = {Path("data/backtranslation/start/seed_pairs/pairs.jsonl"): map(to_line, SEED)}
    for n, name in enumerate(rounds):
        one = round_(name, {} if n else LABELS, n)
        files[Path(f"data/backtranslation/{name}/curate/pairs.jsonl")] = map(to_line, one.pairs)
        if one.labelled:
            path = Path(f"data/assessed/{name}/assess/labelled.jsonl")
            files[path] = map(to_line, one.labelled)
    write_files(files)


def declared() -> dict[str, dict[str, Any]]:
    """The plots that the stage declares, by path, and what is said of each."""
    stages = yaml.safe_load((ROOT / PIPELINE).read_text())["stages"]
    return {
        path: about for entry in stages["describe-pairs"]["plots"] for path, about in entry.items()
    }


def written(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Points]:
    monkeypatch.chdir(tmp_path)
    write_run(params, *params.backtranslation.rounds)
    run(params, Inputs(), Into("describe_pairs"))
    return {path.as_posix(): json.loads(path.read_text()) for path in Path("plots").glob("*.json")}


def test_it_writes_the_plots_that_it_declares_and_nothing_else(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plots = written(params, tmp_path, monkeypatch)
    assert plots.keys() == declared().keys()
    assert {path.parts[0] for path in Path().rglob("*.json")} == {"plots"}
    for path, about in declared().items():
        assert plots[path], path
        assert {about["x"], about["y"]} <= plots[path][0].keys(), path
    curated = plots["plots/pair_verbs_curated.json"]
    assert curated[-1]["label"] == "1 of 1\ninstructions"
    assert {point["panel"] for point in plots["plots/curate_scores.json"]} == {
        *params.backtranslation.rounds
    }


def test_a_round_that_has_not_run_is_named(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(params, *params.backtranslation.rounds)
    params.backtranslation.rounds["later"] = InParams(before="start")
    with pytest.raises(BadFile, match=r"data/backtranslation/later/curate/pairs\.jsonl: no such"):
        run(params, Inputs(), Into("describe_pairs"))
    assert not Path("plots").exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in declared() if "verbs" not in path])
def test_two_revisions_fit_half_a_page_and_all_that_is_told_apart_is_named(
    path: str, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = declared()[path]
    made = written(params, tmp_path, monkeypatch)[path]
    points = [{**point, "rev": rev} for rev in ("workspace", "v1.0") for point in made]
    folder = str(ROOT / ".dvc/plots")
    filled = VegaRenderer(points, path, template_dir=folder, **about).get_filled_template()
    picture = vl_convert.vegalite_to_svg(json.dumps(filled))
    width = re.search(r'<svg [^>]*?width="([\d.]+)"', picture)
    assert width
    assert 350 < float(width[1]) <= 600
    texts = set(re.findall(r">([^<>]+)</text>", picture))
    assert {"workspace", "v1.0", about["title"], about["x_label"], about["y_label"]} <= texts
    assert {point["kind"] for point in made} | {point["panel"] for point in made} <= texts
    assert "NaN" not in picture
