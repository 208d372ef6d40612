"""A row of instruction backtranslation is told back to what a judge said, and to who wrote it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.project import ROOT
from support.server import completion
from support.tracing import EVIL, assert_refused_in_plain_text, edit, row, told

from seedbed.backtranslation import trace
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    COMBINED,
    CURATED,
    FORMS,
    IFD,
    JUDGED,
    KEPT,
    LABELLED,
    LABELS,
    PAIRS,
    PIPELINE,
    REJECTED,
    REVERSED,
    ROWS,
    SEED,
    SEGMENTS,
    SETS,
    SWAPPED,
)
from seedbed.core.files import to_line, write_files
from seedbed.llm.store.rows import Kept
from seedbed.runs import telling
from seedbed.runs.errors import NotAnOutput, NotHere, OriginMissing
from seedbed.runs.pipeline import Pipeline

START = BACK / "start" / SEED
FIRST, LAST = BACK / "round-1", BACK / "round-2"
MODEL = Path("data/humpback/m1")
SEEDS, MADE = Path("data/seed_tasks.jsonl"), Path("data/prepare/messages.jsonl")
ASSESSED, JUDGES = Path("data/assessed"), Path("data/judges")
# Whose pipeline is one of its own, in which a model is trained first.
MODELS = Path("pipelines/humpback/dvc.yaml")
TEXTS = {name: f"How {name} is done, told at some length." for name in ("tea", "bread", "soup")}


def segment(name: str) -> dict[str, Any]:
    return {
        "id": f"s-{name}",
        "document": f"data/corpus/{name}.md",
        "heading": [name.title(), "How it is done"],
        "text": TEXTS[name],
        "first_line": 3,
        "last_line": 9,
        "license": "CC0-1.0",
        "url": None,
    }


def pair(name: str) -> dict[str, Any]:
    own = segment(name)
    return {
        "id": own["id"],
        "instruction": f"Explain how {name} is done.",
        "output": own["text"],
        **{field: own[field] for field in ("document", "heading", "license", "url")},
        "key": f"answer of {name}",
    }


def part(what: str, of: str | None, value: float | None, key: str, **more: str) -> dict[str, Any]:
    return {"what": what, "of": of, "value": value, "key": key, **more}


def curated(name: str, round_: str, score: float) -> dict[str, Any]:
    other = "s-bread" if name == "tea" else "s-tea"
    parts = [
        part("own", None, -1.25, f"{round_} own {name}"),
        part("swapped", other, -2.5, f"{round_} swapped {name}"),
    ]
    kept = {"score": score, "kept": score > 1, "reason": None if score > 1 else "below"}
    return {**pair(name), **kept, "parts": parts}


def judged(number: int) -> dict[str, Any]:
    rating = part("rating", None, None, f"rating {number}", reason="no_score")
    return {
        "id": f"row-{number}",
        "score": 4.0,
        "kept": True,
        "reason": None,
        "parts": [rating, part("rating", None, 4.0, f"rating {number} again")],
        "instruction": f"Say {number}.",
        "output": f"It is {number}.",
        "source": str(MADE),
        "line": number,
        "row_key": f"made {number}",
    }


def scored(number: int) -> dict[str, Any]:
    own = {
        name: value
        for name, value in judged(number).items()
        if name not in ("score", "parts", "kept", "reason")
    }
    measured = {"ifd": 0.5, "conditioned": -1.0, "alone": -1.5, "kept": True, "reason": None}
    return {**own, **measured, "keys": [f"with {number}", f"alone {number}"]}


def conversation(number: int) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"Say {number}."},
            {"role": "assistant", "content": f" It is {number}.\n"},
        ],
        "id": f"row-{number}",
        "key": f"made {number}",
    }


def kept_row(number: int) -> dict[str, Any]:
    return {**conversation(number), "score": 4.0, "license": None, "url": None}


SEED_PAIRS = [
    {
        "id": f"task_{n}/0",
        "instruction": f"Tell of thing {n}.",
        "output": f"There is much to tell of thing {n}.",
        "demo": True,
        "not_shown": None,
        "task": f"task_{n}",
        "source": str(SEEDS),
    }
    for n in (1, 2)
]
# In a set both kinds stand side by side; what people wrote, twice.
ROWS_OF_SETS = {
    "seed": ["task_1/0", "task_2/0"],
    "all": ["s-tea", "s-bread"],
    "curated": ["s-tea"],
    "seed_and_curated": ["s-tea", "task_2/0#2", "task_2/0"],
}


def combined(id_: str, form: str) -> dict[str, Any]:
    name = id_.removeprefix("s-")
    seed = name not in TEXTS
    about = {
        "id": id_,
        "source": "seed" if seed else "augmented",
        "license": None if seed else "CC0-1.0",
        "url": None,
        "key": None if seed else f"answer of {name}",
    }
    asked, said = (
        (f"Tell of {name}.", "There.") if seed else (pair(name)["instruction"], TEXTS[name])
    )
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {
        "messages.jsonl": {"messages": turns},
        "finetuning.jsonl": {"prompt": f"{asked}\n\nOutput:", "completion": f" {said}"},
        "alpaca.jsonl": {"instruction": asked, "input": "", "output": said, "system": None},
    }[form] | about


def rounds() -> dict[Path, list[dict[str, Any]]]:
    files: dict[Path, list[dict[str, Any]]] = {}
    for folder in (FIRST, LAST):
        files[folder / AUGMENTED / PAIRS] = [pair("tea"), pair("bread")]
        refused = {**pair("soup"), "instruction": "Soup", "reason": "too_short"}
        files[folder / AUGMENTED / REJECTED] = [refused]
    for folder in (FIRST, LAST, MODEL):
        both = [curated("tea", folder.name, 1.25), curated("bread", folder.name, 0.5)]
        files[folder / CURATED / PAIRS] = both
        files[folder / CURATED / KEPT] = both[:1]
    for of_round in (ASSESSED / "round-1", JUDGES / "m1"):
        folder = of_round / "assess"
        label = {"id": "s-tea", "score": 1.25, "kept": True, "good": True, "fault": None}
        files[folder / LABELLED] = [label]
        files[folder / SWAPPED] = [
            {"id": "s-tea", "of": None, "score": 1.5, "keys": ["by hand 1", "by hand 2"]},
            {"id": "s-tea", "of": "s-soup", "score": 0.5, "keys": ["swapped by hand"]},
        ]
    for name, ids in ROWS_OF_SETS.items():
        for folder in (COMBINED, MODEL / "combine"):
            for form in FORMS:
                files[folder / name / form] = [combined(id_, form) for id_ in ids]
    return files


@pytest.fixture(autouse=True)
def _small_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three segments, of which two have an instruction and one is kept, in each round."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for name in (PIPELINE, Path("params.yaml")):
        name.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, name)
    prepare = {"prepare": {"cmd": "x", "outs": [str(MADE.parent)]}}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": prepare}))
    change_params(judge={"by": "rating"})
    folders = [MODEL / CURATED, MODEL / "combine", JUDGES / "m1/assess"]
    stages = {f"s{n}": {"cmd": "x", "outs": [f"../../{path}"]} for n, path in enumerate(folders)}
    MODELS.parent.mkdir()
    MODELS.write_text(yaml.safe_dump({"stages": stages}))
    repeated = {**segment("tea"), "id": "s-again", "reason": "duplicate", "of": "s-tea"}
    labels = [
        {
            "document": segment(name)["document"],
            "heading": segment(name)["heading"],
            "good": True,
            "fault": None,
            "instruction": f"How do people make {name}?",
        }
        for name in TEXTS
    ]
    rows = {
        SEEDS: [{"id": f"task_{n}"} for n in (1, 2)],
        MADE: [conversation(n) for n in (1, 2)],
        LABELS: labels,
        SEGMENTS: [segment(name) for name in TEXTS],
        SEGMENTS.with_name(REJECTED): [repeated],
        START / PAIRS: SEED_PAIRS,
        START / REVERSED: [
            {"prompt": f"Text:\n{one['output']}\n", "completion": f" {one['instruction']}"}
            for one in SEED_PAIRS
        ],
        JUDGED / ROWS: [judged(n) for n in (1, 2)],
        JUDGED / KEPT: [kept_row(2)],
        IFD / ROWS: [scored(n) for n in (1, 2)],
        **rounds(),
    }
    documents = {Path(segment(name)["document"]): [f"# {name}\n"] for name in TEXTS}
    write_files({path: map(to_line, those) for path, those in rows.items()} | documents)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Kept]:
    """What the response store has; a test may add something."""
    prompt = "Here are texts.\n\nText:\nA text that was shown.\n\nRequest: Its request."
    asked = json.dumps({"prompt": f"{prompt}\n\nText:\n{TEXTS['tea']}\n\nRequest:"})
    weighed = json.dumps({"kind": "score", "prompt": "A text", "text": " Explain it."})
    kept = {
        "answer of tea": row(asked, json.dumps(completion(" Explain how tea is done."))),
        "round-2 own tea": row(weighed, json.dumps(completion(""))),
        "rating 2": row(json.dumps({"prompt": "How good?"}), json.dumps(completion("So so."))),
    }
    monkeypatch.setattr(telling, "read_only", lambda path, key: kept.get(key))
    monkeypatch.setenv("SEEDBED_STORE", "/nowhere/store.sqlite")
    return kept


def change_params(**sections: dict[str, Any]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    for name, changes in sections.items():
        params[name].update(changes)
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(" ")]


def part_of(text: str, heading: str) -> str:
    """What stands below a heading of the account."""
    (found,) = re.findall(f"^{re.escape(heading)}.*\n((?: .*\n)*)", text, re.M)
    return str(found)


def of_tea(pairs: Path = LAST / AUGMENTED / PAIRS) -> list[str]:
    """The headings below those of a pair."""
    return [
        f"its pair: {pairs}:1",
        f"its segment: {SEGMENTS}:1",
        "its document: data/corpus/tea.md, lines 3 to 9",
    ]


# --- what is trained on


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["curated", "seed_and_curated"])
def test_what_is_trained_on_is_told_back_through_its_score_to_the_document(
    name: str, form: str
) -> None:
    place = f"{COMBINED / name / form}:1"
    text = told(place)
    assert headings(text) == [
        place,
        f"its curated pair: {LAST / CURATED / KEPT}:1",
        *of_tea(),
    ]
    own = part_of(text, place)
    assert f"  written by {PIPELINE}:combine\n" in own
    assert "  source: augmented\n  license: CC0-1.0\n" in own
    assert f"  written by {PIPELINE}:curate@round-2\n" in part_of(text, "its curated pair")
    assert f"  written by {PIPELINE}:augment@round-2\n" in part_of(text, "its pair")
    assert f"  written by {PIPELINE}:segment\n" in part_of(text, "its segment")
    assert "  license: CC0-1.0\n" in part_of(text, "its segment")


def test_what_is_trained_on_is_of_the_round_that_is_said_to_be_the_last() -> None:
    change_params(backtranslation={"last": "round-1"})
    text = told(f"{COMBINED}/curated/alpaca.jsonl:1")
    assert headings(text)[1:3] == [
        f"its curated pair: {FIRST / CURATED / KEPT}:1",
        f"its pair: {FIRST / AUGMENTED / PAIRS}:1",
    ]
    pair_of_all = headings(told(f"{COMBINED}/all/alpaca.jsonl:1"))[1]
    assert pair_of_all == f"its pair: {FIRST / AUGMENTED / PAIRS}:1"


@pytest.mark.parametrize("line", [2, 3])
def test_what_people_wrote_is_told_back_to_its_task_however_often_it_stands_there(
    line: int,
) -> None:
    place = f"{COMBINED}/seed_and_curated/alpaca.jsonl:{line}"
    text = told(place)
    assert headings(text) == [
        place,
        f"its seed pair: {START / PAIRS}:2",
        f"its task: {SEEDS}:2",
    ]
    assert f"  written by {PIPELINE}:seed-pairs\n" in part_of(text, "its seed pair")
    assert "  last changed in git: " in part_of(text, "its task")
    assert "seedbed trace" not in text, "no stage wrote that"


def test_a_pair_whose_own_id_ends_as_a_copys_is_told_as_itself() -> None:
    edit(START / PAIRS, 1, lambda row: row.update(id="task_2/0#2"))
    text = told(f"{COMBINED}/seed_and_curated/alpaca.jsonl:2")
    assert f"its seed pair: {START / PAIRS}:1" in headings(text)


def test_of_all_pairs_none_was_judged() -> None:
    place = f"{COMBINED}/all/finetuning.jsonl:1"
    assert headings(told(place)) == [place, *of_tea()]


@pytest.mark.parametrize("line", [1, 2])
def test_a_pair_the_other_way_round_is_told_back_to_its_task(line: int) -> None:
    assert headings(told(f"{START / REVERSED}:{line}")) == [
        f"{START / REVERSED}:{line}",
        f"its seed pair: {START / PAIRS}:{line}",
        f"its task: {SEEDS}:{line}",
    ]


def test_a_pair_the_other_way_round_is_none_of_those_that_are_not_shown() -> None:
    edit(START / PAIRS, 1, lambda row: row.update({**SEED_PAIRS[1], "id": "long", "demo": False}))
    assert f"its seed pair: {START / PAIRS}:2" in headings(told(f"{START / REVERSED}:2"))


def test_a_seed_pair_of_a_file_without_ids_is_told_by_its_line() -> None:
    SEEDS.write_text("".join(to_line({"messages": [], "id": id_}) for id_ in (None, None)))
    edit(START / PAIRS, 1, lambda row: row.update(task="2"))
    assert f"its task: {SEEDS}:2" in headings(told(f"{START / PAIRS}:1"))
    edit(SEEDS, 1, lambda row: row.update(id=7))
    edit(START / PAIRS, 1, lambda row: row.update(task="7"))
    assert f"its task: {SEEDS}:1" in headings(told(f"{START / PAIRS}:1"))


def test_a_seed_pair_of_what_a_stage_wrote_can_be_told_further() -> None:
    edit(START / PAIRS, 1, lambda row: row.update(source=str(MADE), task="row-2"))
    told_further = f"  `seedbed trace {MADE}:2` tells that row\n"
    assert told_further in part_of(told(f"{START / PAIRS}:1"), "its task")


# --- pairs


@pytest.mark.parametrize("name", [PAIRS, KEPT])
def test_a_judged_pair_is_told_with_each_scoring_and_whom_it_was_swapped_with(name: str) -> None:
    text = told(f"{FIRST / CURATED / name}:1")
    assert headings(text) == [f"{FIRST / CURATED / name}:1", *of_tea(FIRST / AUGMENTED / PAIRS)]
    own = part_of(text, f"{FIRST / CURATED / name}:1")
    assert "  score: 1.25\n  kept: true\n" in own
    swapped = f"{FIRST / CURATED / PAIRS}:2 (Explain how bread is done.)"
    assert (
        "  its score is made of:\n"
        "    the pair itself: -1.25, scoring round-1 own …\n"
        f"    swapped with {swapped}: -2.5, scoring round-1 swap…\n"
        "  prompt file: data/prompts/augment/few_shot.txt\n"
    ) in own
    assert "    last changed in git: " in own
    assert "parts:" not in own
    assert own.endswith("  parameters: dvc.lock does not say what "
                        f"{PIPELINE}:curate@round-1 ran with\n")  # fmt: skip


def test_a_pair_that_it_was_swapped_with_and_that_is_gone_is_told_so() -> None:
    path = LAST / CURATED / PAIRS
    edit(path, 2, lambda row: row.update(id="another"))
    gone = f"    swapped with s-bread, which {path} does not have any more: -2.5, scoring"
    assert gone in told(f"{LAST / CURATED / KEPT}:1")


def test_a_long_instruction_of_another_pair_is_shortened_unless_all_is_asked_for() -> None:
    edit(LAST / CURATED / PAIRS, 2, lambda row: row.update(instruction="so " * 50 + "ends"))
    place = f"{LAST / CURATED / PAIRS}:1"
    assert "so s…): -2.5" in told(place)
    assert "so ends): -2.5" in told(place, full=True)


@pytest.mark.parametrize(
    ("judge", "files"),
    [
        ({}, ["augment/few_shot.txt", "augment/demo.txt"]),
        ({"demos": 0}, ["augment/zero_shot.txt"]),
        ({"direction": "forward"}, ["curate/few_shot.txt", "curate/demo.txt"]),
        ({"direction": "forward", "demos": 0}, ["curate/zero_shot.txt"]),
        ({"by": "gain"}, ["augment/few_shot.txt", "augment/demo.txt"]),
        (
            {"by": "gain", "direction": "forward"},
            ["curate/few_shot.txt", "curate/demo.txt", "curate/few_shot_alone.txt"],
        ),
        (
            {"by": "gain", "direction": "forward", "demos": 0},
            ["curate/zero_shot.txt", "curate/alone.txt"],
        ),
        ({"by": "rating"}, ["curate/points.txt"]),
        ({"by": "expected", "rubric": "checklist"}, ["curate/checklist_digit.txt"]),
    ],
)
def test_the_prompt_files_are_those_of_the_way_that_it_was_judged(
    judge: dict[str, Any], files: list[str]
) -> None:
    change_params(curate=judge)
    own = part_of(told(f"{LAST / CURATED / PAIRS}:1"), f"{LAST / CURATED / PAIRS}:1")
    assert re.findall("prompt file: data/prompts/(.+)", own) == files
    assert all((ROOT / "data/prompts" / file).is_file() for file in files)


def test_digits_ratings_and_what_has_no_value_are_told_as_what_they_are() -> None:
    parts = [
        part("digit", "4", -0.5, "of the digit"),
        part("alone", None, None, "of nothing"),
        part("rating", None, None, "of no rating", reason="cut"),
    ]
    edit(LAST / CURATED / PAIRS, 1, lambda row: row.update(parts=parts))
    assert (
        "    the rating 4: -0.5, scoring of the digit…\n"
        "    without the other text: none, scoring of nothing…\n"
        "    a rating: cut, answer of no rating…\n"
    ) in told(f"{LAST / CURATED / PAIRS}:1")


@pytest.mark.parametrize(("name", "line"), [(PAIRS, 1), (REJECTED, 1)])
def test_an_instruction_is_told_back_to_its_answer_its_request_and_its_text(
    name: str, line: int
) -> None:
    place = f"{FIRST / AUGMENTED / name}:{line}"
    text = told(place)
    which = 1 if name == PAIRS else 3
    assert headings(text)[:2] == [place, f"its segment: {SEGMENTS}:{which}"]
    own = part_of(text, place)
    if name == REJECTED:
        assert "  reason: too_short\n" in own
        assert "  answer answer of soup\n    the response store /nowhere/store.sqlite lacks" in own
        return
    assert "  answer answer of tea\n    kept: " in own
    assert "        │ A text that was shown.\n" in own, "demos are a part of the request"
    assert "      │  Explain how tea is done.\n" in own
    assert re.findall("prompt file: data/prompts/(.+)", own) == [
        "augment/few_shot.txt",
        "augment/demo.txt",
    ]


def test_a_model_that_was_trained_for_it_was_shown_no_pairs() -> None:
    change_params(augment={"backward": "adapter"})
    text = told(f"{FIRST / AUGMENTED / PAIRS}:1")
    assert re.findall("prompt file: data/prompts/(.+)", text) == ["augment/zero_shot.txt"]


def test_all_of_an_answer_is_told_where_that_is_asked_for() -> None:
    text = told(f"{LAST / CURATED / PAIRS}:1", full=True)
    assert "    the pair itself: -1.25\n      answer round-2 own tea\n        kept: " in text
    assert "          kind: score\n" in text
    assert '"finish_reason": "stop"' in part_of(text, "its pair"), "the raw body"
    text = told(f"{JUDGED / ROWS}:2", full=True)
    assert "    a rating: no_score\n      answer rating 2\n" in text
    assert "          │ So so.\n" in text


# --- segments


def test_a_refused_segment_is_told_with_what_it_repeats() -> None:
    place = SEGMENTS.with_name(REJECTED)
    repeats = f"  it repeats {SEGMENTS}:1, under Tea > How it is done\n"
    assert repeats in told(f"{place}:1")
    edit(place, 1, lambda row: row.update(of="gone"))
    assert "  it repeats the segment gone, which is not there any more\n" in told(f"{place}:1")
    edit(place, 1, lambda row: row.update(of="s-again"))
    assert f"  it repeats {place}:1, under Tea" in told(f"{place}:1"), "over the maximum"


def test_a_row_of_a_table_is_told_with_the_table_and_a_document_that_is_gone_as_gone() -> None:
    table = Path("data/corpus/many.jsonl")
    table.write_text("{}\n")
    edit(
        SEGMENTS,
        1,
        lambda row: row.update(document=f"{table}:1200", first_line=1200, last_line=1200),
    )
    document = part_of(told(f"{SEGMENTS}:1"), f"its document: {table}, row 1,200")
    assert "  last changed in git: " in document
    table.unlink()
    document = part_of(told(f"{SEGMENTS}:1"), f"its document: {table}, row 1,200")
    assert document == "  it is not there any more\n"


# --- the judge on other rows


def test_a_judged_row_is_told_with_its_ratings_and_where_it_stands() -> None:
    text = told(f"{JUDGED / ROWS}:2")
    assert headings(text) == [f"{JUDGED / ROWS}:2", f"it came from {MADE}:2"]
    own = part_of(text, f"{JUDGED / ROWS}:2")
    assert (
        "  its score is made of:\n"
        "    a rating: no_score, answer rating 2…\n"
        "    a rating: 4.0, answer rating 2 aga…\n"
        "  prompt file: data/prompts/curate/points.txt\n"
    ) in own
    assert f"  `seedbed trace {MADE}:2` tells that row\n" in part_of(text, "it came from")


def test_a_row_of_a_file_that_no_stage_wrote_ends_there() -> None:
    own = Path("data/mine.jsonl")
    shutil.copy(MADE, own)
    edit(own, 2, lambda row: row.update(key=["no", "text"], id=2))
    edit(JUDGED / ROWS, 2, lambda row: row.update(source=str(own), row_key=None))
    text = told(f"{JUDGED / ROWS}:2")
    assert headings(text)[-1] == f"it came from {own}:2"
    assert "seedbed trace" not in text


def test_a_row_that_the_judge_kept_is_told_as_it_was_judged() -> None:
    assert headings(told(f"{JUDGED / KEPT}:1")) == [
        f"{JUDGED / KEPT}:1",
        f"it was judged: {JUDGED / ROWS}:2",
        f"it came from {MADE}:2",
    ]


def test_a_row_of_difficulty_is_told_with_both_scorings() -> None:
    text = told(f"{IFD / ROWS}:1")
    assert headings(text) == [f"{IFD / ROWS}:1", f"it came from {MADE}:1"]
    assert (
        "  the output was scored:\n"
        "    with the instruction, scoring with 1…\n"
        "    alone, scoring alone 1…\n"
        "  prompt file: data/prompts/curate/zero_shot.txt\n"
    ) in text
    assert "  ifd: 0.5\n  conditioned: -1.0\n  alone: -1.5\n" in text
    assert f"  `seedbed trace {MADE}:1` tells that row\n" in text


# --- how good the judge is


@pytest.mark.parametrize(
    ("of_round", "folder"), [(ASSESSED / "round-1", FIRST), (JUDGES / "m1", MODEL)]
)  # fmt: skip
def test_a_labelled_pair_is_told_with_its_label_and_its_score(of_round: Path, folder: Path) -> None:
    place = f"{of_round / 'assess' / LABELLED}:1"
    text = told(place)
    assert headings(text)[:3] == [
        place,
        f"its label: {LABELS}:1",
        f"its pair: {folder / CURATED / PAIRS}:1",
    ]
    assert "  instruction: How do people make tea?\n" in part_of(text, "its label")
    assert headings(text)[-1] == "its document: data/corpus/tea.md, lines 3 to 9"


@pytest.mark.parametrize(("line", "whose"), [(1, "tea"), (2, "soup")])
def test_a_swapped_pair_is_told_with_the_text_and_the_instruction_that_it_had(
    line: int, whose: str
) -> None:
    place = f"{ASSESSED / 'round-1/assess' / SWAPPED}:{line}"
    text = told(place)
    assert headings(text) == [
        place,
        f"its instruction: {LABELS}:{1 + list(TEXTS).index(whose)}",
        *of_tea()[1:],
    ]
    assert f"  instruction: How do people make {whose}?\n" in part_of(text, "its instruction")
    scorings = re.findall("    ([0-9]+), scoring (.+)…", text)
    assert scorings == ([("1", "by hand 1"), ("2", "by hand 2")], [("1", "swapped by h")])[line - 1]


# --- rounds of models


def test_a_round_of_models_is_told_back_to_the_pairs_that_it_rated() -> None:
    place = f"{MODEL / CURATED / PAIRS}:1"
    text = told(place)
    assert headings(text) == [place, *of_tea(FIRST / AUGMENTED / PAIRS)]
    assert f"  written by {MODELS}:s0\n" in part_of(text, place)
    # Any round has the pair, if the answer is the same.
    edit(FIRST / AUGMENTED / PAIRS, 1, lambda row: row.update(key="another"))
    assert headings(told(place)) == [place, *of_tea(LAST / AUGMENTED / PAIRS)]
    # Not where the round has its own.
    assert headings(told(f"{LAST / CURATED / PAIRS}:1"))[1:] == of_tea()


def test_what_a_model_was_trained_on_is_told_by_its_own_round() -> None:
    place = f"{MODEL}/combine/curated/messages.jsonl:1"
    curated_pair = f"its curated pair: {MODEL / CURATED / KEPT}:1"
    assert headings(told(place))[:2] == [place, curated_pair]


# --- which files


def test_the_files_are_those_of_every_round_that_there_is() -> None:
    writers = Pipeline().writers
    expected = set(Path("data").rglob("*.jsonl")) - {SEEDS, MADE, LABELS}
    assert {
        path for path in Path("data").rglob("*.jsonl") if trace.knows(path, writers)
    } == expected
    gone = BACK / "round-9" / CURATED / PAIRS
    assert not trace.knows(gone, writers)
    assert not trace.knows(FIRST / CURATED / "other.jsonl", writers)
    assert not trace.knows(Path("pairs.jsonl"), writers)
    listed = trace.files(writers)
    assert {path for path in expected if any(path.match(str(file)) for file in listed)} == expected
    assert BACK / "*" / CURATED / PAIRS in listed
    assert COMBINED / "all/alpaca.jsonl" in listed
    assert len(listed) == len(set(listed))
    assert trace.files([]) == []
    assert set(ROWS_OF_SETS) == set(SETS)
    write_files({gone: ["{}\n"]})
    with pytest.raises(NotAnOutput):
        told(f"{gone}:1")


# --- what cannot be told


CURATED_OF_LAST = COMBINED / "curated/messages.jsonl"


@pytest.mark.parametrize(
    ("missing", "place"),
    [
        (LAST / CURATED / KEPT, CURATED_OF_LAST),
        (SEGMENTS, CURATED_OF_LAST),
        (SEGMENTS, ASSESSED / "round-1/assess" / SWAPPED),
        (START / PAIRS, COMBINED / "seed/messages.jsonl"),
        (START / PAIRS, START / REVERSED),
        (SEEDS, START / PAIRS),
        (MADE, JUDGED / ROWS),
        (MADE, IFD / ROWS),
        (JUDGED / ROWS, JUDGED / KEPT),
        (FIRST / CURATED / PAIRS, ASSESSED / "round-1/assess" / LABELLED),
        (LABELS, ASSESSED / "round-1/assess" / LABELLED),
    ],
)
def test_a_file_that_a_row_came_from_must_be_here(missing: Path, place: Path) -> None:
    told(f"{place}:1")
    missing.unlink()
    with pytest.raises(NotHere, match=f"{missing}: no such file.*\n.*dvc repro.*dvc pull"):
        told(f"{place}:1")


def test_without_the_pairs_of_any_round_that_of_its_own_is_missed() -> None:
    for folder in (FIRST, LAST):
        (folder / AUGMENTED / PAIRS).unlink()
    for place, missed in ((LAST, LAST), (FIRST, FIRST), (MODEL, FIRST)):
        with pytest.raises(NotHere, match=f"{missed / AUGMENTED / PAIRS}: no such file"):
            told(f"{place / CURATED / PAIRS}:1")


@pytest.mark.parametrize(
    ("place", "changes", "upstream"),
    [
        (CURATED_OF_LAST, {"key": "another"}, LAST / CURATED / KEPT),
        (CURATED_OF_LAST, {"id": "another"}, LAST / CURATED / KEPT),
        (COMBINED / "seed/alpaca.jsonl", {"id": "another"}, START / PAIRS),
        (COMBINED / "all/alpaca.jsonl", {"key": "another"}, LAST / AUGMENTED / PAIRS),
        (START / PAIRS, {"task": "another"}, SEEDS),
        (START / REVERSED, {"completion": " Another."}, START / PAIRS),
        (START / REVERSED, {"prompt": "Another."}, START / PAIRS),
        (LAST / CURATED / PAIRS, {"key": "another"}, LAST / AUGMENTED / PAIRS),
        (MODEL / CURATED / PAIRS, {"key": "another"}, FIRST / AUGMENTED / PAIRS),
        (FIRST / AUGMENTED / PAIRS, {"output": "Another."}, SEGMENTS),
        (FIRST / AUGMENTED / REJECTED, {"id": "another"}, SEGMENTS),
        (JUDGED / ROWS, {"line": 2}, MADE),
        (JUDGED / ROWS, {"line": 3}, MADE),
        (JUDGED / ROWS, {"row_key": None}, MADE),
        (JUDGED / ROWS, {"output": "Another."}, MADE),
        (JUDGED / KEPT, {"score": 3.0}, JUDGED / ROWS),
        (IFD / ROWS, {"row_key": "another"}, MADE),
        (ASSESSED / "round-1/assess" / LABELLED, {"score": 1.0}, FIRST / CURATED / PAIRS),
        (ASSESSED / "round-1/assess" / LABELLED, {"kept": False}, FIRST / CURATED / PAIRS),
        (ASSESSED / "round-1/assess" / SWAPPED, {"of": "another"}, SEGMENTS),
        (LABELS, {"heading": ["Another"]}, LABELS),
    ],
)
def test_files_of_different_runs_are_told_apart(
    place: Path, changes: dict[str, Any], upstream: Path
) -> None:
    edit(place, 1, lambda row: row.update(changes))
    told_of = ASSESSED / "round-1/assess" / LABELLED if place == LABELS else place
    with pytest.raises(OriginMissing, match=f"{upstream} has no row with"):
        told(f"{told_of}:1")


def test_whatever_was_written_stays_text(store: dict[str, Kept]) -> None:
    def evil(*fields: str) -> dict[str, str]:
        return dict.fromkeys(fields, EVIL)

    fields = evil("id", "instruction", "output", "document", "key")
    heading = {"heading": [EVIL]}
    parts = [part("swapped", EVIL, None, EVIL, reason=EVIL)]
    edit(SEGMENTS, 1, lambda row: row.update(evil("id", "text", "document", "url"), **heading))
    edit(FIRST / AUGMENTED / PAIRS, 1, lambda row: row.update(fields, **heading))
    for name in (PAIRS, KEPT):
        edit(FIRST / CURATED / name, 1, lambda row: row.update(fields, parts=parts, **heading))
    rejected = SEGMENTS.with_name(REJECTED)
    edit(rejected, 1, lambda row: row.update(evil("of", "reason", "document"), **heading))
    edit(LABELS, 1, lambda row: row.update(evil("document", "instruction"), **heading))
    assessed = ASSESSED / "round-1/assess"
    edit(assessed / LABELLED, 1, lambda row: row.update(id=EVIL))
    edit(assessed / SWAPPED, 1, lambda row: row.update(id=EVIL, keys=[EVIL]))
    edit(MADE, 1, lambda row: row.update(key=EVIL))
    edit(JUDGED / ROWS, 1, lambda row: row.update(parts=parts, id=EVIL, row_key=EVIL))
    edit(IFD / ROWS, 1, lambda row: row.update(keys=[EVIL], reason=EVIL, row_key=EVIL))
    edit(SEEDS, 1, lambda row: row.update(id=EVIL))
    edit(START / PAIRS, 1, lambda row: row.update(evil("id", "instruction", "output", "task")))
    edit(COMBINED / "seed/messages.jsonl", 1, lambda row: row.update(id=EVIL))
    store[EVIL] = row(json.dumps({"prompt": EVIL}), json.dumps(completion(EVIL)), EVIL, EVIL)
    for path in (
        FIRST / CURATED / PAIRS,
        rejected,
        assessed / LABELLED,
        assessed / SWAPPED,
        JUDGED / ROWS,
        IFD / ROWS,
        COMBINED / "seed/messages.jsonl",
    ):
        for full in (False, True):
            text = told(f"{path}:1", full)
            assert "\\x1b[2J" in text
            assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("name", [EVIL, "a\0b", "x" * 5000])
def test_a_place_that_no_file_can_have_is_refused_in_plain_text(name: str) -> None:
    edit(CURATED_OF_LAST, 1, lambda row: row.update(key=name))
    assert_refused_in_plain_text(f"{CURATED_OF_LAST}:1")
    edit(JUDGED / ROWS, 1, lambda row: row.update(source=name))
    assert_refused_in_plain_text(f"{JUDGED / ROWS}:1")
    edit(START / PAIRS, 1, lambda row: row.update(source=name))
    assert_refused_in_plain_text(f"{START / PAIRS}:1")
    edit(SEGMENTS, 1, lambda row: row.update(document=name))
    if name == EVIL:
        assert "  it is not there any more\n" in told(f"{SEGMENTS}:1")
    else:
        assert_refused_in_plain_text(f"{SEGMENTS}:1")
