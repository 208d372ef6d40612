"""The judge: what it asks, the scores by hand, and which pairs are kept."""

import math
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.pairs import NONE, Model, Pair, augmented, key_of, pairs, seed_pair
from support.params import section
from support.project import ROOT
from support.tries import tries

from seedbed.backtranslation.demos import Demos, draw
from seedbed.backtranslation.errors import NoScoreOfAny
from seedbed.backtranslation.judging import (
    BELOW,
    DIGITS,
    Likelihoods,
    first_words,
    number_of_answers,
    parts,
    ratings,
    score_of,
    settle,
    wanted,
    weighings,
)
from seedbed.backtranslation.params import Curate, Judge
from seedbed.backtranslation.partners import partners
from seedbed.backtranslation.prompts import Backward, Forward, Rating
from seedbed.backtranslation.rows import CuratedPair, Part, Scored
from seedbed.training.sources import Prompts


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where the prompts are


def judging(**changes: object) -> Curate:
    return section(Curate, **{"demos": 0, "keep_share": 0.5, **changes})


def number_in(text: str) -> int:
    """Of the pair that a text is from."""
    return int(text.strip().rstrip(".:").rsplit(" ", 1)[1])


def of_prompt(prompt: str) -> int | None:
    """The number of the text that a prompt without demos is about; None where there is none."""
    numbers = [number_in(line) for line in prompt.splitlines() if line[-2:-1].isdigit()]
    return numbers[0] if numbers else None


def measured(by: str, direction: str, number: int, **more: object) -> list[float | None]:
    """Scores of pairs where text i after text j has (i + 1) tokens of -(1 + j + 10 i) / 4 nats."""

    def likely(prompt: str, text: str) -> list[float]:
        of, after = number_in(text), of_prompt(prompt)
        nats = -99.0 if after is None else -(1 + after + 10 * of) / 4
        return [nats] * (of + 1)

    own = judging(by=by, direction=direction, **more)
    found = parts(pairs(number), NONE, own, Model(likely))
    return [score_of(one, own)[0] for one in found]


def value(of: int, after: int) -> float:
    return -(1 + after + 10 * of) / 4


# --- scores by hand


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_contrast_is_a_token_s_log_probability_less_its_mean_in_the_swapped_pairs(
    direction: str,
) -> None:
    found = measured("contrast", direction, 3, swapped=4)
    others = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
    assert found == [
        pytest.approx(value(n, n) - sum(value(n, other) for other in others[n]) / 2, abs=1e-6)
        for n in range(3)
    ]
    assert len(set(found)) == 3


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_gain_is_a_token_s_log_probability_less_that_without_the_other_text(direction: str) -> None:
    assert measured("gain", direction, 3) == [
        pytest.approx(value(n, n) + 99, abs=1e-6) for n in range(3)
    ]


def test_expected_is_the_mean_of_the_digits_by_how_likely_each_is() -> None:
    weights = {"1": 0.1, "2": 0.2, "3": 0.0004, "4": 0.05, "5": 0.5}
    own = judging(by="expected")
    model = Model(lambda prompt, text: [math.log(weights[text.strip()])])
    (found,) = parts(pairs(1), NONE, own, model)
    mean = sum(int(digit) * weight for digit, weight in weights.items()) / sum(weights.values())
    score, reason = score_of(found, own)
    assert reason is None
    assert score == pytest.approx(mean, abs=1e-5)
    assert [(part.what, part.of) for part in found] == [("digit", digit) for digit in DIGITS]
    assert model.weighed[0][1] == (" 1", " 2", " 3", " 4", " 5")


def test_expected_can_tell_log_probabilities_that_are_far_below_what_a_float_holds() -> None:
    own = judging(by="expected")
    low = {"1": -2000.0, "2": -2001.0, "3": -9000.0, "4": -9000.0, "5": -9000.0}
    (found,) = parts(pairs(1), NONE, own, Model(lambda prompt, text: [low[text.strip()]]))
    assert score_of(found, own)[0] == pytest.approx(1 + 1 / (1 + math.e), abs=1e-5)


def test_an_impossible_digit_has_no_weight_and_an_impossible_text_no_score() -> None:
    def likely(prompt: str, text: str) -> list[float]:
        return [-math.inf if text.strip() in ("4", "5") or "0." in text else -1.0]

    own = judging(by="expected")
    (found,) = parts(pairs(1), NONE, own, Model(likely))
    assert score_of(found, own) == (2.0, None)
    assert [part.value for part in found] == [-1.0, -1.0, -1.0, None, None]
    own = judging(by="gain")
    first, second = parts(pairs(2), NONE, own, Model(likely))
    assert score_of(first, own) == (None, "nothing_scored")
    assert score_of(second, own) == (0.0, None)


def test_a_pair_that_there_is_no_other_to_swap_with_has_no_score() -> None:
    own = judging(by="contrast")
    (alone,) = parts(pairs(1), NONE, own, Model())
    assert score_of(alone, own) == (None, "nothing_scored")
    with pytest.raises(NoScoreOfAny, match="nothing_scored: 1"):
        settle(pairs(1), [alone], own, "curate")


@pytest.mark.parametrize("by", ["contrast", "gain", "expected", "rating"])
def test_the_order_of_the_pairs_does_not_matter(by: str) -> None:
    def likely(prompt: str, text: str) -> list[float]:
        return [-int(key_of(prompt, text), 16) / 2**32]

    own = judging(by=by, demos=2)
    model = Model(likely, lambda request: f"Score: {1 + int(key_of(request.prompt), 16) % 5}")
    those = pairs(9)
    demos = Demos([seed_pair(n) for n in range(3)], [those[4]])

    def judged(some: list[Pair]) -> dict[str, Scored]:
        return {row.id: row for row in settle(some, parts(some, demos, own, model), own, "curate")}

    assert judged(those) == judged(those[::-1]) == judged(those[5:] + those[:5])


def test_the_parts_are_the_pair_itself_and_then_the_swapped_ones_in_the_order_of_the_draw() -> None:
    own = judging(by="contrast", swapped=3)
    some = pairs(8)
    found = parts(some, NONE, own, Model())
    assert [[part.of for part in one] for one in found] == [
        [None, *(other.id for other in others)] for others in partners(some, own)
    ]
    assert {part.what for one in found for part in one[1:]} == {"swapped"}
    assert [one[0].what for one in found] == ["own"] * 8


# --- swapped pairs

TEXTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), min_size=1, max_size=12
)


@settings(max_examples=tries(100), deadline=None)
@given(texts=TEXTS, swapped=st.integers(1, 5))
def test_a_pair_is_swapped_with_as_many_as_there_are_that_share_no_text_with_it(
    texts: list[tuple[str, str]], swapped: int
) -> None:
    some = [Pair(f"p{n}", *both) for n, both in enumerate(texts)]
    for pair, found in zip(some, partners(some, judging(swapped=swapped)), strict=True):
        able = [
            other
            for other in some
            if other.instruction != pair.instruction and other.output != pair.output
        ]
        assert len({other.id for other in found}) == len(found) == min(swapped, len(able))
        assert all(other in able for other in found)


@settings(max_examples=tries(50), deadline=None)
@given(number=st.integers(2, 30), seed=st.integers(0, 1000))
def test_one_more_pair_changes_no_others_but_takes_at_most_one_partner_s_place(
    number: int, seed: int
) -> None:
    own = judging(seed=seed)
    more = pairs(number + 1)
    before, after = partners(more[:-1], own), partners(more, own)
    for old, new in zip(before, after[:-1], strict=True):
        assert [one for one in new if one is not more[-1]] == old[: len(new) - (more[-1] in new)]


def test_of_forty_pairs_each_is_a_partner_and_another_seed_draws_others() -> None:
    some, own = pairs(40), judging(swapped=8)
    drawn = [[one.id for one in found] for found in partners(some, own)]
    assert {name for found in drawn for name in found} == {pair.id for pair in some}
    assert drawn != [
        [one.id for one in found] for found in partners(some, judging(seed=7, swapped=8))
    ]
    # Who picks whom is drawn in both directions.
    picked = {(n, one) for n, found in enumerate(drawn) for one in found}
    mutual = sum((int(one[1:]), f"p{n}") in picked for n, one in picked)
    assert mutual < len(picked) / 2


def test_every_other_pair_is_as_likely_a_partner() -> None:
    some = pairs(6)
    times = dict.fromkeys((pair.id for pair in some[1:]), 0)
    for seed in range(2000):
        (found,) = partners(some[:1], judging(seed=seed, swapped=1), some)
        times[found[0].id] += 1
    # 400 each; five standard deviations are 90.
    assert all(abs(count - 400) < 90 for count in times.values()), times


def test_one_more_pair_changes_no_score_but_of_pairs_that_it_is_swapped_with() -> None:
    def scores(some: list[Pair]) -> dict[str, float | None]:
        model = Model(lambda prompt, text: [-int(key_of(prompt, text), 16) / 2**32])
        found = parts(some, NONE, judging(), model)
        return {pair.id: score_of(one, judging())[0] for pair, one in zip(some, found, strict=True)}

    more = pairs(15)
    before, after = scores(more[:-1]), scores(more)
    moved = {
        pair.id
        for pair, others in zip(more, partners(more, judging()), strict=True)
        if more[-1] in others
    }
    assert {name for name in before if before[name] != after[name]} == moved
    assert 0 < len(moved) < 14


def test_partners_of_a_pool_are_those_of_the_pool() -> None:
    some = pairs(10)
    found = partners(some[:2], judging(swapped=3), some[5:])
    assert all(other in some[5:] for others in found for other in others)
    assert [len(others) for others in found] == [3, 3]


# --- what is asked, and in which order


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_all_that_follows_the_same_text_is_asked_in_a_row(direction: str) -> None:
    some, own = pairs(12), judging(direction=direction, demos=4)
    demos = Demos([seed_pair(n) for n in range(4)], some[:3])
    asked = wanted(some, demos, own)
    prompts = [one.scoring[0] for one in asked]
    assert len(asked) == 12 * 3 == number_of_answers(12, own)
    assert len([prompt for prompt, _ in groupby(prompts)]) == len(set(prompts))
    # What is asked of a text of which the pair is shown, is asked without it: few prompts more.
    assert len(set(prompts)) <= 12 + 3 * 3
    assert len({one.scoring[0] for one in wanted(some, NONE, judging(demos=0))}) == 12


@pytest.mark.parametrize("by", ["contrast", "gain"])
@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_what_prompts_share_is_said_the_shorter_before_the_longer(by: str, direction: str) -> None:
    some = pairs(5)
    own = judging(by=by, direction=direction, demos=2)
    for one in wanted(some, Demos([seed_pair(n) for n in range(2)], ()), own):
        prompt, text, prefixes = one.scoring
        assert prefixes
        assert all(prompt.startswith(prefix) for prefix in prefixes)
        assert [*prefixes] == sorted(prefixes, key=len)
        assert "Person 1 wrote this." in prefixes[0]
        assert text.startswith(" ")
        assert not text[1].isspace()
    if direction == "backward" and by == "contrast":
        shared = {one.scoring[2][-1] for one in wanted(some, NONE, own)}
        assert len(shared) == 5


def test_a_prompt_file_with_a_space_before_its_place_shares_as_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data/prompts/augment"
    folder.mkdir(parents=True)
    (folder / "few_shot.txt").write_text("{demos}\n\nText: {text}\nRequest:\n")
    (folder / "zero_shot.txt").write_text("Text: {text}\nRequest:\n")
    (folder / "demo.txt").write_text("Text: {text}\nRequest: {instruction}\n")
    monkeypatch.chdir(tmp_path)
    for demos in ([], [seed_pair(1)]):
        filled = Backward().fill(demos, "Tea grows on hills.")
        assert filled.text.endswith(" Tea grows on hills.\nRequest:")
        assert filled.prefixes[-1] == filled.text.removesuffix("\nRequest:")


def test_the_forward_prompt_without_demos_is_what_models_are_trained_on() -> None:
    trained = Prompts(ROOT / "data/prompts/finetune")
    for text in ("Say hello.", "Two\n\nparts", " spaces \n", "{instruction} {input} {text}", "é🦖"):
        assert Forward().fill([], text).text == trained.fill(text, "")


def test_a_text_that_looks_like_a_place_stays_a_text() -> None:
    odd = Pair("p", "Fill in {text} and {demos} and {instruction}", "A {instruction} of {text}")
    backward = Backward().fill([odd], odd.output).text
    assert backward.count(odd.output) == 2
    assert backward.count(odd.instruction) == 1
    forward = Forward().fill([odd], odd.instruction).text
    assert forward.count(odd.instruction) == 2
    assert forward.count(odd.output) == 1
    for digit in (False, True):
        rated = Rating("checklist", digit).fill(odd.instruction, odd.output).text
        assert rated.count(odd.instruction) == rated.count(odd.output) == 1


def test_forward_only_so_many_words_of_an_output_are_scored() -> None:
    text = "One two,\n\n three  four five."
    assert [first_words(text, n) for n in (1, 2, 3, 5, 9)] == [
        "One",
        "One two,",
        "One two,\n\n three",
        text,
        text,
    ]
    assert first_words(f"\n {text} \n", None) == first_words(f"\n {text} \n", 5) == text
    pair = Pair("p", "Count.", text)
    own = judging(direction="forward", score_words=3)
    assert Likelihoods(NONE, own).own(pair)[1] == " One two,\n\n three"
    assert Likelihoods(NONE, judging(direction="forward", score_words=None)).own(pair)[1] == (
        f" {text}"
    )


# --- demos


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_neither_a_pair_nor_its_partner_is_shown_before_what_is_asked(direction: str) -> None:
    some = pairs(8)
    demos = Demos([seed_pair(n) for n in range(4)], some[:4])
    own = judging(direction=direction, demos=4)
    shown = 0
    for one in wanted(some, demos, own):
        prompt, text, _ = one.scoring
        asked = {some[one.pair].id, one.of}
        # In the prompt once, as what is asked about, or not at all.
        for pair in some:
            where = pair.output if direction == "backward" else pair.instruction
            times = prompt.count(f"{where}\n")
            mine = pair.id == (one.of or some[one.pair].id)
            assert times == 1 if mine else times <= (pair.id not in asked)
        shown += sum(prompt.count(pair.output) for pair in some[:4] if pair.id not in asked)
        assert sum(prompt.count(f"Person {n} wrote this.") for n in range(4)) == 2
        assert text
    # Half of the places, always.
    assert shown == 2 * len(wanted(some, demos, own))


def test_half_of_the_places_are_for_curated_pairs_and_the_rest_for_those_by_people() -> None:
    some = pairs(5)
    demos = Demos([seed_pair(n) for n in range(9)], some)
    assert [pair.id for pair in demos.before(4)] == ["p0", "p1", "task_0/0", "task_1/0"]
    assert [pair.id for pair in demos.before(3, "p0")] == ["p1", "task_0/0", "task_1/0"]
    assert [pair.id for pair in demos.before(1)] == ["task_0/0"]
    for text in (some[0].id, some[0].instruction, some[0].output):
        assert [pair.id for pair in demos.before(2, text)] == ["p1", "task_0/0"]
    for text in (demos.seed[0].id, demos.seed[0].instruction, demos.seed[0].output):
        assert [pair.id for pair in demos.before(2, text)] == ["p0", "task_1/0"]
    assert [pair.id for pair in Demos(demos.seed, some[:1]).before(4)] == [
        "p0",
        "task_0/0",
        "task_1/0",
        "task_2/0",
    ]
    assert demos.before(0) == []


def test_a_row_that_people_wrote_is_not_shown_before_itself_under_another_id() -> None:
    seeds = [seed_pair(n) for n in range(5)]
    demos = Demos(seeds, ())
    for n, seed in enumerate(seeds):
        row = Pair("1", seed.instruction, seed.output)
        own = Likelihoods(demos, judging(demos=4)).own(row)
        assert own[0].count(seed.output) == 1
        assert sum(other.output in own[0] for other in seeds if other is not seed) == 4, n


def test_what_is_shown_is_drawn_by_id_and_nothing_that_is_too_long() -> None:
    seeds = [seed_pair(n, demo=n != 2) for n in range(6)]
    kept = [
        CuratedPair(
            **augmented(f"c{n}", text="x" * (90 + n)).model_dump(),
            score=1.0,
            kept=True,
            reason=None,
            parts=[],
        )
        for n in range(6)
    ]
    demos = draw(seeds, kept, 42, 93)
    assert demos == draw(seeds[::-1], kept[::-1], 42, 93)
    assert {pair.id for pair in demos.seed} == {f"task_{n}/0" for n in (0, 1, 3, 4, 5)}
    assert {pair.id for pair in demos.curated} == {f"s-c{n}" for n in range(4)}
    assert len(draw(seeds, kept, 42, None).curated) == 6
    assert any(draw(seeds, kept, seed, None) != draw(seeds, kept, 42, None) for seed in range(9))


# --- ratings


@settings(max_examples=tries(100), deadline=None)
@given(text=st.text(st.sampled_from("Score: 45\n.x/")), cut=st.booleans())
def test_a_rating_without_a_line_that_is_one_never_gets_a_score(text: str, cut: bool) -> None:
    # In the words of the rule: such a line begins with `score`, whatever else is in it.
    line = any(line.strip().lower().startswith("score") for line in text.splitlines())
    own = judging(by="rating")
    why = "length" if cut else "stop"
    (found,) = parts(pairs(1), NONE, own, Model(reply=lambda request: (text, why)))
    score, reason = score_of(found, own)
    assert (score is None) == (reason is not None)
    if not line:
        assert reason == ("empty" if not text.strip() else "cut" if cut else "no_score")


SAMPLES: list[tuple[list[str], float | None, str | None]] = [
    (["Score: 4", "Score: 5", "Score: 5", "Score: 4"], 4.5, None),
    (["Score: 4", "no", "Score: 5", "no"], 4.5, None),
    (["Score: 4", "no", "no", "no"], None, "no_score"),
    (["Score: 9", "Score: 9", "no", "Score: 3"], None, "out_of_range"),
    (["Score: 9", "no", "no", "Score: 9"], None, "no_score"),
    (["", "", "", "no"], None, "empty"),
    (["Score: 1", "Score: 1", "Score: 2", ""], 1.333333, None),
]


@pytest.mark.parametrize(("answers", "score", "reason"), SAMPLES)
def test_of_samples_the_mean_counts_if_at_least_half_are_ratings(
    answers: list[str], score: float | None, reason: str | None
) -> None:
    own = judging(by="rating", samples=4)
    (found,) = parts(pairs(1), NONE, own, Model(reply=lambda request: answers[request.sample]))
    assert [part.value is None for part in found] == [not one.startswith("Score: ") or "9" in one
                                                      for one in answers]  # fmt: skip
    assert score_of(found, own) == (score, reason)


def test_a_rating_says_why_there_is_none_by_the_commonest_reason() -> None:
    own = judging(by="rating", samples=3)
    none = [Part(what="rating", value=None, reason=why, key="k") for why in ("cut", "empty", "cut")]
    assert score_of(none, own) == (None, "cut")


def test_samples_have_seeds_of_their_pair_and_what_is_greedy_has_none() -> None:
    some = pairs(3)
    (one, *_) = ratings(some, judging(by="rating"))
    assert (one.seed, one.sample) == (None, 0)
    sampled = [*ratings(some, judging(by="rating", samples=2, sampling={"temperature": 0.7}))]
    assert [request.sample for request in sampled] == [0, 1] * 3
    seeds = [request.seed for request in sampled]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]
    assert None not in seeds
    alone = [*ratings(some[2:], judging(by="rating", samples=2, sampling={"temperature": 0.7}))]
    assert alone == sampled[4:]
    # One that is sampled once is the same in every clone, too.
    (warm, *_) = ratings(some, judging(by="rating", sampling={"temperature": 0.7}))
    assert warm.seed is not None


@pytest.mark.parametrize("rubric", ["points", "checklist"])
def test_the_pair_stands_before_the_question(rubric: str) -> None:
    (pair,) = pairs(1)
    own = judging(by="rating", rubric=rubric)
    (asked,) = ratings([pair], own)
    ((weighed, digits, prefixes),) = weighings([pair], own)
    for prompt in (asked.prompt, weighed):
        assert prompt.index(pair.instruction) < prompt.index(pair.output) < prompt.index("How good")
    assert "one point" in weighed if rubric == "checklist" else "five points" in weighed
    assert weighed.endswith("Score (from 1 to 5):")
    assert asked.prompt.endswith("Reasons:")
    assert weighed.startswith(prefixes[0])
    assert len(digits) == 5


# --- what is kept


def scored(*values: float | None) -> tuple[list[Pair], list[list[Part]]]:
    """Pairs with ratings; None for one without."""
    return pairs(len(values)), [
        [Part(what="rating", value=one, reason=None if one else "no_score", key="k")]
        for one in values
    ]


def kept(*values: float | None, **changes: object) -> list[str]:
    some, measured = scored(*values)
    own = judging(by="rating", **changes)
    return [row.id for row in settle(some, measured, own, "curate") if row.kept]


@settings(max_examples=tries(100), deadline=None)
@given(
    values=st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0]), min_size=1, max_size=30),
    hundredths=st.integers(1, 100),
)
@example(values=[1.0] * 100, hundredths=7)  # in floats that is a hair above seven
def test_of_a_share_so_many_are_kept_rounded_up_and_no_better_one_is_refused(
    values: list[float], hundredths: int
) -> None:
    some, found = scored(*values)
    own = judging(by="rating", keep_share=hundredths / 100)
    rows = settle(some, found, own, "curate")
    good = [row.score for row in rows if row.kept]
    bad = [row.score for row in rows if not row.kept]
    assert len(good) == -(-hundredths * len(values) // 100)
    assert all(one is not None and other is not None and one >= other
               for one in good for other in bad)  # fmt: skip
    assert [row.reason for row in rows] == [None if row.kept else BELOW for row in rows]


def test_of_equal_ones_a_draw_says_which_are_kept_whatever_their_order() -> None:
    def ids(seed: int, order: slice) -> list[str]:
        some, found = scored(*[5.0] * 12)
        rows = settle(some[order], found, judging(by="rating", seed=seed), "curate")
        return sorted(row.id for row in rows if row.kept)

    assert ids(1, slice(None)) == ids(1, slice(None, None, -1))
    assert len(ids(1, slice(None))) == 6
    assert len({tuple(ids(seed, slice(None))) for seed in range(5)}) > 1


def test_a_share_is_one_of_all_pairs_and_those_without_a_score_are_never_kept() -> None:
    assert kept(None, None, None, 2.0, keep_share=0.5) == ["p3"]
    assert kept(None, 1.0, 3.0, 2.0, keep_share=0.5) == ["p2", "p3"]
    assert kept(None, None, None, 1.0, 2.0, keep_share=0.4) == ["p3", "p4"]


def test_a_threshold_keeps_what_reaches_it() -> None:
    some, found = scored(4.4, 4.5, 4.6, None, 5.0)
    own = judging(by="rating", threshold=4.5, keep_share=None)
    rows = settle(some, found, own, "curate")
    assert [(row.kept, row.reason) for row in rows] == [
        (False, BELOW),
        (True, None),
        (True, None),
        (False, "no_score"),
        (True, None),
    ]
    assert [row.score for row in rows] == [4.4, 4.5, 4.6, None, 5.0]


def test_a_threshold_below_nothing_keeps_negative_and_zero_scores() -> None:
    def ids(threshold: float) -> list[bool]:
        own = judging(by="gain", threshold=threshold, keep_share=None)
        rows = [
            [Part(what="own", value=value, key="k"), Part(what="alone", value=0.0, key="k")]
            for value in (-1.0, 0.0, 1.0)
        ]
        return [row.kept for row in settle(pairs(3), rows, own, "curate")]

    assert ids(-1.0) == [True, True, True]
    assert ids(0.0) == [False, True, True]


def test_where_no_pair_has_a_score_it_is_an_error_that_counts_the_reasons() -> None:
    some, found = scored(None, None)
    found[1][0] = Part(what="rating", value=None, reason="cut", key="k")
    with pytest.raises(NoScoreOfAny) as failure:
        settle(some, found, judging(by="rating"), "judge")
    message = str(failure.value)
    assert "judge: none of the 2 pairs has a score (cut: 1, no_score: 1)" in message
    assert "judge.by: rating" in message


@pytest.mark.parametrize("kind", [Curate, Judge])
@pytest.mark.parametrize("bounds", [(None, None), (4.5, 0.25)])
def test_exactly_one_of_threshold_and_share_must_be_null(
    kind: type[Curate], bounds: tuple[float | None, float | None]
) -> None:
    with pytest.raises(ValidationError, match="exactly one of threshold and keep_share"):
        section(kind, threshold=bounds[0], keep_share=bounds[1])
    section(kind, threshold=4.5, keep_share=None)
    section(kind, threshold=None, keep_share=0.25)


MEASURES: list[tuple[str, Callable[[Model], int]]] = [
    ("contrast", lambda model: len(model.scored)),
    ("gain", lambda model: len(model.scored)),
    ("expected", lambda model: sum(len(texts) for _, texts, _ in model.weighed)),
    ("rating", lambda model: len(model.requests)),
]


@pytest.mark.parametrize(("by", "count"), MEASURES)
@pytest.mark.parametrize("number", [2, 9])
def test_how_many_answers_it_takes_is_what_progress_is_told(
    by: str, count: Callable[[Model], int], number: int
) -> None:
    model, own = Model(), judging(by=by, samples=3)
    found = parts(pairs(number), NONE, own, model)
    assert count(model) == number_of_answers(number, own)
    assert [len(one) for one in found] == [number_of_answers(number, own) // number] * number


@pytest.mark.parametrize("by", ["gain", "contrast", "expected"])
def test_a_pair_that_the_model_cannot_take_is_refused_and_stops_no_other(by: str) -> None:
    some = [*pairs(4), Pair("long", "instruction 9.", "word " * 2000)]
    own = judging(by=by, direction="backward", swapped=1)
    model = Model(context=4000)
    measured = parts(some, NONE, own, model)
    assert all(len(prompt) < 4000 for prompt, *_ in (*model.scored, *model.weighed))
    settled = settle(some, measured, own, "curate")
    refused = {one.id for one in settled if one.reason == "over_context"}
    swapped = {
        pair.id
        for pair, others in zip(some, partners(some, own), strict=True)
        if by == "contrast" and "long" in [other.id for other in others]
    }
    assert refused == {"long"} | swapped
    assert {one.id for one in settled if one.score is not None} == {p.id for p in some} - refused
