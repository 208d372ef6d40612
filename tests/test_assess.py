"""How good a judge is: labels, pairs by hand and swapped ones, and what the metrics say of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pairs import (
    NONE,
    Model,
    augmented,
    files_in,
    into,
    lay_prompts,
    params,
    put,
    rows,
    seed_pair,
    segment,
)
from support.params import section
from support.project import ROOT
from support.ranking import scoring

from seedbed.backtranslation import assess, curate
from seedbed.backtranslation.assess import ByHand, by_fault, labelled, read_labels, recovered, swaps
from seedbed.backtranslation.errors import NoLabelledPair
from seedbed.backtranslation.params import Assess, Curate
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    KEPT,
    PAIRS,
    SEED,
    SEGMENTS,
    CuratedPair,
    Labelled,
    Swap,
)
from seedbed.errors import BadFile, BadRow

NUMBER = 10
GOOD = (1, 4)
LABELS = Path("data/corpus_labels.jsonl")
FAULTS = ("advertising", "forum", "navigation")


def label(n: int, **more: Any) -> dict[str, Any]:
    good = n in GOOD
    return {
        "document": f"data/corpus/{n}.md",
        "heading": [f"{n}"],
        "good": good,
        "fault": None if good else FAULTS[n % 3],
        "instruction": f"By hand: what is there to say about {n}, then?" if good else None,
        **more,
    }


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    lay_prompts(tmp_path)
    put(BACK / "start" / SEED / PAIRS, [seed_pair(n) for n in range(6)])
    put(SEGMENTS, [segment(f"{n}") for n in range(NUMBER)])
    put(BACK / "round-1" / AUGMENTED / PAIRS, [augmented(f"{n}") for n in range(NUMBER)])
    put(LABELS, [label(n) for n in range(NUMBER)])


RATING = {"by": "rating", "threshold": 4.5, "keep_share": None}


def run(
    monkeypatch: pytest.MonkeyPatch, reply: Callable[[str], str], **changes: Any
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Judge the pairs, and try the judge: metrics and files."""
    changes = {"curate": RATING, "assess": {"resamples": 200}, **changes}
    with scoring(reply=reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        where = into(curate, "backtranslation/round-1")
        curate.run(params(curate, **changes), curate.Inputs(), where)
        where = into(assess, "assessed/round-1")
        assess.run(params(assess, **changes), assess.Inputs(), where)
    return json.loads(where.metrics.read_text()), files_in(where.folder)


def asks_about(n: int) -> Callable[[str], bool]:
    return lambda prompt: f"The text about {n}." in prompt


def belongs(prompt: str) -> bool:
    """Whether a good text stands behind an instruction that is about it."""
    return any(f"The text about {n}." in prompt and f"about {n}" in prompt.split("\n")[2]
               for n in GOOD)  # fmt: skip


# --- the judge


def test_a_judge_that_knows_has_all_figures_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = run(monkeypatch, lambda prompt: f" Score: {5 if belongs(prompt) else 1}")
    for name in ("judge_auc", "judge_auc_swapped", "judge_precision", "judge_recall"):
        assert found[name] == 1.0, name
    assert found["judge_intervals"][0] == {"name": "judge_auc", "low": 1.0, "high": 1.0}


def test_a_judge_that_always_says_five_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = run(monkeypatch, lambda prompt: " Score: 5")
    assert found["judge_auc"] == found["judge_auc_swapped"] == 0.5
    assert found["judge_precision"] == len(GOOD) / NUMBER
    assert found["judge_recall"] == 1.0
    assert found["by_threshold"] == [
        {"threshold": 5.0, "kept": NUMBER, "precision": 0.2, "recall": 1.0}
    ]


def test_a_judge_that_is_wrong_throughout_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = run(monkeypatch, lambda prompt: f" Score: {1 if belongs(prompt) else 5}")
    assert found["judge_auc"] == found["judge_auc_swapped"] == found["judge_precision"] == 0.0
    assert found["judge_recall"] == 0.0


def test_pairs_without_a_score_are_not_found_good_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reply(prompt: str) -> str:
        return " None." if asks_about(GOOD[0])(prompt) else f" Score: {5 if belongs(prompt) else 1}"

    found, _ = run(monkeypatch, reply)
    assert (found["judge_auc"], found["judge_precision"], found["judge_recall"]) == (1.0, 1.0, 0.5)
    assert [(row["threshold"], row["recall"]) for row in found["by_threshold"]] == [
        (5.0, 0.5),
        (1.0, 0.5),
    ]
    counted = {row["name"]: row["count"] for row in found["assessed"]}
    assert counted == {
        "labels": NUMBER,
        "pairs_labelled": NUMBER,
        "pairs_good": 2,
        "pairs_without_score": 1,
        "true_scored": 1,
        "swapped_scored": 1,
    }
    assert sum(row["pairs"] for row in found["by_fault"]) == NUMBER


def test_the_files_name_each_pair_its_score_and_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, lambda prompt: f" Score: {5 if belongs(prompt) else 1}")
    folder = into(assess, "assessed/round-1").folder
    assert rows(folder / "labelled.jsonl") == [
        {
            "id": f"s-{n}",
            "score": 5.0 if n in GOOD else 1.0,
            "kept": n in GOOD,
            "good": n in GOOD,
            "fault": label(n)["fault"],
        }
        for n in range(NUMBER)
    ]
    tried = [(row["id"], row["of"], row["score"]) for row in rows(folder / "swapped.jsonl")]
    assert tried == [
        ("s-1", None, 5.0),
        ("s-4", None, 5.0),
        ("s-1", "s-4", 1.0),
        ("s-4", "s-1", 1.0),
    ]


@pytest.mark.parametrize(
    "way", [{"by": "contrast"}, {"by": "contrast", "direction": "forward"}, {"by": "gain"}], ids=str
)
def test_a_second_run_sends_nothing_and_gives_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    put(LABELS, [label(n, good=True, instruction=f"Say {n}, will you?") for n in range(NUMBER)])
    changes = {"curate": way, "assess": {"resamples": 200}}
    with scoring() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        found = []
        curate.run(
            params(curate, **changes), curate.Inputs(), into(curate, "backtranslation/round-1")
        )
        for _ in range(2):
            assess.run(params(assess, **changes), assess.Inputs(), into(assess, "assessed/round-1"))
            found.append((files_in(Path("data/assessed")), len(server.bodies)))
        assert found[0] == found[1]


# --- pairs by hand


def hand(number: int) -> list[ByHand]:
    return [ByHand(f"id {n}", f"instruction {n}.", f"output {n}.") for n in range(number)]


def test_swapped_pairs_have_each_text_with_others_instructions() -> None:
    some, own = hand(4), section(Curate, by="rating", swapped=2)
    model = Model(reply=lambda request: "Score: 3")
    found = swaps(some, NONE, own, model)
    assert [(row.id, row.of) for row in found[:4]] == [(pair.id, None) for pair in some]
    assert len(found) == 4 + 8
    prompts = [request.prompt for request in model.requests]
    of = {pair.id: pair for pair in some}
    for row, prompt in zip(found, prompts, strict=True):
        assert row.of != row.id
        assert of[row.id].output in prompt
        assert of[row.of or row.id].instruction in prompt


def test_by_contrast_a_swapped_pair_is_never_compared_with_what_it_is_made_of() -> None:
    some, own = hand(6), section(Curate, by="contrast", swapped=9, demos=0)
    model = Model()
    found = swaps(some, NONE, own, model)
    # True ones: itself and five others; swapped ones: itself and four.
    assert [len(row.keys) for row in found] == [6] * 6 + [5] * 30
    for one in found:
        assert len(set(one.keys)) == len(one.keys)


def test_true_pairs_of_a_model_that_knows_them_score_above_all_swapped_ones() -> None:
    def likely(prompt: str, text: str) -> list[float]:
        return [-1.0 if f"output {text.strip().split(' ')[1]}" in prompt else -9.0]

    found = swaps(hand(5), NONE, section(Curate, by="contrast", demos=0), Model(likely))
    assert {row.score for row in found if row.of is None} == {8.0}
    assert max(row.score or 0.0 for row in found if row.of is not None) <= 0


def test_texts_that_are_tried_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [
        {**augmented(f"{n}").model_dump(), "score": 1.0, "kept": True, "reason": None, "parts": []}
        for n in range(NUMBER)
    ]
    put(BACK / "round-0" / CURATED / KEPT, kept)
    put(BACK / "round-0" / CURATED / PAIRS, kept)
    put(BACK / "round-1" / CURATED / PAIRS, kept)
    changes = {"curate": {"by": "contrast"}, "assess": {"resamples": 200}}
    with scoring() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        inputs = assess.Inputs(before=BACK / "round-0")
        assess.run(params(assess, **changes), inputs, into(assess, "assessed/round-1"))
    assert len(server.scored) == 4
    for prompt in server.scored:
        shown = prompt.rpartition("Text:\n")[0]
        assert shown.count("The text about") == 2
        assert not any(f"about {n}." in shown for n in GOOD)


def test_how_well_instructions_are_recovered_is_beside_that_of_others() -> None:
    some = [ByHand("a", "one two three four", ""), ByHand("b", "five six seven eight", "")]
    assert recovered(some, {"a": "one two three four", "b": "five six"}) == pytest.approx(
        (100 * (1 + 2 / 3) / 2, 0.0)
    )
    assert recovered(some, {"a": "five six seven eight", "b": "one two three four"}) == (0.0, 100.0)
    assert recovered(some, {"a": "x", "c": "y"}) is None


# --- labels


def test_labels_find_pairs_by_document_and_heading() -> None:
    def row(n: int) -> CuratedPair:
        scored: dict[str, Any] = {"score": None, "kept": False, "reason": "cut", "parts": []}
        return CuratedPair(**augmented(f"{n}").model_dump(), **scored)

    put(LABELS, [label(1), label(2), label(3, heading=["3", "elsewhere"])])
    found = labelled([row(3), row(2), row(1), row(9)], read_labels(LABELS))
    assert [(one.id, one.good) for one in found] == [("s-2", False), ("s-1", True)]


BAD: list[tuple[dict[str, Any], str]] = [
    (label(1), r":2: this section has a label already"),
    (label(4, instruction=None), r":2: a good section without an instruction"),
    (label(4, instruction=" "), r":2: field instruction"),
    (label(4, good="yes"), r":2: field good"),
]


@pytest.mark.parametrize(("second", "said"), BAD)
def test_a_bad_label_is_named_with_file_and_line(second: dict[str, Any], said: str) -> None:
    put(LABELS, [label(1), second])
    with pytest.raises(BadRow, match=f"corpus_labels.jsonl{said}"):
        read_labels(LABELS)


def test_labels_of_something_else_are_an_error_and_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    put(LABELS, [label(1, document="data/other/1.md")])
    with pytest.raises(NoLabelledPair, match="no row has the document and heading"):
        run(monkeypatch, lambda prompt: " Score: 5")
    assert not into(assess, "assessed/round-1").folder.exists()


def test_labels_that_are_not_there_are_an_error_of_this_stage_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    LABELS.unlink()
    with pytest.raises(BadFile, match=r"corpus_labels.jsonl: no such file"):
        run(monkeypatch, lambda prompt: " Score: 5")
    assert (BACK / "round-1" / CURATED / PAIRS).exists()


def test_a_score_of_nothing_is_a_score() -> None:
    some = [
        Labelled(id="a", score=0.0, kept=True, good=True, fault=None),
        Labelled(id="b", score=-1.0, kept=False, good=False, fault="forum"),
    ]
    tried = [Swap(id="a", of=None, score=0.0, keys=[]), Swap(id="a", of="b", score=-1.0, keys=[])]
    found = assess.metrics(some, tried, None, 2, section(Assess, resamples=100))
    assert found["judge_auc"] == found["judge_auc_swapped"] == 1.0
    assert found["assessed"]["pairs_without_score"] == 0
    assert found["by_fault"]["good"]["score_mean"] == 0.0


def test_every_labelled_pair_is_in_one_row_by_fault() -> None:
    some = [
        Labelled(id="a", score=4.0, kept=True, good=True, fault=None),
        Labelled(id="b", score=None, kept=False, good=True, fault=None),
        Labelled(id="c", score=1.0, kept=False, good=False, fault="forum"),
        Labelled(id="d", score=2.0, kept=True, good=False, fault="forum"),
        Labelled(id="e", score=3.0, kept=True, good=False, fault=None),
        Labelled(id="f", score=None, kept=False, good=False, fault="list"),
    ]
    assert by_fault(some) == {
        "good": {"pairs": 2, "kept": 1, "score_mean": 4.0},
        "none_named": {"pairs": 1, "kept": 1, "score_mean": 3.0},
        "forum": {"pairs": 2, "kept": 1, "score_mean": 1.5},
        "list": {"pairs": 1, "kept": 0, "score_mean": None},
    }


def test_the_project_s_own_labels_are_sound_and_a_fifth_of_them_is_good() -> None:
    found = read_labels(ROOT / LABELS).values()
    good = [one for one in found if one.good]
    assert all(one.good == (one.fault is None) for one in found)
    assert 0.15 <= len(good) / len(found) <= 0.25
    assert all((ROOT / one.document).exists() for one in found)
