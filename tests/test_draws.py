"""Draws that belong to what they are drawn for."""

import os
import random
import subprocess
import sys

from support.project import ROOT

from seedbed.core import draws


def drawn(seed: int, *identity: str | int) -> list[float]:
    draw = draws.generator(seed, *identity)
    return [draw.random() for _ in range(4)]


def test_the_same_seed_and_identity_draw_the_same() -> None:
    assert drawn(42, "prompt", 3) == drawn(42, "prompt", 3)


def test_another_seed_purpose_or_row_draws_otherwise() -> None:
    kinds = [(42, "prompt", 3), (43, "prompt", 3), (42, "sampling", 3), (42, "prompt", 4)]
    assert len({tuple(drawn(*kind)) for kind in kinds}) == len(kinds)


def test_identities_that_only_look_alike_when_joined_are_told_apart() -> None:
    kinds = [("ab", "c"), ("a", "bc"), ("abc",), ("a", "b", "c"), (1,), ("1",), ('a", "b',)]
    assert len({draws.rank(0, *kind) for kind in kinds}) == len(kinds)


def test_a_draw_neither_uses_nor_changes_the_shared_generator() -> None:
    random.seed(1)
    before = random.getstate()
    drawn(42, "prompt", 3)
    assert random.getstate() == before


def test_a_draw_does_not_depend_on_how_many_there_were_before() -> None:
    alone = drawn(42, "row", "b")
    drawn(42, "row", "a")
    assert drawn(42, "row", "b") == alone


def test_every_process_draws_the_same() -> None:
    program = "from seedbed.core import draws; print(draws.generator(42, 'ß', 1).getrandbits(64))"
    source = str(ROOT / "src")
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": source},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert said == {f"{draws.generator(42, 'ß', 1).getrandbits(64)}\n".encode()}


def test_sorting_by_rank_shuffles_whatever_the_order_was() -> None:
    rows = [f"row {n}" for n in range(50)]
    shuffled = sorted(rows, key=lambda row: draws.rank(42, row))
    assert shuffled != rows
    assert sorted(rows[20:] + rows[:20], key=lambda row: draws.rank(42, row)) == shuffled
    assert sorted(rows, key=lambda row: draws.rank(43, row)) != shuffled


def test_each_place_in_a_shuffle_is_as_likely_as_another() -> None:
    firsts = [min(range(5), key=lambda row: draws.rank(seed, row)) for seed in range(2000)]
    counts = [firsts.count(row) for row in range(5)]
    assert all(330 < count < 470 for count in counts), counts  # 400 expected, 18 the deviation


def test_half_a_surrogate_pair_in_a_text_has_a_rank_too() -> None:
    assert draws.rank(42, "\ud800") != draws.rank(42, "\ud801")
