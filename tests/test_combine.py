"""Sets to train on: which rows, in which forms, and with which tags."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.pairs import augmented, files_in, into, lay_prompts, params, put, rows, seed_pair

from seedbed.backtranslation import combine
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    FORMS,
    KEPT,
    PAIRS,
    SEED,
    SETS,
    CuratedPair,
)
from seedbed.errors import BadFile
from seedbed.training.sources import Prompts, read_examples

SEEDS, PAIRS_MADE, CURATED_ONES = 4, 7, (1, 5)
OF_SEED, OF_WEB = "Answer as an assistant.", "Answer from {the} web."
Files = dict[str, dict[str, list[dict[str, Any]]]]


def curated(n: int) -> CuratedPair:
    scored: dict[str, Any] = {"score": 1.0, "kept": True, "reason": None, "parts": []}
    return CuratedPair(**augmented(f"{n}").model_dump(), **scored)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_prompts(tmp_path)
    put(BACK / "start" / SEED / PAIRS, [seed_pair(n, demo=n > 0) for n in range(SEEDS)])
    made = [augmented(f"{n}") for n in range(PAIRS_MADE)]
    made[6] = made[6].model_copy(update={"license": None, "url": None})
    put(BACK / "round-2" / AUGMENTED / PAIRS, made)
    put(BACK / "round-2" / CURATED / KEPT, [curated(n) for n in CURATED_ONES])


def run(**changes: Any) -> Files:
    """The rows by set and form."""
    changes = {"system_seed": OF_SEED, "system_augmented": OF_WEB, **changes}
    combine.run(params(combine, combine=changes), combine.Inputs(), into(combine))
    return {
        name: {form: rows(into(combine).folder / name / form) for form in FORMS} for name in SETS
    }


def pair_of(row: dict[str, Any]) -> tuple[str, str]:
    """Instruction and output of a row without tags, in whatever form."""
    if "messages" in row:
        return row["messages"][-2]["content"], row["messages"][-1]["content"]
    if "prompt" in row:
        return row["prompt"].removesuffix("\n\nOutput:"), row["completion"].removeprefix(" ")
    return row["instruction"], row["output"]


def test_the_sets_are_those_of_the_paper() -> None:
    found = run()
    seeds = {seed_pair(n).id for n in range(SEEDS)}
    chosen = {f"s-{n}" for n in CURATED_ONES}
    assert {
        name: sorted(row["id"] for row in of["messages.jsonl"]) for name, of in found.items()
    } == {
        "seed": sorted(seeds),
        "all": [f"s-{n}" for n in range(PAIRS_MADE)],
        "curated": sorted(chosen),
        "seed_and_curated": sorted(seeds | chosen),
    }


def test_row_n_of_each_form_is_the_same_pair() -> None:
    for name, of in run(tag="none").items():
        for many in zip(*(of[form] for form in FORMS), strict=True):
            assert len({row["id"] for row in many}) == 1, name
            assert len({pair_of(row) for row in many}) == 1, name
            about = [{key: row[key] for key in ("source", "license", "url", "key")} for row in many]
            assert about[0] == about[1] == about[2]


def tag_of(row: dict[str, Any]) -> str:
    return OF_SEED if row["source"] == "seed" else OF_WEB


def test_as_a_system_message_the_tag_stands_in_each_form_and_by_source() -> None:
    plain = run(tag="none")
    for name, of in run(tag="system").items():
        assert {row["source"] for row in of["messages.jsonl"]} == {
            "seed": {"seed"},
            "all": {"augmented"},
            "curated": {"augmented"},
            "seed_and_curated": {"seed", "augmented"},
        }[name]
        without = plain[name]
        messages, prompts, alpaca = (zip(of[form], without[form], strict=True) for form in FORMS)
        for row, bare in messages:
            assert row["messages"][0] == {"role": "system", "content": tag_of(row)}
            assert row["messages"][1:] == bare["messages"]
        for row, bare in prompts:
            assert row == {**bare, "prompt": f"{tag_of(row)}\n\n{bare['prompt']}"}
        for row, bare in alpaca:
            assert row == {**bare, "system": tag_of(row)}


def test_as_a_prefix_the_tag_is_a_line_before_the_instruction_in_each_form() -> None:
    plain = run(tag="none")
    for name, of in run(tag="prefix").items():
        for form in FORMS:
            for row, bare in zip(of[form], plain[name][form], strict=True):
                instruction, output = pair_of(bare)
                assert pair_of(row) == (f"{tag_of(row)}\n\n{instruction}", output)
                assert not any(one["role"] == "system" for one in row.get("messages", ()))
                assert row.get("system") is None


def test_without_a_tag_there_is_none() -> None:
    run(tag="none")
    assert not any(
        tag.encode() in data
        for data in files_in(into(combine).folder).values()
        for tag in (OF_SEED, OF_WEB)
    )


@pytest.mark.parametrize("tag", ["system", "prefix", "none"])
def test_a_trainer_makes_the_same_of_messages_and_of_prompts(tag: str) -> None:
    run(tag=tag)
    prompts = Prompts(Path("data/prompts/finetune"))
    for name in SETS:
        folder = into(combine).folder / name
        first, second = (
            [(one.prompt, one.completion) for one in read_examples(folder / form, prompts)]
            for form in FORMS[:2]
        )
        assert first == second


def test_a_seed_pair_is_trained_on_with_its_system_message_and_its_licence() -> None:
    said = {"system": "Be brief.", "license": "MIT", "url": "a.org"}
    pair = seed_pair(1).model_copy(update=said)
    (row,) = combine.of_seed([pair])
    assert row.instruction == f"Be brief.\n\n{pair.instruction}"
    assert (row.license, row.url) == ("MIT", "a.org")


def test_seed_pairs_stand_so_many_times_beside_the_curated_ones_and_once_elsewhere() -> None:
    once, thrice = run(), run(seed_times=3)
    for name in ("seed", "all", "curated"):
        assert thrice[name] == once[name]
    mixed = thrice["seed_and_curated"]["messages.jsonl"]
    assert len(mixed) == 3 * SEEDS + len(CURATED_ONES)
    assert len({row["id"] for row in mixed}) == len(mixed)
    for n in range(SEEDS):
        name = seed_pair(n).id
        copies = [row for row in mixed if row["id"].partition("#")[0] == name]
        assert [json.dumps(row["messages"]) for row in copies].count(
            json.dumps(copies[0]["messages"])
        ) == 3
    assert {row["id"] for row in once["seed_and_curated"]["messages.jsonl"]} <= {
        row["id"] for row in mixed
    }


def test_a_pair_keeps_its_place_among_the_others_whatever_is_there_besides() -> None:
    def order(found: Files) -> list[str]:
        return [row["id"] for row in found["all"]["messages.jsonl"]]

    whole = order(run())
    assert whole != sorted(whole)
    put(BACK / "round-2" / AUGMENTED / PAIRS, [augmented(f"{n}") for n in (6, 4, 2)])
    assert order(run()) == [name for name in whole if name in ("s-2", "s-4", "s-6")]
    assert order(run(seed=7)) != order(run(seed=8))


def test_licence_address_and_key_go_with_a_text_and_what_people_wrote_has_none() -> None:
    found = run()
    for row in found["all"]["finetuning.jsonl"]:
        n = row["id"].removeprefix("s-")
        free = n == "6"
        assert row["license"] == (None if free else "cc-by-4.0")
        assert row["url"] == (None if free else f"https://example.org/{n}")
        assert row["key"] == f"key-{n}"
    assert {row["key"] for row in found["seed"]["alpaca.jsonl"]} == {None}


def test_the_metrics_count_rows_by_source_and_those_without_a_licence() -> None:
    run(seed_times=2)
    found = json.loads(into(combine).metrics.read_text())
    both = 2 * SEEDS + len(CURATED_ONES)
    assert found["combined_rows"] == both
    by_name = {row.pop("name"): row for row in found["combined_set"]}
    assert by_name == {
        "seed": {"rows": SEEDS, "seed": SEEDS, "augmented": 0, "without_license": 0},
        "all": {"rows": PAIRS_MADE, "seed": 0, "augmented": PAIRS_MADE, "without_license": 1},
        "curated": {"rows": 2, "seed": 0, "augmented": 2, "without_license": 0},
        "seed_and_curated": {
            "rows": both,
            "seed": 2 * SEEDS,
            "augmented": 2,
            "without_license": 0,
        },
    }


def test_a_second_run_gives_the_same_bytes() -> None:
    run()
    first = files_in(into(combine).folder)
    run()
    assert files_in(into(combine).folder) == first


def test_a_round_that_is_not_there_is_an_error_and_no_file() -> None:
    (BACK / "round-2" / CURATED / KEPT).unlink()
    with pytest.raises(BadFile, match=r"curated.jsonl: no such file"):
        run()
    assert not into(combine).folder.exists()
