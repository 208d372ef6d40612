"""Rounds of curation: what a judge is asked, what is kept, and what a round goes on from."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from support.pairs import (
    augmented,
    files_in,
    into,
    key_of,
    lay_prompts,
    params,
    put,
    rows,
    seed_pair,
    segment,
)
from support.ranking import Scoring, scoring
from support.server import completion, serving

from seedbed.backtranslation import augment, curate
from seedbed.backtranslation.errors import NoScoreOfAny, NothingCurated
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    KEPT,
    PAIRS,
    SEED,
    SEGMENTS,
    CuratedPair,
)
from seedbed.errors import BadFile
from seedbed.llm.errors import NotInStore, ScoringNotOffered

NUMBER = 12
GOOD = ("s-2", "s-5", "s-11")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    lay_prompts(tmp_path)
    put(BACK / "start" / SEED / PAIRS, [seed_pair(n) for n in range(6)])
    for round_ in ("round-1", "round-2"):
        put(BACK / round_ / AUGMENTED / PAIRS, [augmented(f"{n}") for n in range(NUMBER)])


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scoring]]:
    """Begin to serve what a judge is asked."""
    open_ones: list[AbstractContextManager[Scoring]] = []

    def begin(**how: Any) -> Scoring:
        open_ones.append(scoring(**how))
        server = open_ones[-1].__enter__()
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        return server

    yield begin
    for one in open_ones:
        one.__exit__(None, None, None)


Serve = Callable[..., Scoring]


def run(round_: str = "round-1", before: str = "start", **changes: Any) -> dict[str, bytes]:
    """The files of that round."""
    inputs = curate.Inputs(
        pairs=BACK / round_ / AUGMENTED / PAIRS, start=BACK / "start", before=BACK / before
    )
    where = into(curate, f"backtranslation/{round_}")
    curate.run(params(curate, **changes), inputs, where)
    return {**files_in(where.folder), "metrics": where.metrics.read_bytes()}


def judged(round_: str = "round-1") -> list[dict[str, Any]]:
    return rows(BACK / round_ / CURATED / PAIRS)


def kept(round_: str = "round-1") -> list[str]:
    return [row["id"] for row in rows(BACK / round_ / CURATED / KEPT)]


def metrics(round_: str = "round-1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        into(curate, f"backtranslation/{round_}").metrics.read_text()
    )
    return found


def reasons(round_: str = "round-1") -> dict[str, int]:
    return {row["name"]: row["count"] for row in metrics(round_)["curate_reasons"] if row["count"]}


def of_good(prompt: str) -> bool:
    """Whether it asks about a good pair."""
    return any(f"about {name.removeprefix('s-')}." in prompt for name in GOOD)


RATING = {"by": "rating", "threshold": 4.5, "keep_share": None}


# --- judges that are known


def test_a_judge_that_knows_ends_with_the_good_pairs_exactly(serve: Serve) -> None:
    server = serve(
        reply=lambda prompt: f" It is.\nScore: {5 if of_good(prompt) else 2}\nThat is all."
    )
    run("round-1", curate=RATING)
    run("round-2", "round-1", curate=RATING)
    for round_ in ("round-1", "round-2"):
        assert kept(round_) == [*GOOD]
        assert [row["score"] for row in judged(round_)] == [
            5.0 if row["id"] in GOOD else 2.0 for row in judged(round_)
        ]
        assert reasons(round_) == {"below": NUMBER - 3}
        assert metrics(round_)["curated_pairs"] == 3
        assert metrics(round_)["curate_score_mean"] == (3 * 5 + 9 * 2) / 12
    # A rating depends on no round.
    assert len(server.bodies) == NUMBER


def test_a_judge_that_always_says_five_keeps_all_or_a_share_by_a_draw(serve: Serve) -> None:
    serve(reply=lambda prompt: " Score: 5")
    run(curate=RATING)
    assert kept() == [f"s-{n}" for n in range(NUMBER)]
    run(curate={**RATING, "threshold": None, "keep_share": 0.25})
    assert len(kept()) == 3
    first = kept()
    run(curate={**RATING, "threshold": None, "keep_share": 0.25, "seed": 1})
    assert kept() != first


def test_a_judge_that_never_ends_with_a_score_is_an_error_and_no_file(serve: Serve) -> None:
    serve(reply=lambda prompt: " Score: 5 is what others would say. I give no")
    with pytest.raises(NoScoreOfAny, match="curate: none of the 12 pairs has a score") as failure:
        run(curate=RATING)
    assert "no_score: 12" in str(failure.value)
    assert not (BACK / "round-1" / CURATED).exists()
    assert not into(curate, "backtranslation/round-1").metrics.exists()


def test_pairs_without_a_score_are_refused_and_counted(serve: Serve) -> None:
    serve(reply=lambda prompt: " Score: 5" if of_good(prompt) else " Score: 10")
    run(curate={"by": "rating", "keep_share": 1.0})
    assert kept() == [*GOOD]
    assert reasons() == {"out_of_range": 9}
    assert metrics()["curate_no_score_share"] == 0.75
    assert metrics()["curate_score_mean"] == 5
    assert len(judged()) == len(kept()) + sum(reasons().values())


def test_a_threshold_that_none_reaches_is_an_error_that_says_how_far_it_is(serve: Serve) -> None:
    serve(reply=lambda prompt: " Score: 4.4" if of_good(prompt) else " Score: 1")
    with pytest.raises(NothingCurated, match=r"best has a score of 4\.4, and threshold is 4\.5"):
        run(curate=RATING)
    assert not (BACK / "round-1" / CURATED).exists()


def test_a_server_that_cannot_score_is_an_error_and_no_file(serve: Serve) -> None:
    serve(echoes=False)
    with pytest.raises(ScoringNotOffered):
        run()
    assert not (BACK / "round-1" / CURATED).exists()


# --- rounds


def test_a_pair_keeps_all_that_it_came_with(serve: Serve) -> None:
    serve()
    run()
    before = rows(BACK / "round-1" / AUGMENTED / PAIRS)
    for row, old in zip(judged(), before, strict=True):
        assert row.items() >= old.items()
        assert CuratedPair.model_validate(row).key == old["key"]
    assert [row for row in judged() if row["kept"]] == rows(BACK / "round-1" / CURATED / KEPT)
    assert len(kept()) == 3


def test_the_second_round_shows_what_the_first_kept_in_half_of_the_places(serve: Serve) -> None:
    server = serve()
    run("round-1")
    first = [*server.scored]
    assert not any(prompt.count("The text about") > 1 for prompt in first)
    server.bodies.clear()
    run("round-2", "round-1")
    assert len(server.scored) == len(first)
    texts = {row["id"]: row["output"] for row in judged()}
    of_first = {texts[name] for name in kept("round-1")}
    for prompt in server.scored:
        shown, _, asked = prompt.rpartition("Text:\n")
        found = [text for text in texts.values() if text in shown]
        assert len(found) == 2
        assert set(found) <= of_first
        assert shown.count("wrote this.") == 2
        # Neither the text nor the instruction that it asks about.
        assert not any(text in asked for text in found)
        instructions = [line for line in shown.splitlines() if line.startswith("Request: Tell me")]
        said = asked.rsplit("Request: ", 1)[1].strip()
        assert len(instructions) == 2
        assert said not in "\n".join(instructions)
    changed = metrics("round-2")["curated_changed_share"]
    both = zip(judged("round-1"), judged("round-2"), strict=True)
    assert changed == pytest.approx(sum(a["kept"] != b["kept"] for a, b in both) / NUMBER, abs=1e-6)
    assert metrics("round-1")["curated_changed_share"] == 0


def test_the_second_round_depends_on_the_first_and_on_nothing_later(serve: Serve) -> None:
    serve()
    run("round-1")
    second = run("round-2", "round-1")
    shutil.rmtree(BACK / "round-2" / CURATED)
    put(BACK / "round-3" / CURATED / KEPT, rows(BACK / "round-1" / CURATED / PAIRS))
    assert run("round-2", "round-1") == second
    for name in (PAIRS, KEPT):
        (BACK / "round-2" / CURATED / name).write_text("not even rows\n")
    assert run("round-2", "round-1") == second
    # And it does depend on the first.
    path = BACK / "round-1" / CURATED / KEPT
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    assert run("round-2", "round-1")["pairs.jsonl"] != second["pairs.jsonl"]


def test_a_round_before_that_is_not_there_is_an_error_before_anything_is_asked(
    serve: Serve,
) -> None:
    server = serve()
    with pytest.raises(BadFile, match="round-7: no such folder"):
        run("round-2", "round-7")
    (BACK / "round-1" / CURATED).mkdir()
    with pytest.raises(BadFile, match="no such file"):
        run("round-2", "round-1")
    assert server.bodies == []
    # A model that was trained, and has kept nothing, is a beginning.
    (BACK / "m0/finetune").mkdir(parents=True)
    assert run("round-1", "m0") == run("round-1", "start")


def test_one_more_pair_changes_no_scores_but_where_it_takes_a_partner_s_place(serve: Serve) -> None:
    serve()
    run()
    before = {row["id"]: row for row in judged()}
    path = BACK / "round-1" / AUGMENTED / PAIRS
    put(path, [augmented(f"{n}") for n in range(NUMBER + 1)])
    run()
    after = {row["id"]: row for row in judged()}
    new = f"s-{NUMBER}"
    for name, old in before.items():
        mine = [part for part in after[name]["parts"] if part["of"] != new]
        assert all(part in old["parts"] for part in mine)
        assert len(mine) >= 2
    moved = {name for name in before if before[name]["score"] != after[name]["score"]}
    assert moved == {n for n in before if new in [p["of"] for p in after[n]["parts"]]}
    assert 0 < len(moved) < NUMBER


# --- whatever happens in between

WAYS = [
    {"by": "contrast"},
    {"by": "contrast", "direction": "forward"},
    {"by": "gain", "demos": 0},
    {"by": "gain", "direction": "forward"},
    {"by": "expected", "rubric": "checklist"},
    {"by": "rating", "sampling": {"temperature": 0.5}},
]


def digit(prompt: str) -> str:
    return f" Score: {1 + len(prompt) % 5}"


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_second_run_sends_nothing_and_gives_the_same_bytes(
    serve: Serve, way: dict[str, Any]
) -> None:
    server = serve(reply=digit)
    first = run(curate=way)
    asked = len(server.bodies)
    assert asked >= NUMBER
    assert run(curate=way, llm={"replay": True}) == first
    assert len(server.bodies) == asked


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_is_asked_at_once_changes_nothing(
    serve: Serve, way: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve(reply=digit)
    found = []
    for concurrency in (1, 16):
        monkeypatch.setenv("SEEDBED_CONCURRENCY", str(concurrency))
        monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / f"store-{concurrency}.sqlite"))
        found.append(run(curate=way))
    assert found[0] == found[1]


def test_samples_of_a_pair_are_asked_together_and_their_mean_is_its_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = []

    def answer(body: dict[str, Any], _: Message) -> dict[str, Any]:
        bodies.append(body)
        said = [f" Score: {n + 3}" if n else " None." for n in range(body["n"])]
        choices = [{**completion(text)["choices"][0], "index": n} for n, text in enumerate(said)]
        return {**completion(""), "choices": choices}

    with serving(answer) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        first = run(curate={**RATING, "samples": 3, "sampling": {"temperature": 0.5}})
        assert [body["n"] for body in bodies] == [3] * NUMBER
        assert len({body["seed"] for body in bodies}) == NUMBER
        assert {row["score"] for row in judged()} == {4.5}
        changes = {**RATING, "samples": 3, "sampling": {"temperature": 0.5}}
        assert run(curate=changes, llm={"replay": True}) == first
        assert len(bodies) == NUMBER


def test_replay_without_answers_is_an_error(serve: Serve) -> None:
    serve()
    with pytest.raises(NotInStore):
        run(llm={"replay": True})


def test_texts_after_the_same_segment_are_asked_in_a_row(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    server = serve()
    run()
    order = [prompt.rpartition("Text:\n")[2].partition("\n")[0] for prompt in server.scored]
    assert len(order) == NUMBER * 3
    turns = 1 + sum(one != other for one, other in zip(order[1:], order, strict=False))
    assert turns == len(set(order)) == NUMBER


def test_labels_are_not_read(serve: Serve) -> None:
    serve()
    without = run()
    Path("data/corpus_labels.jsonl").mkdir()  # nobody could read that
    assert run() == without


def test_rounds_of_both_stages_go_on_from_pairs_that_the_model_wrote(serve: Serve) -> None:
    def reply(prompt: str) -> str:
        words = [key_of(prompt, f"{n}") for n in range(5)]
        return f" Say {' '.join(words)}."

    serve(reply=reply)
    put(SEGMENTS, [segment(f"{n}") for n in range(8)])
    for round_, before in (("round-1", "start"), ("round-2", "round-1")):
        augment.run(
            params(augment, augment={"of_curated": True}),
            augment.Inputs(before=BACK / before),
            into(augment, f"backtranslation/{round_}"),
        )
        run(round_, before)
    assert {row["id"] for row in judged("round-2")} <= {f"s-{n}" for n in range(8)}
    ones, twos = judged("round-1"), judged("round-2")
    assert [row["instruction"] for row in ones] != [row["instruction"] for row in twos]
