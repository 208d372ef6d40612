"""Asking for the kind of an instruction, then for its instances; a fake in the model's place."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import FAKE, Fake
from support.params import section
from support.project import ROOT
from support.stages import run_stage

from seedbed.core.files import to_line, write_files
from seedbed.core.prompts import Prompt
from seedbed.core.records import Exchange
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.request import Request
from seedbed.self_instruct import clf, describe_tasks, instances
from seedbed.self_instruct.errors import RowsDoNotMatch
from seedbed.self_instruct.params import Clf, Instances
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    ClassifiedInstruction,
    Instruction,
    Named,
)

TEXTS = [f"Instruction number {n}" for n in range(6)]
KINDS = [True, False, False, True, False, True]


def task_of(request: Request) -> str:
    return request.prompt.rpartition("Task: ")[2].splitlines()[0]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data" / "prompts", tmp_path / "data" / "prompts")


# --- clf


def classify(texts: list[str], reply: Callable[[Request], str]) -> tuple[list, Fake]:
    fake = Fake(reply)
    params = section(Clf)
    rows = [Named(instruction=text, id=f"id of {text}") for text in texts]
    prompt = Prompt("clf/is_classification.txt", "instruction")
    return list(clf.classify(rows, params, prompt, fake)), fake


def test_answers_are_kept_raw_and_in_the_order_of_the_instructions() -> None:
    rows, fake = classify(TEXTS, lambda request: f" {task_of(request)}\t")
    assert [row.instruction for row in rows] == TEXTS
    assert [row.instruction_id for row in rows] == [f"id of {text}" for text in TEXTS]
    assert [row.is_classification for row in rows] == [f" {text}\t" for text in TEXTS]
    assert [row.key for row in rows] == [Fake.key(request) for request in fake.requests]


def test_each_instruction_is_asked_about_in_the_few_shot_prompt() -> None:
    _, fake = classify(["  Sort it. "], lambda _: " No")
    (request,) = fake.requests
    assert request.prompt.endswith("\n\nTask: Sort it.\nIs it classification?")
    assert request.prompt.startswith(request.prefixes[0])
    assert request.sampling.max_tokens == 3


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        *[(raw, "yes") for raw in ("Yes", "yes", "YES", " Yes", "Yes\n", "\tYES ")],
        *[(raw, "no") for raw in ("No", " no", "NO ")],
        *[(raw, "unparsable") for raw in ("", "yEs", "Yes.", "Yes, it", "Maybe", "N", "1", "oui")],
    ],
)
def test_only_a_clear_yes_is_one_and_what_is_neither_is_counted(raw: str, kind: str) -> None:
    row = ClassifiedInstruction(instruction="i", is_classification=raw, key="k")
    figures = clf.metrics([row])
    assert figures["answers"] == {name: int(name == kind) for name in ("yes", "no", "unparsable")}
    assert figures["neither_yes_nor_no"] == (kind == "unparsable")
    assert figures["classification_share"] == (kind == "yes")


def test_every_answer_is_counted_once() -> None:
    said = ["Yes", "No", "?", "no", "yes", "Perhaps"]
    rows, _ = classify(TEXTS, lambda request: said[int(task_of(request)[-1])])
    figures = clf.metrics(rows)
    assert figures["answers"] == {"yes": 2, "no": 2, "unparsable": 2}
    assert figures["classification_share"] == round(1 / 3, 6)
    points = describe_tasks.shares(rows)
    assert [point["count"] for point in points] == [2, 2, 2]
    assert [point["share"] for point in points] == [round(1 / 3, 6)] * 3


# --- instances: the two files


def instruction(text: str, number: int = 0) -> Instruction:
    origin = Exchange(prompt="p", response={"n": number}, key=f"origin {number}")
    return Instruction(
        instruction=text,
        most_similar={"Another one": 0.25},
        avg_similarity_score=number / 8,
        metadata=origin,
        request_idx=number,
    )


def write_inputs(texts: list[str], classified: list[str], raw: str = "No") -> None:
    write_files(
        {
            INSTRUCTIONS: [to_line(instruction(text, n)) for n, text in enumerate(texts)],
            CLASSIFIED: [
                to_line(ClassifiedInstruction(instruction=text, is_classification=raw, key="k"))
                for text in classified
            ],
        }
    )


def test_kinds_are_joined_by_id_whatever_the_order() -> None:
    write_inputs(TEXTS, TEXTS)
    kinds = [
        ClassifiedInstruction(instruction="?", instruction_id=row.id, is_classification=raw)
        for row, raw in zip(map(instruction, TEXTS), ["Yes", "No"] * 3, strict=True)
    ]
    write_files({CLASSIFIED: map(to_line, reversed(kinds))})
    tasks = instances.read_tasks(instances.Inputs())
    assert [task.row for task in tasks] == [instruction(text, n) for n, text in enumerate(TEXTS)]
    assert [task.is_classification for task in tasks] == [True, False] * 3


def test_the_same_text_twice_is_two_instructions() -> None:
    write_inputs([TEXTS[0], TEXTS[0]], [TEXTS[0], TEXTS[0]])
    assert len(instances.read_tasks(instances.Inputs())) == 2


@pytest.mark.parametrize(
    ("classified", "said", "other"),
    [
        ([*TEXTS[:2], "Changed", *TEXTS[3:]], f"{CLASSIFIED}:3: 'Changed'", INSTRUCTIONS),
        ([*TEXTS, "One more"], f"{CLASSIFIED}:7: 'One more'", INSTRUCTIONS),
        (TEXTS[:4], f"{INSTRUCTIONS}:5: {TEXTS[4]!r}", CLASSIFIED),
    ],
)
def test_files_that_do_not_match_are_told_with_file_and_line(
    classified: list[str], said: str, other: Path
) -> None:
    write_inputs(TEXTS, classified)
    with pytest.raises(RowsDoNotMatch) as failure:
        instances.read_tasks(instances.Inputs())
    assert str(failure.value).startswith(said)
    assert str(other) in str(failure.value)


def test_a_broken_line_of_either_file_is_named() -> None:
    for path in (INSTRUCTIONS, CLASSIFIED):
        write_inputs(TEXTS, TEXTS)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines[:3], "{\n", *lines[4:]]))
        with pytest.raises(BadRow, match=f"{path}:4: "):
            instances.read_tasks(instances.Inputs())


# --- instances: which, and how they are asked for


def settings_of(**changes: object) -> Instances:
    return section(Instances, **{"sampling": {"logprobs": 1}, **changes})


@pytest.fixture
def tasks() -> list[instances.Task]:
    return [
        instances.Task(instruction(text, n), kind)
        for n, (text, kind) in enumerate(zip(TEXTS, KINDS, strict=True))
    ]


def generate(
    tasks: list[instances.Task], finish_reason: str = "stop", **changes: object
) -> tuple[list, Fake]:
    fake = Fake(lambda request: f"About {task_of(request)}", finish_reason)
    rows = instances.generate(tasks, settings_of(**changes), instances.Prompts(), fake)
    return list(rows), fake


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"tasks": "classification"}, [0, 3, 5]),
        ({"tasks": "generation"}, [1, 2, 4]),
        ({"num_instructions": 4}, [0, 1, 2, 3]),
        ({"num_instructions": 100}, [0, 1, 2, 3, 4, 5]),
        ({"num_instructions": 4, "tasks": "classification"}, [0, 3]),
        ({"num_instructions": 4, "tasks": "generation"}, [1, 2]),
    ],
)
def test_instructions_are_chosen_by_kind_and_number(
    tasks: list[instances.Task], changes: dict, chosen: list[int]
) -> None:
    assert list(instances.select(tasks, settings_of(**changes))) == [tasks[n] for n in chosen]


def test_rows_stand_in_the_order_of_the_input_and_carry_its_fields(
    tasks: list[instances.Task],
) -> None:
    rows, fake = generate(tasks)
    assert [row.raw_instances for row in rows] == [f"About {text}" for text in TEXTS]
    for n, (row, task) in enumerate(zip(rows, tasks, strict=True)):
        assert row.instruction == task.row.instruction
        assert row.is_classification == task.is_classification
        assert row.instruction_metadata == task.row.metadata
        assert row.most_similar == task.row.most_similar
        assert row.avg_similarity_score == task.row.avg_similarity_score
        assert row.instance_metadata.prompt == fake.requests[n].prompt
        assert row.instance_metadata.key == Fake.key(fake.requests[n])


def test_each_kind_has_its_own_prompt_and_length_whatever_the_others_are(
    tasks: list[instances.Task],
) -> None:
    for several in (tasks, tasks[:1], tasks[1:2]):
        _, fake = generate(several)
        for request, task in zip(fake.requests, several, strict=True):
            assert request.sampling.max_tokens == (300 if task.is_classification else 350)
            assert ("Class label:" in request.prompt) == task.is_classification
            assert request.prompt.endswith(f"\n\nTask: {task.row.instruction}\n")
            assert request.prompt.startswith(request.prefixes[0])


@pytest.mark.parametrize("most", [1, 5])
def test_a_completion_stops_at_the_example_that_is_one_too_many(
    tasks: list[instances.Task], most: int
) -> None:
    _, fake = generate(tasks, max_instances_to_generate=most)
    for request in fake.requests:
        assert set(request.sampling.stop) == {f"Example {most + 1}", "Task:"}
        assert request.sampling.presence_penalty == 1.5


def test_instructions_in_are_rows_and_those_left_out(tasks: list[instances.Task]) -> None:
    rows, _ = generate(tasks[:4], finish_reason="length")
    figures = instances.metrics(rows, left_out=2)
    assert figures["rows"] == {"classification": 2, "generation": 2, "left_out": 2}
    assert figures["completions_cut"] == 4


def test_nothing_of_the_wanted_kind_is_an_error_before_anything_is_asked() -> None:
    write_inputs(TEXTS, TEXTS, raw="No")
    params = instances.Params(llm=FAKE, instances=settings_of(tasks="classification"))
    with pytest.raises(BadFile, match="none of its 6 instructions is of the kind classification"):
        run_stage(instances, params)
