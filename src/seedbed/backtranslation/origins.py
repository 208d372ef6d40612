"""What an account tells below a row: what a score is made of, prompt files, what people wrote."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from seedbed.backtranslation.conversations import MessagesRow
from seedbed.backtranslation.prompts import AUGMENT, CURATE
from seedbed.backtranslation.rows import REJECTED, SEGMENTS, Label, Part, RejectedSegment, Segment
from seedbed.core.files import exists
from seedbed.core.records import Record
from seedbed.runs.errors import OriginMissing
from seedbed.runs.places import Place, origin, rows_if_there, rows_of
from seedbed.runs.telling import Telling

# So much of a key tells it from all others, and is enough to look it up.
KEY = 12
FEW, ZERO, DEMO = "few_shot.txt", "zero_shot.txt", "demo.txt"
# How segment calls a row of a table.
_ROW = re.compile(r"(.+\.(?:jsonl|parquet)):[0-9]+", re.I | re.S)


class Named(Record):
    """What is read of a row of the file that seed pairs are made of. id: else it is its line."""

    id: str | int | None = None


class Judged(Record):
    """What is read of a row that others were swapped with."""

    id: str
    instruction: str


class Sourced(Protocol):
    """A row that says which row of another file it is."""

    @property
    def output(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def row_key(self) -> str | None: ...


class InDocument(Protocol):
    """A row about a section of a document."""

    @property
    def document(self) -> str: ...
    @property
    def heading(self) -> list[str]: ...


# --- what a score is made of


def tell_parts(
    telling: Telling, stage: str, parts: Sequence[Part], others: Path, section: str
) -> None:
    """Each scoring and answer behind a score, and the files that their prompts were made of.

    Args:
        others: the rows of which some were swapped with this one.
        section: the parameters' that say how it was judged.
    """
    wanted = {part.of for part in parts if part.what == "swapped"}
    partners: dict[str, tuple[int, str]] = {}
    if wanted:
        for line, row in enumerate(rows_if_there(others, Judged), 1):
            if row.id in wanted:
                partners[row.id] = line, row.instruction
    with telling.out.under("its score is made of:"):
        for part in parts:
            what = {
                "own": "the pair itself",
                "alone": "without the other text",
                "digit": f"the rating {part.of}",
                "rating": "a rating",
            }.get(part.what)
            if part.of in partners and part.what == "swapped":
                line, instruction = partners[part.of]
                what = f"swapped with {others}:{line} ({telling.shortened(instruction)})"
            kind = "answer" if part.what == "rating" else "scoring"
            value = f"{what or f'swapped with {part.of}, which {others} does not have any more'}: "
            value += str(part.reason or "none" if part.value is None else part.value)
            tell_answer(telling, value, kind, part.key)
    tell_prompt_files(telling, stage, judging_files(telling, stage, section))


def tell_answer(telling: Telling, what: str, kind: str, key: str) -> None:
    """One line of an answer, or all of it. kind: what it is called."""
    if telling.full:
        with telling.out.under(what):
            telling.answer(key)
    else:
        telling.out.line(f"{what}, {kind} {key[:KEY]}…")


def judging_files(telling: Telling, stage: str, section: str) -> list[Path]:
    """The files that a judge's prompts are made of, by the parameters that it ran with."""

    def own(name: str) -> object:
        return telling.pipeline.parameter(stage, f"{section}.{name}")

    by = own("by")
    if by == "rating":
        return [CURATE / f"{own('rubric')}.txt"]
    if by == "expected":
        return [CURATE / f"{own('rubric')}_digit.txt"]
    folder = CURATE if own("direction") == "forward" else AUGMENT
    files = [folder / name for name in ([FEW, DEMO] if own("demos") else [ZERO])]
    if by == "gain" and folder == CURATE:
        files.append(folder / ("few_shot_alone.txt" if own("demos") else "alone.txt"))
    return files


def tell_prompt_files(telling: Telling, stage: str, files: Iterable[Path]) -> None:
    """Files of data/prompts, each with its revision."""
    for file in files:
        with telling.out.under(f"prompt file: {file}"):
            telling.revision(stage, file)


# --- what people wrote


def tell_segment(telling: Telling, place: Place, row: Segment, how: str = "") -> None:
    """A segment, refused or not, and the document that it is a part of."""
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row)
        if isinstance(row, RejectedSegment) and row.of is not None:
            telling.out.line(f"it repeats {_segment_of(row.of)}")
        telling.parameters(stage)
    found = _ROW.fullmatch(row.document)
    file = Path(found[1] if found else row.document)
    lines = f"row {row.first_line:,}"
    if not found:
        lines = f"lines {row.first_line:,} to {row.last_line:,}"
    with telling.out.under(f"its document: {file}, {lines}"):
        # A file's name that is not UTF-8 is not told as it is.
        if exists(file):
            telling.revision(stage, file)
        else:
            telling.out.line("it is not there any more")


def _segment_of(id_: str) -> str:
    """Where a segment stands: among those that are kept, or those over the maximum."""
    for path in (SEGMENTS, SEGMENTS.with_name(REJECTED)):
        for line, row in enumerate(rows_if_there(path, Segment), 1):
            if row.id == id_:
                return f"{path}:{line}, under {' > '.join(row.heading)}"
    return f"the segment {id_}, which is not there any more"


def tell_task(telling: Telling, place: Place, stage: str, source: Path, task: str) -> None:
    """The row of a file that a seed pair was made of. Raises NotHere, OriginMissing."""
    for line, row in enumerate(rows_of(source, Named), 1):
        if str(line if row.id is None else row.id) == task:
            _tell_row_of(telling, stage, Place(source, line), "its task: ")
            return
    raise OriginMissing(str(place), source, f"the id {task}")


def tell_source(telling: Telling, place: Place, stage: str, row: Sourced) -> None:
    """The row of another file that a row was read from. Raises NotHere, OriginMissing."""
    where = Place(Path(row.source), row.line)
    for line, one in enumerate(rows_of(where.path, MessagesRow), 1):
        # Of a file from elsewhere, what is no text is no key.
        key = one.key if isinstance(one.key, str) else None
        same = (key, one.messages[-1].content.strip()) == (row.row_key, row.output)
        if line == where.line and same:
            _tell_row_of(telling, stage, where, "it came from ")
            return
    raise OriginMissing(str(place), where.path, f"that answer on line {where.line}")


def _tell_row_of(telling: Telling, stage: str, where: Place, how: str) -> None:
    with telling.out.under(f"{how}{where}"):
        telling.revision(stage, where.path)
        if not telling.pipeline.writers.keys().isdisjoint([where.path, *where.path.parents]):
            telling.out.line(f"`seedbed trace {where}` tells that row")


def tell_label(telling: Telling, place: Place, stage: str, section: InDocument, how: str) -> None:
    """What a person says of a section. Raises NotHere, OriginMissing."""
    path = Path(telling.pipeline.parameter(stage, "assess.labels"))
    where, label = origin(
        place,
        path,
        Label,
        lambda other: (other.document, other.heading) == (section.document, section.heading),
        f"the section {' > '.join(section.heading)} of {section.document}",
    )
    with telling.out.under(f"{how}{where}"):
        for name, value in label.model_dump().items():
            telling.field(name, value)
        telling.revision(stage, path)
