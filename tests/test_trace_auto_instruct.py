"""An example that was labelled or kept is told back to its task and its candidates."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from support.project import ROOT
from support.server import completion
from support.snapshots import Snapshots
from support.tracing import EVIL, assert_refused_in_plain_text, edit, lock, md5, row, told

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of
from seedbed.auto_instruct.rows import LABELLED, RELABELLED
from seedbed.core.files import to_json, to_line, write_files
from seedbed.errors import BadFile, BadRow, SeedbedError
from seedbed.llm.store.rows import Kept
from seedbed.runs import telling
from seedbed.runs.errors import NoSuchLine, NotAnOutput, NotHere, OriginMissing
from seedbed.runs.git import revision
from seedbed.runs.pipeline import Pipeline
from seedbed.tasks.errors import NoSuchTask
from seedbed.views.trace import account

# The name of one begins as that of the other.
TASKS = ["quiz", "quiz_long"]
INPUTS = ["One?", "Two?", "Three?"]
CANDIDATES = ["Answer.", "Say a word.", "Say " + "very " * 40 + "much.", "Answer."]
FROM = [None, ("sentence", 0), ("steps", 4), None]
META = Path("data/prompts/candidates/few_shot")


def key(task: str, candidate: int, example: int) -> str:
    return f"{task}, candidate {candidate} on {example}"


def label_row(task: str, example: int, tried: Iterable[int] = range(4)) -> dict[str, Any]:
    return {
        "id": f"e{example}",
        "input": INPUTS[example],
        "target": "yes",
        "instruction_idx": list(tried),
        "instruction_labels": [int(n == 1) for n in tried],
        "instruction_outputs": [f"{task} says {n}" for n in tried],
        "instruction_rouge": [0.25 * n for n in tried],
        "instruction_keys": [key(task, n, example) for n in tried],
    }


def kept_row(task: str, example: int) -> dict[str, Any]:
    """Candidates 1 and 2 were drawn."""
    return label_row(task, example, [1, 2]) | {"instruction_labels": [0.125, 0.875]}


def headers() -> list[dict[str, Any]]:
    return [{"prompt": "{{input}}"}, {"instructions": CANDIDATES}, {"demos": "Input: …"}]


@pytest.fixture(autouse=True)
def _small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks of three examples, four candidates each; of each task two examples were kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, name)
    shutil.copytree(ROOT / "data/prompts", "data/prompts")
    files: dict[Path, Iterable[str]] = {}
    origins = []
    for task in TASKS:
        files[Path(f"data/niv2/{task}.json")] = to_json(
            {
                "Definition": [CANDIDATES[0]],
                "Positive Examples": [{"input": "i", "output": "o", "explanation": ""}],
                "Instances": [
                    {"id": f"e{n}", "input": text, "output": ["yes"]}
                    for n, text in enumerate(INPUTS)
                ],
            }
        )
        files[file_of(task)] = to_json(CANDIDATES)
        for n, (text, made) in enumerate(zip(CANDIDATES, FROM, strict=True)):
            meta_prompt, sample = made or (None, None)
            known = f"{task}, made {n}" if made else None
            origins.append(
                {"task": task, "index": n, "meta_prompt": meta_prompt, "sample": sample,
                 "key": known, "instruction": text}
            )  # fmt: skip
        rows = [label_row(task, n) for n in range(3)]
        files[LABELLED / f"{task}.jsonl"] = map(to_line, [*headers(), *rows])
        kept = [kept_row(task, 2), kept_row(task, 0)]
        files[RELABELLED / f"{task}.jsonl"] = map(to_line, [*headers(), *kept])
    merged = [
        kept_row(task, 2)
        | {"id": f"{task}:e2", "prompt": "p", "demos": "d", "instructions": CANDIDATES[1:3]}
        for task in TASKS
    ]
    for name in ("train", "seen_dev", "unseen_dev"):
        files[RELABELLED / f"{name}.jsonl"] = map(to_line, merged)
    write_files({**files, ORIGINS: map(to_line, origins)})


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Kept]:
    """What the response store has; a test may take something away."""
    kept: dict[str, Kept] = {}
    for task in TASKS:
        for n in range(4):
            prompt = (META / "sentence.txt").read_text().replace("{instruction}", CANDIDATES[0])
            request = json.dumps({"prompt": prompt, "max_tokens": 60})
            kept[f"{task}, made {n}"] = row(request, json.dumps(completion(CANDIDATES[n])))
            for example in range(3):
                request = json.dumps({"prompt": f"{CANDIDATES[n]} {INPUTS[example]}"})
                body = json.dumps(completion(f"raw: {task} says {n}"))
                kept[key(task, n, example)] = row(request, body)
    monkeypatch.setattr(telling, "read_only", lambda path, key: kept.get(key))
    monkeypatch.setenv("SEEDBED_STORE", "/nowhere/store.sqlite")
    return kept


# --- the way back


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("name", "line"), [("train", 0), ("seen_dev", 0), ("unseen_dev", 0), ("", 4), ("", 5)]
)
def test_a_kept_example_is_told_back_to_its_label_its_candidates_and_its_task(
    name: str, line: int, task: str
) -> None:
    place = f"{RELABELLED}/{name or task}.jsonl:{line or 1 + TASKS.index(task)}"
    example = 0 if line == 5 else 2
    text = told(place)
    headings = [one for one in text.splitlines() if not one.startswith(" ")]
    assert headings == [
        place,
        f"kept from {LABELLED}/{task}.jsonl:{4 + example}",
        f"its candidates: data/candidates/{task}.json",
        f"its task: data/niv2/{task}.json, example {example + 1} of 3",
    ]
    own, _, label = text.partition("kept from ")
    assert own.startswith(f"{place}\n  written by relabel-and-pick\n")
    assert f"  input: {INPUTS[example]}\n  target: yes\n" in own
    assert (
        "their new labels: 2\n"
        "    1. label 0.125 (ROUGE-L 0.250)\n"
        "    2. label 0.875 (ROUGE-L 0.500)\n"
    ) in own
    assert "candidates tried on it: 4 of 4, of which these were drawn\n" in label
    assert re.findall(r'\n    (\d)\. "(.*)":', label) == [
        ("1", f"{task} says 1"),
        ("2", f"{task} says 2"),
    ]


@pytest.mark.parametrize("task", TASKS)
def test_each_candidate_is_told_with_output_scores_and_where_it_came_from(
    task: str, snapshot: Snapshots
) -> None:
    snapshot(f"trace-label-{task}", told(f"{LABELLED}/{task}.jsonl:5"))


def test_labels_of_the_authors_are_told_without_keys_and_with_numbers_for_ids() -> None:
    def as_theirs(row: dict[str, Any]) -> None:
        row["id"] = 17
        del row["instruction_keys"]

    edit(LABELLED / "quiz.jsonl", 5, as_theirs)
    text = told(f"{LABELLED}/quiz.jsonl:5")
    assert "  id: 17\n" in text
    assert '    1. "quiz says 1": label 1, ROUGE-L 0.250, answer without a key\n' in text
    assert "example 2 of 3" not in text  # the task has another id
    assert "      answer without a key\n" in told(f"{LABELLED}/quiz.jsonl:5", full=True)

    edit(RELABELLED / "train.jsonl", 1, lambda row: as_theirs(row) or row.update(id="quiz:17"))
    edit(RELABELLED / "train.jsonl", 1, lambda row: row.update(input=INPUTS[1]))
    assert f"kept from {LABELLED}/quiz.jsonl:5\n" in told(f"{RELABELLED}/train.jsonl:1")


def test_every_answer_is_told_whole_if_all_is_asked_for() -> None:
    text = told(f"{RELABELLED}/quiz.jsonl:4", full=True)
    for n in (1, 2):
        assert f"      answer {key('quiz', n, 2)}\n        kept: " in text
        assert f"          prompt:\n            │ {CANDIDATES[n]} Three?\n" in text
        assert f"        raw answer:\n          │ raw: quiz says {n}\n" in text
        assert f"        │ {CANDIDATES[n]}\n        answer quiz, made {n}\n" in text
    assert text.count("raw body") == 4
    assert "candidate 0" not in text
    assert "characters of" not in text


def test_a_candidate_is_told_with_its_answer_meta_prompt_and_task(snapshot: Snapshots) -> None:
    snapshot("trace-candidate", told(f"{ORIGINS}:6"))
    assert "  the task's own instruction\n" in told(f"{ORIGINS}:1")
    assert "  no text came: the task's own instruction stands in\n" in told(f"{ORIGINS}:4")


def test_the_meta_prompts_are_those_that_candidates_ran_with() -> None:
    lock(candidates={"params": {"params.yaml": {"candidates": {"shots": "zero"}}}})
    assert "data/prompts/candidates/zero_shot/steps.txt\n" in told(f"{LABELLED}/quiz.jsonl:5")


def test_the_task_is_found_where_the_stage_found_it_and_in_either_form() -> None:
    Path("data/niv2").rename("data/before")
    lock(label={"params": {"params.yaml": {"niv2": {"folder": "data/before"}}}})
    assert "its task: data/before/quiz.json, example 2 of 3\n" in told(f"{LABELLED}/quiz.jsonl:5")
    Path("data/before/quiz.json").unlink()
    folder = Path("data/before/quiz")
    folder.mkdir()
    (folder / "naive_instruction.txt").write_text("Answer.")
    (folder / "demo.jsonl").write_text('{"input": "i", "target": "o"}\n')
    (folder / "all_examples.jsonl").write_text('{"id": "e1", "input": "Two?", "target": "yes"}\n')
    assert "its task: data/before/quiz, example 1 of 1\n" in told(f"{LABELLED}/quiz.jsonl:5")


def test_what_is_not_known_is_said_and_the_rest_is_told(store: dict[str, Kept]) -> None:
    store.clear()
    text = told(f"{LABELLED}/quiz.jsonl:4", full=True)
    assert text.count("the response store /nowhere/store.sqlite lacks it") == 6
    assert "example 1 of 3\n" in text
    Path("data/niv2/quiz.json").write_text(
        Path("data/niv2/quiz.json").read_text().replace("One?", "Won?")
    )
    assert (
        "quiz.json, the example is not among its 3: has it changed since?\n"
        in told(f"{LABELLED}/quiz.jsonl:4")
    )  # fmt: skip
    ORIGINS.unlink()
    text = told(f"{LABELLED}/quiz.jsonl:4")
    assert "        data/candidates/quiz.json, of unknown origin: Say a word.\n" in text
    assert "meta-prompt" not in text


def test_the_problem_of_an_answer_and_further_targets_are_told() -> None:
    more = {"instruction_problems": [None, "empty", None, None], "targets": ["yes", "yeah"]}
    edit(LABELLED / "quiz.jsonl", 4, lambda row: row.update(more))
    text = told(f"{LABELLED}/quiz.jsonl:4")
    assert '1. "quiz says 1": label 1, ROUGE-L 0.250, problem: empty, answer' in text
    assert text.count("problem") == 1
    assert '  targets: ["yes", "yeah"]\n' in text


# --- what DVC recorded of folders


def record(stage: str, kind: str, folder: str) -> None:
    """Have DVC digest a folder, keep its files if they are an output, and lock it."""
    with Repo() as repo:
        loaded = repo.stage.load_one(name=stage)
        for one in (*loaded.deps, *loaded.outs):
            if one.def_path == folder:
                one.save()
                if kind == "outs":
                    one.commit()
                entry = {"path": folder, "hash": "md5", "md5": one.hash_info.value}
                lock(**{stage: {"cmd": loaded.cmd, kind: [entry]}})


def forget_lists() -> None:
    """As in a clone whose cache was not fetched."""
    shutil.rmtree(".dvc/cache")
    shutil.rmtree(".dvc/tmp", ignore_errors=True)


@pytest.mark.slow
def test_a_file_in_a_folder_is_compared_with_what_the_stage_wrote() -> None:
    Repo.init(no_scm=True).close()
    record("label", "outs", "data/label")
    same = "  the file is what label wrote (dvc.lock)\n"
    assert same in told(f"{LABELLED}/quiz.jsonl:4")
    other = LABELLED / "quiz_long.jsonl"
    edit(other, 5, lambda row: row.update(target="no"))
    assert same in told(f"{LABELLED}/quiz.jsonl:4"), "another file has changed, not this one"
    assert (
        "  the file is NOT what label wrote: it has changed since (dvc.lock)\n"
        in told(f"{other}:4")
    )  # fmt: skip
    shutil.copy(other, LABELLED / "new.jsonl")
    shutil.copy("data/candidates/quiz.json", "data/candidates/new.json")
    shutil.copy("data/niv2/quiz.json", "data/niv2/new.json")
    ORIGINS.unlink()
    assert "the file is NOT what label wrote" in told(f"{LABELLED}/new.jsonl:4")

    forget_lists()
    assert (
        "  whether the file is what label wrote is not known: "
        "something in data/label has changed since (dvc.lock)\n"
    ) in told(f"{LABELLED}/quiz.jsonl:4")
    (LABELLED / "new.jsonl").unlink()
    edit(other, 5, lambda row: row.update(target="yes"))
    write_files({other: [to_line(json.loads(line)) for line in other.read_text().splitlines()]})
    assert same in told(f"{LABELLED}/quiz.jsonl:4"), "the whole folder is as it was"


def test_a_file_in_a_folder_is_compared_with_what_the_stage_ran_with() -> None:
    Repo.init(no_scm=True).close()
    record("label", "deps", "data/niv2")
    same = "  the file is what label ran with (dvc.lock)\n"
    assert told(f"{LABELLED}/quiz.jsonl:4").endswith(same)
    path = Path("data/niv2/quiz_long.json")
    path.write_text(path.read_text() + "\n")
    # A dependency is no output of DVC's, so its cache has no list of it.
    assert told(f"{LABELLED}/quiz.jsonl:4").endswith(
        "  whether the file is what label ran with is not known: "
        "something in data/niv2 has changed since (dvc.lock)\n"
    )


def test_without_dvc_it_says_why_it_does_not_know() -> None:
    lock(label={"outs": [{"path": "data/label", "md5": "0.dir"}]})
    text = told(f"{LABELLED}/quiz.jsonl:4")
    assert "  whether the file is what label wrote is not known: you are not inside" in text
    assert "the file is NOT" not in text
    lock(label={"outs": [{"path": f"{LABELLED}/quiz.jsonl", "md5": md5(LABELLED / "quiz.jsonl")}]})
    assert "  the file is what label wrote (dvc.lock)\n" in told(f"{LABELLED}/quiz.jsonl:4")


# --- what a model wrote stays text


def test_nothing_that_a_terminal_would_act_on_is_printed(store: dict[str, Kept]) -> None:
    texts = [*CANDIDATES[:1], EVIL, *CANDIDATES[2:]]
    file_of("quiz").write_text(json.dumps(texts))
    edit(ORIGINS, 2, lambda row: row.update(instruction=EVIL, key=EVIL))
    edit(LABELLED / "quiz.jsonl", 2, lambda row: row.update(instructions=texts))
    evil = {"instruction_outputs": [EVIL] * 4, "instruction_keys": [EVIL] * 4, "target": EVIL}
    edit(LABELLED / "quiz.jsonl", 4, lambda row: row.update(evil))
    store[EVIL] = row(json.dumps({"prompt": EVIL}), json.dumps(completion(EVIL)), EVIL, EVIL)
    for full in (False, True):
        for place in (f"{LABELLED}/quiz.jsonl:4", f"{ORIGINS}:2"):
            lines = account(place, full)
            assert any("\\x1b[2J" in line for line in lines)
            for line in lines:
                assert line.isprintable(), line


@pytest.mark.parametrize("place", [f"{LABELLED}/quiz.jsonl:4", f"{RELABELLED}/quiz.jsonl:5"])
def test_neither_is_it_in_a_message(place: str) -> None:
    edit(LABELLED / "quiz.jsonl", 2, lambda row: row.update(instructions=[EVIL] * 4))
    edit(RELABELLED / "quiz.jsonl", 5, lambda row: row.update(id=EVIL))
    assert_refused_in_plain_text(place)


# --- what cannot be traced


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        (f"{LABELLED}/quiz.jsonl:1", BadRow, ":1: no example, but a header: the ranking model's"),
        (f"{LABELLED}/quiz.jsonl:2", BadRow, "header: the task's candidates\n  .* line 4 on"),
        (f"{RELABELLED}/quiz.jsonl:3", BadRow, ":3: no example, but a header: its demos"),
        (f"{LABELLED}/quiz.jsonl:7", NoSuchLine, "The file has 6 lines"),
        (f"{RELABELLED}/train.jsonl:3", NoSuchLine, "The file has 2 lines"),
        (f"{LABELLED}/quizz.jsonl:4", BadFile, "no such file\n  Did you mean quiz.jsonl?"),
        (f"{LABELLED}/other:4", BadFile, "no such file\n  See what is in data/label"),
        (f"{file_of('quiz')}:2", BadFile, f"one JSON list, without rows\n  .*{ORIGINS}"),
        ("data/niv2/quiz.json:2", NotAnOutput, r"\n    data/label/\*\.jsonl"),
    ],
)
def test_what_is_no_example_is_refused(place: str, error: type[SeedbedError], said: str) -> None:
    with pytest.raises(error, match=f"(?s){said}"):
        account(place)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("quiz.jsonl:4", LABELLED / "quiz.jsonl"),
        ("quiz.jsonl:4", LABELLED),
        ("train.jsonl:1", LABELLED),
        ("train.jsonl:1", file_of("quiz")),
        ("train.jsonl:1", RELABELLED),
    ],
)
def test_a_file_that_the_example_came_from_must_be_here(name: str, missing: Path) -> None:
    shutil.rmtree(missing) if missing.is_dir() else missing.unlink()
    with pytest.raises(NotHere, match=f"{missing}.*: no such file.*\n.*dvc repro.*dvc pull"):
        account(f"{RELABELLED}/{name}")


def test_files_of_different_runs_are_told_apart() -> None:
    edit(RELABELLED / "train.jsonl", 1, lambda row: row["instruction_outputs"].reverse())
    with pytest.raises(OriginMissing, match=r"train\.jsonl:1: data/label/quiz\.jsonl has no row"):
        account(f"{RELABELLED}/train.jsonl:1")
    edit(RELABELLED / "train.jsonl", 1, lambda row: row.update(id="other:e2"))
    with pytest.raises(OriginMissing, match="has no row with a task for the id 'other:e2'"):
        account(f"{RELABELLED}/train.jsonl:1")
    edit(LABELLED / "quiz.jsonl", 2, lambda row: row["instructions"].append("One more."))
    with pytest.raises(OriginMissing, match=r"has no row with the instruction 'One more\.' at pl"):
        account(f"{LABELLED}/quiz.jsonl:4")
    file_of("quiz").write_text('["Answer."]')
    with pytest.raises(BadFile, match=r"1 instructions, but .* has 4"):
        account(f"{LABELLED}/quiz.jsonl:4")


def test_a_task_that_is_gone_is_named() -> None:
    Path("data/niv2/quiz.json").unlink()
    with pytest.raises(NoSuchTask, match="there is no task quiz in data/niv2"):
        account(f"{LABELLED}/quiz.jsonl:4")


@pytest.mark.slow
def test_of_a_folder_outside_the_repository_it_is_known_whether_all_of_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "quiz.json").write_text("{}")
    monkeypatch.chdir(inside)
    stage = {"cmd": "mkdir -p out && echo 1 > out/1", "deps": ["../outside"], "outs": ["out"]}
    Path("dvc.yaml").write_text(json.dumps({"stages": {"label": stage}}))
    for command in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True, capture_output=True)
    task = Path("../outside/quiz.json")
    assert "the file is what label ran with" in Pipeline().compared("label", task)
    (outside / "more.json").write_text("{}")
    assert "not known" in Pipeline().compared("label", task)
    assert revision(task) in ("not in git", "not in git: it was never committed")
