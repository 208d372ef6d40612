"""curate: pairs → how good the model finds each, and the best (the paper's self-curation).

A round goes on from the one before: its kept pairs are among those that the judge is shown, or a
model was trained on them, which llm.embedded.adapter names.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.backtranslation.demos import Demos, draw, read_curated, read_seed_pairs
from seedbed.backtranslation.errors import NothingCurated
from seedbed.backtranslation.judging import REASONS, Asking, number_of_answers, parts, settle
from seedbed.backtranslation.params import START, Curate, LongestDemo
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    KEPT,
    PAIRS,
    AugmentedPair,
    CuratedPair,
)
from seedbed.core.files import exists, read_rows, to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.llm.params import Llm


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    curate: Curate
    seed_pairs: LongestDemo


@dataclass(frozen=True)
class Inputs:
    """pairs: what is judged. start, before: as augment has them."""

    pairs: Path = BACK / "round-1" / AUGMENTED / PAIRS
    start: Path = BACK / START
    before: Path = BACK / START


def curate(
    pairs: Sequence[AugmentedPair], demos: Demos, params: Curate, engine: Asking
) -> list[CuratedPair]:
    """All pairs with their scores, in order. Raises NoScoreOfAny."""
    settled = settle(pairs, parts(pairs, demos, params, engine), params, "curate")
    return [
        CuratedPair(**scored.model_dump(), **pair.model_dump(exclude={"id"}))
        for pair, scored in zip(pairs, settled, strict=True)
    ]


def metrics(rows: Sequence[CuratedPair], before: Sequence[CuratedPair]) -> dict[str, Any]:
    """The stage's metrics. before: what the round before made of pairs; [] of the first."""
    kept = [row for row in rows if row.kept]
    scores = [row.score for row in rows if row.score is not None]
    earlier = {row.id: row.kept for row in before}
    both = [row for row in rows if row.id in earlier]
    return {
        "curated_pairs": len(kept),
        "curate_score_mean": mean(scores),
        "curate_no_score_share": share(len(rows) - len(scores), len(rows)),
        "curated_changed_share": share(sum(row.kept != earlier[row.id] for row in both), len(both)),
        "kept_instruction_chars_mean": mean([float(len(row.instruction)) for row in kept]),
        "curate_reasons": counts(REASONS, Counter(row.reason for row in rows if row.reason)),
    }


def read_demos(inputs: Inputs, params: Params) -> Demos:
    """The pairs that may be shown. Raises BadFile, BadRow."""
    curated = read_curated(inputs.before)
    longest = params.seed_pairs.max_chars
    return draw(read_seed_pairs(inputs.start), curated, params.curate.seed, longest)


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read pairs and demos, judge; write all pairs, those that are kept, and metrics.

    Raises:
        NoScoreOfAny, NothingCurated: nothing would be left.
        ScoringNotOffered: the server cannot score, and the judge's way needs it.
        BadFile, BadRow: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    own = params.curate
    pairs = list(read_rows(inputs.pairs, AugmentedPair))
    path = inputs.before / CURATED / PAIRS
    before = list(read_rows(path, CuratedPair)) if exists(path) else []
    demos = read_demos(inputs, params)
    with (
        Progress("curate", number_of_answers(len(pairs), own), "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        rows = curate(pairs, demos, own, engine)
    kept = [row for row in rows if row.kept]
    if not kept:
        best = max(row.score for row in rows if row.score is not None)
        raise NothingCurated(inputs.pairs, len(rows), own.threshold or 0.0, best)
    write_files(
        {
            into.folder / PAIRS: map(to_line, rows),
            into.folder / KEPT: map(to_line, kept),
            into.metrics: to_json(with_tables(metrics(rows, before))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(rows))
