"""A ranker trained on made-up labels, what it chooses, and what that is worth."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.params import SECTIONS, changed
from support.project import PYTHONPATH, environment
from support.ranking import TEMPLATE, MadeUp, Scoring, chance, scoring
from support.stages import run_stage

from seedbed.errors import BadFile, BadRow, SeedbedError
from seedbed.llm.errors import EmbeddingNotOffered, ScoringNotOffered
from seedbed.ranker import rank_evaluate, rank_select, rank_train
from seedbed.ranker.errors import (
    NoLabelsForSelections,
    NotFinite,
    NothingToTrain,
    OtherRanker,
    TaskWithoutDemos,
)

# Whole stages, several at a time.
pytestmark = pytest.mark.slow

STAGES = {"rank_train": rank_train, "rank_select": rank_select, "rank_evaluate": rank_evaluate}
# Demos too, which the default leaves out for the time that they take.
ALL = {"features": ["yes_no", "demos", "length", "seed"]}


def params(name: str, **changes: Any) -> Any:
    """Those of params.yaml for a stage, with the made-up tasks and changes."""
    values = changed(
        SECTIONS,
        {
            "llm": {"model": "served-model"},
            "niv2": {"folder": "data/niv2", "tasks": None},
            "rank_select": {"max_examples": None},
            "rank_evaluate": {"resamples": 200},
        },
    )
    values = changed(values, changes)
    label = {name: values["label"][name] for name in ("shots", "sampling")}
    kind = STAGES[name].Params
    values["label"] = label
    return kind.model_validate({field: values[field] for field in kind.model_fields})


def run(server: Scoring, *names: str, **changes: Any) -> None:
    for name in names or STAGES:
        run_stage(STAGES[name], params(name, **changes))


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def metrics(name: str) -> dict:
    """A stage's; what is in its table of single numbers is among them."""
    found = json.loads(Path(f"metrics/{name}.json").read_text())
    return found | {row["name"]: row["count"] for row in found.get("comparison", ())}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "store.sqlite"))
    source = Path(__file__).parents[1] / "data/prompts/rank_evaluate"
    shutil.copytree(source, tmp_path / "data/prompts/rank_evaluate")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scoring]:
    with scoring() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        yield served


def made_up(worth: Callable[[str, int, int], float] = chance, **how: Any) -> MadeUp:
    found = MadeUp(Path(), worth, **how)
    found.write()
    return found


def test_where_answers_follow_the_length_a_head_on_length_reaches_the_oracle_and_says_so(
    server: Scoring, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (3, 5, 8, 4)
    made_up(lambda task, number, place: words[place] / 10)
    run(server, rank_train={"features": ["length"], "l2": [0.001]})
    for row in rows("data/rank_evaluate/examples.jsonl"):
        assert row["chosen"]["selected"] == 2
        assert row["rouge"]["selected"] == row["rouge"]["oracle"] == 0.8
        assert row["rouge"]["untrained"] is None
    found = metrics("rank_evaluate")
    assert found["rank_headroom_share"] == found["hit_share"] == 1
    assert found["tau"] == 1
    assert found["rank_gain_low"] > 0
    assert "18 examples of 3 tasks, selected − random is +0.300" in capsys.readouterr().out


def test_where_answers_follow_chance_it_says_that_nothing_is_shown(
    server: Scoring, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up()
    run(server, rank_train=ALL)
    found = metrics("rank_evaluate")
    assert found["rank_gain_low"] < 0 < found["rank_gain_high"]
    said = capsys.readouterr().out
    assert "18 examples of 3 tasks show no gain: selected − random is" in said
    needed = found["examples_for_a_gain_of_two_hundredths"]
    assert f"to show a gain of 0.02 takes about {needed:,} of them" in said


def test_no_way_to_choose_is_better_than_the_best_or_worse_than_the_worst(server: Scoring) -> None:
    made_up()
    run(server, rank_train=ALL)
    for row in rows("data/rank_evaluate/examples.jsonl"):
        values = {name: value for name, value in row["rouge"].items() if value is not None}
        values.pop("on_the_fly")  # it is bound to no candidate
        assert len(values) == 10
        assert all(values["worst"] <= value <= values["oracle"] for value in values.values())
        labels = next(
            one for one in rows(f"data/label/{row['task']}.jsonl")[3:] if one["id"] == row["id"]
        )
        rouge = labels["instruction_rouge"]
        assert values["random"] == pytest.approx(sum(rouge) / len(rouge))
        assert values["seed"] == rouge[0]
        assert sorted(row["order"]) == sorted(rouge)
        assert row["order"][0] == values["selected"]
        # The fake names the second candidate.
        assert row["chosen"]["lm_selection"] == 1
    assert metrics("rank_evaluate")["choices_naming_none"] == 0


def test_a_selection_does_not_need_labels_and_does_not_change_without_them(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select")
    before = Path("data/rank_select/task1.jsonl").read_bytes()
    shutil.rmtree("data/label")
    shutil.rmtree("data/relabel_and_pick")
    # Nor what is right.
    for path in Path("data/niv2").glob("*.json"):
        task = json.loads(path.read_text())
        for example in task["Instances"]:
            example["output"] = ["another"]
        path.write_text(json.dumps(task))
    shutil.rmtree("data/rank_select")
    run(server, "rank_select")
    assert Path("data/rank_select/task1.jsonl").read_bytes() == before


def test_a_task_more_changes_no_others_selection(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select")
    before = {name: Path(f"data/rank_select/task{name}.jsonl").read_bytes() for name in range(3)}
    ranker = Path("data/rank_train/ranker.json").read_bytes()
    made_up(tasks=4)
    Path("data/rank_train/ranker.json").write_bytes(ranker)
    sent = len(server.bodies)
    run(server, "rank_select")
    assert {
        name: Path(f"data/rank_select/task{name}.jsonl").read_bytes() for name in range(3)
    } == before
    assert all("task3" in text or "demo" in text for text in server.scored[sent:])


def test_a_task_is_chosen_for_by_weights_that_have_not_seen_it(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select")
    own = rows("data/rank_select/task1.jsonl")
    assert {row["head"] for row in own} == {"without task1"}
    assert {row["seen"] for row in own} == {"unseen"}
    run(server, "rank_select", "rank_evaluate", rank_select={"held_out_head": False})
    own = rows("data/rank_select/task1.jsonl")
    assert [row["seen"] for row in own] == ["trained"] * 3 + ["seen"] * 3
    found = metrics("rank_evaluate")
    assert found["rank_examples"] == found["examples_trained_on"] == 9
    assert {row["group"] for row in found["method"]} == {"all", "seen"}


def test_no_target_stands_in_a_text_that_is_scored(server: Scoring) -> None:
    made_up()
    features = ["yes_no", "input", "length", "seed"]
    run(server, "rank_train", "rank_select", rank_train={"features": features})
    assert server.scored
    assert not [text for text in server.scored if "out " in text]
    # Of the demos the outputs are what is scored.
    run(server, "rank_train", rank_train={"features": ["demos"]})
    assert [text for text in server.scored if text.endswith("Output: out 1")]
    assert {text for text in server.scored if "out " in text} == {
        text for text in server.scored if text.count("demo") == 3
    }


def test_equal_scores_go_to_a_candidate_that_is_drawn(server: Scoring) -> None:
    server.likely = lambda before, token: -1.0
    made_up(examples=30, words=(4, 4, 4, 4))
    run(server, "rank_train", "rank_select", rank_train={"kind": "yes_no"})
    chosen = [
        row["chosen"] for name in range(3) for row in rows(f"data/rank_select/task{name}.jsonl")
    ]
    assert metrics("rank_select")["selection_ties"] == 90
    assert {chosen.count(place) > 10 for place in range(4)} == {True}
    before = chosen
    run(server, "rank_select", rank_train={"kind": "yes_no"}, rank_select={"seed": 1})
    after = [
        row["chosen"] for name in range(3) for row in rows(f"data/rank_select/task{name}.jsonl")
    ]
    assert before != after


def test_where_label_drew_candidates_an_example_is_left_out_and_counted(server: Scoring) -> None:
    """That the chosen one was drawn would say something of it, and the best is not known."""
    made_up()
    run(server, "rank_train", "rank_select")
    path = Path("data/label/task1.jsonl")
    *headers, first = path.read_text().splitlines()[:4]
    row = json.loads(first)
    for name in [name for name in row if name.startswith("instruction_")]:
        row[name] = row[name][1:]
    rest = path.read_text().splitlines()[4:]
    path.write_text("\n".join([*headers, json.dumps(row), *rest]) + "\n")
    run(server, "rank_evaluate")
    found = metrics("rank_evaluate")
    assert found["rank_examples"] == 17
    assert found["choices_without_labels"] == 1


def test_labels_and_choices_of_other_candidates_are_named(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select")
    path = Path("data/candidates/task1.json")
    texts = json.loads(path.read_text())
    path.write_text(json.dumps([*texts, "One more."]))
    said = message(BadRow, "rank_evaluate", server=server)
    assert said.startswith(
        "data/label/task1.jsonl:2: field instructions: the labels were made with"
    )
    path.write_text(json.dumps(["Other", *texts[1:]]))
    shutil.rmtree("data/label")
    own = {row["chosen"] for row in rows("data/rank_select/task1.jsonl")}
    path.write_text(json.dumps([f"Other {text}" for text in texts]))
    assert own
    said = message(BadRow, "rank_evaluate", server=server)
    assert said.startswith("data/rank_select/task1.jsonl:1: field instruction: it was chosen from")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("Rate: {{input}}", "{{instruction}} stands in it 0 times"),
        (TEMPLATE + " {{demos}}", "there is no place {{demos}}"),
    ],
)
def test_a_template_without_its_places_is_named(
    server: Scoring, template: str, problem: str
) -> None:
    made_up()
    for path in Path("data/relabel_and_pick").glob("*.jsonl"):
        path.write_text(path.read_text().replace(json.dumps(TEMPLATE), json.dumps(template)))
    said = message(BadRow, "rank_train", server=server)
    assert said.startswith(f"data/relabel_and_pick/train.jsonl:1: field prompt: {problem}\n")


def test_labels_of_a_task_that_is_not_there_are_named(server: Scoring) -> None:
    made_up()
    Path("data/niv2/task1.json").unlink()
    said = message(TaskWithoutDemos, "rank_train", server=server, rank_train=ALL)
    assert "there is no task task1 in data/niv2" in said
    # Without its demos it can be learned from.
    run(server, "rank_train", rank_train={"features": ["yes_no", "length"]})


def test_states_are_refused_before_anything_is_asked(server: Scoring) -> None:
    made_up()
    message(
        EmbeddingNotOffered,
        "rank_train",
        server=server,
        rank_train={"features": ["demos", "hidden"]},
    )


def test_an_input_over_the_limit_is_cut_and_counted(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select", rank_train={"max_input_tokens": 3})
    assert metrics("rank_select")["selection_inputs_cut"] == 18
    assert metrics("rank_train")["rank_inputs_cut"] == 18
    asked = [text for text in server.scored if "Does it suit?" in text]
    assert asked
    assert all(text.startswith("Input: task") and "says" in text for text in asked)
    assert not [text for text in asked if text.startswith("Input: task0 input 0")]


def test_the_order_of_methods_changes_nothing_else(server: Scoring) -> None:
    made_up()
    run(server)
    before = {row["id"]: row["rouge"] for row in rows("data/rank_evaluate/examples.jsonl")}
    table = {row["name"]: row for row in metrics("rank_evaluate")["method"]}
    methods = SECTIONS["rank_evaluate"]["methods"][::-1]
    sent = len(server.bodies)
    run(server, "rank_evaluate", rank_evaluate={"methods": methods, "resamples": 200})
    after = {row["id"]: row["rouge"] for row in rows("data/rank_evaluate/examples.jsonl")}
    assert after == before
    assert {row["name"]: row for row in metrics("rank_evaluate")["method"]} == table
    assert len(server.bodies) == sent


def test_a_choice_that_names_no_candidate_is_the_tasks_own_and_counted(server: Scoring) -> None:
    server.reply = lambda prompt: " 77"
    made_up()
    run(server)
    assert metrics("rank_evaluate")["choices_naming_none"] == 18
    chosen = [row["chosen"]["lm_selection"] for row in rows("data/rank_evaluate/examples.jsonl")]
    assert set(chosen) == {0}


def test_an_instruction_written_on_the_fly_is_followed_and_scored(server: Scoring) -> None:
    def reply(prompt: str) -> str:
        if prompt.endswith("sentences:"):
            return " Do it."
        return " out 1" if prompt.startswith("Do it.") else " 1"

    server.reply = reply
    made_up()
    run(server)
    for row in rows("data/rank_evaluate/examples.jsonl"):
        assert row["wrote"] == ["Do it.", "out 1"]
        right = row["id"].endswith(("1", "3", "5"))
        assert row["rouge"]["on_the_fly"] == (1.0 if right else 0.5)
        assert row["exact"]["on_the_fly"] == float(right)


def test_one_runs_bytes_are_anothers_whatever_the_concurrency(
    server: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up()
    run(server)
    outputs = [*Path("data").glob("rank_*/*"), *Path("metrics").glob("*"), *Path("plots").glob("*")]
    first = {path: path.read_bytes() for path in outputs}
    assert len(first) == 14
    monkeypatch.setenv("SEEDBED_STORE", f"{Path.cwd()}/another.sqlite")
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    run(server)
    assert {path: path.read_bytes() for path in outputs} == first


def test_a_killed_selection_sends_nothing_twice(server: Scoring, tmp_path: Path) -> None:
    # Of six candidates training has seen two.
    made_up(examples=20, words=(3, 5, 8, 4, 6, 7), drawn=2)
    run(server, "rank_train")
    server.bodies.clear()
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_ranker import params, rank_select, run_stage\n"
        "run_stage(rank_select, params('rank_select'))\n"
    )
    root = Path(__file__).parents[1]
    env = environment(
        PYTHONPATH=os.pathsep.join([PYTHONPATH, str(root / "tests")]),
        OPENAI_BASE_URL=server.url,
        SEEDBED_STORE=str(tmp_path / "store.sqlite"),
        SEEDBED_CONCURRENCY="1",
    )
    for goal in (30, 90):
        process = subprocess.Popen([sys.executable, "-c", program], env=env)
        while len(server.scored) < goal and process.poll() is None:
            time.sleep(0.005)
        assert process.poll() is None, "it was too quick to be killed"
        process.kill()
        process.wait()
    assert subprocess.run([sys.executable, "-c", program], env=env, check=False).returncode == 0
    texts = server.scored
    assert len(texts) - len(set(texts)) <= 2  # what was in flight at a kill
    assert len(set(texts)) == 4 * 3 * 20 * 2
    assert sum(len(rows(f"data/rank_select/task{name}.jsonl")) for name in range(3)) == 60


# --- bad input


def message(error: type[SeedbedError], *names: str, server: Scoring, **changes: Any) -> str:
    """What is said; and nothing is asked before."""
    server.bodies.clear()
    with pytest.raises(error) as raised:
        run(server, *names, **changes)
    assert not server.scored
    return str(raised.value)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("rank_train.features", {"rank_train": {"features": ["length", "seed"]}}),
        ("rank_train.kind", {"rank_train": {"kind": "yes_no"}}),
        ("rank_train.max_input_tokens", {"rank_train": {"max_input_tokens": 7}}),
        ("model", {"llm": {"model": "another"}}),
    ],
)
def test_a_ranker_of_another_kind_is_refused(
    server: Scoring, what: str, changes: dict[str, Any]
) -> None:
    made_up()
    run(server, "rank_train")
    said = message(OtherRanker, "rank_select", server=server, **changes)
    assert said.startswith(f"data/rank_train/ranker.json: it was trained with another {what}: ")


def test_a_ranker_of_another_template_is_refused(server: Scoring) -> None:
    made_up()
    run(server, "rank_train")
    Path("data/prompts/label/ranker.txt").write_text(TEMPLATE + " Say:\n")
    said = message(OtherRanker, "rank_select", server=server)
    assert "another template (data/prompts/label/ranker.txt): " in said


def test_a_server_that_cannot_score_is_named(server: Scoring) -> None:
    made_up()
    server.echoes = False
    with pytest.raises(ScoringNotOffered, match=server.url.removesuffix("/v1")):
        run(server, "rank_train")
    assert not Path("data/rank_train").exists()


def test_a_probability_of_nothing_is_named(server: Scoring) -> None:
    made_up()
    server.likely = lambda before, token: float("-inf") if token == " no" else -1.0
    with pytest.raises(NotFinite, match="task0: one of the features yes_no"):
        run(server, "rank_train")


def test_a_task_without_candidates_is_named(server: Scoring) -> None:
    made_up()
    run(server, "rank_train")
    Path("data/candidates/task1.json").unlink()
    said = message(BadFile, "rank_select", server=server)
    assert said.startswith("data/candidates/task1.json: the task task1 has no candidates\n")


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (float("nan"), "nan is no share of 1"),
        (-0.1, "-0.1 is no share of 1"),
        (0.9, "the labels sum to "),
    ],
)
def test_a_label_that_is_none_is_named(server: Scoring, label: float, problem: str) -> None:
    made_up()
    path = Path("data/relabel_and_pick/train.jsonl")
    lines = path.read_text().splitlines()
    row = json.loads(lines[1])
    row["instruction_labels"][0] = label
    path.write_text("\n".join([lines[0], json.dumps(row), *lines[2:]]) + "\n")
    said = message(BadRow, "rank_train", server=server)
    assert said.startswith(f"{path}:2: field instruction_labels: {problem}")


def test_a_score_that_is_none_is_named(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select")
    path = Path("data/label/task1.jsonl")
    text = path.read_text().splitlines()
    row = json.loads(text[4])
    row["instruction_rouge"][0] = float("nan")
    path.write_text("\n".join([*text[:4], json.dumps(row), *text[5:]]) + "\n")
    said = message(BadRow, "rank_evaluate", server=server)
    assert said.startswith(f"{path}:5: field instruction_rouge: nan is not from 0 to 1\n")


def test_an_empty_training_set_is_named(server: Scoring) -> None:
    made_up()
    Path("data/relabel_and_pick/train.jsonl").write_text("")
    said = message(NothingToTrain, "rank_train", server=server)
    assert said.startswith("data/relabel_and_pick/train.jsonl: no example to train a ranker on\n")


def test_selections_without_labels_are_named(server: Scoring) -> None:
    made_up()
    run(server, "rank_train", "rank_select")
    shutil.rmtree("data/label")
    said = message(NoLabelsForSelections, "rank_evaluate", server=server)
    assert said.startswith(
        "data/rank_select: none of its examples has labels of all candidates in "
    )


def test_a_file_that_is_no_ranker_is_named(server: Scoring) -> None:
    made_up()
    Path("data/rank_train").mkdir()
    Path("data/rank_train/ranker.json").write_text('{"kind": "head"}\n')
    said = message(BadFile, "rank_select", server=server)
    assert said.startswith("data/rank_train/ranker.json: field features: ")
