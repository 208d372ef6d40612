"""What the pages say can be found where they say it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.project import ROOT

from seedbed.tasks.ratings import OF_A_ROW, WORDS
from seedbed.views.export.folder import all_forms

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# A block of code has no links.
BLOCK = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
VARIABLE = re.compile(r"\b(?:SEEDBED|OPENAI)_[A-Z_]*[A-Z]\b")


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


# Of what a row takes.
WAYS_OF_COUNTING = ("requests", "prompt_tokens", "completion_tokens")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for file, heading in LINK.findall(BLOCK.sub("", page.read_text())):
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name} links to {file}"
        if heading:
            assert heading in anchors(target), f"{page.name} links to {file}#{heading}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_module_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    if page.name == "CONTRIBUTING.md":  # names what its reader is about to make; a test does that
        return
    files = re.findall(r"`((?:src|tests|benchmarks|presets|tools|docs)/[\w./-]+)`", text)
    modules = [name.replace(".", "/") for name in re.findall(r"`(seedbed(?:\.\w+)+)`", text)]
    named = [*files, *(f"src/{module}.py" for module in modules)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_and_picture_of_the_manual_is_linked_from_another() -> None:
    linked = {
        (page.parent / file).resolve()
        for page in PAGES
        for file, _ in LINK.findall(page.read_text())
        if file and (page.parent / file).resolve() != page
    }
    assert set((ROOT / "docs").iterdir()) <= linked


def test_the_readme_has_at_most_150_lines_and_names_every_room() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 150
    (tree,) = re.findall(r"```\n(dvc\.yaml .*?)```", text, re.S)
    named = set(re.findall(r"([\w.]+)/", tree))
    rooms = {path.parent.name for path in (ROOT / "src/seedbed").glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "src/seedbed/llm").glob("*/") if path.name[0] != "_"}
    assert len(rooms) > 5
    assert rooms | folders <= named
    # And none that is not there.
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    assert named <= {part for path in tracked.splitlines() for part in path.split("/")[:-1]}


def test_the_result_in_the_readme_is_that_of_the_default_run() -> None:
    text = (ROOT / "README.md").read_text()
    (result,) = re.findall(r"`metrics/label\.json`\).*?\. So", text, re.S)
    metrics = json.loads((ROOT / "metrics/label.json").read_text())
    named = ("rouge_seed", "rouge_best", "rouge_oracle")
    assert re.findall(r"\b0\.\d+", result) == [f"{metrics[name]:.2f}" for name in named]


def ablation_rows() -> list[list[str]]:
    """The table of docs/ablation.md, of what `make ablation` measured."""
    points = json.loads((ROOT / "metrics/ablation/curve.json").read_text())["point"]
    rows = []
    for point in points:
        source, threshold = point["source"], point["threshold"]
        rows.append(
            [
                source if threshold is None else f"{source} of {threshold:g}",
                f"{point['rows'] or ''}",
                f"{point['rouge_l']:.1f} ({point['low']:.1f} to {point['high']:.1f})",
                "",
                f"{point['classification']:.1f}",
                f"{point['generation']:.1f}",
                f"{100 * point['ended']:.0f} %",
                "",
            ]
        )
        if source != "not tuned":
            gain = [f"{point[name]:+.1f}" for name in ("gain", "gain_low", "gain_high")]
            rows[-1][3] = f"{gain[0]} ({gain[1]} to {gain[2]})"
            rows[-1][-1] = f"{point['lowest']:.1f} to {point['highest']:.1f}"
    return rows


def test_the_results_of_the_ablation_are_those_that_it_measured() -> None:
    lines = (ROOT / "docs/ablation.md").read_text().splitlines()
    short = (ROOT / "README.md").read_text().splitlines()
    for row in ablation_rows():
        assert f"| {' | '.join(row)} |" in lines
        if " of " not in row[0]:
            assert f"| {' | '.join(row[:4])} |" in short


def ranker_rows() -> list[list[str]]:
    """The table of docs/ranker.md, of what `presets/ranker.yaml` measured."""
    rows = []
    for row in json.loads((ROOT / "metrics/preset_ranker/rank_evaluate.json").read_text())[
        "method"
    ]:
        if row["group"] != "all":
            continue
        low, high = row["minus_random_low"], row["minus_random_high"]
        gain = f"{row['minus_random']:+.3f} ({low:+.3f} to {high:+.3f})"
        rows.append(
            [
                f"`{row['name']}`",
                f"{row['rouge']:.3f} ({row['rouge_low']:.3f} to {row['rouge_high']:.3f})",
                f"{row['exact']:.3f}",
                f"{row['by_kind']:.3f}",
                "" if row["name"] == "random" else gain,
            ]
        )
    return rows


def test_the_results_of_the_ranker_are_those_that_it_measured() -> None:
    lines = (ROOT / "docs/ranker.md").read_text().splitlines()
    assert len(ranker_rows()) == 11
    for row in ranker_rows():
        assert f"| {' | '.join(row)} |" in lines


def test_the_results_of_active_instruction_tuning_are_those_that_it_measured() -> None:
    lines = (ROOT / "docs/active.md").read_text().splitlines()
    points = json.loads((ROOT / "metrics/active_curve.json").read_text())["active_point"]
    shown = [point for point in points if (point["where"], point["kind"]) == ("test", "all")]
    assert len(shown) == 4
    for point in shown:
        score = "{rouge_l:.1f} ({low:.1f} to {high:.1f})".format(**point)
        gain = ""
        if point["gain"] is not None:
            gain = "{gain:+.1f} ({gain_low:+.1f} to {gain_high:+.1f})".format(**point)
        method = point["method"].replace("_", " ")
        assert f"| {method} | {point['tasks']} | {score} | {gain} |" in lines


def test_the_results_of_the_larger_run_are_those_that_it_measured() -> None:
    lines = (ROOT / "docs/active.md").read_text().splitlines()
    path = ROOT / "metrics/largest_active/active_curve.json"
    shown = [
        point
        for point in json.loads(path.read_text())["active_point"]
        if (point["where"], point["kind"]) == ("test", "all") and point["tasks"] > 12
    ]
    assert len(shown) == 9 * 3
    for point in shown:
        score = "{rouge_l:.1f} ({low:.1f} to {high:.1f})".format(**point)
        gain = ""
        if point["gain"] is not None:
            gain = "{gain:+.1f} ({gain_low:+.1f} to {gain_high:+.1f})".format(**point)
        about = "{tasks} | {trained:.0f} | {pools}".format(**point)
        method = point["method"].replace("_", " ")
        assert f"| {method} | {about} | {score} | {gain} |" in lines


def test_the_results_of_backtranslation_s_sets_are_those_that_it_measured() -> None:
    lines = (ROOT / "docs/backtranslation.md").read_text().splitlines()
    measured = json.loads((ROOT / "metrics/largest_humpback/curve.json").read_text())
    points = measured["point"]
    assert len(points) == 4 * 3 + 1
    for point in points:
        score = "{rouge_l:.1f} ({low:.1f} to {high:.1f})".format(**point)
        gain = seeds = ""
        if point["source"] != "not tuned":
            gain = "{gain:+.1f} ({gain_low:+.1f} to {gain_high:+.1f})".format(**point)
            seeds = "{lowest:.1f} to {highest:.1f}".format(**point)
        about = f"{point['source']} | {point['rows'] or ''} | {score}"
        assert f"| {about} | {gain} | {100 * point['ended']:.0f} % | {seeds} |" in lines
    for fit in measured["fit"]:
        assert "| {source} | {alpha:+.1f} | {c:.1f} |".format(**fit) in lines


def test_the_results_of_the_example_of_ratings_are_those_that_it_measured() -> None:
    lines = (ROOT / "docs/ratings.md").read_text().splitlines()
    measured = json.loads((ROOT / "metrics/ratings.json").read_text())
    for row in (row for row in measured["rated_share"] if row["group"] == "all"):
        share, low, high, paper = (
            f"{100 * row[name]:.0f}" for name in ("share", "low", "high", "paper")
        )
        about = f"{WORDS[row['name']]} | {row['rows']}"
        assert f"| {about} | {share} ({low} to {high}) | {paper} |" in lines
    for name in ("judge", "ifd", "similarity"):
        found = {row["question"]: row for row in measured["foretold"] if row["name"] == name}
        cells = [
            "{auc:.2f} ({low:.2f} to {high:.2f})".format(**found[question]) for question in OF_A_ROW
        ]
        assert f"| `{name}` | {' | '.join(cells)} |" in lines


def test_each_environment_variable_that_the_code_reads_is_in_the_table_and_no_other() -> None:
    page = (ROOT / "docs/servers-and-cost.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in VARIABLE.findall(row)}
    read = {
        name for path in (ROOT / "src").rglob("*.py") for name in VARIABLE.findall(path.read_text())
    }
    assert explained == read


def test_each_configuration_of_an_export_is_in_the_manual() -> None:
    page = (ROOT / "docs/handing-on.md").read_text()
    assert [form.name for _, form in all_forms() if not re.search(rf"\b{form.name}\b", page)] == []


def test_what_a_row_takes_by_either_way_is_what_was_counted() -> None:
    lines = (ROOT / "docs/alpaca.md").read_text().splitlines()
    ways = json.loads((ROOT / "metrics/describe_ways.json").read_text())["way"]
    assert [way["name"] for way in ways] == ["four_stages", "alpaca"]
    for way in ways:
        counted = [f"{way[name]:,}" for name in ("rows", "requests")]
        counted += [f"{way[f'{kind}_tokens']:,}" for kind in ("prompt", "completion")]
        a_row = [f"{way[f'{kind}_a_row']:.1f}" for kind in WAYS_OF_COUNTING]
        name = way["name"].replace("_", " ")
        assert f"| {name} | {' | '.join([*counted, *a_row])} |" in lines


def test_the_scores_of_both_ways_are_those_that_were_measured() -> None:
    path = ROOT / "metrics/compared/curve.json"
    if not path.exists():
        pytest.skip("`make ways` was not run yet")
    lines = (ROOT / "docs/alpaca.md").read_text().splitlines()
    for point in json.loads(path.read_text())["point"]:
        score = "{rouge_l:.1f} ({low:.1f} to {high:.1f})".format(**point)
        gain = ""
        if point["source"] != "not tuned":
            gain = "{gain:+.1f} ({gain_low:+.1f} to {gain_high:+.1f})".format(**point)
        assert f"| {point['source']} | {point['rows'] or ''} | {score} | {gain} |" in lines
