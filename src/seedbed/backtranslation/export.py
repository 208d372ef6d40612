"""The forms in which instruction backtranslation's data is handed on."""

from typing import Any

from seedbed.backtranslation.rows import COMBINED, PIPELINE
from seedbed.core.records import Record
from seedbed.runs.forms import Export, Form

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
        ),
    ),
)
