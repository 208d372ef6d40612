"""Natural Instructions tasks: three ways of keeping them, one record, and what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.project import ROOT, SHARED, Project
from support.tries import tries

from seedbed.auto_instruct.params import Niv2
from seedbed.auto_instruct.tasks import survey
from seedbed.errors import BadFile, SeedbedError
from seedbed.tasks.errors import BadTaskName, NoSuchTask, SameTaskName
from seedbed.tasks.niv2 import Example, Task, read_task
from seedbed.tasks.places import find_tasks, list_tasks

REAL = SHARED / "data" / "niv2"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="the authors' tasks are not here")


def new_shape(**changes: object) -> dict:
    return {
        "Contributors": ["somebody"],
        "Definition": ["Say what is asked.", "Be short."],
        "Categories": ["Question Answering"],
        "Positive Examples": [{"input": "One?", "output": "1", "explanation": "It is."}],
        "Negative Examples": [],
        "Instances": [
            {"id": "a", "input": "Two?", "output": ["2", "two"]},
            {"id": "b", "input": "Three?", "output": ["3"]},
        ],
    } | changes


def old_shape(**changes: object) -> dict:
    instances = [{"input": "Two?", "output": "2"}, {"input": "Three?", "output": "3"}]
    return new_shape(Definition=" Say what is asked. ", Instances=instances) | changes


def keep(folder: Path, content: object, name: str = "task1") -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def keep_folder(
    parent: Path, rows: list[dict], name: str = "task1", category: str | None = "Summarization"
) -> Path:
    """A task as the authors of Auto-Instruct keep it."""
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "naive_instruction.txt").write_text("Say what is asked.\n", encoding="utf-8")
    demo = {"id": "d", "input": "One?", "target": "1"}
    (folder / "demo.jsonl").write_text(json.dumps(demo) + "\n", encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "all_examples.jsonl").write_text(lines, encoding="utf-8")
    if category is not None:
        metadata = json.dumps({"summary": "", "category": category})
        (folder / "task_metadata.json").write_text(metadata, encoding="utf-8")
    return folder


ROWS = [{"id": "a", "input": "Two?", "target": "2"}, {"id": "b", "input": "Three?", "target": "3"}]


# --- the three ways


def test_a_new_file_is_read(tmp_path: Path) -> None:
    task = read_task(keep(tmp_path, new_shape()))
    assert task.name == "task1"
    assert task.instruction == "Say what is asked. Be short."
    assert [demo.model_dump() for demo in task.demos] == [
        {"input": "One?", "output": "1", "explanation": "It is."}
    ]
    assert task.examples == [
        Example(id="a", input="Two?", targets=["2", "two"]),
        Example(id="b", input="Three?", targets=["3"]),
    ]
    assert (task.is_classification, task.labels) == (False, [])
    assert task.categories == ["Question Answering"]


def test_an_old_file_is_read(tmp_path: Path) -> None:
    task = read_task(keep(tmp_path, old_shape()))
    assert task.instruction == "Say what is asked."
    assert [(one.input, one.targets) for one in task.examples] == [
        ("Two?", ["2"]),
        ("Three?", ["3"]),
    ]


def test_a_file_between_old_and_new_is_read(tmp_path: Path) -> None:
    # As the official files were at one time.
    instances = [{"input": "Two?", "output": ["2", "two"]}]
    task = read_task(keep(tmp_path, old_shape(Instances=instances)))
    assert task.instruction == "Say what is asked."
    assert task.examples[0].targets == ["2", "two"]


@pytest.mark.parametrize("category", ["Summarization", None])
def test_a_folder_is_read(tmp_path: Path, category: str | None) -> None:
    task = read_task(keep_folder(tmp_path, ROWS, category=category))
    assert task.name == "task1"
    assert task.instruction == "Say what is asked."
    assert [(demo.input, demo.output) for demo in task.demos] == [("One?", "1")]
    assert task.examples == [
        Example(id="a", input="Two?", targets=["2"]),
        Example(id="b", input="Three?", targets=["3"]),
    ]
    assert task.categories == ([] if category is None else [category])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=12)


@settings(max_examples=tries(60), deadline=None)
@given(pairs=pairs, classes=st.booleans())
def test_the_same_task_is_the_same_whichever_way_it_is_kept(
    pairs: list[tuple[str, str]], classes: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ways")
    if classes:
        pairs = [(text, "yes" if i % 2 else "no") for i, (text, _) in enumerate(pairs * 2)]
    demos = [{"input": "One?", "output": "1"}]
    old = [{"input": text, "output": output} for text, output in pairs]
    new = [{"id": f"i{n}", "input": i, "output": [o]} for n, (i, o) in enumerate(pairs)]
    rows = [{"id": f"i{n}", "input": i, "target": o} for n, (i, o) in enumerate(pairs)]
    same = {"Positive Examples": demos, "Categories": ["Sentiment Analysis"]}
    of_old = read_task(
        keep(folder, old_shape(Instances=old, Definition="Say what is asked.", **same))
    )
    of_new = read_task(
        keep(folder, new_shape(Instances=new, Definition=["Say what is asked."], **same))
    )
    of_folder = read_task(keep_folder(folder, rows, category="Sentiment Analysis"))
    assert of_new == of_folder
    assert without_ids(of_old) == without_ids(of_new)
    assert len({one.id for one in of_old.examples}) == len(pairs)


def without_ids(task: Task) -> dict:
    return task.model_dump(exclude={"examples": {"__all__": {"id"}}})


@settings(max_examples=tries(60), deadline=None)
@given(pairs=pairs, data=st.data())
def test_an_example_of_an_old_file_keeps_its_id_when_others_come_and_go(
    pairs: list[tuple[str, str]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ids")

    def ids(some: list[tuple[str, str]]) -> set[tuple[str, str, str]]:
        instances = [{"input": text, "output": output} for text, output in some]
        task = read_task(keep(folder, old_shape(Instances=instances)))
        return {(one.id, one.input, one.targets[0]) for one in task.examples}

    fewer = data.draw(st.permutations(pairs))[: data.draw(st.integers(1, len(pairs)))]
    assert ids(fewer) <= ids(pairs)


def test_the_first_so_many_examples_are_kept_and_the_labels_are_those_of_all(
    tmp_path: Path,
) -> None:
    rows = [{"id": str(n), "input": "?", "target": "no" if n < 9 else "yes"} for n in range(18)]
    for path in (
        keep_folder(tmp_path, rows, category="Text Categorization"),
        keep(
            tmp_path,
            new_shape(Instances=[{**row, "output": [row["target"]]} for row in rows]),
            "task2",
        ),
    ):
        task = read_task(path, max_examples=2)
        assert [one.id for one in task.examples] == ["0", "1"]
        assert task.is_classification
        assert {"no", "yes"} <= set(task.labels)


@pytest.mark.parametrize(
    ("outputs", "category", "labels"),
    [
        pytest.param(["b", "a"] * 8, "Summarization", ["1", "a", "b"], id="few, often"),
        pytest.param(["b", "a"] * 3, "Summarization", [], id="few, not often"),
        pytest.param(["b", "a"] * 3, "Text Categorization", ["1", "a", "b"], id="named"),
        pytest.param(["a", "b", "c"], "Text Categorization", [], id="named, but all different"),
        pytest.param(["1"] * 9, "Text Categorization", [], id="always the same"),
        pytest.param([str(n) for n in range(30)] * 9, "Math", [], id="many"),
        pytest.param(
            [str(n) for n in range(30)] * 2,
            "Intent Classification",
            sorted(map(str, range(30))),
            id="many, named",
        ),
        pytest.param([str(n) for n in range(300)] * 9, "Entailment", [], id="too many"),
        pytest.param(["a", " a", "b\n"] * 9, "Math", ["1", "a", "b"], id="space around"),
    ],
)
def test_what_counts_as_a_classification(
    tmp_path: Path, outputs: list[str], category: str, labels: list[str]
) -> None:
    instances = [{"input": f"{n}?", "output": output} for n, output in enumerate(outputs)]
    task = read_task(keep(tmp_path, old_shape(Instances=instances, Categories=[category])))
    assert task.labels == labels
    assert task.is_classification == bool(labels)


# --- where they are


def test_tasks_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "C", "a10", "a2"):
        keep(tmp_path, new_shape(), name)
    keep_folder(tmp_path, ROWS, "a3")
    (tmp_path / "a2.json.dvc").write_text("")
    (tmp_path / ".hidden.json").write_text("")
    (tmp_path / "README.md").write_text("")
    found = find_tasks(tmp_path)
    assert [path.name for path in found] == ["C.json", "a10.json", "a2.json", "a3", "b.json"]
    some = find_tasks(tmp_path, ["b", "a3"])
    assert [path.name for path in some] == ["a3", "b.json"]


def test_a_folder_of_tasks_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "official").mkdir()
    keep(tmp_path / "official", new_shape(), "task2")
    keep_folder(tmp_path / "official", ROWS, "task3")
    keep(tmp_path, new_shape(), "task1")
    assert [read_task(path).name for path in find_tasks(tmp_path)] == ["task1", "task2", "task3"]


def test_names_that_some_disks_do_not_tell_apart_are_one(tmp_path: Path) -> None:
    keep(tmp_path, new_shape(), "task1")
    keep(tmp_path, new_shape(), "Task1")
    with pytest.raises(SameTaskName):
        find_tasks(tmp_path)
    assert len(find_tasks(tmp_path, ["Task1"])) == 1


@pytest.mark.parametrize("name", ["train", "seen_dev", "unseen_dev", "TRAIN", "Seen_Dev"])
def test_no_task_has_the_name_of_a_file_of_all_tasks(tmp_path: Path, name: str) -> None:
    keep(tmp_path, new_shape(), name)
    with pytest.raises(BadTaskName, match="relabel-and-pick has a file of that name"):
        find_tasks(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = keep(tmp_path, new_shape())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_task(path).name == "task1"


def test_two_tasks_of_one_name_are_refused_if_one_of_them_is_asked_for(tmp_path: Path) -> None:
    keep(tmp_path, new_shape(), "task1")
    keep_folder(tmp_path, ROWS, "task1")
    keep(tmp_path, new_shape(), "task2")
    for names in (None, ["task1"]):
        with pytest.raises(SameTaskName, match=r"task1: .*task1\.json has the same task name"):
            find_tasks(tmp_path, names)
    assert len(find_tasks(tmp_path, ["task2"])) == 1


@pytest.mark.parametrize(
    "name", ["../task1", "a/b", "..", "a..b", "-a", ".a", "", "a b", "a\n", "tâche", "a" * 201]
)
def test_a_name_that_a_path_could_act_on_is_refused(tmp_path: Path, name: str) -> None:
    keep(tmp_path, new_shape())
    with pytest.raises(BadTaskName, match="cannot name a task"):
        find_tasks(tmp_path, [name])


@pytest.mark.parametrize("name", ["a b", "-a", "a..b", "a\x1b[2J", "tâche"])
def test_a_file_of_such_a_name_is_refused(tmp_path: Path, name: str) -> None:
    path = keep(tmp_path, new_shape(), name)
    with pytest.raises(BadTaskName, match="cannot name a task"):
        find_tasks(tmp_path)
    with pytest.raises(BadTaskName, match="cannot name a task"):
        read_task(path)


def test_an_unknown_name_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    keep(tmp_path, new_shape(), "task195_sentiment")
    with pytest.raises(NoSuchTask, match=r"(?s)no task task195_sentimant .*mean task195_sentiment"):
        find_tasks(tmp_path, ["task195_sentimant"])


@pytest.mark.parametrize("name", ["nowhere", "empty", "x" * 5000, "a\0b"])
def test_a_folder_without_tasks_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFile, match=re.escape(name)):
        list_tasks(tmp_path / name)


# --- what is refused


def instances(*outputs: object) -> dict:
    rows = [{"id": str(n), "input": "?", "output": output} for n, output in enumerate(outputs)]
    return new_shape(Instances=rows)


def less(field: str) -> dict:
    return {name: value for name, value in new_shape().items() if name != field}


NO_ID = {"input": "?", "output": ["x"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(less("Instances"), "field Instances: ", id="no instances"),
        pytest.param(new_shape(Instances=[]), "field Instances: ", id="empty instances"),
        pytest.param(less("Positive Examples"), "field Positive Examples: ", id="no demos"),
        pytest.param(
            new_shape(**{"Positive Examples": []}), "field Positive Examples: ", id="empty demos"
        ),
        pytest.param(
            new_shape(**{"Positive Examples": [{"input": "?", "output": 1}]}),
            "field Positive Examples.0.output: ",
            id="demo with a number",
        ),
        pytest.param(less("Definition"), "field Definition: ", id="no definition"),
        pytest.param(
            new_shape(Definition=[" ", ""]), "field Definition: blank", id="blank definition"
        ),
        pytest.param(
            new_shape(Definition=[]), r"field Definition: .*found \[\]", id="empty definition"
        ),
        pytest.param(
            new_shape(Definition=None), "field Definition: .*found null", id="null definition"
        ),
        pytest.param(
            instances(["x"], "x"),
            "field Instances.1.output: a text, but that of the first is a list",
            id="a text among lists",
        ),
        pytest.param(
            instances("x", ["x"]), "field Instances.1.output: a list", id="a list among texts"
        ),
        pytest.param(
            instances(["x"], 3), "field Instances.1.output: .*found 3", id="a number as output"
        ),
        pytest.param(
            instances(["x"], [3]), r"field Instances.1.output: .*found \[3", id="a number in it"
        ),
        pytest.param(
            instances(["x"], None), "field Instances.1.output: .*found null", id="null as output"
        ),
        pytest.param(
            instances(["x"], []), r"field Instances.1.output: .*found \[\]", id="no output"
        ),
        pytest.param(
            new_shape(Instances=[{"id": "a", **NO_ID}, NO_ID]),
            "field Instances.1.id: none, but the first has one",
            id="some without ids",
        ),
        pytest.param(
            new_shape(Instances=[NO_ID, {"id": "a", **NO_ID}]),
            "field Instances.1.id: there is one, but the first has none",
            id="some with ids",
        ),
        pytest.param(
            new_shape(Instances=[{"id": "a", **NO_ID}] * 2),
            "field Instances.1.id: 'a' is also that of example 1",
            id="an id twice",
        ),
        pytest.param(
            new_shape(Instances=[{"id": 7, **NO_ID}]), "field Instances.0.id: ", id="id no text"
        ),
        pytest.param(
            new_shape(Instances=[{"id": "a", "input": None, "output": ["x"]}]),
            "field Instances.0.input: ",
            id="null as input",
        ),
        pytest.param([new_shape()], "object", id="a list of tasks"),
    ],
)
def test_a_bad_file_is_refused_with_its_field(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(SeedbedError, match=rf"task1\.json: {said}|task1\.json: .*{said}"):
        read_task(keep(tmp_path, content))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b'{\n"Definition": \n}', "task1.json:3: Invalid JSON", id="broken"),
        pytest.param(
            b"", "task1.json:1: Invalid JSON: EOF while parsing a value (column 1)", id="empty"
        ),
        pytest.param(b'{"Definition": "\xff"}', "task1.json: not UTF-8 (byte 16)", id="bytes"),
        pytest.param(
            json.dumps(new_shape()).encode("utf-16"), "task1.json: is UTF-16, not", id="UTF-16"
        ),
        pytest.param(b"[" * 100_000, "task1.json:1: Invalid JSON: recursion limit", id="deep"),
        pytest.param(
            b'{\n"Source": "\\ud800"}',
            "task1.json:2: Invalid JSON: half of a surrogate pair (column 18)",
            id="surrogate",
        ),
        pytest.param(b'{"Source": "\n"}', "task1.json:1: Invalid JSON: control", id="newline"),
    ],
)
def test_what_is_not_json_is_refused_with_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "task1.json"
    path.write_bytes(data)
    with pytest.raises(SeedbedError) as error:
        read_task(path)
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["naive_instruction.txt", "demo.jsonl", "all_examples.jsonl"])
def test_a_folder_with_some_of_its_files_is_refused_with_those_it_lacks(
    tmp_path: Path, name: str
) -> None:
    folder = keep_folder(tmp_path, ROWS)
    (folder / name).unlink()
    assert find_tasks(tmp_path) == [folder]
    with pytest.raises(BadFile, match=f"task1: has no {name}"):
        read_task(folder)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("naive_instruction.txt", b" \n", "naive_instruction.txt: blank"),
        ("naive_instruction.txt", b"\xff", "naive_instruction.txt: not UTF-8"),
        ("demo.jsonl", b"", "demo.jsonl: empty"),
        ("demo.jsonl", b'{"input": "?", "target": 1}', "demo.jsonl:1: field target"),
        ("all_examples.jsonl", b"", "all_examples.jsonl: empty"),
        ("all_examples.jsonl", b'{"id": "a"', "all_examples.jsonl:1: "),
        (
            "all_examples.jsonl",
            b'{"id": "a", "input": "?", "target": null}',
            "all_examples.jsonl:1: field target: expected a text or a list of texts, found null",
        ),
        (
            "all_examples.jsonl",
            b'{"id": "a", "input": "", "target": "x"}\n{"id": "b", "input": "", "target": ["x"]}',
            "all_examples.jsonl:2: field target: a list, but that of the first is a text",
        ),
        (
            "all_examples.jsonl",
            b'{"id": "a", "input": "", "target": "x"}\n' * 2,
            "all_examples.jsonl:2: field id: 'a' is also that of example 1",
        ),
        ("task_metadata.json", b'{"category": 3}', "task_metadata.json: field category: "),
        ("task_metadata.json", b"{", "task_metadata.json:1: Invalid JSON"),
    ],
)
def test_a_bad_file_of_a_folder_is_refused(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    folder = keep_folder(tmp_path, ROWS)
    (folder / name).write_bytes(data)
    with pytest.raises(SeedbedError) as error:
        read_task(folder, max_examples=1)
    assert said in str(error.value)


# Alone in a process, so that the peak is its own; 14,000 examples of 1,200 words.
LARGE = r"""
import re, sys
from pathlib import Path
from seedbed.tasks.niv2 import read_task
task = read_task(Path(sys.argv[1]), max_examples=10)
# Not ru_maxrss: a process is born with its parent's.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(task.examples), int(peak) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_task_of_100_mb_is_read_in_half_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    text = "a word or two " * 535
    with path.open("w", encoding="utf-8") as file:
        head = json.dumps(less("Instances"))[:-1]
        file.write(head + ', "Instances": [')
        rows = (f'{{"id": "{n}", "input": "{text}", "output": ["{n}"]}}' for n in range(14_000))
        file.write(",\n".join(rows) + "]}")
    assert path.stat().st_size > 100_000_000
    done = subprocess.run(
        [sys.executable, "-c", LARGE, path],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    examples, peak = map(int, done.stdout.split())
    assert examples == 10
    assert peak < 512


# --- the command


def test_every_task_is_looked_at_even_if_some_are_broken(tmp_path: Path) -> None:
    keep(tmp_path, less("Definition"), "a")
    keep(tmp_path, new_shape(), "b")
    (tmp_path / "c").mkdir()
    keep(tmp_path, new_shape(), "d d")
    lines = list(survey(tmp_path, ["b", "bb"]))
    assert [sound for _, sound in lines] == [True, False, True, False, False, False, True]
    said = [line for line, _ in lines]
    assert "field Definition" in said[1]
    assert said[2].split() == ["b", "2", "1", "1.0", "1.0", "generation"]
    assert "has no naive_instruction.txt and no demo.jsonl" in said[3]
    assert "cannot name a task" in said[4]
    assert "there is no task bb" in said[5]
    assert said[6] == "4 tasks, 3 of them broken"
    assert not any("\n" in line for line in said)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("tasks") / "project")


def test_the_command_fails_if_a_task_is_broken_and_writes_nothing(project: Project) -> None:
    done = project.stage("tasks")
    assert done.returncode == 0, done.stdout
    assert "6 tasks, 0 of them broken" in done.stdout
    keep(project.folder / "data/niv2", less("Instances"), "broken")
    try:
        before = project.run("git", "status", "--porcelain").stdout
        done = project.stage("tasks")
        assert done.returncode == 1
        assert "broken: data/niv2/broken.json: field Instances: " in done.stdout
        assert project.run("git", "status", "--porcelain").stdout == before
    finally:
        project.run("git", "clean", "-q", "-f", "-d")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"tasks": ["../a"]}, ("tasks", 0), "cannot name a task"),
        ({"tasks": ["a", "b", "a"]}, ("tasks",), "twice"),
        ({"tasks": []}, ("tasks",), "at least 1"),
        ({"tasks": "a"}, ("tasks",), "list"),
        ({"folder": ""}, ("folder",), "at least 1"),
    ],
)
def test_bad_parameters_are_refused(changes: dict, field: tuple[str | int, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as error:
        Niv2.model_validate({"folder": "data/niv2", "tasks": None} | changes)
    assert error.value.errors()[0]["loc"] == field


# --- real ones


@needs_real
def test_the_authors_tasks_are_read() -> None:
    found = {path.name: read_task(path) for path in find_tasks(REAL)}
    assert len(found) == 8
    for task in found.values():
        assert len(task.examples) == 300
        assert len(task.demos) == 3
        assert task.instruction
        assert len(task.categories) == 1
    classes = {name.split("_")[0]: task.labels for name, task in found.items() if task.labels}
    assert classes == {
        "task1541": ["0", "1", "2", "3"],
        "task190": ["C", "N"],  # the third has not come among the first 300
        "task195": ["negative", "positive"],
        "task280": ["Gender", "Profession", "Race", "Religion"],
        "task828": ["cause", "effect"],
    }
