"""What instruction backtranslation would ask, said before, beside what its stages then ask."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.params import changed
from support.project import ROOT
from support.ranking import Scoring, scoring

from seedbed.backtranslation import assess, augment, curate, ifd, judge, seed_pairs
from seedbed.backtranslation import estimate as of_backtranslation
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    KEPT,
    LABELS,
    PAIRS,
    SEED,
    SEGMENTS,
)
from seedbed.core.files import to_line, write_files
from seedbed.core.paths import Into
from seedbed.llm.store.place import default_path
from seedbed.llm.store.store import Store
from seedbed.params import Everything, checked
from seedbed.runs.dry_run import Foreseen, Foresight

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
NOT_THERE = "http://127.0.0.1:9/v1"
SEGMENT, SWAPPED, DEMOS = 7, 3, 2
ROUNDS = {"round-1": "start", "round-2": "round-1"}
SEEDS, CONVERSATIONS = Path("data/seed_tasks.jsonl"), Path("data/prepare/messages.jsonl")
FIRST, LAST = BACK / "round-1", BACK / "round-2"
# Of these the judge is asked, whichever way.
GOOD = 4
WAYS: list[dict[str, Any]] = [
    {"by": "contrast", "direction": "backward"},
    {"by": "contrast", "direction": "forward"},
    {"by": "gain", "direction": "backward"},
    {"by": "gain", "direction": "forward"},
    {"by": "expected"},
    {"by": "rating"},
]
# What each asks of a pair.
EACH = {"contrast": 1 + SWAPPED, "gain": 2, "expected": 5, "rating": 1}


def segment(number: int) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "document": "data/corpus/one.md",
        "heading": ["One", f"Part {number}"],
        "text": f"This is part {number} of it, as somebody wrote it down one day.",
        "first_line": number,
        "last_line": number,
        "license": None,
        "url": None,
    }


def label(number: int) -> dict[str, Any]:
    good = number < GOOD
    return {
        "document": "data/corpus/one.md",
        "heading": ["One", f"Part {number}"],
        "good": good,
        "fault": None if good else "forum_voice",
        "instruction": f"Tell me about the part of number {number}, please." if good else None,
    }


def seed_task(number: int) -> dict[str, Any]:
    output = f"An answer to number {number}. " * 10
    return {
        "id": f"task_{number}",
        "instruction": f"Do the thing of number {number}.",
        "instances": [{"input": "", "output": output}],
        "is_classification": False,
    }


def conversation(number: int) -> dict[str, Any]:
    asked, said = f"Say something about {number}.", f"There is much to say about {number}."
    return {
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    }


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    write_files({path: map(to_line, rows)})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that are not cut yet, and what people wrote beside them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("OPENAI_BASE_URL", NOT_THERE)
    for name in ("augment", "curate"):
        shutil.copytree(ROOT / "data/prompts" / name, f"data/prompts/{name}")
    put(SEEDS, [seed_task(n) for n in range(6)])
    put(LABELS, [label(n) for n in range(SEGMENT)])
    put(CONVERSATIONS, [conversation(n) for n in range(5)])
    Path("data/corpus/more").mkdir(parents=True)
    Path("data/corpus/one.md").write_text("x" * 3500)
    Path("data/corpus/more/two.md").write_text("x" * 600)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    """One that scores and answers; the segments are there."""
    put(SEGMENTS, [segment(n) for n in range(SEGMENT)])
    with scoring(reply=answer) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        yield served


def of(prompt: str) -> str:
    """Which part a prompt of augment asks about."""
    return prompt.rpartition("This is part ")[2].split()[0]


def answer(prompt: str) -> str:
    if prompt.endswith("Reasons:"):
        return " It will do.\nScore: 4"
    return f" Explain in your own words what number {of(prompt)} means."


def params(**changes: Any) -> Everything:
    """All of params.yaml, for few segments, and changes."""
    judging = {"swapped": SWAPPED, "demos": DEMOS, "keep_share": 0.75}
    small = {
        "llm": {"model": "served-model"},
        "segment": {"min_chars": 600, "max_chars": 1400},
        "augment": {"demos": DEMOS},
        "curate": judging,
        "judge": judging,
    }
    everything = changed(changed(PARAMS, small), changes)
    rounds = {name: {"before": before} for name, before in ROUNDS.items()}
    everything["backtranslation"] = {**everything["backtranslation"], "rounds": rounds}
    return checked(everything)


def estimate(everything: Everything) -> dict[str, Foreseen]:
    store = Store(default_path())
    try:
        with Foresight.opened(everything.asked, store) as foresight:
            seen = of_backtranslation.foresee(everything, foresight)
            for one in seen:
                foresight.add_tokens(one)
    finally:
        store.close()
    assert [one.stage for one in seen] == ["augment", "curate", "assess", "judge", "ifd"]
    return {one.stage: one for one in seen}


def of_stage(stage: Any, everything: Everything) -> Any:
    """What a stage declares of all that."""
    values = everything.model_dump(mode="python")
    values["llm"] = {**values["llm"], **values["run"]}
    wanted: dict[str, Any] = {}
    for name, field in stage.Params.model_fields.items():
        own = getattr(field.annotation, "model_fields", {})
        wanted[name] = {part: values[name][part] for part in own if part in values[name]}
    return stage.Params.model_validate(wanted)


def run(everything: Everything, stage: Any, name: str = "", **inputs: Path) -> None:
    own = stage.__name__.rpartition(".")[2]
    stage.run(of_stage(stage, everything), stage.Inputs(**inputs), Into(own, name))


def start(everything: Everything) -> None:
    run(everything, seed_pairs, "backtranslation/start")


def run_augment(everything: Everything) -> None:
    for name, before in ROUNDS.items():
        run(everything, augment, f"backtranslation/{name}", before=BACK / before)


def run_curate(everything: Everything, *names: str) -> None:
    for name in names or ROUNDS:
        pairs, before = BACK / name / AUGMENTED / PAIRS, BACK / ROUNDS[name]
        run(everything, curate, f"backtranslation/{name}", pairs=pairs, before=before)


def run_assess(everything: Everything) -> None:
    for name, before in ROUNDS.items():
        run(
            everything, assess, f"assessed/{name}", round=BACK / name, before=BACK / before
        )  # fmt: skip


def sent(server: Scoring, work: Callable[[], object]) -> int:
    """How many requests the server gets meanwhile."""
    before = len(server.bodies)
    work()
    return len(server.bodies) - before


# --- before anything is there


def test_before_anything_is_there_the_documents_say_how_much_is_asked_and_what_is_a_guess() -> None:
    seen = estimate(params())
    # 4,100 bytes in texts of 1,000 characters.
    segments = 5
    assert seen["augment"].requests == 2 * segments
    # The second round asks what the first has asked.
    assert seen["augment"].missing == segments
    assert (
        seen["augment"].completion_tokens == segments * PARAMS["augment"]["sampling"]["max_tokens"]
    )
    assert seen["curate"].requests == seen["curate"].missing == 2 * segments * (1 + SWAPPED)
    # A swapped pair has its text and its instruction of two others, which leaves two.
    assert seen["assess"].requests == 2 * (GOOD * (1 + 3) + GOOD * 3 * (1 + 2))
    # A text after another's instruction is asked for once, whichever pair it belongs to.
    assert seen["assess"].missing == 2 * GOOD * GOOD
    assert seen["judge"].requests == seen["judge"].missing == 5 * (1 + SWAPPED)
    assert seen["ifd"].requests == 2 * 5
    tokens = "prompt tokens: 4 characters each"
    seeds = f"prompts: as if the seed pairs were those of {SEEDS} as it is"
    cut = (
        "requests: 5 segments, as if all 4,100 bytes of data/corpus were cut into texts of 1,000 "
        "characters"
    )
    shown = "prompts: as if round-2 were shown any pairs of round-1"
    assert {name: one.guessed for name, one in seen.items()} == {
        "augment": [tokens, "completion tokens: at most, all max_tokens", seeds, cut],
        "curate": [
            tokens,
            seeds,
            cut,
            "requests: as if no instruction to be written were refused",
            shown,
        ],
        "assess": [
            tokens,
            seeds,
            "requests: as if each section that is labelled good were a segment",
            shown,
        ],
        "judge": [tokens, seeds],
        "ifd": [tokens],
    }


def test_of_many_documents_no_more_segments_are_asked_about_than_there_may_be() -> None:
    seen = estimate(params(segment={"max_segments": 3}))
    assert seen["augment"].missing == 3
    # With two others to be swapped with.
    assert seen["curate"].missing == 2 * 3 * (1 + 2)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_judging_asks_so_much_of_a_pair(way: dict[str, Any]) -> None:
    seen = estimate(params(curate=way, judge=way))
    each, digits = EACH[way["by"]], way["by"] in ("expected", "rating")
    assert seen["curate"].requests == 2 * 5 * each
    # Such a prompt shows no pairs, so that the second round asks what the first has asked.
    assert seen["curate"].missing == 5 * each if digits else 2 * 5 * each
    assert any("any pairs of round-1" in note for note in seen["curate"].guessed) != digits
    assert seen["judge"].missing == 5 * each
    answered = 5 * PARAMS["judge"]["sampling"]["max_tokens"] if way["by"] == "rating" else 0
    assert seen["judge"].completion_tokens == answered


def test_a_judge_of_few_demos_is_shown_none_of_the_round_before() -> None:
    seen = estimate(params(curate={"demos": 1}))["curate"]
    assert seen.missing == seen.requests / 2
    assert not any("round-1" in note for note in seen.guessed)


def test_instructions_that_show_curated_pairs_are_asked_for_in_each_round() -> None:
    seen = estimate(params(augment={"of_curated": True}))["augment"]
    assert seen.missing == seen.requests == 2 * 5
    assert "prompts: as if round-2 were shown any pairs of round-1" in seen.guessed
    seen = estimate(params(augment={"of_curated": True, "backward": "adapter"}))["augment"]
    assert seen.missing == 5


def test_several_answers_a_rating_are_asked_for() -> None:
    seen = estimate(params(judge={"by": "rating", "samples": 3}))["judge"]
    assert seen.missing == 5 * 3


# --- beside what the stages ask


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.values()))
def test_what_is_foreseen_is_what_the_stages_then_ask(way: dict[str, Any], server: Scoring) -> None:
    everything = params(curate=way, judge=way)
    start(everything)
    seen = estimate(everything)
    assert server.bodies == []
    assert seen["augment"].missing == SEGMENT
    assert sent(server, lambda: run_augment(everything)) == SEGMENT
    # No instruction was refused.
    assert estimate(everything)["curate"].requests == seen["curate"].requests
    seen = estimate(everything)
    assert (seen["augment"].missing, seen["augment"].guessed) == (0, [])
    assert seen["curate"].requests == 2 * SEGMENT * EACH[way["by"]]
    assert seen["curate"].missing == sent(server, lambda: run_curate(everything))
    # By pairs that are kept the judge of the second round may be shown others.
    foreseen = estimate(everything)["assess"]
    assert foreseen.requests == seen["assess"].requests
    assert foreseen.missing == sent(server, lambda: run_assess(everything))
    assert seen["judge"].missing == sent(server, lambda: run(everything, judge))
    assert seen["ifd"].missing == sent(server, lambda: run(everything, ifd))
    server.bodies.clear()
    after = estimate(everything)
    assert server.bodies == []
    for name, one in after.items():
        assert (one.missing, one.prompt_tokens, one.completion_tokens) == (0, 0, 0)
        assert one.requests == seen[name].requests > 0
        assert one.guessed == []


def test_several_answers_a_pair_are_all_in_store_after_a_run(server: Scoring) -> None:
    everything = params(judge={"by": "rating", "samples": 2, "sampling": {"temperature": 1.0}})
    start(everything)
    assert estimate(everything)["judge"].missing == 10
    run(everything, judge)
    seen = estimate(everything)["judge"]
    assert (seen.requests, seen.missing) == (10, 0)


def test_a_stage_that_is_stopped_goes_on_with_what_is_left(server: Scoring) -> None:
    everything = params()
    start(everything)
    run_augment(everything)
    run_curate(everything, "round-1")
    seen = estimate(everything)["curate"]
    # Of the second round, whose pairs are shown now.
    assert (seen.requests, seen.missing) == (2 * SEGMENT * (1 + SWAPPED), SEGMENT * (1 + SWAPPED))
    assert seen.guessed == []
    assert seen.missing == sent(server, lambda: run_curate(everything, "round-2"))


def test_a_refused_instruction_is_not_judged(server: Scoring) -> None:
    server.reply = lambda prompt: " No." if of(prompt) == "3" else answer(prompt)
    everything = params(curate={"by": "gain"})
    start(everything)
    assert estimate(everything)["curate"].requests == 2 * SEGMENT * 2
    run_augment(everything)
    seen = estimate(everything)["curate"]
    assert seen.requests == 2 * (SEGMENT - 1) * 2
    assert "requests: as if no instruction to be written were refused" not in seen.guessed


def test_of_new_segments_alone_the_instructions_are_guessed(server: Scoring) -> None:
    everything = params(curate={"by": "gain", "demos": 0})
    start(everything)
    run_augment(everything)
    shutil.rmtree(FIRST / AUGMENTED)
    shutil.rmtree(LAST / AUGMENTED)
    put(SEGMENTS, [segment(n) for n in range(SEGMENT + 2)])
    seen = estimate(everything)
    assert (seen["augment"].requests, seen["augment"].missing) == (2 * (SEGMENT + 2), 2)
    assert seen["curate"].requests == 2 * (SEGMENT + 2) * 2
    assert "requests: as if no instruction to be written were refused" in seen["curate"].guessed


def test_pairs_whose_answers_are_elsewhere_are_taken_as_they_are(server: Scoring) -> None:
    everything = params(curate={"by": "rating"})
    start(everything)
    run_augment(everything)
    for folder in (FIRST, LAST):
        lines = (folder / AUGMENTED / PAIRS).read_text().splitlines(keepends=True)
        (folder / AUGMENTED / PAIRS).write_text("".join(lines[:4]))
    default_path().unlink()
    seen = estimate(everything)
    assert seen["augment"].missing == SEGMENT
    assert (seen["curate"].requests, seen["curate"].missing) == (8, 4)
    for name in ROUNDS:
        assert f"requests: as if the pairs of {name} stayed as they are" in seen["curate"].guessed
    assert seen["curate"].missing == sent(server, lambda: run_curate(everything))


# --- what is broken


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        (SEGMENTS, ["augment", "curate", "assess"]),
        (BACK / "start" / SEED / PAIRS, ["augment", "curate", "assess", "judge"]),
        (LABELS, ["assess"]),
        (CONVERSATIONS, ["judge", "ifd"]),
    ],
)
def test_a_broken_file_is_told_where_it_is_read_and_stops_no_other(
    path: Path, stages: list[str], server: Scoring
) -> None:
    start(params())
    everything = estimate(params())
    path.write_text("{}\n")
    seen = estimate(params())
    for name, one in seen.items():
        told = [note for note in one.guessed if note.startswith(f"requests: none: {path}:1: ")]
        assert len(told) == (name in stages)
        assert one.requests == (0 if name in stages else everything[name].requests)


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("data/corpus", ["augment", "curate", "assess"]),
        (str(SEEDS), ["augment", "curate", "assess", "judge"]),
        (str(LABELS), ["assess"]),
        ("data/prompts/augment/few_shot.txt", ["augment", "curate", "assess", "judge"]),
        ("data/prompts/curate/alone.txt", ["curate", "assess", "judge", "ifd"]),
    ],
)
def test_what_is_missing_is_told_and_stops_no_other(path: str, stages: list[str]) -> None:
    everything = estimate(params())
    shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()
    seen = estimate(params())
    for name, one in seen.items():
        assert one.requests == (0 if name in stages else everything[name].requests), name
        told = [note for note in one.guessed if f": {path}: no such f" in note]
        assert bool(told) == (name in stages)
        assert all(note.startswith("requests: none") for note in told)


def test_rows_that_another_method_has_yet_to_write_are_told() -> None:
    CONVERSATIONS.unlink()
    seen = estimate(params())
    for name in ("judge", "ifd"):
        assert seen[name].requests == 0
        assert f"requests: {CONVERSATIONS} has no rows yet" in seen[name].guessed
    assert seen["curate"].requests > 0


def test_what_is_broken_of_a_round_is_told_of_the_next_one(server: Scoring) -> None:
    everything = params()
    start(everything)
    run_augment(everything)
    run_curate(everything)
    path = FIRST / CURATED / KEPT
    path.write_text("{}\n")
    seen = estimate(everything)
    for name in ("curate", "assess"):
        (told,) = seen[name].guessed[-1:]
        assert told.startswith(f"requests: none of round-2: {path}:1: ")
    assert seen["curate"].requests == seen["curate"].kept == SEGMENT * (1 + SWAPPED)
    default_path().unlink()
    (LAST / AUGMENTED / PAIRS).write_text("{}\n")
    seen = estimate(everything)["curate"]
    told = f"requests: none of round-2: {LAST / AUGMENTED / PAIRS}:1: "
    assert any(note.startswith(told) for note in seen.guessed)
    assert seen.requests == SEGMENT * (1 + SWAPPED)


def test_a_file_that_is_no_document_any_more_has_no_size() -> None:
    Path("data/corpus/gone.md").symlink_to("nowhere.md")
    assert estimate(params())["augment"].missing == 5


@pytest.mark.slow
def test_the_embedded_server_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(model: object) -> None:
        raise AssertionError("it needs no server")

    monkeypatch.setattr("seedbed.llm.serve.embedded.serve", serve)
    monkeypatch.delenv("OPENAI_BASE_URL")
    everything = params(llm={"model": PARAMS["llm"]["model"]}, curate={"by": "expected"})
    seen = estimate(everything)
    assert seen["augment"].missing == 5
    assert seen["curate"].missing == 5 * 5
    assert json.dumps([one.kept for one in seen.values()][3:]) == "[0, 0]"
