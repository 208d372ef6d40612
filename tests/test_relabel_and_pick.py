"""From labels to a training set for the ranker."""

import json
import math
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import plain_relabel as plain
from benchmarks.plain_relabel import Example
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engines import FAKE
from support.params import section
from support.project import Project
from support.stages import run_stage
from support.tries import tries

from seedbed.auto_instruct import relabel_and_pick, weighted_draws
from seedbed.auto_instruct.errors import (
    NothingToTrainOn,
    OtherCandidates,
    TooFewCandidates,
    UnknownTask,
)
from seedbed.auto_instruct.label_file import Labelled
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct.pick import ABSENT, REASONS, Picked, evenness, pick
from seedbed.auto_instruct.token_estimate import by_words
from seedbed.core.files import read_rows
from seedbed.errors import BadFile, BadRow
from seedbed.tasks.places import MERGED

TASK = "task1_colours"


def settings_of(**changes: object) -> RelabelAndPick:
    return section(RelabelAndPick, **{"sample_instructions": 3, "tokenizer": "words", **changes})


DEFAULTS = settings_of()


def picked(
    examples: list[Example], candidates: int, params: RelabelAndPick, allowed: list[int] | None
) -> tuple[list[plain.Kept], Picked]:
    """What the vectorised core keeps, in the plain version's form."""
    scores = np.full((len(examples), candidates), ABSENT)
    for place, one in enumerate(examples):
        scores[place, one.idx] = one.rouge
    names = weighted_draws.as_keys([weighted_draws.name(example.id) for example in examples])
    keys = weighted_draws.keys(names, params.seed, "relabel", TASK)
    may = np.zeros(candidates, dtype=bool)
    may[list(range(candidates)) if allowed is None else allowed] = True
    found = pick(scores, keys, may, params)
    rows = zip(found.rows, found.drawn.tolist(), found.labels.tolist(), strict=True)
    return [plain.Kept(examples[row].id, drawn, labels) for row, drawn, labels in rows], found


def assert_same_as_plain(
    examples: list[Example],
    candidates: int,
    params: RelabelAndPick,
    allowed: list[int] | None = None,
) -> tuple[list[plain.Kept], Counter[str]]:
    kept, found = picked(examples, candidates, params, allowed)
    may = list(range(candidates)) if allowed is None else allowed
    wanted, dropped = plain.relabel_and_pick(examples, candidates, may, TASK, params)
    assert [(one.id, one.idx) for one in kept] == [(one.id, one.idx) for one in wanted]
    for one, other in zip(kept, wanted, strict=True):
        assert one.labels == pytest.approx(other.labels, rel=0, abs=1e-12)
    assert found.dropped == dropped
    assert len(examples) == len(kept) + dropped.total()
    return kept, dropped


def full(*rouge: list[float]) -> list[Example]:
    """Examples on which all candidates were tried."""
    return [Example(f"e{n}", list(range(len(row))), row) for n, row in enumerate(rouge)]


# --- against the plain version

# Few values, so that ties are many; some a hair apart, on either side of what counts as equal. (A
# hair is no half of the last digit that counts: arithmetic's own error would decide there.)
SCORES = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 0.5 * (1 + 1e-13), 0.5 * (1 + 1e-8), 1.0, math.nan]),
    st.integers(0, 1000).map(lambda n: n / 1000),
    st.floats(0, 1, allow_subnormal=False),
)


@st.composite
def tasks(draw: st.DrawFn) -> tuple[list[Example], int, RelabelAndPick, list[int]]:
    candidates = draw(st.integers(2, 9))
    some = st.lists(st.integers(0, candidates - 1), unique=True)
    everything = st.just(list(range(candidates)))
    names = draw(st.lists(st.text(max_size=8), unique=True, max_size=14))
    examples = []
    for name in names:
        idx = draw(st.one_of(everything, everything, some))
        each = st.lists(SCORES, min_size=len(idx), max_size=len(idx))
        rouge = draw(each)
        if rouge and draw(st.integers(0, 5)) == 0:
            rouge = rouge[:1] * len(idx)
        if any(map(math.isnan, rouge)) and draw(st.booleans()):
            rouge = [0.75 if math.isnan(score) else score for score in rouge]
        examples.append(Example(name, idx, rouge))
    params = settings_of(
        sample_instructions=draw(st.integers(2, candidates)),
        min_qualify_range=draw(st.sampled_from([0, 10, 25, 50])),
        max_examples=draw(st.sampled_from([None, 1, 2, 5, 400])),
        rank_criteria=draw(st.sampled_from(["norm_score_max", "relative_score_range"])),
        pick_example_criteria=draw(st.sampled_from(["instruction_popularity", "random"])),
        min_best_norm_score=draw(st.sampled_from([None, None, 0.2, 0.4, 0.6])),
        seed=draw(st.integers(-3, 2**40)),
    )
    return examples, candidates, params, draw(st.one_of(everything, some.map(sorted)))


@settings(max_examples=tries(400), deadline=None)
@given(tasks())
def test_the_same_as_the_plain_version(
    task: tuple[list[Example], int, RelabelAndPick, list[int]],
) -> None:
    assert_same_as_plain(*task)


@settings(max_examples=tries(100), deadline=None)
@given(tasks(), st.randoms(use_true_random=False))
def test_what_is_kept_does_not_depend_on_the_order_of_the_examples(
    task: tuple[list[Example], int, RelabelAndPick, list[int]], order: random.Random
) -> None:
    examples, candidates, params, allowed = task
    shuffled = list(examples)
    order.shuffle(shuffled)
    one, other = (picked(rows, candidates, params, allowed)[0] for rows in (examples, shuffled))
    by_id = {row.id: row for row in other}
    assert by_id.keys() == {row.id for row in one}
    for row in one:
        assert row.idx == by_id[row.id].idx
        assert row.labels == pytest.approx(by_id[row.id].labels, rel=0, abs=1e-12)


def made_up(count: int, candidates: int = 22, seed: int = 0) -> list[Example]:
    """Examples as label writes them: many zeros, many ties, the first candidates better."""
    draw = random.Random(seed)
    found = []
    for n in range(count):
        rouge = [
            round(draw.random() ** 2, 2) if draw.random() < 0.8 - 0.02 * i else 0.0
            for i in range(candidates)
        ]
        found.append(Example(f"id-{n}", list(range(candidates)), rouge))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["instruction_popularity", "random"])
def test_the_same_as_the_plain_version_on_more_than_one_block(criterion: str) -> None:
    examples = made_up(9000)  # of 4,096 a block
    params = settings_of(
        sample_instructions=8, pick_example_criteria=criterion, min_best_norm_score=0.3
    )
    kept, dropped = assert_same_as_plain(examples, 22, params)
    assert len(kept) == 400
    assert dropped["below_min_best"] > 0 < dropped["below_min_range"]


NAN = math.nan


@pytest.mark.parametrize(
    ("examples", "changes", "kept", "dropped"),
    [
        pytest.param(full([0.5] * 4, [0.0] * 4), {}, 0, {"all_equal": 2}, id="all equal"),
        pytest.param(
            full([0.5, 0.5 + 1e-12, 0.5, 0.5]), {}, 0, {"all_equal": 1}, id="all but equal"
        ),
        pytest.param(full([0.1, 0.15, 0.19]), {}, 0, {"below_min_range": 1}, id="small range"),
        pytest.param(full([0.1, 0.15, 0.19]), {"min_qualify_range": 0}, 1, {}, id="no limit"),
        pytest.param(full([0.6, 0.5, 0.5], [0.4, 0.3, 0.3]), {}, 2, {}, id="just the limit"),
        pytest.param(
            full([0.0, 0.5, 1.0]),
            {"min_best_norm_score": 0.9},
            0,
            {"below_min_best": 1},
            id="low best label",
        ),
        pytest.param(full([1.0, 0.0, 0.0]), {}, 1, {}, id="one example"),
        pytest.param([], {}, 0, {}, id="no example"),
        pytest.param(full([NAN] * 4, [NAN, 1.0, 0.0]), {}, 0, {"nan": 2}, id="NaN"),
        pytest.param(
            [Example("a", [0, 3], [0.0, 1.0]), Example("b", [], [])],
            {},
            0,
            {"too_few_candidates": 2},
            id="fewer candidates than asked for",
        ),
        pytest.param(
            [Example("a", [3, 0, 2], [0.0, 1.0, 0.5])], {}, 1, {}, id="as many, in any order"
        ),
        pytest.param(
            full(*[[1.0, 0.0, 0.0, 0.0]] * 5),
            {"max_examples": 2, "sample_instructions": 4},
            2,
            {"over_the_maximum": 3},
            id="zero popularity",
        ),
        pytest.param(
            full(*[[1.0, 1.0, 0.0]] * 5),
            {"max_examples": 5},
            5,
            {},
            id="as many as allowed",
        ),
    ],
)
def test_what_is_kept_and_why_the_rest_is_not(
    examples: list[Example], changes: dict[str, object], kept: int, dropped: dict[str, int]
) -> None:
    rows, reasons = assert_same_as_plain(examples, 4, settings_of(**changes))
    assert len(rows) == kept
    assert +reasons == Counter(dropped)
    assert set(reasons) <= set(REASONS)


def test_a_nan_never_ties_the_best_and_is_dropped_only_if_drawn() -> None:
    examples = [Example(f"e{n}", [0, 1, 2, 3], [NAN, 1.0, 0.5, 0.0]) for n in range(200)]
    kept, found = picked(examples, 4, DEFAULTS, None)
    assert 0 < len(kept) < 200
    assert found.before.tolist() == [0, len(kept), 0, 0]
    assert all(one.idx == [1, 2, 3] for one in kept)
    assert found.dropped["nan"] == 200 - len(kept)


def test_labels_are_the_softmax_of_the_z_scores_and_the_best_come_first() -> None:
    kept, _ = picked(full([0.0, 0.5, 1.0], [0.0, 0.0, 1.0]), 3, DEFAULTS, None)
    z = math.sqrt(1.5)
    total = math.exp(-z) + 1 + math.exp(z)
    assert kept[1].id == "e0"
    assert kept[1].labels == pytest.approx([math.exp(-z) / total, 1 / total, math.exp(z) / total])
    assert sum(kept[0].labels) == pytest.approx(1)
    assert max(kept[0].labels) > max(kept[1].labels)


def test_the_range_of_the_drawn_scores_can_be_the_order() -> None:
    examples = full([0.0, 0.9, 0.9], [0.2, 0.5, 0.2], [0.0, 0.5, 1.0])
    kept, _ = picked(examples, 3, settings_of(rank_criteria="relative_score_range"), None)
    assert [one.id for one in kept] == ["e2", "e0", "e1"]


def test_a_candidate_that_is_left_out_is_never_drawn() -> None:
    kept, _ = picked(made_up(300), 22, settings_of(sample_instructions=8), list(range(0, 22, 2)))
    assert kept
    assert all(place % 2 == 0 for one in kept for place in one.idx)


def test_evenness_is_entropy_as_a_share_of_the_most_there_can_be() -> None:
    assert evenness(np.array([5, 5, 5, 5])) == 1
    assert evenness(np.array([7, 7, 0, 0])) == 0.5
    assert evenness(np.array([9, 0, 0])) == evenness(np.array([0, 0])) == 0
    assert evenness(np.array([3])) == evenness(np.array([], dtype=int)) == 0


# --- the draws


def test_the_numbers_are_splitmix64s() -> None:
    # The first five from the seed 1234567, as published with the generator.
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    numbers = weighted_draws.uniform(np.array([1234567], dtype=np.uint64), 5)[0]
    assert numbers.tolist() == [((word >> 11) + 0.5) * 2**-53 for word in published]


def test_another_seed_purpose_task_or_example_draws_otherwise() -> None:
    kinds = [(42, "relabel", "a", "x"), (43, "relabel", "a", "x"), (42, "other", "a", "x")]
    kinds += [(42, "relabel", "b", "x"), (42, "relabel", "a", "y")]
    keys = {
        tuple(
            weighted_draws.keys(
                weighted_draws.as_keys([weighted_draws.name(name)]), seed, what, task
            )[0]
        )
        for seed, what, task, name in kinds
    }
    assert len(keys) == len(kinds)


def test_the_first_are_as_many_as_wanted_even_if_all_tie() -> None:
    times = np.array([[1.0, 1.0, 1.0, 0.5], [3.0, 1.0, 2.0, 2.0], [np.inf, 1.0, np.inf, np.inf]])
    won = weighted_draws.first(times, 2)
    assert won.tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]]


def chance_of(chosen: Iterable[int], weights: list[float]) -> float:
    """That exactly these are drawn, one after the other, none twice, by weight."""
    total = 0.0
    for order in permutations(chosen):
        left, chance = sum(weights), 1.0
        for place in order:
            chance *= weights[place] / left
            left -= weights[place]
        total += chance
    return total


def chi_squared(found: Counter[tuple[int, ...]], expected: dict[tuple[int, ...], float]) -> float:
    number = found.total()
    return sum(
        (found[one] - number * chance) ** 2 / (number * chance) for one, chance in expected.items()
    )


# Exceeded once in a million: quantiles of the chi-squared distribution, by degrees of freedom.
CRITICAL = {5: 35.89, 9: 44.81}


def test_candidates_are_drawn_as_often_as_their_weights_say() -> None:
    # Popularities 12000, 6000, 2000, 0: four candidates, of which two are drawn.
    examples = full(*([[1.0, 0.1, 0.2, 0.0]] * 12000 + [[0.1, 1.0, 0.2, 0.0]] * 6000))
    examples += [Example(f"f{n}", [0, 1, 2, 3], [0.0, 0.3, 1.0, 0.6]) for n in range(2000)]
    params = settings_of(sample_instructions=2, min_qualify_range=0, max_examples=None)
    kept, _ = picked(examples, 4, params, None)
    assert len(kept) == 20000
    found = Counter(tuple(one.idx) for one in kept)

    inverse = [1 / 12000, 1 / 6000, 1 / 2000, 0.0]
    powers = [math.exp(one / (1 / 2000)) for one in inverse]
    pairs = list(combinations(range(4), 2))
    weights = [one / sum(powers) for one in powers]
    assert chi_squared(found, {pair: chance_of(pair, weights) for pair in pairs}) < CRITICAL[5]
    # The test can fail: these are what a mistake would draw.
    mistakes = [
        [1.0] * 4,  # no weights at all
        [math.exp(1 - one / (1 / 2000)) for one in inverse],  # the popular more often
        [*weights[:3], 1e-9],  # what is never the best, never drawn
        [math.exp(p / 12000) for p in (12000, 6000, 2000, 0)],  # popularity, not its inverse
    ]
    for wrong in mistakes:
        chances = {pair: chance_of(pair, wrong) for pair in pairs}
        assert chi_squared(found, chances) > 10 * CRITICAL[5]


@pytest.mark.slow
@pytest.mark.parametrize("criterion", ["instruction_popularity", "random"])
def test_examples_are_drawn_as_often_as_their_weights_say(criterion: str) -> None:
    # All candidates are drawn, so an example's popularity is the sum over those it was tried with.
    rows = [([0, 1], [1.0, 0.0])] * 3 + [([2, 3], [1.0, 0.0]), ([0, 4], [0.0, 1.0])]
    found = Counter[tuple[int, ...]]()
    for seed in range(4000):
        examples = [Example(f"e{n}", idx, rouge) for n, (idx, rouge) in enumerate(rows)]
        params = settings_of(
            sample_instructions=2, max_examples=2, pick_example_criteria=criterion, seed=seed
        )
        kept, _ = picked(examples, 5, params, None)
        found[tuple(sorted(int(one.id[1:]) for one in kept))] += 1

    sums = [3, 3, 3, 1, 4]  # popularities 3, 0, 1, 0, 1
    scaled = [(1 / one - 1 / 4) / (1 - 1 / 4) for one in sums]
    by_weight = [math.exp(one) for one in scaled]
    pairs = list(combinations(range(5), 2))
    expected, wrong = (
        {pair: chance_of(pair, weights) for pair in pairs} for weights in (by_weight, [1.0] * 5)
    )
    if criterion == "random":
        expected, wrong = wrong, expected
    assert chi_squared(found, expected) < CRITICAL[9]
    assert chi_squared(found, wrong) > 5 * CRITICAL[9]


def test_weights_are_even_where_there_is_nothing_to_tell_apart() -> None:
    for popularity in ([4, 4, 4], [0, 0, 0], [7]):
        weights = weighted_draws.inverse_weights(np.array(popularity))
        assert weights.tolist() == pytest.approx([1 / len(popularity)] * len(popularity))
    weights = weighted_draws.inverse_weights(np.array([1, 1000, 0])).tolist()
    assert weights[0] / weights[2] == pytest.approx(math.e)


# --- files


LABELS = Path("data/label")
OUT = Path("data/relabel_and_pick")


def row_of(one: Example, **changes: object) -> dict[str, Any]:
    row = {
        "id": one.id,
        "input": f"What colour is {one.id}?",
        "target": "Blue, naïvely.",
        "instruction_idx": one.idx,
        "instruction_labels": [int(score > 0.5) for score in one.rouge],
        "instruction_outputs": [f"{one.id} by {place}" for place in one.idx],
        "instruction_rouge": one.rouge,
        "instruction_keys": [f"key {one.id} {place}" for place in one.idx],
        "seconds": [1, 2],
    }
    return row | changes


def write_task(name: str, rows: list[dict[str, Any]], candidates: int = 6) -> None:
    headers = [
        {"prompt": "Example: {{input}}"},
        {"instructions": [f"Name a colour, way {i}." for i in range(candidates)]},
        {"demos": "Input: x\nOutput: y"},
    ]
    path = LABELS / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in [*headers, *rows]))


def rows_of(seed: int, count: int = 30, candidates: int = 6) -> list[dict[str, Any]]:
    return [row_of(one) for one in made_up(count, candidates, seed)]


def run(**changes: object) -> dict[str, Any]:
    """Run the stage; gives its metrics, of the tables what is found under a name."""
    own = settings_of(**changes)
    run_stage(relabel_and_pick, relabel_and_pick.Params(llm=FAKE, relabel_and_pick=own))
    figures = json.loads(Path("metrics/relabel_and_pick.json").read_text())
    return {
        name: {row.pop("name"): row.get("count", row) for row in value}
        if isinstance(value, list)
        else value
        for name, value in figures.items()
    }


def written() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(OUT.iterdir())}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (OUT / name).read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three tasks' labels in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["task2_b", "task1_a", "task3_c"]):
        write_task(name, rows_of(number))
    return tmp_path


def test_a_kept_example_is_cut_to_its_candidates_whatever_its_fields(folder: Path) -> None:
    run()
    headers = (LABELS / "task1_a.jsonl").read_text().splitlines()[:3]
    assert (OUT / "task1_a.jsonl").read_text().splitlines()[:3] == headers
    before = {row["id"]: row for row in rows_of(1)}
    rows = lines("task1_a.jsonl")[3:]
    assert rows
    for row in rows:
        old, drawn = before[row["id"]], row["instruction_idx"]
        assert drawn == sorted(drawn)
        assert len(drawn) == 3
        for name in ("rouge", "outputs", "keys"):
            assert row[f"instruction_{name}"] == [old[f"instruction_{name}"][i] for i in drawn]
        assert sum(row["instruction_labels"]) == pytest.approx(1)
        assert {name: row[name] for name in ("id", "input", "target", "seconds")} == {
            name: old[name] for name in ("id", "input", "target", "seconds")
        }
    best = [round(max(row["instruction_labels"]), 12) for row in rows]
    assert best == sorted(best, reverse=True)


def test_the_files_are_read_back_as_the_same_record(folder: Path) -> None:
    run()
    for name in ("train", "seen_dev"):
        assert all(isinstance(row, Labelled) for row in read_rows(OUT / f"{name}.jsonl", Labelled))


def test_an_id_that_is_a_number_is_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = [row | {"id": number} for number, row in enumerate(rows_of(0))]
    outputs = []
    for rows in (numbers, [row | {"id": str(row["id"])} for row in numbers]):
        write_task("task1_a", rows)
        run()
        outputs.append(written())
    assert outputs[0] == outputs[1]
    assert all(type(row["id"]) is str for row in lines("task1_a.jsonl")[3:])


@pytest.mark.parametrize("id_", [1.5, True, None, [1]])
def test_an_id_is_a_text_or_a_whole_number(folder: Path, id_: object) -> None:
    write_task("task1_a", [row_of(Example("a", [0, 1, 2], [0.0, 0.5, 1.0])) | {"id": id_}])
    with pytest.raises(BadRow, match=r"task1_a\.jsonl:4: field id: "):
        run()


def test_a_number_and_the_same_number_as_text_are_one_id(folder: Path) -> None:
    write_task("task1_a", [rows_of(0)[0] | {"id": id_} for id_ in (7, "7")])
    with pytest.raises(BadRow, match="id '7' is already that of line 4"):
        run()


def test_rows_in_are_rows_kept_and_rows_dropped_with_a_reason_for_each_task(folder: Path) -> None:
    write_task("task4_nan", [row_of(Example("a", [0, 1, 2], [NAN, NAN, NAN]))])
    write_task("task5_none", [])
    figures = run(max_examples=10, unseen_dev_tasks=["task3_c"], max_task_examples=6)
    for name, own in figures["task"].items():
        rows = len((LABELS / f"{name}.jsonl").read_text().splitlines()) - 3
        assert rows == own["examples"] == own["kept"] + sum(own["dropped"].values())
        assert list(own["dropped"]) == list(REASONS)
        if own["kept"]:
            assert own["kept"] == len(lines(f"{name}.jsonl")) - 3
        else:
            assert not (OUT / f"{name}.jsonl").exists()
    tasks = figures["task"].values()
    assert figures["examples"] == sum(own["examples"] for own in tasks)
    assert figures["examples_kept"] == sum(own["kept"] for own in tasks)
    assert figures["examples_kept"] == sum(figures[name] for name in MERGED) + sum(
        figures["left_out_of_merged"].values()
    )
    assert figures["dropped"]["over_the_maximum"] > 0 < figures["dropped"]["nan"]
    assert figures["left_out_of_merged"]["over_max_task_examples"] == 2 * (10 - 2 - 6)
    assert figures["tasks_skipped"] == {
        "candidates_too_long": 0,
        "no_examples": 1,
        "nothing_qualifies": 1,
    }
    assert all(figures[name] == len(lines(f"{name}.jsonl")) for name in MERGED)


def test_merged_rows_stand_for_themselves(folder: Path) -> None:
    figures = run(unseen_dev_tasks=["task2_b"])
    assert all(figures[name] for name in MERGED)
    seen: list[str] = []
    for name in MERGED:
        for row in lines(f"{name}.jsonl"):
            assert row["prompt"] == "Example: {{input}}"
            assert row["demos"] == "Input: x\nOutput: y"
            assert row["instructions"] == [
                f"Name a colour, way {i}." for i in row["instruction_idx"]
            ]
            assert row["id"].startswith("task2_b:") == (name == "unseen_dev")
            seen.append(row["id"])
    assert len(seen) == len(set(seen)) == figures["examples_kept"]


def test_development_takes_no_more_than_half_of_a_task(folder: Path) -> None:
    figures = run(seen_dev_examples=1000)
    kept = [own["kept"] for own in figures["task"].values()]
    assert figures["seen_dev"] == sum(number // 2 for number in kept)
    assert run(seen_dev_examples=0)["seen_dev"] == 0


def test_a_task_with_too_few_training_examples_is_left_out_of_both(folder: Path) -> None:
    write_task("task0_small", rows_of(9, count=5))
    figures = run(min_task_examples=8)
    assert figures["left_out_of_merged"]["below_min_task_examples"] > 0
    for name in ("train", "seen_dev"):
        assert not [row for row in lines(f"{name}.jsonl") if row["id"].startswith("task0_small:")]
    assert (OUT / "task0_small.jsonl").exists()


def test_one_task_more_changes_nothing_for_the_others(folder: Path) -> None:
    run(max_examples=9)
    before = written()
    for name in ("task0_new", "task15_new", "task9_new"):
        write_task(name, rows_of(7))
    run(max_examples=9)
    after = written()
    for name, content in before.items():
        old = [line for line in after[name].splitlines() if b'"task0_' not in line]
        old = [line for line in old if not line.startswith((b'{"id": "task15_', b'{"id": "task9_'))]
        old = [line for line in old if not line.startswith(b'{"id": "task0_')]
        assert old == content.splitlines()


def test_the_same_input_gives_the_same_bytes(folder: Path) -> None:
    run(max_examples=9)
    before = written(), Path("metrics/relabel_and_pick.json").read_bytes()
    run(max_examples=9)
    assert (written(), Path("metrics/relabel_and_pick.json").read_bytes()) == before
    run(max_examples=9, seed=43)
    assert written() != before[0]


@pytest.mark.parametrize("ray", ["", "local"])
def test_two_processes_write_what_this_one_writes(
    ray: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        write_task(f"task{number}", rows_of(number, 30 + number))
    here = run(), written()
    monkeypatch.setattr(relabel_and_pick, "ALONE", 1)
    monkeypatch.setenv("SEEDBED_SHARDS", "2")
    # What reads files stays on this machine.
    monkeypatch.setenv("SEEDBED_RAY", ray)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert (run(), written()) == here
    write_task("task3", [rows_of(1)[0], {"id": "x"}])
    with pytest.raises(BadRow, match=r"task3\.jsonl:5: "):
        run()
    assert written() == here[1]


def test_a_task_that_is_gone_leaves_no_file_behind(folder: Path) -> None:
    run()
    (LABELS / "task3_c.jsonl").unlink()
    run()
    assert "task3_c.jsonl" not in written()


def test_popularity_is_plotted_before_and_after(folder: Path) -> None:
    figures = run()
    points = json.loads(Path("plots/candidate_popularity.json").read_text())
    assert [(point["when"], point["candidate"]) for point in points] == [
        (when, i) for when in ("before", "after") for i in range(6)
    ]
    best = Counter[int]()
    for name in figures["task"]:
        for row in lines(f"{name}.jsonl")[3:]:
            top = max(row["instruction_rouge"])
            scores = zip(row["instruction_idx"], row["instruction_rouge"], strict=True)
            best.update(place for place, score in scores if math.isclose(score, top))
    assert [point["count"] for point in points[6:]] == [best[i] for i in range(6)]
    assert sum(point["share"] for point in points[6:]) == pytest.approx(1, abs=1e-5)
    assert 0 < figures["evenness_before"] < figures["evenness_after"] <= 1


def test_long_candidates_are_left_out_and_a_task_of_mostly_long_ones_is_skipped(
    folder: Path,
) -> None:
    for name, long in (("task1_a", 3), ("task2_b", 4)):
        path = LABELS / f"{name}.jsonl"
        old = path.read_text().splitlines()
        texts = ["word " * 200 if i < long else "Short." for i in range(6)]
        old[1] = json.dumps({"instructions": texts})
        path.write_text("\n".join(old) + "\n")
    figures = run(max_instruction_tokens=256)
    assert figures["candidates_too_long"] == 7
    assert figures["tasks_skipped"]["candidates_too_long"] == 1
    assert figures["task"]["task2_b"]["dropped"]["candidates_too_long"] == 30
    assert "task2_b.jsonl" not in written()
    for row in lines("task1_a.jsonl")[3:]:
        assert row["instruction_idx"] == [3, 4, 5]


def test_words_stand_for_tokens_four_for_three_rounded_up() -> None:
    assert by_words(["", "a", "a b", "a b c", " a  b\nc d "]) == [0, 2, 3, 4, 6]
    assert by_words(["word " * 192]) == [256]


def test_it_asks_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    run(max_instruction_tokens=256)


# --- bad input


def write_candidates(name: str, instructions: list[str]) -> Path:
    path = Path(f"data/candidates/{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(instructions))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda texts: texts[:-1], ["6 of them", "has 5", "number 5"]),
        (lambda texts: [*texts, "One more."], ["6 of them", "has 7", "number 6"]),
        (lambda texts: [texts[1], texts[0], *texts[2:]], ["number 0"]),
    ],
    ids=["fewer", "more", "others"],
)
def test_labels_made_with_other_candidates_are_refused(
    folder: Path, change: Callable[[list[str]], list[str]], said: list[str]
) -> None:
    texts = [f"Name a colour, way {i}." for i in range(6)]
    path = write_candidates("task2_b", texts)
    run()
    before = written()
    write_candidates("task2_b", change(texts))
    with pytest.raises(OtherCandidates) as raised:
        run()
    assert str(raised.value).startswith("data/label/task2_b.jsonl:2: field instructions")
    for part in [str(path), "dvc repro label", *said]:
        assert part in str(raised.value)
    assert written() == before


def one(**changes: object) -> dict[str, Any]:
    return row_of(Example("x", [0, 1, 2, 3], [0.1, 0.2, 0.3, 0.9]), **changes)


def text(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


HEADERS = ({"prompt": "p"}, {"instructions": ["a", "b", "c", "d"]}, {"demos": ""})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(text(*HEADERS, one(), one()), [":5: id 'x'", "of line 4"], id="same id"),
        pytest.param(
            text(*HEADERS, one(instruction_idx=[0, 1, 2, 4])),
            [":4: field instruction_idx", "0 to 3", "other candidates"],
            id="out of range",
        ),
        pytest.param(
            text(*HEADERS, one(), one(id="y", instruction_idx=[0, 1, 2, -1])),
            [":5: field instruction_idx", "0 to 3"],
            id="negative",
        ),
        pytest.param(
            text(*HEADERS, one(instruction_idx=[0, 1, 2, 2**70])),
            [":4: field instruction_idx"],
            id="far out of range",
        ),
        pytest.param(
            text(*HEADERS, one(instruction_idx=[0, 1, 2, 2])), [":4: ", "twice"], id="twice"
        ),
        pytest.param(
            text(*HEADERS, one(instruction_rouge=[0.1, 0.2, 0.3])),
            [":4: field instruction_rouge: 3 entries", "has 4"],
            id="unequal",
        ),
        pytest.param(
            text(*HEADERS, one(instruction_keys=["k"])),
            [":4: field instruction_keys: 1 entries"],
            id="a further list is unequal",
        ),
        pytest.param(
            text(*HEADERS, one(instruction_outputs=["a", "b", "c", 4])),
            [":4: field instruction_outputs.3", "string"],
            id="a number for a text",
        ),
        pytest.param(
            text(*HEADERS, one(instruction_outputs=["a", "b", "c", None])),
            [":4: field instruction_outputs.3", "string"],
            id="null for a text",
        ),
        pytest.param(
            text(*HEADERS, one(instruction_rouge=[0.1, 0.2, 0.3, "1"])),
            [":4: field instruction_rouge.3", "number"],
            id="a text for a number",
        ),
        pytest.param(
            text(*HEADERS, one(), one(id="y", instruction_rouge=[0.1, 0.2, 0.3, 90.0])),
            [":5: field instruction_rouge: 90.0"],
            id="hundredths",
        ),
        pytest.param(text(*HEADERS, {"id": "x"}), [":4: field input"], id="no input"),
        pytest.param(text(*HEADERS) + "\n", [":4: blank line"], id="blank"),
        pytest.param(text(*HEADERS) + '{"id": ', [":4: "], id="no JSON"),
        pytest.param(text(*HEADERS[:2]), [": 2 lines", "prompt", "demos"], id="two lines"),
        pytest.param("", [": empty"], id="empty"),
        pytest.param(text({"p": 1}, *HEADERS[1:]), [":1: field prompt"], id="no prompt"),
        pytest.param(
            text(HEADERS[0], {"instructions": ["a", 2]}, HEADERS[2]),
            [":2: field instructions.1", "string"],
            id="candidate is a number",
        ),
        pytest.param(text(*HEADERS[:2], one()), [":3: field demos"], id="no demos"),
    ],
)
def test_bad_labels_are_named_and_nothing_is_written(
    folder: Path, content: str, said: list[str]
) -> None:
    (LABELS / "task9_bad.jsonl").write_text(content)
    with pytest.raises((BadRow, BadFile)) as error:
        run()
    for part in [f"{LABELS}/task9_bad.jsonl", *said]:
        assert part in str(error.value)
    assert not OUT.exists()


def test_bytes_that_are_no_utf8_are_named(folder: Path) -> None:
    path = LABELS / "task9_bad.jsonl"
    path.write_bytes(text(*HEADERS).encode() + b'{"id": "\xff"}\n')
    with pytest.raises(BadRow, match=r"task9_bad\.jsonl:4: "):
        run()


def test_a_nan_where_it_cannot_be_cut_away_is_named(folder: Path) -> None:
    rows = [one(id=f"n{n}", seconds=NAN, instruction_rouge=[0, 1, 0, 1]) for n in range(3)]
    (LABELS / "task9_bad.jsonl").write_text(text(*HEADERS, *rows))
    with pytest.raises(BadRow, match=r"task9_bad\.jsonl:[456]: a number that JSON does not have"):
        run()
    assert not list(OUT.glob("*.jsonl"))


def test_fewer_candidates_than_are_drawn_name_the_task(folder: Path) -> None:
    write_task("task9_few", [], candidates=2)
    with pytest.raises(TooFewCandidates, match=r"task9_few\.jsonl:2: .*2 candidates.* is 3"):
        run()
    assert not OUT.exists()


@pytest.mark.parametrize("name", ["train", "Train", "SEEN_DEV"])
def test_a_name_that_a_merged_file_needs_is_refused(folder: Path, name: str) -> None:
    write_task(name, rows_of(1))
    with pytest.raises(BadFile, match="rename"):
        run()


def test_a_task_to_be_held_out_must_be_there(folder: Path) -> None:
    with pytest.raises(UnknownTask, match=r"'task1'[\s\S]*task1_a, task2_b, task3_c"):
        run(unseen_dev_tasks=["task1"])


def test_without_labels_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadFile, match="data/label: no task's file"):
        run()


def test_without_a_training_example_it_says_why(folder: Path) -> None:
    with pytest.raises(NothingToTrainOn, match=r"90 .*below_min_best"):
        run(min_best_norm_score=1.0)
    with pytest.raises(NothingToTrainOn, match="held out"):
        run(unseen_dev_tasks=["task1_a", "task2_b", "task3_c"])
    assert not OUT.exists()


# --- as dvc.yaml runs it


def test_dvc_runs_it_and_a_changed_parameter_runs_it_again(
    new_project: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project("project")
    monkeypatch.chdir(project.folder)
    for number, name in enumerate(["task1_a", "task2_b"]):
        write_task(name, rows_of(number, candidates=22), candidates=22)
        write_candidates(name, [f"Name a colour, way {i}." for i in range(22)])
    first = project.run("dvc", "repro", "--single-item", "relabel-and-pick")
    assert first.returncode == 0, first.stdout
    assert "relabel-and-pick · " in first.stdout
    assert " · 0 sent · 0 reused · " in first.stdout
    assert {len(row["instruction_idx"]) for row in lines("train.jsonl")} == {8}
    project.set("relabel_and_pick.sample_instructions", 4)
    again = project.run("dvc", "repro", "--single-item", "relabel-and-pick")
    assert again.returncode == 0, again.stdout
    assert {len(row["instruction_idx"]) for row in lines("train.jsonl")} == {4}
