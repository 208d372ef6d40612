"""Models asked held-out tasks, and what is made of their answers; a fake in the models' place."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError
from support.engines import FAKE, Fake
from support.params import section
from support.project import ROOT
from support.snapshots import Snapshots

from seedbed.core.progress import Tally
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Ask
from seedbed.tasks.errors import SameTaskName
from seedbed.tasks.intervals import interval
from seedbed.tasks.prompts import Prompts
from seedbed.training import evaluate as stage
from seedbed.training import harness, harness_scorer
from seedbed.training.curve import points
from seedbed.training.errors import NoSuchHeldOut, NothingLeftToAsk, TaskAmongTrained
from seedbed.training.evaluate import Plan, cut, evaluate, llm_of, metrics, plan, together
from seedbed.training.held_out import Case, cases, read_held_out
from seedbed.training.params import Curve, Evaluate, Evaluated
from seedbed.training.rows import Evaluation
from seedbed.training.scores import copied, majority
from seedbed.training.summary import Summary, lines

LABELS = ["cold", "warm", "warm", "warm", "cold"]


def settings(**changes: object) -> Evaluate:
    alone = {"models": [{"name": "base"}], "max_examples": None}
    return section(Evaluate, **{**alone, **changes})


def niv2(name: str, category: str = "Weather", labels: list[str] | None = None) -> dict[str, Any]:
    """A task; with labels it is a classification, of five examples a label."""
    outputs = (labels or []) * 5 or [f"{name} answer {n} is long" for n in range(4)]
    return {
        "Definition": [f"Do what {name} asks."],
        "Categories": [category],
        "Positive Examples": [
            {"input": f"{name} demo {n}", "output": outputs[n], "explanation": ""} for n in range(2)
        ],
        "Instances": [
            {"id": f"{name}-{n}", "input": f"{name} input {n}", "output": [output]}
            for n, output in enumerate(outputs)
        ],
    }


SEEDS = [
    {
        "id": "say_hello",
        "instruction": "Say hello in the language.",
        "instances": [{"input": "French", "output": "Bonjour"}, {"input": "", "output": "Hello"}],
        "motivation_app": "Duolingo",
    },
    {"id": "alone", "instruction": "Name a colour.", "instances": [{"input": "", "output": "Red"}]},
]


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Two tasks in Natural Instructions' form, and two in the seed tasks'."""
    folder = tmp_path / "held_out"
    folder.mkdir()
    (folder / "sums.json").write_text(json.dumps(niv2("sums", "Mathematics")))
    (folder / "weather.json").write_text(json.dumps(niv2("weather", labels=LABELS)))
    (folder / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SEEDS))
    return folder


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch) -> Prompts:
    monkeypatch.chdir(ROOT)
    return Prompts()


def all_cases(folder: Path, shots: int = 0, most: int | None = None) -> list[Case]:
    return [case for _, task in read_held_out(folder) for case in cases(task, shots, most)]


class Models:
    """A fake for each model, by name; `opened` says in which order they were there."""

    def __init__(self, **replies: Callable[[Request], str | tuple[str, str]]):
        self.fakes = {name: Fake(reply) for name, reply in replies.items()}
        self.opened: list[str] = []

    @contextmanager
    def __call__(self, model: Evaluated) -> Iterator[Ask]:
        self.opened.append(model.name)
        yield self.fakes[model.name]
        self.opened.append(f"{model.name} closed")


def evaluated(
    folder: Path, prompts: Prompts, own: Evaluate, **replies: Callable[[Request], Any]
) -> tuple[Plan, list[Evaluation], Summary]:
    planned = plan(all_cases(folder, own.shots, own.max_examples), own)
    rows = evaluate(planned, own, prompts, Models(**replies))
    return planned, rows, Summary(planned.models, planned.cases, rows, own.resamples, own.seed)


# --- what is asked


def test_both_forms_are_read_from_one_folder_and_either_alone(held_out: Path) -> None:
    tasks = {task.name: task for _, task in read_held_out(held_out)}
    assert list(tasks) == ["sums", "weather", "say_hello", "alone"]
    assert [task.is_classification for task in tasks.values()] == [False, True, False, False]
    assert tasks["say_hello"].categories == ["Duolingo"]
    only = [task.name for _, task in read_held_out(held_out / "seeds.jsonl")]
    assert only == ["say_hello", "alone"]
    some = [task.name for _, task in read_held_out(held_out, ["alone", "sums"])]
    assert some == ["sums", "alone"]
    (held_out / "seeds.jsonl").unlink()
    assert [task.name for _, task in read_held_out(held_out)] == ["sums", "weather"]


def test_what_cannot_be_asked_is_refused_with_its_place(held_out: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSuchHeldOut, match=r"no task 'sum' in .*\n  Did you mean sums\?"):
        list(read_held_out(held_out, ["sum"]))
    with pytest.raises(BadFile, match=r"no such folder\n  Check evaluate\.held_out"):
        list(read_held_out(tmp_path / "nowhere"))
    file = held_out / "seeds.jsonl"
    file.write_text(json.dumps(SEEDS[0]) + "\n" + json.dumps(SEEDS[0]) + "\n")
    with pytest.raises(BadRow, match=r"seeds\.jsonl:2: id 'say_hello' is already that of line 1"):
        list(read_held_out(held_out))
    file.write_text(json.dumps(SEEDS[0] | {"id": "sums"}) + "\n")
    with pytest.raises(SameTaskName):
        list(read_held_out(held_out))


def test_a_prompt_has_the_demos_that_are_asked_for_and_never_the_examples_own_answer(
    held_out: Path, prompts: Prompts
) -> None:
    by_id = {(c.task.name, c.example.id): c for c in all_cases(held_out, shots=2, most=2)}
    assert len(by_id) == 7
    text, shared = prompts.fill(*by_id["sums", "sums-0"].shown)
    assert text == (
        "Do what sums asks.\n\n"
        "Input: sums demo 0\n\nOutput: sums answer 0 is long\n\n"
        "Input: sums demo 1\n\nOutput: sums answer 1 is long\n\n"
        "Input: sums input 0\n\nOutput:"
    )
    assert shared == text.removesuffix(" sums input 0\n\nOutput:")
    # Without demos of its own a task shows its other examples.
    assert prompts.fill(*by_id["say_hello", "0"].shown)[0] == (
        "Say hello in the language.\n\nOutput: Hello\n\nInput: French\n\nOutput:"
    )
    assert prompts.fill(*by_id["say_hello", "1"].shown)[0].endswith("Output: Bonjour\n\nOutput:")
    assert prompts.fill(*by_id["alone", "0"].shown)[0] == "Name a colour.\n\nOutput:"
    assert (
        prompts.file_of([], by_id["alone", "0"].example.input).name == "zero_shot_without_input.txt"
    )


def test_a_demo_that_is_the_example_itself_is_not_shown(held_out: Path) -> None:
    changed = niv2("sums")
    changed["Instances"][0]["input"] = "sums demo 0"
    (held_out / "sums.json").write_text(json.dumps(changed))
    first = all_cases(held_out, shots=2)[0]
    assert [given for given, _ in first.demos] == ["sums demo 1"]


def test_what_is_filled_in_may_look_like_a_place(held_out: Path, prompts: Prompts) -> None:
    changed = niv2("sums")
    changed["Instances"][0]["input"] = "Fill {demos} and {input} in."
    (held_out / "sums.json").write_text(json.dumps(changed))
    text, _ = prompts.fill(*all_cases(held_out, shots=1)[0].shown)
    assert text.endswith("Input: Fill {demos} and {input} in.\n\nOutput:")


def test_each_prompt_begins_with_what_it_is_said_to_share(held_out: Path, prompts: Prompts) -> None:
    for shots in (0, 2):
        for case in all_cases(held_out, shots):
            text, shared = prompts.fill(*case.shown)
            assert text.startswith(shared)
            assert len(shared) < len(text)


# --- what is made of the answers


def test_models_are_asked_the_same_one_after_the_other(held_out: Path, prompts: Prompts) -> None:
    own = settings(models=[{"name": "base"}, {"name": "tuned"}])
    models = Models(base=lambda request: " warm", tuned=lambda request: (" warm and", "length"))
    planned = plan(all_cases(held_out), own)
    rows = evaluate(planned, own, prompts, models)
    assert models.opened == ["base", "base closed", "tuned", "tuned closed"]
    assert models.fakes["base"].requests == models.fakes["tuned"].requests
    assert [row.model for row in rows] == ["base"] * len(planned.cases) + ["tuned"] * len(
        planned.cases
    )
    assert {(row.model, row.ended) for row in rows} == {("base", True), ("tuned", False)}
    weather = [row for row in rows if row.model == "base" and row.task == "weather"]
    assert {row.targets[0] for row in weather if row.exact_match == 100} == {"warm"}
    assert all(row.key for row in rows)


@pytest.mark.parametrize(
    ("output", "at", "scored"),
    [
        (" warm\n\nInput: more", "\n\n", "warm"),
        ("\n\nwarm", "\n\n", "warm"),
        (" a\nb ", "\n", "a"),
        (" a\n\nb ", None, "a\n\nb"),
        ("", "\n\n", ""),
    ],
)
def test_what_is_scored_ends_where_the_parameters_say(
    output: str, at: str | None, scored: str
) -> None:
    assert cut(output, at) == scored


def test_the_majority_label_is_that_of_the_examples_asked_and_a_copy_is_the_input(
    held_out: Path,
) -> None:
    found = all_cases(held_out)
    constant = majority(found)
    for case, score in zip(found, constant.exact_match, strict=True):
        if case.task.name != "weather":
            assert np.isnan(score)
        else:
            assert score == (100 if case.example.targets == ["warm"] else 0)
    assert copied(found).rouge_l.max() < 100
    same = [case for case in found if case.example.input == case.example.targets[0]]
    assert same == []


def test_an_interval_is_that_of_tasks_drawn_one_by_one() -> None:
    values = np.array([[0.0, 5.0], [10.0, 5.0], [90.0, 7.0], [50.0, 1.0], [20.0, 2.0], [1.0, 1.0]])
    tasks = np.array([0, 0, 1, 2, 2, 2])
    found = interval(values, tasks, 500, 1, "here")
    assert found is not None
    assert found.over == "tasks"
    # Every possible draw of three tasks: the ends lie among these means.
    means = {
        tuple(np.concatenate([values[tasks == task] for task in chosen]).mean(axis=0).round(9))
        for chosen in product(range(3), repeat=3)
    }
    for column in range(2):
        possible = [mean[column] for mean in means]
        assert min(possible) <= found.low[column] < found.high[column] <= max(possible)
    again = interval(values, tasks, 500, 1, "here")
    other = interval(values, tasks, 500, 2, "here")
    assert again is not None
    assert other is not None
    assert (again.low.tolist(), again.high.tolist()) == (found.low.tolist(), found.high.tolist())
    assert other.low.tolist() + other.high.tolist() != found.low.tolist() + found.high.tolist()


def test_an_interval_has_the_width_that_theory_gives() -> None:
    generator = np.random.default_rng(0)
    means = generator.normal(50, 10, 400)
    values = np.repeat(means, 5)[:, np.newaxis]
    found = interval(values, np.repeat(np.arange(400), 5), 4000, 1)
    assert found is not None
    assert found.high[0] - found.low[0] == pytest.approx(2 * 1.96 * 10 / 20, rel=0.1)
    # To draw examples in the tasks' place would make it less than half as wide.


def test_one_task_is_drawn_by_its_examples_and_one_example_has_no_interval() -> None:
    values = np.array([[0.0], [100.0], [100.0]])
    found = interval(values, np.zeros(3, dtype=int), 200, 1)
    assert found is not None
    assert found.over == "examples"
    assert interval(values[:1], np.zeros(1, dtype=int), 200, 1) is None


def test_the_difference_of_models_that_differ_by_as_much_everywhere_is_sure(
    held_out: Path, prompts: Prompts
) -> None:
    own = settings(models=[{"name": "base"}, {"name": "same"}, {"name": "right"}], resamples=200)

    def right(request: Request) -> str:
        return next(
            case.example.targets[0]
            for case in all_cases(held_out)
            if prompts.fill(*case.shown)[0] == request.prompt
        )

    _, _, summary = evaluated(
        held_out, prompts, own, base=lambda _: "zzz", same=lambda _: "zzz", right=right
    )
    scores, differences = summary.tables()
    of_all = {(row["model"], row["minus"]): row for row in differences if row["group"] == "all"}
    assert of_all.keys() == {("same", "base"), ("right", "base"), ("right", "same")}
    for ends in (("same", "base", 0.0), ("right", "base", 100.0)):
        row = of_all[ends[0], ends[1]]
        assert (row["rouge_l_low"], row["rouge_l"], row["rouge_l_high"]) == (ends[2],) * 3
    for row in [*scores, *differences]:
        assert row["over"] in {"tasks", "examples", None}
        assert (row["rouge_l_low"] is None) == (row["over"] is None)
    assert all(row["over"] is not None for row in differences), "a difference without an interval"


def test_a_group_of_one_example_has_a_score_and_no_difference(
    held_out: Path, prompts: Prompts
) -> None:
    own = settings(models=[{"name": "base"}, {"name": "tuned"}], resamples=200)
    _, _, summary = evaluated(
        held_out / "seeds.jsonl", prompts, own, base=lambda _: "Red", tuned=lambda _: "Red"
    )
    scores, differences = summary.tables()
    assert {row["name"] for row in scores if row["over"] is None} == {"none"}  # its category
    assert "none" not in {row["name"] for row in differences}


def test_metrics_are_a_few_numbers_and_tables_and_name_what_stands_beside(
    held_out: Path, prompts: Prompts, snapshot: Snapshots
) -> None:
    own = settings(models=[{"name": "base"}, {"name": "tuned"}], resamples=200)
    planned, rows, summary = evaluated(
        held_out,
        prompts,
        own,
        base=lambda _: (" warm\n\nInput: and so on", "length"),
        tuned=lambda request: "cold" if "weather" in request.prompt else "a long answer",
    )
    found = metrics(planned, rows, summary)
    numbers = {name for name, value in found.items() if isinstance(value, int | float)}
    assert {"base_rouge_l", "base_rouge_l_low", "tuned_rouge_l_high"} <= numbers
    assert {f"tuned_minus_base_rouge_l{end}" for end in ("", "_low", "_high")} <= numbers
    assert found["examples_evaluated"] == len(planned.cases) == 32
    kinds = {row["name"]: row for row in found["score"] if row["group"] == "kind"}
    assert kinds["classification"]["majority"] == 60  # warm, of two labels three times of five
    assert kinds["generation"]["majority"] is None
    ended = {row["model"]: row["ended"] for row in found["score"] if row["group"] == "all"}
    assert ended == {"base": 0, "tuned": 1}
    snapshot("evaluate", "\n".join(lines(found["score"], found["difference"])) + "\n")


def test_a_task_has_a_row_for_each_model(held_out: Path, prompts: Prompts) -> None:
    models = [{"name": "base"}, {"name": "tuned", "source": "seed", "rows": 111}]
    _, rows, summary = evaluated(
        held_out, prompts, settings(models=models), base=lambda _: "warm", tuned=lambda _: "cold"
    )
    found = summary.of_tasks()
    assert [(one.model, one.task) for one in found] == [
        (model, task)
        for model in ("base", "tuned")
        for task in ("sums", "weather", "say_hello", "alone")
    ]
    weather = next(one for one in found if one.model == "tuned" and one.task == "weather")
    assert (weather.source, weather.rows, weather.threshold) == ("seed", 111, None)
    own = [row for row in rows if row.model == "tuned" and row.task == "weather"]
    assert weather.exact_match == np.mean([row.exact_match for row in own]) == 40
    assert weather.examples == len(own) == 25


def test_a_curve_has_the_intervals_of_the_evaluation_it_is_drawn_from(
    held_out: Path, prompts: Prompts
) -> None:
    own = settings(models=[{"name": "base"}], resamples=300)
    _, _, summary = evaluated(held_out, prompts, own, base=lambda _: "warm")
    (point,) = points(summary.of_tasks(), section(Curve, resamples=300))
    of_all = summary.tables()[0][0]
    drawn = (point.low, point.rouge_l, point.high)
    assert drawn == pytest.approx(
        [of_all[f"rouge_l{end}"] for end in ("_low", "", "_high")], abs=1e-3
    )


# --- what was trained on


LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen."


def trained(path: Path, *rows: dict[str, Any]) -> dict[str, Any]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"name": "tuned", "trained_on": [str(path)]}


def with_long_input(held_out: Path) -> None:
    changed = niv2("sums")
    changed["Instances"][0]["input"] = LONG
    changed["Instances"][1]["output"] = [LONG]
    (held_out / "sums.json").write_text(json.dumps(changed))


FORMS: dict[str, Callable[[str], dict[str, Any]]] = {
    "prompt": lambda text: {"prompt": f"Task: Count.\n\n{text}\n\n", "completion": " x"},
    "completion": lambda text: {"prompt": "Count.", "completion": f" {text}"},
    "messages": lambda text: {"messages": [{"role": "user", "content": f"Count: {text}"}]},
    "alpaca": lambda text: {"instruction": "Count.", "input": text, "output": "x"},
    "seed": lambda text: {
        "id": "s", "instruction": "Count.", "instances": [{"input": "", "output": text}]
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("words", "sizes"), [(7, []), (8, [8]), (12, [8]), (13, [8, 13])])
def test_runs_of_words_that_were_trained_on_are_counted_in_whichever_form(
    held_out: Path, tmp_path: Path, form: str, words: int, sizes: list[int]
) -> None:
    with_long_input(held_out)
    text = " ".join(LONG.upper().split()[:words])
    model = trained(tmp_path / "rows.jsonl", FORMS[form](text))
    planned = plan(all_cases(held_out), settings(models=[{"name": "base"}, model]))
    assert [one.rows for one in planned.models] == [None, 1]
    assert planned.overlaps["tuned"][:3] == [sizes, sizes, []]  # an input, a target, neither
    assert not any(planned.overlaps["base"])
    assert planned.left_out == 0


def test_overlapping_examples_are_left_out_of_all_models_on_request(
    held_out: Path, tmp_path: Path, prompts: Prompts
) -> None:
    with_long_input(held_out)
    model = trained(tmp_path / "rows.jsonl", FORMS["alpaca"](LONG))
    own = settings(models=[{"name": "base"}, model], leave_out_overlaps=13, resamples=200)
    planned, rows, summary = evaluated(
        held_out, prompts, own, base=lambda _: "x", tuned=lambda _: "x"
    )
    assert planned.left_out == 2
    assert not {"sums-0", "sums-1"} & {row.id for row in rows}
    assert metrics(planned, rows, summary)["evaluated"]["examples_left_out"] == 2
    with pytest.raises(NothingLeftToAsk, match="each of the 1 examples has 13 words"):
        plan(planned_cases := all_cases(held_out, most=1)[:1], own)
    assert planned_cases


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "do what WEATHER asks.", "input": "x", "output": "y"},
        {"prompt": "Task: Do what weather asks.\n\nIt rains.\n\n", "completion": "cold"},
        {"prompt": "Do what weather asks. Output:", "completion": " cold"},
        {"messages": [{"role": "user", "content": "Do what weather asks.\n\nIt rains."}]},
    ],
)
def test_a_task_among_the_trained_ones_is_refused_or_left_out(
    held_out: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    other = {"instruction": "Do what weather asks. And more.", "input": "", "output": "z"}
    model = trained(tmp_path / "rows.jsonl", other, row)
    said = r"rows\.jsonl:2: it has the instruction of the task weather, on which tuned is"
    with pytest.raises(TaskAmongTrained, match=said):
        plan(all_cases(held_out), settings(models=[model]))
    planned = plan(all_cases(held_out), settings(models=[model], leave_out_overlaps=13))
    assert "weather" not in {case.task.name for case in planned.cases}
    assert planned.left_out == 25


def test_a_row_of_no_known_form_is_refused_with_its_line(held_out: Path, tmp_path: Path) -> None:
    model = trained(tmp_path / "rows.jsonl", FORMS["alpaca"]("x"), {"text": "y"})
    with pytest.raises(BadRow, match=r"rows\.jsonl:2: a row has a prompt and completion, messages"):
        plan(all_cases(held_out), settings(models=[model]))


# --- the models


def test_the_engine_is_told_which_model_it_is_to_ask() -> None:
    told = llm_of(FAKE, Evaluated(name="base"))
    assert told == FAKE
    other = llm_of(FAKE, Evaluated(name="merged", model="models/merged.gguf"))
    assert other == FAKE.model_copy(update={"model": "models/merged.gguf"})


def test_an_adapter_that_is_not_there_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    own = settings(models=[{"name": "base"}, {"name": "tuned", "adapter": str(tmp_path / "a")}])
    with pytest.raises(BadFile, match=r"no such file, though evaluate\.models gives it to tuned"):
        stage.check_adapters(own)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": []}, "at least 1 item"),
        ({"models": [{"name": "a"}, {"name": "A"}]}, "two models have the same name"),
        ({"models": [{"name": "../a"}]}, "at most 60 of A-Z"),
        ({"sampling": {"stop": ["\n"]}}, "sampling.stop hides which answers ended"),
        ({"leave_out_overlaps": 9}, "Input should be 8 or 13"),
        ({"shots": -1}, "greater than or equal to 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**changes)


def test_tallies_of_engines_add_up() -> None:
    one, other = Tally(sent=1, reused=2, cost=0.5), Tally(sent=3, prompt_tokens=9, cost=0.25)
    assert together(one, other) == Tally(sent=4, reused=2, prompt_tokens=9, cost=0.75)
    assert together(one, Tally(cost=None)).cost is None


# --- for the harness


def test_the_harness_gets_the_same_prompts_references_and_scores(
    held_out: Path, prompts: Prompts, tmp_path: Path
) -> None:
    own = settings(models=[{"name": "base"}, {"name": "tuned"}])
    planned, rows, _ = evaluated(
        held_out, prompts, own, base=lambda _: " warm\n\nmore", tuned=lambda _: "sums answering"
    )
    found = harness.files(tmp_path, planned.cases, rows, own, prompts, "model")
    written = {path.name: "".join(pieces) for path, pieces in found.items()}
    docs = [json.loads(line) for line in written["held_out.jsonl"].splitlines()]
    assert [doc["prompt"] for doc in docs] == [
        prompts.fill(*case.shown)[0] for case in planned.cases
    ]
    for name in ("base", "tuned"):
        samples = [
            json.loads(line)
            for line in written[f"samples_{harness.TASK}_{name}.jsonl"].splitlines()
        ]
        for doc, sample in zip(docs, samples, strict=True):
            scores = harness_scorer.process_results(doc, sample["filtered_resps"])
            assert {metric: sample[metric] for metric in scores} == pytest.approx(scores, abs=1e-4)
        result = json.loads(written[f"results_{name}.json"])["results"][harness.TASK]
        mean = np.mean([sample["rouge_l"] for sample in samples])
        assert result["rouge_l,none"] == pytest.approx(mean, abs=1e-4)


def test_the_harness_finds_what_its_task_file_names(
    held_out: Path, prompts: Prompts, tmp_path: Path
) -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    own = settings()
    planned, rows, _ = evaluated(held_out, prompts, own, base=lambda _: "x")
    found = harness.files(tmp_path, planned.cases, rows, own, prompts, "model")
    task = yaml.load("".join(found[tmp_path / f"{harness.TASK}.yaml"]), Loader)
    assert tmp_path / task["dataset_kwargs"]["data_files"]["test"] in found
    module, _, function = task["process_results"].partition(".")
    scorer = "".join(found[tmp_path / f"{module}.py"])
    names: dict[str, Any] = {"__name__": module}
    exec(compile(scorer, module, "exec"), names)
    assert callable(names[function])
    assert "seedbed" not in scorer.replace("SeedBed", "")
    assert task["generation_kwargs"] == harness.generation(own)
    assert [one["metric"] for one in task["metric_list"]] == list(harness.METRICS)
