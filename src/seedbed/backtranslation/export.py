"""The forms in which instruction backtranslation's data is handed on."""

import re
from collections.abc import Callable
from typing import Any

from seedbed.backtranslation.params import START
from seedbed.backtranslation.rows import (
    BACK,
    COMBINED,
    CURATED,
    IFD,
    JUDGED,
    KEPT,
    PAIRS,
    PIPELINE,
    ROWS,
    SEED,
    IfdRow,
    JudgedRow,
    Scored,
    SeedPair,
)
from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.runs.forms import Export, Form, Origin, Scores, made_with
from seedbed.runs.pipeline import Pipeline

PAPER = "https://arxiv.org/abs/2308.06259"
# What it has of what people wrote, and of what was curated.
SET = COMBINED / "seed_and_curated"
STAGE = f"{PIPELINE}:combine"


class About(Record):
    """Where a row came from (combine).

    source: `seed`, a pair that people wrote; or `augmented`, a text with the instruction that a
        model guessed, of the answer `key`. license, url: the text's; of a seed pair what its
        conversation says, else null.
    """

    id: str
    source: str
    license: str | None
    url: str | None
    key: str | None


class FinetuningRow(About):
    """A prompt and its completion."""

    prompt: str
    completion: str


class Turn(Record):
    """A message."""

    role: str
    content: str


class MessagesRow(About):
    """The turns; the first tells where the row came from, if combine.tag is `system`."""

    messages: list[Turn]


class AlpacaRow(About):
    """system: what the first of the messages says; null where there is none."""

    instruction: str
    input: str
    output: str
    system: str | None


def is_text_of_others(row: Any) -> bool:
    """Whether the output is a document's, word for word, or a seed pair names a licence."""
    return bool(row.source == "augmented" or (row.license or "").strip())


def origins(pipeline: Pipeline) -> Callable[[AlpacaRow], Origin]:
    """A pair that people wrote came from its task, an augmented one from its segment.

    Of what the run did not make a row came from what is called as it is. Raises BadFile, BadRow,
    NotOneRun.
    """
    tasks: dict[str, str] = {}
    if made_with(pipeline, STAGE, path := BACK / START / SEED / PAIRS):
        tasks = {pair.id: pair.task for pair in read_rows(path, SeedPair)}
    scores: dict[str, float | None] = {}
    last = BACK / str(pipeline.parameter(STAGE, "backtranslation.last"))
    if made_with(pipeline, STAGE, path := last / CURATED / KEPT):
        scores = {row.id: row.score for row in read_rows(path, Scored)}

    def origin(row: AlpacaRow) -> Origin:
        if row.source == "augmented":
            return Origin((row.id,), (row.key,) if row.key else (), score=scores.get(row.id))
        # What stands there several times is numbered.
        first = re.sub(r"#[0-9]+\Z", "", row.id)
        return Origin((tasks.get(row.id) or tasks.get(first) or first,), ())

    return origin


def pair(row: AlpacaRow) -> tuple[str, str]:
    """Instruction and output; there is no input."""
    return row.instruction, row.output


EXPORT = Export(
    name="Backtranslation",
    source=PAPER,
    category="text-generation",
    limits=(
        "In `backtranslation`, the outputs are parts of documents that nobody wrote as answers, "
        "and the instructions are a model's guesses. A model judged which of them fit; how well it "
        "can is measured by the stage `assess`.",
    ),
    terms="In `backtranslation`, rows whose `source` is `augmented` have another's text as output: "
    "the licence of each holds too.",
    origins="of backtranslation, the segment of a document, which is the output, or the task that "
    "a pair of people's was made of",
    forms=(
        Form(
            "backtranslation",
            STAGE,
            FinetuningRow,
            {"train": SET / "finetuning.jsonl"},
            ("prompt", "completion"),
            "`prompt` and `completion`: pairs that people wrote (`source` is `seed`), and texts of "
            "documents with the instruction that a model guessed (`augmented`)",
            owes=is_text_of_others,
        ),
        Form(
            "backtranslation_messages",
            STAGE,
            MessagesRow,
            {"train": SET / "messages.jsonl"},
            (),
            "the same rows as `messages` of a user and an assistant, and before them one of the "
            "system that tells the two sources apart, unless `combine.tag` has it otherwise",
            owes=is_text_of_others,
        ),
        Form(
            "backtranslation_alpaca",
            STAGE,
            AlpacaRow,
            {"train": SET / "alpaca.jsonl"},
            ("instruction", "input", "output"),
            "the same rows as `instruction`, `input` (empty) and `output`",
            owes=is_text_of_others,
            origins=origins,
            pair=pair,
        ),
    ),
    scores=(
        Scores(
            "judge_score",
            f"{PIPELINE}:judge",
            JUDGED / ROWS,
            JudgedRow,
            lambda row: row.score,
        ),
        Scores("ifd_score", f"{PIPELINE}:ifd", IFD / ROWS, IfdRow, lambda row: row.ifd),
    ),
)
