"""Growing instructions, with a fake in the model's place."""

import json
import math
import os
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from support.engines import FAKE, Fake
from support.params import section
from support.plain_rouge import exact_f1
from support.project import ROOT
from support.stages import run_stage
from support.tries import tries

from seedbed.core.files import read_rows, to_line, write_files
from seedbed.core.prompts import Prompt
from seedbed.errors import ShardLost
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.contract.wire import PROBLEMS, Answer
from seedbed.self_instruct import bootstrap, describe_tasks
from seedbed.self_instruct.bootstrap import ALL_REASONS, Grown, PoolEntry, grow
from seedbed.self_instruct.errors import NothingNew, TooFewSeedTasks
from seedbed.self_instruct.instructions import numbered, split_numbered
from seedbed.self_instruct.params import Bootstrap
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    ClassifiedInstruction,
    Instruction,
    RejectedInstruction,
)
from seedbed.self_instruct.seeds import read_seed_tasks

SCORER = RougeScorer(["rougeL"], use_stemmer=False)
VOCABULARY = [f"word{n}" for n in range(400)]
SEEDS = [f"Seed {n} says {' '.join(VOCABULARY[8 * n : 8 * n + 6])}." for n in range(12)]
KNOWN = [PoolEntry(f"seed_task_{n}", text) for n, text in enumerate(SEEDS)]
Reply = Callable[[Request], str | tuple[str, str]]


def settings_of(**changes: object) -> Bootstrap:
    few = {"num_instructions_to_generate": 25, "request_batch_size": 4, "max_rounds_without_new": 3}
    words = {"refused_words": ["graph", "go to"], "refused_prefixes": ["Write a program"]}
    sampling = {"max_tokens": 64, "logprobs": 1, "stop": ["\n\n"]}
    return section(Bootstrap, **{**few, **words, "sampling": sampling, **changes})


def talkative(request: Request) -> str | tuple[str, str]:
    """A model that writes much that is new, repeats itself, and makes every kind of mistake."""
    draw = random.Random(f"{request.seed} {request.prompt}")
    pieces = [" ".join(draw.choices(VOCABULARY, k=8)) for _ in range(3)]
    pieces += [draw.choice(SEEDS), "too short", "", "plot a graph of it all"]
    pieces += ["- begins with a dash", "Écris un poème maintenant", "write a program that sings"]
    pieces += ["word " * 151]
    draw.shuffle(pieces)
    text = "".join(f"\n{n}. {piece}" for n, piece in enumerate(pieces, 9))
    return (text, "length") if draw.random() < 0.2 else text


def once(*texts: str) -> Reply:
    """A model that says these texts, one a request, and then nothing new."""
    left: Iterator[str] = iter(texts)
    return lambda _: next(left, SEEDS[0])


@pytest.fixture
def prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prompt:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data" / "prompts", tmp_path / "data" / "prompts")
    return Prompt("bootstrap/tasks.txt", "tasks")


def shown(request: Request) -> list[str]:
    """The instructions that a prompt shows."""
    found = re.findall(r"^\d+\. (.*)$", request.prompt, flags=re.MULTILINE)
    assert request.prompt.endswith(f"\n{len(found) + 1}.")
    return found


def written(grown: Grown) -> str:
    return "".join(map(to_line, [*grown.accepted, *grown.rejected]))


def similarity(text: str, other: str) -> float:
    return float(SCORER.score(text, other)["rougeL"].fmeasure)


# --- what comes out


@pytest.mark.parametrize("wanted", [1, 7, 25])
def test_exactly_as_many_as_asked_for_are_accepted(prompt: Prompt, wanted: int) -> None:
    params = settings_of(num_instructions_to_generate=wanted)
    grown = grow(KNOWN, params, prompt, Fake(talkative))
    assert len(grown.accepted) == wanted
    assert len({row.instruction for row in grown.accepted}) == wanted


def test_what_comes_after_the_last_one_wanted_keeps_its_own_reason(prompt: Prompt) -> None:
    text = (
        "Name a tall tower.\n10. Hi.\n11. Plot a graph of the cats.\n12. Count backwards from nine."
    )
    grown = grow(KNOWN, settings_of(num_instructions_to_generate=1), prompt, Fake(once(text)))
    reasons = [row.reason for row in grown.rejected if row.instruction not in SEEDS]
    assert reasons == ["too_short", "refused_word", "surplus"]


def test_pieces_in_are_accepted_or_rejected_with_a_counted_reason(prompt: Prompt) -> None:
    fake = Fake(talkative)
    grown = grow(KNOWN, settings_of(), prompt, fake)
    pieces = [
        piece
        for answer in fake.answers
        for piece in ([""] if answer.cut else split_numbered(answer.text, capitalize=True))
    ]
    rows = [row.instruction for row in (*grown.accepted, *grown.rejected)]
    assert Counter(pieces) == Counter(rows)

    figures = bootstrap.metrics(grown)
    assert set(figures["rejected"]) == set(ALL_REASONS)
    assert figures["accepted"] + sum(figures["rejected"].values()) == len(pieces)
    unseen = {reason for reason, count in figures["rejected"].items() if not count}
    assert unseen == {"no_scorable_token", *PROBLEMS}  # the others did
    assert figures["completions"] == len(fake.answers)
    assert figures["rejected"]["cut_at_length"] == sum(answer.cut for answer in fake.answers) > 0
    assert grown.rounds == len(fake.rounds)


def test_a_completion_cut_at_length_yields_nothing_and_is_counted(prompt: Prompt) -> None:
    def reply(request: Request) -> str | tuple[str, str]:
        words = " ".join(random.Random(request.prompt).sample(VOCABULARY, 8))
        return (f"cut {words}", "length") if len(fake.rounds) == 1 else f"whole {words}"

    fake = Fake(reply)
    grown = grow(KNOWN, settings_of(num_instructions_to_generate=2), prompt, fake)
    assert grown.reasons()["cut_at_length"] == 4
    rows = [row.instruction for row in (*grown.accepted, *grown.rejected) if row.instruction]
    assert rows
    assert all(row.startswith("Whole ") for row in rows)
    assert {row.request_idx for row in grown.accepted} == {1}


def test_rows_stand_in_the_order_of_the_requests_and_of_their_pieces(prompt: Prompt) -> None:
    texts = [f"\n9. a{n} b{n} c{n} d{n}\n10. e{n} f{n} g{n} h{n}" for n in range(4)]
    params = settings_of(num_instructions_to_generate=8)
    grown = grow(KNOWN, params, prompt, Fake(once(*texts)))
    assert [row.instruction for row in grown.accepted] == [
        text for n in range(4) for text in (f"A{n} b{n} c{n} d{n}", f"E{n} f{n} g{n} h{n}")
    ]


def test_same_answers_give_the_same_bytes_whichever_came_first(prompt: Prompt) -> None:
    class Backwards(Fake):
        def __call__(self, requests: Sequence[Request]) -> list[Answer]:
            return super().__call__(requests[::-1])[::-1]

    forwards = grow(KNOWN, settings_of(), prompt, Fake(talkative))
    backwards = grow(KNOWN, settings_of(), prompt, Backwards(talkative))
    assert written(forwards) == written(backwards)


def test_a_row_holds_its_neighbours_and_its_origin(prompt: Prompt) -> None:
    fake = Fake(talkative)
    grown = grow(KNOWN, settings_of(), prompt, fake)
    requests = [request for batch in fake.rounds for request in batch]
    responses = dict(zip([a.key for a in fake.answers], fake.answers, strict=True))
    pool = list(SEEDS)
    for row in grown.accepted:
        scores = {text: similarity(row.instruction, text) for text in pool}
        best = sorted(scores, key=lambda text: -scores[text])[:10]
        assert list(row.most_similar.items()) == [(text, scores[text]) for text in best]
        assert row.avg_similarity_score == pytest.approx(math.fsum(scores.values()) / len(pool))
        assert row.metadata.prompt in [request.prompt for request in fake.rounds[row.request_idx]]
        assert row.metadata.response == responses[row.metadata.key].response
        pool.append(row.instruction)
    assert len(requests) == grown.completions


# --- novelty


def test_a_piece_like_one_of_the_same_round_is_rejected(prompt: Prompt) -> None:
    new = "alpha beta gamma delta epsilon"
    texts = (f"{new}\n10. {new}!", new, "one two three four", "five six seven eight")
    params = settings_of(num_instructions_to_generate=3)
    grown = grow(KNOWN, params, prompt, Fake(once(*texts)))
    assert [row.instruction for row in grown.accepted] == [
        new.capitalize(),
        "One two three four",
        "Five six seven eight",
    ]
    assert [(row.instruction, row.reason) for row in grown.rejected] == [
        (f"{new.capitalize()}!", "too_similar"),
        (new.capitalize(), "too_similar"),
    ]


def test_the_first_request_of_a_round_wins(prompt: Prompt) -> None:
    texts = ("alpha beta gamma delta zeta", "alpha beta gamma delta eta", "a b c d", "e f g h")
    params = settings_of(num_instructions_to_generate=3)
    grown = grow(KNOWN, params, prompt, Fake(once(*texts)))
    assert grown.accepted[0].instruction == "Alpha beta gamma delta zeta"
    assert grown.rejected[0].instruction == "Alpha beta gamma delta eta"


def is_accepted(seed: str, new: str, threshold: float) -> bool:
    """Whether bootstrap takes `new` where there is only `seed`."""
    params = settings_of(
        num_instructions_to_generate=1,
        num_prompt_instructions=1,
        num_machine_prompt_instructions=0,
        request_batch_size=1,
        max_rounds_without_new=1,
        rouge_threshold=threshold,
    )
    grown = Grown()
    with suppress(NothingNew):
        grow(
            [PoolEntry("s", seed)],
            params,
            SimpleNamespace(fill=str),
            Fake(lambda _: new),
            into=grown,
        )
    assert len(grown.accepted) + (grown.reasons() == {"too_similar": 1}) == 1
    return bool(grown.accepted)


words_of = st.lists(st.sampled_from("abcdefg"), min_size=4, max_size=12).map(" ".join)


@given(words_of, words_of)
@settings(max_examples=tries(60), deadline=None)
def test_a_score_at_the_threshold_is_accepted_and_one_above_it_is_not(seed: str, new: str) -> None:
    score = exact_f1(seed, new)
    near = Fraction(round(100 * score), 100)  # the score itself, if it has no more digits
    for threshold in (near, near - Fraction(1, 10**9)):
        if threshold >= 0:
            assert is_accepted(seed, new, float(threshold)) == (score <= threshold)


@pytest.mark.parametrize(
    ("common", "seed", "new", "threshold"),
    [(7, 7, 13, 0.7), (7, 9, 11, 0.7), (9, 14, 16, 0.6), (4, 5, 11, 0.5), (6, 9, 31, 0.3)],
)
def test_a_score_that_only_rounding_puts_above_the_threshold_is_accepted(
    common: int, seed: int, new: int, threshold: float
) -> None:
    shared = [f"w{n}" for n in range(common)]
    texts = [
        " ".join(shared + [f"{name}{n}" for n in range(length - common)])
        for name, length in (("s", seed), ("n", new))
    ]
    assert similarity(*texts) > threshold
    assert is_accepted(*texts, threshold)
    assert not is_accepted(*texts, threshold - 1e-9)


def test_a_text_that_rouge_l_cannot_see_is_never_new(prompt: Prompt) -> None:
    params = settings_of(refuse_non_ascii=False)
    with pytest.raises(NothingNew, match="12 no_scorable_token"):
        grow(KNOWN, params, prompt, Fake(lambda _: "请 写 一 首 关于 秋天 的 诗"))


def test_without_anything_new_it_ends_and_says_why(prompt: Prompt) -> None:
    fake = Fake(lambda _: f"\n9. {SEEDS[3]}\n10. too short")
    with pytest.raises(NothingNew) as failure:
        grow(KNOWN, settings_of(max_rounds_without_new=3), prompt, fake)
    assert len(fake.rounds) == 3
    for said in ("3 rounds", "0 of 25 accepted", "12 empty", "12 too_short", "12 too_similar"):
        assert said in str(failure.value)


def test_completions_that_were_all_cut_are_named_when_it_ends(prompt: Prompt) -> None:
    with pytest.raises(NothingNew, match="12 cut_at_length"):
        grow(KNOWN, settings_of(), prompt, Fake(lambda _: ("a b c d e f", "length")))


def test_something_new_starts_the_count_of_fruitless_rounds_again(prompt: Prompt) -> None:
    def reply(_: Request) -> str:
        return "alpha beta gamma delta" if len(fake.rounds) == 2 else SEEDS[0]

    fake = Fake(reply)
    with pytest.raises(NothingNew, match="1 of 25 accepted"):
        grow(KNOWN, settings_of(max_rounds_without_new=2), prompt, fake)
    assert len(fake.rounds) == 4


# --- what is asked


def asked(prompt: Prompt, **changes: object) -> list[list[Request]]:
    fake = Fake(talkative)
    grow(KNOWN, settings_of(**changes), prompt, fake)
    return fake.rounds


def test_the_same_seed_asks_the_same_and_another_asks_otherwise(prompt: Prompt) -> None:
    assert asked(prompt) == asked(prompt)
    one, other = asked(prompt)[0], asked(prompt, seed=43)[0]
    assert all(a.prompt != b.prompt and a.seed != b.seed for a, b in zip(one, other, strict=True))


def test_no_request_is_asked_twice(prompt: Prompt) -> None:
    requests = [request for batch in asked(prompt) for request in batch]
    assert len({Canon({}).of(request).form for request in requests}) == len(requests)
    assert len({request.seed for request in requests}) == len(requests)


def test_a_round_has_the_asked_for_size_and_sampling(prompt: Prompt) -> None:
    rounds = asked(prompt, request_batch_size=3)
    assert {len(batch) for batch in rounds} == {3}
    assert all(request.sampling == settings_of().sampling for batch in rounds for request in batch)


def test_prompts_show_eight_of_the_pool_as_it_stood_before_the_round(prompt: Prompt) -> None:
    fake = Fake(talkative)
    grown = grow(KNOWN, settings_of(num_instructions_to_generate=40), prompt, fake)
    assert len(fake.rounds) > 2
    for number, batch in enumerate(fake.rounds):
        before = {row.instruction for row in grown.accepted if row.request_idx < number}
        for request in batch:
            assert request.prompt.startswith("Come up with a series of tasks:\n1. ")
            lines = shown(request)
            machine = [line for line in lines if line not in SEEDS]
            assert len(set(lines)) == 8
            assert set(machine) <= before
            assert len(machine) == min(2, len(before))


def test_each_row_names_what_its_prompt_showed_in_order(prompt: Prompt) -> None:
    grown = grow(KNOWN, settings_of(num_instructions_to_generate=40), prompt, Fake(talkative))
    texts = dict(KNOWN) | {row.id: row.instruction for row in grown.accepted}
    prompts = {row.metadata.key: row.metadata.prompt for row in grown.accepted}
    assert any(id_ not in dict(KNOWN) for row in grown.accepted for id_ in row.shown or ())
    for row in grown.accepted:
        assert row.metadata.prompt == prompt.fill(numbered([texts[id_] for id_ in row.shown or ()]))
    siblings = [row for row in grown.rejected if row.key in prompts]
    assert siblings
    for row in siblings:
        assert prompts[row.key] == prompt.fill(numbered([texts[id_] for id_ in row.shown or ()]))


def test_no_two_pieces_of_a_run_have_the_same_id(prompt: Prompt) -> None:
    # Above a threshold of 1 even the same text is accepted twice.
    params = settings_of(num_instructions_to_generate=40, rouge_threshold=1.0)
    answer = "alpha beta gamma delta\n9. alpha beta gamma delta"
    for reply in (talkative, lambda _: answer):
        grown = grow(KNOWN, params, prompt, Fake(reply))
        ids = [row.id for row in [*grown.accepted, *grown.rejected]]
        assert len(ids) == len(set(ids)) >= 40


def test_machine_written_instructions_are_shuffled_among_the_seeds(prompt: Prompt) -> None:
    places = Counter(
        place
        for batch in asked(prompt, num_instructions_to_generate=60)[1:]
        for request in batch
        for place, line in enumerate(shown(request))
        if line not in SEEDS
    )
    assert set(places) == set(range(8))


def test_with_fewer_machine_written_ones_than_allowed_seeds_take_their_place(
    prompt: Prompt,
) -> None:
    texts = ("alpha beta gamma delta", *[SEEDS[0]] * 3, "one two three four")
    fake = Fake(once(*texts))
    grow(KNOWN, settings_of(num_instructions_to_generate=2), prompt, fake)
    assert [sum(line not in SEEDS for line in shown(request)) for request in fake.rounds[1]] == [
        1
    ] * 4


def test_another_threshold_leaves_the_first_requests_as_they_are(prompt: Prompt) -> None:
    one = asked(prompt, num_instructions_to_generate=3, rouge_threshold=0.9)
    other = asked(prompt, num_instructions_to_generate=3, rouge_threshold=0.1)
    assert one[0] == other[0]


def test_asking_for_more_asks_the_same_and_goes_on(prompt: Prompt) -> None:
    few, more = asked(prompt, num_instructions_to_generate=20), asked(prompt)
    assert more[: len(few)] == few


def test_another_round_size_leaves_each_prompt_of_the_first_round(prompt: Prompt) -> None:
    small, large = asked(prompt, request_batch_size=2), asked(prompt, request_batch_size=5)
    assert large[0][:2] == small[0]


# --- the stage


@pytest.fixture
def stage(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fake]:
    """Runs the whole stage in a folder of its own."""
    shutil.copy(ROOT / "data" / "seed_tasks.jsonl", "data")

    def run(**changes: object) -> Fake:
        fake = Fake(talkative)

        @contextmanager
        def open_fake(*_: object) -> Iterator[SimpleNamespace]:
            yield SimpleNamespace(ask=fake)

        monkeypatch.setattr("seedbed.llm.engine.open_engine", open_fake)
        own = settings_of(**changes)
        run_stage(bootstrap, bootstrap.Params(llm=FAKE, bootstrap=own))
        answers = [
            ClassifiedInstruction(instruction=row.instruction, is_classification="No")
            for row in read_rows(bootstrap.INSTRUCTIONS, Instruction)
        ]
        write_files({CLASSIFIED: map(to_line, answers)})
        drawn = describe_tasks.Drawn(request_batch_size=own.request_batch_size)
        run_stage(describe_tasks, describe_tasks.Params(bootstrap=drawn))
        return fake

    return run


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_two_runs_write_the_same_bytes(stage: Callable[..., Fake]) -> None:
    stage()
    first = everything_below(Path())
    stage()
    assert everything_below(Path()) == first
    assert len(list(read_rows(bootstrap.INSTRUCTIONS, Instruction))) == 25
    assert {row.reason for row in read_rows(bootstrap.REJECTED_INSTRUCTIONS, RejectedInstruction)}
    for name in ("metrics/bootstrap", "plots/highest_similarity", "plots/instruction_words"):
        assert json.loads(first[f"{name}.json"])


def test_two_processes_write_what_this_one_writes(
    stage: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage()
    here = everything_below(Path())
    monkeypatch.setattr("seedbed.core.pool.BLOCK", 64)
    monkeypatch.setenv("SEEDBED_SHARDS", "2")
    stage()
    assert everything_below(Path()) == here


def test_a_worker_that_is_killed_leaves_nothing_half_written(
    stage: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seedbed.core.pool.BLOCK", 64)
    monkeypatch.setenv("SEEDBED_SHARDS", "2")
    judge_round, rounds = bootstrap.judge_round, 0

    def killing(*arguments: object) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            psutil.Process(os.getpid()).children()[-1].kill()
        judge_round(*arguments)

    monkeypatch.setattr(bootstrap, "judge_round", killing)
    before = everything_below(Path())
    with pytest.raises(ShardLost, match="killed by SIGKILL"):
        stage()
    assert rounds == 3
    assert everything_below(Path()) == before | {
        "data/seed_tasks.jsonl": (ROOT / "data/seed_tasks.jsonl").read_bytes()
    }


def test_the_plots_count_every_accepted_instruction(stage: Callable[..., Fake]) -> None:
    stage()
    verbs = json.loads(Path("metrics/describe_tasks.json").read_text())["verbs"]
    assert sum(row["count"] for row in verbs) == 25
    for name in ("highest_similarity", "instruction_words"):
        bins = json.loads(Path("plots", f"{name}.json").read_text())
        assert sum(point["count"] for point in bins) == 25


def test_the_pool_grows_round_by_round_to_what_was_accepted_and_refused(
    stage: Callable[..., Fake],
) -> None:
    fake = stage()
    rejected = list(read_rows(bootstrap.REJECTED_INSTRUCTIONS, RejectedInstruction))
    ends = {
        "accepted": 25,
        "too similar": sum(row.reason == "too_similar" for row in rejected),
    }
    points = json.loads(Path("plots/pool_growth.json").read_text())
    for kind, end in ends.items():
        line = [(point["requests"], point["count"]) for point in points if point["kind"] == kind]
        assert line == sorted(line)
        assert [requests for requests, _ in line] == [
            sum(map(len, fake.rounds[:done])) for done in range(len(fake.rounds) + 1)
        ]
        assert (line[0][1], line[-1][1]) == (0, end)
    assert ends["too similar"]


@pytest.mark.parametrize("rounds", [0, 1, 99, 100, 101, 2500])
def test_however_many_rounds_the_growth_has_few_points_and_the_last_round(rounds: int) -> None:
    points = list(describe_tasks.growth([], [], rounds, per_round=5))
    assert len(points) <= 2 * 101
    assert points[-1]["requests"] == 5 * rounds


def test_classification_seeds_only_come_with_their_own_first_line(
    stage: Callable[..., Fake],
) -> None:
    fake = stage(use_clf_seed_tasks_only=True, num_instructions_to_generate=5)
    chosen = {task.instruction for task in read_seed_tasks() if task.is_classification}
    for request in fake.rounds[0]:
        assert "classification" in request.prompt.splitlines()[0]
        assert "labels" in request.prompt.splitlines()[0]
        assert set(shown(request)) <= {" ".join(text.split()).rstrip(":") for text in chosen}


def test_too_few_classification_seeds_are_told_as_such(stage: Callable[..., Fake]) -> None:
    with pytest.raises(TooFewSeedTasks, match=r"\d+ classification seed tasks .* 100"):
        stage(use_clf_seed_tasks_only=True, num_prompt_instructions=100)


def test_half_a_surrogate_pair_in_an_answer_is_written_and_asked_about(prompt: Prompt) -> None:
    class Torn(Fake):
        def __call__(self, requests: Sequence[Request]) -> list[Answer]:
            for request in requests:
                Canon({}).of(request).form.encode()  # what is shown can be sent
            return super().__call__(requests)

    def reply(request: Request) -> str:
        words = " ".join(random.Random(request.prompt).sample(VOCABULARY, 6))
        return f"tell \ud83d {words} \udc00\n10. \ud800"

    grown = grow(KNOWN, settings_of(num_instructions_to_generate=10), prompt, Torn(reply))
    write_files({Path("rows.jsonl"): map(to_line, grown.accepted)})
    assert list(read_rows(Path("rows.jsonl"), Instruction)) == grown.accepted
