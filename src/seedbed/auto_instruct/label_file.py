"""The files that label writes, one a task: three header lines, then a row an example.

    {"prompt": "Example: {{input}}\\n\\nInstruction: {{instruction}}\\n\\nIs this a good …?"}
    {"instructions": ["Say whether …", …]}
    {"demos": "Input: …"}
    {"id": "task190-6b7a…", "input": "Sentence 1: …", "target": "C", "instruction_idx": [0, 1, …],
     "instruction_labels": [1, 0, …], "instruction_outputs": ["C", "E", …],
     "instruction_rouge": [1.0, 0.0, …]}

A row's lists belong together by position. Further fields are kept; a further list whose name
begins with `instruction_` is one of them, and as long as they are.

A file of a million examples is gigabytes, nearly all of it text that is not wanted: it is read
once for the numbers, and single rows again for what is kept.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, ValidationError

from seedbed.auto_instruct import weighted_draws
from seedbed.auto_instruct.pick import ABSENT
from seedbed.auto_instruct.rows import Id
from seedbed.auto_instruct.weighted_draws import Floats, Keys
from seedbed.core.files import bad_row, opened
from seedbed.core.records import Record
from seedbed.errors import BadFile, BadRow

HEADERS = 3
# Rows between two looks at their numbers.
BLOCK = 4096
PREFIX = "instruction_"


class PromptHeader(Record):
    """The ranking model's prompt template."""

    prompt: str


class InstructionsHeader(Record):
    """The candidates, the seed instruction first."""

    instructions: list[str]


class DemosHeader(Record):
    """The demos as the prompts show them."""

    demos: str | list[Any]


class Labelled(Record):
    """An example, and how well each candidate did on it.

    instruction_idx: which candidates, by their place in the header; the other lists follow it.
    instruction_labels: 0 or 1 from label; what sums to 1 from relabel-and-pick.
    instruction_rouge: ROUGE-L F1, 0 to 1; NaN where there is none.
    """

    model_config = ConfigDict(strict=True, extra="allow")

    id: Id
    input: str
    target: str | list[str]
    instruction_idx: list[int]
    instruction_labels: list[float]
    instruction_outputs: list[str]
    instruction_rouge: list[float]

    def lists(self) -> dict[str, list[Any]]:
        """The lists that have an entry for each candidate, the further ones too."""
        lists: dict[str, list[Any]] = {
            "instruction_idx": self.instruction_idx,
            "instruction_labels": self.instruction_labels,
            "instruction_outputs": self.instruction_outputs,
            "instruction_rouge": self.instruction_rouge,
        }
        more = self.model_extra
        if more:
            lists |= {
                name: value
                for name, value in more.items()
                if name.startswith(PREFIX) and isinstance(value, list)
            }
        return lists


@dataclass(frozen=True)
class LabelFile:
    """A task's file that was read: its headers, and where its rows stand.

    headers: the three lines as they stand.
    """

    path: Path
    task: str
    headers: list[str]
    prompt: str
    instructions: list[str]
    demos: str | list[Any]
    _offsets: NDArray[np.int64]

    @property
    def examples(self) -> int:
        """How many there are."""
        return len(self._offsets)

    def rows(self, numbers: Iterable[int]) -> Iterator[Labelled]:
        """Yield the examples of these numbers, counted from 0, from the file."""
        with self.path.open("rb") as file:
            for number in numbers:
                file.seek(self._offsets[number])
                yield Labelled.model_validate_json(file.readline())

    @staticmethod
    def line_of(number: int) -> int:
        """The line of an example, counted from 1."""
        return number + HEADERS + 1


@dataclass(frozen=True)
class Scores:
    """A task's numbers: large, and of no use once its examples are picked.

    scores: (examples, candidates); ABSENT where a candidate was not tried on an example.
    names: (examples, 2): each example's id in 128 bits, which its draws come from.
    """

    scores: Floats
    names: Keys


def read_labels(
    path: Path, advance: Callable[[int], None] = lambda rows: None
) -> tuple[LabelFile, Scores]:
    """Check a task's file from end to end, and keep its numbers.

    Args:
        advance: called with how many more rows were read.

    Raises:
        BadFile: missing, or without the three header lines.
        BadRow: a line that is not UTF-8, not JSON, or not the record; a candidate that the header
            does not have, or twice in a row; lists of unequal length; a score that is neither NaN
            nor from 0 to 1; a second example with the same id.
    """
    with opened(path) as file:
        # Counted first: to grow the matrix instead would need room for it twice.
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        file.seek(0)
        raw = list(islice(file, HEADERS))
        if len(raw) < HEADERS:
            raise BadFile(
                path,
                "empty" if not raw else f"{len(raw)} lines",
                'Its first lines are {"prompt": …}, {"instructions": […]} and {"demos": …}.',
            )
        prompt = _header(path, 1, raw[0], PromptHeader).prompt
        instructions = _header(path, 2, raw[1], InstructionsHeader).instructions
        demos = _header(path, 3, raw[2], DemosHeader).demos

        most = lines + 1 - HEADERS  # the last line may end without a newline
        reading = _Reading(path, most, len(instructions))
        offset = sum(map(len, raw))
        while block := list(islice(file, BLOCK)):
            offset = reading.add(block, offset)
            advance(len(block))
    rows = reading.rows
    labels = LabelFile(
        path=path,
        task=path.stem,
        headers=[line.decode("utf-8").rstrip("\r\n") + "\n" for line in raw],
        prompt=prompt,
        instructions=instructions,
        demos=demos,
        _offsets=reading.offsets[:rows],
    )
    scores = Scores(reading.scores[:rows], reading.names[:rows])
    _refuse_repeated_ids(labels, scores.names)
    return labels, scores


class _Reading:
    """A task's numbers as they are read, with room for `most` rows."""

    def __init__(self, path: Path, most: int, candidates: int):
        self.path = path
        self.rows = 0
        self.scores = np.full((most, candidates), ABSENT)
        self.names = np.empty((most, 2), dtype=np.uint64)
        self.offsets = np.empty(most, dtype=np.int64)
        self._shape = f"Each line is one JSON object with {', '.join(Labelled.model_fields)}."

    def add(self, block: list[bytes], offset: int) -> int:
        """Take the next lines, of which the first stands at `offset`; gives the offset after."""
        digests: list[bytes] = []
        offsets: list[int] = []
        # Flat, since rows may have unlike many candidates.
        places, scores, lengths = array("q"), array("d"), array("q")
        for line in block:
            row = self._parse(line, self.rows + len(digests))
            digests.append(weighted_draws.name(row.id))
            offsets.append(offset)
            offset += len(line)
            scores.extend(row.instruction_rouge)
            lengths.append(len(row.instruction_idx))
            try:
                places.extend(row.instruction_idx)
            except OverflowError:  # far out of range; -1 is refused below like the others
                places.extend([-1] * len(row.instruction_idx))
        here = slice(self.rows, self.rows + len(block))
        self._place(here, np.asarray(places), np.asarray(scores), np.asarray(lengths))
        self.names[here] = weighted_draws.as_keys(digests)
        self.offsets[here] = offsets
        self.rows += len(block)
        return offset

    def _parse(self, line: bytes, number: int) -> Labelled:
        if not line.strip():
            raise self._bad(number, "blank line", "Remove it. " + self._shape)
        try:
            row = Labelled.model_validate_json(line)
        except ValidationError as error:
            raise bad_row(self.path, LabelFile.line_of(number), line, error, self._shape) from None
        length = len(row.instruction_idx)
        for name, values in row.lists().items():
            if len(values) != length:
                raise self._bad(
                    number,
                    f"field {name}: {len(values)} entries, but instruction_idx has {length}",
                    "Each has one entry for each candidate that was tried: run label again.",
                )
        return row

    def _place(
        self,
        here: slice,
        places: NDArray[np.int64],
        scores: Floats,
        lengths: NDArray[np.int64],
    ) -> None:
        """Put a block's scores where they belong, once they are known to belong somewhere."""
        block = self.scores[here]
        owners = np.repeat(np.arange(len(lengths)), lengths)
        candidates = block.shape[1]
        outside = (places < 0) | (places >= candidates)
        if outside.any():
            bad = int(np.flatnonzero(outside)[0])
            raise self._bad(
                here.start + int(owners[bad]),
                f"field instruction_idx: a place outside 0 to {candidates - 1}",
                f"The labels were made with other candidates than the {candidates} of line 2: "
                "run label again.",
            )
        # NaN is neither.
        wrong = (scores < 0) | (scores > 1)
        if wrong.any():
            bad = int(np.flatnonzero(wrong)[0])
            raise self._bad(
                here.start + int(owners[bad]),
                f"field instruction_rouge: {scores[bad]!s} is not from 0 to 1",
                "A ROUGE-L F1 is.",
            )
        block[owners, places] = scores
        twice = np.count_nonzero(block != ABSENT, axis=1) != lengths
        if twice.any():
            raise self._bad(
                here.start + int(np.flatnonzero(twice)[0]),
                "field instruction_idx: a candidate stands there twice",
                "Each is tried once on an example: run label again.",
            )

    def _bad(self, number: int, problem: str, remedy: str) -> BadRow:
        return BadRow(self.path, LabelFile.line_of(number), problem, remedy)


Header = TypeVar("Header", bound=Record)


def _header(path: Path, line: int, text: bytes, record: type[Header]) -> Header:
    try:
        return record.model_validate_json(text)
    except ValidationError as error:
        shape = f"Line {line} is one JSON object with {', '.join(record.model_fields)}."
        raise bad_row(path, line, text, error, shape) from None


def _refuse_repeated_ids(labels: LabelFile, names: Keys) -> None:
    # Equal names are equal ids: that two of a million have the same 128 bits by chance takes luck
    # of one in 10^26.
    order = np.lexsort((names[:, 1], names[:, 0]))  # stable
    ordered = names[order]
    repeated = np.flatnonzero((ordered[1:] == ordered[:-1]).all(axis=1))
    if len(repeated):
        place = repeated[np.argmin(order[repeated + 1])]
        first, second = int(order[place]), int(order[place + 1])
        row = next(labels.rows([second]))
        raise BadRow(
            labels.path,
            labels.line_of(second),
            f"id {row.id!r} is already that of line {labels.line_of(first)}",
            "Give it its own.",
        )
