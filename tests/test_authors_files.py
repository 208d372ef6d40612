"""The Self-Instruct authors' own intermediate files, read as they are: no row of them has a key."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.engines import Fake
from support.params import section
from support.project import ROOT
from support.stages import run_stage

from seedbed.core.files import read_rows, to_line, write_files
from seedbed.core.prompts import Prompt
from seedbed.errors import BadRow
from seedbed.runs.errors import OriginMissing
from seedbed.self_instruct import clf, instances, prepare
from seedbed.self_instruct import report as rows
from seedbed.self_instruct.instructions import numbered
from seedbed.self_instruct.params import Clf, Instances, Prepare
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    PREPARED,
    GeneratedInstance,
    Named,
)
from seedbed.views.report import made_with
from seedbed.views.trace import account

TEXTS = ["Name a river.", "Is the text kind?", "Say hello."]
# Of the first seed tasks, which the prompt of the first instruction showed.
SEEDS = [json.loads(line) for line in (ROOT / "data/seed_tasks.jsonl").read_text().splitlines()]
PROMPT = "Come up with a series of tasks:\n" + numbered([one["instruction"] for one in SEEDS[:2]])
ANSWERS = ["Output: the Nile", "Class label: kind\nText: Hello!", ""]


def exchange(text: str, prompt: str = PROMPT) -> dict[str, Any]:
    """What their program keeps of a request: prompt, raw response and time."""
    logprobs = {"tokens": ["x"], "token_logprobs": [-0.5], "top_logprobs": None}
    choice = {"text": text, "index": 0, "logprobs": logprobs, "finish_reason": "stop"}
    return {"prompt": prompt, "response": {"choices": [choice]}, "created_at": "2022-12-04 01:02"}


# A request that failed left no response; of one the prompt is not known.
FAILED: dict[str, Any] = {"response": None, "created_at": "2022-12-04 01:02"}


def write(path: Path, some: Iterable[dict[str, Any]]) -> None:
    write_files({path: map(to_line, some)})


@pytest.fixture(autouse=True)
def _their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, name)
    shutil.copytree(ROOT / "data/prompts", "data/prompts")
    shutil.copy(ROOT / "data/seed_tasks.jsonl", "data")
    grown = [exchange(" and more"), exchange(" and more"), FAILED]
    answered = [exchange(ANSWERS[0], "Task: …"), exchange(ANSWERS[1], "Task: …"), FAILED]
    similar = {"most_similar": {SEEDS[0]["instruction"]: 0.25}, "avg_similarity_score": 0.125}
    write(
        INSTRUCTIONS,
        (
            {"instruction": text, **similar, "metadata": own, "request_idx": n}
            for n, (text, own) in enumerate(zip(TEXTS, grown, strict=True))
        ),
    )
    write(
        CLASSIFIED,
        (
            {"instruction": text, "is_classification": said}
            for text, said in zip(TEXTS, (" No", " Yes", " No"), strict=True)
        ),
    )
    write(
        COMPLETIONS,
        (
            {"instruction": text, "raw_instances": raw, "instance_metadata": own,
             "instruction_metadata": first, **similar}
            for text, raw, own, first in zip(TEXTS, ANSWERS, answered, grown, strict=True)
        ),
    )  # fmt: skip


def test_clf_and_instances_go_on_from_them() -> None:
    read = list(read_rows(INSTRUCTIONS, Named))
    fake = Fake(lambda _: " No")
    prompt = Prompt("clf/is_classification.txt", "instruction")
    classified = list(clf.classify(read, section(Clf), prompt, fake))
    assert [row.instruction for row in classified] == TEXTS
    assert all(row.key for row in classified)

    own = section(Instances, sampling=section(Clf).sampling)
    tasks = instances.read_tasks(instances.Inputs())
    assert [task.is_classification for task in tasks] == [False, True, False]
    answered = list(instances.generate(tasks, own, instances.Prompts(), fake))
    assert [row.instruction_metadata.key for row in answered] == [None] * 3
    assert [row.instruction_metadata.prompt for row in answered] == [PROMPT, PROMPT, None]
    assert all(row.instance_metadata.key for row in answered)
    assert instances.metrics(answered, 0)["completions_cut"] == 0


def prepared() -> list[GeneratedInstance]:
    run_stage(prepare, prepare.Params(prepare=section(Prepare, include_seed_tasks=True)))
    return list(read_rows(PREPARED / "alpaca.jsonl", GeneratedInstance))


def test_prepare_takes_the_kind_from_clfs_file_and_leaves_the_key_null() -> None:
    own = [row for row in prepared() if row.instruction in TEXTS]
    assert sorted((row.instruction, row.input, row.output, row.key) for row in own) == [
        (TEXTS[1], "Text: Hello!", "kind", None),
        (TEXTS[0], "", "the Nile", None),
    ]


def test_an_instruction_of_no_known_kind_is_named_before_anything_is_written() -> None:
    write(CLASSIFIED, [{"instruction": TEXTS[0], "is_classification": "No"}])
    with pytest.raises(BadRow, match=f"{COMPLETIONS}:2: no is_classification, nor has"):
        prepared()
    assert not PREPARED.exists()


def line_of(instruction: str) -> int:
    return [row.instruction for row in prepared()].index(instruction) + 1


@pytest.mark.parametrize("name", ["alpaca", "finetuning", "messages"])
def test_a_row_without_a_key_is_told_back_to_the_answer_that_came_with_the_file(name: str) -> None:
    told = "\n".join(account(f"{PREPARED / name}.jsonl:{line_of(TEXTS[0])}"))
    for part in (
        "  key: null",
        f"cut from {COMPLETIONS}:1",
        "answer without a key",
        "it came with the file: the response store has none without a key",
        "│ Output: the Nile",
        f"its instruction was classified: {CLASSIFIED}:1",
        "the row has neither its request nor the raw answer",
        f"its instruction: {INSTRUCTIONS}:1",
        "the instructions that its prompt showed: its row does not name them",
    ):
        assert part in told, part
    assert "parameters that clf ran with" not in told


def test_what_is_not_known_of_a_row_is_not_told() -> None:
    told = "\n".join(account(f"{INSTRUCTIONS}:3"))
    assert "what follows of it is what the row has" in told
    assert "raw answer" not in told
    assert "the instructions that its prompt showed: its row does not name them" in told


def test_a_seed_tasks_own_instance_is_still_told_as_one() -> None:
    line = line_of(SEEDS[3]["instruction"])
    told = "\n".join(account(f"{PREPARED / 'finetuning.jsonl'}:{line}"))
    assert f"a seed task's own instance: {SEEDS[3]['id']} (data/seed_tasks.jsonl:4)" in told


def test_a_row_whose_instruction_is_in_no_file_is_of_another_run() -> None:
    line = line_of(TEXTS[0])
    path = PREPARED / "finetuning.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    row = json.loads(lines[line - 1]) | {"instruction_id": "text-of-another-run"}
    path.write_text("".join([*lines[: line - 1], json.dumps(row) + "\n", *lines[line:]]))
    with pytest.raises(OriginMissing, match="text-of-another-run"):
        account(f"{path}:{line}")


def test_the_report_knows_where_each_row_comes_from() -> None:
    prepared()
    found = rows.collect()
    assert found.without_origin == 0
    origins = {
        row[4]: row[2] for row in found.rows if row[0] == list(rows.FILE_OF_KIND).index("row")
    }
    assert (origins["the Nile"], origins["kind"]) == (0, 1)
    assert made_with.models(rows.part().keys) == ([], 0)
