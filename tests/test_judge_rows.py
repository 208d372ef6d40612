"""The judge, and instruction-following difficulty, on rows of any method and of anybody."""

import json
from collections.abc import Callable, Iterator
from math import exp
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pairs import Known, files_in, into, lay_prompts, params, put, rows, seed_pair
from support.params import section
from support.ranking import Scoring, scoring
from support.tries import tries

from seedbed.backtranslation import ifd, judge
from seedbed.backtranslation.conversations import Conversation, Message, read_conversations
from seedbed.backtranslation.errors import NoScoreOfAny, NothingCurated, NothingFits
from seedbed.backtranslation.params import Ifd
from seedbed.backtranslation.prompts import Forward
from seedbed.backtranslation.rows import BACK, PAIRS, SEED
from seedbed.core import draws
from seedbed.errors import BadFile, BadRow
from seedbed.llm.errors import ScoringNotOffered
from seedbed.training.sources import Prompts, read_examples

ROWS = Path("data/prepare/messages.jsonl")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    lay_prompts(tmp_path)
    put(BACK / "start" / SEED / PAIRS, [seed_pair(n) for n in range(6)])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    with scoring(reply=lambda prompt: f" Score: {1 + len(prompt) % 5}") as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        yield served


def turns(question: str, answer: str, system: str = "") -> list[dict[str, Any]]:
    before = [{"role": "system", "content": system}] if system else []
    return [
        *before,
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def foreign(n: int) -> dict[str, Any]:
    """A row of a file from elsewhere: no id, no key."""
    return {"messages": turns(f"What is {n}{'?' * n}", f"It is number {n}.")}


def prepared(n: int) -> dict[str, Any]:
    """A row as data/prepare has it."""
    return {**foreign(n), "id": f"row-{n}/1", "instruction_id": f"row-{n}", "key": f"key-{n}"}


def run(stage: ModuleType, **changes: Any) -> Path:
    stage.run(params(stage, **changes), stage.Inputs(), into(stage))
    return into(stage).folder


# --- conversations


def test_rows_of_prepare_keep_their_ids_and_keys() -> None:
    put(ROWS, [prepared(n) for n in range(3)])
    found = list(read_conversations(ROWS))
    assert [(one.id, one.key, one.line) for one in found] == [
        (f"row-{n}/1", f"key-{n}", n + 1) for n in range(3)
    ]
    assert (found[0].instruction, found[1].output) == ("What is 0", "It is number 1.")


def test_rows_from_elsewhere_are_called_by_their_lines_whatever_else_they_have() -> None:
    odd = {"license": " ", "key": {"x": 1}, "source": 7, "tools": None, "url": ""}
    put(ROWS, [foreign(0), {**foreign(1), **odd}, {**foreign(2), "id": 17, "license": "mit"}])
    found = list(read_conversations(ROWS))
    assert [(one.id, one.key, one.license, one.url) for one in found] == [
        ("1", None, None, None),
        ("2", None, None, None),
        ("17", None, "mit", None),
    ]


def test_a_system_message_stands_before_the_question_as_a_trainer_reads_it() -> None:
    put(ROWS, [{"messages": turns(" Why? ", " Because.\n", system="Be brief.\n")}, foreign(1)])
    found = list(read_conversations(ROWS))
    assert (found[0].instruction, found[0].output) == ("Be brief.\n\nWhy?", "Because.")
    put(ROWS, [{"messages": turns("Why?", "Because.", system="Be brief.")}])
    (mine,) = read_conversations(ROWS)
    (trained,) = read_examples(ROWS, Prompts(Path("data/prompts/finetune")))
    assert Forward().fill([], mine.instruction).text == trained.prompt
    assert f" {mine.output}" == trained.completion


BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, r"field messages: .*at least 2"),
    ({"text": "x"}, r"field messages: Field required"),
    ({"messages": [{"role": "user", "content": "x"}] * 2}, r"a conversation of user, user"),
    ({"messages": turns("a", "b") * 2}, r"a conversation of user, assistant, user, assistant"),
    ({"messages": turns(" ", "b")}, r"the question is empty"),
    ({"messages": turns("a", "\n")}, r"the answer is empty"),
    ({"messages": [*turns("a", "b")[:1], {"role": "tool", "content": "x"}]}, r"messages.1.role"),
    ({"messages": [*turns("a", "b")[:1], {"role": "assistant", "content": None}]}, r"1.content"),
    ({**prepared(0)}, r"id 'row-0/1' is already that of line 1"),
    ({**prepared(1), "id": ["x"]}, r"field id"),
    ({**prepared(1), "license": ["MIT"]}, r"field license"),
    ({"messages": turns(" ", "b", system="s")}, r"the question is empty"),
]


@pytest.mark.parametrize("stage", [judge, ifd])
@pytest.mark.parametrize(("second", "said"), BAD)
def test_a_bad_row_is_named_with_file_and_line_before_anything_is_asked(
    server: Scoring, stage: ModuleType, second: dict[str, Any], said: str
) -> None:
    put(ROWS, [prepared(0), second])
    with pytest.raises(BadRow, match=rf"^data/prepare/messages\.jsonl:2: .*{said}"):
        run(stage)
    assert server.bodies == []
    assert not into(stage).folder.exists()


@pytest.mark.parametrize("stage", [judge, ifd])
def test_a_file_that_is_missing_or_empty_is_named(server: Scoring, stage: ModuleType) -> None:
    with pytest.raises(BadFile, match=r"data/prepare/messages\.jsonl: no such file"):
        run(stage)
    put(ROWS, [])
    with pytest.raises(BadFile, match=r"data/prepare/messages\.jsonl: empty"):
        run(stage)
    assert server.bodies == []


@pytest.mark.parametrize("stage", [judge, ifd])
def test_another_file_may_be_read_in_its_place(server: Scoring, stage: ModuleType) -> None:
    mine = put(Path("mine.jsonl"), [foreign(n) for n in range(4)])
    name = stage.__name__.rpartition(".")[2]
    by_param = run(stage, **{name: {"rows": str(mine)}}) / "rows.jsonl"
    first = rows(by_param)
    assert {row["source"] for row in first} == {"mine.jsonl"}
    assert [(row["id"], row["line"]) for row in first] == [(f"{n}", n) for n in range(1, 5)]
    stage.run(params(stage), stage.Inputs(rows=mine), into(stage))
    assert rows(by_param) == first


# --- judge

RATING = {"by": "rating", "threshold": 4.5, "keep_share": None}


def test_all_rows_have_a_score_or_a_reason_and_the_best_can_be_trained_on(server: Scoring) -> None:
    put(ROWS, [prepared(n) for n in range(9)])
    folder = run(judge)
    found, kept = rows(folder / "rows.jsonl"), rows(folder / "curated.jsonl")
    assert [row["id"] for row in found] == [f"row-{n}/1" for n in range(9)]
    assert [row["row_key"] for row in found] == [f"key-{n}" for n in range(9)]
    # Half of nine, rounded up.
    assert len(kept) == sum(row["kept"] for row in found) == 5
    best = sorted((row["score"] for row in found), reverse=True)[:5]
    assert sorted((row["score"] for row in kept), reverse=True) == best
    examples = list(read_examples(folder / "curated.jsonl", Prompts(Path("data/prompts/finetune"))))
    assert [one.key for one in examples] == [row["key"] for row in kept]
    metrics = json.loads(into(judge).metrics.read_text())
    assert (metrics["judged_rows"], metrics["judged_kept"]) == (9, 5)
    assert {row["name"]: row["count"] for row in metrics["judge_reasons"] if row["count"]} == {
        "below": 4
    }


def test_a_row_that_is_kept_has_its_turns_as_they_stood_and_its_licence(server: Scoring) -> None:
    about = {"license": "cc-by-4.0", "url": "https://example.org/1", "key": "k", "id": "mine"}
    first = {"messages": turns("Why? ", " Because.", system="Be brief."), **about}
    put(ROWS, [first, foreign(1)])
    (row, other) = rows(run(judge, judge={"keep_share": 1.0}) / "curated.jsonl")
    assert row == {**first, "score": row["score"]}
    assert (other["messages"], other["license"]) == (foreign(1)["messages"], None)


def test_a_judge_that_knows_keeps_the_good_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    put(ROWS, [foreign(n) for n in range(6)])
    good = ("number 2.", "number 3.")
    with scoring(
        reply=lambda prompt: f" Score: {5 if any(one in prompt for one in good) else 4}"
    ) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        folder = run(judge, judge=RATING)
    assert [row["id"] for row in rows(folder / "curated.jsonl")] == ["3", "4"]


SILENT: list[tuple[str, type[Exception], str]] = [
    (" I like it.", NoScoreOfAny, "judge: none of the 3 pairs has a score"),
    (" Score: 4", NothingCurated, r"messages\.jsonl: none of 3 pairs is kept"),
]


@pytest.mark.parametrize(("said", "error", "message"), SILENT)
def test_nothing_that_is_kept_is_an_error_and_no_file(
    monkeypatch: pytest.MonkeyPatch, said: str, error: type[Exception], message: str
) -> None:
    put(ROWS, [foreign(n) for n in range(3)])
    with scoring(reply=lambda prompt: said) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        with pytest.raises(error, match=message):
            run(judge, judge=RATING)
    assert not into(judge).folder.exists()
    assert not into(judge).metrics.exists()


def test_a_row_that_is_also_a_seed_pair_is_not_shown_before_itself(server: Scoring) -> None:
    seeds = [seed_pair(n) for n in range(6)]
    put(ROWS, [{"messages": turns(one.instruction, one.output)} for one in seeds])
    run(judge, judge={"demos": 3, "direction": "backward"})
    assert len(server.scored) == 6 * 3
    for prompt in server.scored:
        shown = prompt.rpartition("Text:\n")[0]
        said = prompt.rsplit("Request: ", 1)[1].strip()
        assert shown.count("wrote this.") == 3
        assert said not in shown


WAYS: list[tuple[ModuleType, dict[str, Any]]] = [
    (judge, {"judge": {}}),
    (judge, {"judge": {"by": "gain", "demos": 2}}),
    (judge, {"judge": {"by": "rating", "keep_share": 0.3}}),
    (ifd, {}),
]


@pytest.mark.parametrize(("stage", "way"), WAYS)
def test_a_second_run_sends_nothing_and_gives_the_same_bytes(
    server: Scoring, stage: ModuleType, way: dict[str, Any]
) -> None:
    put(ROWS, [prepared(n) for n in range(7)])
    first = files_in(run(stage, **way))
    asked = len(server.bodies)
    assert asked >= 7
    assert files_in(run(stage, **way, llm={"replay": True})) == first
    assert len(server.bodies) == asked


@pytest.mark.parametrize(("stage", "way"), WAYS)
def test_what_is_asked_at_once_changes_nothing(
    server: Scoring,
    stage: ModuleType,
    way: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    put(ROWS, [prepared(n) for n in range(20)])
    found = []
    for concurrency in (1, 16):
        monkeypatch.setenv("SEEDBED_CONCURRENCY", str(concurrency))
        monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / f"store-{concurrency}.sqlite"))
        found.append(files_in(run(stage, **way)))
    assert found[0] == found[1]


# --- instruction-following difficulty


def conversation(n: int) -> Conversation:
    question, answer = f"What is {n}?", f"It is {n}."
    said = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Conversation(f"r{n}", question, question, None, answer, n + 1, None, said, None, None)


def difficulty(
    *both: tuple[list[float], list[float]], **changes: object
) -> list[tuple[float | None, bool, str | None]]:
    """Of rows of which the outputs' tokens have these log-probabilities: with, and without."""
    some = [conversation(n) for n in range(len(both))]
    scores = [Known(f"with-{n}", one) for n, (one, _) in enumerate(both)]
    scores += [Known(f"without-{n}", one) for n, (_, one) in enumerate(both)]
    found = ifd.ifd(some, scores, section(Ifd, **changes), "a.jsonl")
    assert [row.keys for row in found] == [[f"with-{n}", f"without-{n}"] for n in range(len(both))]
    return [(row.ifd, row.kept, row.reason) for row in found]


def test_difficulty_is_the_perplexity_with_the_instruction_by_that_without() -> None:
    ((value, _, _),) = difficulty(([-1.0, -2.0], [-2.0, -3.0, -4.0]))
    assert value == pytest.approx(exp(1.5) / exp(3.0), abs=1e-6)


def test_where_the_instruction_does_not_help_the_two_do_not_fit() -> None:
    assert difficulty(([-2.0], [-2.0]), ([-2.1], [-2.0]), ([-1.0], [-2.0]), keep_share=1.0) == [
        (1.0, False, "misaligned"),
        (pytest.approx(exp(0.1), abs=1e-6), False, "misaligned"),
        (pytest.approx(exp(-1), abs=1e-6), True, None),
    ]


def test_the_hardest_that_fit_are_kept_a_share_of_all_rows() -> None:
    nats = (-1.0, -3.0, -5.0, -1.9, -1.5)
    found = difficulty(*(([one], [-2.0]) for one in nats), keep_share=0.6)
    # All of those that fit: as many as three fifths of all.
    assert [kept for _, kept, _ in found] == [True, False, False, True, True]
    found = difficulty(*(([one], [-2.0]) for one in nats), keep_share=0.4)
    assert [kept for _, kept, _ in found] == [False, False, False, True, True]
    assert [reason for _, _, reason in found] == [
        "too_easy",
        "misaligned",
        "misaligned",
        None,
        None,
    ]
    assert [kept for _, kept, _ in difficulty(([-1.0], [-2.0]), ([-1.5], [-2.0]))] == [False, True]


@settings(max_examples=tries(50), deadline=None)
@given(number=st.integers(1, 30), hundredths=st.integers(1, 100))
def test_a_share_is_rounded_up_and_equal_ones_are_kept_by_a_draw(
    number: int, hundredths: int
) -> None:
    found = difficulty(*[([-1.0], [-2.0])] * number, keep_share=hundredths / 100)
    most = -(-hundredths * number // 100)
    order = sorted(range(number), key=lambda n: draws.rank(section(Ifd).seed, "ifd", f"r{n}"))
    assert [kept for _, kept, _ in found] == [n in order[:most] for n in range(number)]


def test_difficulty_has_no_infinities_and_none_where_nothing_was_scored() -> None:
    found = difficulty(([-5000.0], [-1.0]), ([], []), ([-1.0], [-2.0]), keep_share=1.0)
    assert found[0][0] == pytest.approx(exp(100))
    assert found[0][1:] == (False, "misaligned")
    assert found[1] == (None, False, "nothing_scored")
    impossible = difficulty(([-float("inf")], [-1.0]), ([-1.0], [-float("inf")]))
    assert impossible == [(None, False, "nothing_scored")] * 2


def test_what_is_scored_is_what_a_model_is_trained_on_and_the_same_alone(server: Scoring) -> None:
    put(ROWS, [prepared(n) for n in range(5)])
    found = rows(run(ifd, ifd={"keep_share": 1.0}) / "rows.jsonl")
    trained = list(read_examples(ROWS, Prompts(Path("data/prompts/finetune"))))
    assert sorted(server.scored) == sorted(
        [one.prompt + one.completion for one in trained]
        + [f"Output:{one.completion}" for one in trained]
    )
    assert len(found) == 5
    for row in found:
        assert row["ifd"] == pytest.approx(exp(row["alone"] - row["conditioned"]), abs=1e-5)
    metrics = json.loads(into(ifd).metrics.read_text())
    assert metrics["ifd_rows"] == 5
    assert metrics["ifd_kept"] == sum(row["kept"] for row in found)
    assert metrics["ifd_misaligned"] == sum(row["ifd"] >= 1 for row in found)
    assert sum(row["count"] for row in metrics["ifd_reasons"]) == 5 - metrics["ifd_kept"]


def likely_alone(prompt: str, _: str) -> float:
    return -1.0 if prompt.startswith("Output:") else -2.0


REFUSING: list[tuple[dict[str, Callable[[str, str], float] | bool], type[Exception], str]] = [
    ({"likely": likely_alone}, NothingFits, "misaligned: 3"),
    ({"echoes": False}, ScoringNotOffered, "echo is not supported"),
]


@pytest.mark.parametrize(("how", "error", "message"), REFUSING)
def test_where_no_instruction_helps_or_nothing_is_scored_it_is_an_error_and_no_file(
    monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], error: type[Exception], message: str
) -> None:
    put(ROWS, [foreign(n) for n in range(3)])
    with scoring(**how) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        with pytest.raises(error, match=message):
            run(ifd)
    assert not into(ifd).folder.exists()
