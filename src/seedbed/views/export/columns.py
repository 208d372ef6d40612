"""The columns that a row is handed on with besides its own.

A stage's rows are described once, for all its forms, and what is found waits on the disk.
"""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from seedbed.backtranslation.near_duplicates import NearDuplicates, signature
from seedbed.core.files import read_rows, to_line
from seedbed.core.records import Record
from seedbed.runs.forms import Form
from seedbed.runs.pipeline import Pipeline
from seedbed.views.export.language import language_of

# From this Jaccard similarity of sets of three words on, two rows are near-duplicates: as the field
# has it for texts to train on (arXiv 2107.06499), and `segment` for documents.
ALIKE = 0.8

# What is known of a row of this id and key, with this output, under the names of columns.
Known = Callable[[str, str | None, str], Mapping[str, Any]]


class Derived(Record):
    """Every row's. derived_from: ids of what it came from; derived_by: keys of its answers."""

    derived_from: list[str]
    derived_by: list[str]


class Described(Derived):
    """Those of a pair of instruction and output; what is not known is null.

    instruction_length, response_length: in characters (Unicode code points), the input, and the
        blank line before it, with the instruction.
    language: the instruction's, an ISO 639 code.
    max_similarity_score: see `Origin.similarity`.
    near_duplicate_of: the id of the first row that it is nearly the same as, if there is one.
    judge_score, ifd_score: of the stages judge, or the one that picked it, and ifd.
    rated_valid, rated_input, rated_output: what most people say of it, who rated it (review).
    """

    instruction_length: int
    response_length: int
    language: str | None
    max_similarity_score: float | None
    near_duplicate_of: str | None
    judge_score: float | None
    ifd_score: float | None
    rated_valid: bool | None = None
    rated_input: bool | None = None
    rated_output: bool | None = None


class Columns:
    """The columns of a file's rows, in order.

    record: what they are. known: in how many rows each column says something. languages: of how
    many instructions.
    """

    def __init__(self, record: type[Record], file: IO[bytes]):
        self.record = record
        self.known = Counter[str]()
        self.languages = Counter[str | None]()
        self._file = file
        self._begins = array("Q")

    def add(self, id_: str, columns: Record, text: str = "") -> None:
        """Add a row's. text: by which it is compared with others."""
        data = columns.model_dump()
        self.known.update(name for name, value in data.items() if value not in (None, []))
        if isinstance(columns, Described):
            self.languages[columns.language] += 1
        self._begins.append(self._file.seek(0, 2))
        self._file.write(to_line({"id": id_, "columns": data, "text": text}).encode())

    def __len__(self) -> int:
        return len(self._begins)

    def id(self, number: int) -> str:
        """Of a row that was added."""
        return str(self._at(number)["id"])

    def text(self, number: int) -> str:
        """Of a row that was added."""
        return str(self._at(number)["text"])

    def _at(self, number: int) -> dict[str, Any]:
        self._file.seek(self._begins[number])
        found: dict[str, Any] = json.loads(self._file.readline())
        return found

    def beside(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows of a form of the same stage with these columns behind their own."""
        self._file.seek(0)
        for row, line in zip(rows, self._file, strict=True):
            found = json.loads(line)
            assert found["id"] == str(row["id"]), "forms of one stage with other rows"
            yield row | found["columns"]


def describe(
    form: Form,
    source: Path,
    pipeline: Pipeline,
    known: Sequence[Known],
    file: IO[bytes],
    seen: Callable[[], object],
) -> Columns:
    """The columns of the rows of a file.

    Args:
        form: one that has `origins`.
        known: what else is known of them; a later one has the last word.
        file: where they wait.
        seen: called for each row.

    Raises:
        BadFile, BadRow, NotOneRun: as `read_rows` and `Form.origins`.
        OSError: there is no room.
    """
    assert form.origins is not None
    origin_of = form.origins(pipeline)
    columns = Columns(Derived if form.pair is None else Described, file)
    near = NearDuplicates(ALIKE, columns.text)
    for number, row in enumerate(read_rows(source, form.record)):
        seen()
        origin = origin_of(row)
        derived = Derived(derived_from=list(origin.ids), derived_by=list(origin.keys))
        id_ = row.id  # type: ignore[attr-defined]
        if form.pair is None:
            columns.add(id_, derived)
            continue
        instruction, output = form.pair(row)
        text = f"{instruction}\n{output}"
        first = near.find_or_add(number, text, signature(text))
        scores: dict[str, Any] = {"judge_score": origin.score, "ifd_score": None}
        for look_up in known:
            scores |= look_up(id_, row.key, output)  # type: ignore[attr-defined]
        described = Described(
            **derived.model_dump(),
            instruction_length=len(instruction),
            response_length=len(output),
            language=language_of(instruction),
            max_similarity_score=origin.similarity,
            near_duplicate_of=None if first is None else columns.id(first),
            **scores,
        )
        columns.add(id_, described, text)
    return columns
