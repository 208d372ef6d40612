"""The first prompts of a stage, answered before it runs: the same, and no more than that."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.growing import Growing, growing, small
from support.project import ROOT, Project
from support.stages import run_stage
from typer.testing import CliRunner

from seedbed import params
from seedbed.cli import app
from seedbed.methods import STAGES, module_of
from seedbed.runs.errors import AsksNothing, NoSuchStage, NotMadeYet
from seedbed.runs.filled import Template, told
from seedbed.runs.pipeline import Pipeline
from seedbed.runs.preview import Look
from seedbed.views.preview.look import look, previews
from seedbed.views.preview.page import page
from seedbed.views.preview.told import lines

# It has the model's tokenizer count, and asks nothing.
COUNTS = {"relabel-and-pick"}
# Of a first run. Those that score are in tests/test_ranker_pipeline.py, tests/test_active_rounds.py
# and tests/test_backtranslation_pipeline.py.
ASKING = ("bootstrap", "clf", "instances", "candidates", "label", "evaluate")


@pytest.fixture
def server(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Growing]:
    """That of a small project, in whose folder the test is."""
    small(project)
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv("SEEDBED_STORE", raising=False)
    monkeypatch.setenv("SEEDBED_CONCURRENCY", "1")
    with growing() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.url)
        yield served


def run(name: str) -> None:
    stage = module_of(name)
    run_stage(stage, params.load(name, stage.Params))


def tree() -> dict[Path, bytes]:
    """All files but the store, what lies beside it, and what DVC and git keep for themselves."""
    own = (".seedbed/", ".git/", ".dvc/tmp/", ".dvc/cache/")
    paths = [path for path in sorted(Path().rglob("*")) if not path.as_posix().startswith(own)]
    return {path: path.read_bytes() for path in paths if path.is_file()}


def test_every_stage_that_asks_can_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    asking = {
        stage
        for stage in STAGES
        if "open_engine(" in Path(module_of(stage).__file__ or "").read_text()
    }
    assert asking - COUNTS == {*previews()}
    # And nothing else in any dvc.yaml asks.
    commands = [shlex.split(str(stage.cmd)) for stage in Pipeline().stages.values()]
    assert all(words[words.index("seedbed") + 1] in STAGES for words in commands if "-m" in words)


def test_nothing_is_written_but_answers_and_the_run_asks_for_all_others(server: Growing) -> None:
    # DVC wants it there; the first model that is asked is another.
    Path("data/finetune").mkdir(parents=True)
    for stage in ASKING:
        before = tree()
        server.start_over()
        seen = look(stage, 2)
        list(lines(seen, styled=False))
        page(seen)
        assert tree() == before
        asked = sorted(body["prompt"] for body in server.bodies)
        assert len(asked) == 2 == seen.sent
        assert sorted(one.prompt for sample in seen.samples for one in sample.asked) == asked
        assert seen.whole is not None
        assert seen.whole.foreseen.kept == 2

        server.start_over()
        assert look(stage, 2).sent == 0
        assert server.connections == 0

        run(stage)
        left = [body["prompt"] for body in server.bodies]
        assert left
        if stage != "candidates":  # they are sampled again, by the same prompt
            assert not {*left} & {*asked}
            assert stage == "bootstrap" or len(left) == seen.whole.foreseen.missing


def test_what_is_made_of_an_answer_is_what_the_run_makes_of_it(
    server: Growing, project: Project
) -> None:
    made = {}
    for stage in ASKING[:-1]:
        # Some completions hold no pair.
        rows = 6 if stage == "instances" else 2
        made[stage] = [row for sample in look(stage, rows).samples for row in sample.made]
        run(stage)
    run("prepare")

    written = project.rows("data/bootstrap/machine_generated_instructions.jsonl")
    accepted = [row["accepted"] for row in made["bootstrap"] if "accepted" in row]
    assert accepted == [row["instruction"] for row in written[: len(accepted)]] != []
    kinds = project.rows("data/clf/is_clf_or_not.jsonl")
    said = [row["is_classification"].strip().lower() for row in kinds[:2]]
    assert [row["classification"] for row in made["clf"]] == said
    instances = {
        (row["input"], row["output"])
        for name in ("all_generated_instances", "rejected")
        for row in project.rows(f"data/prepare/{name}.jsonl")
    }
    pairs = {(row["input"], row["output"]) for row in made["instances"]}
    assert pairs
    assert pairs <= instances
    candidates = project.rows("data/candidates/origins.jsonl")
    assert made["candidates"][0]["candidate"] == candidates[1]["instruction"]
    (labelled,) = Path("data/label").glob("*.jsonl")
    rows = project.rows(str(labelled))[3:5]
    assert [row["output"] for row in made["label"]] == [r["instruction_outputs"][0] for r in rows]


def test_what_another_stage_has_to_make_first_is_named(server: Growing) -> None:
    with pytest.raises(NotMadeYet, match="bootstrap makes it: run `dvc repro bootstrap` first"):
        look("clf", 3)
    with pytest.raises(AsksNothing, match="prepare asks no model"):
        look("prepare", 3)
    with pytest.raises(NoSuchStage, match="there is no stage 'nosuch'"):
        look("nosuch", 3)
    assert server.connections == 0


def test_a_budget_holds(server: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDBED_BUDGET_TOKENS", "10")
    done = CliRunner().invoke(app, ["preview", "bootstrap"])
    assert done.exit_code == 1
    assert "SEEDBED_BUDGET_TOKENS" in done.stderr
    assert server.bodies == []


def test_what_a_model_wrote_is_text_in_a_terminal_and_on_the_page(
    server: Growing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wicked = " <script>alert(1)</script>\x1b[2J\u202e</pre>\n16. Name <b>two</b> rivers of Europe."
    monkeypatch.setattr(Growing, "text_for", lambda self, prompt: wicked)
    file = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["preview", "bootstrap", "--rows", "1", "--html", str(file)])
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert "│  <script>alert(1)</script>\\x1b[2J\\u202e</pre>" in done.stdout
    text = file.read_text()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert "<b>two" not in text
    assert text.count("</pre>") == text.count("<pre")
    # It loads nothing, and is small.
    assert not re.findall(r"(?:src|href)=|@import|url\(", text)
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert len(text) < 20_000
    # What was filled in: the numbered list, between what the file has.
    template = Path("data/prompts/bootstrap/tasks.txt").read_text()
    (filled,) = re.findall(r"<mark>(1\. .*?)</mark>", text, re.DOTALL)
    before = template.partition("{")[0]
    assert f"{before}<mark>{filled}</mark>" in text
    assert f"│ {before.strip()}\n    │ ⟦1. " in done.stdout


def test_a_page_in_a_folder_that_is_not_there_is_refused_before_anything_is_asked(
    server: Growing,
) -> None:
    for name, folder in (("nowhere/x.html", "nowhere"), ("params.yaml/x.html", "params.yaml")):
        done = CliRunner().invoke(app, ["preview", "bootstrap", "--html", name])
        assert done.exit_code == 1
        assert f"{name}: there is no folder {folder}\n  Make it first, or" in done.stderr
    assert not Path("nowhere").exists()
    assert server.bodies == []


@pytest.mark.parametrize("stage", ["bootstrap", "alpaca"])
def test_where_a_round_has_fewer_prompts_than_were_wanted_it_says_so(
    server: Growing, stage: str
) -> None:
    module, everything = module_of(stage), params.everything()
    # Not as dvc.yaml declares them: alpaca is in another.
    own = module.Params.model_construct(**{**dict(everything), "llm": everything.asked})
    batch = getattr(own, stage).request_batch_size
    for rows in (batch - 1, batch, batch + 1):
        looked = previews()[stage].samples(own, module.Inputs(), Look(stage, rows, everything))
        *others, last = looked
        assert len(others) + 1 == min(rows, batch)
        assert not any(sample.later for sample in others)
        assert (f"{stage}.request_batch_size" in last.later) == (rows > batch)


def pieces(prompt: str, *templates: str) -> list[tuple[str, bool]]:
    found = told(prompt, [Template(text, text) for text in templates])
    return [(piece.text, piece.filled) for piece in found.pieces]


def test_what_was_filled_in_is_told_from_what_the_file_has() -> None:
    form = "{instruction}\n\n{demos}\n\nInput: {input}\n\nOutput:"
    demos = "Input: 1\n\nOutput: 2\n\nInput: 3\n\nOutput: 4"
    marked = [
        ("Add one.", True),
        ("\n\n", False),
        (demos, True),
        ("\n\nInput: ", False),
        ("5", True),
        ("\n\nOutput:", False),
    ]
    shorter = "{instruction}\n\nOutput:"
    # The one that has most of it; what a demo looks like makes no difference.
    assert pieces(f"Add one.\n\n{demos}\n\nInput: 5\n\nOutput:", shorter, form) == marked
    assert pieces("Say hi.\n\nOutput:", form, shorter) == [
        ("Say hi.", True),
        ("\n\nOutput:", False),
    ]
    # A stage may end it with a newline, and fill in nothing.
    assert pieces("T: x\n", "T: {task}") == [("T: ", False), ("x", True), ("\n", False)]
    assert pieces("T: ", "T: {task}") == [("T: ", False)]
    assert pieces("No place.", "No place.") == [("No place.", False)]
    assert pieces("Q {{x}} A", "Q {{question}} A")[1] == ("{{x}}", True)
    assert pieces("of no file", form) == [("of no file", True)]
