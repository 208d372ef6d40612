"""What rounds of Active Instruction Tuning would take, said before, beside what they then ask."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from support.adapters import adapter
from support.params import changed
from support.project import ROOT
from support.ranking import Scoring, scoring

from seedbed.active import active_pool, active_score, active_select, foreseen_pool
from seedbed.active import estimate as of_rounds
from seedbed.active.errors import PoolTooSmall
from seedbed.active.params import FREE, Method
from seedbed.active.prompts import asked
from seedbed.active.rows import ACTIVE, PoolTask
from seedbed.core.paths import Into
from seedbed.errors import BadRow
from seedbed.llm.params import Llm
from seedbed.llm.store.place import default_path
from seedbed.llm.store.store import Store
from seedbed.params import Everything, checked
from seedbed.runs.dry_run import Foreseen, Foresight
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.prompts import Prompts
from seedbed.training import evaluate as training

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
CHUNK, DEV, TASKS, TEST = 4, 4, 24, 5
INSTANCES, PERTURBATIONS = 2, 3
# Beside the answers.
SCORINGS = PERTURBATIONS + 1
NOT_THERE = "http://127.0.0.1:9/v1"
TRIED = TEST * 1 + DEV * 2


def lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def seed_task(number: int, instances: int = 3) -> dict:
    return {
        "id": f"task_{number}",
        "instruction": f"Do the thing that number {number} of them all says, and do it well.",
        "instances": [
            {"input": f"input {number}.{n}", "output": f"output {number}.{n}"}
            for n in range(instances)
        ],
        "is_classification": number % 3 == 0,
    }


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("OPENAI_BASE_URL", NOT_THERE)
    shutil.copytree(ROOT / "data/prompts/evaluate", "data/prompts/evaluate")
    Path("data/seed_tasks.jsonl").write_text(lines([seed_task(n) for n in range(TASKS)]))
    Path("data/held_out.jsonl").write_text(lines([seed_task(100 + n) for n in range(TEST)]))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    """One that is asked as if it had each round's adapter, which it cannot be given."""

    @contextmanager
    def of(self: Foresight, llm: Llm) -> Iterator[Foresight]:
        assert Path(llm.embedded.adapter or "").is_file()
        with Foresight.opened(self.llm, self._store) as other:
            yield other

    with scoring(reply=lambda prompt: f" said {len(prompt) % 7}") as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        monkeypatch.setattr(Foresight, "of", of)
        yield served


def params(**changes: Any) -> Everything:
    """All of params.yaml, with a small pool, and changes."""
    small = {
        "llm": {"model": "served-model"},
        "finetune": {"base": "served-model"},
        "active_pool": {"chunk": CHUNK, "dev": DEV},
        "active_score": {
            "max_tasks": None,
            "instances": INSTANCES,
            "perturbations": PERTURBATIONS,
        },
        "active_select": {"examples": 2},
    }
    return checked(changed(changed(PARAMS, small), changes))


def estimate(everything: Everything) -> dict[str, Foreseen]:
    store = Store(default_path())
    try:
        with Foresight.opened(everything.asked, store) as foresight:
            seen = of_rounds.foresee(everything, foresight)
            for one in seen:
                foresight.add_tokens(one)
    finally:
        store.close()
    assert [one.stage for one in seen] == ["active-train", "active-evaluate", "active-score"]
    return {one.stage.removeprefix("active-"): one for one in seen}


def of_stage(stage: Any, everything: Everything) -> Any:
    """What a stage declares of all that."""
    values = everything.model_dump(mode="python")
    values["llm"] = {**values["llm"], **values["run"]}
    wanted: dict[str, Any] = {}
    for name, field in stage.Params.model_fields.items():
        own = getattr(field.annotation, "model_fields", {})
        wanted[name] = {part: values[name][part] for part in own if part in values[name]}
    return stage.Params.model_validate(wanted)


def draw(everything: Everything) -> None:
    into = Into("active_pool", "active/pool")
    active_pool.run(of_stage(active_pool, everything), active_pool.Inputs(), into)


def select(everything: Everything, name: str = "start", before: str = "pool") -> None:
    run = everything.active.runs[name]
    own = of_stage(active_select, everything)
    how = own.active_select.model_copy(update={"method": run.method})
    active_select.run(
        own.model_copy(update={"active_select": how}),
        active_select.Inputs(ACTIVE / "pool", ACTIVE / before),
        Into("active_select", f"active/{name}"),
    )


def train(name: str = "start") -> Path:
    """A file where an adapter would be."""
    path = ACTIVE / name / of_rounds.ADAPTER
    path.parent.mkdir(parents=True)
    path.write_bytes(b"an adapter")
    return path


def score(everything: Everything, name: str = "start") -> None:
    inputs = active_score.Inputs(ACTIVE / "pool", ACTIVE / name)
    into = Into("active_score", f"active/{name}")
    active_score.run(of_stage(active_score, everything), inputs, into)


def evaluate(everything: Everything, name: str = "start") -> None:
    own = of_stage(training, everything)
    changes = {
        "held_out": str(ACTIVE / "pool/active_pool/held_out.jsonl"),
        "tasks": None,
        "max_examples": None,
        "models": [{"name": name}],
        "resamples": 100,
    }
    values = changed(own.model_dump(), {"evaluate": changes})
    inputs, into = training.Inputs(), Into("evaluate", f"active/{name}")
    training.run(training.Params.model_validate(values), inputs, into)


def started(everything: Everything) -> Path:
    """The pool, the first round's tasks, and its adapter."""
    draw(everything)
    select(everything)
    return train()


def pool_tasks(part: str) -> list[dict]:
    path = ACTIVE / "pool/active_pool/tasks.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["part"] == part]


# --- before anything is there


def test_before_a_pool_is_drawn_the_parameters_say_how_much_is_asked_and_what_is_a_guess() -> None:
    seen = estimate(params())
    left = TASKS - DEV - CHUNK
    assert seen["evaluate"].requests == 3 * TRIED
    assert seen["score"].requests == left * INSTANCES * (1 + SCORINGS)
    assert not any(one.kept for one in seen.values())
    assert seen["train"].requests == 0
    assert seen["score"].completion_tokens == left * INSTANCES * 32
    assert seen["evaluate"].completion_tokens == 3 * TRIED * 64
    # Two rows a task: 4 tasks at first, 8 in both later rounds, 8 rows a step, 3 epochs.
    assert [one.guessed for one in seen.values()] == [
        [
            "rows: as if pool were drawn of the 24 tasks that are there",
            "trainings: 3, of 15 steps together, as if no row were left out",
            "rows: as many a task as the pool has, for uncertain-1, random-1, not chosen yet",
        ],
        [
            "prompt tokens: 4 characters each",
            "completion tokens: at most, all max_tokens",
            "requests: as if pool were drawn of the 24 tasks that are there",
            "in store: none of start, uncertain-1, random-1, not trained yet",
        ],
        [
            "prompt tokens: 4 characters each",
            "completion tokens: at most, all max_tokens",
            "requests: as if pool were drawn of the 24 tasks that are there",
            "in store: none of start, not trained yet",
            f"requests: {left * INSTANCES * SCORINGS} of them scorings, as if no answer were "
            "refused",
            "prompts: as if answers that are not there yet were right ones",
        ],
    ]


def test_no_more_tasks_are_scored_than_a_round_has_left() -> None:
    rounds = {
        "runs": {
            **PARAMS["active"]["runs"],
            "uncertain-2": {
                "pool": "pool",
                "method": "high_uncertainty",
                "before": "uncertain-1",
            },
        },
        "scored": {"start": {"pool": "pool"}, "uncertain-1": {"pool": "pool"}},
    }
    each = INSTANCES * (1 + SCORINGS)
    first = TASKS - DEV - CHUNK
    for most, tasks in ((None, first + first - CHUNK), (first - 2, first - 2 + first - CHUNK)):
        seen = estimate(params(active=rounds, active_score={"max_tasks": most}))
        assert seen["score"].requests == tasks * each
        assert "in store: none of start, uncertain-1, not trained yet" in seen["score"].guessed
        told = "prompts: as if the last of the pool were left to uncertain-1"
        assert told in seen["score"].guessed


def test_of_many_rounds_three_are_named() -> None:
    methods = [method for method in get_args(Method) if method not in FREE]
    rounds = {
        f"{method}-2": {"pool": "pool", "method": method, "before": "uncertain-1"}
        for method in methods
    }
    active = {
        "runs": PARAMS["active"]["runs"] | rounds,
        "scored": {"start": {"pool": "pool"}, "uncertain-1": {"pool": "pool"}},
    }
    seen = estimate(params(active=active))["evaluate"]
    assert seen.requests == (3 + len(methods)) * TRIED
    three = "start, uncertain-1, random-1"
    assert f"in store: none of {three} and {len(methods)} more, not trained yet" in seen.guessed


def test_nothing_is_asked_for_right_answers_but_their_scorings() -> None:
    seen = estimate(params(active_score={"labels": "gold"}))["score"]
    scorings = (TASKS - DEV - CHUNK) * INSTANCES * SCORINGS
    assert (seen.requests, seen.completion_tokens) == (scorings, 0)
    said = f"requests: {scorings} of them scorings, as if no answer were too long"
    assert said in seen.guessed
    assert not any("right ones" in note for note in seen.guessed)


def test_what_is_left_out_of_an_evaluation_is_a_guess() -> None:
    seen = estimate(params(evaluate={"leave_out_overlaps": 8}))["evaluate"]
    assert "requests: as if none overlapped with what a model is trained on" in seen.guessed


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 3 * 1 + 2 * (3 * 2)),
        ({"max_steps": 4}, 3 + 2 * 4),
        ({"batch": 4, "epochs": 2}, 2 * 2 + 2 * (2 * 4)),
        ({"rows": 6}, 3 * 3),
        ({"max_steps": None, "batch": 1, "epochs": 100}, 100 * (8 + 16 + 16)),
    ],
)
def test_a_training_has_so_many_steps_as_its_rows_make(changes: dict, steps: int) -> None:
    seen = estimate(params(finetune=changes))["train"]
    said = f"trainings: 3, of {steps:,} steps together, as if no row were left out"
    assert said in seen.guessed


def test_tasks_with_few_examples_make_few_rows() -> None:
    rows = [seed_task(n, 2 if n % 2 else 4) for n in range(TASKS)]
    Path("data/seed_tasks.jsonl").write_text(lines(rows))
    changes = {"active_select": {"examples": None}, "finetune": {"batch": 1, "epochs": 1}}
    draw(params())
    first, rest = (
        [len(row["instances"]) for row in pool_tasks(part)] for part in ("start", "rest")
    )
    later = -(-CHUNK * sum(rest) // len(rest))
    steps = sum(first) + 2 * (sum(first) + later)
    assert f"of {steps} steps together" in estimate(params(**changes))["train"].guessed[0]


# --- pools


def test_a_pool_that_is_too_small_is_told_and_the_others_are_counted() -> None:
    two = {"pools": {"pool": {"seed": 10}, "other": {"seed": 20}}}
    draw(params())
    seed_tasks = Path("data/seed_tasks.jsonl")
    seed_tasks.write_text(lines([seed_task(n) for n in range(6)]))
    seen = estimate(params(active=two))
    said = str(PoolTooSmall(6, CHUNK, DEV, 2)).partition("\n")[0]
    for one in seen.values():
        assert f"requests: none of other's: {said}" in one.guessed
    assert seen["evaluate"].requests == 3 * TRIED


def niv2(number: int) -> dict:
    """Every second one is a classification: its outputs are two, and its category says so."""
    return {
        "Definition": [f"Do the thing that number {number:03} of them all says."],
        "Positive Examples": [{"input": "a b c", "output": "one", "explanation": ""}] * 2,
        "Categories": [("Text Categorization", "Made up")[number % 2]],
        "Instances": [
            {"id": f"{number}-{n}", "input": f"{n} of {number:03}", "output": ["one", "two"]}
            for n in range(3)
        ],
    }


@pytest.mark.parametrize("named", [False, True])
def test_of_a_folder_of_tasks_one_is_read_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    for folder, first, number in (("data/tasks", 0, 40), ("data/tests", 100, 7)):
        Path(folder).mkdir()
        for n in range(first, first + number):
            Path(folder, f"task{n:03}.json").write_text(json.dumps(niv2(n)))
    names = {"lists": ".", "tasks": "pool.txt", "test_tasks": "test.txt"} if named else {}
    Path("pool.txt").write_text("".join(f"task{n:03}\n" for n in range(10, 30)))
    Path("test.txt").write_text("task103\ntask101\n")
    read: list[Path] = []

    def reads(path: Path) -> Task:
        read.append(path)
        return read_task(path)

    monkeypatch.setattr(foreseen_pool, "read_task", reads)
    own = {"source": "niv2", "folder": "data/tasks", "test": "data/tests", **names}
    everything = params(
        active_pool=own | {"dev_examples": 2, "test_examples": 3, "demos": 2},
        active_score={"target": "tdte"},
    )
    seen = estimate(everything)
    assert len(read) == 2
    tasks, test = (20, 2) if named else (40, 7)
    assert seen["evaluate"].requests == 3 * (test * 3 + DEV * 2)
    assert seen["score"].requests == (tasks - DEV - CHUNK) * INSTANCES * (1 + SCORINGS)
    alike = f"requests: as if pool were drawn of {tasks} tasks that are like one, with 2 examples"
    assert any(note.startswith(alike) for note in seen["score"].guessed)
    before = {name: (one.requests, one.prompt_tokens) for name, one in seen.items()}
    draw(everything)
    seen = estimate(everything)
    # All tasks there are as long as one another, so that even the tokens were right.
    assert {name: (one.requests, one.prompt_tokens) for name, one in seen.items()} == before
    assert not any("as if pool were" in note for note in seen["score"].guessed)


def test_a_folder_that_is_not_there_is_told_and_does_not_stop_the_others() -> None:
    seen = estimate(params(active_pool={"source": "niv2", "folder": "data/none"}))
    assert [one.requests for one in seen.values()] == [0, 0, 0]
    assert all("data/none: no such folder" in one.guessed[0] for one in seen.values())


def test_what_is_broken_of_a_round_is_named_with_its_line() -> None:
    draw(params())
    select(params())
    Path(ACTIVE / "start/active_select/chosen.jsonl").write_text("{}\n")
    with pytest.raises(BadRow, match=r"chosen\.jsonl:1: "):
        estimate(params())


# --- once rounds are there


def test_after_a_run_nothing_is_to_be_sent_and_nothing_is_a_guess(server: Scoring) -> None:
    everything = params(active_score={"max_tasks": 6})
    started(everything)
    for name in ("uncertain-1", "random-1"):
        train(name)
    score(everything)
    evaluate(everything)
    sent = len(server.bodies)
    for name in ("uncertain-1", "random-1"):
        select(everything, name, "start")
    server.bodies.clear()
    seen = estimate(everything)
    assert server.bodies == []
    for one in seen.values():
        assert (one.missing, one.prompt_tokens, one.completion_tokens) == (0, 0, 0)
        assert one.guessed == []
    assert seen["evaluate"].requests == 3 * TRIED
    scored = 6 * INSTANCES
    assert seen["score"].requests == scored * (1 + SCORINGS)
    # A word less of nine may be none: then prompts are the same, and asked once.
    assert TRIED + scored * 2 < sent <= TRIED + scored * (1 + SCORINGS)


def test_what_is_foreseen_of_a_trained_round_is_what_it_then_asks(server: Scoring) -> None:
    everything = params(active_score={"max_tasks": 5})
    started(everything)
    seen = estimate(everything)
    assert seen["score"].requests == 5 * INSTANCES * (1 + SCORINGS)
    assert "prompts: as if answers that are not there yet were right ones" in seen["score"].guessed
    score(everything)
    assert seen["score"].missing == len(server.bodies)
    server.bodies.clear()
    evaluate(everything)
    # The two others are not trained.
    assert seen["evaluate"].missing - 2 * TRIED == len(server.bodies) == TRIED
    seen = estimate(everything)
    assert (seen["evaluate"].kept, seen["evaluate"].missing) == (TRIED, 2 * TRIED)
    assert "in store: none of uncertain-1, random-1, not trained yet" in seen["evaluate"].guessed
    assert (seen["score"].missing, seen["score"].guessed) == (0, [])


def test_more_perturbations_send_these_alone_and_no_answer_is_a_guess(server: Scoring) -> None:
    everything = params()
    started(everything)
    score(everything)
    server.bodies.clear()
    more = params(active_score={"perturbations": PERTURBATIONS + 2})
    seen = estimate(more)["score"]
    scorings = (TASKS - DEV - CHUNK) * INSTANCES * (SCORINGS + 2)
    assert seen.guessed == [f"requests: {scorings} of them scorings"]
    assert seen.completion_tokens == 0
    score(more)
    assert seen.missing == len(server.scored) == len(server.bodies) > 0


def test_refused_answers_are_not_scored(server: Scoring) -> None:
    server.reply = lambda prompt: "" if "number 7 " in prompt else " something"
    everything = params()
    started(everything)
    assert "task_7" in {row["task"] for row in pool_tasks("rest")}
    score(everything)
    seen = estimate(everything)["score"]
    tasks = TASKS - DEV - CHUNK
    assert seen.requests == INSTANCES * (tasks + (tasks - 1) * SCORINGS)
    assert (seen.missing, seen.guessed) == (0, [])


def test_right_answers_are_looked_up_too(server: Scoring) -> None:
    everything = params(active_score={"labels": "gold", "end": "\n"})
    started(everything)
    score(everything)
    seen = estimate(everything)["score"]
    assert seen.requests == (TASKS - DEV - CHUNK) * INSTANCES * SCORINGS
    assert (seen.missing, seen.guessed) == (0, [])


def test_the_tasks_that_a_round_has_left_are_those_that_it_did_not_choose() -> None:
    scored = {"start": {"pool": "pool"}, "random-1": {"pool": "pool"}}
    everything = params(active={"scored": scored}, active_score={"instances": 1})
    draw(everything)
    guessed = estimate(everything)["score"]
    select(everything)
    select(everything, "random-1", "start")
    seen = estimate(everything)["score"]
    assert seen.requests == guessed.requests
    chosen = (ACTIVE / "random-1/active_select/chosen.jsonl").read_text().splitlines()
    gone = {json.loads(line)["task"] for line in chosen}
    left = {row["task"] for row in pool_tasks("rest")} - gone
    assert seen.requests == (TASKS - DEV - CHUNK + len(left)) * (1 + SCORINGS)
    assert any("not trained yet" in note for note in seen.guessed)
    assert any("were left to random-1" in note for note in guessed.guessed)
    assert not any("were left to random-1" in note for note in seen.guessed)


def test_a_server_that_takes_no_adapter_is_told_and_the_requests_are_counted() -> None:
    everything = params()
    path = started(everything)
    seen = estimate(everything)
    for name in ("evaluate", "score"):
        said = f"in store: none of start's: llm.embedded.adapter: {path}: only the embedded server"
        assert any(note.startswith(said) for note in seen[name].guessed)
    assert seen["evaluate"].requests == seen["evaluate"].missing == 3 * TRIED
    assert seen["score"].missing == (TASKS - DEV - CHUNK) * INSTANCES * (1 + SCORINGS)
    assert "trainings: 2, of 12 steps together" in seen["train"].guessed[0]


@pytest.mark.slow
def test_the_embedded_server_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(model: object) -> None:
        raise AssertionError("it needs no server")

    monkeypatch.setattr("seedbed.llm.serve.embedded.serve", serve)
    monkeypatch.delenv("OPENAI_BASE_URL")
    model = PARAMS["llm"]["model"]
    everything = params(llm={"model": model}, finetune={"base": model})
    adapter(started(everything), 1)
    seen = estimate(everything)
    assert seen["evaluate"].missing == 3 * TRIED
    assert seen["score"].requests == (TASKS - DEV - CHUNK) * INSTANCES * (1 + SCORINGS)
    assert "in store: none of uncertain-1, random-1, not trained yet" in seen["evaluate"].guessed
    assert not any("in store" in note for note in seen["score"].guessed)


# --- what another method asks


@pytest.mark.parametrize("shots", [0, 2])
def test_held_out_tasks_are_asked_as_evaluate_asks_them(shots: int) -> None:
    rows = [seed_task(100), seed_task(101, 1)]
    rows[0]["instances"][1]["input"] = rows[0]["instances"][0]["input"]
    rows[1]["instances"][0]["input"] = ""
    rows[1]["instruction"] = "  Say something.\n"
    Path("data/held_out.jsonl").write_text(lines(rows))
    everything = params(active_pool={"test_examples": 3})
    draw(everything)
    path = ACTIVE / "pool/active_pool/held_out.jsonl"
    prompts = Prompts()
    own = everything.evaluate.model_copy(
        update={"tasks": None, "max_examples": None, "shots": shots}
    )
    cases = training.read_cases(own, path)
    held_out = of_rounds.read_or_guess("pool", everything).held_out
    made = list(of_rounds.evaluations(held_out, own.sampling, shots, prompts))
    assert made == list(training.requests(cases, own, prompts))
    prefixes = [request.prefixes for request in training.requests(cases, own, prompts)]
    assert [request.prefixes for request in made] == prefixes
    assert len(made) == 3 + 1 + DEV * 2


def test_a_guess_of_a_pool_is_the_pool_that_is_then_drawn() -> None:
    everything = params()
    guessed = of_rounds.read_or_guess("pool", everything)
    draw(everything)
    drawn = of_rounds.read_or_guess("pool", everything)
    assert (guessed.tasks, guessed.held_out) == (drawn.tasks, drawn.held_out)
    assert guessed.guess
    assert not drawn.guess


def test_what_is_scored_is_what_the_stage_draws() -> None:
    everything = params(active_score={"max_tasks": 3})
    draw(everything)
    left = [PoolTask.model_validate(row) for row in pool_tasks("rest")]
    instances = asked(left, everything.active_score)
    assert len({one.task.task for one in instances}) == 3
    assert estimate(everything)["score"].requests == len(instances) * (1 + SCORINGS)


# --- of thousands of tasks


def write_grown(many: int) -> None:
    """What Self-Instruct made: every fifth task is of no use, the others have one to three rows."""
    for folder in ("data/prepare", "data/clf"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    ids = [f"{n}-a" for n in range(many)]
    rows = [
        {
            "instruction": f"Say what a grown one says of number {n:03}.",
            "input": 'It said "instruction_id": "7-a".',
            "output": "That.",
            "id": f"{name}/{k}",
            "instruction_id": name,
            "key": None,
        }
        for n, name in enumerate(ids)
        if n % 5
        for k in range(1 + n % 3)
    ]
    kinds = [
        {"instruction": "", "instruction_id": name, "is_classification": "Yes" if n % 3 else "No"}
        for n, name in enumerate(ids)
    ]
    Path("data/prepare/alpaca.jsonl").write_text(lines(rows))
    Path("data/clf/is_clf_or_not.jsonl").write_text(lines(kinds))


MANY = 240
GROWN = MANY * 4 // 5


@pytest.mark.parametrize("most", [None, 30, 150])
@pytest.mark.parametrize("drawn", [False, True])
def test_of_many_tasks_some_are_read_and_stand_for_all(
    monkeypatch: pytest.MonkeyPatch, drawn: bool, most: int | None
) -> None:
    write_grown(MANY)
    everything = params(active_score={"max_tasks": most, "instances": 1})
    if drawn:
        draw(everything)
    whole = estimate(everything)
    monkeypatch.setattr(foreseen_pool, "LOOKED_UP", 60)
    some = estimate(everything)
    read = len(of_rounds.read_or_guess("pool", everything).tasks)
    assert read < 120 < GROWN + TASKS
    assert some["score"].requests == whole["score"].requests
    assert some["score"].requests == (most or GROWN + TASKS - DEV - CHUNK) * (1 + SCORINGS)
    assert some["score"].prompt_tokens == pytest.approx(whole["score"].prompt_tokens, rel=0.05)
    notes = [note for one in some.values() for note in one.guessed]
    assert any("216 tasks that are there, of which " in note for note in notes) != drawn
    assert any("of 208 tasks were read, for all" in note for note in notes) == (most != 30)
    if drawn:
        assert some["evaluate"].requests == whole["evaluate"].requests


def test_of_a_large_pool_those_that_a_round_scores_are_looked_up(
    monkeypatch: pytest.MonkeyPatch, server: Scoring
) -> None:
    write_grown(MANY)
    everything = params(active_score={"max_tasks": 20, "instances": 1})
    started(everything)
    score(everything)
    whole = estimate(everything)["score"]
    assert whole.kept == 20 * (1 + SCORINGS)
    monkeypatch.setattr(foreseen_pool, "LOOKED_UP", 60)
    some = estimate(everything)["score"]
    assert len(of_rounds.read_or_guess("pool", everything).tasks) < 120
    assert (some.requests, some.kept, some.missing) == (whole.requests, whole.kept, whole.missing)
    # And where all are scored, those that were read stand for the others.
    everything = params(active_score={"max_tasks": None, "instances": 1})
    score(everything)
    some = estimate(everything)["score"]
    assert some.requests - some.missing == (GROWN + TASKS - DEV - CHUNK) * (1 + SCORINGS)


def test_a_pool_that_takes_more_than_are_looked_up_reads_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_grown(MANY)
    monkeypatch.setattr(foreseen_pool, "LOOKED_UP", 10)
    everything = params(active_pool={"chunk": 40}, active_score={"instances": 1})
    seen = estimate(everything)
    assert not any(
        "PoolTooSmall" in note or "none of pool" in note for note in seen["score"].guessed
    )
    assert len(of_rounds.read_or_guess("pool", everything).tasks) >= DEV + 2 * 40
