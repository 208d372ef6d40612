"""Instruction backtranslation's rows are handed on with the licences of whom they are."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from support.params import section
from support.project import ROOT
from support.tracing import EVIL
from typer.testing import CliRunner

from seedbed.backtranslation import combine
from seedbed.backtranslation.export import EXPORT
from seedbed.backtranslation.params import Combine
from seedbed.backtranslation.rows import COMBINED, FORMS, PIPELINE
from seedbed.cli import app
from seedbed.core.files import to_line, write_files
from seedbed.llm.serve.embedded import PACKAGED
from seedbed.runs.errors import NotOneRun
from seedbed.runs.pipeline import Pipeline
from seedbed.views.errors import NoLicense
from seedbed.views.export import folder as exporting
from seedbed.views.export.folder import export

SET = COMBINED / "seed_and_curated"
NAMES = ["backtranslation", "backtranslation_messages", "backtranslation_alpaca"]


class Filled:
    """A prompt that is its instruction."""

    def fill(self, demos: object, instruction: str) -> SimpleNamespace:
        return SimpleNamespace(text=instruction)


class Recorded:
    """A pipeline of which dvc.lock says that it wrote just what there is."""

    def recorded(self, stage: str) -> bool:
        return stage.endswith(":combine")

    def check_written(self, stage: str, path: Path) -> None:
        assert path.exists()

    def made_of(self, stages: object) -> list[str]:
        return ["augment"]

    def stage_of(self, path: Path) -> str:
        return path.parent.name

    def parameter(self, stage: str, name: str) -> str:
        return "round-2"

    def description(self, stage: str) -> str:
        return ""

    def ran_with(self, stage: str) -> dict[str, Any]:
        return {"llm.model": PACKAGED}


def row(number: int, source: str, license: str | None = None) -> combine.Row:
    key = "k" * 64 if source == "augmented" else None
    url = None if license is None else f"https://example.org/{number}"
    text = f"Text {number}."
    return combine.Row(f"r{number}", source, f"Ask {number}.", text, license, url, key)  # type: ignore[arg-type]


def write_set(*rows: combine.Row) -> None:
    """The set in its three forms, as `combine` writes it."""
    of_forms = [combine.forms(one, section(Combine), Filled()) for one in rows]  # type: ignore[arg-type]
    write_files(
        {
            SET / name: [to_line(forms[place]) for forms in of_forms]
            for place, name in enumerate(FORMS)
        }
    )


@pytest.fixture(autouse=True)
def _small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(
        row(1, "seed"),
        row(2, "augmented", "cc-by-4.0"),
        row(3, "augmented", "mit"),
        row(4, "augmented", "cc-by-4.0"),
    )


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "Pipeline", Recorded)


def test_the_rows_are_those_of_the_stage_that_they_are_said_to_be_of() -> None:
    written = yaml.safe_load((ROOT / PIPELINE).read_text())["stages"]["combine"]
    assert str(COMBINED) in written["outs"]
    assert {form.stage for form in EXPORT.forms} == {f"{PIPELINE}:combine"}


@pytest.mark.usefixtures("recorded")
def test_each_form_has_every_row_with_source_licence_and_address() -> None:
    told = export(Path("out"), None, "en")
    assert told[:3] == [f"{name} · train · 4 rows" for name in NAMES]
    for name, form in zip(NAMES, EXPORT.forms, strict=True):
        (source,) = form.splits.values()
        rows = [json.loads(line) for line in source.read_text().splitlines()]
        written = pq.read_table(f"out/{name}/train.parquet").to_pylist()
        assert [{field: row[field] for field in rows[0]} for row in written] == rows
        assert [(row["source"], row["license"], row["url"]) for row in rows] == [
            ("seed", None, None),
            ("augmented", "cc-by-4.0", "https://example.org/2"),
            ("augmented", "mit", "https://example.org/3"),
            ("augmented", "cc-by-4.0", "https://example.org/4"),
        ]


@pytest.mark.usefixtures("recorded")
def test_a_blank_licence_is_none() -> None:
    write_set(row(1, "augmented", "  "))
    with pytest.raises(NoLicense):
        export(Path("out"), None, "en")


@pytest.mark.usefixtures("recorded")
def test_the_card_counts_the_rows_of_each_licence_once() -> None:
    export(Path("out"), None, "en")
    card = Path("out/README.md").read_text()
    assert "```\n2  cc-by-4.0\n1  mit\n```\n\n1 more rows there have no such text" in card
    assert "In `backtranslation`, `backtranslation_messages`, `backtranslation_alpaca`" in card
    assert "Text that a language model wrote, and some that people did, made by" in card
    assert card.count("cc-by-4.0") == 1, "it is not the licence of all"


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("number", [1, 2])
def test_a_text_of_others_without_a_licence_is_not_handed_on(number: int) -> None:
    lacking = [row(5 + n, "augmented") for n in range(number)]
    write_set(row(1, "seed"), row(2, "augmented", "mit"), *lacking, row(9, "seed"))
    with pytest.raises(NoLicense) as refused:
        export(Path("out"), None, "en")
    place, remedy = str(refused.value).split("\n", 1)
    assert place.startswith(f"{SET}/finetuning.jsonl:3: ")
    assert ("1 more" in place) == (number == 2)
    assert "segment.license" in remedy
    assert "--without-license" in remedy
    assert not Path("out").exists()


@pytest.mark.usefixtures("recorded")
def test_it_is_handed_on_if_told_so_and_the_card_tells_of_how_many() -> None:
    write_set(row(1, "seed"), row(2, "augmented", "mit"), row(3, "augmented"), row(4, "augmented"))
    refused = CliRunner().invoke(app, ["export", "out"])
    assert refused.exit_code == 1
    assert "finetuning.jsonl:3: " in refused.stderr
    done = CliRunner().invoke(app, ["export", "out", "--without-license"])
    assert done.exit_code == 0, done.output
    assert "```\n2  not known\n1  mit\n```" in Path("out/README.md").read_text()


@pytest.mark.usefixtures("recorded")
def test_a_seed_pair_needs_no_licence() -> None:
    write_set(row(1, "seed"), row(2, "seed"))
    export(Path("out"), None, "en")
    card = Path("out/README.md").read_text()
    assert "Texts of others" not in card
    assert "Text that a language model wrote, made by" in card


@pytest.mark.usefixtures("recorded")
def test_what_a_document_calls_its_licence_stays_text() -> None:
    write_set(row(1, "augmented", f"mit\n```\n# Title <b>{EVIL}"))
    export(Path("out"), None, "en")
    card = Path("out/README.md").read_text()
    block = re.search(r"Rows by licence:\n\n(`{4,})\n1  mit\n```\n# Title <b>(.*)\n\1\n", card)
    assert block
    assert block[2].isprintable()


# --- what the rows were made of


STAGES = {
    "segment": (["data/corpus"], ["data/segment"]),
    "augment": (["data/segment/segments.jsonl"], ["data/rounds/one/augment"]),
    "unrelated": (["data/rounds/one/augment"], ["data/rounds/one-more"]),
    "combine": (["data/rounds/one"], ["data/combine"]),
}


def write_lock(**md5s: str) -> None:
    """A run in which one stage reads a file of another's folder, and one a folder of others'."""
    written = {
        name: {"cmd": name, "deps": deps, "outs": outs} for name, (deps, outs) in STAGES.items()
    }
    locked = {
        name: {
            "cmd": name,
            "deps": [{"path": path, "md5": md5s.get(name, path)} for path in deps],
            "outs": [{"path": path, "md5": path} for path in outs],
        }
        for name, (deps, outs) in STAGES.items()
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": written}, sort_keys=False))
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": locked}))


def test_a_folder_is_made_of_what_lies_in_it_and_a_file_of_what_wrote_its_folder() -> None:
    write_lock()
    # And not of what merely begins with the same letters.
    assert Pipeline().made_of(["combine"]) == ["segment", "augment", "combine"]


def test_a_folder_that_was_written_again_since_is_refused() -> None:
    write_lock(unrelated="another")
    with pytest.raises(NotOneRun, match=r"unrelated ran on another data/rounds/one/augment"):
        Pipeline().made_of(["unrelated"])
