"""Rows of instruction backtranslation, told back to scores, answers, segments and documents."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from seedbed.backtranslation.conversations import Message
from seedbed.backtranslation.origins import (
    DEMO,
    FEW,
    ZERO,
    judging_files,
    tell_answer,
    tell_label,
    tell_parts,
    tell_prompt_files,
    tell_segment,
    tell_source,
    tell_task,
)
from seedbed.backtranslation.params import START
from seedbed.backtranslation.prompts import AUGMENT, CURATE
from seedbed.backtranslation.rows import (
    ASSESSED,
    AUGMENTED,
    BACK,
    COMBINED,
    CURATED,
    FORMS,
    IFD,
    JUDGED,
    KEPT,
    LABELLED,
    PAIRS,
    REJECTED,
    REVERSED,
    ROWS,
    SEED,
    SEGMENTS,
    SETS,
    SWAPPED,
    AugmentedPair,
    CuratedPair,
    IfdRow,
    JudgedRow,
    Labelled,
    RejectedPair,
    RejectedSegment,
    Reversed,
    SeedPair,
    Segment,
    Swap,
)
from seedbed.core.files import exists
from seedbed.core.paths import DATA
from seedbed.core.records import Record
from seedbed.runs.places import Place, find, origin, row_at
from seedbed.runs.telling import Telling

# The rounds of pipelines/humpback; what their judges were tried on lies in data/judges.
HUMPBACK = DATA / "humpback"


class Combined(Record):
    """What the three forms of a row to train on have in common."""

    id: str
    source: str
    license: str | None
    url: str | None
    key: str | None


class AsMessages(Combined):
    messages: list[Message]


class AsFinetuning(Combined):
    prompt: str
    completion: str


class AsAlpaca(Combined):
    instruction: str
    input: str
    output: str
    system: str | None


class KeptRow(Record):
    """A row that a judge kept."""

    messages: list[Message]
    id: str
    score: float
    license: str | None
    url: str | None
    key: str | None


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told, a pattern for many. writers: what the stages write."""
    found = {
        (folder if folder.parent == DATA else folder.parent.parent / "*" / folder.name) / name: None
        for folder in writers
        for name in KINDS.get(folder.name, ())
    }
    return list(found)


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told: those of a round that there is no more cannot."""
    folder = _folder_of(path)
    return folder in writers and path.relative_to(folder).as_posix() in KINDS.get(folder.name, ())


def tell(telling: Telling, place: Place) -> None:
    """Tell a row of a file that it `knows`, and all it came from. Raises as `account`."""
    folder = _folder_of(place.path)
    record, told = KINDS[folder.name][place.path.relative_to(folder).as_posix()]
    told(telling, place, row_at(place, record))


def _folder_of(path: Path) -> Path:
    """The folder of the stage: a set to train on has one of its own within."""
    return path.parent.parent if path.parent.parent.name == COMBINED.name else path.parent


# --- what is trained on


def _combined(telling: Telling, place: Place, row: Combined) -> None:
    with telling.out.under(str(place)):
        # A set has a folder within the stage's, by which `telling.row` does not know the stage.
        stage = telling.pipeline.stage_of(_folder_of(place.path))
        telling.out.line(f"written by {stage}")
        telling.out.line(telling.pipeline.compared(stage, place.path))
        for name, value in row.model_dump(exclude={"key", "messages"}).items():
            telling.field(name, value)
        for message in row.messages if isinstance(row, AsMessages) else []:
            telling.out.text(message.role, message.content)
        telling.parameters(stage)
    last = BACK / str(telling.pipeline.parameter(stage, "backtranslation.last"))
    if row.source == "seed":
        path = BACK / START / SEED / PAIRS
        # What stands there several times is numbered.
        first = find(path, SeedPair, lambda pair: pair.id == row.id)
        id_ = re.sub(r"#[0-9]+\Z", "", row.id)
        found = first or origin(place, path, SeedPair, lambda p: p.id == id_, f"the id {id_}")
        _seed_pair(telling, *found, "its seed pair: ")
    elif place.path.parent.name == "all":
        _augmented(
            telling,
            *_pair_of(telling, place, row.id, row.key, last / AUGMENTED / PAIRS),
            "its pair: ",
        )
    else:
        beside = _folder_of(place.path).with_name(CURATED.name)
        path = beside / KEPT if beside in telling.pipeline.writers else last / CURATED / KEPT
        same = (row.id, row.key)
        curated = origin(
            place, path, CuratedPair, lambda pair: (pair.id, pair.key) == same, _named(*same)
        )
        _curated(telling, *curated, "its curated pair: ")


def _seed_pair(telling: Telling, place: Place, row: SeedPair, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row)
        telling.parameters(stage)
    tell_task(telling, place, stage, Path(row.source), row.task)


def _reversed(telling: Telling, place: Place, row: Reversed) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    path, instruction = place.path.with_name(PAIRS), row.completion.strip()

    def is_it(pair: SeedPair) -> bool:
        first = pair.instruction.splitlines()[0].strip()
        return pair.demo and first == instruction and pair.output in row.prompt

    what = f"the instruction {instruction[:80]!r} and that output"
    _seed_pair(telling, *origin(place, path, SeedPair, is_it, what), "its seed pair: ")


# --- pairs


def _curated(telling: Telling, place: Place, row: CuratedPair, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row, apart=["parts"])
        tell_parts(telling, stage, row.parts, place.path.with_name(PAIRS), "curate")
        telling.parameters(stage)
    path = place.path.parent.with_name(AUGMENTED.name) / PAIRS
    _augmented(telling, *_pair_of(telling, place, row.id, row.key, path), "its pair: ")


def _pair_of(
    telling: Telling, place: Place, id_: str, key: str | None, first: Path
) -> tuple[Place, AugmentedPair]:
    """An augmented pair: of this round, or of another one, whose answer is the very same.

    A round of models has none of its own, since what it rates is always what was asked first.

    Raises:
        NotHere, OriginMissing: no round has it.
    """
    writers = telling.pipeline.writers
    others = [folder / PAIRS for folder in writers if folder.name == AUGMENTED.name]
    own = [path for path in (first, *others) if path.parent in writers]
    for path in own:
        if exists(path) and (
            found := find(path, AugmentedPair, lambda pair: (pair.id, pair.key) == (id_, key))
        ):
            return found
    return origin(
        place, own[0] if own else first, AugmentedPair, lambda pair: False, _named(id_, key)
    )


def _named(id_: str, key: str | None) -> str:
    return f"the id {id_} and the key {key}"


def _augmented(telling: Telling, place: Place, row: AugmentedPair, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row)
        telling.answer(row.key)
        few = telling.pipeline.parameter(stage, "augment.backward") == "few_shot"
        tell_prompt_files(
            telling, stage, [AUGMENT / name for name in ([FEW, DEMO] if few else [ZERO])]
        )
        telling.parameters(stage)
    segment = origin(
        place,
        SEGMENTS,
        Segment,
        lambda segment: (segment.id, segment.text) == (row.id, row.output),
        f"the id {row.id} and that text",
    )
    tell_segment(telling, *segment, "its segment: ")


# --- the judge on other rows


def _judged(telling: Telling, place: Place, row: JudgedRow, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row, apart=["parts", "row_key"])
        tell_parts(telling, stage, row.parts, place.path, "judge")
        telling.parameters(stage)
    tell_source(telling, place, stage, row)


def _kept(telling: Telling, place: Place, row: KeptRow) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    judged = origin(
        place,
        place.path.with_name(ROWS),
        JudgedRow,
        lambda other: (other.id, other.row_key, other.score) == (row.id, row.key, row.score),
        f"the id {row.id} and that score",
    )
    _judged(telling, *judged, "it was judged: ")


def _ifd(telling: Telling, place: Place, row: IfdRow) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row, apart=["keys", "row_key"])
        with telling.out.under("the output was scored:"):
            for what, key in zip(("with the instruction", "alone"), row.keys, strict=False):
                tell_answer(telling, what, "scoring", key)
        tell_prompt_files(telling, stage, [CURATE / ZERO, CURATE / "alone.txt"])
        telling.parameters(stage)
    tell_source(telling, place, stage, row)


# --- how good the judge is


def _labelled(telling: Telling, place: Place, row: Labelled) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    path = _assessed(place.path) / CURATED / PAIRS
    same = (row.id, row.score, row.kept)
    where, pair = origin(
        place,
        path,
        CuratedPair,
        lambda other: (other.id, other.score, other.kept) == same,
        f"the id {row.id} and that score",
    )
    tell_label(telling, place, stage, pair, "its label: ")
    _curated(telling, where, pair, "its pair: ")


def _swap(telling: Telling, place: Place, row: Swap) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row, apart=["keys"])
        asked = telling.pipeline.parameter(stage, "curate.by") == "rating"
        with telling.out.under("its score is made of:"):
            for number, key in enumerate(row.keys, 1):
                tell_answer(telling, f"{number}", "answer" if asked else "scoring", key)
        tell_prompt_files(telling, stage, judging_files(telling, stage, "curate"))
        telling.parameters(stage)
    _, whose = _segment_of(place, row.of or row.id)
    tell_label(telling, place, stage, whose, "its instruction: ")
    tell_segment(telling, *_segment_of(place, row.id), "its segment: ")


def _segment_of(place: Place, id_: str) -> tuple[Place, Segment]:
    return origin(place, SEGMENTS, Segment, lambda other: other.id == id_, f"the id {id_}")


def _assessed(path: Path) -> Path:
    """The folder of the round whose judge was tried."""
    folder = path.parent.parent
    return (BACK if folder.parent == ASSESSED else HUMPBACK) / folder.name


# A stage's folder → each file in it whose rows can be told: what they are, and who tells them.
Teller = Callable[[Telling, Place, Any], None]
_FORMS: dict[str, type[Combined]] = dict(
    zip(FORMS, (AsMessages, AsFinetuning, AsAlpaca), strict=True)
)
KINDS: dict[str, dict[str, tuple[type[Record], Teller]]] = {
    SEGMENTS.parent.name: {
        SEGMENTS.name: (Segment, tell_segment),
        REJECTED: (RejectedSegment, tell_segment),
    },
    SEED.name: {PAIRS: (SeedPair, _seed_pair), REVERSED: (Reversed, _reversed)},
    AUGMENTED.name: {PAIRS: (AugmentedPair, _augmented), REJECTED: (RejectedPair, _augmented)},
    CURATED.name: {PAIRS: (CuratedPair, _curated), KEPT: (CuratedPair, _curated)},
    "assess": {LABELLED: (Labelled, _labelled), SWAPPED: (Swap, _swap)},
    COMBINED.name: {
        f"{name}/{form}": (record, _combined) for name in SETS for form, record in _FORMS.items()
    },
    JUDGED.name: {ROWS: (JudgedRow, _judged), KEPT: (KeptRow, _kept)},
    IFD.name: {ROWS: (IfdRow, _ifd)},
}
