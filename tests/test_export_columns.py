"""What a row is handed on with besides its own columns: where it came from, what is known of it."""

import json
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any

import pytest
from support.project import Project
from support.tracing import told

from seedbed.backtranslation import export as backtranslation
from seedbed.backtranslation.params import START
from seedbed.backtranslation.rows import BACK, CURATED, IFD, KEPT, PAIRS, ROWS, SEED
from seedbed.core.files import to_line, write_files
from seedbed.errors import BadFile
from seedbed.runs.errors import NotOneRun
from seedbed.runs.forms import Form, Origin
from seedbed.self_instruct import export as self_instruct
from seedbed.self_instruct.rows import CLASSIFIED, INSTRUCTIONS, GeneratedInstance
from seedbed.tasks.ratings import About, digest
from seedbed.views.export import columns
from seedbed.views.export.card_columns import section
from seedbed.views.export.columns import Columns, describe
from seedbed.views.export.folder import export
from seedbed.views.export.ratings import rated
from seedbed.views.export.scores import look_up

ROW = {"input": "", "instruction_id": "i", "key": "k"}
FORM = Form(
    "alpaca",
    "prepare",
    GeneratedInstance,
    {"train": Path("alpaca.jsonl")},
    (),
    "",
    origins=lambda pipeline: lambda row: Origin((row.instruction_id,), (row.key,), 0.25, 1.5),
    pair=self_instruct.pair,
)


class Run:
    """A run of one stage of which dvc.lock says that it read all there is."""

    def __init__(self, stop: Exception | None = None):
        self.stop = stop

    def recorded(self, stage: str) -> bool:
        return True

    def stage_of(self, path: Path) -> str:
        return path.parent.name

    def made_of(self, stages: object) -> list[str]:
        if self.stop:
            raise self.stop
        return [path.name for path in Path("data").rglob("*") if path.is_dir()]

    def check_written(self, stage: str, path: Path) -> None:
        assert path.exists()

    def parameter(self, stage: str, name: str) -> str:
        return "last"


@pytest.fixture(autouse=True)
def _somewhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path
    if "grown" in request.fixturenames:
        here = request.getfixturevalue("grown").folder
    monkeypatch.chdir(here)


def described(*rows: dict[str, Any], known: Any = ()) -> tuple[list[dict[str, Any]], Columns]:
    """Each row with all its columns."""
    full = [ROW | {"id": f"r{number}"} | row for number, row in enumerate(rows)]
    write_files({Path("alpaca.jsonl"): map(to_line, full)})
    file = TemporaryFile()  # noqa: SIM115
    found = describe(FORM, Path("alpaca.jsonl"), Run(), known, file, lambda: None)  # type: ignore[arg-type]
    return list(found.beside(full)), found


# --- what is known of a row


@pytest.mark.parametrize(
    ("instruction", "output", "lengths", "language"),
    [
        ("Write a short poem about the autumn in the city.", "", (48, 0), "en"),
        ("Schreibe ein kurzes Gedicht über den Herbst in der Stadt.", "Ja", (57, 2), "de"),
        ("اكتب قصيدة قصيرة عن الخريف في المدينة", "نعم", (37, 3), "ar"),
        ("😀👍🏽", "🇩🇪", (3, 2), None),  # code points, not bytes, and no more than these
        ("", "", (0, 0), None),
        ("12345", "6", (5, 1), None),
    ],
)
def test_lengths_are_characters_and_a_language_is_none_where_nothing_tells(
    instruction: str, output: str, lengths: tuple[int, int], language: str | None
) -> None:
    ((row,), found) = described({"instruction": instruction, "output": output})
    assert (row["instruction_length"], row["response_length"]) == lengths
    assert row["language"] == language
    assert found.languages == {language: 1}


def test_a_row_of_a_hundred_kilobytes_is_a_row() -> None:
    text = "Say it again and again, as often as you can. " * 2_500
    (row, same), _ = described(*[{"instruction": text, "output": text}] * 2)
    assert (row["instruction_length"], row["language"]) == (len(text), "en")
    assert same["near_duplicate_of"] == "r0"


def test_the_input_counts_with_the_instruction_and_what_is_not_known_is_null() -> None:
    (row,), found = described({"instruction": "Sort.", "input": "b, a", "output": "a, b"})
    assert row["instruction_length"] == len("Sort.\n\nb, a")
    assert "blank line between them" in "\n".join(section([(self_instruct.EXPORT, FORM, found)]))
    assert row["derived_from"] == ["i"]
    assert row["derived_by"] == ["k"]
    assert (row["max_similarity_score"], row["judge_score"]) == (0.25, 1.5)
    assert row["ifd_score"] is row["near_duplicate_of"] is None
    assert found.known["ifd_score"] == found.known["near_duplicate_of"] == 0


def test_a_near_duplicate_names_the_first_row_that_it_is_like(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = "Tell me about " + " ".join(f"word{number}" for number in range(60))
    texts = [long, "Something else, and not like it at all.", f"{long} now", "", long.upper(), ""]
    rows = [{"instruction": text, "output": "yes"} for text in texts]
    written, found = described(*rows)
    firsts = [None, None, "r0", None, "r0", "r3"]
    assert [row["near_duplicate_of"] for row in written] == firsts
    assert found.known["near_duplicate_of"] == 3
    export_, other = self_instruct.EXPORT, Form("f", "prepare", GeneratedInstance, {}, (), "")
    card = "\n".join(section([(export_, FORM, found), (export_, other, found)]))
    # Forms of one stage have the same rows, which count once.
    assert card.count("| alpaca | 6 | 3 | 6 | 0 | 0 | ") == 1
    assert "| f |" not in card
    monkeypatch.setattr(columns, "ALIKE", 1.0)
    assert [row["near_duplicate_of"] for row in described(*rows)[0]] == [
        None,
        None,
        None,
        None,
        "r0",
        "r3",
    ]


# --- what other stages said of it


IFD_SCORES = backtranslation.EXPORT.scores[1]


def scored(id_: str, output: str, ifd: float | None, source: str = "alpaca.jsonl") -> str:
    row = {"id": id_, "instruction": "", "output": output, "source": source, "line": 1}
    values = {"ifd": ifd, "conditioned": ifd, "alone": ifd, "kept": True, "reason": None}
    return to_line(row | values | {"row_key": "k", "keys": []})


def test_a_score_goes_to_the_row_that_was_scored_and_to_no_other() -> None:
    write_files(
        {
            IFD / ROWS: [
                scored("r0", "yes", 0.5),
                scored("r1", "then", 0.75),
                scored("r2", "yes", None),
                scored("r3", "yes", 0.9, "another.jsonl"),
            ]
        }
    )
    looked, lines = look_up(IFD_SCORES, Run(), [Path("alpaca.jsonl")])  # type: ignore[arg-type]
    assert looked is not None
    assert lines == []
    rows = [{"instruction": f"Ask {number}.", "output": "yes"} for number in range(4)]
    written, found = described(*rows, known=[looked])
    assert [row["ifd_score"] for row in written] == [0.5, None, None, None]
    assert found.known["ifd_score"] == 1
    (line,) = looked.left_out()
    assert line.startswith(
        "left out: 1 of 3 scores of data/ifd/rows.jsonl, of rows that are others"
    )


def test_what_most_people_say_goes_to_the_row_as_it_was_shown() -> None:
    rows = [{"instruction": f"Ask {number}.", "output": "yes"} for number in range(3)]
    described(*rows)
    shown = [digest("Ask 0.", "", "yes"), digest("Ask 1.", "", "no")]
    about = [About("alpaca.jsonl", f"r{number}", None, text) for number, text in enumerate(shown)]
    people = {
        "ann": {about[0]: {"valid": "yes", "output": "no"}, about[1]: {"valid": "yes"}},
        "ben": {about[0]: {"valid": "yes", "output": "yes"}},
    }
    written, found = described(*rows, known=[rated(Path("alpaca.jsonl"), people)])
    # As many for it as against it are against it; the second has another output by now.
    assert [row["rated_valid"] for row in written] == [True, None, None]
    assert [row["rated_output"] for row in written] == [False, None, None]
    assert [row["rated_input"] for row in written] == [None, None, None]
    assert found.known["rated_valid"] == 1


@pytest.mark.parametrize(
    ("stop", "why"),
    [
        (NotOneRun("ifd", Path("data/rows.jsonl"), "prepare"), "ifd ran on another data/rows"),
        (None, "data/ifd/rows.jsonl is not there"),
    ],
)
def test_scores_of_another_run_are_left_out_and_it_is_said(
    stop: Exception | None, why: str
) -> None:
    if stop:
        write_files({IFD / ROWS: [scored("r0", "yes", 0.5)]})
    looked, (line,) = look_up(IFD_SCORES, Run(stop), [Path("alpaca.jsonl")])  # type: ignore[arg-type]
    assert looked is None
    assert line.startswith("left out: ifd_score: ")
    assert why in line
    assert f"`dvc repro {IFD_SCORES.stage}`" in line


# --- where it came from


def test_an_instance_came_from_what_its_instructions_prompt_showed() -> None:
    grown = {"instruction": "Sort.", "id": "g", "most_similar": {"A": 0.5, "B": 0.25}}
    grown |= {"metadata": {"key": "k1"}, "shown": ["seed_task_1", "h"]}
    kind = {"instruction": "Sort.", "instruction_id": "g", "is_classification": "No", "key": "k2"}
    write_files({INSTRUCTIONS: [to_line(grown)], CLASSIFIED: [to_line(kind)]})
    origin_of = self_instruct.origins(Run())  # type: ignore[arg-type]

    def origin(instruction_id: str, key: str | None) -> Origin:
        texts = {"instruction": "Sort.", "input": "", "output": "a"}
        named = {"id": f"{instruction_id}/1", "instruction_id": instruction_id, "key": key}
        return origin_of(GeneratedInstance(**texts, **named))  # type: ignore[arg-type]

    assert origin("g", "k3") == Origin(("seed_task_1", "h"), ("k1", "k2", "k3"), 0.5)
    assert origin("seed_task_7", None) == Origin(("seed_task_7",), ())


def test_a_pair_came_from_its_task_or_its_segment() -> None:
    pair = {"id": "t/0", "instruction": "", "output": "", "demo": True, "not_shown": None}
    kept = {"id": "s", "score": 2.5, "kept": True, "reason": None, "parts": []}
    write_files(
        {
            BACK / START / SEED / PAIRS: [to_line(pair | {"task": "t", "source": "tasks.jsonl"})],
            BACK / "last" / CURATED / KEPT: [to_line(kept)],
        }
    )
    origin_of = backtranslation.origins(Run())  # type: ignore[arg-type]

    def origin(id_: str, source: str, key: str | None) -> Origin:
        return origin_of(SimpleNamespace(id=id_, source=source, key=key))  # type: ignore[arg-type]

    assert origin("s", "augmented", "k") == Origin(("s",), ("k",), score=2.5)
    assert origin("t/0", "seed", None) == origin("t/0#2", "seed", None) == Origin(("t",), ())


def test_a_row_is_handed_on_with_what_trace_tells_of_it(grown: Project, tmp_path: Path) -> None:
    export(tmp_path / "out", None, "en")
    # What a model wrote, trace tells by its place.
    places = {
        row["id"]: f"{INSTRUCTIONS}:{line} "
        for line, row in enumerate(grown.rows(str(INSTRUCTIONS)), 1)
    }
    for name, form in (("alpaca", "prepare"), ("ranker", "relabel_and_pick")):
        lines = (tmp_path / f"out/{name}/train.jsonl").read_text().splitlines()
        file = f"data/{form}/{'train' if name == 'ranker' else name}.jsonl"
        account = told(f"{file}:1", full=True)
        row = json.loads(lines[0])
        assert row["derived_from"]
        assert len(row["derived_by"]) >= 3
        for one in (*row["derived_from"], *(key[:12] for key in row["derived_by"])):
            assert places.get(one, one) in account


def test_what_the_rows_came_from_must_be_what_the_run_made(grown: Project, tmp_path: Path) -> None:
    text = INSTRUCTIONS.read_text()
    INSTRUCTIONS.write_text(text.replace("seed_task_1", "seed_task_2"))
    with pytest.raises(BadFile, match=r"instructions\.jsonl: not what bootstrap wrote"):
        export(tmp_path / "out", None, "en")
    assert not (tmp_path / "out").exists()
