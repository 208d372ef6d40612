"""From completions to finetuning data."""

import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.params import section
from support.project import ROOT
from support.stages import run_stage

from seedbed.core.files import read_rows, to_line, write_files
from seedbed.errors import BadFile, BadRow
from seedbed.self_instruct import prepare
from seedbed.self_instruct.completions import REASONS, parse_input_first, parse_output_first
from seedbed.self_instruct.errors import TooFewInstructions, TooFewRows
from seedbed.self_instruct.params import Prepare
from seedbed.self_instruct.rows import (
    COMPLETIONS,
    PREPARED,
    FinetuningRow,
    GeneratedInstance,
    LeanCompletion,
    MessagesRow,
    RejectedInstance,
)
from seedbed.self_instruct.seeds import read_seed_tasks


def settings_of(**changes: object) -> Prepare:
    return section(Prepare, **changes)


DEFAULTS = settings_of()


def key_of_answer(instruction: str) -> str:
    return f"key of {instruction}"


def answer(
    instruction: str, text: str, *, classification: bool = False, why: str = "stop"
) -> LeanCompletion:
    row = {
        "instruction": instruction,
        "raw_instances": text,
        "is_classification": classification,
        "instance_metadata": {
            "response": {"choices": [{"finish_reason": why}]},
            "key": key_of_answer(instruction),
        },
    }
    return LeanCompletion.model_validate(row)


def examples(name: str, count: int) -> str:
    return "".join(
        f"Example {n}\n{name}: {name}-{n}\nOutput: {name} number {n}\n" for n in range(count)
    )


def labels(name: str, count: int) -> str:
    return "".join(f"Class label: {name}-{n % 2}\nText: {name}, {n}\n" for n in range(count))


# Every kind of completion: many and few instances, both forms, and each fault.
ROWS = [
    *[answer(f"Generate {n}", examples(f"G{n}", 1 + 2 * n)) for n in range(6)],
    *[answer(f"Label {n}", labels(f"L{n}", 8 - n), classification=True) for n in range(6)],
    answer("Greet", "Output: Good morning!"),
    answer("Cut", examples("Cut", 3), why="length"),
    answer("Cut at once", examples("Once", 1), why="length"),
    answer("Conflict", "Example 1\nA: 1\nOutput: x\nExample 2\nA: 1\nOutput: y"),
    answer("Repeat", "Example 1\nOutput: x\nExample 2\nOutput: x\nExample 3\nA: 3"),
    answer("Faults", "Example 1\nA:\nOutput: x\nExample 2\nB\nOutput: B\nExample 3\nC\nOutput:"),
    answer("No heading", "A: 1\nOutput: x\nMore\nA: 2\nOutput: y"),
    answer("Chat", "I am sorry, I cannot."),
    answer("Silence", "", classification=True),
]


def by_instruction(rows: list[GeneratedInstance]) -> dict[str, list[GeneratedInstance]]:
    found: dict[str, list[GeneratedInstance]] = {}
    for row in rows:
        found.setdefault(row.instruction, []).append(row)
    return found


# --- instances


def test_pairs_in_are_kept_or_rejected_with_a_counted_reason() -> None:
    parsed = prepare.parse(ROWS, settings_of())
    pairs = sum(
        len((parse_output_first if row.is_classification else parse_input_first)(row.raw_instances))
        for row in ROWS
    )
    assert len(parsed.kept) + len(parsed.rejected) == pairs
    figures = prepare.metrics(parsed, len(parsed.kept), prepare.finetuning(parsed.kept, DEFAULTS))
    assert figures["instances"]["kept"] + sum(figures["rejected"].values()) == pairs
    assert list(figures["rejected"]) == list(REASONS)
    assert all(figures["rejected"].values())  # ROWS has them all


def test_a_heading_without_a_number_gives_two_rows_and_an_unknown_one_none() -> None:
    text = "{0}\nWord: hot\nOutput: cold\n{0}\nWord: up\nOutput: down"
    known, unknown = (
        prepare.parse([answer("Say the opposite", text.format(heading))], DEFAULTS)
        for heading in ("Example", "Sample")
    )
    assert [(row.input, row.output) for row in known.kept] == [
        ("Word: hot", "cold"),
        ("Word: up", "down"),
    ]
    assert unknown.kept == []
    assert [row.reason for row in unknown.rejected] == ["several_outputs"]


def test_an_example_without_output_is_refused_or_taken_as_asked() -> None:
    row = answer("Write a sentence", "Example 1\nI walk.\nExample 2\nOutput: I run.")
    refused = prepare.parse([row], DEFAULTS)
    assert [one.output for one in refused.kept] == ["I run."]
    assert [(one.input, one.reason) for one in refused.rejected] == [("I walk.", "no_output")]
    taken = prepare.parse([row], settings_of(output_without_label="take"))
    assert [(one.input, one.output) for one in taken.kept] == [("", "I walk."), ("", "I run.")]
    assert taken.rejected == []


def test_every_task_is_counted_once() -> None:
    figures = prepare.metrics(prepare.parse(ROWS, DEFAULTS), 0, [])
    assert figures["tasks"] == {
        "with_instances": len(ROWS) - 6,
        "unparsable": 2,
        "all_rejected": 4,
    }
    assert figures["tasks_with_instances"] == len(ROWS) - 6


@pytest.mark.parametrize("most", [1, 5])
def test_no_task_has_more_instances_than_allowed(most: int) -> None:
    parsed = prepare.parse(ROWS, settings_of(max_instances_per_task=most))
    assert max(parsed.per_task) == most
    kept = by_instruction(parsed.kept)
    assert sorted(map(len, kept.values())) == sorted(parsed.per_task)
    surplus = [row for row in parsed.rejected if row.reason == "over_the_maximum"]
    everything = prepare.parse(ROWS, settings_of(max_instances_per_task=1000))
    assert len(parsed.kept) + len(surplus) == len(everything.kept)


def test_those_within_the_maximum_are_drawn_at_random_and_stay_in_order() -> None:
    places = Counter[int]()
    for seed in range(300):
        kept = prepare.parse([answer("Do", examples("A", 12))], settings_of(seed=seed)).kept
        drawn = [int(row.output.rpartition(" ")[2]) for row in kept]
        assert drawn == sorted(drawn)
        places.update(drawn)
    # Each of the 12 is drawn in 5 of 12 runs: 125 expected, 8.5 the standard deviation.
    assert all(82 < places[place] < 168 for place in range(12)), places


def test_each_task_draws_for_itself() -> None:
    rows = [answer(f"Do {n}", examples("A", 12)) for n in range(5)]
    kept = by_instruction(prepare.parse(rows, DEFAULTS).kept)
    assert len({tuple(row.output for row in own) for own in kept.values()}) > 1


def test_instances_stand_in_the_order_of_the_tasks() -> None:
    kept = list(by_instruction(prepare.parse(ROWS, DEFAULTS).kept))
    assert kept == [row.instruction for row in ROWS if row.instruction in kept]


@pytest.mark.parametrize("place", [0, 5, len(ROWS)])
def test_one_task_more_changes_nothing_for_the_others(place: int) -> None:
    more = answer("One more", examples("M", 9))
    before, after = (
        prepare.parse(rows, DEFAULTS) for rows in (ROWS, [*ROWS[:place], more, *ROWS[place:]])
    )
    assert [row for row in after.kept if row.instruction != "One more"] == before.kept
    assert [row for row in after.rejected if row.instruction != "One more"] == before.rejected

    old = prepare.finetuning(before.kept, DEFAULTS)
    new = prepare.finetuning(after.kept, DEFAULTS)
    assert len(new) == len(old) + 5
    assert [one for one in new if one.instance.instruction != "One more"] == old


# --- the sample


def test_a_sample_has_so_many_instructions_with_all_their_instances() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    found = prepare.sample(kept, settings_of(num_instructions=4))
    chosen = {row.instruction for row in found}
    assert len(chosen) == 4
    assert found == [row for row in kept if row.instruction in chosen]


def test_a_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    one, backwards, other = (
        {
            row.instruction
            for row in prepare.sample(rows, settings_of(num_instructions=4, seed=seed))
        }
        for rows, seed in ((kept, 1), (kept[::-1], 1), (kept, 2))
    )
    assert one == backwards != other


def test_a_larger_sample_holds_the_smaller_one() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    few, more = (
        {row.instruction for row in prepare.sample(kept, settings_of(num_instructions=count))}
        for count in (3, 7)
    )
    assert few < more


def test_a_sample_of_all_is_all_and_of_more_is_an_error() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    count = len(by_instruction(kept))
    assert prepare.sample(kept, settings_of(num_instructions=count)) == kept
    assert prepare.sample(kept, DEFAULTS) == kept
    with pytest.raises(TooFewInstructions, match=f"is {count + 1}, but only {count} instructions"):
        prepare.sample(kept, settings_of(num_instructions=count + 1))


# --- the finetuning data


def test_the_shuffle_does_not_depend_on_the_order_of_the_input() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    shuffled = prepare.finetuning(kept, DEFAULTS)
    assert [one.instance for one in shuffled] != kept
    again = kept.copy()
    random.Random(0).shuffle(again)
    assert prepare.finetuning(again, DEFAULTS) == shuffled


def test_another_seed_shuffles_and_encodes_otherwise() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    one, other = (prepare.finetuning(kept, settings_of(seed=seed)) for seed in (1, 2))
    assert [row.instance for row in one] != [row.instance for row in other]
    assert {row.encoded for row in one} != {row.encoded for row in other}


def test_what_repeats_exactly_goes_and_is_counted() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    once, twice = (prepare.finetuning(rows, DEFAULTS) for rows in (kept, kept + kept))
    assert twice == once
    assert len({one.encoded for one in once}) == len(once)
    figures = prepare.metrics(prepare.parse(ROWS, DEFAULTS), 2 * len(kept), twice)
    assert figures["instances"]["duplicates"] == len(kept)
    assert figures["finetuning_rows"] == len(kept)


# --- the stage


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files({COMPLETIONS: map(to_line, ROWS)})
    shutil.copy(ROOT / "data" / "seed_tasks.jsonl", "data")


def run(**changes: object) -> dict[str, bytes]:
    """What the stage wrote: name → bytes."""
    run_stage(prepare, prepare.Params(prepare=settings_of(**changes)))
    folders = (PREPARED, Path("metrics"), Path("plots"))
    return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}


def rows_of(written: dict[str, bytes], name: str) -> list[dict]:
    return [json.loads(line) for line in written[f"{name}.jsonl"].splitlines()]


def test_two_runs_write_the_same_bytes() -> None:
    first = run(num_instructions=6, include_seed_tasks=True)
    shutil.rmtree(PREPARED)
    assert run(num_instructions=6, include_seed_tasks=True) == first
    assert len(first) == 9


def test_the_same_row_of_each_form_is_of_the_same_instance() -> None:
    written = run(include_seed_tasks=True)
    forms = [rows_of(written, name) for name in ("finetuning", "messages", "alpaca")]
    assert len(forms[0]) > 200
    for tuned, chat, alpaca in zip(*forms, strict=True):
        user, assistant = chat["messages"]
        assert (user["role"], assistant["role"]) == ("user", "assistant")
        assert tuned["completion"].strip() == assistant["content"] == alpaca["output"].strip()
        assert alpaca["instruction"].strip() in tuned["prompt"]
        assert user["content"].startswith(alpaca["instruction"])
        assert user["content"].endswith(alpaca["input"])
        assert all(word in tuned["prompt"] for word in alpaca["input"].split()[-1:])


def test_seed_tasks_are_added_when_asked_for_and_only_then() -> None:
    hand_written = [
        GeneratedInstance(
            instruction=task.instruction,
            input=instance.input,
            output=instance.output,
            id=f"{task.id}/{number}",
            instruction_id=task.id,
            key=None,
        )
        for task in read_seed_tasks()
        for number, instance in enumerate(task.instances, 1)
    ]
    without, with_seeds = run(), run(include_seed_tasks=True)
    for name in ("all_generated_instances", "sampled_generated_instances", "rejected"):
        assert without[f"{name}.jsonl"] == with_seeds[f"{name}.jsonl"]
    added = [row for row in rows_of(with_seeds, "alpaca") if row not in rows_of(without, "alpaca")]
    assert sorted(map(str, added)) == sorted({str(row.model_dump()) for row in hand_written})


def test_only_the_sample_is_trained_on() -> None:
    written = run(num_instructions=3)
    sampled = rows_of(written, "sampled_generated_instances")
    assert len({row["instruction"] for row in sampled}) == 3
    assert sorted(map(str, rows_of(written, "alpaca"))) == sorted(map(str, sampled))
    assert len(rows_of(written, "all_generated_instances")) > len(sampled)


def test_every_row_has_the_key_of_the_answer_it_was_cut_from_and_a_seeds_own_has_none() -> None:
    written = run(include_seed_tasks=True)
    seeds = {task.instruction for task in read_seed_tasks()}
    for name in ("all_generated_instances", "sampled_generated_instances", "rejected", "alpaca"):
        for row in rows_of(written, name):
            own = None if row["instruction"] in seeds else key_of_answer(row["instruction"])
            assert row["key"] == own
            assert list(row)[-1] == "key"
    keys = [row["key"] for row in rows_of(written, "alpaca")]
    assert None in keys
    for name in ("finetuning", "messages"):
        assert [row["key"] for row in rows_of(written, name)] == keys
        assert all(list(row)[-1] == "key" for row in rows_of(written, name))


def test_every_instance_has_an_id_of_its_own_and_that_of_its_instruction() -> None:
    written = run(include_seed_tasks=True)
    seeds = {task.id for task in read_seed_tasks()}
    instances = rows_of(written, "all_generated_instances") + rows_of(written, "rejected")
    ids = [row["id"] for row in instances]
    assert len(set(ids)) == len(ids)
    for row in instances:
        assert row["id"].startswith(row["instruction_id"] + "/")
    of_text = {row["instruction"]: row["instruction_id"] for row in instances}
    assert len(set(of_text.values())) == len(of_text)
    alpaca = [(row["id"], row["instruction_id"]) for row in rows_of(written, "alpaca")]
    assert {instruction for _, instruction in alpaca} & seeds
    for name in ("finetuning", "messages"):
        assert [(row["id"], row["instruction_id"]) for row in rows_of(written, name)] == alpaca


def test_of_rows_that_repeat_exactly_the_first_answers_key_stays() -> None:
    kept = prepare.parse(ROWS, DEFAULTS).kept
    others = [row.model_copy(update={"key": "another"}) for row in kept]
    assert prepare.finetuning(kept + others, DEFAULTS) == prepare.finetuning(kept, DEFAULTS)
    assert {one.instance.key for one in prepare.finetuning(others + kept, DEFAULTS)} == {"another"}


def test_every_row_is_a_record() -> None:
    run()
    list(read_rows(PREPARED / "finetuning.jsonl", FinetuningRow))
    list(read_rows(PREPARED / "messages.jsonl", MessagesRow))
    list(read_rows(PREPARED / "all_generated_instances.jsonl", GeneratedInstance))
    assert {row.reason for row in read_rows(PREPARED / "rejected.jsonl", RejectedInstance)} == set(
        REASONS
    )


def test_asking_for_too_many_instructions_touches_nothing() -> None:
    with pytest.raises(TooFewInstructions):
        run(num_instructions=1000)
    assert not PREPARED.exists()


def test_so_many_rows_are_the_first_of_all_in_each_form_and_the_others_are_counted() -> None:
    everything, some = run(), run(num_rows=5)
    for form in ("finetuning", "messages", "alpaca"):
        assert rows_of(some, form) == rows_of(everything, form)[:5]
    untouched = ("all_generated_instances", "sampled_generated_instances", "rejected")
    assert all(some[f"{name}.jsonl"] == everything[f"{name}.jsonl"] for name in untouched)
    before, after = (json.loads(written["prepare.json"]) for written in (everything, some))
    assert after["finetuning_rows"] == 5
    over = {"name": "over_num_rows", "count": before["finetuning_rows"] - 5}
    assert after["instances"] == [*before["instances"], over]
    assert run(num_rows=before["finetuning_rows"]) == everything


@pytest.mark.parametrize("seeds", [False, True])
def test_too_few_rows_are_an_error_that_says_how_many_instructions_more_it_takes(
    seeds: bool,
) -> None:
    ten = [
        answer(f"Task {n}", f"Input: {n}\nOutput: {n + 1}" if n < 4 else "No.") for n in range(10)
    ]
    write_files({COMPLETIONS: map(to_line, ten)})
    there = len(rows_of(run(include_seed_tasks=seeds), "finetuning"))
    shutil.rmtree(PREPARED)
    # Ten instructions brought four rows: three more rows take eight.
    told = f"num_rows is {there + 3}, but there are {there} rows: by what 10 instructions brought, "
    told += "it takes 8 instructions more\n.*num_instructions_to_generate=18`"
    # The rows of pipelines/alpaca come of another parameter.
    told += ".*whole tasks, set alpaca.num_tasks_to_generate to 18; or lower prepare.num_rows"
    with pytest.raises(TooFewRows, match=told):
        run(num_rows=there + 3, include_seed_tasks=seeds)
    assert not PREPARED.exists()
    # Of a sample others may be there already.
    with pytest.raises(TooFewRows, match=r"Set prepare.num_instructions to 4, or to null"):
        run(num_rows=4, num_instructions=3)


def test_completions_without_any_usable_instance_are_an_error() -> None:
    write_files({COMPLETIONS: [to_line(answer("Chat", "I am sorry, I cannot."))]})
    with pytest.raises(BadFile, match="none of its 1 completions holds a usable instance"):
        run()


def test_a_broken_line_is_named_before_anything_is_written() -> None:
    write_files({COMPLETIONS: [*map(to_line, ROWS[:2]), '{"instruction": "i"}\n']})
    with pytest.raises(BadRow, match=f"{COMPLETIONS}:3: field raw_instances"):
        run()
    assert not PREPARED.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("finetuning", {"prompt", "completion"}),
        ("messages", {"messages"}),
        ("alpaca", {"instruction", "input", "output"}),
        ("all_generated_instances", {"instruction", "input", "output"}),
        ("sampled_generated_instances", {"instruction", "input", "output"}),
        ("rejected", {"instruction", "input", "output", "reason"}),
    ],
)
def test_each_output_loads_as_a_data_set(
    name: str, columns: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", os.fspath(tmp_path / "cache"))
    import datasets

    written = run(include_seed_tasks=True)
    loaded = datasets.load_dataset(
        "json",
        data_files=os.fspath(PREPARED / f"{name}.jsonl"),
        cache_dir=os.fspath(tmp_path / "cache"),
        split="train",
    )
    assert set(loaded.column_names) == columns | {"id", "instruction_id", "key"}
    assert loaded.to_list() == rows_of(written, name)
