"""Seed pairs, and the instructions that a model guesses: what is asked, kept and refused."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from support.pairs import (
    NONE,
    augmented,
    files_in,
    into,
    lay_prompts,
    lines,
    params,
    put,
    rows,
    seed_pair,
    segment,
)
from support.params import section
from support.project import ROOT
from support.ranking import Scoring, scoring

from seedbed.backtranslation import augment, seed_pairs
from seedbed.backtranslation.demos import Demos
from seedbed.backtranslation.errors import NothingAugmented
from seedbed.backtranslation.params import Augment
from seedbed.backtranslation.prompts import Backward
from seedbed.backtranslation.rows import BACK, CURATED, KEPT, PAIRS, SEED, SEGMENTS
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.wire import Answer, Problem

GOOD = "Explain how green tea is made."
# Twelve words.
TEXT = "Green tea is made of leaves that are heated soon after picking."


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    lay_prompts(tmp_path)


def own(**changes: object) -> Augment:
    return section(Augment, **changes)


def answered(text: str, why: str = "stop", problem: Problem | None = None) -> Answer:
    return Answer(f"key of {text}", text, why, {}, problem)


def reasons(
    *answers: Answer, texts: Iterable[str] = (), demos: Demos = NONE, **changes: object
) -> list[str | None]:
    """Why each is refused, in order; None for what is kept."""
    given = [*texts] or [TEXT] * len(answers)
    segments = [segment(str(n), text) for n, text in enumerate(given)]
    kept, rejected = augment.augment(segments, demos, own(**changes), lambda _: answers)
    found: dict[str, str | None] = {pair.id: None for pair in kept}
    found |= {pair.id: pair.reason for pair in rejected}
    assert len(found) == len(kept) + len(rejected) == len(answers)
    assert Counter(augment.metrics(kept, rejected)["augment_reasons"]) == Counter(
        dict.fromkeys(augment.REASONS, 0) | Counter(filter(None, found.values()))
    )
    return [found[one.id] for one in segments]


# --- refusals

WORD = "wonder "
REFUSED: list[tuple[Answer, str | None]] = [
    (answered(GOOD), None),
    (answered(f" {GOOD}\n\nText:\nMore."), None),
    *((answered("", problem=problem), problem) for problem in get_args(Problem)),
    (answered("Explain how green tea", "length"), "cut"),
    # The limit came behind the line that counts.
    (answered(f"{GOOD}\nText: Tea is", "length"), None),
    (answered(f"\n\n{GOOD}", "length"), "cut"),
    (answered("Explain green tea."), "too_short"),
    (answered("Explain green tea now."), None),
    (answered(WORD * 60), None),
    (answered(WORD * 61), "too_long"),
    (answered("Text: Tea is a drink that is hot."), "demo_form"),
    (answered("request: Tell me what tea is."), "demo_form"),
    (answered("Text the shop about the tea."), None),
]


@pytest.mark.parametrize(("answer", "reason"), REFUSED)
def test_an_instruction_is_refused_for_its_one_reason(answer: Answer, reason: str | None) -> None:
    assert reasons(answer) == [reason]


def test_an_instruction_equal_to_one_before_is_a_duplicate_in_whatever_case() -> None:
    again = answered(GOOD.upper())
    refused = answered("Too short.")
    assert reasons(refused, answered(GOOD), refused, again, answered(GOOD)) == [
        "too_short",
        None,
        "too_short",
        "duplicate",
        "duplicate",
    ]


# Of the five runs of four words that each has, so many stand in the text.
COPIED: list[tuple[str, float, str | None]] = [
    ("green tea is made of leaves here then", 0.6, None),
    ("green tea is made of leaves here then", 0.59, "copied_from_text"),
    ("green tea is made of leaves that are", 0.99, "copied_from_text"),
    ("green tea is made of leaves that are", 1.0, None),
    ("what green tea is, or leaves, or made of", 0.0, None),
]


@pytest.mark.parametrize(("instruction", "most", "reason"), COPIED)
def test_more_than_a_share_of_an_instruction_s_runs_of_words_may_not_stand_in_the_text(
    instruction: str, most: float, reason: str | None
) -> None:
    assert reasons(answered(instruction), max_copied=most) == [reason]


def test_shares_are_meant_as_they_are_written() -> None:
    # 29 of 100 runs; in floats 0.29 × 100 is below 29.
    words = [f"w{n}" for n in range(103)]
    text = " ".join(words[:32])
    assert reasons(answered(" ".join(words)), texts=[text], max_copied=0.29, max_words=200) == [
        None
    ]
    assert reasons(answered(" ".join(words)), texts=[text], max_copied=0.28, max_words=200) == [
        "copied_from_text"
    ]


def shown(instruction: str) -> Demos:
    return Demos([seed_pair(1).model_copy(update={"instruction": instruction})], ())


@pytest.mark.parametrize(("shared", "one", "other"), [(7, 9, 11), (7, 10, 10), (14, 19, 21)])
def test_an_instruction_is_a_demo_s_copy_only_above_the_threshold_itself(
    shared: int, one: int, other: int
) -> None:
    common = [f"w{n}" for n in range(shared)]
    said = " ".join([*common, *(f"a{n}" for n in range(one - shared))])
    demo = " ".join([*common, *(f"b{n}" for n in range(other - shared))])
    assert reasons(answered(said), demos=shown(demo)) == [None]
    assert reasons(answered(said), demos=shown(demo), rouge_threshold=0.69) == ["copied_from_demo"]
    # What is not shown, is not copied.
    assert reasons(answered(said), demos=NONE, rouge_threshold=0.69) == [None]


def test_an_instruction_is_compared_with_the_demos_of_its_own_prompt() -> None:
    curated = [
        augmented(str(n), instruction=f"Say what number {n} is about, and why.") for n in range(3)
    ]
    demos = Demos([seed_pair(1)], curated)
    # The first pair is not shown before itself, but the third is then.
    segments = [segment(str(n)) for n in range(4)]
    copies = [answered(curated[n].instruction) for n in (0, 0, 2, 2)]
    kept, rejected = augment.augment(segments, demos, own(rouge_threshold=0.95), lambda _: copies)
    assert [(pair.id, pair.reason) for pair in rejected] == [
        ("s-1", "copied_from_demo"),
        ("s-3", "duplicate"),
    ]
    assert [pair.id for pair in kept] == ["s-0", "s-2"]


# --- rows


def test_rows_are_the_segments_in_their_order_with_their_licence_and_address() -> None:
    segments = [segment(name, f"About {name}.") for name in ("c", "a", "b")]
    answers = [answered(f"Say a thing or two about {name}.") for name in ("c", "no", "b")]
    answers[1] = answered("No.")
    kept, rejected = augment.augment(segments, NONE, own(), lambda _: answers)
    assert [pair.id for pair in kept] == ["s-c", "s-b"]
    assert [pair.id for pair in rejected] == ["s-a"]
    for pair, of in ((kept[0], segments[0]), (rejected[0], segments[1])):
        about = pair.model_dump(exclude={"instruction", "output", "key", "reason"})
        assert about == of.model_dump(exclude={"text", "first_line", "last_line"})
        assert pair.output == of.text
    assert kept[0].key == answers[0].key


def test_an_instruction_is_the_first_line_whatever_ends_it() -> None:
    for end in ("\n", "\r\n", "\r", "\u2028", "\x0b"):
        assert augment.instruction_of(f" \n {GOOD} {end}And more") == GOOD
    assert augment.instruction_of(" \n ") == ""


def test_a_model_s_text_becomes_neither_a_place_of_a_prompt_nor_a_path() -> None:
    odd = "../../{text} {demos} {instruction} ${HOME} `x` <b>"
    (kept,), _ = augment.augment([segment("x", TEXT)], NONE, own(), lambda _: [answered(odd)])
    assert kept.instruction == odd
    asked = list(augment.requests([segment("y")], Demos([kept, seed_pair(1)], ()), own()))
    assert asked[0].prompt.count(odd) == 1
    assert asked[0].prompt.count("The text about y.") == 1


# --- what is asked


def test_a_prompt_shows_texts_with_their_instructions_and_ends_with_the_segment() -> None:
    demos = Demos([seed_pair(n) for n in range(6)], ())
    (asked,) = augment.requests([segment("tea", TEXT)], demos, own(demos=2))
    shown = "\n\n".join(
        f"Text:\n{pair.output}\n\nRequest: {pair.instruction}" for pair in demos.seed[:2]
    )
    before = f"Here are texts, each with the request that it answers.\n\n{shown}\n\nText:\n"
    assert asked.prompt == f"{before}{TEXT}\n\nRequest:"
    assert asked.prefixes == (before,)


def test_all_prompts_begin_alike_and_a_segment_is_not_shown_before_itself() -> None:
    curated = [augmented(str(n)) for n in range(3)]
    demos = Demos([seed_pair(n) for n in range(4)], curated)
    segments = [segment(str(n)) for n in range(9)]
    asked = list(augment.requests(segments, demos, own(demos=4)))
    assert [one.prompt.count(of.text) for one, of in zip(asked, segments, strict=True)] == [1] * 9
    # Two of the three are shown: only these two are asked with another.
    assert len({one.prefixes for one in asked}) == 3
    assert len({one.prefixes for one in asked[2:]}) == 1


def test_a_segment_is_sampled_with_a_seed_of_its_own() -> None:
    segments = [segment(str(n)) for n in range(5)]
    asked = list(augment.requests(segments, NONE, own()))
    assert len({one.seed for one in asked}) == 5
    assert None not in {one.seed for one in asked}
    assert list(augment.requests(segments[:2] + segments[3:], NONE, own())) == asked[:2] + asked[3:]
    assert asked != list(augment.requests(segments, NONE, own(seed=7)))


def test_an_adapter_is_asked_as_it_was_trained() -> None:
    demos = Demos([seed_pair(1)], [augmented("x")])
    (asked,) = augment.requests([segment("tea", TEXT)], demos, own(backward="adapter"))
    assert asked.prompt == Backward().alone(TEXT) == f"Text:\n{TEXT}\n\nRequest:"
    # No other prompt has the text: nothing is there to be evaluated once.
    assert asked.prefixes == ()
    assert reasons(answered(seed_pair(1).instruction), demos=demos, backward="adapter") == [None]


# --- the stage


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    def reply(prompt: str) -> str:
        """Of every third text nothing that can be used."""
        text = prompt.removesuffix("\n\nRequest:").rsplit("\n", 1)[1]
        number = int(text.rstrip(".").rsplit(" ", 1)[1])
        return " No." if number % 3 == 2 else f" Write about the thing with number {number}."

    with scoring(reply=reply) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        yield served


def lay(segments: int = 9, curated: Iterable[Any] = ()) -> None:
    put(BACK / "start" / SEED / PAIRS, [seed_pair(n) for n in range(5)])
    put(SEGMENTS, [segment(str(n)) for n in range(segments)])
    if curated:
        put(BACK / "round-1" / CURATED / KEPT, curated)


def run(before: str = "start", name: str = "back", **changes: Any) -> Path:
    inputs = augment.Inputs(before=BACK / before)
    where = into(augment, name)
    augment.run(params(augment, **changes), inputs, where)
    return where.folder


def test_the_files_are_all_segments_kept_or_refused_and_the_metrics_count_them(
    server: Scoring,
) -> None:
    lay()
    folder = run()
    kept, rejected = rows(folder / "pairs.jsonl"), rows(folder / "rejected.jsonl")
    assert {path.name for path in folder.iterdir()} == {"pairs.jsonl", "rejected.jsonl"}
    assert [row["id"] for row in kept] == [f"s-{n}" for n in (0, 1, 3, 4, 6, 7)]
    assert [row["id"] for row in rejected] == ["s-2", "s-5", "s-8"]
    metrics = json.loads(into(augment, "back").metrics.read_text())
    assert (metrics["augmented_pairs"], metrics["augmented_rejected"]) == (6, 3)
    assert sum(row["count"] for row in metrics["augment_reasons"]) == 3
    assert metrics["instruction_chars_mean"] == len(kept[0]["instruction"])
    assert metrics["instruction_chars_sd"] == 0
    assert all(body["seed"] for body in server.bodies)


def test_a_second_run_sends_nothing_and_gives_the_same_bytes(server: Scoring) -> None:
    lay()
    first = files_in(run())
    asked = len(server.bodies)
    assert asked == 9
    assert files_in(run(name="again", llm={"replay": True})) == first
    assert len(server.bodies) == asked


@pytest.mark.parametrize("concurrency", [1, 16])
def test_what_is_asked_at_once_changes_nothing(
    server: Scoring, concurrency: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lay(40)
    plain = files_in(run())
    monkeypatch.setenv("SEEDBED_CONCURRENCY", str(concurrency))
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "other.sqlite"))
    assert files_in(run(name="other")) == plain
    assert len(server.bodies) == 80


def test_pairs_of_the_round_before_are_shown_where_that_is_wanted(server: Scoring) -> None:
    row = {**augmented("kept").model_dump(), "score": 1.0, "kept": True, "reason": None}
    lay(curated=[{**row, "parts": []}])
    run("round-1")
    assert not any("The text about kept." in body["prompt"] for body in server.bodies)
    server.bodies.clear()
    run("round-1", augment={"of_curated": True})
    assert len(server.bodies) == 9
    assert all(
        body["prompt"].index("The text about kept.") < body["prompt"].index("wrote this.")
        for body in server.bodies
    )


def test_a_round_before_that_is_not_there_is_an_error(server: Scoring) -> None:
    lay()
    with pytest.raises(BadFile, match="round-9: no such folder"):
        run("round-9", augment={"of_curated": True})
    assert server.bodies == []


def test_nothing_that_is_kept_is_an_error_with_the_reasons_and_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lay()
    with scoring(reply=lambda prompt: " No.") as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        with pytest.raises(NothingAugmented, match="too_short: 9"):
            run()
    assert not into(augment, "back").folder.exists()
    assert not into(augment, "back").metrics.exists()


def test_labels_are_not_read(server: Scoring) -> None:
    lay()
    without = files_in(run())
    Path("data/corpus_labels.jsonl").mkdir()  # nobody could read that
    assert files_in(run(name="again")) == without


# --- seed pairs


def lay_tasks(*tasks: dict[str, Any]) -> Path:
    return put(Path("data/seed_tasks.jsonl"), tasks)


def task(name: str, *instances: tuple[str, str]) -> dict[str, Any]:
    return {
        "id": name,
        "instruction": f"Do what {name} says.",
        "instances": [{"input": given, "output": output} for given, output in instances],
        "is_classification": False,
    }


def run_seed_pairs(**changes: Any) -> list[dict[str, Any]]:
    seed_pairs.run(params(seed_pairs, **changes), seed_pairs.Inputs(), into(seed_pairs, "start"))
    return rows(into(seed_pairs, "start").folder / "pairs.jsonl")


def test_seed_pairs_are_all_instances_and_only_those_of_some_length_are_shown() -> None:
    lay_tasks(
        task("a", ("", "x" * 200), ("given", "x" * 300)),
        task("b", ("", "x" * 199)),
        task("c", ("", "x" * 900)),
        task("d", ("", "x" * 901)),
    )
    found = run_seed_pairs()
    assert [(row["id"], row["demo"], row["not_shown"], row["task"]) for row in found] == [
        ("a/0", True, None, "a"),
        ("a/1", False, "has_input", "a"),
        ("b/0", False, "too_short", "b"),
        ("c/0", True, None, "c"),
        ("d/0", False, "too_long", "d"),
    ]
    assert found[1]["instruction"] == "Do what a says.\n\ngiven"
    assert {row["source"] for row in found} == {"data/seed_tasks.jsonl"}
    metrics = json.loads(into(seed_pairs, "start").metrics.read_text())
    assert (metrics["seed_pairs"], metrics["seed_demos"]) == (5, 2)
    assert sum(row["count"] for row in metrics["seed_pairs_not_shown"]) == 3


def test_reversed_the_output_asks_as_augment_does_and_a_line_answers() -> None:
    lay_tasks(task("a", ("", "x" * 200), ("given", "x" * 300)))
    run_seed_pairs()
    (row,) = rows(into(seed_pairs, "start").folder / "reversed.jsonl")
    of = segment("x", "x" * 200)
    (asked,) = augment.requests([of], NONE, own(backward="adapter"))
    assert row == {"prompt": asked.prompt, "completion": " Do what a says."}


def test_seed_pairs_may_be_conversations() -> None:
    turns = [{"role": "user", "content": "Say x."}, {"role": "assistant", "content": "x" * 200}]
    put(Path("data/own.jsonl"), [{"messages": turns}, {"messages": turns, "id": "mine"}])
    found = run_seed_pairs(seed_pairs={"file": "data/own.jsonl"})
    assert [(row["id"], row["instruction"], row["demo"]) for row in found] == [
        ("1", "Say x.", True),
        ("mine", "Say x.", True),
    ]


def test_a_system_message_is_no_part_of_the_request_and_several_lines_are_not_shown() -> None:
    answer = {"role": "assistant", "content": "x" * 200}
    system = {"role": "system", "content": "Be brief."}
    one = [system, {"role": "user", "content": "Say x."}, answer]
    two = [{"role": "user", "content": "Say x.\nAnd well."}, answer]
    about = {"license": "MIT", "url": "a.org"}
    put(Path("data/own.jsonl"), [{"messages": one, **about}, {"messages": two}])
    found = run_seed_pairs(seed_pairs={"file": "data/own.jsonl"})
    assert [(row["instruction"], row["not_shown"]) for row in found] == [
        ("Say x.", None),
        ("Say x.\nAnd well.", "several_lines"),
    ]
    assert (found[0]["system"], found[0]["license"], found[0]["url"]) == (
        "Be brief.",
        "MIT",
        "a.org",
    )
    assert not {"system", "license", "url"} & {*found[1]}
    (row,) = rows(into(seed_pairs, "start").folder / "reversed.jsonl")
    assert row["completion"] == " Say x."
    metrics = json.loads(into(seed_pairs, "start").metrics.read_text())
    counted = {row["name"]: row["count"] for row in metrics["seed_pairs_not_shown"]}
    assert counted["several_lines"] == 1


def test_seed_pairs_of_which_none_can_be_shown_are_an_error_and_no_file() -> None:
    lay_tasks(task("a", ("", "short")))
    with pytest.raises(BadFile, match="none of its 1 pairs can be shown"):
        run_seed_pairs()
    assert not into(seed_pairs, "start").folder.exists()


def test_a_bad_seed_row_is_named_with_file_and_line() -> None:
    path = lay_tasks(task("a", ("", "x" * 200)))
    path.write_text(path.read_text() + '{"id": "b"}\n')
    with pytest.raises(BadRow, match=r"data/seed_tasks.jsonl:2: field instruction"):
        run_seed_pairs()


def test_the_project_s_own_seed_tasks_give_enough_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    own_params = params(seed_pairs).seed_pairs
    found = list(seed_pairs.pairs(Path(own_params.file), own_params))
    assert sum(pair.demo for pair in found) == 56
    assert all("\n" not in pair.instruction for pair in found if pair.demo)


def test_a_bad_segment_is_named_with_file_and_line_before_anything_is_asked(
    server: Scoring,
) -> None:
    lay()
    SEGMENTS.write_text(lines([segment("1")]) + '{"id": 1}\n')
    with pytest.raises(BadRow, match=r"segments.jsonl:2"):
        run()
    assert server.bodies == []
