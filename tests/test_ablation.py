"""The ablation: what is compared differs in what it should, and nothing was seen before."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from support.growing import growing, small
from support.params import SECTIONS, section
from support.project import ROOT, Project, stages_run
from support.tracing import told

from seedbed.runs.changes import read_changes
from seedbed.runs.pipeline import Pipeline
from seedbed.training.contamination import SIZES, find
from seedbed.training.held_out import cases, read_held_out
from seedbed.training.params import Evaluated, Finetune

HELD_OUT = ROOT / "data/held_out.jsonl"
FOLDER = ROOT / "pipelines/ablation"
VALUES = yaml.safe_load((FOLDER / "params.yaml").read_text())
PIPELINE = "pipelines/ablation/dvc.yaml"


def test_no_held_out_task_is_a_seed_task_nor_an_example_that_a_prompt_shows(tmp_path: Path) -> None:
    """Of what was grown `evaluate` looks for itself."""
    tasks = [task for _, task in read_held_out(HELD_OUT)]
    assert len(tasks) == len({task.instruction for task in tasks}) == 60
    examples = [case.example for task in tasks for case in cases(task, 0, None)]
    shown = tmp_path / "shown.jsonl"
    texts = [path.read_text() for path in sorted((ROOT / "data/prompts").rglob("*.txt"))]
    shown.write_text(
        "".join(f"{json.dumps({'prompt': text, 'completion': ''})}\n" for text in texts)
    )
    seen = [ROOT / "data/seed_tasks.jsonl", shown]
    overlaps = find(seen, examples, {task.name: task.instruction for task in tasks})
    assert overlaps.tasks == {}
    assert not any(overlaps.examples(size).any() for size in SIZES)


def test_no_label_is_the_answer_of_two_tasks() -> None:
    tasks = [task for _, task in read_held_out(HELD_OUT)]
    labels = [task.examples[0].targets[0] for task in tasks if task.is_classification]
    assert len(labels) == 20
    assert len(set(labels)) == 20


def test_the_sets_are_of_files_that_their_stage_depends_on() -> None:
    names = [those["name"] for those in VALUES["sets"]]
    assert len(set(names)) == len(names)
    assert len(set(VALUES["seeds"])) >= 3
    for those in VALUES["sets"]:
        changes = [f"sources={those['sources']}", f"rows={those['rows']}"]
        training = section(Finetune, **read_changes(changes))
        declared = {
            "data/seed_tasks.jsonl",
            f"data/grown/{those['grown']}/prepare/finetuning.jsonl",
        }
        assert {source.file for source in training.sources} <= declared
        threshold = read_changes([f"value={those['threshold']}"])["value"]
        Evaluated(name=those["name"], source=those["source"], threshold=threshold)
        grown = VALUES["grown"][those["grown"]]
        assert threshold in (None, grown["threshold"])
        assert (
            threshold is not None or grown["threshold"] == SECTIONS["bootstrap"]["rouge_threshold"]
        )


@pytest.mark.slow
def test_rows_are_grown_by_each_threshold_and_an_answer_of_a_round_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(project)
    shutil.copytree(FOLDER, project.folder / "pipelines/ablation")
    (project.folder / "pipelines/ablation/dvc.lock").unlink(missing_ok=True)
    values = yaml.safe_load(project.read("pipelines/ablation/params.yaml"))
    values["grown"] = {
        name: {**values["grown"][name], "instructions": 4} for name in ("t05", "t10")
    }
    # The sets that none of these are of, and all seeds but one, each command would look through.
    values["sets"] = [one for one in values["sets"] if one["grown"] in values["grown"]]
    values["seeds"] = values["seeds"][:1]
    (project.folder / "pipelines/ablation/params.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.chdir(project.folder)
    targets = [f"{PIPELINE}:{name}" for name in ("prepare@t05", "prepare@t10", "evaluate-base")]
    with growing() as server:
        done = project.run("dvc", "repro", *targets, OPENAI_BASE_URL=server.url)
        assert done.returncode == 0, done.stdout
        assert stages_run(done.stdout)["evaluate"] == (60, 60, 0)
        for name in ("t05", "t10"):
            path = f"data/grown/{name}/bootstrap/machine_generated_instructions.jsonl"
            assert len(project.rows(path)) == 4
            assert project.rows(f"data/grown/{name}/prepare/finetuning.jsonl")
        # None of theirs is where the first run has its own, nor anything that git would take.
        assert not (project.folder / "data/prepare/finetuning.jsonl").exists()
        assert "data/grown" not in project.run("git", "status", "--short").stdout
    pipeline = Pipeline()
    for name, threshold in (("t05", 0.5), ("t10", 1.0)):
        ran_with = pipeline.ran_with(f"{PIPELINE}:bootstrap@{name}")["bootstrap"]
        assert ran_with["rouge_threshold"] == threshold
    text = told("data/models/base/evaluate/answers.jsonl:7")
    assert "\nits task: data/held_out.jsonl, example 1 of 1" in text
    assert "\nits model: base, served-model" in text
