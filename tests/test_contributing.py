"""CONTRIBUTING.md, followed to the letter."""

import re
import shutil
from pathlib import Path

from support.growing import growing
from support.pages import data_of
from support.project import ROOT, Project, stages_run

from seedbed.views.report.packing import DIGITS

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
# What to do with a block stands at the end of the sentence before it.
STEP = re.compile(
    r"(?:New\s+file\s+`(?P<new>[^`]+)`:|"
    r"In\s+`(?P<file>[^`]+)`,\s+before\s+`(?P<line>[^`]+)`)\n\n"
    r"```\w+\n(?P<block>.*?)```\n",
    re.DOTALL,
)


def follow(page: str, folder: Path) -> list[str]:
    """Do what the page says; gives the files that were touched."""
    touched = []
    for step in STEP.finditer(page):
        path = folder / (step["new"] or step["file"])
        touched.append(step["new"] or step["file"])
        if step["new"]:
            assert not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step["block"])
            continue
        lines = path.read_text().splitlines(keepends=True)
        (at,) = (n for n, line in enumerate(lines) if line.strip().startswith(step["line"]))
        path.write_text("".join([*lines[:at], step["block"], *lines[at:]]))
    return touched


def test_a_method_that_is_added_as_the_page_says_asks_and_is_foreseen_traced_shown_and_handed_on(
    grown: Project,
) -> None:
    touched = follow(PAGE, grown.folder)
    assert len(touched) == PAGE.count("```") // 2 - 1, "a block that nobody follows"
    edited = {"dvc.yaml", "params.yaml", "src/seedbed/methods.py"}
    own = ("src/seedbed/rating/", "data/prompts/rate/verdict.txt", "tests/test_rate.py")
    assert {path for path in touched if not path.startswith(own)} == edited
    assert grown.run("ruff", "format").returncode == 0
    rows = grown.rows("data/prepare/alpaca.jsonl")
    with growing() as server:
        # The other stages' outputs stand: nothing here is theirs.
        done = grown.run("dvc", "repro", OPENAI_BASE_URL=server.url)
        assert done.returncode == 0, done.stdout
        assert list(stages_run(done.stdout)) == ["rate"]
        asked = [body["prompt"] for body in server.bodies]
        assert len(asked) == len({row["key"] + row["output"] for row in rows})
        rated = grown.rows("data/rate/rated.jsonl")
        assert [row["instruction"] for row in rated] == [row["instruction"] for row in rows]
        assert grown.run("git", "check-ignore", "data/rate/rated.jsonl").returncode == 0
        shown = grown.run("dvc", "metrics", "show", "metrics/rate.json", "--json").stdout
        assert "good_share" in shown

        seen = grown.stage("preview", "rate", OPENAI_BASE_URL=server.url).stdout
        assert "asked now: 0 of these" in seen, seen
        assert "⟦" in seen
        foreseen = grown.stage("estimate", OPENAI_BASE_URL=server.url).stdout
        (line,) = (line for line in foreseen.splitlines() if line.startswith("rate "))
        assert line.split()[1:4] == [str(len(rows)), str(len(rows)), "0"]
        told = grown.stage("trace", "data/rate/rated.jsonl:2").stdout
        assert f"answer {rated[1]['key']}" in told
        assert "prompt file: data/prompts/rate/verdict.txt" in told
        assert "its finetuning row: data/prepare/alpaca.jsonl:2" in told
        assert grown.stage("report").returncode == 0
        page = grown.read(".seedbed/report.html").decode()
        assert "good_share" in page
        good = sum(row["verdict"] == "good" for row in rated)
        assert f"<strong>{good}</strong> rows rated good" in page
        assert f"rated rows <b>{len(rated)}</b>" in page
        data = data_of(page)
        assert [row[6] for row in data["rows"]].count(rated[0]["key"][:DIGITS]) == 1
        assert "data/rate/rated.jsonl" in [kind["file"] for kind in data["kinds"]]
        handed_on = grown.stage("export", "handed_on").stdout
        assert f"rated · train · {len(rated)} rows" in handed_on
        assert "`rated` has the `verdict`" in grown.read("handed_on/README.md").decode()

        grown.replace("params.yaml", "    max_tokens: 8\n", "    max_tokens: 9\n")
        done = grown.run("dvc", "repro", "rate", OPENAI_BASE_URL=server.url)
        assert list(stages_run(done.stdout)) == ["rate"]

    # Each stage stands in a pipeline, of which the copy lacks some.
    for name in ("active", "alpaca", "backtranslation", "ratings", "ways"):
        shutil.copytree(ROOT / "pipelines" / name, grown.folder / "pipelines" / name)
    chosen = "(declares and rate) or share_one_name or verdict or only_what_lies_below"
    tests = ("tests/test_rate.py", "tests/test_pipeline.py", "tests/test_floors.py")
    done = grown.run("python", "-m", "pytest", "-q", "-k", chosen, *tests)
    assert " passed" in done.stdout, done.stdout
    assert " failed" not in done.stdout, done.stdout
    assert grown.run("ruff", "check").returncode == 0, done.stdout
