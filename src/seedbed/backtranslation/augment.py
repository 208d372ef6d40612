"""augment: segments → the instruction that each would answer (the paper's self-augmentation).

A model sees some pairs reversed, texts with the instruction that each answers, and then a segment.
That is the default, and no finetuning; with `backward: adapter` it sees none, and
llm.embedded.adapter names a model that was trained on seed pairs reversed. What it says is data:
checked, and refused with a reason, or kept as it is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from seedbed.backtranslation.demos import Demos, draw, read_curated, read_seed_pairs
from seedbed.backtranslation.errors import NothingAugmented
from seedbed.backtranslation.params import START, Augment, LongestDemo
from seedbed.backtranslation.prompts import Backward, Pair
from seedbed.backtranslation.rows import (
    BACK,
    PAIRS,
    REJECTED,
    SEGMENTS,
    AugmentedPair,
    RejectedPair,
    Segment,
)
from seedbed.core import draws
from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.rouge import RougeIndex, any_above, tokens
from seedbed.core.section import Section
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm

# Why an instruction is refused, beside what may be wrong with an answer.
REASONS = (
    *PROBLEMS,
    "cut",
    "too_short",
    "too_long",
    "demo_form",
    "copied_from_demo",
    "copied_from_text",
    "duplicate",
)
# Words in a row: more of an instruction that stand in the text, and it was copied from there.
_RUN = 4


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    augment: Augment
    seed_pairs: LongestDemo


@dataclass(frozen=True)
class Inputs:
    """start: the folder of what people wrote. before: that of the round before, or start again."""

    segments: Path = SEGMENTS
    start: Path = BACK / START
    before: Path = BACK / START


def requests(segments: Iterable[Segment], demos: Demos, params: Augment) -> Iterator[Request]:
    """One request a segment, in order."""
    backward = Backward()
    for segment in segments:
        filled = backward.fill(shown(segment, demos, params), segment.text)
        # Sampled, and yet the same in every clone. No two share a text, so only the demos.
        seed = draws.generator(params.seed, "sampling", segment.id).getrandbits(31)
        yield Request(filled.text, params.sampling, seed, prefixes=filled.prefixes[:-1])


def shown(segment: Segment, demos: Demos, params: Augment) -> list[Pair]:
    """The pairs that a segment's prompt shows."""
    if params.backward == "adapter":
        return []
    return demos.before(params.demos, segment.id, segment.text)


def instruction_of(text: str) -> str:
    """The instruction that an answer gives: its first line.

    >>> instruction_of(" Explain why bread rises.\\nText: Tea is")
    'Explain why bread rises.'
    """
    return next(iter(text.strip().splitlines()), "").strip()


def fault(
    instruction: str, text: str, shown: Sequence[str], index: RougeIndex, params: Augment
) -> str | None:
    """Why an instruction is no good for a text; None if it is.

    shown: the instructions of the demos. index: of these.
    """
    words = len(instruction.split())
    if words < params.min_words:
        return "too_short"
    if words > params.max_words:
        return "too_long"
    if instruction.lower().startswith(("text:", "request:")):
        return "demo_form"
    # Thresholds as they were written: 0.7 is seven tenths.
    threshold = Fraction(str(params.rouge_threshold))
    if shown and any_above(index.scores([instruction])[0], instruction, shown, threshold):
        return "copied_from_demo"
    runs = _runs(instruction)
    if len(runs & _runs(text)) > Fraction(str(params.max_copied)) * len(runs):
        return "copied_from_text"
    return None


def _runs(text: str) -> set[tuple[str, ...]]:
    words = tokens(text)
    return {words[start : start + _RUN] for start in range(len(words) - _RUN + 1)}


def augment(
    segments: Sequence[Segment], demos: Demos, params: Augment, ask: Ask
) -> tuple[list[AugmentedPair], list[RejectedPair]]:
    """The pairs that are kept, and those that are not, in the segments' order."""
    answers = list(ask(requests(segments, demos, params)))
    kept: list[AugmentedPair] = []
    rejected: list[RejectedPair] = []
    known: set[str] = set()
    indexes: dict[tuple[str, ...], RougeIndex] = {}
    for segment, answer in zip(segments, answers, strict=True):
        texts = tuple(pair.instruction for pair in shown(segment, demos, params))
        if texts not in indexes:
            indexes[texts] = RougeIndex(texts)
        pair = _pair(segment, answer)
        reason = answer.problem or _unfinished(answer)
        if reason is None:
            reason = fault(pair.instruction, segment.text, texts, indexes[texts], params)
        if reason is None and pair.instruction.lower() in known:
            reason = "duplicate"
        if reason is None:
            known.add(pair.instruction.lower())
            kept.append(pair)
        else:
            rejected.append(RejectedPair(**pair.model_dump(), reason=reason))
    return kept, rejected


def _unfinished(answer: Answer) -> str | None:
    """Whether the first line ran into the limit: a server may go on behind it."""
    return "cut" if answer.cut and len(answer.text.strip().splitlines()) < 2 else None


def _pair(segment: Segment, answer: Answer) -> AugmentedPair:
    return AugmentedPair(
        id=segment.id,
        instruction=instruction_of(answer.text),
        output=segment.text,
        document=segment.document,
        heading=segment.heading,
        license=segment.license,
        url=segment.url,
        key=answer.key,
    )


def metrics(kept: Sequence[AugmentedPair], rejected: Sequence[RejectedPair]) -> dict[str, Any]:
    """The stage's metrics."""
    lengths = [float(len(pair.instruction)) for pair in kept]
    average = mean(lengths)
    spread = mean([(length - average) ** 2 for length in lengths]) ** 0.5
    return {
        "augmented_pairs": len(kept),
        "augmented_rejected": len(rejected),
        "instruction_chars_mean": round(average, 3),
        "instruction_chars_sd": round(spread, 3),
        "augment_reasons": counts(REASONS, Counter(pair.reason for pair in rejected)),
    }


def read_demos(inputs: Inputs, params: Params) -> Demos:
    """The pairs that may be shown. Raises BadFile, BadRow."""
    own = params.augment
    curated = read_curated(inputs.before) if own.of_curated else []
    longest = params.seed_pairs.max_chars
    return draw(read_seed_pairs(inputs.start), curated, own.seed, longest)


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read segments and demos, ask, check; write the pairs, those refused, and metrics.

    Raises:
        NothingAugmented: no segment has an instruction.
        BadFile, BadRow: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    segments = list(read_rows(inputs.segments, Segment))
    demos = read_demos(inputs, params)
    with (
        Progress("augment", len(segments), "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        kept, rejected = augment(segments, demos, params.augment, engine.ask)
    if not kept:
        raise NothingAugmented(Counter(pair.reason for pair in rejected))
    write_files(
        {
            into.folder / PAIRS: map(to_line, kept),
            into.folder / REJECTED: map(to_line, rejected),
            into.metrics: to_json(with_tables(metrics(kept, rejected))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(kept))
