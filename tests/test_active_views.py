"""A task that was chosen is told back to what it was chosen by; and the report's page shows it."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.params import section
from support.project import ROOT
from support.server import completion
from support.tracing import EVIL, assert_refused_in_plain_text, edit, row, told

from seedbed.active import active_curve, report, trace
from seedbed.active.params import ActiveCurve
from seedbed.active.rows import (
    ACTIVE,
    ANSWERS,
    CHOSEN,
    PERTURBED,
    SCORED,
    SCORES,
    SELECTED,
    TASKS,
    TRAINED,
    Answered,
    Chosen,
    Demo,
    Evaluated,
    Instance,
    Perturbed,
    PoolTask,
    Scored,
    TaskScore,
    TrainRow,
)
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.paths import Into
from seedbed.errors import BadFile, BadParam
from seedbed.llm.store.rows import Kept
from seedbed.runs import telling
from seedbed.runs.errors import NoSuchLine, NotAnOutput, NotHere, OriginMissing
from seedbed.runs.page import Part
from seedbed.runs.pipeline import Pipeline
from seedbed.runs.places import Place
from seedbed.runs.telling import Telling
from seedbed.views.report.templates import render

PIPELINE = "pipelines/active/dvc.yaml"
POOL = ACTIVE / "pool/active_pool" / TASKS
START, BY_SCORES, RANDOM = (ACTIVE / name for name in ("start", "uncertain-1", "random-1"))
SEEDS, MADE = Path("data/seed_tasks.jsonl"), Path("data/prepare/alpaca.jsonl")
RUNS = {
    "start": {"pool": "pool", "method": "first_chunk", "before": "pool"},
    "uncertain-1": {"pool": "pool", "method": "high_uncertainty", "before": "start"},
    "random-1": {"pool": "pool", "method": "random", "before": "start"},
}
# By the number of the instance; the second is refused.
TEXTS = [" Yes, it is.", None]
LINES = {"first": 1, "yes_or_no": 2, "rhyme": 3, "silent": 4}


def pool_task(name: str, part: str, source: Path, instances: list[Instance]) -> PoolTask:
    return PoolTask.model_validate(
        {
            "task": name,
            "part": part,
            "is_classification": name == "yes_or_no",
            "instruction": f"Do what {name} says.",
            "source": str(source),
            "demos": [Demo(input=f"demo {n}", output="shown") for n in range(2)],
            "instances": instances,
        }
    )


def pool() -> list[PoolTask]:
    """Of people, but for one, which has two instances that a model wrote."""
    made = [
        Instance(id=f"yes_or_no/{n}", input=f"asked {n}", outputs=["Yes"], key=f"made {n}")
        for n in (1, 2)
    ]
    own = [Instance(id="0", input="", outputs=["right", "also right"])]
    return [
        pool_task("first", "start", SEEDS, own),
        pool_task("yes_or_no", "rest", MADE, made),
        pool_task("rhyme", "rest", SEEDS, own),
        pool_task("silent", "rest", SEEDS, own),
    ]


def chosen(task: str, by: str, rank: int = 1, score: float | None = None) -> Chosen:
    method = RUNS[by]["method"]
    return Chosen(
        task=task, is_classification=task == "yes_or_no", round=by, method=method, rank=rank,
        score=score, filled=False,
    )  # fmt: skip


def answered(task: str, id_: str, text: str | None) -> Answered:
    refused = None if text else "empty"
    return Answered(task=task, id=id_, text=text, refused=refused, key=f"answer of {task} {id_}")


SCORES_OF = {
    "yes_or_no": TaskScore(
        task="yes_or_no", is_classification=True, instances=1, refused=1, uncertainty=0.125,
        probability=0.5, perplexity=2.0,
    ),
    "rhyme": TaskScore(
        task="rhyme", is_classification=False, instances=1, refused=0, uncertainty=0.0625,
        probability=0.25, perplexity=4.0,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of four tasks, of which a first round has one and two others have more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("dvc.yaml", PIPELINE, "params.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    shutil.copytree(ROOT / "data/prompts", "data/prompts")
    change_params(
        lambda params: params["active"].update(
            pools={"pool": {"seed": 10}}, runs=RUNS, scored={"start": {"pool": "pool"}}
        )
    )
    first = chosen("first", "start")
    of_rounds = {
        START: [first],
        # The last one has no score, so that it stands in at the end.
        BY_SCORES: [
            first,
            chosen("yes_or_no", "uncertain-1", 1, 0.125),
            chosen("silent", "uncertain-1", 2),
        ],
        RANDOM: [first, chosen("rhyme", "random-1"), chosen("silent", "random-1", 2)],
    }
    files: dict[Path, Any] = {
        POOL: map(to_line, pool()),
        SEEDS: ["{}\n"],
        MADE: [
            to_line(
                {"id": f"yes_or_no/{n}", "instruction_id": "yes_or_no", "instruction": "Do it.",
                 "input": f"asked {n}", "output": "Yes", "key": f"made {n}"}
            )
            for n in (2, 1)
        ],
        START / SCORED / TASKS: map(to_line, SCORES_OF.values()),
        START / SCORED / ANSWERS: [
            *(
                to_line(answered("yes_or_no", f"yes_or_no/{n}", text))
                for n, text in enumerate(TEXTS, 1)
            ),
            to_line(answered("rhyme", "0", " moon, June")),
            to_line(answered("silent", "0", None)),
        ],
        START / SCORED / PERTURBED: [
            to_line(
                Perturbed(task=task, k=k, instruction=f"Do {task} {k}.",
                          demos=[Demo(input=f"spoilt {k}", output="shown")])
            )
            for task in ("yes_or_no", "rhyme", "silent")
            for k in (1, 2)
        ],
        START / SCORED / SCORES: [
            to_line(
                Scored(task=task, id=id_, k=k, tokens=2, total=2 * math.log(p), key=f"{task} k{k}")
            )
            for task, id_ in (("yes_or_no", "yes_or_no/1"), ("rhyme", "0"))
            for k, p in enumerate((0.5, 0.25, 0.5))
        ],
    }  # fmt: skip
    for folder, rows in of_rounds.items():
        files[folder / SELECTED / CHOSEN] = map(to_line, rows)
        files[folder / SELECTED / TRAINED] = [
            to_line(
                TrainRow(task=one.task, id="0", prompt=f"Do what {one.task} says.\n\nOutput:",
                         completion=" right", key=None)
            )
            for one in rows
        ]  # fmt: skip
    write_files(files)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Kept]:
    """What the response store has; a test may take something away."""
    request = json.dumps({"prompt": "Do what yes_or_no says.\n\nInput: asked 1\n\nOutput:"})
    scored = json.dumps({"kind": "score", "prompt": "Do yes_or_no 1.", "text": TEXTS[0]})
    kept = {
        "answer of yes_or_no yes_or_no/1": row(request, json.dumps(completion(" Yes, it is."))),
        "yes_or_no k1": row(scored, json.dumps(completion(""))),
    }
    monkeypatch.setattr(telling, "read_only", lambda path, key: kept.get(key))
    monkeypatch.setenv("SEEDBED_STORE", "/nowhere/store.sqlite")
    return kept


def change_params(change: Callable[[dict[str, Any]], object]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    change(params)
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(" ")]


def part_of(text: str, heading: str) -> str:
    """What stands below a heading of the account."""
    (found,) = re.findall(f"^{re.escape(heading)}.*\n((?: .*\n)*)", text, re.M)
    return str(found)


# --- the way back of a chosen task


def test_a_task_is_told_back_to_its_score_what_was_scored_and_where_it_came_from() -> None:
    place = f"{BY_SCORES / SELECTED / CHOSEN}:2"
    text = told(place)
    assert headings(text) == [
        place,
        f"its score: {START / SCORED / TASKS}:1",
        f"its model: {START}/finetune/adapter.gguf",
        f"answers that were scored: {START / SCORED / ANSWERS}",
        f"prompts with words missing: {START / SCORED / PERTURBED}",
        "its scorings, of which k = 0 is under the whole prompt: "
        f"{START / SCORED / SCORES}",
        f"its task: {POOL}:2",
        f"it came from {MADE}",
    ]  # fmt: skip
    own = part_of(text, place)
    assert f"  written by {PIPELINE}:active-select@uncertain-1\n" in own
    assert "  method: high_uncertainty\n  rank: 1\n  score: 0.125\n" in own
    score = part_of(text, "its score")
    assert f"  written by {PIPELINE}:active-score@start\n" in score
    assert "  uncertainty: 0.125\n  probability: 0.5\n  perplexity: 2.0\n" in score
    # Whether the round before was the same when the choice was made.
    assert (
        f"  the file is not in dvc.lock's record of {PIPELINE}:active-select@uncertain-1\n" in score
    )
    assert part_of(text, "its task").count("  id: yes_or_no/") == 2
    assert part_of(text, "it came from").splitlines()[-2:] == [
        f"  instance yes_or_no/{n}, of the answer made {n}…: "
        f"`seedbed trace {MADE}:{line}` tells that row"
        for line, n in ((1, 2), (2, 1))
    ]


def test_the_answers_are_told_with_request_and_prompt_file_and_why_one_was_not_scored() -> None:
    answers = part_of(told(f"{BY_SCORES / SELECTED / CHOSEN}:2"), "answers that were scored")
    first, second = answers.split("  line 2, of instance yes_or_no/2\n")
    assert "  line 1, of instance yes_or_no/1\n" in first
    assert "    text:\n      │  Yes, it is.\n" in first
    assert "    answer answer of yes_or_no yes_or_no/1\n      kept: " in first
    assert "          │ Input: asked 1\n" in first
    assert "    not scored: empty\n" in second
    assert "prompt file: data/prompts/evaluate/few_shot.txt\n" in second
    assert second.count("prompt file") == 1


def test_prompts_and_scorings_are_those_of_the_task() -> None:
    text = told(f"{BY_SCORES / SELECTED / CHOSEN}:2")
    prompts = part_of(text, "prompts with words missing")
    assert prompts.endswith("  k = 1: Do yes_or_no 1.\n  k = 2: Do yes_or_no 2.\n")
    scorings = part_of(text, "its scorings").splitlines()[-3:]
    assert scorings == [
        f"  instance yes_or_no/1, k = {k}: 2 tokens, total {total}, probability {p:.3f}, "
        f"scoring yes_or_no k{k}…"
        for k, total, p in ((0, "-1.386", 0.5), (1, "-2.773", 0.25), (2, "-1.386", 0.5))
    ]
    full = part_of(told(f"{BY_SCORES / SELECTED / CHOSEN}:2", full=True), "its scorings")
    assert "    answer yes_or_no k1\n      kept: " in full
    assert "        kind: score\n" in full


def test_of_demos_the_inputs_are_told_where_words_are_missing_there_too() -> None:
    change_params(lambda params: params["active_score"].update(target="tdte"))
    text = told(f"{START / SCORED / TASKS}:2")
    assert "  k = 2, input of demo 1: spoilt 2\n" in part_of(text, "prompts with words missing")
    # The task has no input.
    assert "prompt file: data/prompts/evaluate/few_shot_without_input.txt\n" in text
    # A demo that is the instance itself is not shown before it.
    edit(POOL, 3, lambda row: [demo.update(input="") for demo in row["demos"]])
    text = told(f"{START / SCORED / TASKS}:2")
    assert "prompt file: data/prompts/evaluate/zero_shot_without_input.txt\n" in text


def test_a_right_answer_that_was_scored_is_told_to_be_one() -> None:
    edit(START / SCORED / ANSWERS, 3, lambda row: row.update(key=None))
    answers = part_of(told(f"{START / SCORED / TASKS}:2"), "answers that were scored")
    assert "    a right answer of the task's: no model was asked for it\n" in answers
    assert "response store" not in answers


def test_a_task_that_an_earlier_round_chose_is_told_where_it_was_chosen() -> None:
    text = told(f"{BY_SCORES / SELECTED / CHOSEN}:1")
    assert headings(text) == [
        f"{BY_SCORES / SELECTED / CHOSEN}:1",
        f"chosen by an earlier round: {START / SELECTED / CHOSEN}:1",
        "its score: none, first_chunk chooses without",
        f"its task: {POOL}:1",
        f"it came from {SEEDS}",
    ]
    edit(START / SELECTED / CHOSEN, 1, lambda row: row.update(task="another"))
    gone = f"chosen by an earlier round: {START / SELECTED / CHOSEN} does not have it any more"
    assert headings(told(f"{BY_SCORES / SELECTED / CHOSEN}:1"))[1:] == [gone]
    edit(START / SELECTED / CHOSEN, 1, lambda row: row.update(task="first", round="uncertain-1"))
    assert headings(told(f"{BY_SCORES / SELECTED / CHOSEN}:1"))[1:] == [gone], "it has an end"
    shutil.rmtree(START / SELECTED)
    assert headings(told(f"{BY_SCORES / SELECTED / CHOSEN}:1"))[1:] == [gone]


def test_a_task_that_was_chosen_at_random_has_no_score_though_the_model_had_one() -> None:
    text = told(f"{RANDOM / SELECTED / CHOSEN}:2")
    assert "its score: none, random chooses without\n" in text
    assert "uncertainty" not in text
    assert f"its task: {POOL}:3\n" in text


def test_of_a_task_without_a_score_it_is_told_why() -> None:
    text = told(f"{BY_SCORES / SELECTED / CHOSEN}:3")
    none = f"{START / SCORED / TASKS} has none, so it came after all those that have one"
    assert f"its score: {none}\n" in text
    assert "    not scored: empty\n" in part_of(text, "answers that were scored")
    lines = (START / SCORED / ANSWERS).read_text().splitlines(keepends=True)
    (START / SCORED / ANSWERS).write_text("".join(lines[:-1]))
    assert (
        "  none: the task was not among those that were drawn to be scored\n"
        in told(f"{BY_SCORES / SELECTED / CHOSEN}:3")
    )  # fmt: skip


def test_what_a_round_that_is_gone_chose_by_is_not_known() -> None:
    edit(BY_SCORES / SELECTED / CHOSEN, 2, lambda row: row.update(round="gone"))
    shutil.copytree(BY_SCORES / SELECTED, ACTIVE / "gone" / SELECTED)
    text = told(f"{BY_SCORES / SELECTED / CHOSEN}:2")
    assert text.endswith("what it was chosen of: params.yaml has no round gone any more\n")
    with pytest.raises(NotAnOutput):
        told(f"{ACTIVE / 'gone' / SELECTED / CHOSEN}:2")


# --- the other files


def test_what_is_trained_on_is_told_back_to_why_it_was_chosen() -> None:
    text = told(f"{BY_SCORES / SELECTED / TRAINED}:2")
    assert "    │ Do what yes_or_no says.\n    │ \n    │ Output:\n" in text
    assert f"\nchosen: {BY_SCORES / SELECTED / CHOSEN}:2\n" in text
    assert f"\nits score: {START / SCORED / TASKS}:1\n" in text


def told_by_itself(place: str, full: bool = False) -> str:
    """As `told`, whichever method is asked first: training has an answers.jsonl too."""
    account = Telling(Pipeline(), full)
    assert trace.knows(Place.parse(place).path, account.pipeline.writers)
    trace.tell(account, Place.parse(place))
    return "\n".join(account.out.lines) + "\n"


@pytest.mark.parametrize("name", [TASKS, ANSWERS, PERTURBED, SCORES])
def test_a_row_of_a_score_is_told_back_to_its_task(name: str) -> None:
    path = START / SCORED / name
    rows = path.read_text().splitlines()
    for line in (1, len(rows)):
        text = told_by_itself(f"{path}:{line}")
        task = json.loads(rows[line - 1])["task"]
        assert text.startswith(f"{path}:{line}\n  written by {PIPELINE}:active-score@start\n")
        assert f"\nits task: {POOL}:{LINES[task]}\n" in text


def test_a_scoring_is_told_with_the_answer_and_the_prompt_that_it_is_of() -> None:
    text = told_by_itself(f"{START / SCORED / SCORES}:2")
    assert "        kind: score\n" not in text.split("answers that were scored")[1]
    assert "kind: score\n" in text
    assert "of instance yes_or_no/2" not in text
    assert "    id: yes_or_no/2\n" not in part_of(text, "its task")
    assert "    text:\n      │  Yes, it is.\n" in part_of(text, "answers that were scored")
    assert part_of(text, "prompts with words missing").endswith("  k = 1: Do yes_or_no 1.\n")
    whole = told_by_itself(f"{START / SCORED / SCORES}:1")
    assert "prompts with words missing" not in whole


def test_of_many_instances_some_are_told_unless_all_is_asked_for() -> None:
    many = [{"id": f"i{n}", "input": "", "outputs": ["o"], "key": None} for n in range(8)]
    edit(POOL, 3, lambda row: row.update(instances=many))
    text = told(f"{POOL}:3")
    assert "  instances: 8, of which 5 are told\n" in text
    assert text.count("    id: i") == 5
    assert told(f"{POOL}:3", full=True).count("    id: i") == 8


def test_an_instance_that_its_file_has_no_more_is_told_so() -> None:
    MADE.unlink()
    text = part_of(told(f"{POOL}:2"), "it came from")
    assert text.count("of the answer made") == 2
    assert text.count("the file does not have it any more") == 2


def test_the_files_are_those_of_every_round_that_there_is() -> None:
    writers = Pipeline().writers
    paths = [path for path in ACTIVE.rglob("*.jsonl") if trace.knows(path, writers)]
    assert set(paths) == set(ACTIVE.rglob("*.jsonl"))
    assert {ACTIVE / path.relative_to(ACTIVE).parts[0] for path in paths} == {
        POOL.parent.parent, START, BY_SCORES, RANDOM
    }  # fmt: skip
    assert trace.files([]) == []
    assert not trace.knows(START / "finetune/rows.jsonl", writers)


# --- what cannot be told


@pytest.mark.parametrize(
    "missing", [POOL, *(START / SCORED / name for name in (TASKS, ANSWERS, PERTURBED, SCORES))]
)
def test_a_file_that_the_task_came_from_must_be_here(missing: Path) -> None:
    missing.unlink()
    with pytest.raises(NotHere, match=f"{missing}: no such file.*\n.*dvc repro.*dvc pull"):
        told(f"{BY_SCORES / SELECTED / CHOSEN}:2")


def test_files_of_different_runs_are_told_apart() -> None:
    edit(BY_SCORES / SELECTED / CHOSEN, 2, lambda row: row.update(task="another"))
    with pytest.raises(OriginMissing, match=f"{POOL} has no row with the task another"):
        told(f"{BY_SCORES / SELECTED / CHOSEN}:2")
    with pytest.raises(OriginMissing, match=f"{CHOSEN} has no row with the task yes_or_no"):
        told(f"{BY_SCORES / SELECTED / TRAINED}:2")
    with pytest.raises(NoSuchLine, match="The file has 4 lines"):
        told(f"{POOL}:5")


def test_a_scoring_of_no_tokens_has_no_probability() -> None:
    edit(START / SCORED / SCORES, 1, lambda row: row.update(tokens=0))
    assert "k = 0: 0 tokens, total -1.386, scoring" in told(f"{START / SCORED / TASKS}:1")


def test_whatever_was_written_stays_text(store: dict[str, Kept]) -> None:
    edit(POOL, 2, lambda row: row.update(instruction=EVIL))
    edit(POOL, 2, lambda row: row["instances"][0].update(input=EVIL, key=EVIL))
    edit(START / SCORED / ANSWERS, 1, lambda row: row.update(text=EVIL, key=EVIL))
    edit(START / SCORED / PERTURBED, 1, lambda row: row.update(instruction=EVIL))
    edit(START / SCORED / SCORES, 1, lambda row: row.update(key=EVIL))
    store[EVIL] = row(json.dumps({"prompt": EVIL}), json.dumps(completion(EVIL)), EVIL, EVIL)
    for full in (False, True):
        text = told(f"{BY_SCORES / SELECTED / TRAINED}:2", full)
        assert "\\x1b[2J" in text
        assert all(line.isprintable() for line in text.split("\n"))
    edit(BY_SCORES / SELECTED / CHOSEN, 2, lambda row: row.update(task=EVIL))
    assert_refused_in_plain_text(f"{BY_SCORES / SELECTED / CHOSEN}:2")


# --- the report's page


def evaluated(task: str, rouge: float) -> Evaluated:
    return Evaluated(
        task=task, category="dev" if task == "held" else "test", is_classification=task < "t2",
        examples=1, rouge_l=rouge, exact_match=0.0,
    )  # fmt: skip


def write_curve(tasks: int = 6) -> None:
    """Of rounds in which what was chosen by scores is worth ten more on each test task."""
    rounds = [
        active_curve.Round(
            name,
            "pool",
            run["method"],
            1 if name == "start" else 3,
            1,
            {
                f"t{n}": evaluated(f"t{n}", 10.0 * n + 10 * (name == "uncertain-1"))
                for n in range(tasks)
            }
            | {"held": evaluated("held", 99.0)},
        )
        for name, run in RUNS.items()
    ]
    points = active_curve.points(rounds, section(ActiveCurve, resamples=100))
    write_files(
        {
            report.FILE: map(to_line, points),
            report.METRICS: to_json(active_curve.metrics(points)),
        }
    )


def page() -> tuple[Part, str]:
    """The part, and its section as it stands in the page."""
    part = report.part()
    (one,) = part.sections
    return part, render(f"active/{one.template}", **one.values)


def cells(html: str) -> list[list[str]]:
    """The rows of the tables, without their heads."""
    return [
        [re.sub(r"\s+", " ", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", one, re.S)]
        for one in re.findall(r"<tr.*?>(.*?)</tr>", html, re.S)
        if 'scope="col"' not in one
    ]


def test_it_is_no_part_of_the_page_where_nothing_has_run() -> None:
    assert report.part() == Part(made_of=[])
    write_curve()
    report.FILE.unlink()  # as in a fresh clone, which has the metrics
    assert report.part() == Part(made_of=[])


def test_methods_stand_beside_random_choice_of_as_many_tasks() -> None:
    write_curve()
    rows = cells(page()[1])[:4]
    assert [row[:4] for row in rows] == [
        ["high uncertainty", "1", "1", "25.0"],
        ["high uncertainty", "3", "1", "35.0"],
        ["random", "1", "1", "25.0"],
        ["random", "3", "1", "25.0"],
    ]
    # The same on every task: the interval is one number.
    assert [row[5:] for row in rows] == [
        ["–", "–", "5.0", "35.0"],
        ["+10.0", "+10.0 to +10.0", "15.0", "45.0"],
        ["–", "–", "5.0", "35.0"],
        ["–", "–", "5.0", "35.0"],
    ]
    metrics = json.loads(report.METRICS.read_text())
    for point in metrics["active_point"]:
        point.update(gain_low=-1.0) if point["gain"] else None
    write_files({report.METRICS: to_json(metrics)})
    assert cells(page()[1])[1][5:7] == ["<em>+10.0</em>", "-1.0 to +10.0"]


def test_a_single_test_task_has_no_interval_and_no_other_kind() -> None:
    write_curve(tasks=1)
    assert cells(page()[1])[1] == [
        "high uncertainty", "3", "1", "10.0", "–", "+10.0", "–", "10.0", "–"
    ]  # fmt: skip


def test_the_tasks_that_a_round_chose_stand_there_with_their_place_on_the_map() -> None:
    write_curve()
    part, html = page()
    assert html.count("<article") == 1
    assert "<h3>Round uncertain-1</h3>" in html
    assert "The 2 tasks that high uncertainty chose, by scores of round start" in html
    assert cells(html)[4:] == [
        ["2", "classification", "1", "0.125", "0.5", "yes_or_no", "Do what yes_or_no says."],
        ["3", "generation", "2", "–", "–", "silent", "Do what silent says."],
    ]
    assert part.counts == [(2, "tasks chosen by a model’s scores")]
    assert part.keys == {"active-score": {"answer of yes_or_no yes_or_no/1"}}
    assert part.made_of == [
        report.FILE, BY_SCORES / SELECTED, START / SCORED, POOL.parent
    ]  # fmt: skip


def test_a_folder_that_two_rounds_went_on_from_is_named_once() -> None:
    write_curve()
    more = {"uncertain-1": RUNS["uncertain-1"], "sure-1": RUNS["uncertain-1"]}
    change_params(lambda params: params["active"].update(runs={**RUNS, **more}))
    assert report.part().made_of == [
        report.FILE, BY_SCORES / SELECTED, ACTIVE / "sure-1" / SELECTED, START / SCORED, POOL.parent
    ]  # fmt: skip


def test_a_round_of_many_tasks_shows_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST", 1)
    write_curve()
    html = page()[1]
    assert "The first 1 of 2 tasks that high uncertainty chose" in html
    assert len(cells(html)[4:]) == 1


def test_what_is_missing_is_left_to_the_page_to_name() -> None:
    write_curve()
    POOL.unlink()
    shutil.rmtree(START / SCORED)
    part, html = page()
    assert [row[3:] for row in cells(html)[4:]] == [
        ["–", "–", "yes_or_no", "–"],
        ["–", "–", "silent", "–"],
    ]
    assert part.keys == {}
    shutil.rmtree(BY_SCORES)
    part, html = page()
    assert part.counts == []
    assert "<article" not in html
    assert "task map" not in html
    assert BY_SCORES / SELECTED in part.made_of


def test_in_the_page_too_whatever_was_written_stays_text() -> None:
    hostile = "<script>document.title = 'hacked'</script>"
    edit(POOL, 2, lambda row: row.update(instruction=hostile, task=hostile))
    edit(BY_SCORES / SELECTED / CHOSEN, 2, lambda row: row.update(task=hostile))
    write_curve()
    html = page()[1]
    assert "<script" not in html
    assert html.count("&lt;script&gt;document.title = &#39;hacked&#39;&lt;/script&gt;") == 2


def test_the_map_of_the_page_has_a_point_for_each_task_that_tells_its_name() -> None:
    write_curve()
    assert "<svg" not in page()[1]
    hostile = "<script>hacked</script>"
    about = {"round": "start", "set": "easy", "chosen": "left"}
    points = [
        {**about, "task": "sure", "uncertainty": 0.0, "probability": 1.0},
        {**about, "task": hostile, "uncertainty": 0.8, "probability": 0.0, "chosen": "chosen"},
        {**about, "task": "half", "uncertainty": 0.1, "probability": 0.5},
    ]
    write_files({Into("active_curve").plot("task_map"): to_json(points)})
    html = page()[1]
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>(.*?)</title>', html)
    assert [told.partition(",")[0] for *_, told in found] == [
        "sure",
        "&lt;script&gt;hacked&lt;/script&gt;",
        "half",
    ]
    # The cube root of an eighth of the most is half the way.
    assert [(float(x), float(y)) for x, y, _ in found] == [(50, 18), (620, 318), (335, 168)]
    assert re.findall(r'stroke-width="2"><title>(\S+?),', html) == [found[1][2].partition(",")[0]]
    points[0]["set"] = "odd"
    write_files({Into("active_curve").plot("task_map"): to_json(points)})
    with pytest.raises(BadFile, match=r"task_map\.json: 0\.set: .*\n.*repro"):
        page()


def test_what_is_broken_is_named_in_one_message() -> None:
    write_curve()
    report.METRICS.write_text('{"active_point": [{}]}')
    with pytest.raises(BadFile, match=r"active_curve\.json: active_point\.0\.method: .*\n.*repro"):
        report.part()
    write_curve()
    change_params(lambda params: params["active"]["runs"]["start"].update(method="guess"))
    with pytest.raises(BadParam, match=r"params\.yaml:\d+: active\.runs\.start\.method"):
        report.part()
