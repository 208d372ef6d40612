"""The files of instruction backtranslation, and their rows."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from seedbed.core.paths import DATA
from seedbed.core.records import Record

PIPELINE = Path("pipelines/backtranslation/dvc.yaml")
BACK = DATA / "backtranslation"
SEGMENTS = DATA / "segment/segments.jsonl"
# Within the folder of a round, or of the start.
SEED, AUGMENTED, CURATED = Path("seed_pairs"), Path("augment"), Path("curate")
PAIRS, REJECTED, KEPT = "pairs.jsonl", "rejected.jsonl", "curated.jsonl"
REVERSED = "reversed.jsonl"
ROWS = "rows.jsonl"
ASSESSED = DATA / "assessed"
SWAPPED, LABELLED = "swapped.jsonl", "labelled.jsonl"
LABELS = DATA / "corpus_labels.jsonl"
COMBINED = DATA / "combine"
SETS = ("seed", "all", "curated", "seed_and_curated")
FORMS = ("messages.jsonl", "finetuning.jsonl", "alpaca.jsonl")
JUDGED = DATA / "judge"
IFD = DATA / "ifd"


class Segment(Record):
    """A part of a document under a heading (segment).

    id: of the document and the place in it. heading: the path of headings, from the document's
        title down; [] of a text without any.
    first_line, last_line: in the document as it is read, from 1; of a row of a table the row.
    license, url: the document's, or null.
    """

    id: str
    document: str
    heading: list[str]
    text: str
    first_line: int
    last_line: int
    license: str | None
    url: str | None


class RejectedSegment(Segment):
    """A part that is not asked about, and why. of: the segment that it repeats, if it does."""

    reason: str
    of: str | None = None


class SeedPair(Record):
    """An instruction and an output that people wrote (seed-pairs).

    instruction: with the input after it, if there is one. demo: whether it may be shown; not_shown
        says why not. task: the id of its row in the file `source`.
    system: what stands before the instruction. license, url: of the two. All three are of a
        conversation that says so; of others they are not written.
    """

    id: str
    instruction: str
    output: str
    demo: bool
    not_shown: str | None
    task: str
    source: str
    system: str | None = None
    license: str | None = None
    url: str | None = None

    @model_serializer(mode="wrap")
    def _as_far_as_said(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        row: dict[str, Any] = written(self)
        said = {name: row.pop(name) for name in ("system", "license", "url")}
        return row | {name: value for name, value in said.items() if value is not None}


class Reversed(Record):
    """A seed pair for a model that is to guess instructions: the output asks (seed-pairs)."""

    prompt: str
    completion: str


class AugmentedPair(Record):
    """A segment, and the instruction that it would answer, as a model guesses it (augment).

    id: the segment's, which is the output. key: of the answer that the instruction was cut from.
    """

    id: str
    instruction: str
    output: str
    document: str
    heading: list[str]
    license: str | None
    url: str | None
    key: str


class RejectedPair(AugmentedPair):
    """One whose instruction is no good, and why. problem: of the answer, where it had one."""

    reason: str


class Part(Record):
    """Something that a score is made of: a scoring, or an answer (curate, judge).

    what: own (the pair itself), swapped (with another's instruction or output), alone (without),
        digit (that the answer is this one), or rating (an answer that ends with one).
    of: the pair that it is swapped with; the digit; null.
    value: nats a token; a log-probability; the rating; null of an answer without one.
    reason: why a rating has no value.
    """

    what: Literal["own", "swapped", "alone", "digit", "rating"]
    of: str | None = None
    value: float | None
    reason: str | None = None
    key: str


class Scored(Record):
    """A pair and what the judge makes of it.

    score: null where the judge said none; then, and where it is too low, `reason` says why.
    kept: whether it is good enough.
    """

    id: str
    score: float | None
    kept: bool
    reason: str | None
    parts: list[Part]


class CuratedPair(Scored):
    """An augmented pair with its score, kept or not (curate). key: as the augmented pair has it."""

    instruction: str
    output: str
    document: str
    heading: list[str]
    license: str | None
    url: str | None
    key: str


class Label(Record):
    """What a person says of a section of a document: whether it is a good answer (to what)."""

    document: str
    heading: list[str]
    good: bool
    fault: str | None
    instruction: str | None = Field(default=None, pattern=r"\S")


class Labelled(Record):
    """A pair, its score, and what a person says of it (assess). id: the segment's."""

    id: str
    score: float | None
    kept: bool
    good: bool
    fault: str | None


class Swap(Record):
    """A judge's score of a true pair and of swapped ones (assess).

    id: the segment's. of: whose instruction it was given; null of its own. By hand, all of them.
    """

    id: str
    of: str | None
    score: float | None
    keys: list[str]


class JudgedRow(Scored):
    """A row of a file of rows with its score (judge).

    id: the row's own, or its line. row_key: of the answer that the row was made of, if it says so.
    source, line: the file that it comes from, and the line, from 1.
    """

    instruction: str
    output: str
    source: str
    line: int
    row_key: str | None


class IfdRow(Record):
    """How much the instruction helps a model with the output (ifd).

    ifd: exp of the mean nats a token by which the output is less likely with the instruction than
        without (arXiv 2308.12032): 1 and more, and the two do not fit; null where nothing was
        scored. conditioned, alone: mean log-probabilities of a token.
    keys: of the two scorings.
    """

    id: str
    instruction: str
    output: str
    source: str
    line: int
    row_key: str | None
    ifd: float | None
    conditioned: float | None
    alone: float | None
    kept: bool
    reason: str | None
    keys: list[str]
