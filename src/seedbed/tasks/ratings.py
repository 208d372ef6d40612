"""What people say of rows and of models' answers: the files data/ratings/NAME.jsonl.

A line is one answer to one question, in the order in which they were given. Nothing in a file is
changed: who thinks again adds a line, and the last one counts. So several may rate at once, and
git merges what they did. The questions are those of Self-Instruct (arXiv 2212.10560): three of a
row, and one of an answer, from A to D.
"""

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationInfo, field_validator

from seedbed.core.files import read_rows
from seedbed.core.paths import DATA
from seedbed.core.records import Record

FOLDER = DATA / "ratings"
# A person's name, which is that of the file too.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")

YES, NO = "yes", "no"
# Of a row, in the order in which they are asked.
OF_A_ROW = ("valid", "input", "output")
OF_AN_ANSWER = "answer"
MARKS = ("A", "B", "C", "D")
# What each is called; `all` is that a row has all three.
WORDS = {
    "valid": "valid task",
    "input": "fit input",
    "output": "right output",
    "all": "all three",
    "answer": "answer, A to D",
}


class About(NamedTuple):
    """What is rated. model: whose answer it is; None of a row. text: `digest` of what was shown."""

    file: str
    id: str
    model: str | None
    text: str


class Rating(Record):
    """One answer of a person (review). answer: yes or no, or A to D; None takes it back.

    file, id, model, text: as `About`.
    """

    file: str
    id: str
    model: str | None
    text: str
    question: Literal["valid", "input", "output", "answer"]
    answer: str | None

    @field_validator("answer")
    @classmethod
    def _fits(cls, answer: str | None, info: ValidationInfo) -> str | None:
        choices = choices_of(info.data.get("question", ""))
        if answer is not None and answer not in choices:
            raise ValueError(f"expected {', '.join(choices)}, or null")
        return answer

    @property
    def about(self) -> About:
        return About(self.file, self.id, self.model, self.text)


# What a person thinks in the end: of each thing the answers to its questions.
Opinions = dict[About, dict[str, str]]


def choices_of(question: str) -> tuple[str, ...]:
    return MARKS if question == OF_AN_ANSWER else (YES, NO)


def digest(*texts: str) -> str:
    """What tells a text from one that it has become since.

    >>> digest("Count.", "", "one") == digest("Count.", "one", "")
    False
    """
    return sha256(json.dumps(texts).encode()).hexdigest()[:16]


def id_of(own: str | None, text: str) -> str:
    """A row's id: its own, or one made of its text's digest."""
    return own or f"text-{text}"


def read_ratings(path: Path) -> list[Rating]:
    """The lines of a file; none of one that is missing or empty. Raises BadFile, BadRow."""
    there = path.exists() and path.stat().st_size
    return list(read_rows(path, Rating)) if there else []


def opinions(ratings: Iterable[Rating]) -> Opinions:
    """What counts in the end. Of a text that has changed each form is a thing of its own."""
    found: Opinions = {}
    for rating in ratings:
        answers = found.setdefault(rating.about, {})
        answers.pop(rating.question, None)
        if rating.answer is not None:
            answers[rating.question] = rating.answer
    return {about: answers for about, answers in found.items() if answers}


def everyone(folder: Path = FOLDER) -> dict[str, Opinions]:
    """What each person thinks, by name. Raises BadFile, BadRow."""
    return {path.stem: opinions(read_ratings(path)) for path in sorted(folder.glob("*.jsonl"))}


def settled(people: Mapping[str, Opinions], about: About) -> dict[str, bool]:
    """What most people say of a row, question by question; where as many say no, it is no."""
    votes = {
        question: [
            said[question] == YES
            for of_one in people.values()
            if question in (said := of_one.get(about, {}))
        ]
        for question in OF_A_ROW
    }
    return {question: 2 * sum(said) > len(said) for question, said in votes.items() if said}


def in_letters(said: Mapping[str, bool]) -> str | None:
    """What is said of a row, question by question; None if not everything is.

    >>> in_letters({"valid": True, "input": True, "output": False})
    'yyn'
    """
    if len(said) < len(OF_A_ROW):
        return None
    return "".join("y" if said[question] else "n" for question in OF_A_ROW)
