"""The folder for the hub: what is in it, what its card says, and what stops it."""

import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.project import Project
from support.tries import tries
from typer.testing import CliRunner

from seedbed.active.params import Sections as Active
from seedbed.auto_instruct.export import RankerRow
from seedbed.backtranslation.params import Sections as Backtranslation
from seedbed.cli import app
from seedbed.errors import BadFile, WriteFailed
from seedbed.llm.serve.embedded import PACKAGED
from seedbed.ranker.params import Sections as Ranker
from seedbed.runs.errors import NotOneRun
from seedbed.self_instruct.export import EXPORT
from seedbed.self_instruct.rows import FinetuningRow
from seedbed.training.params import Sections as Training
from seedbed.views.errors import FolderTaken, NothingToExport
from seedbed.views.export import folder as exporting
from seedbed.views.export import parquet
from seedbed.views.export.card import Made, Table, card, fenced, front_matter
from seedbed.views.export.folder import all_forms, export
from seedbed.views.export.parquet import Measured, Words, write_parquet

# A stage of another pipeline is named with it.
FIRST_RUN = [form for _, form in all_forms() if ":" not in form.stage]


@pytest.fixture(autouse=True)
def _in_the_project(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "grown" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("grown").folder)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def top_of(text: str) -> tuple[dict, str]:
    """The front matter as the hub reads it, and the Markdown below it."""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert found
    return yaml.safe_load(found[1]), text[found.end() :]


def outside_fences(markdown: str) -> list[str]:
    """The lines that are Markdown, as CommonMark has it, and not text in a fence."""
    lines, fence = [], None
    for line in markdown.split("\n"):
        if fence is None:
            opened = re.fullmatch(r"(`{3,})[a-z]*", line)
            fence = opened and opened[1]
            if not opened:
                lines.append(line)
        elif re.fullmatch(f" {{0,3}}`{{{len(fence)},}}[ \t]*", line):
            fence = None
    assert fence is None, "a fence that nothing ends"
    return lines


# --- what is in it


def test_both_forms_of_a_split_have_every_row_with_its_key(grown: Project, tmp_path: Path) -> None:
    export(tmp_path / "out", None, "en")
    for form in FIRST_RUN:
        for split, source in form.splits.items():
            lines = tmp_path / f"out/{form.name}/{split}.jsonl"
            if split == "unseen_dev":  # which has no rows here
                assert not lines.exists()
                continue
            rows = grown.rows(str(source))
            assert rows
            written = [json.loads(line) for line in lines.read_text().splitlines()]
            for own, row in zip(rows, written, strict=True):
                assert {name: row[name] for name in own} == own
            table = pq.read_table(lines.with_suffix(".parquet")).to_pylist()
            # What the stage left out is null in both, and stands at the same place.
            assert table == written
            assert {*map(tuple, written)} == {tuple(table[0])}
            assert all(row[form.key] for row in table)
            assert all(row["derived_from"] and row["derived_by"] for row in table)


def test_the_same_run_gives_the_same_bytes_and_its_checksums_hold(
    grown: Project, grown_once: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tmp_path / "one/out", None, "en")
    monkeypatch.chdir(grown_once.folder)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    (tmp_path / "other").mkdir()
    export(tmp_path / "other", None, "en")
    assert files(tmp_path / "one/out") == files(tmp_path / "other")

    def check() -> int:
        command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        return subprocess.run(command, cwd=tmp_path / "other", check=False).returncode

    assert check() == 0
    summed = re.findall(r"  (.+)\n", (tmp_path / "other/SHA256SUMS").read_text())
    assert {*summed, "SHA256SUMS"} == set(files(tmp_path / "other"))
    with (tmp_path / "other/alpaca/train.parquet").open("ab") as file:
        file.write(b" ")
    assert check() != 0


def test_datasets_loads_every_configuration_of_the_folder_by_its_card(
    grown: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", os.fspath(tmp_path / "cache"))
    import datasets

    export(tmp_path / "out", None, "en")
    place, cache = os.fspath(tmp_path / "out"), os.fspath(tmp_path / "cache")
    assert datasets.get_dataset_config_names(place) == [form.name for form in FIRST_RUN]
    unnamed = datasets.load_dataset(place, cache_dir=cache)
    lines = (tmp_path / "out/finetuning/train.jsonl").read_text().splitlines()
    assert unnamed["train"].to_list() == [json.loads(line) for line in lines]
    ranker = datasets.load_dataset(place, "ranker", cache_dir=cache)
    assert set(ranker) == {"train", "seen_dev"}
    assert len(ranker["train"]) == len(grown.rows("data/relabel_and_pick/train.jsonl"))


def test_a_row_of_ones_own_labels_fits_the_same_columns(tmp_path: Path) -> None:
    row = {
        "id": 17,
        "prompt": "{{input}}",
        "demos": [{"input": "a", "output": "b"}],
        "input": "c",
        "target": "d",
        "targets": ["d", "e"],
        "instructions": ["f", "g"],
        "instruction_idx": [0, 1],
        "instruction_labels": [0.25, 0.75],
        "instruction_outputs": ["", "d"],
        "instruction_rouge": [0.0, 1.0],
        "instruction_problems": ["empty", None],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    write_parquet(tmp_path / "rows.jsonl", RankerRow, tmp_path / "rows.parquet", ())
    (read,) = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    demos = '[{"input": "a", "output": "b"}]'
    assert read == row | {"id": "17", "demos": demos, "instruction_keys": None}


def test_more_rows_than_a_group_are_all_there_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROWS_A_GROUP", 2)
    ids = {"id": "i/1", "instruction_id": "i"}
    rows = [{"prompt": f"p {n}", "completion": "", **ids, "key": None} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "rows.parquet"
    measured = write_parquet(tmp_path / "rows.jsonl", FinetuningRow, path, ("prompt", "completion"))
    assert pq.read_table(path).to_pylist() == rows
    assert pq.ParquetFile(path).metadata.num_row_groups == 3
    assert measured.rows == 5
    assert measured.words == {"prompt": Words(5, 10, 2, 2), "completion": Words()}


@pytest.mark.parametrize(
    ("gone", "left", "category", "method"),
    [
        (
            "relabel-and-pick",
            ["finetuning", "messages", "alpaca"],
            "text-generation",
            "Self-Instruct",
        ),
        ("prepare", ["ranker"], "text-ranking", "Auto-Instruct"),
    ],
)
def test_what_one_method_made_can_be_handed_on_alone(
    grown: Project, tmp_path: Path, gone: str, left: list[str], category: str, method: str
) -> None:
    folder = f"data/{gone.replace('-', '_')}"
    shutil.rmtree(folder)
    told = export(tmp_path / "out", None, "en")
    (left_out,) = (line for line in told if line.startswith("left out"))
    assert f"{folder} is not there" in left_out
    assert f"dvc repro {gone}" in left_out
    top, text = top_of((tmp_path / "out/README.md").read_text())
    assert [config["config_name"] for config in top["configs"]] == left
    assert top["task_categories"] == [category]
    assert top["tags"] == ["synthetic", "instruction-tuning", method.lower()]
    assert re.findall(r"made by \[(.*?)\]\(\S+\) pipelines", text) == [method]
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == set(left)
    assert ("\nlabel." in text) == (method == "Auto-Instruct")
    assert ("`instruction_keys`" in text) == (method == "Auto-Instruct")


def test_where_none_of_it_is_there_what_is_missing_is_named(grown: Project, parent: Path) -> None:
    shutil.rmtree("data/prepare")
    shutil.rmtree("data/relabel_and_pick")
    with pytest.raises(BadFile, match=r"data/prepare/finetuning\.jsonl: no such file"):
        export(parent / "out", None, "en")


# --- the card


def test_the_card_counts_what_is_there(grown: Project, tmp_path: Path) -> None:
    export(tmp_path / "out", None, "fr")
    top, text = top_of((tmp_path / "out/README.md").read_text())
    assert top["language"] == ["fr"]
    assert top["size_categories"] == ["n<1K"]
    rows = grown.rows("data/prepare/alpaca.jsonl")
    assert f"| alpaca | train | {len(rows)} |" in text
    lengths = [len(row["output"].split()) for row in rows]
    mean = sum(lengths) / len(lengths)
    said = f"| output | {len(rows)} | {mean:.1f} | {min(lengths)} | {max(lengths)} |"
    assert said in text
    for config in top["configs"]:
        for one in config["data_files"]:
            assert (tmp_path / "out" / one["path"]).is_file()


def test_the_card_has_the_parameters_of_the_run_and_not_those_of_today(
    grown: Project, tmp_path: Path
) -> None:
    grown.set("bootstrap.rouge_threshold", 0.6)
    export(tmp_path / "out", None, "en")
    text = (tmp_path / "out/README.md").read_text()
    block = re.search(r"```yaml\n(.*?)\n```", text, re.DOTALL)
    assert block
    said = yaml.safe_load(block[1])
    assert said["bootstrap.rouge_threshold"] == 0.7
    assert said["bootstrap.sampling.stop"] == ["\n\n", "\n16", "16.", "16 ."]
    assert said["llm.model"] == "served-model"
    # `run` changes nothing, and no pipeline but the first was run.
    beside = (Training, Ranker, Active, Backtranslation)
    others = {"run", "alpaca", *(name for sections in beside for name in sections.model_fields)}
    sections = set(yaml.safe_load(grown.read("params.yaml"))) - others
    assert {name.split(".")[0] for name in said} == sections
    assert "\n```\nserved-model\n```\n" in text


def tables_of(row: dict) -> list[Table]:
    measured = Measured(rows=1, words={"output": Words()}, first=row)
    return [Table(EXPORT, EXPORT.forms[2], "train", "alpaca/train.parquet", measured)]


def made_with(**parameters: object) -> list[Made]:
    llm = {"llm.model": "served-model", "llm.api": "completions"}
    return [Made("bootstrap", "Seed tasks -> instructions", llm | parameters)]


PIECES = ["---", "\n", "```", "````", "~~~", "|", "<script>x</script>", "# x", "&lt;", "![a](b)"]
PIECES += ["configs:", "- ", "'", '"', ": ", "\\", " ", "\r", "\u2028", "\u202e"]
HOSTILE = st.text() | st.lists(st.sampled_from(PIECES)).map("".join)


@settings(max_examples=tries(60), deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
@example("a\n```\n# x", "```", "a\n````\n---\nlicense: mit")
def test_text_of_a_model_or_a_user_stays_text_in_the_card(
    instruction: str, system: str, model: str
) -> None:
    def written(instruction: str, system: str, model: str) -> str:
        made = [
            Made(
                "bootstrap",
                instruction,
                {"llm.model": model, "llm.api": "chat", "llm.system": system},
            )
        ]
        return card(tables_of({"instruction": instruction, "key": None}), made, None, "en")

    top, text = top_of(written(instruction, system, model))
    plain_top, plain = top_of(written("Sort.", "Be kind.", "a-model"))
    assert top == plain_top
    assert outside_fences(text) == outside_fences(plain)


def test_a_text_in_a_fence_can_be_read_as_it_was() -> None:
    text = "a | b\n---\n<script>\n````\nend"
    assert fenced(text).split("\n")[1:-1] == text.split("\n")
    # What a terminal or a browser would act on is shown instead.
    assert "\\u202e" in fenced("\u202e")


def test_the_licence_is_never_guessed() -> None:
    def licence(made: list[Made], named: str | None = None) -> dict:
        top = front_matter(tables_of({}), made, named, "en")
        return {name: value for name, value in top.items() if name.startswith("license")}

    gemma = made_with(**{"llm.model": PACKAGED})
    terms = {
        "license": "other",
        "license_name": "gemma-terms-of-use",
        "license_link": "https://ai.google.dev/gemma/terms",
    }
    assert licence(gemma) == licence(gemma, "other") == licence(made_with() + gemma) == terms
    assert licence(made_with()) == {"license": "unknown"}
    assert licence(gemma, "cc-by-4.0") == licence(made_with(), "cc-by-4.0")
    assert licence(gemma, "cc-by-4.0") == {"license": "cc-by-4.0"}
    for named in (None, "cc-by-4.0"):
        text = card(tables_of({}), gemma, named, "en")
        assert "[Gemma Terms of Use](https://ai.google.dev/gemma/terms)" in text
        assert "Model Derivative" in text
    assert "Gemma" not in card(tables_of({}), made_with(), None, "en")


def test_the_card_names_the_known_limits() -> None:
    text = card(tables_of({}), made_with(), None, "en")
    for limit in ("54%", "46%", "2212.10560", "not filtered for safety", "English", "Rules alone"):
        assert limit in text
    assert "270 million" not in text
    assert "270 million" in card(tables_of({}), made_with(**{"llm.model": PACKAGED}), None, "en")


def test_no_path_of_the_machine_is_in_the_card() -> None:
    here = {"llm.model": "/home/me/models/my.gguf", "niv2": {"folder": "/home/me/tasks"}}
    text = card(tables_of({}), made_with(**here), None, "en")
    assert "/home" not in text
    assert "my.gguf" in text
    assert 'niv2.folder: "tasks"' in text


@pytest.mark.parametrize(
    "options", [["--license", "MIT or so"], ["--license", "a\n---"], ["--language", "English"]]
)
def test_a_word_that_the_hub_would_refuse_is_refused_here(
    options: list[str], tmp_path: Path
) -> None:
    done = CliRunner().invoke(app, ["export", str(tmp_path / "out"), *options])
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


# --- what stops it


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Path]:
    """Where the folder would come; nothing is to be left there."""
    parent = tmp_path / "parent"
    parent.mkdir()
    yield parent
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["data/prepare/messages.jsonl", "data/relabel_and_pick/seen_dev.jsonl"]
)
def test_an_output_that_is_missing_or_has_changed_is_named(
    grown: Project, parent: Path, name: str
) -> None:
    path = Path(name)
    stage = path.parent.name.replace("_", "-")
    path.write_bytes(path.read_bytes()[:-2] + b" }")
    with pytest.raises(BadFile) as changed:
        export(parent / "out", None, "en")
    assert str(changed.value).startswith(f"{name}: not what {stage} wrote: it has changed since\n")
    assert f"dvc checkout --force {name}" in str(changed.value)
    path.unlink()
    with pytest.raises(BadFile) as missing:
        export(parent / "out", None, "en")
    assert str(missing.value).startswith(f"{name}: no such file")
    assert "`dvc pull`" in str(missing.value)
    assert f"`dvc repro {stage}`" in str(missing.value)
    # The remedies that are named are remedies.
    assert grown.run("dvc", "checkout", "--force", name).returncode == 0
    export(parent / "out", None, "en")
    shutil.rmtree(parent / "out")


def test_a_lock_of_several_runs_is_refused(grown: Project, parent: Path) -> None:
    """Else the card would tell parameters that the data did not come of."""
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    (out,) = (one for one in lock["stages"]["clf"]["outs"] if one["path"].startswith("data/"))
    out["md5"] = "0" * 32
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(NotOneRun, match=r"prepare ran on another data/clf/\S+ than clf wrote"):
        export(parent / "out", None, "en")


def test_without_a_run_there_is_nothing_to_export(grown: Project, parent: Path) -> None:
    Path("dvc.lock").unlink()
    with pytest.raises(NothingToExport, match=r"no record of prepare(.|\n)*dvc repro"):
        export(parent / "out", None, "en")


def test_what_stands_at_the_place_is_not_touched(grown: Project, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    with pytest.raises(FolderTaken, match="full: is not empty"):
        export(tmp_path / "full", None, "en")
    with pytest.raises(FolderTaken, match="mine: is a file"):
        export(tmp_path / "full/mine", None, "en")
    assert files(tmp_path / "full") == {"mine": b"mine"}


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "circle/inside"])
def test_a_place_where_nothing_can_be_is_one_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(BadFile):
        export(tmp_path / name, None, "en")


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_nothing_half_written_is_left(
    grown: Project, parent: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    written: list[Path] = []

    def fail_at_the_third(*arguments: object) -> Measured:
        written.append(arguments[2])  # type: ignore[arg-type]
        if len(written) == 3:
            raise stop
        return write_parquet(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(exporting, "write_parquet", fail_at_the_third)
    with pytest.raises((WriteFailed, KeyboardInterrupt)) as failed:
        export(parent / "out", None, "en")
    assert written[0].parents[2] == parent, "it was not moved from beside its place"
    assert "No space left" in str(failed.value) or isinstance(stop, KeyboardInterrupt)


def test_what_a_killed_export_left_goes_with_the_next(grown: Project, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / ".out.0a1b.partial/finetuning").mkdir(parents=True)
    (parent / ".out.0a1b.partial/finetuning/train.jsonl").write_text("half")
    export(parent / "out", None, "en")
    assert [path.name for path in parent.iterdir()] == ["out"]


def test_the_command_says_what_it_wrote(
    grown: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = CliRunner().invoke(app, ["export", str(tmp_path / "out"), "--license", "CC-BY-4.0"])
    assert done.exit_code == 0, done.output
    rows = len(grown.rows("data/prepare/alpaca.jsonl"))
    assert f"alpaca · train · {rows} rows\n" in done.output
    top, _ = top_of((tmp_path / "out/README.md").read_text())
    assert top["license"] == "cc-by-4.0"
