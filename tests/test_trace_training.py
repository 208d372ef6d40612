"""An answer of an evaluated model, told back to its prompt, its model and its task."""

import json
import shutil
from pathlib import Path

import pytest
from support.project import ROOT
from support.server import completion
from support.snapshots import Snapshots
from support.tracing import assert_refused_in_plain_text, edit, row, told

from seedbed.core.files import to_json, to_line, write_files
from seedbed.runs import telling
from seedbed.training.errors import NoSuchHeldOut
from seedbed.training.rows import ANSWERS, EVALUATED, Evaluation

PLACE = f"{EVALUATED / ANSWERS}:2"


@pytest.fixture(autouse=True)
def _small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of two examples, which two models were asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("dvc.yaml", "pipelines/training/dvc.yaml", "params.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    shutil.copytree(ROOT / "data/prompts", "data/prompts")
    models = "{name: tuned, adapter: data/finetune/adapter.gguf, trained_on: [data/rows.jsonl]}"
    text = Path("params.yaml").read_text().replace("- {name: base}", f"- {models}")
    Path("params.yaml").write_text(text)
    task = {
        "Definition": ["Say what the capital is."],
        "Positive Examples": [{"input": "Spain", "output": "Madrid", "explanation": ""}],
        "Instances": [
            {"id": "e1", "input": "France", "output": ["Paris"]},
            {"id": "e2", "input": "Italy", "output": ["Rome", "Roma"]},
        ],
    }
    rows = [
        Evaluation(
            model="tuned", task="capitals", id=f"e{n}", input=given, targets=targets, demos=0,
            prompt="zero_shot.txt", output=" Rome\n\nAnd more", scored="Rome", rouge_l=100.0,
            exact_match=100.0, ended=False, overlaps=[8], problem=None, key=f"key {n}",
        )
        for n, given, targets in ((1, "France", ["Paris"]), (2, "Italy", ["Rome", "Roma"]))
    ]  # fmt: skip
    write_files(
        {
            Path("data/niv2/capitals.json"): to_json(task),
            EVALUATED / ANSWERS: map(to_line, rows),
        }
    )
    prompt = "Say what the capital is.\n\nInput: Italy\n\nOutput:"
    request = json.dumps({"prompt": prompt, "max_tokens": 64})
    kept = {"key 2": row(request, json.dumps(completion(" Rome\n\nAnd more", "length")))}
    monkeypatch.setattr(telling, "read_only", lambda path, key: kept.get(key))
    monkeypatch.setenv("SEEDBED_STORE", "/nowhere/store.sqlite")


def test_an_answer_is_told_back_to_its_prompt_its_model_and_its_task(snapshot: Snapshots) -> None:
    text = told(PLACE)
    headings = [line for line in text.splitlines() if not line.startswith(" ")]
    assert headings == [
        PLACE,
        "its model: tuned, gemma-3-270m-q4_k_m with data/finetune/adapter.gguf",
        "its task: data/niv2/capitals.json, example 2 of 2",
    ]
    assert "prompt file: data/prompts/evaluate/zero_shot.txt" in text
    assert "Input: Italy" in text
    snapshot("trace-evaluation", text)


def test_an_example_that_is_gone_is_told_so() -> None:
    edit(EVALUATED / ANSWERS, 2, lambda row: row.update(id="gone"))
    assert "the example is not among its 2: has it changed since?" in told(PLACE)
    edit(EVALUATED / ANSWERS, 2, lambda row: row.update(task="gone"))
    with pytest.raises(NoSuchHeldOut):
        told(PLACE)


def test_a_file_without_rows_is_refused_in_plain_text() -> None:
    assert_refused_in_plain_text(f"{EVALUATED}/scores.jsonl:1")
    assert_refused_in_plain_text(f"{PLACE}9")
