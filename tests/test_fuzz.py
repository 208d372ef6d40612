"""Whatever stands in a file that people write, it is read or refused in one error.

A few strange contents of each kind of file in the suite; by hand, after a change to how files are
read, as many as you have time for (a thousand of each take a few minutes):

    SEEDBED_FUZZ=1000 pytest tests/test_fuzz.py

params.yaml has a test of its own, test_fuzz_params.py.
"""

import codecs
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from support.params import sampling, section
from support.project import ROOT
from support.server import completion
from support.tries import tries

from seedbed.auto_instruct import label, relabel_and_pick
from seedbed.auto_instruct.candidate_files import ORIGINS, file_of, read_candidates
from seedbed.auto_instruct.candidates import read_meta_prompts
from seedbed.auto_instruct.label_file import LabelFile
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct.rows import LABELLED, Candidate
from seedbed.auto_instruct.tasks import survey
from seedbed.core.files import to_line
from seedbed.core.paths import PARAMS, PRESETS, PROMPTS
from seedbed.core.prompts import Prompt
from seedbed.errors import SeedbedError
from seedbed.llm.contract.request import Canon, Request, key_of
from seedbed.llm.contract.wire import read_body
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from seedbed.llm.store.transfer import export, read_in, statistics
from seedbed.llm.store.upkeep import prune, tokens_a_character
from seedbed.runs.outline import printable
from seedbed.self_instruct.instructions import numbered
from seedbed.self_instruct.rows import SEED_TASKS
from seedbed.self_instruct.seeds import read_seed_tasks
from seedbed.tasks.few_shot import prompt, shown
from seedbed.tasks.niv2 import Demo, Example, Task, read_task
from seedbed.views import preset as presets

EXAMPLES = int(os.environ.get("SEEDBED_FUZZ", tries(25)))

TASK = {
    "Definition": ["Say what is asked."],
    "Categories": ["Question Answering"],
    "Positive Examples": [{"input": "One?", "output": "1", "explanation": "It is."}],
    "Instances": [
        {"id": "a", "input": "Two?", "output": ["2", "two"]},
        {"id": "b", "input": "Three?", "output": ["3"]},
    ],
}
OLD_TASK = TASK | {
    "Definition": "Say what is asked.",
    "Instances": [{"input": "Two?", "output": "2"}, {"input": "Three?", "output": "3"}],
}
SEED = {
    "id": "seed_task_0",
    "name": "sort",
    "instruction": "Sort the words.",
    "instances": [{"input": "b a", "output": "a b"}],
    "is_classification": False,
}
CANDIDATES = ["Say what is asked.", "Answer.", "Say a number."]
LABELS = [
    {"prompt": "{{input}} {{instruction}}"},
    {"instructions": CANDIDATES},
    {"demos": "Input: One?\nOutput: 1"},
    *(
        {
            "id": f"e{n}",
            "input": "Two?",
            "target": "2",
            "instruction_idx": [0, 1, 2],
            "instruction_labels": [1, 0, 0],
            "instruction_outputs": ["2", "3", ""],
            "instruction_rouge": [1.0, 0.5, 0.0],
            "instruction_keys": ["k0", "k1", "k2"],
        }
        for n in range(4)
    ),
]
RELABELLING = section(RelabelAndPick, sample_instructions=2, min_qualify_range=0)


def answers() -> list[dict[str, Any]]:
    """Lines of an exported store."""
    greedy = sampling(max_tokens=8, stop=[])
    canon = Canon({"server": "http://host/v1", "name": "m"})
    keyed = [canon.of(Request(text, greedy)) for text in "ab"]
    body = json.dumps(completion("x"))
    day = "2026-01-01 00:00:00"
    rows = [
        Kept(*one[:2], canon.model, one.form, body, 8, True, None, 1.0, 1.0, day) for one in keyed
    ]
    return [
        {
            "key": row.key,
            "request": json.loads(row.request),
            "response": row.response,
            "max_tokens": 8,
            "problem": None,
            "prompt_tokens": 1.0,
            "completion_tokens": 1.0,
            "created_at": day,
        }
        for row in rows
    ]


# --- what reads each of them, and uses what it read


def use_seed_tasks() -> None:
    tasks = read_seed_tasks()
    assert numbered([task.instruction for task in tasks]).encode()
    assert "".join(map(to_line, tasks)).encode()


def use_task(path: Path) -> None:
    task = read_task(path)
    demos = shown((demo.input, demo.output) for demo in task.demos)
    for example in task.examples:
        assert prompt(task.instruction, demos, example.input).encode()
    for meta_prompt in read_meta_prompts("zero"):
        assert meta_prompt.fill(task).encode()
    assert all(printable(line).encode() for line, _ in survey(path.parent))


def use_meta_prompts() -> None:
    demo, example = Demo(input="i", output="o"), Example(id="a", input="i", targets=["o"])
    task = Task(
        name="t",
        instruction="Do {it}.",
        demos=[demo],
        examples=[example],
        is_classification=False,
        labels=[],
        categories=[],
    )
    assert all(one.fill(task).encode() for one in read_meta_prompts("few"))


def use_candidates(task: str) -> None:
    assert "".join(map(to_line, read_candidates([task])[task])).encode()


def use_labels() -> None:
    path = LABELLED / "task1.jsonl"
    candidates = relabel_and_pick.Inputs().candidates
    file, numbers = relabel_and_pick.read_task(path, candidates, RELABELLING)
    assert isinstance(file, LabelFile)
    task = relabel_and_pick.pick_task(file, numbers, RELABELLING, None)
    lines = list(relabel_and_pick.task_lines(task))
    lines += relabel_and_pick.merged_lines([task], "train")
    assert "".join(lines).encode("utf-8", "replace")


def use_answers() -> None:
    with closing(Store(Path("responses.sqlite"))) as store:
        try:
            read_in(store, Path("answers.jsonl"))
            assert "".join(export(store)).encode() or not list(store.rows())
            assert "".join(map(printable, statistics(store))).encode()
            for row in store.rows():
                tokens_a_character(store, row.model)
                assert read_body(row.key, row.response, row.problem)
        finally:
            prune(store, None, None, "9999-99-99", delete=True)


def use_preset() -> None:
    text = (ROOT / PARAMS).read_text(encoding="utf-8")
    PARAMS.write_text(text, encoding="utf-8")
    presets.apply("mine")
    # What it made of params.yaml is sound.
    PARAMS.write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-8")
    assert presets.apply("mine") == []


@dataclass(frozen=True)
class Kind:
    """A kind of file. lines: the JSON values in it, or None where it is a text."""

    path: Path
    use: Callable[[], object]
    lines: list[Any] | None = None
    text: str = ""

    @property
    def content(self) -> bytes:
        text = self.text if self.lines is None else joined(json.dumps(one) for one in self.lines)
        return text.encode()


def joined(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


NIV2 = Path("data/niv2")
FOLDER = NIV2 / "task2"
_ORIGINS = [
    Candidate(task="task1", index=n, meta_prompt=None, sample=None, key=None, instruction=text)
    for n, text in enumerate(CANDIDATES)
]
KINDS = {
    "seed tasks": Kind(SEED_TASKS, use_seed_tasks, [SEED, SEED | {"id": "b"}]),
    "task, new": Kind(NIV2 / "task1.json", lambda: use_task(NIV2 / "task1.json"), [TASK]),
    "task, old": Kind(NIV2 / "task1.json", lambda: use_task(NIV2 / "task1.json"), [OLD_TASK]),
    "task's instruction": Kind(
        FOLDER / "naive_instruction.txt", lambda: use_task(FOLDER), text="Say what is asked.\n"
    ),
    "task's demos": Kind(
        FOLDER / "demo.jsonl", lambda: use_task(FOLDER), [{"input": "One?", "target": "1"}]
    ),
    "task's examples": Kind(
        FOLDER / "all_examples.jsonl",
        lambda: use_task(FOLDER),
        [{"id": "a", "input": "Two?", "target": "2"}, {"id": "b", "input": "?", "target": "3"}],
    ),
    "task's metadata": Kind(
        FOLDER / "task_metadata.json", lambda: use_task(FOLDER), [{"category": "Summarization"}]
    ),
    "prompt": Kind(
        PROMPTS / "clf/is_classification.txt",
        lambda: Prompt("clf/is_classification.txt", "instruction").fill("x").encode(),
        text="Is it?\n\nTask: {instruction}\nAnswer:\n",
    ),
    "meta-prompt": Kind(
        PROMPTS / "candidates/few_shot/mine.txt",
        use_meta_prompts,
        text="{demos}\n\nInstruction: {instruction}\nBetter:\n",
    ),
    "ranker's prompt": Kind(
        PROMPTS / "label/ranker.txt",
        lambda: label.read_template().encode(),
        text="Input: {{input}}\n\nInstruction: {{instruction}}\n",
    ),
    "candidates": Kind(file_of("task1"), lambda: use_candidates("task1"), [CANDIDATES]),
    "candidates of one's own": Kind(file_of("own"), lambda: use_candidates("own"), [CANDIDATES]),
    "origins": Kind(
        ORIGINS, lambda: use_candidates("task1"), [one.model_dump() for one in _ORIGINS]
    ),
    "labels": Kind(LABELLED / "task1.jsonl", use_labels, LABELS),
    "answers": Kind(Path("answers.jsonl"), use_answers, answers()),
    "preset": Kind(
        PRESETS / "mine.yaml",
        use_preset,
        text="bootstrap:\n  seed: 7\n  rouge_threshold: 0.5\n  refused_words: [a]\nniv2:\n"
        "  tasks: null\nrun:\n  prices:\n    - {model: m, input: 1.0, output: 2.0}\n",
    ),
}


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, and nothing wrong with any."""
    monkeypatch.chdir(tmp_path)
    for kind in KINDS.values():
        kind.path.parent.mkdir(parents=True, exist_ok=True)
        kind.path.write_bytes(kind.content)
    zero_shot = PROMPTS / "candidates/zero_shot"
    zero_shot.mkdir()
    (zero_shot / "a.txt").write_text("{instruction}{answer_format}")


# --- what may stand in them

TEXTS = st.text(
    st.characters() | st.sampled_from("\0\x1b\x85\u2028\ufeff\ud800\udc00{}"), max_size=12
)
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**400]),
        st.floats(),
        TEXTS,
        st.sampled_from(["", " ", "train", "{instruction}", "2", "stop"]),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
# As no JSON library would write it.
RAW = st.one_of(
    st.sampled_from(
        [r'"\ud800"', r'"\udc00x"', r'"\u12"', '"', "[1,]", "NaN", "-Infinity", "1e999"]
    ),
    st.sampled_from(["9" * 5000, "1." + "0" * 5000, "[" * 3000, "[" * 300 + "]" * 300, "'a'", "{"]),
    st.sampled_from(['{"a":1,"a":2}', '"a\nb"', '"\t"', "tru", "01", "+1", ".5", "\ufeff1", "//"]),
)
YAML = st.sampled_from(
    [
        "&a [*a]",
        "2024-13-01",
        "1e-6",
        "1.0e-7",
        "no",
        '"\\x85"',
        '"\\0"',
        "{<<: 1}",
        "{1: 2}",
        "-_",
        "\t",
    ]
)
PLACES = st.sampled_from(
    ["{instruction}", "{demos}", "{{input}}", "{x}", "{{instruction}}", "{}", "{"]
)
PIECES = st.one_of(
    st.binary(max_size=8),
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    (RAW | YAML | PLACES).map(str.encode),
    st.sampled_from(
        [b"\n", b"\r", b"\0", b" ", b"\xff", codecs.BOM_UTF8, b"\n\n", b"}", b'"', b","]
    ),
)


def places_in(value: Any, within: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value there is something."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    inside = [places_in(one, (*within, key)) for key, one in items]
    return [within, *(place for places in inside for place in places)]


def put(value: Any, place: tuple[Any, ...], new: str | None) -> str:
    """A JSON value as text, with another text at a place of it; None: with nothing there."""
    if not place:
        return "" if new is None else new
    key, rest = place[0], place[1:]
    if isinstance(value, dict):
        pairs = [
            (name, put(one, rest, new) if name == key else json.dumps(one))
            for name, one in value.items()
        ]
        return "{" + ", ".join(f"{json.dumps(n)}: {one}" for n, one in pairs if one) + "}"
    parts = [put(one, rest, new) if i == key else json.dumps(one) for i, one in enumerate(value)]
    return f"[{', '.join(filter(None, parts))}]"


@st.composite
def spoilt(draw: st.DrawFn, kind: Kind) -> bytes:
    """The content of such a file with something strange in it."""
    content = kind.content
    ways = ["bytes", "cut", "encoding", "nothing"] + ["value"] * 4 * (kind.lines is not None)
    way = draw(st.sampled_from(ways))
    if way == "value" and kind.lines:
        number = draw(st.integers(0, len(kind.lines) - 1))
        lines = [json.dumps(line) for line in kind.lines]
        place = draw(st.sampled_from(places_in(kind.lines[number])))
        new = draw(st.none() | JSON.map(json.dumps) | RAW)
        lines[number] = put(kind.lines[number], place, new)
        return joined(map(sealed, lines)).encode()
    if way == "encoding":
        text = content.decode()
        return text.encode(draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])))
    if way == "nothing":
        return b""
    place = draw(st.integers(0, len(content)))
    if way == "cut":
        return content[:place]
    return content[:place] + draw(PIECES) + content[place + draw(st.integers(0, 9)) :]


def sealed(line: str) -> str:
    """A line of an exported store with the key that belongs to its request."""
    try:
        fields = json.loads(line)
        form = json.dumps(
            fields["request"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return line.replace(fields["key"], key_of(form)) if fields.keys() > {"response"} else line
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return line


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("_own_folder")
def test_a_file_in_which_nothing_is_wrong_is_read(name: str) -> None:
    KINDS[name].use()


@pytest.mark.parametrize("name", KINDS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
@pytest.mark.usefixtures("_own_folder")
def test_whatever_stands_in_a_file_is_read_or_refused(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    content = data.draw(spoilt(kind))
    kind.path.write_bytes(content)
    try:
        kind.use()
    except SeedbedError as error:
        said = str(error)
        note(said)
        place = re.match(rf"{kind.path}(:(\d+))?: ", said)
        # Candidates are compared with what is said of them elsewhere.
        assert place or name in ("candidates", "origins", "task's instruction", "labels")
        if place and place[2]:
            assert 1 <= int(place[2]) <= content.count(b"\n") + content.count(b"\r") + 1
        assert re.search(r"\n  \S", said), "what is to be done"
        assert len(said) < 1500
        assert printable(said).encode()
    finally:
        kind.path.write_bytes(kind.content)
