"""CONTRIBUTING.md, followed to the letter."""

import re
from pathlib import Path

from support.project import ROOT, Project, stages_run

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
            path.write_text(step["block"])
            continue
        lines = path.read_text().splitlines(keepends=True)
        (at,) = (n for n, line in enumerate(lines) if line.strip().startswith(step["line"]))
        path.write_text("".join([*lines[:at], step["block"], *lines[at:]]))
    return touched


def test_a_stage_that_is_added_as_the_page_says_runs_alone_and_again_when_its_parameter_changes(
    grown: Project,
) -> None:
    touched = follow(PAGE, grown.folder)
    assert len(touched) == PAGE.count("```") // 2 - 1, "a block that nobody follows"
    assert grown.run("ruff", "format").returncode == 0
    # The other stages' outputs stand: nothing here is theirs.
    done = grown.run("dvc", "repro")
    assert done.returncode == 0, done.stdout
    assert list(stages_run(done.stdout)) == ["toy"]
    rows = grown.rows("data/prepare/alpaca.jsonl")
    kept = grown.rows("data/toy/short.jsonl")
    assert kept == [row for row in rows if len(row["output"].split()) <= 5]
    shown = grown.run("dvc", "metrics", "show", "metrics/toy.json", "--json").stdout
    assert f'"rows": {len(rows)}' in shown
    assert grown.run("git", "check-ignore", "data/toy/short.jsonl").returncode == 0

    grown.replace("params.yaml", "  max_words: 5", "  max_words: 500")
    done = grown.run("dvc", "repro", "toy")
    assert list(stages_run(done.stdout)) == ["toy"]
    assert grown.rows("data/toy/short.jsonl") == rows

    chosen = "(depends_on_every_module and toy) or share_one_name or short"
    tests = ("tests/test_toy.py", "tests/test_pipeline.py")
    done = grown.run("python", "-m", "pytest", "-q", "-k", chosen, *tests)
    assert "3 passed" in done.stdout, done.stdout
    assert grown.run("ruff", "check").returncode == 0
