"""The rating that an answer ends with: a table of endings, and a plain reading of the rule."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.tries import tries

from seedbed.backtranslation import rating
from seedbed.backtranslation.rating import Rating, parse

NONE, OUT, CUT = "no_score", "out_of_range", "cut"


def value(number: float) -> Rating:
    return Rating(number, None)


def refused(reason: str) -> Rating:
    return Rating(None, reason)


ENDINGS: list[tuple[str, float | str]] = [
    # Plain, and each part that may be there.
    ("Score: 4", 4),
    ("It is clear and complete.\nScore: 4", 4),
    ("score: 4", 4),
    ("SCORE: 4", 4),
    ("Score:4", 4),
    ("Score : 4", 4),
    ("  Score:\t4  ", 4),
    ("Score:\u00a04", 4),
    ("Score = 3", 3),
    ("score=3", 3),
    ("Score: 4.5", 4.5),
    ("Score: 4.0", 4),
    ("Score: 4.", 4),
    ("Score: 4.5.", 4.5),
    ("Score: 4/5", 4),
    ("Score: 4 /5", 4),
    ("Score: 4 / 5", 4),
    ("Score: 4.5/5.", 4.5),
    ("Score: 4 out of 5", 4),
    ("Score: 4.5 Out Of 5.", 4.5),
    # Marks.
    ("**Score: 4**", 4),
    ("**Score:** 4", 4),
    ("**Score**: 4", 4),
    ("Score: **4**", 4),
    ("**Score:** **4**/5", 4),
    ("**Score: 4.**", 4),
    ("*Score: 4 out of 5*", 4),
    ("Score: 4 *out of 5*", 4),
    ("### Score: 3", 3),
    ("### **Score: 3** ###", 3),
    ("<Score: 2>", 2),
    ("Score: <4>", 4),
    ("<score>: <4>", 4),
    # Which line.
    ("Score: 2\nOn reflection it is better.\nScore: 4", 4),
    ("Score: 4\nScore: 2", 2),
    ("Score: 4\n\nI hope this helps with all 3 of your questions!", 4),
    ("Score: 4\n\n\n", 4),
    ("Score: 4\r\nThat is all.\r\n", 4),
    ("Good.\rScore: 4\rThat is all.", 4),
    ("Score: 4\nScore: 10", OUT),
    ("Score: 10\nScore: 4", 4),
    ("Score: 4\nScore: n/a", 4),
    # The scale.
    ("Score: 1", 1),
    ("Score: 5", 5),
    ("Score: 5.0", 5),
    ("Score: 0", OUT),
    ("Score: 0.9", OUT),
    ("Score: 5.1", OUT),
    ("Score: 6/5", OUT),
    ("Score: 10", OUT),
    ("Score: 91", OUT),
    ("Score: 1986", OUT),
    # More, less, or something else in the line.
    ("", NONE),
    ("I like it.", NONE),
    ("4", NONE),
    ("4/5", NONE),
    ("I would give it Score: 5 for its tone.", NONE),
    ("I give it a score: 5", NONE),
    ("Final score: 5", NONE),
    ("Score: 5 because it is complete", NONE),
    ("Score: 5, since it is complete", NONE),
    ("Score: 5 stars", NONE),
    ("Score: 4 5", NONE),
    ("Score: 4*5", NONE),
    ("Score: 4-5", NONE),
    ("Score: 4..", NONE),
    ("Score: 4!", NONE),
    ("Score: 4 out of 5 points", NONE),
    ("Score: 4/5 out of 5", NONE),
    ("Score: 4out of 5", NONE),
    ("Score: 4 outof 5", NONE),
    ("Score: 4/10", NONE),
    ("Score: 4/50", NONE),
    ("Score: 4 out of 10", NONE),
    ("Score: 4.55", NONE),
    ("Score: 4,5", NONE),
    ("Score: .5", NONE),
    ("Score: 4 .5", NONE),
    ("Score: -3", NONE),
    ("Score: +3", NONE),
    ("Score: 3e0", NONE),
    ("Score: four", NONE),
    ("Score: \u0664", NONE),
    ("Score: \uff14", NONE),
    ("Score: ²", NONE),
    ("Score: 4.\u0665", NONE),
    ("Score\uff1a4", NONE),
    ("\u017fcore: 4", NONE),
    ("Score:", NONE),
    ("Score: <rating>", NONE),
    ("Score:\n4", NONE),
    ("Score\n: 4", NONE),
    ("Score 4", NONE),
    ("Score is 4", NONE),
    ("Scores: 4", NONE),
    ("Underscore: 4", NONE),
    ("Sc*ore: 4", NONE),
    ("- Score: 4", NONE),
    ("Rating: 4", NONE),
    ("Score 5: the answer is perfect.\nScore 1: it is not.", NONE),
]


@pytest.mark.parametrize(("text", "is_"), ENDINGS)
def test_only_a_line_that_is_a_rating_gives_one(text: str, is_: float | str) -> None:
    assert parse(text, cut=False) == (refused(is_) if isinstance(is_, str) else value(is_))


@pytest.mark.parametrize(("text", "is_"), ENDINGS)
def test_a_cut_answer_has_its_rating_if_it_came_that_far_and_else_is_cut(
    text: str, is_: float | str
) -> None:
    whole = parse(text, cut=False)
    assert parse(text, cut=True) == (refused(CUT) if is_ == NONE else whole)


# --- against a plain reading of the rule


def number_of(line: str) -> str | None:
    """The number of a line that is a rating, by looking at one part after another."""
    for mark in "*#<>":
        line = line.replace(mark, " ")
    line = line.strip().lower()
    if not line.startswith("score"):
        return None
    line = line[len("score") :].strip()
    if line[:1] not in {":", "="}:
        return None
    line = line[1:].strip().removesuffix(".").strip()
    words = line.split()
    if words[1:] == ["out", "of", "5"]:
        line = words[0]
    elif "/" in line:
        line, of = (part.strip() for part in line.split("/", 1))
        if of != "5":
            return None
    parts = line.split(".")
    digits = all(part and set(part) <= set("0123456789") for part in parts)
    return line if digits and (len(parts) == 1 or [len(parts), len(parts[1])] == [2, 1]) else None


PIECES = [
    "score",
    "Score",
    "SCORE",
    "Scores",
    "\u017fcore",
    ":",
    "=",
    "\uff1a",
    "1",
    "4",
    "5",
    "10",
    "0",
]
PIECES += ["4.5", ".5", "4.55", "-3", "/5", "/", " out of 5", "out of 5", ".", "*", "**", "#", "<"]
PIECES += [
    ">",
    " ",
    "  ",
    "\t",
    "\u00a0",
    "\x1f",
    "\n",
    "\r\n",
    "\u2028",
    "\u0664",
    "\uff14",
    "²",
    "x",
]
PIECES += ["Score: ", "\nScore: 4", "Score: 4/5\n", "four", ","]
pieces = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
answers = st.lists(pieces | st.text(max_size=20), max_size=4).map("\n".join)


@settings(max_examples=tries(1000), deadline=None)
@given(answers, st.booleans())
@example("**Score:** 4", False)
@example("Score: 4 out of 5.\nThe end", True)
def test_no_answer_without_a_line_that_is_a_rating_gets_one_and_each_with_one_does(
    text: str, cut: bool
) -> None:
    numbers = [number for line in text.splitlines() if (number := number_of(line)) is not None]
    if not numbers:
        assert parse(text, cut) == refused(CUT if cut else NONE)
    elif 1 <= float(numbers[-1]) <= 5:
        assert parse(text, cut) == value(float(numbers[-1]))
    else:
        assert parse(text, cut) == refused(OUT)


around = st.text("*#<> \t\u00a0", max_size=5)


@settings(max_examples=tries(200), deadline=None)
@given(
    st.lists(around, min_size=6, max_size=6),
    st.sampled_from(["score", "Score", "sCORE"]),
    st.sampled_from(":="),
    st.integers(10, 50).map(lambda tenths: tenths / 10),
    st.sampled_from(["", "/5", " out of 5"]),
    st.sampled_from(["", "."]),
    st.text("abc123 .\n", max_size=20),
)
def test_marks_around_the_parts_and_text_after_the_line_change_nothing(
    marks: list[str], word: str, sign: str, number: float, of: str, stop: str, after: str
) -> None:
    parts = [word, sign, str(number), of, stop]
    line = "".join(mark + part for mark, part in zip(marks, [*parts, ""], strict=True))
    assert parse(f"Reasons.\n{line}\n{after}", cut=False) == value(number)


def test_nothing_in_the_pattern_is_tried_twice() -> None:
    """A quantifier that may give back what it took would make long rows of spaces take for ever."""
    pattern = rating._LINE.pattern
    assert pattern.count(r"\s*+") == 7
    # A `?` after a bracket is none.
    quantifiers = re.findall(r"(?<!\()[*+?{]\+?", pattern)
    assert len(quantifiers) > 10
    assert set(quantifiers) == {"*+", "++", "?+"}


@pytest.mark.parametrize("long", ["*", " ", "#", "<>", "\n", "\t", "* ", "score", "4", "score:\n"])
@pytest.mark.parametrize("place", ["{}x", "score{}x", "score:{}x", "score: 4{}x", "score: 4/{}x"])
def test_a_megabyte_of_anything_is_read_at_once(place: str, long: str) -> None:
    text = place.format(long * (1_000_000 // len(long)))
    assert parse(text, cut=False).value == (4 if text.startswith("score: 4\n") else None)
