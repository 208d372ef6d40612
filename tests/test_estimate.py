"""What a run would send, said before, beside what it then sends."""

import shutil
import sqlite3
import weakref
from pathlib import Path

import pytest
from support.growing import Growing, growing, small
from support.project import ROOT, Project
from support.snapshots import Snapshots
from support.stages import run_stage

from seedbed import params
from seedbed.auto_instruct import estimate as auto_instruct
from seedbed.auto_instruct.errors import TooFewToDrawFrom
from seedbed.auto_instruct.rows import CANDIDATES
from seedbed.core.paths import METRICS
from seedbed.errors import BadFile
from seedbed.llm.errors import RowsFailed
from seedbed.llm.params import Price
from seedbed.methods import module_of
from seedbed.runs.dry_run import Foreseen
from seedbed.self_instruct import estimate as self_instruct
from seedbed.self_instruct.rows import INSTRUCTIONS
from seedbed.tasks.errors import NoSuchTask
from seedbed.tasks.niv2 import Task, read_task
from seedbed.training import estimate as training
from seedbed.views.estimate import foresee, table

# Of a first run, of alpaca and of an evaluation; of a ranker: tests/test_ranker_pipeline.py, of
# rounds: tests/test_active_estimate.py, of texts: tests/test_backtranslation_estimate.py.
STAGES = ("bootstrap", "clf", "instances", "alpaca", "candidates", "label", "evaluate")
RANKER = ("rank-train", "rank-select", "rank-evaluate")
ACTIVE = ("active-train", "active-evaluate", "active-score")
TEXTS = ("augment", "curate", "assess", "judge", "ifd")
ALL = (*STAGES[:-1], *RANKER, STAGES[-1], *ACTIVE, *TEXTS)
STORE = Path(".seedbed/responses.sqlite")


@pytest.fixture(autouse=True)
def _in_a_small_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    small(project)
    shutil.copytree(ROOT / "pipelines/alpaca", project.folder / "pipelines/alpaca")
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv("SEEDBED_STORE", raising=False)
    monkeypatch.setenv("SEEDBED_MAX_RETRIES", "0")
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")


def run(server: Growing, monkeypatch: pytest.MonkeyPatch, *stages: str) -> None:
    """Run stages on that server; it counts from nothing."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.start_over()
    for name in stages:
        stage = module_of(name)
        run_stage(stage, params.load(name, stage.Params))


def estimate() -> dict[str, Foreseen]:
    """Of STAGES."""
    seen = foresee(params.everything())[0]
    assert [one.stage for one in seen] == [*ALL]
    return {one.stage: one for one in seen if one.stage in STAGES}


def set_params(**changes: tuple[str, str]) -> None:
    path = Path("params.yaml")
    text = path.read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_before_the_first_answer_what_is_guessed_is_named_and_nothing_is_asked(
    monkeypatch: pytest.MonkeyPatch, snapshot: Snapshots
) -> None:
    with growing() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        everything, price = foresee(params.everything())
        assert (server.connections, server.bodies) == (0, [])
    # 40 of 15 in metrics/bootstrap.json: 12 take five prompts, which is three rounds of two.
    # 40 of 25 in metrics/alpaca.json: 12 tasks take eight, which is four rounds of two.
    # One task, seven meta-prompts, a sample of each, and two examples. Six tasks held out. A ranker
    # is trained on what is not there yet. Three models of rounds are asked 60 test tasks, and 17
    # examples of 12 that are held out of the pool; one of them 60 others, with five scorings each.
    evaluated, scored = 77, 60
    seen = everything[: -len(TEXTS)]
    assert [one.requests for one in seen] == [
        6, 12, 12, 8, 7, 2 * 8, 0, 0, 0, 6, 0, 3 * evaluated, scored * (1 + 5)
    ]  # fmt: skip
    assert not any(one.kept for one in seen)
    assert [one.completion_tokens for one in seen] == [
        6 * 80, 12 * 3, 12 * 40, 8 * 80, 7 * 12, 16 * 16,
        0, 0, 0, 6 * 8, 0, 3 * evaluated * 8, scored * 32,
    ]  # fmt: skip
    snapshot("estimate", "\n".join(table(everything, price)) + "\n")


def test_after_a_run_all_is_in_the_store_and_nothing_to_be_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with growing() as server:
        # To train takes torch, and asks nothing.
        run(server, monkeypatch, *(stage for stage in STAGES if stage != "finetune"))
        sent = len(server.bodies)
        server.start_over()
        seen = estimate()
        assert server.connections == 0
    assert sum(one.requests for one in seen.values()) == sent == sum(o.kept for o in seen.values())
    for one in seen.values():
        assert (one.missing, one.prompt_tokens, one.completion_tokens) == (0, 0, 0)
        assert one.guessed == []
    lines = list(table(list(seen.values()), Price(model="m", input=1e6, output=1e6)))
    assert lines[-1].split() == ["total", str(sent), str(sent), "0", "0", "0", "$0.0000"]


def test_half_way_the_answers_of_the_rounds_so_far_are_found_and_the_rest_is_like_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with growing(fails_from=3) as server:  # in the second round of two
        with pytest.raises(RowsFailed):
            run(server, monkeypatch, "bootstrap")
        (prompt_tokens, completion_tokens) = (server.prompt_tokens, server.completion_tokens)
        seen = estimate()
    # Six accepted in the first round: twelve in two.
    assert (seen["bootstrap"].requests, seen["bootstrap"].kept) == (4, 3)
    assert seen["bootstrap"].guessed == ["requests: 3 instructions accepted each, as so far"]
    assert seen["bootstrap"].prompt_tokens == pytest.approx(prompt_tokens / 3, rel=0.2)
    assert seen["bootstrap"].completion_tokens == pytest.approx(completion_tokens / 3, abs=1)
    assert (seen["clf"].requests, seen["clf"].kept) == (12, 0)
    assert "prompts: 6 instructions are yet to be written" in seen["clf"].guessed


@pytest.mark.parametrize("change", ["", "generation", "classification", "first five"])
def test_what_is_known_is_sent_to_the_request_and_to_a_few_hundredths_of_the_tokens(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    if change == "first five":
        set_params(number=("num_instructions: null\n  # The", "num_instructions: 5\n  # The"))
    elif change:
        set_params(tasks=("tasks: all", f"tasks: {change}"))
    with growing() as server:
        run(server, monkeypatch, "bootstrap")
        for stage in ("clf", "instances"):
            foreseen = estimate()[stage]
            run(server, monkeypatch, stage)
            assert foreseen.missing == len(server.bodies) > 0
            assert foreseen.kept == 0
            assert foreseen.prompt_tokens == pytest.approx(server.prompt_tokens, rel=0.05)
            # The length of an answer is not known before the first one of the stage.
            assert foreseen.guessed == ["completion tokens: at most, all max_tokens"]
            assert foreseen.completion_tokens >= server.completion_tokens
            assert estimate()[stage].missing == 0


def test_tasks_of_one_kind_are_a_guess_until_all_are_classified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_params(tasks=("tasks: all", "tasks: classification"))
    with growing() as server:
        run(server, monkeypatch, "bootstrap")
        seen = estimate()["instances"]
    assert seen.requests == 12
    note = "requests: as if 12 that are not classified yet were classification tasks"
    assert note in seen.guessed


def test_within_a_stage_its_own_answers_say_how_long_the_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with growing() as server:
        run(server, monkeypatch, "bootstrap")
        server.fails_from = 6
        with pytest.raises(RowsFailed):
            run(server, monkeypatch, "clf")
        server.fails_from = None
        foreseen = estimate()["clf"]
        assert (foreseen.requests, foreseen.kept, foreseen.guessed) == (12, 6, [])
        run(server, monkeypatch, "clf")
        assert len(server.bodies) == 6
        assert foreseen.prompt_tokens == pytest.approx(server.prompt_tokens, rel=0.01)
        assert foreseen.completion_tokens == server.completion_tokens


def test_equal_requests_are_foreseen_once_as_they_are_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_params(same=("rouge_threshold: 0.7", "rouge_threshold: 1.0"))
    with growing(alike=True) as server:
        run(server, monkeypatch, "bootstrap")
        foreseen = estimate()["clf"]
        run(server, monkeypatch, "clf")
    assert foreseen.requests == 12
    assert foreseen.missing == len(server.bodies) == 3


# --- more than can be looked up one by one


def looked_up(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(self_instruct, "LOOKED_UP", most)


def test_of_many_instructions_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with growing() as server:
        run(server, monkeypatch, "bootstrap", "clf", "instances")
        exact = estimate()
        looked_up(monkeypatch, 4)
        server.start_over()
        seen = estimate()
        assert server.bodies == []
    for name in ("bootstrap", "clf", "instances"):
        assert (seen[name].requests, seen[name].missing) == (exact[name].requests, 0)
        assert (seen[name].prompt_tokens, seen[name].completion_tokens) == (0, 0)
    assert seen["bootstrap"].guessed == [
        "in store: 2 were looked up one by one, of the others 2 for all; that they are asked is "
        f"taken from {INSTRUCTIONS}"
    ]
    assert seen["clf"].guessed == ["in store: 4 were looked up for all"]


def test_what_is_missing_of_many_is_told_by_the_share_of_those_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with growing() as server:
        run(server, monkeypatch, "bootstrap")
        server.fails_from = 6
        with pytest.raises(RowsFailed):
            run(server, monkeypatch, "clf")
        exact = estimate()
        looked_up(monkeypatch, 4)
        seen = estimate()
    # Of 12 every third was looked up, and of the six answers some are among these.
    assert exact["clf"].kept == 6
    assert seen["clf"].requests == 12
    assert seen["clf"].kept in (3, 6, 9)
    each, other = (one.prompt_tokens / one.missing for one in (seen["clf"], exact["clf"]))
    assert each == pytest.approx(other, rel=0.1)
    assert seen["instances"].requests == 12
    assert seen["instances"].prompt_tokens == pytest.approx(
        exact["instances"].prompt_tokens, rel=0.1
    )


@pytest.mark.parametrize("broken", ["missing", "of another run", "no rows"])
def test_without_the_files_of_the_run_the_rounds_are_guessed_from_the_first_ones(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with growing() as server:
        run(server, monkeypatch, "bootstrap", "clf")
        looked_up(monkeypatch, 4)
        if broken == "missing":
            INSTRUCTIONS.unlink()
        else:
            text = INSTRUCTIONS.read_text()
            other = "[]\n" if broken == "no rows" else text.replace('"id": "', '"id": "x')
            INSTRUCTIONS.write_text(other)
        seen = estimate()
    # Six accepted in the first round of two, as in the second.
    assert (seen["bootstrap"].requests, seen["bootstrap"].kept) == (4, 4)
    assert seen["bootstrap"].prompt_tokens == 0
    assert seen["bootstrap"].guessed == [
        "requests: 3 instructions accepted each, as so far",
        "in store: 2 were looked up; the others as many as there are answers to such prompts, in "
        "whichever run",
    ]
    assert "prompts: 6 instructions are yet to be written" in seen["clf"].guessed


def test_of_many_tasks_and_examples_some_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    set_params(tasks=TWO_TASKS)
    with growing() as server:
        run(server, monkeypatch, "candidates", "label")
        exact = estimate()
        monkeypatch.setattr(auto_instruct, "TASKS", 1)
        monkeypatch.setattr(auto_instruct, "REQUESTS", 8)
        seen = estimate()
    for name in ("candidates", "label"):
        assert (seen[name].requests, seen[name].missing) == (exact[name].requests, 0)
        assert "requests: 1 of 2 tasks were read, for all" in seen[name].guessed
    note = "requests: some of each task's examples were looked up, for all of them"
    assert note in seen["label"].guessed


# --- candidates and label


ONE_TASK = "    - seedbed001_everyday_review_sentiment_analysis\n"
TWO_TASKS = (ONE_TASK, ONE_TASK + "    - seedbed003_headline_topic_text_categorization\n")
SAMPLES = ("samples: 1", "samples: 2")


def test_the_candidates_of_the_store_are_those_that_label_will_be_asked_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_params(tasks=TWO_TASKS)
    with growing() as server:
        run(server, monkeypatch, "candidates")
        sent = len(server.bodies)
        foreseen = estimate()
        assert (foreseen["candidates"].requests, foreseen["candidates"].missing) == (sent, 0)
        # What lies in data/candidates is no part of it: a run writes it anew.
        for path in CANDIDATES.iterdir():
            path.unlink()
        assert estimate() == foreseen
        run(server, monkeypatch, "candidates", "label")
        assert foreseen["label"].requests == 2 * 2 * 8
        assert foreseen["label"].missing == len(server.bodies) > 0
        assert foreseen["label"].guessed == ["completion tokens: at most, all max_tokens"]
        assert foreseen["label"].prompt_tokens == pytest.approx(server.prompt_tokens, rel=0.2)
        assert estimate()["label"].missing == 0


def test_what_is_sampled_again_is_counted_as_far_as_the_store_reaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_params(samples=SAMPLES)
    with growing() as server:  # which answers equal prompts alike: every second one repeats
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        foreseen = estimate()["candidates"]
        assert (foreseen.requests, foreseen.missing) == (14, 14)
        # It gives no two answers at once either, so a first request of each prompt was for nothing.
        server.fails_from = 7 + 14
        with pytest.raises(RowsFailed):
            run(server, monkeypatch, "candidates")
        foreseen = estimate()["candidates"]
        assert (foreseen.requests, foreseen.kept) == (14 + 7, 14)
        # Usage that samples may have shared is not counted as an answer's own.
        assert foreseen.guessed == [
            "completion tokens: at most, all max_tokens",
            "requests: as if nothing more were sampled again, for 1 task",
        ]
        assert foreseen.completion_tokens == 7 * 12
        server.fails_from = None
        run(server, monkeypatch, "candidates")
        foreseen = estimate()["candidates"]
        assert (foreseen.requests, foreseen.missing, foreseen.guessed) == (14 + 5 * 7, 0, [])


def test_candidates_that_say_the_same_are_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_params(samples=SAMPLES)
    with growing() as server:
        run(server, monkeypatch, "candidates")
        foreseen = estimate()["label"]
        run(server, monkeypatch, "label")
    assert foreseen.requests == 2 * 15
    assert foreseen.missing == len(server.bodies) == 2 * 8


@pytest.mark.parametrize(
    ("change", "each"),
    [
        (("sample_instructions: null", "sample_instructions: 3"), 3),
        (("one_from_each_group: false", "one_from_each_group: true"), 8),
    ],
)
def test_a_task_without_candidates_yet_is_asked_as_often_as_it_will_be(
    monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], each: int
) -> None:
    set_params(tasks=TWO_TASKS, samples=SAMPLES, change=change)
    with growing() as server:
        server.fails_from = 20  # in the second task's first round
        with pytest.raises(RowsFailed):
            run(server, monkeypatch, "candidates")
        foreseen = estimate()
        assert foreseen["label"].requests == 2 * 2 * each
        assert "for 2 tasks" in foreseen["candidates"].guessed[-1]
        server.fails_from = None
        run(server, monkeypatch, "candidates", "label")
        assert estimate()["label"].requests == 2 * 2 * each


def test_the_seed_instruction_is_known_before_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with growing() as server:
        run(server, monkeypatch, "candidates", "label")
        set_params(other=("seed: 42\n\nlabel", "seed: 43\n\nlabel"))
        foreseen = estimate()["label"]
    assert (foreseen.requests, foreseen.kept) == (2 * 8, 2)


def test_what_candidates_and_label_would_refuse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    set_params(drawn=("sample_instructions: null", "sample_instructions: 9"))
    with pytest.raises(TooFewToDrawFrom):
        estimate()
    Path("data/prompts/label/ranker.txt").write_text("no place")
    with pytest.raises(BadFile, match=r"ranker\.txt"):
        estimate()
    set_params(task=("seedbed001_", "seedbed901_"))
    Path("data/prompts/label/ranker.txt").write_text("{{input}} {{instruction}}")
    with pytest.raises(NoSuchTask):
        estimate()


def test_no_more_than_one_task_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    set_params(tasks=TWO_TASKS, most=("max_examples: 2", "max_examples: null"))
    held: list[weakref.ref[Task]] = []

    def read(path: Path) -> Task:
        assert not any(one() for one in held[:-1])
        task = read_task(path)
        held.append(weakref.ref(task))
        return task

    monkeypatch.setattr(auto_instruct, "read_task", read)
    assert estimate()["label"].requests > 1000
    assert len(held) == 2


# --- evaluate


def test_every_model_is_asked_the_same_and_one_without_its_adapter_is_a_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with growing() as server:
        run(server, monkeypatch, "evaluate")
        assert len(server.bodies) == 6
        other = "- {name: base}\n    - {name: other, model: another}"
        set_params(models=("- {name: base}", other))
        foreseen = estimate()["evaluate"]
        assert (foreseen.requests, foreseen.kept) == (12, 6)
        run(server, monkeypatch, "evaluate")
        assert {body["model"] for body in server.bodies} == {"another"}
        assert len(server.bodies) == foreseen.missing == 6
        set_params(
            model=("model: another", "adapter: not/there.gguf, trained_on: [nor/this.jsonl]")
        )
        foreseen = estimate()["evaluate"]
        assert (foreseen.requests, foreseen.kept) == (12, 6)
        assert foreseen.guessed == ["in store: none of other's, as not/there.gguf is not there yet"]


# --- the store, prices, errors


def test_an_estimate_changes_nothing_in_the_store_and_counts_what_needs_no_sending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rows() -> list:
        with sqlite3.connect(STORE) as db:
            return db.execute("SELECT * FROM responses ORDER BY key").fetchall()

    with growing() as server:
        run(server, monkeypatch, "bootstrap", "clf")
        before = rows()
        # All answers ended by themselves within three tokens: five would have been the same.
        set_params(more=("max_tokens: 3", "max_tokens: 5"))
        foreseen = estimate()["clf"]
        assert rows() == before
        assert (foreseen.requests, foreseen.missing) == (12, 0)
        run(server, monkeypatch, "clf")
        assert server.bodies == []


def test_a_server_that_counts_no_tokens_is_not_taken_for_one_that_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with growing(counts=False) as server:
        run(server, monkeypatch, "bootstrap")
        server.fails_from = 6
        with pytest.raises(RowsFailed):
            run(server, monkeypatch, "clf")
        server.fails_from = None
        foreseen = estimate()["clf"]
        run(server, monkeypatch, "clf")
    assert foreseen.missing == len(server.bodies) == 6
    characters = sum(len(body["prompt"]) for body in server.bodies)
    assert foreseen.prompt_tokens == pytest.approx(characters / 4, abs=1)
    assert "prompt tokens: 4 characters each" in foreseen.guessed
    assert foreseen.completion_tokens == 6 * 3


def test_without_figures_of_an_earlier_run_those_of_the_packaged_model_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    note = "requests: 2.7 instructions accepted each, as with the packaged model"
    path = METRICS / "bootstrap.json"
    assert note not in estimate()["bootstrap"].guessed
    for text in ("{", "[]", '{"accepted": 0, "completions": 5}', '{"accepted": 1}', '"no"'):
        path.write_text(text)
        assert note in estimate()["bootstrap"].guessed
    path.unlink()
    assert note in estimate()["bootstrap"].guessed


def test_the_system_message_of_a_chat_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    set_params(api=("api: completions", "api: chat"))
    before = estimate()["clf"]
    set_params(system=("system: null", f"system: {'x' * 400}"))
    assert estimate()["clf"].prompt_tokens - before.prompt_tokens == 12 * 100


def test_the_price_is_that_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    set_params(
        price=("prices:\n", "prices:\n    - {model: served-model, input: 2, output: 40.0}\n")
    )
    seen, price = foresee(params.everything())
    assert price == Price(model="served-model", input=2, output=40)
    rows = [line.split() for line in table(seen, price)][1 : len(ALL) + 2]
    dollars = [(one.prompt_tokens * 2 + one.completion_tokens * 40) / 1e6 for one in seen]
    assert [row[-1] for row in rows] == [f"${cost:.4f}" for cost in (*dollars, sum(dollars))]
    assert sum(dollars) > 0.1


def test_a_server_far_away_has_no_price_unless_it_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The address has no server, and no name server knows it: nothing is sent.
    done = project.stage("estimate", OPENAI_BASE_URL="http://model.example.invalid/v1")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(ALL) + 2]] == ["stage", *ALL, "total"]
    assert all(line.endswith(" ?") for line in lines[1 : len(ALL) + 2])
    assert lines[-1] == "  no price: add the model to run.prices in params.yaml"


def test_the_embedded_server_costs_nothing_and_is_not_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def serve(model: object) -> None:
        raise AssertionError("it needs no server")

    monkeypatch.setattr("seedbed.llm.serve.embedded.serve", serve)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    set_params(model=("model: served-model", "model: gemma-3-270m-q4_k_m"))
    seen, price = foresee(params.everything())
    assert price == Price(model="gemma-3-270m-q4_k_m", input=0, output=0)
    asking = {*STAGES, *ACTIVE} - {"active-train"}
    own = seen[: -len(TEXTS)]
    assert [one.missing > 0 for one in own] == [one.stage in asking for one in own]


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        ("data/seed_tasks.jsonl", '"instruction"', '"instructoin"', "data/seed_tasks.jsonl:1: "),
        ("params.yaml", "tasks: all", "tasks: some", "instances.tasks: found 'some'"),
        (
            "data/prompts/clf/is_classification.txt",
            "{instruction}",
            "",
            "data/prompts/clf/is_classification.txt: {instruction}",
        ),
    ],
)
def test_bad_input_is_one_message(
    project: Project, path: str, old: str, new: str, says: str
) -> None:
    project.replace(path, old, new)
    done = project.stage("estimate", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert done.stdout.startswith("seedbed estimate: ")
    assert says in done.stdout
    assert len(done.stdout.splitlines()) == 2


def test_each_column_of_the_table_adds_up(snapshot: Snapshots) -> None:
    seen = [
        Foreseen("one", 10, 4, 1000, 20, ["prompt tokens: 4 characters each"]),
        Foreseen("two", 1_000_000, 1, 2, 3),
    ]
    lines = list(table(seen, None))
    snapshot("estimate-columns", "\n".join(lines) + "\n")
    assert len({len(line) for line in lines[:4]}) == 1


def test_of_many_held_out_tasks_some_are_read_for_all_unless_rows_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    exact = estimate()["evaluate"]
    monkeypatch.setattr(training, "TASKS", 2)
    seen = estimate()["evaluate"]
    # Each task there has as many examples.
    assert seen.requests == exact.requests > 0
    note = "requests: 2 of 6 tasks were read, for all"
    assert note in seen.guessed
    assert note not in exact.guessed
