"""A person's ratings while they are being made: what is asked, and each answer on the disk.

The file is read anew each time it is asked for, and added to under a lock: two windows, or two
processes of one name, lose nothing of each other's. A process that is killed has written whatever
it said it had.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seedbed.core.files import to_line
from seedbed.errors import SeedbedError, WriteFailed
from seedbed.tasks.ratings import Rating, choices_of, opinions, read_ratings
from seedbed.views.errors import NoSuchQuestion
from seedbed.views.review.items import Item
from seedbed.views.trace import account

# What a question is in words, and its answers, as the paper has them (arXiv 2212.10560).
WORDS = {
    "valid": "Does the instruction describe a valid task?",
    "input": "Is the input appropriate for the instruction?",
    "output": "Is the output a correct and acceptable response to the instruction and input?",
    "answer": "How good is the answer?",
}
MEANING = {
    "yes": "Yes",
    "no": "No",
    "A": "A: valid and satisfying",
    "B": "B: acceptable, with minor errors or imperfections",
    "C": "C: relevant, with significant errors",
    "D": "D: irrelevant or completely invalid",
}


class Session:
    """The questions of all items, one after the other, and one person's answers to them.

    path: the file of the answers. Places count from 0.
    """

    def __init__(self, items: Sequence[Item], path: Path):
        self.path = path
        self._items = items
        self._asked = [(item, question) for item in items for question in item.questions]

    def __len__(self) -> int:
        return len(self._asked)

    def mend(self) -> None:
        """Make whole lines of a file whose writing was cut short. Raises WriteFailed."""
        if self.path.exists():
            with self._alone():
                pass

    def state(self, place: int | None = None) -> dict[str, Any]:
        """What the page shows of a question; of none, the first that has no answer.

        Raises:
            NoSuchQuestion. BadFile, BadRow: the file of the answers is broken.
        """
        answers = self._answers()
        done = sum(answer is not None for answer in answers)
        if place is None:
            place = next((at for at, answer in enumerate(answers) if answer is None), len(self))
        shared = {"of": len(self), "done": done, "place": place, "file": self.path.as_posix()}
        if place == len(self):
            return shared
        item, question = self._at(place)
        first = place - item.questions.index(question)
        return {
            **shared,
            "row": self._items.index(item) + 1,
            "rows": len(self._items),
            "texts": item.texts,
            "blind": item.blind,
            "questions": [
                {
                    "place": first + number,
                    "words": WORDS[name],
                    "answer": answers[first + number],
                    "choices": [[choice, MEANING[choice]] for choice in choices_of(name)],
                }
                for number, name in enumerate(item.questions)
            ],
        }

    def answer(self, place: int, answer: str) -> dict[str, Any]:
        """Keep an answer, and give what is asked next. Raises as `state`; WriteFailed."""
        item, question = self._at(place)
        if answer not in choices_of(question):
            raise NoSuchQuestion(f"{answer!r} to {question}")
        self._add(item, question, answer)
        return self.state(self._after(place))

    def undo(self) -> dict[str, Any]:
        """Take the last answer back, and ask again. Raises as `answer`."""
        place_of = {(item.about, asked): at for at, (item, asked) in enumerate(self._asked)}
        counted = opinions(ratings := read_ratings(self.path))
        for rating in reversed(ratings):
            at = place_of.get((rating.about, rating.question))
            if at is not None and rating.question in counted.get(rating.about, {}):
                self._add(*self._asked[at], None)
                return self.state(at)
        return self.state()

    def origin(self, place: int) -> list[str]:
        """The lines of `seedbed trace` of what is asked about. Raises NoSuchQuestion."""
        item, _ = self._at(place)
        if item.blind:
            return ["Where an answer comes from would say whose it is."]
        try:
            return account(f"{item.about.file}:{item.line}")
        except SeedbedError as error:
            return str(error).split("\n")

    def _at(self, place: int) -> tuple[Item, str]:
        if not 0 <= place < len(self):
            raise NoSuchQuestion(str(place))
        return self._asked[place]

    def _answers(self) -> list[str | None]:
        counted = opinions(read_ratings(self.path))
        return [counted.get(item.about, {}).get(question) for item, question in self._asked]

    def _after(self, place: int) -> int:
        """The next question without an answer, from a place on and then from the beginning."""
        answers = self._answers()
        places = [*range(place, len(self)), *range(place)]
        return next((at for at in places if answers[at] is None), len(self))

    def _add(self, item: Item, question: str, answer: str | None) -> None:
        rating = Rating.model_validate(
            {**item.about._asdict(), "question": question, "answer": answer}
        )
        with self._alone() as file:
            os.lseek(file, 0, os.SEEK_END)
            line = to_line(rating).encode("utf-8", "replace")
            while line:
                line = line[os.write(file, line) :]
            os.fsync(file)

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """The file, opened and locked, with whole lines in it. Raises WriteFailed."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                _mend(file)
                yield file
            finally:
                os.close(file)
        except OSError as error:
            raise WriteFailed(self.path, error) from None


def _mend(file: int) -> None:
    """End the last line, if an editor did not; cut it off, if it is half of one: power was lost."""
    size = os.lseek(file, 0, os.SEEK_END)
    rest = os.pread(file, size, 0).rpartition(b"\n")[2]
    if not rest:
        return
    try:
        json.loads(rest)
    except ValueError:
        os.ftruncate(file, size - len(rest))
    else:
        os.write(file, b"\n")
