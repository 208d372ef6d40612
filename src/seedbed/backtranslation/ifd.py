"""ifd: rows to train on → how much an instruction helps with its output, and the best rows.

Instruction-following difficulty (arXiv 2308.12032): the perplexity of an output after its
instruction, divided by that of the output alone. Near 1 the instruction hardly helps, and there is
something to learn; from 1 on the two do not fit. A small model ranks rows much as a large one does
(Superfiltering, arXiv 2402.00530), so that the packaged one does: two scorings a row. What is left
to compute of those is one exponential, so that nothing here is worth `seedbed.core.shards`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from seedbed.backtranslation.conversations import Conversation, read_conversations, with_score
from seedbed.backtranslation.errors import NothingFits
from seedbed.backtranslation.judging import Score, Scoring, fitting, per_token
from seedbed.backtranslation.params import Ifd
from seedbed.backtranslation.prompts import Forward
from seedbed.backtranslation.rows import KEPT, ROWS, IfdRow
from seedbed.core import draws
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.llm.params import Llm

# Why a row is not kept.
REASONS = ("nothing_scored", "misaligned", "too_easy")


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    ifd: Ifd


@dataclass(frozen=True)
class Inputs:
    """rows: in place of ifd.rows; None for that."""

    rows: Path | None = None


def scorings(rows: Sequence[Conversation]) -> Iterator[Scoring]:
    """What is scored: each output after its instruction, then all outputs alone."""
    forward = Forward()
    for row in rows:
        yield forward.fill([], row.instruction).text, f" {row.output}", ()
    for row in rows:
        yield forward.fill([], None).text, f" {row.output}", ()


def ifd(
    rows: Sequence[Conversation], scores: Sequence[Score | None], params: Ifd, source: str
) -> list[IfdRow]:
    """All rows with what they score, in order.

    scores: of `scorings`; None of what the model cannot take.
    """
    both = zip(rows, scores[: len(rows)], scores[len(rows) :], strict=True)
    found = [_row(row, after, alone, source) for row, after, alone in both]
    fits = [row for row in found if row.ifd is not None and row.ifd < 1]
    best = sorted(fits, key=lambda row: (-(row.ifd or 0), draws.rank(params.seed, "ifd", row.id)))
    # Of all rows, as the papers count; the share as it was written: 0.1 is a tenth.
    kept = {row.id for row in best[: math.ceil(Fraction(str(params.keep_share)) * len(rows))]}
    return [
        row.model_copy(
            update={"kept": row.id in kept, "reason": None if row.id in kept else _why_not(row)}
        )
        for row in found
    ]


def _row(row: Conversation, after: Score | None, alone: Score | None, source: str) -> IfdRow:
    conditioned = per_token(after) if after else None
    by_itself = per_token(alone) if alone else None
    both = conditioned is not None and by_itself is not None
    return IfdRow(
        id=row.id,
        instruction=row.instruction,
        output=row.output,
        source=source,
        line=row.line,
        row_key=row.key,
        # A thousand nats would be no number.
        ifd=round(math.exp(min(by_itself - conditioned, 100.0)), 6)
        if conditioned is not None and by_itself is not None
        else None,
        conditioned=conditioned if both else None,
        alone=by_itself if both else None,
        kept=False,
        reason=None,
        keys=[score.key for score in (after, alone) if score],
    )


def _why_not(row: IfdRow) -> str:
    if row.ifd is None:
        return "nothing_scored"
    return "misaligned" if row.ifd >= 1 else "too_easy"


def metrics(rows: Sequence[IfdRow]) -> dict[str, Any]:
    """The stage's metrics."""
    values = [row.ifd for row in rows if row.ifd is not None]
    return {
        "ifd_rows": len(rows),
        "ifd_kept": sum(row.kept for row in rows),
        "ifd_mean": mean(values),
        "ifd_misaligned": sum(value >= 1 for value in values),
        "ifd_reasons": counts(REASONS, Counter(row.reason for row in rows if row.reason)),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read rows, score; write all rows with what they score, those that are kept, and metrics.

    Raises:
        NothingFits: no instruction helps with its output.
        ScoringNotOffered: the server cannot score.
        BadFile, BadRow: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    path = inputs.rows or Path(params.ifd.rows)
    rows = list(read_conversations(path))
    with (
        Progress("ifd", 2 * len(rows), "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        wanted = list(scorings(rows))
        fits = fitting([prompt + text for prompt, text, _ in wanted], engine)
        scored = engine.score(one for one, may in zip(wanted, fits, strict=True) if may)
        scores = [next(scored) if may else None for may in fits]
        found = ifd(rows, scores, params.ifd, str(path))
    if not any(row.kept for row in found):
        raise NothingFits(path, Counter(row.reason or "" for row in found))
    write_files(
        {
            into.folder / ROWS: map(to_line, found),
            into.folder / KEPT: (
                to_line(with_score(row, scored.ifd))
                for row, scored in zip(rows, found, strict=True)
                if scored.kept
            ),
            into.metrics: to_json(with_tables(metrics(found))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(found))
