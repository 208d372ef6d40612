"""The report shows all of a run, and whatever a model wrote stays text in it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import pytest
import vl_convert
from benchmarks import made_run
from benchmarks.browser import CHROMIUM, driven, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from support.pages import data_of, rows_of, unpacked
from support.project import ROOT, Project
from support.server import Handler, listening
from support.tries import tries

from seedbed.auto_instruct.rows import CANDIDATES, LABELLED, RELABELLED
from seedbed.core.files import read_rows, to_line
from seedbed.errors import BadFile
from seedbed.methods import parts
from seedbed.runs.page import Kind, Part, Row
from seedbed.self_instruct import report as rows
from seedbed.self_instruct.origins import ALPACA
from seedbed.self_instruct.rows import INSTRUCTIONS, PREPARED, GeneratedInstance, Instruction
from seedbed.self_instruct.seeds import read_seed_tasks
from seedbed.tasks.ratings import FOLDER, OF_A_ROW, Rating, digest
from seedbed.training.rows import EVALUATED
from seedbed.views.errors import NothingToReport
from seedbed.views.report import build as building
from seedbed.views.report import comparison, drawing, made_with, pictures
from seedbed.views.report.build import build
from seedbed.views.report.comparison import Metric
from seedbed.views.report.packing import DIGITS, FIRST, LAST, columns, packed
from seedbed.views.report.templates import render

# Where everything is to be tested, a browser that is missing is a failure.
needs_browser = pytest.mark.skipif(
    not CHROMIUM and not os.environ.get("CI"), reason="there is no chromium here"
)
# One page for all of them, on one worker: it takes seconds to make.
pytestmark = pytest.mark.xdist_group("report")
COUNT = 12
# The server of `fetched` stands for all that a page must not ask.
HOSTILE = [
    "<script>document.title = 'hacked'; fetch('{url}')</script>",
    "</script><script>document.title = 'hacked'</script>",
    "<!-- <script> ]]> --> -->",
    "two\u2028lines\u2029apart \x00 \ud800 \u202eback",
    "javascript:document.title='hacked'",
    "<img src='{url}' onerror=\"document.title='hacked'\">",
    "'\"><svg onload=document.title='hacked'><style>@import '{url}';</style>",
    "100 % $title ${{policy}} {{}} %s \\u003c/script\\u003e",
]


class Fetched:
    """A server on loopback that counts what asks it for something."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.url = ""


@pytest.fixture(scope="module")
def fetched() -> Iterator[Fetched]:
    found = Fetched()

    class Refusing(Handler):
        def do_GET(self) -> None:
            found.paths.append(self.path)
            self.send_error(404)

    with listening(Refusing) as address:
        found.url = f"{address}/x"
        yield found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, fetched: Fetched) -> Iterator[Project]:
    """A run whose every text is hostile, that of parameters, metrics and the commit too."""
    project = Project(
        tmp_path_factory.mktemp("report") / "project", pipelines=("ablation", "ranker", "training")
    )
    for name in ("bootstrap", "clf", "instances", "prepare"):
        assert not list((project.folder / "data" / name).glob("*.jsonl"))
    texts = [one.format(url=fetched.url) for one in HOSTILE]
    bad = texts[5]
    project.replace("dvc.lock", "- Write a program", f"- {json.dumps(bad)}")
    metrics = project.folder / "metrics/clf.json"
    metrics.write_text(json.dumps({**json.loads(metrics.read_text()), texts[1]: 1}))
    project.commit(f"Add {texts[1]}")
    before = Path.cwd()
    os.chdir(project.folder)
    numbers = iter(range(10**6))
    said = cycle(texts)
    made_run.self_instruct(COUNT, lambda: f"Task {next(numbers)} {next(said)}", said.__next__)
    made_run.auto_instruct(said.__next__)
    made_run.evaluation(said.__next__)
    yield project
    os.chdir(before)


@pytest.fixture(scope="module")
def page(hostile: Project) -> str:
    return build()


@pytest.fixture
def copy(hostile: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, for tests that change it; without plots, and without the ablation's sixty
    stages, which take seconds to draw."""
    monkeypatch.setattr(pictures, "plots", lambda: iter(()))
    folder = tmp_path / "copy"
    shutil.copytree(hostile.folder, folder)
    shutil.rmtree(folder / "pipelines/ablation")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(hostile: Project, page: str) -> None:
    done = hostile.stage("report", PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stdout
    written = hostile.read(".seedbed/report.html")
    assert written == page.encode(errors="replace")


def test_a_picture_is_the_same_whatever_was_drawn_before() -> None:
    spec = {
        "data": {"values": [{"a": 0, "b": 1}, {"a": 1, "b": 2}]},
        "mark": "rect",
        "encoding": {"x": {"field": "a"}, "color": {"field": "b", "type": "quantitative"}},
    }
    first, second = (pictures.picture(pictures.Plot("plots/x.json", spec)) for _ in range(2))
    assert first is not None
    assert b"gradient_0" in first.content
    assert first == second


def test_a_picture_has_room_for_wider_type_than_it_is_measured_in() -> None:
    names = ["a rather long name", "another one"]
    spec = {
        "data": {"values": [{"name": name, "x": 1} for name in names]},
        "mark": "bar",
        "encoding": {"y": {"field": "name"}, "x": {"field": "x", "type": "quantitative"}},
    }
    made = pictures.picture(pictures.Plot("plots/x.json", spec))
    assert made
    svg = made.content.decode()
    assert {*re.findall('font-size="([^"]+)"', svg)} == {"10px", "11px"}

    def left_of_labels(text: str) -> float:
        """Where the title of the y axis stands, from the axis."""
        found = re.search(r"translate\((-?[\d.]+),[\d.]+\) rotate\(-90\)", text)
        assert found
        return -float(found[1])

    # Eighteen letters of which each may be a fifth wider.
    assert left_of_labels(svg) > 1.15 * left_of_labels(vl_convert.vegalite_to_svg(spec))


def test_every_row_is_there_with_the_instruction_and_the_prompt_that_it_came_from(
    page: str,
) -> None:
    data = data_of(page)
    origins = data["origins"]["self_instruct"]
    seeds = [[task.id, task.instruction] for task in read_seed_tasks()]
    assert origins["seeds"] == seeds
    kept = list(read_rows(ALPACA, GeneratedInstance))
    made = list(read_rows(INSTRUCTIONS, Instruction))
    place = [kind["name"] for kind in data["kinds"]].index("finetuning row")
    found = [row for row in data["rows"] if row[0] == place]
    names = [kind["name"] for kind in data["kinds"]]
    keys = [row[6] for row in data["rows"] if names[row[0]] == "accepted instruction"]
    assert [row[1] for row in found] == list(range(1, COUNT + 1))
    for row, own, origin in zip(found, kept, made, strict=True):
        text, round_, prompt, _ = origins["instructions"][row[2]]
        assert (text, row[3], row[4]) == (own.instruction, own.input, own.output)
        assert (round_, keys[row[2]]) == (origin.request_idx, (origin.metadata.key or "")[:DIGITS])
        references = origins["prompts"][prompt]
        assert [
            made[number].id if number >= 0 else seeds[-1 - number][0] for number in references
        ] == origin.shown
    assert len(data["rows"]) == 4 * COUNT


PRIVATE = chr(FIRST) + chr(LAST)
some_text = st.one_of(
    st.lists(st.sampled_from([*HOSTILE, "word", "Word", "über", PRIVATE, "\ue123", ""])).map(
        " ".join
    ),
    st.text(max_size=20),
)
some_rows = st.lists(
    st.builds(
        Row,
        line=st.integers(1, 99),
        instruction=st.one_of(some_text, st.integers(-9, 9)),
        input=some_text,
        output=some_text,
        reason=st.sampled_from([None, "duplicate"]),
        key=st.sampled_from([None, "a" * 64, "b" * 64]),
        origin=st.sampled_from([None, [3, 1]]),
        score=st.sampled_from([None, 0.5]),
        rating=st.sampled_from([None, "yyn"]),
    ),
    max_size=9,
)


@given(some_rows, some_rows)
@settings(max_examples=tries(60), deadline=None)
def test_rows_come_out_of_the_page_as_they_went_in(one: list[Row], other: list[Row]) -> None:
    made = {"kinds": [{"count": len(one)}, {"count": len(other)}], "rows": columns([one, other])}
    found = rows_of(unpacked(packed(made)))
    wanted = [
        [place, *row._replace(key=row.key and row.key[:DIGITS])]
        for place, own in enumerate([one, other])
        for row in own
    ]
    assert found == [
        [one.replace("\ud800", "?") if isinstance(one, str) else one for one in row]
        for row in wanted
    ]


def test_a_word_a_key_and_a_text_that_come_again_take_little_room() -> None:
    text = "the same words again and again"
    made = columns([[Row(n, 0, text, f"{n} {text}", key="k" * 64) for n in range(1, 4)]])
    assert made["keys"] == [" " + "k" * 64]
    assert (made["key"], made["line"]) == ([0, 0, 0], [1, 1, 1])
    assert made["input"][1:] == [0, 0]
    assert " again" in made["words"]
    assert [len(one) for one in made["output"]] == [len(" 1") + 6] * 3


def test_reasons_are_counted(page: str) -> None:
    found = rows.collect()
    assert found.reasons() == {
        ("refused instance", "duplicate"): COUNT / 3,
        ("refused instance", "no_output"): COUNT * 2 / 3,
        ("refused instruction", "too_similar"): COUNT,
    }
    assert f"<strong>{2 * COUNT}</strong> pieces refused" in page


@pytest.mark.slow
def test_a_row_of_another_run_has_no_origin_and_the_page_says_so(copy: Path) -> None:
    (copy / INSTRUCTIONS).write_text("")
    page = build()
    assert f"{2 * COUNT} rows have an origin that is not known" in page
    assert all(isinstance(row[2], str) for row in data_of(page)["rows"])


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'plots' is undefined"):
        render("page/plots.html")


@pytest.mark.slow
def test_a_method_adds_its_part(copy: Path, with_ratings: Path) -> None:
    page = build()
    assert "<strong>3</strong> rows rated good" in page
    assert "rated rows <b>1</b>" in page
    assert f"<li><code>{with_ratings}</code> is not there: rate has not run" in page
    assert "<li>Rated by <code>&lt;nobody&gt;</code>.</li>" in page
    data = data_of(page)
    place = [kind["name"] for kind in data["kinds"]].index("rated row")
    assert data["rows"][-1] == [place, 7, HOSTILE[0], "", "good", None, "k" * 64, None, None, None]


@pytest.fixture
def with_ratings(monkeypatch: pytest.MonkeyPatch) -> Path:
    """One more method, which has no script; gives its file, which is missing."""
    path = Path("data/rate/rated.jsonl")
    ratings = Part(
        made_of=[path],
        counts=[(3, "rows rated good")],
        notices=["Rated by `<nobody>`."],
        kinds=[
            Kind("rated row", "rated rows", path, [Row(7, HOSTILE[0], "", "good", key="k" * 64)])
        ],
    )
    method = SimpleNamespace(__package__="seedbed.core", part=lambda: ratings)
    monkeypatch.setattr(building, "parts", lambda name: [*parts(name), method])
    return path


def test_a_seed_task_s_own_instance_comes_from_that_task(copy: Path) -> None:
    task = read_seed_tasks()[6]
    own = task.instances[0].model_dump() | {"instruction": task.instruction, "key": None}
    own |= {"id": f"{task.id}/1", "instruction_id": task.id}
    (copy / ALPACA).write_text(json.dumps(own) + "\n")
    assert rows.collect().rows[0][2] == -7


def test_a_model_is_told_by_whatever_it_is_known_by() -> None:
    served = {"server": "https://a.example", "name": "<b>", "api": "chat"}
    embedded = {"engine": "an engine", "sha256": "0" * 64, "threads": 2}
    models = [made_with.Model(identity, ["clf"]) for identity in (served, embedded)]

    class Recorded:
        def parameter(self, stage: str, name: str) -> str:
            return f"{name} of {stage}"

    told = render(
        "page/made_with.html",
        pipeline=Recorded(),
        commit=None,
        models=models,
        unknown_answers=0,
        packages={},
        parameters={},
    )
    for part in (
        "<strong>&lt;b&gt;</strong>, answered by https://a.example, asked by clf</p>",
        '<p class="settings">api &#34;chat&#34;</p>',
        "<strong>llm.model of clf</strong>, answered by an engine, asked by clf</p>",
        f"<p>SHA-256 <code>{'0' * 64}</code></p>",
    ):
        assert part in told, part
    assert told.count("SHA-256") == 1


def test_candidates_stand_best_first(page: str) -> None:
    article = page[page.index("<h3>made up task</h3>") :]
    assert "mean ROUGE-L 0.875 · +0.750 on the task’s own · from sentence 1" in article
    assert re.findall(r"<td>\d</td><td>(0\.\d+)</td>", article) == ["0.875", "0.500", "0.125"]


def test_models_stand_beside_what_needs_no_skill_and_their_answers(page: str) -> None:
    section = page[page.index('<section id="models"') :]
    table, rest = section.split("</table>", 1)
    scores = json.loads((ROOT / "metrics/evaluate.json").read_text())["score"]
    shown = [score for score in scores if score["group"] != "category"]
    assert table.count('<th scope="row">') == len(shown) > 0
    names = re.findall(r'<th scope="row">([^<]*)</th>', table)
    assert names == ["base", "classification", "generation", "tuned", *names[1:3]]
    no_better = [
        score
        for score in shown
        if score["rouge_l"] <= max(score["majority"] or 0, score["copy_input"])
    ]
    assert table.count("<em>") == len(no_better) > 0
    assert "not to be told from none" in rest
    assert rest.count('<article class="asked">') == 2
    assert rest.count("(did not end)") == 2


def test_scores_that_are_none_are_refused_in_one_message(copy: Path) -> None:
    (copy / "metrics/evaluate.json").write_text('{"score": [{}], "difference": []}')
    with pytest.raises(BadFile, match=r"metrics/evaluate.json: score.0.model: "):
        build()


@pytest.mark.slow
def test_a_run_without_training_lacks_nothing(copy: Path) -> None:
    shutil.rmtree(copy / EVALUATED)
    page = build()
    assert 'id="models"' not in page
    assert "data/evaluate" not in page.partition("</section>")[0]


@pytest.mark.slow
def test_a_loop_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    stages = drawing.stages()
    assert sum(stage.name == "curve" for stage in stages) == 2, "that of training, and another"
    drawn = {stage.name: stage for stage in stages}
    assert {"bootstrap", "bootstrap × 4", "finetune", "finetune × 24"} <= drawn.keys()
    assert not any("@" in name for name in drawn)
    tuned = drawn["finetune × 24"]
    assert "data/grown/*/prepare/finetuning.jsonl" in tuned.reads
    assert tuned.writes == ["data/models/*/finetune"]
    assert tuned.writes[0] in drawn["evaluate × 24"].reads
    names = [stage.name for stage in stages]
    assert names.index("prepare × 4") < names.index("finetune × 24") < names.index("evaluate × 24")


def test_no_text_gets_out_of_its_place(page: str, fetched: Fetched) -> None:
    assert len(re.findall("<script", page)) == 2
    assert len(re.findall("</script", page)) == 2
    own = page.count("<figcaption>") - page.count('class="best"')
    assert page.count("<img") == own
    assert "<!--" not in page
    # What a page fetches stands in attributes; these hold only what is in the page.
    for value in re.findall(r'(?:src|srcset|href)="([^"]*)"', page):
        assert value.startswith(("data:image/", "#"))
    assert unpacked(packed(HOSTILE)) == [text.replace("\ud800", "?") for text in HOSTILE]


@pytest.mark.slow
def test_metrics_are_compared_with_the_commit_before_they_changed(copy: Path) -> None:
    path = copy / "metrics/bootstrap.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "accepted": 50, "completions": 13}))
    found = comparison.compared()
    changed = [one for one in found.files["metrics/bootstrap.json"] if one.differs]
    assert changed == [Metric("accepted", 40, 50), Metric("completions", 15, 13)]
    page = build()
    assert '<td class="up">▲ +10</td>' in page
    assert '<td class="down">▼ −2</td>' in page


def test_what_a_round_measured_is_no_change_of_the_run(copy: Path) -> None:
    before = comparison.compared().before
    path = copy / "metrics/ablation/curve.json"
    path.write_text("{}")
    assert comparison.compared().before == before
    assert path.relative_to(copy).as_posix() not in comparison.compared().files


def test_a_loop_that_names_other_numbers_of_files_is_drawn_too() -> None:
    first = drawing.Stage("a@1", "", ["data/x"], ["data/1/y"])
    other = drawing.Stage("a@2", "", ["data/x", "data/z"], ["data/2/y"])
    elsewhere = drawing.Stage("a@1", "", [], ["data/3/y"])
    named = [("dvc.yaml", first), ("dvc.yaml", other), ("pipelines/p/dvc.yaml", elsewhere)]
    assert drawing._loops_as_one(named) == [
        drawing.Stage("a × 2", "", ["data/x", "data/z"], ["data/*/y"]),
        drawing.Stage("a × 1", "", [], ["data/3/y"]),
    ]


def test_without_an_earlier_commit_no_metric_differs(copy: Path) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    subprocess.run([*git, "checkout", "-q", "--orphan", "alone"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Begin anew"], check=True)
    found = comparison.compared()
    assert found.before is None
    assert found.differing == 0
    assert Metric("accepted", 40, 40) in found.files["metrics/bootstrap.json"]


@pytest.mark.slow
def test_a_part_that_is_missing_is_named_and_the_rest_is_shown(copy: Path) -> None:
    for path in (CANDIDATES, LABELLED, RELABELLED):
        shutil.rmtree(copy / path)
    page = build()
    assert "<code>data/label</code> is not there: label has not run" in page
    assert "<code>dvc repro label</code>" in page
    assert len(data_of(page)["rows"]) == 4 * COUNT


def test_where_nothing_was_run_it_says_what_to_do(copy: Path) -> None:
    for path in (INSTRUCTIONS.parent, PREPARED, CANDIDATES, LABELLED, RELABELLED, EVALUATED):
        shutil.rmtree(copy / path)
    with pytest.raises(NothingToReport, match="dvc repro"):
        build()


def test_a_row_has_what_people_say_of_it_as_long_as_it_is_what_they_read(copy: Path) -> None:
    first, second = list(read_rows(ALPACA, GeneratedInstance))[:2]
    said = [
        Rating(
            file=ALPACA.as_posix(), id=row.id, model=None, question=question, answer="yes",
            text=digest(row.instruction, row.input, row.output) if row is first else "another",
        )
        for row in (first, second)
        for question in OF_A_ROW
    ]  # fmt: skip
    (copy / FOLDER / "ann.jsonl").write_text("".join(map(to_line, said)))
    found = {kind.name: [row.rating for row in kind.rows] for kind in rows.part().kinds}
    assert found.pop("finetuning row") == ["yyy", *[None] * (COUNT - 1)]
    assert {one for ratings in found.values() for one in ratings} == {None}


# --- in a browser


@pytest.mark.slow
@needs_browser
def test_in_a_browser_nothing_that_a_model_wrote_runs(
    page: str, fetched: Fetched, tmp_path: Path
) -> None:
    control = tmp_path / "control.html"
    control.write_text(f"<script>document.title = 'hacked'</script><img src='{fetched.url}?0'>")
    assert "<title>hacked</title>" in opened(control).dom
    assert fetched.paths == ["/x?0"]

    # Everything that can be opened is opened, so that every text is on the page.
    script = """
        document.querySelectorAll('.became button').forEach((one) => one.click());
        document.querySelectorAll('details').forEach((one) => { one.open = true; });
    """
    file = tmp_path / "report.html"
    file.write_bytes(driven(page, script).encode(errors="replace"))
    shown = opened(file)
    assert shown.said == []
    assert fetched.paths == ["/x?0"]
    title = re.search("<title>(.*?)</title>", page)
    assert title
    assert title[0] in shown.dom
    before, _, rest = shown.dom.partition('<script type="application/octet-stream"')
    outside = before + rest.split("</script>", 2)[2]
    assert "<script" not in outside
    assert outside.count("<img") == page.count("<img")
    assert outside.count("<svg") == page.count("<svg")
    assert outside.count('<tr role="row" class="origin">') == 4 * COUNT
    for text in HOSTILE:
        beginning = text.partition("{")[0].partition("\x00")[0].partition("$")[0]
        assert outside.count(escape(beginning, quote=False)) > COUNT / 2


@pytest.mark.slow
@needs_browser
def test_in_a_browser_a_row_of_a_method_without_a_script_is_told(
    copy: Path, with_ratings: Path, tmp_path: Path
) -> None:
    script = """
        const field = document.getElementById('q');
        field.value = 'data/rate/rated.jsonl:7';
        field.dispatchEvent(new Event('input'));
        document.querySelector('.became button').click();
    """
    file = tmp_path / "report.html"
    file.write_bytes(driven(build(), script).encode(errors="replace"))
    shown = opened(file)
    assert shown.said == []
    way = re.search('<div class="way">(.*?)</div>', shown.dom)
    assert way
    assert way[1] == (
        f"<p><code>{with_ratings}:7</code> · answer <code>{'k' * 64}</code></p>"
        f"<p>Everything about it: <code>seedbed trace {with_ratings}:7</code></p>"
    )


@pytest.mark.slow
@needs_browser
def test_in_a_browser_a_search_is_found_in_the_address(page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(page.encode(errors="replace"))
    shown = opened(
        file, "q=%22task+7%22+data/prepare/rejected.jsonl:8&kind=refused+instance&reason=no_output"
    )
    assert shown.said == []
    assert f'aria-live="polite">1 of {4 * COUNT} rows</p>' in shown.dom
    assert "<mark>Task 7</mark>" in shown.dom


@pytest.mark.slow
@needs_browser
def test_in_a_browser_a_search_follows_what_is_typed(page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    script = """
        const field = document.getElementById('q');
        for (const text of ['nobody wrote this', '"task 7"']) {
          field.value = text;
          field.dispatchEvent(new Event('input'));
          document.body.append(document.createElement('output'));
          document.body.lastChild.textContent =
            `${document.getElementById('hits').textContent} ${location.hash}`;
        }
    """
    file.write_bytes(driven(page, script).encode(errors="replace"))
    outputs = re.findall("<output>(.*?)</output>", opened(file).dom)
    # The instruction itself, its row and its refused instance.
    assert outputs == [
        f"0 of {4 * COUNT} rows #q=nobody+wrote+this",
        f"3 of {4 * COUNT} rows #q=%22task+7%22",
    ]


@pytest.mark.slow
@needs_browser
def test_in_a_browser_no_text_of_a_picture_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    drawings = [picture for plot in pictures.plots() if (picture := pictures.picture(plot))]
    svgs = [one.content.decode() for one in drawings if one.kind == "image/svg+xml"]
    assert len(svgs) > 5
    script = """
        const cut = [];
        for (const svg of document.querySelectorAll("svg.marks")) {
            const whole = svg.getBoundingClientRect();
            for (const text of svg.querySelectorAll("text")) {
                const own = text.getBoundingClientRect();
                if (own.left < whole.left || own.right > whole.right)
                    cut.push(`${text.textContent}: ${own.left} to ${own.right}`);
            }
        }
        document.querySelector("#cut").textContent = JSON.stringify(cut);
    """
    page = tmp_path / "pictures.html"
    page.write_text(f'{"".join(svgs)}<pre id="cut"></pre><script>{script}</script>')
    found = re.search(r'<pre id="cut">(.*?)</pre>', opened(page).dom)
    assert found
    assert json.loads(found[1]) == []
