"""A row of any output is told back to its seed tasks."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.project import ROOT, Project
from support.server import completion
from support.snapshots import Snapshots
from support.tracing import EVIL, assert_refused_in_plain_text, edit, lock, md5, row, told

from seedbed.auto_instruct.candidate_files import ORIGINS
from seedbed.auto_instruct.trace import FOLDERS
from seedbed.core.files import to_line, write_files
from seedbed.core.records import Exchange
from seedbed.errors import BadFile, BadRow, SeedbedError
from seedbed.llm.errors import StoreFailed
from seedbed.llm.store.reading import read_only
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from seedbed.runs import telling
from seedbed.runs.errors import NoSuchLine, NotAnOutput, NotAPlace, NotHere, OriginMissing
from seedbed.runs.git import revision
from seedbed.runs.places import Place
from seedbed.self_instruct.instructions import numbered
from seedbed.self_instruct.origins import ROWS_OF, Pool
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    PREPARED,
    REJECTED_INSTRUCTIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    Completion,
    GeneratedInstance,
    Instance,
    Instruction,
    RejectedInstance,
    RejectedInstruction,
    SeedTask,
)
from seedbed.tasks.places import MERGED
from seedbed.views.trace import account

# What the prompt of each round showed; two instructions came from the first.
SEEDS = ["Sort the  words.", "Name a river:", "Translate it.", "Greet a neighbor."]
GROWN = ["Describe a lake.", "Count the ducks.", "Compare two lakes.", "Rank three lakes."]
ROUNDS = [0, 0, 1, 2]
SHOWN = [
    [SEEDS[0], SEEDS[1]],
    [SEEDS[0], SEEDS[1]],
    [GROWN[0], SEEDS[2]],
    [GROWN[2], "Nobody wrote this.", GROWN[1], SEEDS[1]],
]


def response(text: str) -> dict[str, Any]:
    """What a row keeps of a response."""
    body = completion(text)
    return {name: body[name] for name in ("object", "model", "choices", "usage")}


def bootstrap_prompt(row: int) -> str:
    return "Come up with a series of tasks:\n" + numbered(SHOWN[row])


def clf_prompt(text: str) -> str:
    return (
        (ROOT / "data/prompts/clf/is_classification.txt")
        .read_text()
        .removesuffix("\n")
        .format(instruction=text)
    )


def instances_prompt(text: str) -> str:
    return (ROOT / "data/prompts/instances/input_first.txt").read_text().format(instruction=text)


def ids_shown(row: int) -> list[str]:
    ids = {text: f"seed_task_{n}" for n, text in enumerate(SEEDS)}
    ids |= {text: f"grown {n}" for n, text in enumerate(GROWN)}
    return [ids.get(text, "gone") for text in SHOWN[row]]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Kept]:
    """What the response store has; a test may take something away."""
    kept: dict[str, Kept] = {}

    def keep(key: str, prompt: str, text: str) -> None:
        request = {"kind": "completion", "model": {"name": "m"}, "prompt": prompt, "seed": 5}
        body = json.dumps(completion(text))
        kept[key] = row(json.dumps(request), body)

    for n, text in enumerate(GROWN):
        keep(f"boot {ROUNDS[n]}", bootstrap_prompt(n), f" {text}\n10. and more")
        keep(f"clf {n}", clf_prompt(text), " No")
        keep(f"inst {n}", instances_prompt(text), f"Output: raw answer {n}")
    monkeypatch.setattr(telling, "read_only", lambda path, key: kept.get(key))
    monkeypatch.setenv("SEEDBED_STORE", "/nowhere/store.sqlite")
    return kept


def instance(of: str, instruction: str, output: str, key: str | None) -> GeneratedInstance:
    return GeneratedInstance(
        instruction=instruction, input="", output=output, id=f"{of}/1", instruction_id=of, key=key
    )


def of(row: GeneratedInstance) -> dict[str, Any]:
    return row.model_dump(include={"id", "instruction_id", "key"})


@pytest.fixture(autouse=True)
def _small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of four instructions, one instance each, and the instances of the seed tasks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, name)
    shutil.copytree(ROOT / "data/prompts", "data/prompts")
    seeds = [
        SeedTask(
            id=f"seed_task_{n}",
            name="n",
            instruction=text,
            instances=[Instance(input="", output=f"by hand {n}")],
            is_classification=False,
        )
        for n, text in enumerate(SEEDS)
    ]
    origins = [
        Exchange(prompt=bootstrap_prompt(n), response=response("from row"), key=f"boot {ROUNDS[n]}")
        for n in range(len(GROWN))
    ]
    similar = {"Name a river:": 0.5, "Translate it.": 0.25}
    files: dict[Path, list[Any]] = {
        SEED_TASKS: seeds,
        INSTRUCTIONS: [
            Instruction(
                instruction=text,
                id=f"grown {n}",
                most_similar=similar,
                avg_similarity_score=0.125,
                metadata=origins[n],
                request_idx=ROUNDS[n],
                shown=ids_shown(n),
            )
            for n, text in enumerate(GROWN)
        ],
        REJECTED_INSTRUCTIONS: [
            RejectedInstruction(
                instruction=text,
                id=text,
                reason="too_short",
                key=key,
                request_idx=round_,
                shown=ids_shown(round_ + 1),
            )
            for text, key, round_ in (("Do", "boot 2", 2), ("Go", "boot 1b", 1))
        ],
        CLASSIFIED: [
            ClassifiedInstruction(
                instruction=text,
                instruction_id=f"grown {n}",
                is_classification=" No",
                key=f"clf {n}",
            )
            for n, text in enumerate(GROWN)
        ],
        COMPLETIONS: [
            Completion(
                instruction=text,
                instruction_id=f"grown {n}",
                raw_instances=f"Output: raw answer {n}",
                is_classification=False,
                instance_metadata=Exchange(
                    prompt=instances_prompt(text), response=response("from row"), key=f"inst {n}"
                ),
                instruction_metadata=origins[n],
                most_similar=similar,
                avg_similarity_score=0.125,
            )
            for n, text in enumerate(GROWN)
        ],
        PREPARED / "rejected.jsonl": [
            RejectedInstance(
                instruction=GROWN[3],
                input="",
                output="",
                id="grown 3/2",
                instruction_id="grown 3",
                reason="r",
                key="inst 3",
            )
        ],
    }
    rows = [
        instance(f"grown {n}", text, f"raw answer {n}", f"inst {n}") for n, text in enumerate(GROWN)
    ]
    hand_written = [
        instance(f"seed_task_{n}", text, f"by hand {n}", None) for n, text in enumerate(SEEDS)
    ]
    mixed = [rows[3], hand_written[1], *rows[:3]]
    files |= {
        PREPARED / "all_generated_instances.jsonl": rows,
        PREPARED / "sampled_generated_instances.jsonl": rows,
        PREPARED / "alpaca.jsonl": mixed,
        PREPARED / "finetuning.jsonl": [
            {"prompt": row.instruction + "\n", "completion": row.output, **of(row)} for row in mixed
        ],
        PREPARED / "messages.jsonl": [
            {
                "messages": [
                    {"role": "user", "content": row.instruction},
                    {"role": "assistant", "content": row.output},
                ],
                **of(row),
            }
            for row in mixed
        ],
    }
    write_files({path: map(to_line, rows) for path, rows in files.items()})


def git(*arguments: str) -> None:
    me = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run(["git", *me, *arguments], check=True, capture_output=True)


def tree_of(text: str) -> str:
    """The end of what is told: the way back to the seed tasks."""
    return text[text.index("the instructions that its prompt showed") :]


# --- the way from a row to its seed tasks


@pytest.mark.parametrize(
    ("place", "way"),
    [
        *[
            (
                f"{PREPARED}/{name}.jsonl:{line}",
                [f"cut from {COMPLETIONS}:4", f"its instruction was classified: {CLASSIFIED}:4"],
            )
            for name, line in [
                ("finetuning", 1),
                ("messages", 1),
                ("alpaca", 1),
                ("all_generated_instances", 4),
                ("sampled_generated_instances", 4),
                ("rejected", 1),
            ]
        ],
        (f"{COMPLETIONS}:4", [f"its instruction was classified: {CLASSIFIED}:4"]),
        (f"{CLASSIFIED}:4", []),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_row_of_a_later_stage_is_told_back_to_its_seed_tasks(
    place: str, way: list[str], snapshot: Snapshots
) -> None:
    text = told(place)
    headings = [line for line in text.splitlines() if not line.startswith(" ")]
    through = [place, *way, f"its instruction: {INSTRUCTIONS}:4"]
    assert [one for one in headings if one in through] == through
    snapshot("trace-tree", tree_of(text))


@pytest.mark.parametrize("place", [f"{INSTRUCTIONS}:4", f"{REJECTED_INSTRUCTIONS}:1"])
@pytest.mark.usefixtures("store")
def test_an_instruction_is_told_back_to_its_seed_tasks(place: str, snapshot: Snapshots) -> None:
    text = told(place)
    assert text.startswith(place + "\n  written by bootstrap\n")
    assert "  round: 2\n" in text
    snapshot("trace-tree", tree_of(text))


@pytest.mark.usefixtures("store")
def test_every_answer_on_the_way_is_told_with_its_request_and_prompt_file(
    snapshot: Snapshots,
) -> None:
    snapshot("trace-finetuning", told(f"{PREPARED}/finetuning.jsonl:1"))


@pytest.mark.usefixtures("store")
def test_the_few_shot_beginning_is_shortened_unless_all_is_asked_for() -> None:
    prompt = instances_prompt(GROWN[3])
    before = prompt.index("Task: Rank three")
    short = f"… ({before:,} characters of data/prompts/instances/input_first.txt)"
    text = told(f"{COMPLETIONS}:4")
    assert (
        f"      prompt:\n        {short}\n        │ Task: Rank three lakes.\n        │ \n" in text
    )
    assert "        │ Come up with a series of tasks:\n" in text, "a heading is no few-shot part"

    text = told(f"{COMPLETIONS}:4", full=True)
    assert "characters of" not in text
    assert "\n".join(f"        │ {line}" for line in prompt.split("\n")) in text
    assert '    raw body:\n      │ {"id": "cmpl-' in text


@pytest.mark.usefixtures("store")
def test_an_edited_prompt_file_is_found_by_what_it_still_shares() -> None:
    path = Path("data/prompts/instances/output_first.txt")
    edit(COMPLETIONS, 4, lambda row: row.update(is_classification=True))
    assert "prompt file: data/prompts/instances/input_first.txt" in told(f"{COMPLETIONS}:4")
    input_first = Path("data/prompts/instances/input_first.txt")
    input_first.write_text(input_first.read_text().replace("Example 2", "Instance 2"))
    text = told(f"{COMPLETIONS}:4")
    assert "prompt file: data/prompts/instances/input_first.txt" in text
    (shared,) = re.findall(r"… \(([\d,]+) characters of data/prompts/instances/input_first", text)
    assert 0 < int(shared.replace(",", "")) < 2000
    for one in (input_first, path):
        one.write_text("Quite another beginning {instruction}")
    assert "  prompt file: none of instances's begins as the prompt does\n" in told(
        f"{COMPLETIONS}:4"
    )


def test_a_chat_request_and_answer_are_told_by_the_fields_they_have(store: dict[str, Kept]) -> None:
    request = {"kind": "chat", "system": "Be brief.\nBe kind.", "prompt": "Hi", "effort": [1, "x"]}
    body = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "length"}]}
    store["clf 0"] = row(json.dumps(request), json.dumps(body), "2026", "too long")
    text = told(f"{CLASSIFIED}:1")
    for said in (
        "    problem: too long\n",
        "      kind: chat\n",
        "      system:\n        │ Be brief.\n        │ Be kind.\n",
        '      effort: [1, "x"]\n',
        "    finish_reason: length\n    raw answer:\n      │ Hello\n",
    ):
        assert said in text


def test_an_answer_that_is_no_completion_is_told_raw(store: dict[str, Kept]) -> None:
    store["clf 0"] = row("no request", "<html>busy", "2026", "not JSON")
    text = told(f"{CLASSIFIED}:1")
    assert "    raw answer: it has no text\n    raw body:\n      │ <html>busy\n" in text
    assert text.endswith("seed_task_0, seed_task_1\n")


# --- what is not there


def test_what_the_store_lacks_is_said_and_the_rest_is_told(
    store: dict[str, Kept], snapshot: Snapshots
) -> None:
    store.clear()
    text = told(f"{PREPARED}/finetuning.jsonl:1")
    assert text.count("the response store /nowhere/store.sqlite lacks it") == 3
    assert text.count("what follows of it is what the row has") == 2
    assert text.count("      │ from row\n") == 2
    assert "        │ Task: Rank three lakes.\n" in text
    assert "the row has neither its request nor the raw answer" in text
    assert "  a prompt file: data/prompts/clf/is_classification.txt\n" in text
    snapshot("trace-tree", tree_of(text))


def test_a_refused_instruction_takes_its_prompt_from_an_accepted_one_of_the_same_answer(
    store: dict[str, Kept], snapshot: Snapshots
) -> None:
    store.clear()
    snapshot("trace-tree", tree_of(told(f"{REJECTED_INSTRUCTIONS}:1")))
    text = told(f"{REJECTED_INSTRUCTIONS}:2")
    assert text.endswith("seed_task_0, seed_task_1, seed_task_2\n")
    assert "a prompt file: data/prompts/bootstrap/tasks.txt\n" in text
    assert "a prompt file: data/prompts/bootstrap/classification_tasks.txt\n" in text


@pytest.mark.parametrize("name", ["finetuning", "messages", "alpaca"])
@pytest.mark.usefixtures("store")
def test_a_seed_tasks_own_instance_is_told_to_be_one(name: str) -> None:
    text = told(f"{PREPARED}/{name}.jsonl:2")
    assert "  key: null\n" in text
    assert f"a seed task's own instance: seed_task_1 ({SEED_TASKS}:2)\n" in text
    assert "answer" not in text
    edit(SEED_TASKS, 2, lambda task: task.update(id="renamed"))
    with pytest.raises(OriginMissing, match=f"seed_task_1, nor has {SEED_TASKS} such a task"):
        told(f"{PREPARED}/{name}.jsonl:2")


# --- the instructions that prompts showed


def write_pool(rows: list[tuple[str, int, list[str]]]) -> Pool:
    """A pool of machine-written instructions: id, round, what its prompt showed."""
    write_files(
        {
            INSTRUCTIONS: [
                to_line(
                    Instruction(
                        instruction=f"Do {id_}.",
                        id=id_,
                        most_similar={},
                        avg_similarity_score=0,
                        metadata=Exchange(key="k"),
                        request_idx=round_,
                        shown=shown,
                    )
                )
                for id_, round_, shown in rows
            ]
        }
    )
    return Pool()


def test_the_way_back_has_an_end_even_where_rows_show_each_other() -> None:
    pool = write_pool([("one", 3, ["other", "self"]), ("other", 3, ["one"]), ("self", 1, ["self"])])
    ancestors = list(pool.ancestors(["one"]))
    assert [(shown.depth, shown.id, bool(shown.told_at)) for shown in ancestors] == [
        (0, "one", False),
        (1, "other", False),
        (2, "one", True),
        (1, "self", False),
        (2, "self", True),
    ]


def test_a_long_way_back_is_told_and_nothing_twice() -> None:
    rows = [(f"{n}", n, [f"{n - 1}", f"{n - 2}", "seed_task_0"]) for n in range(3000)]
    ancestors = list(write_pool(rows).ancestors(["2999"]))
    assert len(ancestors) == 1 + 3 * 3000
    assert max(shown.depth for shown in ancestors) == 3000


@pytest.mark.usefixtures("store")
def test_a_long_instruction_is_cut_to_a_line_unless_all_is_asked_for() -> None:
    long = "Count " + "very " * 40 + "far."
    edit(SEED_TASKS, 2, lambda task: task.update(instruction=long))
    cut = f"  4. seed_task_1 ({SEED_TASKS}:2): {long[:100]}…\n"
    assert cut in told(f"{INSTRUCTIONS}:4")
    assert cut.replace(long[:100] + "…", long) in told(f"{INSTRUCTIONS}:4", full=True)


# --- what DVC and git recorded


@pytest.mark.usefixtures("store")
def test_the_parameters_are_those_of_the_run_and_changes_since_are_named() -> None:
    recorded = yaml.safe_load(Path("params.yaml").read_text())["clf"]
    lock(clf={"params": {"params.yaml": {"clf": recorded}}})
    text = told(f"{CLASSIFIED}:1")
    assert "  parameters that clf ran with (dvc.lock; params.yaml has the same):\n" in text
    assert '    clf.sampling.stop: ["\\n", "Task"]\n' in text

    recorded["sampling"] |= {"max_tokens": 9, "gone": "x"}
    del recorded["sampling"]["top_p"]
    lock(clf={"params": {"params.yaml": {"clf": recorded}}})
    text = told(f"{CLASSIFIED}:1")
    assert "  parameters that clf ran with (dvc.lock; 3 CHANGED since):\n" in text
    assert "    clf.sampling.max_tokens: 9   CHANGED: now 3\n" in text
    assert '    clf.sampling.gone: "x"   CHANGED: now none\n' in text
    assert "    clf.sampling.top_p: none   CHANGED: now 0.0\n" in text
    assert "    clf.sampling.temperature: 0.0\n" in text


@pytest.mark.usefixtures("store")
def test_parameters_are_compared_as_dvc_reads_them() -> None:
    Path("dvc.lock").write_text(
        "stages:\n  clf:\n    params:\n      params.yaml:\n        clf.sampling.top_p: 1e-06\n"
    )
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("top_p: 0.0", "top_p: 0.000001"))
    assert "params.yaml has the same):\n    clf.sampling.top_p: 1e-06\n" in told(f"{CLASSIFIED}:1")


@pytest.mark.usefixtures("store")
def test_without_a_lock_it_says_that_nothing_is_recorded() -> None:
    text = told(f"{CLASSIFIED}:1")
    assert "  the file is not in dvc.lock's record of clf\n" in text
    assert "  parameters: dvc.lock does not say what clf ran with\n" in text


@pytest.mark.usefixtures("store")
def test_files_are_compared_with_what_the_stage_ran_with_and_wrote() -> None:
    prompt = Path("data/prompts/clf/is_classification.txt")
    lock(
        clf={
            "deps": [{"path": str(prompt), "md5": md5(prompt)}],
            "outs": [{"path": str(CLASSIFIED), "md5": md5(CLASSIFIED)}],
        }
    )
    ran, wrote = "    the file is what clf ran with", "  the file is what clf wrote (dvc.lock)\n"
    text = told(f"{CLASSIFIED}:1")
    assert ran in text
    assert wrote in text
    prompt.write_text(prompt.read_text() + "!")
    edit(CLASSIFIED, 2, lambda row: row.update(is_classification="?"))
    text = told(f"{CLASSIFIED}:1")
    assert ran not in text
    assert wrote not in text
    assert "    the file is NOT what clf ran with: it has changed since (dvc.lock)\n" in text
    assert "  the file is NOT what clf wrote: it has changed since (dvc.lock)\n" in text


def test_the_git_revision_is_that_of_the_last_commit_that_touched_the_file() -> None:
    path = Path("data/prompts/clf/is_classification.txt")
    assert revision(path) == "not in git"
    git("init", "-q")
    assert revision(path).startswith("not in git (fatal: ")
    for text in ("one", "two"):
        path.write_text(text)
        git("add", str(path))
        git("commit", "-q", "-m", text)
    hash_ = subprocess.run(
        ["git", "log", "-1", "--format=%h of %cs"], capture_output=True, text=True, check=True
    ).stdout.strip()
    git("commit", "-q", "--allow-empty", "-m", "Another")
    assert revision(path) == hash_
    assert revision(SEED_TASKS) == "not in git: it was never committed"
    path.write_text("other")
    assert revision(path) == f"{hash_}, with uncommitted changes"


# --- what a model wrote stays text


def test_nothing_that_a_terminal_would_act_on_is_printed(store: dict[str, Kept]) -> None:
    evil_prompt = bootstrap_prompt(3) + EVIL
    request = {"prompt": evil_prompt, "model": {EVIL: EVIL}, EVIL: [EVIL], "system": EVIL}
    store["boot 2"] = row(json.dumps(request), json.dumps(completion(EVIL)), EVIL, EVIL)
    edit(INSTRUCTIONS, 4, lambda row: row.update(most_similar={EVIL: 0.5}))
    edit(CLASSIFIED, 4, lambda row: row.update(is_classification=EVIL))
    edit(SEED_TASKS, 1, lambda row: row.update(id=EVIL))
    edit(PREPARED / "finetuning.jsonl", 1, lambda row: row.update(completion=f"a\n{EVIL}\nb"))
    for full in (False, True):
        for line in account(f"{PREPARED}/finetuning.jsonl:1", full):
            assert line.isprintable(), line
    escaped = "\\x1b[2J\\x1b]0;title\\x07\\r\\x9b1m\\u202eend"
    text = told(f"{PREPARED}/finetuning.jsonl:1")
    assert f"  completion:\n    │ a\n    │ {escaped}\n    │ b\n" in text
    assert text.count(escaped) >= 9


@pytest.mark.usefixtures("store")
def test_neither_is_it_in_a_message() -> None:
    edit(COMPLETIONS, 4, lambda row: row.update(instruction=EVIL))
    edit(CLASSIFIED, 1, lambda row: row.update(instruction=EVIL))
    edit(INSTRUCTIONS, 1, lambda row: row.update(most_similar={EVIL: "no number"}))
    for place in (f"{COMPLETIONS}:4", f"{CLASSIFIED}:1", f"{INSTRUCTIONS}:1", f"{EVIL}:1"):
        assert_refused_in_plain_text(place)


# --- what cannot be traced


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("data/clf/is_clf_or_not.jsonl", NotAPlace, "is not FILE:LINE"),
        ("data/clf/is_clf_or_not.jsonl:", NotAPlace, "is not FILE:LINE"),
        ("data/clf/is_clf_or_not.jsonl:0", NotAPlace, "lines count from 1"),
        ("data/clf/is_clf_or_not.jsonl:-1", NotAPlace, "is not FILE:LINE"),
        ("data/clf/is_clf_or_not.jsonl:" + "9" * 5000, NotAPlace, "is not FILE:LINE"),
        (":3", NotAPlace, "is not FILE:LINE"),
        ("data/none.jsonl:1", BadFile, "data/none.jsonl: no such file"),
        ("x" * 5000 + ":1", BadFile, "xxx: File name too long"),
        ("data/label/" + "x" * 5000 + ":1", BadFile, "xxx: File name too long"),
        ("data/no\0ne:1", BadFile, "has a NUL character"),
        (
            f"{SEED_TASKS}:1",
            NotAnOutput,
            f"no stage of dvc.yaml writes rows .*\n.*\n    {CLASSIFIED}",
        ),
        ("data:1", NotAnOutput, "data: no stage"),
        (f"{CLASSIFIED}:5", NoSuchLine, f"{CLASSIFIED}:5: no such line\n  The file has 4 lines"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_no_row_of_an_output_is_refused(
    text: str, error: type[SeedbedError], said: str
) -> None:
    with pytest.raises(error, match=f"(?s){said}"):
        account(text)


@pytest.mark.parametrize(
    ("broken", "said"), [("{\n", "JSON"), ('{"instruction": "i"}\n', "field is_classification")]
)
@pytest.mark.usefixtures("store")
def test_a_row_that_is_none_is_named_with_its_line(broken: str, said: str) -> None:
    lines = CLASSIFIED.read_text().splitlines(keepends=True)
    CLASSIFIED.write_text(lines[0] + broken)
    with pytest.raises(BadRow, match=f"{CLASSIFIED}:2: .*{said}"):
        account(f"{CLASSIFIED}:2")


@pytest.mark.parametrize("missing", [COMPLETIONS, CLASSIFIED, INSTRUCTIONS])
@pytest.mark.usefixtures("store")
def test_a_file_that_the_row_came_from_must_be_here(missing: Path) -> None:
    missing.unlink()
    with pytest.raises(NotHere, match=f"{missing}: no such file.*\n.*dvc repro.*dvc pull"):
        account(f"{PREPARED}/finetuning.jsonl:1")
    with pytest.raises(NotHere, match="dvc pull"):
        account(f"{missing}:1")


@pytest.mark.usefixtures("store")
def test_files_of_different_runs_are_told_apart() -> None:
    place = f"{PREPARED}/finetuning.jsonl:1"
    edit(INSTRUCTIONS, 4, lambda row: row.update(id="another"))
    with pytest.raises(OriginMissing, match=f"{COMPLETIONS}:4: {INSTRUCTIONS} has no row with"):
        account(place)
    edit(CLASSIFIED, 4, lambda row: row.update(instruction_id="another"))
    with pytest.raises(OriginMissing, match=f"{COMPLETIONS}:4: {CLASSIFIED} has no row with"):
        account(place)
    edit(COMPLETIONS, 4, lambda row: row.update(instruction_id="another"))
    with pytest.raises(OriginMissing, match=f"{place}: {COMPLETIONS} has no row with.*\n.*repro"):
        account(place)


def test_the_files_whose_rows_can_be_traced_are_all_that_stages_write() -> None:
    written = {
        out
        for path in ("dvc.yaml", "pipelines/alpaca/dvc.yaml")
        for stage in yaml.safe_load((ROOT / path).read_text())["stages"].values()
        for out in stage.get("outs", ())
        if out.startswith("data/")
    }
    assert {str(path) for path in (*ROWS_OF, *FOLDERS)} == written


@pytest.mark.usefixtures("store")
def test_a_file_may_be_named_by_its_whole_path() -> None:
    assert account(str(Path(f"{CLASSIFIED}:4").absolute())) == account(f"./{CLASSIFIED}:4")
    assert Place.parse("a:b:3") == Place(Path("a:b"), 3)


# --- the response store


def test_the_store_is_read_and_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "it's a #1 store?/r.sqlite"
    monkeypatch.setenv("SEEDBED_STORE", str(path))
    assert read_only(path, "k") is None
    assert not path.parent.exists()
    kept = Store(path)
    kept.put([row('{"prompt":"p"}', "body")._replace(created_at=None)])
    found = read_only(path, "k")
    assert found is not None
    assert (found.request, found.response, found.problem) == ('{"prompt":"p"}', "body", None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", found.created_at)
    assert read_only(path, "other") is None
    kept.close()
    assert read_only(path, "k") == found
    path.write_bytes(b"no store" * 1000)
    with pytest.raises(StoreFailed, match="not a database"):
        read_only(path, "k")


# --- a real run


def assert_nothing_differs(text: str) -> None:
    """From what was run; and nothing is unknown."""
    assert "lacks it" not in text
    assert f"not found in {SEED_TASKS}" not in text
    assert "the example is not among" not in text
    assert "of unknown origin" not in text
    assert "CHANGED: now" not in text
    assert "the file is NOT" not in text
    assert "is not known" not in text
    assert "with uncommitted changes" not in text
    assert "not in dvc.lock's record" not in text
    assert "dvc.lock does not say" not in text


def test_every_output_of_a_real_run_is_traced(
    run_with_model: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = run_with_model
    monkeypatch.chdir(project.folder)
    for name in ("SEEDBED_STORE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)

    own = 0
    for path in ROWS_OF:
        if path.is_relative_to("data/alpaca"):  # no part of that run
            continue
        rows = project.rows(str(path))
        for line in {1, len(rows)} if rows else ():
            text = told(f"{path}:{line}")
            ids = re.findall(r"seed_task_\d+", text.splitlines()[-1])
            if rows[line - 1].get("key", "") is None:
                own += 1
                assert "a seed task's own instance: seed_task_" in text
            else:
                assert len(ids) >= 6, text
            assert_nothing_differs(text)
    assert own, "no seed task's own instance was met"

    of_examples = [path for folder in FOLDERS for path in folder.glob("*.jsonl")]
    assert len(of_examples) == 6
    for path in of_examples:
        lines = len(project.rows(str(path)))
        first = 1 if path == ORIGINS or path.stem in MERGED else 4
        if lines >= first:
            text = told(f"{path}:{lines}", full=True)
            assert "\nits task: data/niv2/seedbed001_" in text
            assert_nothing_differs(text)

    # An instruction that came late was grown from one that came before.
    instructions = project.rows(str(INSTRUCTIONS))
    assert instructions[-1]["request_idx"] > 0
    tree = told(f"{INSTRUCTIONS}:{len(instructions)}").partition("its prompt showed")[2]
    assert re.search(rf"\n  \d\. {INSTRUCTIONS}:\d+ \(round \d\): .+\n    1\. seed_task_", tree)

    # Through the command, on a tree that is no more what it ran with.
    number = 1 + next(
        n for n, row in enumerate(project.rows("data/prepare/finetuning.jsonl")) if row["key"]
    )
    place = f"data/prepare/finetuning.jsonl:{number}"
    edit(project.folder / place[: place.index(":")], number, lambda row: row.update(prompt=EVIL))
    project.replace("data/prompts/clf/is_classification.txt", "Is it classification?", "Is it one?")
    project.set("bootstrap.rouge_threshold", 0.6)
    done = project.run("python", "-m", "seedbed", "trace", place, PYTHONPATH="src")
    assert done.returncode == 0, done.stdout
    assert "  the file is NOT what prepare wrote" in done.stdout
    assert ", with uncommitted changes\n    the file is NOT what clf ran with" in done.stdout
    assert "bootstrap.rouge_threshold: 0.7   CHANGED: now 0.6\n" in done.stdout
    assert "\\x1b[2J" in done.stdout
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    (project.folder / ".seedbed/responses.sqlite").unlink()
    done = project.run("python", "-m", "seedbed", "trace", place, PYTHONPATH="src")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("lacks it") == 3
    assert re.search(r"seed_task_\d+\n$", done.stdout)
    done = project.run("python", "-m", "seedbed", "trace", "data/none:1", PYTHONPATH="src")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        1,
        "seedbed trace: data/none: no such file",
    )
