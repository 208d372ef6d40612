"""Whole tasks, many a request, and what a row of them takes."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.engines import Fake
from support.growing import Growing, growing
from support.params import section
from support.project import ROOT, Project
from support.stages import run_stage

from seedbed.core.files import read_rows, to_line
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS
from seedbed.runs.changes import read_changes
from seedbed.self_instruct import alpaca, describe_ways, prepare, report
from seedbed.self_instruct.alpaca import ALL_REASONS, Grown, Template, grow
from seedbed.self_instruct.alpaca_rows import (
    PREPARED_TASKS,
    REJECTED_TASKS,
    TASKS,
    RejectedTask,
    Task,
)
from seedbed.self_instruct.errors import NothingNew, TokensUnknown, TooFewSeedTasks
from seedbed.self_instruct.params import Alpaca, Bootstrap, Prepare
from seedbed.self_instruct.rows import GeneratedInstance, LeanCompletion
from seedbed.self_instruct.seeds import read_seed_tasks
from seedbed.self_instruct.task_list import Shown, listed, split_list
from seedbed.tasks.ratings import FOLDER, OF_A_ROW, Rating, digest
from seedbed.training.params import Finetune
from seedbed.views.trace import account

SEEDS = read_seed_tasks()
FILTERS = section(Bootstrap)


def of(**changes: object) -> Alpaca:
    few = {"num_tasks_to_generate": 6, "request_batch_size": 2, "max_rounds_without_new": 3}
    return section(Alpaca, **{**few, **changes})


def grown_from(text: str, why: str = "stop", **changes: object) -> tuple[Grown, Fake]:
    """What is made of a model that answers the first request with the text, others with tasks."""
    number = iter(range(10**6))

    def reply(request: Request) -> str | tuple[str, str]:
        first = not next(number)
        return (text, why) if first else task_of(next(number))

    fake, own = Fake(reply), of(**changes)
    return grow(SEEDS, own, FILTERS, Template(own), fake), fake


def task_of(number: int) -> str:
    words = " ".join(f"w{number}x{place}" for place in range(6))
    return f" Do {words}.\nInput: {words}\nOutput: yes {number}"


def of_first(grown: Grown) -> list[tuple[str, str | None]]:
    """Instruction and reason of each piece of the first answer, in order."""
    pieces = [(row.instruction_id, row.instruction, None) for row in grown.accepted]
    pieces += [(row.id, row.instruction, row.reason) for row in grown.rejected]
    first = [piece for piece in pieces if piece[0].startswith("0.")]
    first.sort(key=lambda piece: int(re.split(r"[.-]", piece[0])[1]))
    return [piece[1:] for piece in first]


# Of letters and spaces: none of it is a label, and none says that there is no input.
TEXT = st.lists(st.text("bcde", min_size=2, max_size=6), min_size=1, max_size=5).map(" ".join)


@given(st.lists(st.tuples(TEXT, st.just("") | TEXT, TEXT), min_size=1))
def test_a_list_is_read_as_the_tasks_that_it_was_made_of(tasks: list[tuple[str, str, str]]) -> None:
    text = listed(Shown(*task) for task in tasks).partition("1. Instruction:")[2]
    *read, torn = split_list(text)
    assert torn == ("", "")
    assert [task.instruction for task in read] == [instruction for instruction, _, _ in tasks]
    expected = [
        f"Input: {given}\nOutput: {output}" if given else f"Output: {output}"
        for _, given, output in tasks
    ]
    assert [task.rest for task in read] == expected


@pytest.mark.parametrize(
    "begin",
    [
        "5. Instruction:",
        "5) Instruction:",
        "5.\nInstruction:",
        "**5. Instruction:**",
        "### Instruction:",
        "Instruction 5:",
        "Instruction:",
    ],
)
def test_a_task_begins_however_its_label_is_written(begin: str) -> None:
    first = ("Count.", "Output: 1. one\n2. two")
    second = ("Sort the words.", "**Input:** b a\n**Output:** a b")
    text = " " + f"\n\n{begin} ".join(map("\n".join, (first, second)))
    assert split_list(text) == [first, second]
    # A chat model may say the label again.
    assert split_list(f"\n{begin} Sort.\nOutput: a") == [("Sort.", "Output: a")]


@pytest.mark.parametrize("said", ["<none>", "<noinput>", "None", "n/a", "No input.", "(none)", ""])
def test_an_input_that_says_that_there_is_none_is_none(said: str) -> None:
    (task,) = split_list(f" Greet me.\nInput: {said}\nOutput: Hello!")
    assert task.rest == "Output: Hello!"
    (task,) = split_list(" Say who came.\nInput: None of us came.\nOutput: Nobody.")
    assert task.rest.startswith("Input: None of us came.")


def test_the_prompt_shows_seed_tasks_whole_and_says_how_many_there_are_to_be() -> None:
    own = of(num_prompt_tasks=3, num_tasks_a_request=20)
    template = Template(own)
    asked = list(alpaca.draw_requests(0, SEEDS, own, template))
    again = list(alpaca.draw_requests(1, SEEDS, own, template))
    assert asked[1] == again[0], "a request's draws are its own"
    by_id = {task.id: task for task in SEEDS}
    for request, shown in asked:
        assert "23 tasks" in request.prompt
        assert request.prompt.startswith(request.prefixes[0])
        assert request.prompt.endswith("\n\n4. Instruction:")
        assert request.sampling.stop[0] == "\n24. Instruction"
        assert len(set(shown)) == 3
        for task in (by_id[id_] for id_ in shown):
            assert f"Output: {task.instances[0].output.strip()}" in request.prompt
            assert f"Input: {task.instances[0].input.strip() or '<none>'}" in request.prompt
    assert asked[0].request.seed != asked[1].request.seed


def test_of_an_answer_that_was_cut_the_last_task_alone_is_refused() -> None:
    text = task_of(1001) + "\n\n5. Instruction:" + task_of(1002) + "\n\n6. Instruction: Now do"
    grown, _ = grown_from(text, "length")
    assert [reason for _, reason in of_first(grown)] == [None, None, "cut_at_length"]
    assert grown.cut == 1


def test_every_piece_is_kept_or_refused_with_a_reason() -> None:
    seed = SEEDS[0].instruction
    text = "\n\n4. Instruction:".join(
        [
            task_of(1001),
            " Draw a picture of the old house.\nInput: <none>\nOutput: x",
            f" {seed}\nInput: a\nOutput: b",
            task_of(1001),
            " Tell them what it is good for.\nInput: this",
            " Tell everybody where it could be.",
            " Say what those who left wanted.\nInput: <none>\nOutput: <none>",
            " List what we have to buy.\nInput: <none>\nOutput: <none> for now",
            "",
        ]
    )
    grown, fake = grown_from(text)
    reasons = [reason for _, reason in of_first(grown)]
    similar = "too_similar"
    assert reasons == [
        None,
        "refused_word",
        similar,
        similar,
        "no_output",
        "no_output",
        "no_output",
        "no_output",
        "empty_piece",
    ]
    assert len(grown.accepted) == grown.tasks == 6
    assert grown.refused["surplus"] == 2 * len(fake.rounds) - 1 - 5
    assert [row.raw_instances for row in grown.rejected if row.reason == "no_output"] == [
        "Input: this",
        "",
        "Output: <none>",
        "Output: <none> for now",
    ]
    assert grown.refused.keys() <= {*ALL_REASONS}


@pytest.mark.parametrize("problem", PROBLEMS[1:2])
def test_an_answer_of_no_use_is_refused_whole(problem: str) -> None:
    grown, fake = grown_from(" ")
    assert of_first(grown) == [("", problem)]
    assert grown.rejected[0].key == fake.answers[0].key


def test_where_nothing_new_comes_the_error_names_this_stages_parameters() -> None:
    own = of()
    with pytest.raises(NothingNew, match=r"alpaca\.sampling\.temperature"):
        grow(SEEDS, own, FILTERS, Template(own), Fake(lambda request: " Hm."))
    with pytest.raises(TooFewSeedTasks, match=r"alpaca\.num_prompt_tasks"):
        alpaca.read_seeds(alpaca.SEED_TASKS, of(num_prompt_tasks=len(SEEDS) + 1))


@pytest.mark.parametrize("torn", ["", "\n\n6. Instruction: And now"])
def test_prepare_reads_the_fields_of_each_task_but_a_torn_one(torn: str) -> None:
    text = task_of(1001) + "\n\n5. Instruction: Say hello to all of us.\nOutput: Hi!"
    grown, _ = grown_from(text + torn, "length" if torn else "stop")
    rows = [LeanCompletion.model_validate_json(to_line(task)) for task in grown.accepted]
    parsed = prepare.parse(rows, section(Prepare))
    assert len(parsed.kept) == len(rows)
    first, second = parsed.kept[:2]
    assert (first.instruction + first.input).count("w1001x0") == 2
    assert (second.input, second.output) == ("", "Hi!")
    assert [row.key for row in parsed.kept] == [row.instance_metadata.key for row in rows]


def test_both_ways_are_trained_on_as_many_rows_of_files_that_their_stage_depends_on() -> None:
    folder = ROOT / "pipelines/ways"
    values = yaml.safe_load((folder / "params.yaml").read_text())
    stage = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]["ways-train"]
    for those in values["sets"]:
        changes = read_changes([f"sources={those['sources']}", f"rows={values['rows']}"])
        (source,) = section(Finetune, **changes).sources
        assert source.file in stage["deps"]
    ways = json.loads((ROOT / "metrics/describe_ways.json").read_text())["way"]
    assert values["rows"] <= min(way["rows"] for way in ways)
    assert len(values["seeds"]) == 3


# --- the stages, on a server


@pytest.fixture
def server() -> Growing:
    with growing() as server:
        yield server


@pytest.fixture
def in_project(tmp_path: Path, server: Growing, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path / "project", pipelines=("alpaca",))
    project.shrink()
    project.set("llm.model", "served-model")
    project.set("alpaca.num_tasks_to_generate", 7)
    project.set("alpaca.request_batch_size", 2)
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.delenv("SEEDBED_STORE", raising=False)
    return project


def test_with_dvc_it_runs_beside_the_first_run_and_each_row_has_its_way_back(
    in_project: Project, server: Growing
) -> None:
    done = in_project.run("dvc", "repro", "pipelines/alpaca/dvc.yaml", OPENAI_BASE_URL=server.url)
    assert done.returncode == 0, done.stdout
    tasks = list(read_rows(TASKS, Task))
    assert len(tasks) == 7
    rows = list(read_rows(PREPARED_TASKS / "alpaca.jsonl", GeneratedInstance))
    assert len(rows) == 7
    for form in ("finetuning", "messages"):
        ids = [row["id"] for row in in_project.rows(f"data/alpaca/prepare/{form}.jsonl")]
        assert ids == [row.id for row in rows]

    # All that was sent is counted, and nothing else.
    four, one = json.loads(in_project.read("metrics/describe_ways.json"))["way"]
    assert one["requests"] == json.loads(in_project.read("metrics/alpaca.json"))["task_requests"]
    assert four["requests"] + one["requests"] == len(server.bodies)
    assert four["prompt_tokens"] + one["prompt_tokens"] == server.prompt_tokens
    assert four["completion_tokens"] + one["completion_tokens"] == server.completion_tokens
    assert one["requests_a_row"] == round(one["requests"] / 7, 2)

    told = "\n".join(account("data/alpaca/prepare/finetuning.jsonl:1"))
    task = next(task for task in tasks if rows[0].instruction_id == task.instruction_id)
    assert all(f"{id_} (data/seed_tasks.jsonl:" in told for id_ in task.shown)
    assert "data/prompts/alpaca/tasks.txt" in told
    for line, _ in enumerate(read_rows(REJECTED_TASKS, RejectedTask), 1):
        assert "surplus" in "\n".join(account(f"{REJECTED_TASKS}:{line}"))

    said = [
        Rating(
            file=(PREPARED_TASKS / "alpaca.jsonl").as_posix(), id=row.id, model=None, answer="no",
            text=digest(row.instruction, row.input, row.output), question=question,
        )
        for row in rows[:1]
        for question in OF_A_ROW
    ]  # fmt: skip
    (FOLDER / "ann.jsonl").write_text("".join(map(to_line, said)))
    (kind,) = (kind for kind in report.part().kinds if kind.name == "row of a whole task")
    assert [row.rating for row in kind.rows] == ["nnn", *[None] * 6]

    page = in_project.run("seedbed", "report")
    assert page.returncode == 0, page.stdout
    html = (in_project.folder / ".seedbed/report.html").read_text()
    assert "What a row takes" in html
    assert "rows of whole tasks" in html

    # What the store lacks is no zero.
    (in_project.folder / ".seedbed/responses.sqlite").unlink()
    with pytest.raises(TokensUnknown, match="SEEDBED_STORE"):
        run_stage(describe_ways, describe_ways.Params())
