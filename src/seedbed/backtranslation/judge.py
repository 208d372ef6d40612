"""judge: rows to train on → how good the model finds each, and the best.

The judge of `curate` on the rows of any method, in the form of conversations: data/prepare has
such a file, and so may anybody's data. Refused rows keep their score and the reason.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.backtranslation.conversations import Conversation, read_conversations, with_score
from seedbed.backtranslation.demos import Demos, draw, read_seed_pairs
from seedbed.backtranslation.errors import NothingCurated
from seedbed.backtranslation.judging import REASONS, Asking, number_of_answers, parts, settle
from seedbed.backtranslation.params import START, Judge, LongestDemo
from seedbed.backtranslation.rows import BACK, KEPT, ROWS, JudgedRow
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.llm.params import Llm


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    judge: Judge
    seed_pairs: LongestDemo


@dataclass(frozen=True)
class Inputs:
    """rows: in place of judge.rows; None for that. start: the folder of what people wrote."""

    rows: Path | None = None
    start: Path = BACK / START


def judge(
    rows: Sequence[Conversation], demos: Demos, params: Judge, engine: Asking, source: str
) -> list[JudgedRow]:
    """All rows with their scores, in order. Raises NoScoreOfAny."""
    settled = settle(rows, parts(rows, demos, params, engine), params, "judge")
    return [
        JudgedRow(
            **scored.model_dump(),
            instruction=row.instruction,
            output=row.output,
            source=source,
            line=row.line,
            row_key=row.key,
        )
        for row, scored in zip(rows, settled, strict=True)
    ]


def metrics(rows: Sequence[JudgedRow]) -> dict[str, Any]:
    """The stage's metrics."""
    scores = [row.score for row in rows if row.score is not None]
    return {
        "judged_rows": len(rows),
        "judged_kept": sum(row.kept for row in rows),
        "judge_score_mean": mean(scores),
        "judge_no_score_share": share(len(rows) - len(scores), len(rows)),
        "judge_reasons": counts(REASONS, Counter(row.reason for row in rows if row.reason)),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read rows and demos, judge; write all rows, those that are kept, and metrics.

    Raises:
        NoScoreOfAny, NothingCurated: nothing would be left.
        ScoringNotOffered: the server cannot score, and the judge's way needs it.
        BadFile, BadRow: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    own = params.judge
    path = inputs.rows or Path(own.rows)
    rows = list(read_conversations(path))
    demos = draw(read_seed_pairs(inputs.start), [], own.seed, params.seed_pairs.max_chars)
    with (
        Progress("judge", number_of_answers(len(rows), own), "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        judged = judge(rows, demos, own, engine, str(path))
    kept = [row for row in judged if row.kept]
    if not kept:
        best = max(row.score for row in judged if row.score is not None)
        raise NothingCurated(path, len(rows), own.threshold or 0.0, best)
    write_files(
        {
            into.folder / ROWS: map(to_line, judged),
            into.folder / KEPT: (
                to_line(with_score(row, scored.score))
                for row, scored in zip(rows, judged, strict=True)
                if scored.kept
            ),
            into.metrics: to_json(with_tables(metrics(judged))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(judged))
