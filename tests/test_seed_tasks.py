"""The hand-written tasks and prompts."""

import json
from collections import Counter

import pytest
from support.project import ROOT, SHARED

from seedbed.core.prompts import Prompt
from seedbed.core.rouge import RougeIndex
from seedbed.self_instruct.rows import SeedTask
from seedbed.self_instruct.seeds import read_seed_tasks

OTHERS = SHARED / "data" / "self_instruct_seed_tasks.jsonl"


@pytest.fixture(scope="module")
def tasks() -> list[SeedTask]:
    return read_seed_tasks(ROOT / "data" / "seed_tasks.jsonl")


def test_there_are_as_many_as_in_the_paper(tasks: list[SeedTask]) -> None:
    assert len(tasks) == 175
    assert sum(task.is_classification for task in tasks) >= 26


def test_no_id_name_or_instruction_is_there_twice(tasks: list[SeedTask]) -> None:
    for field in ("id", "name", "instruction"):
        found = Counter(getattr(task, field) for task in tasks)
        assert [value for value, count in found.items() if count > 1] == []


def test_every_instance_has_an_output_that_is_not_its_input(tasks: list[SeedTask]) -> None:
    for task in tasks:
        for one in task.instances:
            assert one.output.strip(), task.id
            assert one.output != one.input, task.id


def test_no_instruction_ends_in_a_colon_or_has_space_around_it(tasks: list[SeedTask]) -> None:
    for task in tasks:
        assert task.instruction == task.instruction.strip() != "", task.id
        assert not task.instruction.endswith(":"), task.id


def test_no_two_instructions_are_alike(tasks: list[SeedTask]) -> None:
    texts = [task.instruction for task in tasks]
    scores = RougeIndex(texts).scores(texts)
    alike = [
        (tasks[i].id, tasks[j].id, scores[i, j])
        for i in range(len(tasks))
        for j in range(i)
        if scores[i, j] > 0.7
    ]
    assert alike == []


@pytest.mark.skipif(not OTHERS.exists(), reason="the other seed tasks are not here")
def test_no_instruction_is_like_one_of_the_other_seed_tasks(tasks: list[SeedTask]) -> None:
    lines = OTHERS.read_text(encoding="utf-8").splitlines()
    others = [json.loads(line)["instruction"] for line in lines]
    assert len(others) == 175
    highest = RougeIndex(others).scores([task.instruction for task in tasks]).max(axis=1)
    alike = [(task.id, score) for task, score in zip(tasks, highest, strict=True) if score > 0.7]
    assert alike == []


@pytest.mark.parametrize(
    ("name", "placeholder"),
    [
        ("bootstrap/tasks.txt", "tasks"),
        ("bootstrap/classification_tasks.txt", "tasks"),
        ("clf/is_classification.txt", "instruction"),
        ("instances/input_first.txt", "instruction"),
        ("instances/output_first.txt", "instruction"),
    ],
)
def test_every_prompt_has_its_placeholder_once(
    name: str, placeholder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    filled = Prompt(name, placeholder).fill("The task at hand")
    assert filled.count("The task at hand") == 1
    assert "{" + placeholder + "}" not in filled


def test_the_classification_prompt_shows_12_yes_and_19_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = Prompt("clf/is_classification.txt", "instruction").fill("Sing.").splitlines()
    assert lines.count("Is it classification? Yes") == 12
    assert lines.count("Is it classification? No") == 19
    assert sum(line.startswith("Task: ") for line in lines) == 12 + 19 + 1
    assert lines[-2:] == ["Task: Sing.", "Is it classification?"]


def test_the_instance_prompts_keep_to_their_forms() -> None:
    prompts = ROOT / "data" / "prompts"
    input_first = (prompts / "instances/input_first.txt").read_text(encoding="utf-8")
    output_first = (prompts / "instances/output_first.txt").read_text(encoding="utf-8")
    assert "\nExample 1\n" in input_first
    assert "\nOutput:" in input_first
    assert "Class label:" not in input_first
    assert "\nClass label:" in output_first
    assert "\nExample 1\n" not in output_first
