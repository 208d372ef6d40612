"""The pictures: what their points say, and whether they can be read."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from math import tau
from pathlib import Path
from random import Random
from typing import Any

import pytest
import vl_convert
import yaml
from dvc_render.vega import VegaRenderer
from support.project import ROOT

from seedbed.tasks.sunburst import LABEL_HEIGHT, NOUNS, VERBS, sunburst

Points = list[dict[str, Any]]


def pairs(number: int, verbs: int, nouns: int) -> list[tuple[str, str]]:
    """Made up; the first verbs and nouns are the most frequent."""
    draw = Random(7)
    return [
        (f"verb{int(draw.paretovariate(1)) % verbs}", f"noun{int(draw.paretovariate(1)) % nouns}")
        for _ in range(number)
    ]


def ring(points: Points, name: str) -> Points:
    return [point for point in points if point["ring"] == name]


@pytest.mark.parametrize(("number", "verbs", "nouns"), [(1, 1, 1), (20, 9, 9), (5000, 90, 30)])
def test_verbs_and_their_nouns_fill_the_circle_in_proportion(
    number: int, verbs: int, nouns: int
) -> None:
    made = pairs(number, verbs, nouns)
    points = sunburst(made, number)
    inner, outer = ring(points, "verb"), ring(points, "noun")
    assert 0 < len(inner) <= VERBS
    shown = sum(point["count"] for point in inner)
    for some in (inner, outer):
        assert sum(point["count"] for point in some) == shown
        assert (some[0]["theta"], some[-1]["theta2"]) == (0, pytest.approx(tau, abs=1e-5))
        assert all(left["theta2"] == right["theta"] for left, right in pairwise(some))
        for point in some:
            width = point["theta2"] - point["theta"]
            assert width == pytest.approx(tau * point["count"] / shown, abs=1e-5)
    for point in outer:
        assert point["count"] == made.count((point["verb"], point["noun"]))
    for point in inner:
        own = [one for one in outer if one["verb"] == point["verb"]]
        assert 0 < len(own) <= NOUNS
        assert (own[0]["theta"], own[-1]["theta2"]) == (point["theta"], point["theta2"])
        assert {one["hue"] for one in own} == {point["hue"]}


def test_the_most_frequent_are_shown_and_equal_ones_in_alphabetical_order() -> None:
    made = [(verb, noun) for verb in "dacb" for noun in "zyxwv"] + [("z", "q")] * 6
    points = sunburst(made, 100)
    assert "".join(point["verb"] for point in ring(points, "verb")) == "zabcd"
    assert "".join(point["noun"] for point in ring(points, "noun")) == "q" + "vwxy" * 4
    assert points[-1]["label"] == "22 of 100\ninstructions"
    assert sunburst(made[::-1], 100) == points


def test_a_segment_has_a_label_if_a_line_of_text_fits_into_it() -> None:
    points = sunburst(pairs(5000, 90, 30), 5000)[:-1]
    for point in points:
        room = (point["theta2"] - point["theta"]) * (point["radius"] + point["radius2"]) / 2
        assert point["label"] == ((point["noun"] or point["verb"]) if room >= LABEL_HEIGHT else "")
    assert {bool(point["label"]) for point in points} == {True, False}


@pytest.mark.parametrize("verbs", range(2, VERBS + 1))
def test_neighbours_differ_in_colour_all_around(verbs: int) -> None:
    hues = [
        point["hue"]
        for point in ring(sunburst([(chr(97 + i), "") for i in range(verbs)], 0), "verb")
    ]
    assert all(left != right for left, right in pairwise([*hues, hues[0]]))


# --- the templates


def declared(pipeline: Path) -> dict[str, dict[str, str]]:
    """The plots of a pipeline, by name, and what is said of each."""
    return {
        Path(path).stem: properties
        for stage in yaml.safe_load(pipeline.read_text())["stages"].values()
        for entry in stage.get("do", stage).get("plots", ())
        for path, properties in entry.items()
    }


DECLARED = declared(ROOT / "dvc.yaml")
OTHERS = {
    name: properties
    for path in sorted((ROOT / "pipelines").glob("*/dvc.yaml"))
    for name, properties in declared(path).items()
}
LONG = "task1664_winobias_text_generation_with_a_name_of_some_length"


def committed(name: str) -> Points:
    return json.loads((ROOT / "plots" / f"{name}.json").read_text())


def many(name: str) -> Points:
    """As of 5,000 instructions, and of more tasks, with long names."""
    if name == "verbs_and_nouns":
        return sunburst(pairs(5000, 90, 30), 5000)
    if name == "label_heatmap":
        return [
            {"task": f"{LONG}_{task}", "candidate": candidate, "rouge": task / 9}
            for task in range(10)
            for candidate in range(22)
        ]
    return [
        {key: value * 125 if key in {"count", "requests"} else value for key, value in one.items()}
        for one in committed(name)
    ]


def curves(name: str) -> Points:
    """Of as many lines as a reader can tell apart."""
    by, values = {
        "score_by_rows": ("rows", (40, 150, 600)),
        "score_by_threshold": ("threshold", (0.5, 0.7, 1.0)),
        "rank_loss": ("at", (0.01, 1.0, 100.0)),
        "rank_positions": ("position", (1, 2, 22)),
        "active_curve": ("tasks", (12, 24, 36)),
    }[name]
    y = OTHERS[name]["y"]
    return [
        {by: value, y: 10 + n, "low": 5 + n, "high": 19 + n, "source": source}
        for source in ("not tuned", "seed tasks", "generated", "seed tasks and generated")
        for n, value in enumerate(values)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, make) for name in DECLARED for make in (committed, many)),
        *((name, curves) for name, about in OTHERS.items() if about["template"] == "curve"),
    ],
)
def test_two_revisions_fit_half_a_page_and_are_named(
    name: str, make: Callable[[str], Points]
) -> None:
    about = {**DECLARED, **OTHERS}[name]
    points = [{**point, "rev": rev} for rev in ("workspace", "v1.0") for point in make(name)]
    filled = VegaRenderer(
        points, name, template_dir=str(ROOT / ".dvc/plots"), **about
    ).get_filled_template()
    picture = vl_convert.vegalite_to_svg(json.dumps(filled))
    width = re.search(r'<svg [^>]*?width="([\d.]+)"', picture)
    assert width
    assert 350 < float(width[1]) <= 600
    texts = set(re.findall(r">([^<>]+)</text>", picture))
    assert {"workspace", "v1.0", about["title"]} <= texts
    for label in ("x_label", "y_label"):
        assert about.get(label) in {None, *texts}
    assert not {"NaN", "undefined", "null"} & texts
    assert "NaN" not in picture


def test_every_template_is_used_and_every_plot_has_points() -> None:
    assert {path.stem for path in (ROOT / ".dvc/plots").glob("*.json")} == {
        properties["template"]
        for properties in (*DECLARED.values(), *OTHERS.values())
        if properties["template"] != "linear"  # DVC's own
    }
    # A pipeline of its own has points once it was run; of what was never grown by another threshold
    # there are none to draw by it.
    there = {path.stem for path in (ROOT / "plots").glob("*.json")}
    assert {*DECLARED} <= there <= {*DECLARED, *OTHERS}
    assert all(map(committed, DECLARED))
