"""Rounds of Active Instruction Tuning on made-up tasks: what is asked, scored, chosen and told."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.params import SECTIONS, changed
from support.project import PYTHONPATH, ROOT, environment
from support.ranking import Scoring, by_chance, scoring
from support.stages import run_stage

from seedbed.active import active_curve, active_pool, active_score, active_select
from seedbed.active.errors import (
    ChatNotScored,
    HeldOutInPool,
    NoDemos,
    NoScores,
    NoSuchPoolTask,
    NoTaskOfAKind,
    NothingEvaluated,
    NothingScored,
    OtherBase,
    OtherTasks,
    PoolTooSmall,
    TooFewInstances,
    TooFewLeft,
    TooFewToHoldOut,
)
from seedbed.active.params import Active, ActivePool, ActiveScore
from seedbed.active.prompts import asked, perturbed, prompt
from seedbed.active.rows import ACTIVE, Demo, Instance, PoolTask, read_pool
from seedbed.core.paths import Into
from seedbed.llm.contract.wire import Answer
from seedbed.llm.errors import ScoringNotOffered
from seedbed.llm.params import Llm
from seedbed.tasks.prompts import Prompts

POOL, START = ACTIVE / "pool", ACTIVE / "start"
CHUNK, DEV, TASKS = 4, 3, 24


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def lines(some: list[dict]) -> str:
    return "".join(json.dumps(one) + "\n" for one in some)


def seed_task(number: int, instances: int = 3) -> dict:
    return {
        "id": f"task_{number}",
        "instruction": f"Do the thing that number {number} of them all says,\n\nand do it well.",
        "instances": [
            {"input": f"input {number}.{n}" if n else "", "output": f"output {number}.{n}"}
            for n in range(instances)
        ],
        "is_classification": number % 3 == 0,
    }


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    shutil.copytree(ROOT / "data/prompts/evaluate", "data/prompts/evaluate")
    Path("data/seed_tasks.jsonl").write_text(lines([seed_task(n) for n in range(TASKS)]))
    Path("data/held_out.jsonl").write_text(
        lines([{**seed_task(100 + n), "instruction": f"Test {n}."} for n in range(5)])
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    with scoring(reply=lambda prompt: f" said {len(prompt) % 7}") as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        yield served


def params(stage: Any, **changes: Any) -> Any:
    """Those of params.yaml for a stage, with a small pool, and changes."""
    values = changed(
        SECTIONS,
        {
            "llm": {"model": "served-model"},
            "finetune": {"base": "served-model"},
            "active_pool": {"chunk": CHUNK, "dev": DEV},
            "active_score": {"max_tasks": None, "instances": 2, "perturbations": 3},
            "active_curve": {"resamples": 200},
        },
    )
    values = changed(values, changes)
    active_of = stage.Params.model_fields.get("active")
    if active_of and active_of.annotation is not Active:
        values["active"] = {"runs": values["active"]["runs"]}
    for name, field in stage.Params.model_fields.items():
        kept = getattr(field.annotation, "model_fields", None)
        if kept and field.annotation is not Llm:
            values[name] = {part: values[name][part] for part in kept}
    return stage.Params.model_validate({name: values[name] for name in stage.Params.model_fields})


def into(stage: Any, name: str) -> Into:
    return Into(stage.__name__.rpartition(".")[2], f"active/{name}")


def draw(**changes: Any) -> None:
    active_pool.run(params(active_pool, **changes), active_pool.Inputs(), into(active_pool, "pool"))


def select(name: str, method: str, before: Path, **changes: Any) -> list[dict]:
    changes["active_select"] = {"method": method, **changes.get("active_select", {})}
    active_select.run(
        params(active_select, **changes),
        active_select.Inputs(POOL, before),
        into(active_select, name),
    )
    return rows(ACTIVE / name / "active_select/chosen.jsonl")


def score(name: str = "start", **changes: Any) -> list[dict]:
    active_score.run(
        params(active_score, **changes),
        active_score.Inputs(POOL, ACTIVE / name),
        into(active_score, name),
    )
    return rows(ACTIVE / name / "active_score/tasks.jsonl")


def started(**changes: Any) -> None:
    draw(**changes)
    select("start", "first_chunk", POOL, **changes)


# --- rounds


def test_rounds_grow_by_the_chunk_and_never_train_on_what_is_held_out(server: Scoring) -> None:
    started()
    score()
    pool = rows(POOL / "active_pool/tasks.jsonl")
    dev = {row["task"] for row in pool if row["part"] == "dev"}
    assert len(pool) == TASKS
    assert len(dev) == DEV
    held_out = rows(POOL / "active_pool/held_out.jsonl")
    assert {row["id"] for row in held_out if row["motivation_app"] == "dev"} == dev
    assert sum(row["motivation_app"] == "test" for row in held_out) == 5
    rounds = {"start": {row["task"] for row in rows(START / "active_select/chosen.jsonl")}}
    for name, method, before in (
        ("uncertain-1", "high_uncertainty", "start"),
        ("random-1", "random", "start"),
        ("random-2", "random", "random-1"),
    ):
        chosen = {row["task"] for row in select(name, method, ACTIVE / before)}
        assert rounds[before] < chosen
        assert len(chosen) == len(rounds[before]) + CHUNK
        assert not chosen & dev
        metrics = json.loads(Path(f"metrics/active/{name}/active_select.json").read_text())
        assert metrics["chosen_tasks"] + metrics["remaining_tasks"] + DEV == TASKS
        trained = rows(ACTIVE / name / "active_select/train.jsonl")
        assert list(dict.fromkeys(row["task"] for row in trained)) == [
            row["task"] for row in rows(ACTIVE / name / "active_select/chosen.jsonl")
        ]
        rounds[name] = chosen


def test_a_rounds_tasks_keep_their_examples_whatever_else_is_chosen() -> None:
    started()
    few = {"active_select": {"examples": 2}}
    select("random-1", "random", START, **few)
    select("start", "first_chunk", POOL, **few)
    first = rows(START / "active_select/train.jsonl")
    assert rows(ACTIVE / "random-1/active_select/train.jsonl")[: 2 * CHUNK] == first
    assert set(Counter(row["task"] for row in first).values()) == {2}


def test_two_pools_take_other_random_tasks() -> None:
    found = []
    for seed in (1, 2):
        draw(active_pool={"seed": seed})
        select("start", "first_chunk", POOL)
        found.append({row["task"] for row in select("random-1", "random", START)[CHUNK:]})
    assert found[0] != found[1]


def test_what_self_instruct_made_is_in_the_pool_with_the_keys_of_its_rows() -> None:
    Path("data/prepare").mkdir()
    Path("data/clf").mkdir()
    made = [
        {
            "id": f"1.{n}/{i}",
            "instruction_id": f"1.{n}",
            "instruction": f"Made {n}.",
            "input": "",
            "output": f"o{i}",
            "key": f"key{n}{i}",
        }
        for n in range(2)
        for i in range(3)
    ]
    Path("data/prepare/alpaca.jsonl").write_text(lines(made))
    kinds = [{"instruction_id": f"1.{n}", "is_classification": " Yes"[: 4 * n]} for n in range(2)]
    Path("data/clf/is_clf_or_not.jsonl").write_text(lines(kinds))
    draw()
    by_name = {row["task"]: row for row in rows(POOL / "active_pool/tasks.jsonl")}
    assert len(by_name) == TASKS + 2
    assert [by_name[f"1.{n}"]["is_classification"] for n in range(2)] == [False, True]
    assert [one["key"] for one in by_name["1.0"]["instances"]] == ["key00", "key01", "key02"]
    assert by_name["1.0"]["source"] == "data/prepare/alpaca.jsonl"


# --- scores


def test_a_score_is_what_the_server_says_of_the_answer_under_each_prompt(server: Scoring) -> None:
    started()
    told = score()
    left = TASKS - DEV - CHUNK
    assert len(told) == left
    answers = {(row["task"], row["id"]): row for row in rows(START / "active_score/answers.jsonl")}
    assert len(answers) == 2 * left
    scores = rows(START / "active_score/scores.jsonl")
    assert len(scores) == 2 * left * 4
    pool = {row["task"]: row for row in rows(POOL / "active_pool/tasks.jsonl")}
    shown = {
        (row["task"], row["k"]): row["instruction"]
        for row in rows(START / "active_score/perturbed.jsonl")
    }
    probabilities: dict[str, dict[str, list[float]]] = {}
    for row in scores:
        task = pool[row["task"]]
        instruction = shown.get((row["task"], row["k"]), task["instruction"])
        (instance,) = (one for one in task["instances"] if one["id"] == row["id"])
        given = f"\n\nInput: {instance['input']}" if instance["input"] else ""
        prompt = f"{instruction}{given}\n\nOutput:"
        text = answers[row["task"], row["id"]]["text"]
        assert text.startswith(" said ")
        tokens = text.split()
        before = prompt
        logprobs = []
        for token in tokens:
            logprobs.append(by_chance(before, f" {token}"))
            before += f" {token}"
        assert row["total"] == pytest.approx(sum(logprobs), abs=1e-6)
        assert row["tokens"] == 2
        p = exp(row["total"] / 2)
        probabilities.setdefault(row["task"], {}).setdefault(row["id"], []).append(p)
    for row in told:
        table = list(probabilities[row["task"]].values())
        differences = [abs(p - own[0]) for own in table for p in own[1:]]
        assert row["uncertainty"] == pytest.approx(sum(differences) / 6, abs=1e-6)
        assert row["probability"] == pytest.approx(sum(own[0] for own in table) / 2, abs=1e-6)
        assert row["perplexity"] == pytest.approx(sum(1 / own[0] for own in table) / 2, rel=1e-4)


def test_at_a_rate_of_0_nothing_is_uncertain_and_nothing_scored_twice(server: Scoring) -> None:
    started()
    assert {row["uncertainty"] for row in score(active_score={"rate": 0.0})} == {0.0}
    assert len(server.scored) == len(set(server.scored)) == 2 * (TASKS - DEV - CHUNK)


def test_at_a_rate_of_1_the_instruction_is_empty_and_still_scored(server: Scoring) -> None:
    started()
    assert len(score(active_score={"rate": 1.0})) == TASKS - DEV - CHUNK
    assert any(text.startswith("\n\nOutput:") for text in server.scored)


def test_neither_order_nor_concurrency_changes_a_byte(
    server: Scoring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = []
    for at_once in ("1", "16"):
        monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / f"{at_once}.sqlite"))
        monkeypatch.setenv("SEEDBED_CONCURRENCY", at_once)
        started()
        score()
        folder = START / "active_score"
        found.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert found[0] == found[1]


def test_one_more_task_changes_no_other_tasks_score(server: Scoring) -> None:
    started()
    before = {row["task"]: row for row in score()}
    path = POOL / "active_pool/tasks.jsonl"
    more = json.loads(path.read_text().splitlines()[-1]) | {"task": "another"}
    path.write_text(path.read_text() + json.dumps(more) + "\n")
    after = {row["task"]: row for row in score()}
    assert after.pop("another")
    assert after == before


def test_of_so_many_tasks_so_many_are_scored_and_the_others_come_last(server: Scoring) -> None:
    started()
    assert len(score(active_score={"max_tasks": 6})) == 6
    chosen = select("uncertain-1", "high_uncertainty", START, active_select={"cls_share": None})
    assert all(row["score"] is not None for row in chosen[CHUNK:])
    changes = {"active_pool": {"chunk": 8}, "active_select": {"cls_share": None}}
    chosen = select("uncertain-1", "high_uncertainty", START, **changes)
    scored = [row["score"] is not None for row in chosen[CHUNK:]]
    assert scored == [True] * 6 + [False] * 2


def test_right_answers_can_be_scored_in_place_of_the_models(server: Scoring) -> None:
    started()
    score(active_score={"labels": "gold"})
    answers = rows(START / "active_score/answers.jsonl")
    assert {row["text"].startswith(" output ") for row in answers} == {True}
    assert {row["key"] for row in answers} == {None}
    assert all(body.get("echo") for body in server.bodies)


def niv2_task(number: int) -> dict:
    return {
        "Definition": [f"Definition {number} of what is to be done with the words."],
        "Positive Examples": [
            {"input": f"shown {number} {n} to all of us", "output": f"out {n}"} for n in range(3)
        ],
        "Categories": ["Made up"],
        "Instances": [
            {"id": f"t{number}-{n}", "input": f"in {number} {n}", "output": [f"x{n}", f"y{n}"]}
            for n in range(4)
        ],
    }


def test_of_tasks_with_demos_inputs_lose_words_too_but_no_output_and_not_the_own_input(
    server: Scoring,
) -> None:
    Path("data/niv2").mkdir()
    for number in range(16):
        Path(f"data/niv2/task{number}.json").write_text(json.dumps(niv2_task(number)))
    changes = {
        "active_pool": {"source": "niv2", "dev": 1, "demos": 2},
        "active_score": {"target": "tdte", "rate": 0.2},
        "active_select": {"cls_share": None},
    }
    started(**changes)
    score(**changes)
    for text in server.scored:
        first, second, *rest = text.split("\n\nInput: ")[1:]
        assert first.endswith("\n\nOutput: out 0")
        assert second.endswith("\n\nOutput: out 1")
        assert len(rest) == 1
        assert rest[0].startswith("in ")
    whole = [text for text in server.scored if "shown" in text and text.count("to all of us") == 2]
    assert 0 < len(whole) < len(server.scored)
    held_out = rows(POOL / "active_pool/held_out.jsonl")
    (dev, *_) = [row for row in held_out if row["motivation_app"] == "dev"]
    assert dev["instances"][0]["output"] == ["x0", "y0"]
    # Trained on and tried in the very form that is scored.
    assert [demo["output"] for demo in dev["demos"]] == ["out 0", "out 1"]
    for row in rows(START / "active_select/train.jsonl"):
        assert row["prompt"].count("\n\nInput: ") == 3
        assert row["prompt"].endswith("\n\nOutput:")
        assert row["completion"].startswith(" x")


@pytest.mark.slow
def test_a_killed_scoring_sends_again_only_what_was_in_flight(
    server: Scoring, tmp_path: Path
) -> None:
    started()
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_active import active_score, params, into, POOL, START\n"
        "active_score.run(params(active_score), active_score.Inputs(POOL, START), "
        "into(active_score, 'start'))\n"
    )
    env = environment(
        PYTHONPATH=os.pathsep.join([PYTHONPATH, str(ROOT / "tests")]),
        OPENAI_BASE_URL=server.url,
        SEEDBED_STORE=str(tmp_path / "store.sqlite"),
        SEEDBED_CONCURRENCY="1",
    )
    for goal in (20, 70):
        process = subprocess.Popen([sys.executable, "-c", program], env=env)
        while len(server.bodies) < goal and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None, "it was too quick to be killed"
        process.kill()
        process.wait()
        assert not (START / "active_score").exists()
    assert subprocess.run([sys.executable, "-c", program], env=env, check=False).returncode == 0
    assert len(server.scored) - len(set(server.scored)) <= 2
    first = (START / "active_score/scores.jsonl").read_bytes()
    os.environ["SEEDBED_STORE"] = str(tmp_path / "fresh.sqlite")
    score()
    assert (START / "active_score/scores.jsonl").read_bytes() == first


# --- the curve


def evaluated(name: str, pool: str, **of_tasks: float) -> None:
    folder = ACTIVE / name / "evaluate"
    folder.mkdir(parents=True)
    (folder / "scores.jsonl").write_text(
        lines(
            [
                {
                    "task": task,
                    "category": "dev" if task.startswith("dev") else "test",
                    "is_classification": task.endswith("cls"),
                    "examples": 1,
                    "rouge_l": value,
                    "exact_match": 0.0,
                }
                for task, value in of_tasks.items()
            ]
        )
    )


def chosen(name: str, tasks: int) -> None:
    folder = ACTIVE / name / "active_select"
    folder.mkdir(parents=True)
    row = {"is_classification": False, "round": name, "method": "random", "rank": 1}
    (folder / "chosen.jsonl").write_text(
        lines([{**row, "task": f"t{n}", "score": None, "filled": False} for n in range(tasks)])
    )
    row = {"id": "0", "prompt": "", "completion": "", "key": None}
    twice = [{**row, "task": f"t{n}"} for n in range(tasks) for _ in range(2)]
    (folder / "train.jsonl").write_text(lines(twice))
    (ACTIVE / name / "finetune").mkdir()
    # All but the last task: its rows were too long.
    (ACTIVE / name / "finetune/rows.jsonl").write_text(
        lines([{"line": line} for line in range(1, 2 * tasks - 1)])
    )


TWO_POOLS = {
    "max_tokens": 256,
    "pools": {"p": {"seed": 1}, "q": {"seed": 2}},
    "runs": {
        f"{pool}-{name}": {"pool": pool, "method": method, "before": f"{pool}{before}"}
        for pool in "pq"
        for name, method, before in (
            ("start", "first_chunk", ""),
            ("sure", "high_uncertainty", "-start"),
            ("random", "random", "-start"),
        )
    },
    "scored": {"p-start": {"pool": "p"}, "q-start": {"pool": "q"}},
}


def curve(active: dict) -> dict:
    values = changed(SECTIONS, {"active_curve": {"resamples": 200}})
    own = active_curve.Params.model_validate(
        {
            "active": active,
            "active_pool": {"chunk": 4},
            "active_curve": values["active_curve"],
        }
    )
    run_stage(active_curve, own)
    return json.loads(Path("metrics/active_curve.json").read_text())


def test_methods_are_compared_pool_by_pool_at_as_many_tasks() -> None:
    for pool, start, sure, at_random in (("p", 10.0, 30.0, 20.0), ("q", 20.0, 50.0, 46.0)):
        for name, value, tasks in (
            ("start", start, 4),
            ("sure", sure, 8),
            ("random", at_random, 8),
        ):
            evaluated(f"{pool}-{name}", pool, a_cls=value, b=value + 2.0, dev_1=90.0)
            chosen(f"{pool}-{name}", tasks)
    found = {
        (row["method"], row["tasks"], row["where"], row["kind"]): row
        for row in curve(TWO_POOLS)["active_point"]
    }
    point = found["high_uncertainty", 8, "test", "all"]
    assert point["pools"] == 2
    assert (point["tasks"], point["trained"]) == (8, 7.0)
    assert point["rouge_l"] == (31.0 + 51.0) / 2
    assert (point["lowest"], point["highest"]) == (31.0, 51.0)
    assert point["of_pools"] == [10.0, 4.0]
    assert point["gain"] == point["gain_low"] == point["gain_high"] == 7.0
    assert found["high_uncertainty", 8, "test", "classification"]["rouge_l"] == 40.0
    assert found["high_uncertainty", 8, "test", "generation"]["rouge_l"] == 42.0
    assert found["high_uncertainty", 8, "dev", "all"]["rouge_l"] == 90.0
    assert found["high_uncertainty", 4, "test", "all"] == {
        **found["random", 4, "test", "all"],
        "method": "high_uncertainty",
    }
    assert found["random", 8, "test", "all"]["gain"] is None
    drawn = json.loads(Path("plots/active_curve.json").read_text())
    assert [(one["source"], one["tasks"]) for one in drawn] == [
        ("high uncertainty", 4),
        ("high uncertainty", 8),
        ("random", 4),
        ("random", 8),
    ]


def test_rounds_that_were_evaluated_on_other_tasks_are_not_compared() -> None:
    for name, task in (("p-start", "a"), ("p-sure", "b")):
        evaluated(name, "p", **{task: 1.0})
        chosen(name, 4)
    with pytest.raises(OtherTasks, match="round p-sure was evaluated on other tasks"):
        curve(TWO_POOLS)


def test_rounds_that_were_tried_on_other_examples_of_a_task_are_not_compared() -> None:
    for name in ("p-start", "p-sure"):
        evaluated(name, "p", a=1.0)
        chosen(name, 4)
    path = ACTIVE / "p-sure/evaluate/scores.jsonl"
    path.write_text(lines([{**row, "examples": 7} for row in rows(path)]))
    with pytest.raises(OtherTasks, match="round p-sure"):
        curve(TWO_POOLS)


def scores_of(folder: Path, **of_tasks: tuple[float, float]) -> None:
    (folder / "active_score").mkdir()
    row = {"is_classification": False, "instances": 1, "refused": 0, "perplexity": 1.0}
    (folder / "active_score/tasks.jsonl").write_text(
        lines(
            [
                {**row, "task": task, "uncertainty": unsure, "probability": p}
                for task, (unsure, p) in of_tasks.items()
            ]
        )
    )


def test_the_task_map_is_of_the_first_scored_round_and_marks_what_was_chosen_next() -> None:
    for pool in "pq":
        for name, tasks in (("start", 4), ("sure", 8)):
            evaluated(f"{pool}-{name}", pool, a=1.0)
            chosen(f"{pool}-{name}", tasks)
        scores_of(ACTIVE / f"{pool}-start", t7=(0.5, 0.25), t9=(0.125, 0.75))
    curve(TWO_POOLS)
    points = json.loads(Path("plots/task_map.json").read_text())
    assert [(p["task"], p["uncertainty"], p["probability"], p["chosen"]) for p in points] == [
        ("t7", 0.5, 0.25, "chosen"),
        ("t9", 0.125, 0.75, "left"),
    ]
    assert {p["round"] for p in points} == {"p-start"}


def test_without_an_evaluation_there_is_no_curve() -> None:
    with pytest.raises(NothingEvaluated, match=r"dvc repro pipelines/active/dvc\.yaml"):
        curve(TWO_POOLS)


# --- bad input


def test_a_pool_that_is_too_small_is_told_before_anything_is_trained() -> None:
    with pytest.raises(PoolTooSmall, match=r"has 24 tasks.* takes 27") as raised:
        draw(active_pool={"chunk": 12})
    assert "Lower active_pool.chunk" in str(raised.value)
    assert not POOL.exists()


def test_a_test_task_in_the_pool_is_named() -> None:
    path = Path("data/held_out.jsonl")
    path.write_text(path.read_text() + lines([{**seed_task(7), "id": "mine"}]))
    with pytest.raises(HeldOutInPool, match="'mine' is in the pool too, as 'task_7'"):
        draw()


def test_a_task_without_enough_instances_is_named_with_its_file() -> None:
    with pytest.raises(TooFewInstances, match=r"'task_0' of data/seed_tasks.jsonl has 3 instances"):
        draw(active_score={"instances": 4})


def test_a_name_that_no_task_has_is_told_with_its_line() -> None:
    Path("names.txt").write_text("task_1\n\ntask_99\n")
    with pytest.raises(NoSuchPoolTask, match=r"names.txt:3: there is no task 'task_99'"):
        draw(active_pool={"tasks": "names.txt", "lists": "."})


def test_a_round_without_scores_says_what_to_run(server: Scoring) -> None:
    started()
    with pytest.raises(NoScores, match=r"round start has no scores.*\n.*active-score@start"):
        select("uncertain-1", "high_uncertainty", START)


def test_a_pool_that_is_used_up_is_told_with_the_round() -> None:
    started()
    with pytest.raises(TooFewLeft, match="round more: 17 tasks are left of the pool"):
        select("more", "random", START, active_pool={"chunk": 18})


def test_a_share_of_a_kind_that_there_is_not_is_refused() -> None:
    every = [{**seed_task(n), "is_classification": False} for n in range(TASKS)]
    Path("data/seed_tasks.jsonl").write_text(lines(every))
    with pytest.raises(TooFewToHoldOut, match=r"active_pool.dev is 3.* 0 are classification"):
        draw(active_select={"cls_share": 0.0})
    # Before anything is trained, with the first round that chooses.
    first = next(n for n, run in SECTIONS["active"]["runs"].items() if run["before"] == "start")
    with pytest.raises(NoTaskOfAKind, match=f"round {first}: .*the pool has no classification"):
        draw(active_pool={"dev": 0})
    assert not POOL.exists()
    started(active_pool={"dev": 0}, active_select={"cls_share": 0.0})
    assert select("random-1", "random", START, active_select={"cls_share": 0.0})


def test_a_held_out_task_that_is_told_like_a_trained_one_is_not_asked() -> None:
    # Two of four in another case: that is how evaluate compares them.
    same = [
        {**seed_task(n), "instruction": f"{'One' if n % 12 < 6 else 'one'} of {n % 6}."}
        for n in range(TASKS)
    ]
    Path("data/seed_tasks.jsonl").write_text(lines(same))
    draw()
    held_out = rows(POOL / "active_pool/held_out.jsonl")
    assert {row["motivation_app"] for row in held_out} == {"test"}
    counted = json.loads(Path("metrics/active/pool/active_pool.json").read_text())
    assert (counted["test_tasks"], counted["dev_tasks"]) == (5, 0)


def test_where_the_model_says_nothing_there_is_nothing_to_choose_by(server: Scoring) -> None:
    server.reply = lambda prompt: ""
    started()
    with pytest.raises(NothingScored, match="empty: 34"):
        score()
    assert not (START / "active_score").exists()
    # Unless the end of an answer is scored too.
    assert len(score(active_score={"end": "\n"})) == TASKS - DEV - CHUNK


def test_a_server_that_cannot_score_is_named(server: Scoring) -> None:
    server.echoes = False
    started()
    with pytest.raises(ScoringNotOffered):
        score()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runs": {"start": {"before": "other"}}}, "first_chunk goes on from the pool"),
        ({"runs": {"random-1": {"before": "uncertain-2"}}}, "there is no such round"),
        ({"runs": {"uncertain-1": {"before": "random-1"}}}, "it is a later round"),
        ({"runs": {"start": {"pool": "nowhere"}}}, "there is no pool nowhere"),
        ({"scored": {}}, "active.scored lacks"),
        ({"scored": {"start": {"pool": "pool"}, "x": {"pool": "pool"}}}, "x is no round"),
        ({"pools": {"start": {"seed": 1}, "pool": {"seed": 1}}}, "start is a pool and a round"),
        ({"pools": {"a/b": {"seed": 1}}}, "a name has at most 60"),
        ({"pools": {"no": {"seed": 1}}}, "no word of YAML"),
        ({"runs": {"random-1": {"method": "high_uncertainty"}}}, "uncertain-1 and random-1 have"),
    ],
)
def test_rounds_that_do_not_fit_are_refused_with_their_name(change: dict, said: str) -> None:
    section = json.loads(json.dumps(SECTIONS["active"]))
    for name, value in change.items():
        if name == "runs":
            for run, fields in value.items():
                section["runs"][run] |= fields
        else:
            section[name] = value
    with pytest.raises(ValidationError, match=said):
        Active.model_validate(section)


@pytest.mark.parametrize(
    ("test", "trained"),
    [
        ("Write a poem.", "write a Poem."),
        ("Write a poem.", "Write a poem.\n\nIt must rhyme."),
        ("Task: Write a poem.", "Write a poem."),
    ],
)
def test_a_test_task_is_in_the_pool_if_evaluate_would_find_it_there(
    test: str, trained: str
) -> None:
    tasks = [seed_task(n) for n in range(TASKS)]
    tasks[3]["instruction"] = trained
    Path("data/seed_tasks.jsonl").write_text(lines(tasks))
    Path("data/held_out.jsonl").write_text(lines([{**seed_task(100), "instruction": test}]))
    with pytest.raises(HeldOutInPool, match=r"task_100.*task_3"):
        draw()
    assert not POOL.exists()


def test_words_of_demos_cannot_go_where_there_are_none() -> None:
    with pytest.raises(NoDemos, match=r"data/seed_tasks\.jsonl shows none .*23 more"):
        draw(active_score={"target": "te"})


def test_an_adapter_of_another_base_is_told_before_anything_is_trained() -> None:
    with pytest.raises(OtherBase, match=r"other\.gguf.*served-model"):
        draw(finetune={"base": "other.gguf"})
    assert not POOL.exists()


def test_a_chat_is_not_scored(server: Scoring) -> None:
    started()
    with pytest.raises(ChatNotScored, match="round start"):
        score(llm={"model": "served-model", "api": "chat"})
    assert not server.bodies


def test_an_own_answer_is_a_greedy_one() -> None:
    section = changed(SECTIONS["active_score"], {"sampling": {"temperature": 0.5}})
    with pytest.raises(ValidationError, match="must be 0"):
        ActiveScore.model_validate(section)


def test_who_is_a_classification_task_can_be_said_by_name() -> None:
    Path("data/lists").mkdir()
    Path("data/lists/cls.txt").write_text("task_1\ntask_2\ntask_4\n")
    draw(active_pool={"lists": "data/lists", "classification": "cls.txt", "dev": 2})
    pool = rows(POOL / "active_pool/tasks.jsonl")
    found = {row["task"] for row in pool if row["is_classification"]}
    assert found == {"task_1", "task_2", "task_4"}


def test_a_product_of_many_probabilities_is_not_rounded_to_nothing() -> None:
    values = [1.234567891234e-30, 1.234567891334e-30, 0.0]
    kept = [active_score._to_digits(value) for value in values]
    assert kept == [1.23456789e-30, 1.23456789e-30, 0.0]
    assert active_score._to_digits(1.5e-30) != active_score._to_digits(1.6e-30)


def test_an_answer_that_does_not_fit_with_its_end_is_refused_and_counted(
    server: Scoring,
) -> None:
    started()

    class Engine:
        context = 9

        def count_tokens(self, texts: list[str]) -> list[int]:
            return [8 if "input 1" in text else 7 for text in texts]

    own = params(active_score, active_score={"end": "\n"}).active_score
    pool = list(read_pool(POOL).values())
    instances = asked(pool, own)
    texts = [prompt(one, perturbed(one.task, own)[0], Prompts())[0] for one in instances]
    answers = [Answer("key", " yes", "stop", {}) for _ in instances]
    shown = {one.task.task: perturbed(one.task, own) for one in instances}
    fits = active_score._with_end(instances, answers, shown, own, Prompts(), Engine())
    refused = [row.refused for row in active_score.own_answers(instances, answers, own, fits)]
    assert refused == ["too_long" if "input 1" in text else None for text in texts]
    assert 0 < refused.count("too_long") < len(refused)


@pytest.mark.parametrize(
    ("target", "definition", "inputs"),
    [("td", True, False), ("te", False, True), ("tdte", True, True)],
)
def test_words_go_where_the_target_says_and_nowhere_else(
    target: str, definition: bool, inputs: bool
) -> None:
    words = "so many words that some of them go at a rate of a half, whichever they are"
    task = PoolTask(
        task="t", part="rest", is_classification=False, instruction=words, source="s",
        demos=[Demo(input=f"{n} {words}", output=f"{n} out of {words}") for n in range(2)],
        instances=[Instance(id="0", input=words, outputs=["x"])],
    )  # fmt: skip
    own = params(active_score, active_score={"target": target, "rate": 0.5}).active_score
    whole, *spoilt = perturbed(task, own)
    assert (whole.instruction, whole.demos) == (task.instruction, task.demos)
    for one in spoilt:
        assert (one.instruction != task.instruction) is definition
        for demo, before in zip(one.demos, task.demos, strict=True):
            assert (demo.input != before.input) is inputs
            assert demo.output == before.output
    # Each with a draw of its own.
    texts = [d.input[2:] for one in spoilt for d in one.demos] + [s.instruction for s in spoilt]
    assert inputs + definition < 2 or len(set(texts)) == len(texts)


def test_demos_are_refused_where_no_task_has_any() -> None:
    with pytest.raises(ValidationError, match="tasks of self_instruct have none"):
        ActivePool.model_validate(SECTIONS["active_pool"] | {"demos": 1})
