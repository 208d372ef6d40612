"""What the report's page has of instruction backtranslation, and rows in the order of scores."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.browser import CHROMIUM, driven, opened
from support.pages import data_of
from support.params import section
from support.project import ROOT
from support.tracing import EVIL, edit

from seedbed.backtranslation import assess, report
from seedbed.backtranslation.params import Assess
from seedbed.backtranslation.rows import CuratedPair, IfdRow, JudgedRow, Labelled, Swap
from seedbed.backtranslation.rows import Part as Measured
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import with_tables
from seedbed.errors import BadFile, BadParam
from seedbed.runs.page import Kind, Part, Row
from seedbed.tasks.ratings import digest
from seedbed.views.report import build as building
from seedbed.views.report import drawing, pictures
from seedbed.views.report.build import build
from seedbed.views.report.templates import render

CURATED = Path("data/backtranslation/{}/curate/pairs.jsonl")
LABELLED = Path("data/assessed/{}/assess/labelled.jsonl")
MEASURED = Path("metrics/assessed/{}/assess.json")
JUDGED, DIFFICULT = Path("data/judge/rows.jsonl"), Path("data/ifd/rows.jsonl")
HOSTILE = "<script>document.title = 'hacked'</script>" + EVIL
# Of each round, by line; the third pair has none.
SCORES = {"round-1": [0.5, 0.25, None, -1.0], "round-2": [0.125, 2.0, None, -0.5]}
LABELS = {"s1": (False, "navigation"), "s2": (True, None), "s4": (False, None)}


def place(path: Path, round_: str = "round-2") -> Path:
    return Path(str(path).format(round_))


def pair(line: int, score: float | None) -> CuratedPair:
    kept = score == 2.0
    reason = None if kept else "no_score" if score is None else "below"
    return CuratedPair(
        id=f"s{line}", score=score, kept=kept, reason=reason,
        parts=[Measured(what="own", value=score, key=f"own of {line}")],
        instruction=f"Guess {line}.", output=f"Text {line}.", document=f"corpus/{line}.md",
        heading=["Title", f"Part {line}"], license=None, url=None, key=f"answer {line}",
    )  # fmt: skip


def rows_of(round_: str) -> list[CuratedPair]:
    return [pair(line, score) for line, score in enumerate(SCORES[round_], 1)]


def labelled(round_: str) -> list[Labelled]:
    return [
        Labelled(id=row.id, score=row.score, kept=row.kept, good=good, fault=fault)
        for row in rows_of(round_)
        if (good := LABELS.get(row.id, (None, None))[0]) is not None
        for fault in [LABELS[row.id][1]]
    ]


@pytest.fixture(autouse=True)
def _small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of four pairs, of which three have labels, and two rows that were judged."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    files: dict[Path, Any] = {}
    tried = [Swap(id="s2", of=of, score=score, keys=[]) for of, score in ((None, 1.0), ("s1", 0.5))]
    for round_ in SCORES:
        files[place(CURATED, round_)] = map(to_line, rows_of(round_))
        files[place(LABELLED, round_)] = map(to_line, labelled(round_))
        found = assess.metrics(
            labelled(round_), tried, (31.0, 9.5), 3, section(Assess, resamples=100)
        )
        files[place(MEASURED, round_)] = to_json(with_tables(found))
    about = {"output": "Four.", "source": "data/prepare/messages.jsonl", "kept": True}
    about |= {"reason": None}
    files[JUDGED] = [
        to_line(
            JudgedRow(
                id=str(line), score=float(line), instruction=f"Count {line}.", line=line,
                row_key=f"row {line}", parts=[Measured(what="own", value=1.0, key="judged")],
                **about,
            )
        )
        for line in (1, 2)
    ]  # fmt: skip
    files[DIFFICULT] = [
        to_line(
            IfdRow(
                id=str(line), instruction=f"Count {line}.", line=line, row_key=f"row {line}",
                ifd=line / 4, conditioned=-1.0, alone=-2.0, keys=["after", "alone"], **about,
            )
        )
        for line in (1, 2)
    ]  # fmt: skip
    write_files(files)


def page() -> tuple[Part, str]:
    """The part, and its section as it stands in the page."""
    part = report.part()
    (one,) = part.sections
    return part, render(f"backtranslation/{one.template}", **one.values)


def cells(html: str) -> list[list[list[str]]]:
    """Of each table the rows without the head, each cell without markup."""
    return [
        [
            [
                " ".join(re.sub(r"<[^>]+>", " ", cell).split())
                for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", one, re.S)
            ]
            for one in re.findall(r"<tr.*?>(.*?)</tr>", table, re.S)
            if 'scope="col"' not in one
        ]
        for table in re.findall(r"<table.*?</table>", html, re.S)
    ]


def remove(*paths: Path) -> None:
    for path in paths:
        path.unlink()


# --- the section


def test_the_last_rounds_pairs_stand_beside_their_texts_best_first_and_worst_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "MOST", 2)
    html = page()[1]
    best, worst = cells(html)[2:]
    assert best == [
        ["2", "Guess 2.", "corpus/2.md · Title › Part 2 Text 2.", "curated by hand: good line 2"],
        [
            "0.125",
            "Guess 1.",
            "corpus/1.md · Title › Part 1 Text 1.",
            "below by hand: bad (navigation) line 1",
        ],
    ]
    assert [row[0] for row in worst] == ["-0.5"], "none stands there twice"
    assert worst[0][3] == "below by hand: bad line 4"
    assert "round-2, best first" in html
    assert "<p>1 pairs have no score.</p>" in html


def test_of_equal_scores_the_earlier_line_comes_first() -> None:
    pairs = [pair(line, 1.0) for line in range(1, 30)]
    best, worst = report.ends(pairs, {})
    assert [shown.line for shown in best] == list(range(1, 11))
    assert [shown.line for shown in worst] == list(range(11, 21))


def test_a_pair_that_nobody_labelled_is_told_without_a_label() -> None:
    remove(place(LABELLED))
    assert cells(page()[1])[2][0][3] == "curated line 2"


def test_the_judge_of_each_round_is_told_with_intervals_and_by_fault() -> None:
    rounds, faults, _ = cells(page()[1])
    # Of the labelled ones the good pair is the second, of which round 1 keeps nothing.
    assert rounds == [
        ["round-1", "0.500", "–", "1.000", "–", "–", "0.000", "3", "1", "31.0", "9.5"],
        ["round-2", "1.000", "–", "1.000", "–", "1.000", "1.000", "3", "1", "31.0", "9.5"],
    ]
    assert faults == [
        ["none: good ones", "0 of 1", "0.25", "1 of 1", "2"],
        ["none named", "0 of 1", "-1", "0 of 1", "-0.5"],
        ["navigation", "0 of 1", "0.5", "0 of 1", "0.125"],
    ]
    change = {"judge_intervals": [{"name": "judge_auc", "low": 0.25, "high": 0.75}], "by_fault": []}
    path = place(MEASURED)
    write_files({path: to_json(json.loads(path.read_text()) | change)})
    rounds, faults, _ = cells(page()[1])
    assert rounds[1][1:4] == ["1.000", "0.250 to 0.750", "1.000"]
    assert faults[0] == ["none: good ones", "0 of 1", "0.25", "–", "–"]


def test_where_nothing_was_assessed_no_judge_is_told() -> None:
    # As in a fresh clone, which has the numbers, but not what they are of.
    remove(*(place(LABELLED, round_) for round_ in SCORES))
    html = page()[1]
    assert "AUC" not in html
    assert len(cells(html)) == 1


def test_whatever_a_model_or_a_person_wrote_stays_text() -> None:
    edit(
        place(CURATED), 2,
        lambda row: row.update(
            instruction=HOSTILE, output=HOSTILE, document=HOSTILE, heading=[HOSTILE]
        ),
    )  # fmt: skip
    edit(place(CURATED), 1, lambda row: row.update(reason=HOSTILE))
    edit(place(LABELLED), 1, lambda row: row.update(fault=HOSTILE))
    path = place(MEASURED)
    metrics = json.loads(path.read_text())
    metrics["by_fault"][0]["name"] = HOSTILE
    write_files({path: to_json(metrics)})
    html = page()[1]
    assert "<script" not in html
    # A fault's _ is set as a space.
    assert html.count("&lt;script&gt;document.title = &#39;hacked&#39;&lt;/script&gt;") == 7


# --- the table of rows


def test_every_pair_is_a_row_with_its_score_and_reason_and_so_are_the_judged_rows() -> None:
    part = page()[0]
    assert [(kind.name, kind.file) for kind in part.kinds] == [
        ("augmented pair", place(CURATED)),
        ("judged row", JUDGED),
        ("row by difficulty", DIFFICULT),
    ]
    pairs, judged, difficult = (list(kind.rows) for kind in part.kinds)
    assert [(row.line, row.score, row.reason) for row in pairs] == [
        (1, 0.125, "below"),
        (2, 2.0, None),
        (3, None, "no_score"),
        (4, -0.5, "below"),
    ]
    own = (pairs[1].instruction, pairs[1].output, pairs[1].key)
    assert own == ("Guess 2.", "Text 2.", "answer 2")
    assert [(row.score, row.key) for row in judged] == [(1.0, "row 1"), (2.0, "row 2")]
    assert [row.score for row in difficult] == [0.25, 0.5]
    assert part.counts == [
        (4, "texts given an instruction"),
        (1, "pairs curated"),
        (2, "rows judged good"),
        (2, "rows kept by difficulty"),
    ]
    assert part.keys == {
        "augment": {"answer 1"},
        "curate": {"own of 1"},
        "judge": {"judged"},
        "ifd": {"after", "alone"},
    }


def test_it_is_no_part_of_the_page_where_nothing_has_run() -> None:
    shutil.rmtree("data")
    assert report.part() == Part(made_of=[])


def test_what_is_missing_is_left_to_the_page_to_name() -> None:
    remove(place(LABELLED), JUDGED)
    part = report.part()
    assert {place(LABELLED), JUDGED} <= {*part.made_of}
    assert [kind.name for kind in part.kinds] == ["augmented pair", "row by difficulty"]
    shutil.rmtree("data/backtranslation")
    part = report.part()
    assert part.sections == []
    assert list(part.made_of) == [JUDGED, DIFFICULT]


def test_the_round_before_is_shown_where_the_last_has_not_run() -> None:
    remove(place(CURATED))
    part, html = page()
    assert part.kinds[0].file == place(CURATED, "round-1")
    assert [row[0] for row in cells(html)[0]] == ["round-1"]


def test_what_is_broken_is_named_in_one_message() -> None:
    place(MEASURED).write_text('{"assessed": [{}]}')
    with pytest.raises(BadFile, match=r"round-2/assess\.json: assessed\.0\.name: .*\n.*repro"):
        report.part()
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("{before: round-1}", "{before: round-3}"))
    with pytest.raises(BadParam, match=r"params\.yaml:\d+: backtranslation: round round-2 goes on"):
        report.part()


# --- the page's table, sorted by scores


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[Kind]:
    """Rows of two kinds, as the only ones of a page; a test may leave some out."""
    kinds = [
        Kind("plain row", "plain rows", Path("p.jsonl"), [Row(1, "Plain."), Row(2, "Plain too.")]),
        Kind(
            "scored row", "scored rows", Path("s.jsonl"),
            [
                Row(line, f"Of {score}.", score=score)
                for line, score in enumerate((1.5, None, -2.0, 1.5, 10.0), 1)
            ],
        ),
    ]  # fmt: skip
    here = SimpleNamespace(
        __package__="seedbed.core", part=lambda: Part(made_of=[Path("params.yaml")], kinds=kinds)
    )
    monkeypatch.setattr(building, "parts", lambda name: [here])
    monkeypatch.setattr(pictures, "plots", lambda: iter(()))
    monkeypatch.setattr(drawing, "stages", list)
    write_files({Path("dvc.yaml"): ["stages: {a: {cmd: a}}\n"]})
    return kinds


def test_a_row_has_a_score_in_the_page_only_where_there_is_one(scored: list[Kind]) -> None:
    html = build()
    rows = data_of(html)["rows"]
    assert [row[8] for row in rows] == [None, None, 1.5, None, -2.0, 1.5, 10.0]
    assert '<select id="order">' in html
    del scored[1]
    assert '<select id="order">' not in build()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here")
def test_in_a_browser_rows_are_sorted_kind_by_kind_and_those_without_a_score_are_last(
    scored: list[Kind], tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    script = """
        const order = document.getElementById('order');
        for (const value of ['best', 'worst', '']) {
          order.value = value;
          order.dispatchEvent(new Event('change'));
          document.body.append(document.createElement('output'));
          const rows = [...document.querySelectorAll('#body tr')];
          document.body.lastChild.textContent =
            `${location.hash} ${rows.map((row) => row.cells[0].textContent).join('')}`;
        }
    """
    file.write_text(driven(build(), script))
    shown = opened(file)
    assert shown.said == []
    assert re.findall("<output>(.*?)</output>", shown.dom) == [
        "#order=best Plain.Plain too.Of 10.0.Of 1.5.Of 1.5.Of -2.0.Of None.",
        "#order=worst Plain.Plain too.Of -2.0.Of 1.5.Of 1.5.Of 10.0.Of None.",
        "#rows Plain.Plain too.Of 1.5.Of None.Of -2.0.Of 1.5.Of 10.0.",
    ]
    assert '<span class="score">score -2</span>' in shown.dom
    assert shown.dom.count('class="score"') == 4
    linked = opened(file, "kind=scored+row&order=worst").dom
    assert linked.index("Of -2.0.") < linked.index("Of 10.0.")


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="there is no chromium here")
def test_in_a_browser_rows_are_filtered_and_sorted_by_what_people_say(
    scored: list[Kind], tmp_path: Path
) -> None:
    said = ("nnn", None, "yyy", "yyn")
    rows = [Row(line, f"Said {said}.", rating=said) for line, said in enumerate(said, 1)]
    scored[:] = [scored[0], Kind("rated row", "rated rows", Path("r.jsonl"), rows)]
    file = tmp_path / "report.html"
    script = """
        for (const [name, value] of [['order', 'best-rated'], ['rating', 'rated'], ['rating', '2'],
          ['order', 'worst-rated'], ['rating', 'unrated']]) {
          document.getElementById(name).value = value;
          document.getElementById(name).dispatchEvent(new Event('change'));
          document.body.append(document.createElement('output'));
          const rows = [...document.querySelectorAll('#body tr')];
          document.body.lastChild.textContent =
            `${location.hash} ${rows.map((row) => row.cells[0].textContent).join('')}`;
        }
    """
    html = build()
    assert [row[9] for row in data_of(html)["rows"]] == [None, None, *said]
    file.write_text(driven(html, script))
    shown = opened(file)
    assert shown.said == []
    assert re.findall("<output>(.*?)</output>", shown.dom) == [
        "#order=best-rated Said yyy.Said yyn.Said nnn.Plain.Plain too.Said None.",
        "#rating=rated&amp;order=best-rated Said yyy.Said yyn.Said nnn.",
        "#rating=2&amp;order=best-rated Said yyn.",
        "#rating=2&amp;order=worst-rated Said yyn.",
        "#rating=unrated&amp;order=worst-rated Plain.Plain too.Said None.",
    ]
    file.write_text(html)
    linked = opened(file, "rating=0&order=best-rated").dom
    assert "0 of 3: not a valid task, not a fit input, not a right output" in linked
    del scored[1]
    assert 'id="rating"' not in build()


def test_judged_rows_have_the_ratings_of_the_rows_as_they_are() -> None:
    prepared = Path("data/prepare/alpaca.jsonl")
    rows = [
        {"instruction": f"Count {line}.", "input": "", "output": "Four.", "id": str(line)}
        for line in (1, 2)
    ]
    # Of the second row what was rated is another text.
    texts = {"1": digest("Count 1.", "", "Four."), "2": digest("Count 2.", "", "Five.")}
    answers = {"valid": "yes", "input": "yes", "output": "no"}
    said = [
        {
            "file": file, "id": own, "model": None, "text": text, "question": question,
            "answer": answer,
        }
        for file in (prepared.as_posix(), "other.jsonl")
        for own, text in texts.items()
        for question, answer in answers.items()
        if file == prepared.as_posix() or own == "2"
    ]  # fmt: skip
    assert [row.rating for kind in report.part().kinds for row in kind.rows] == [None] * 8
    write_files({prepared: map(to_line, rows), Path("data/ratings/ann.jsonl"): map(to_line, said)})
    found = {kind.name: [row.rating for row in kind.rows] for kind in report.part().kinds}
    assert found["judged row"] == found["row by difficulty"] == ["yyn", None]
    # Of a row of which not everything is said there is none.
    write_files({Path("data/ratings/ann.jsonl"): map(to_line, said[:2])})
    assert report.part().kinds[1].rows[0].rating is None


def test_what_people_say_is_told_beside_the_papers_and_stays_text() -> None:
    ends = {"low": 0.25, "high": 0.75}
    model = {"name": HOSTILE, "ratings": 2, "A": 1, "B": 0, "C": 0, "D": 1, "a_or_b": 0.5, **ends}
    tables = {
        "raters": 1,
        "rated_rows": 4,
        "rated_share": [
            {"name": "valid", "group": "all", "rows": 4, "share": 0.5, "paper": 0.92, **ends}
        ],
        "rated_answer": [model],
        "agreement": [
            {"name": "valid", "who": HOSTILE, "rated": 4, "same": None, "measure": "alpha",
             "value": None}
        ],
        "foretold": [
            {"name": "judge", "question": "valid", "rows": 4, "good": 2, "auc": None, "low": None,
             "high": None}
        ],
        "not_counted": [{"name": "row_is_gone", "count": 3}],
    }  # fmt: skip
    path = Path("metrics/ratings.json")
    write_files({path: to_json(tables)})
    section = report.part().sections[-1]
    html = render(f"backtranslation/{section.template}", **section.values)
    assert cells(html)[:2] == [
        [["valid task", "4", "50", "25 to 75", "92"]],
        [["judge", "valid task", "4", "2", "–", "–"]],
    ]
    assert "3 answers (row is gone)" in html
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2
    path.write_text('{"raters": 1}')
    with pytest.raises(BadFile, match=r"metrics/ratings\.json: rated_rows: .*\n.*dvc repro"):
        report.part()
