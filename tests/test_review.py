"""The page on which people rate: who may ask, what is kept, and what it shows."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from benchmarks.browser import CHROMIUM
from support.clicking import Window, browser
from support.project import PYTHONPATH, ROOT

from seedbed.core.files import to_line
from seedbed.errors import BadFile, BadRow
from seedbed.tasks.ratings import everyone, read_ratings
from seedbed.training.rows import Evaluation
from seedbed.views.errors import NoSuchQuestion
from seedbed.views.review.items import AlpacaRow, read_items
from seedbed.views.review.server import LONGEST, Server
from seedbed.views.review.session import Session

needs_browser = pytest.mark.skipif(
    not CHROMIUM and not os.environ.get("CI"), reason="there is no chromium here"
)
EVIL = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
ROWS = Path("rows.jsonl")
MINE = Path("data/ratings/me.jsonl")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [AlpacaRow(instruction=f"Task {n}. {EVIL}", output=EVIL, id=f"r{n}") for n in range(6)]
    ROWS.write_text("".join(map(to_line, rows)))


def session(name: str = "me", sample: int = 6) -> Session:
    return Session(read_items(ROWS, sample, 42, name, []), Path(f"data/ratings/{name}.jsonl"))


def evaluation(model: str, number: int) -> Evaluation:
    return Evaluation(
        model=model, task="seedbed005_short_passage_question_answering", id=f"e{number}",
        input=f"Input {number}", targets=["right"], demos=0, prompt="zero_shot.txt",
        output=f" {model} says\n\nmore", scored=f"answer {'x' if model == 'base' else 'y'}",
        rouge_l=0.0, exact_match=0.0, ended=True, overlaps=[], problem=None, key="k",
    )  # fmt: skip


# --- what is asked


def test_all_who_rate_are_asked_about_the_same_rows_and_a_larger_sample_begins_with_them() -> None:
    ids = [item.about.id for item in read_items(ROWS, 6, 42, "ann", [])]
    assert [item.about.id for item in read_items(ROWS, 3, 42, "bea", [])] == ids[:3]
    assert sorted(ids) == [f"r{n}" for n in range(6)]
    assert ids != [item.about.id for item in read_items(ROWS, 6, 43, "ann", [])]


def test_a_row_without_an_id_is_known_by_its_text_and_two_of_one_id_are_refused() -> None:
    ROWS.write_text(to_line({"instruction": "Count.", "output": "one"}) * 2)
    (item,) = read_items(ROWS, 9, 42, "me", [])
    assert item.about.id == f"text-{item.about.text}"
    ROWS.write_text(
        to_line({"instruction": "Count.", "output": "one", "id": "a"})
        + to_line({"instruction": "Count.", "output": "two", "id": "a"})
    )
    with pytest.raises(BadRow, match=r"rows\.jsonl:2: id 'a' is already that of line 1"):
        read_items(ROWS, 9, 42, "me", [])


def test_however_a_file_is_named_its_ratings_have_its_path_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read_items(ROWS, 6, 42, "me", [])
    Path("linked").symlink_to(tmp_path)
    names = (tmp_path / ROWS, Path("..", tmp_path.name, ROWS), tmp_path / "linked" / ROWS)
    for name in names:
        assert read_items(name, 6, 42, "me", []) == first
    # DVC may have put a link to its cache there, and somebody may have put all data elsewhere.
    Path("cache").mkdir()
    ROWS.rename("cache/0a1b")
    ROWS.symlink_to(Path("cache/0a1b").resolve())
    assert read_items(tmp_path / ROWS, 6, 42, "me", []) == first
    Path("inside").mkdir()
    monkeypatch.chdir("inside")
    for name in (tmp_path / ROWS, Path("..", ROWS)):
        with pytest.raises(BadFile, match=r"rows\.jsonl: is not in the project.*\n  Copy it into"):
            read_items(name, 6, 42, "me", [])


@pytest.mark.parametrize(
    ("text", "problem"), [("", ": empty"), ("model: x\n", ":1: Invalid JSON: .*")]
)
def test_what_is_neither_rows_nor_answers_is_told_what_a_row_has(text: str, problem: str) -> None:
    ROWS.write_text(text)
    told = rf"rows\.jsonl{problem}\n  Each line is .* with instruction, input, output, id\."
    with pytest.raises((BadFile, BadRow), match=told):
        read_items(ROWS, 6, 42, "me", [])


def test_an_answer_to_a_task_that_is_not_held_out_is_named_with_its_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path("answers.jsonl")
    other = evaluation("base", 1).model_copy(update={"task": "gone"})
    path.write_text("".join(map(to_line, [evaluation("base", 0), other])))
    Path("data").mkdir()
    for name in ("data/niv2", "params.yaml"):
        Path(name).symlink_to(ROOT / name)
    told = r"answers\.jsonl:2: .* task 'gone', which is not in data/niv2\n.* as evaluate\.held_out"
    with pytest.raises(BadRow, match=told):
        read_items(path, 8, 42, "ann", [])


def test_answers_come_in_an_order_that_does_not_tell_whose_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path("answers.jsonl")
    rows = [evaluation(model, n) for model in ("base", "tuned", "third") for n in range(20)]
    path.write_text("".join(map(to_line, rows)))
    Path("data").mkdir()
    for name in ("data/niv2", "params.yaml"):
        Path(name).symlink_to(ROOT / name)
    items = read_items(path, 8, 42, "ann", ["base", "tuned"])
    assert len(items) == 16
    orders = [
        (one.about.model, other.about.model)
        for one, other in zip(items[::2], items[1::2], strict=True)
    ]
    assert set(orders) == {("base", "tuned"), ("tuned", "base")}
    again = read_items(path, 8, 42, "bea", ["base", "tuned"])
    assert [item.about.id for item in again] == [item.about.id for item in items]
    assert [item.about.model for item in again] != [item.about.model for item in items]
    asked = Session(items, MINE)
    for place in range(len(asked)):
        shown = json.dumps({**asked.state(place), "file": ""})
        assert "base" not in shown
        assert "tuned" not in shown
        assert not re.search("[0-9a-f]{16}", shown)
    assert "whose" in asked.origin(0)[0]
    asked.answer(0, "B")
    (kept,) = read_ratings(MINE)
    assert (kept.model, kept.answer) == (items[0].about.model, "B")
    with pytest.raises(BadFile, match="no answers of 'nobody'"):
        read_items(path, 8, 42, "ann", ["nobody"])


# --- what is kept


def test_an_answer_is_in_the_file_before_the_next_is_asked_and_undo_takes_the_last_back() -> None:
    asked = session()
    state = asked.answer(0, "yes")
    assert (state["place"], state["done"]) == (1, 1)
    asked.answer(1, "no")
    assert [rating.answer for rating in read_ratings(MINE)] == ["yes", "no"]
    assert asked.undo()["place"] == 1
    assert session().state()["place"] == 1, "another process goes on there"
    assert asked.undo()["place"] == 0
    assert asked.undo()["done"] == 0
    assert len(MINE.read_text().splitlines()) == 4, "nothing in the file is changed"
    with pytest.raises(NoSuchQuestion):
        asked.answer(0, "A")
    with pytest.raises(NoSuchQuestion):
        asked.answer(len(asked), "yes")


def test_two_who_write_at_once_lose_nothing_of_each_others() -> None:
    places = range(len(session()))

    def rate(own: list[int]) -> None:
        asked = session()
        for place in own:
            asked.answer(place, "yes")

    threads = [threading.Thread(target=rate, args=(list(places)[n::3],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session().state()["done"] == len(places) == len(read_ratings(MINE))


def test_half_a_line_is_cut_off_and_a_line_without_an_end_is_kept() -> None:
    session().answer(0, "yes")
    whole = MINE.read_text()
    MINE.write_text(whole.rstrip("\n"))
    session().answer(1, "no")
    assert [rating.answer for rating in read_ratings(MINE)] == ["yes", "no"]
    MINE.write_text(whole + whole[:30])
    asked = session()
    with pytest.raises(BadRow, match=r"me\.jsonl:2"):
        asked.state()
    asked = session()
    asked.mend()
    assert asked.answer(1, "no")["done"] == 2


def test_a_row_that_has_changed_is_asked_about_again() -> None:
    session().answer(0, "yes")
    first = read_ratings(MINE)[0].id
    ROWS.write_text(ROWS.read_text().replace("Task", "A task"))
    state = session().state()
    assert (state["done"], state["place"]) == (0, 0)
    session().answer(0, "no")
    assert [rating.id for rating in read_ratings(MINE)] == [first, first]


# --- who may ask


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(session()) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def said(
    server: Server, method: str, path: str, body: str | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", server.server_port)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    found = response.status, response.read().decode(), dict(response.getheaders())
    connection.close()
    return found


def test_nobody_without_the_token_or_by_another_name_is_told_anything(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    own = f"/{server.token}/"
    status, page, headers = said(server, "GET", own)
    assert status == 200
    assert "<title>Seedbed review" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert said(server, "GET", f"{own}state")[0] == 200
    status, text, headers = said(server, "GET", own.rstrip("/"))
    assert (status, text, headers["Location"]) == (307, "", own[1:])
    for path in ("/", "/state", f"/{server.token[:-1]}/state", f"{own}../state", f"{own}nothing"):
        status, text, _ = said(server, "GET", path)
        assert (status, text) == (403, "refused\n")
    assert said(server, "GET", f"{own}state", Host="evil.example:80")[0] == 403
    assert said(server, "GET", "http://[", Host=server.host)[0] == 403
    assert said(server, "GET", f"{own}state", Host=f"localhost:{server.server_port}")[0] == 403


ANSWER = json.dumps({"place": 0, "answer": "yes"})


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (ANSWER, {}, 200),
        (ANSWER, {"Origin": "http://evil.example"}, 403),
        (ANSWER, {"Content_Type": "text/plain"}, 403),
        (ANSWER, {"Content_Length": "x"}, 403),
        (ANSWER + " " * LONGEST, {}, 403),
        ("[]", {}, 400),
        ("{", {}, 400),
        pytest.param("[" * 990, {}, 400, id="deep"),
        pytest.param(ANSWER, {"Content_Length": "1" * 5000}, 403, id="long"),
        ('{"place": 0.5, "answer": "yes"}', {}, 400),
        ('{"place": true, "answer": "yes"}', {}, 400),
        ('{"place": 0, "answer": "maybe"}', {}, 400),
        ('{"place": -1, "answer": "yes"}', {}, 400),
    ],
)
def test_only_the_pages_own_answers_are_kept(
    server: Server,
    body: str,
    headers: dict[str, str],
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = said(
        server, "POST", f"/{server.token}/answer", body,
        **{"Content_Type": "application/json", **headers},
    )  # fmt: skip
    assert found[0] == status
    assert MINE.exists() == (status == 200)
    own = {"Content_Type": "application/json"}
    assert said(server, "POST", "/wrong/answer", body, **own)[:2] == (403, "refused\n")
    assert capsys.readouterr().err == "", "what cannot be read ends in no traceback"


# --- in a browser


def started(*more: str) -> tuple[subprocess.Popen[str], str]:
    """`seedbed review`, and the address that it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "seedbed", "review", str(ROWS), "--name", "me", *more],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return process, found[0]
    raise AssertionError("it did not start")


READY = "typeof state !== 'undefined' && state !== null && !busy"


def until(window: Window, done: int) -> Any:
    return window.until(f"{READY} && state.done === {done}")


@pytest.mark.slow
@needs_browser
def test_in_a_browser_it_is_clicked_through_killed_and_opened_twice(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    process, address = started("--sample", "2")
    with browser(profile, windows=2) as (first, second):
        first.open(address.rstrip("/"))
        until(first, 0)
        first.key("1")
        until(first, 1)
        first.click(".now .choices button:nth-child(2)")
        until(first, 2)
        first.key("ArrowLeft")
        first.until(f"{READY} && state.place === 1")
        first.key("u")
        until(first, 1)
        first.key("2")
        until(first, 2)

        # In the middle of it all.
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()
        first.key("1")
        error = "document.getElementById('error').textContent"
        assert "The server is gone, and this was not kept." in first.until(error)
        first.key("ArrowLeft")  # asks for what there is, and says nothing that is to be kept
        gone = first.until(f"!{error}.includes('kept') && {error}")
        assert gone.startswith("The server is gone. Run")
        assert [rating.answer for rating in read_ratings(MINE)] == ["yes", "no", None, "no"]

        process, address = started("--sample", "2")
        for window in (first, second):
            window.open(address)
        for window in (first, second):
            until(window, 2)
            assert window.run("state.place") == 2
        # Both windows show the same question; what either says is kept, and the other goes on.
        first.key("1")
        until(first, 3)
        second.key("1")
        until(second, 3)
        for done in (4, 5, 6):
            second.key("2")
            until(second, done)
        assert "All through" in second.run("document.getElementById('where').textContent")
        for window in (first, second):
            assert window.run("document.title") == "Seedbed review"
            assert window.run("document.querySelectorAll('img').length") == 0
        first.key("ArrowLeft")
        first.until(f"{READY} && state.place === 2")
        assert EVIL in first.run("document.getElementById('texts').textContent")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
        assert process.returncode == 0
        assert "6 of 6 questions answered" in rest
    (mine,) = everyone().values()
    assert sorted(map(sorted, (answers.items() for answers in mine.values()))) == [
        [("input", "no"), ("output", "no"), ("valid", "no")],
        [("input", "no"), ("output", "yes"), ("valid", "yes")],
    ]
