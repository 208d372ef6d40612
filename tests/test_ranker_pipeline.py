"""The ranker's pipeline by the real DVC: the estimate, traces and the report's page."""

import re
from email.message import Message

import pytest
from support.growing import Growing, small
from support.project import Project, stages_run
from support.ranking import echoed
from support.server import serving
from support.tracing import told

PIPELINE = "pipelines/ranker/dvc.yaml"
STAGES = ["rank-train", "rank-select", "rank-evaluate"]


class Model(Growing):
    """That scores as well, and names the third candidate."""

    def __call__(self, body: dict, headers: Message) -> dict:
        return echoed(body) if body.get("echo") else super().__call__(body, headers)

    def text_for(self, prompt: str) -> str:
        return " 3" if prompt.endswith("Number:") else super().text_for(prompt)


def test_what_is_chosen_is_foreseen_shown_and_told_back_to_its_meta_prompt(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(project)
    project.set("label.max_examples", 6)
    project.set("rank_select.max_examples", 6)
    project.set("relabel_and_pick.min_qualify_range", 0)
    features = "features: [yes_no, length, seed]"
    project.replace("params.yaml", features, features.replace("length", "demos, length"))
    project.commit("Label six examples")
    model = Model()
    with serving(model) as url:
        done = project.run("dvc", "repro", PIPELINE, OPENAI_BASE_URL=url)
        assert done.returncode == 0, done.stdout
        assert list(stages_run(done.stdout))[-3:] == STAGES
        assert project.run("git", "status", "--short", "data").stdout == ""

        # Another way to draw the picture, or to compare, scores nothing anew.
        asked = len(model.bodies)
        project.set("rank_evaluate.resamples", 500)
        done = project.run("dvc", "repro", PIPELINE, OPENAI_BASE_URL=url)
        assert list(stages_run(done.stdout)) == ["rank-evaluate"]
        assert len(model.bodies) == asked

        foreseen = project.stage("estimate", OPENAI_BASE_URL=url).stdout
        for stage in STAGES:
            (line,) = (line for line in foreseen.splitlines() if line.startswith(f"{stage} "))
            requests, kept, missing = line.split()[1:4]
            assert (requests, missing) == (kept, "0")
            assert int(requests.replace(",", "")) > 20

        def prompts() -> int:
            # This server has no tokens to count, and is asked for them each time.
            return sum("max_tokens" in body for body in model.bodies)

        asked = prompts()
        for stage in STAGES:
            seen = project.stage("preview", stage, OPENAI_BASE_URL=url).stdout
            assert "asked now: 0 of these" in seen, seen
        assert prompts() == asked

        project.stage("report", OPENAI_BASE_URL=url)
    page = project.read(".seedbed/report.html").decode()
    assert "What choosing an instruction is worth" in page
    assert "of 1 task" in page
    row = project.rows("data/rank_select/seedbed001_everyday_review_sentiment_analysis.jsonl")[2]
    section = page[page.index("What choosing an instruction") :]
    assert re.sub(r"\W+", "", row["input"]) in re.sub(r"\W+", "", section)

    monkeypatch.chdir(project.folder)
    number = next(
        i
        for i, one in enumerate(
            project.rows("data/rank_select/seedbed001_everyday_review_sentiment_analysis.jsonl"), 1
        )
        if one["chosen"]
    )
    text = told(f"data/rank_select/seedbed001_everyday_review_sentiment_analysis.jsonl:{number}")
    assert "written by rank-select" in text.replace(f"{PIPELINE}:", "")
    assert "scorings behind the score of candidate" in text
    assert "kind: score" in text
    assert "and those of the demos: data/rank_select/_demos.jsonl:" in text
    assert "its candidate" in text
    assert "prompt file: data/prompts/candidates/few_shot/" in text
    text = told("data/rank_evaluate/examples.jsonl:1")
    assert "lm_selection asked:" in text
    assert "prompt file: data/prompts/rank_evaluate/choose.txt" in text
    assert "scorings behind the score of candidate" in text
    text = told("data/rank_select/_demos.jsonl:2")
    assert "its candidate 1: data/candidates/origins.jsonl:2" in text
    text = told("data/rank_train/examples.jsonl:1")
    assert "features" in text
    assert "data/relabel_and_pick/train.jsonl" in text
