"""What people's ratings come to."""

import json
from pathlib import Path

import pytest
from support.params import section

from seedbed.backtranslation.params import Ratings
from seedbed.backtranslation.people import agreements, foretelling, interval, of_answers, shares
from seedbed.backtranslation.ratings import Completion, Params, Rated, known, left_out, run
from seedbed.backtranslation.ratings import Inputs as RatedInputs
from seedbed.core.files import to_line
from seedbed.core.paths import Into
from seedbed.errors import BadRow
from seedbed.tasks.ratings import (
    OF_A_ROW,
    About,
    Opinions,
    Rating,
    digest,
    everyone,
    opinions,
    read_ratings,
    settled,
)

FILE = "data/prepare/alpaca.jsonl"
TEXT = digest("Count.", "", "one")


def about(id_: str, model: str | None = None) -> About:
    return About(FILE, id_, model, TEXT)


def person(said: dict[str, str], question: str = "output") -> Opinions:
    return {about(id_): {question: answer} for id_, answer in said.items()}


def rating(answer: str | None, question: str = "output", id_: str = "a") -> Rating:
    return Rating.model_validate({**about(id_)._asdict(), "question": question, "answer": answer})


def test_the_last_answer_counts_and_none_takes_it_back() -> None:
    first, again = rating("yes"), rating("no")
    assert opinions([first, again]) == person({"a": "no"})
    assert opinions([first, again, rating(None)]) == {}
    assert opinions([rating(None), first]) == person({"a": "yes"})


def test_an_answer_that_its_question_has_not_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(to_line(rating("yes")) + to_line(rating("yes")).replace("yes", "A"))
    with pytest.raises(BadRow, match=r"a\.jsonl:2: field answer: .*expected yes, no, or null"):
        read_ratings(path)


def test_what_most_say_holds_and_as_many_against_it_are_enough_against_it() -> None:
    votes = {"a": "yes", "b": "yes", "c": "no", "d": "no"}
    people = {name: person({"row": answer}) for name, answer in votes.items()}
    assert settled(people, about("row")) == {"output": False}
    del people["d"]
    assert settled(people, about("row")) == {"output": True}
    assert settled(people, about("another")) == {}


def test_shares_have_wilsons_interval_by_kind_of_task() -> None:
    # Of 10 of 20: the value of Wilson's formula, by hand.
    assert interval(10, 20) == pytest.approx((0.2993, 0.7007), abs=5e-5)
    assert interval(0, 20)[0] == 0.0
    rows = [
        Rated(instruction="Count.", output="one", id=str(number), instruction_id=str(number % 2))
        for number in range(20)
    ]
    said = {
        about(row.id or ""): {
            "valid": "yes",
            "input": "yes",
            "output": "yes" if number < 10 else "no",
        }
        for number, row in enumerate(rows)
    }
    kinds = [
        Completion(instruction_id=str(kind), is_classification=bool(kind), most_similar={"x": 0.5})
        for kind in range(2)
    ]
    found = known(rows, FILE, {"a": said}, kinds, {"judge": {"3": 0.25}})
    assert found[3].scores == {"judge": 0.25, "similarity": 0.5}
    table = {(row["name"], row["group"]): row for row in shares(found)}
    assert (table["all", "all"]["yes"], table["all", "all"]["rows"]) == (10, 20)
    assert table["all", "all"]["paper"] == 0.54
    assert table["output", "classification"]["rows"] == 10
    assert table["output", "classification"]["share"] == 0.5


def test_agreement_is_cohens_and_krippendorffs() -> None:
    """Cohen's of the textbook table of 50 grants (20, 5, 10, 15), and Krippendorff's of two."""
    table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    pairs = [pair for pair, times in table.items() for _ in range(times)]
    people = {
        name: person({str(row): pair[place] for row, pair in enumerate(pairs)})
        for place, name in enumerate(("ann", "bea"))
    }
    # Only one of them rated these, so that they say nothing of how far both agree.
    people["ann"] |= person({"lone": "yes"})
    counted = {about for of_one in people.values() for about in of_one}
    found = {row["measure"]: row for row in agreements(people, counted)}
    assert found["kappa"]["value"] == pytest.approx(0.4)
    assert (found["kappa"]["same"], found["kappa"]["rated"]) == (0.7, 50)
    # Krippendorff's for two labels: 100 values, 45 no and 55 yes, 15 unequal pairs.
    assert found["alpha"]["value"] == pytest.approx(1 - 99 * 15 / (45 * 55), abs=1e-6)


def test_of_one_label_alone_there_is_no_agreement_beyond_chance() -> None:
    people = {name: person({"a": "no", "b": "no"}) for name in ("ann", "bea")}
    found = agreements(people, {about("a"), about("b")})
    assert {row["value"] for row in found} == {None}


def test_a_score_that_ranks_right_rows_first_foretells_them() -> None:
    rows = [
        Rated(instruction="Count.", output="one", id=str(number), instruction_id="i")
        for number in range(4)
    ]
    people = {"a": person({"0": "yes", "1": "yes", "2": "no", "3": "no"})}
    scores = {"judge": {"0": 4.0, "1": 3.0, "2": 2.0, "3": 1.0}, "ifd": {"0": 0.1, "2": 0.1}}
    found = known(rows, FILE, people, [], scores)
    by_name = {row["name"]: row for row in foretelling(found, section(Ratings, resamples=100))}
    assert (by_name["judge"]["auc"], by_name["judge"]["rows"]) == (1.0, 4)
    assert (by_name["ifd"]["auc"], by_name["ifd"]["rows"]) == (0.5, 2)
    assert "similarity" not in by_name


def test_what_models_answered_is_counted_by_model() -> None:
    people = {
        "ann": {about("x", "base"): {"answer": "D"}, about("x", "tuned"): {"answer": "A"}},
        "bea": {about("x", "base"): {"answer": "B"}},
    }
    base, tuned = of_answers(people)
    assert (base["name"], base["ratings"], base["B"], base["D"], base["a_or_b"]) == (
        "base", 2, 1, 1, 0.5,
    )  # fmt: skip
    assert (tuned["A"], tuned["a_or_b"]) == (1, 1.0)


def test_a_rating_of_another_text_is_not_counted_and_the_reason_is() -> None:
    other = About("mine.jsonl", "a", None, TEXT)
    changed = about("a")._replace(text="another")
    yes = {"output": "yes"}
    people = {"ann": {other: yes, changed: yes, about("gone"): yes, about("a"): yes}}
    found = left_out(people, {"a": TEXT}, FILE)
    assert found == {"other_file": 1, "row_has_changed": 1, "row_is_gone": 1}


def test_the_stage_says_how_to_begin_where_nobody_has_rated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = Path(FILE)
    rows.parent.mkdir(parents=True)
    rows.write_text(to_line(Rated(instruction="Count.", output="one")))
    params = Params(ratings=section(Ratings, resamples=100))
    run(params, RatedInputs(), Into("ratings"))
    assert f"`seedbed review {FILE}` asks" in capsys.readouterr().err
    # A row without an id is known by its text.
    folder = Path("data/ratings")
    folder.mkdir()
    said = [
        Rating(file=FILE, id=f"text-{TEXT}", model=None, text=TEXT, question=name, answer="yes")
        for name in OF_A_ROW
    ]
    (folder / "ann.jsonl").write_text("".join(map(to_line, said)))
    run(params, RatedInputs(), Into("ratings"))
    measured = json.loads(Path("metrics/ratings.json").read_text())
    assert (measured["rated_rows"], measured["rated_all"]) == (1, 1.0)
    flat = [value for value in measured.values() if not isinstance(value, list)]
    assert len(flat) <= 10
    assert list(everyone()) == ["ann"]
