"""What backtranslation's stages ask first, and what becomes of the answers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seedbed.backtranslation import assess, augment, curate, ifd, judge
from seedbed.backtranslation.conversations import read_conversations
from seedbed.backtranslation.demos import Demos, draw, read_curated, read_seed_pairs
from seedbed.backtranslation.judging import fitting, parts, score_of
from seedbed.backtranslation.params import Judging
from seedbed.backtranslation.prompts import Pair
from seedbed.backtranslation.rows import AugmentedPair, RejectedPair, Segment
from seedbed.core.files import read_rows
from seedbed.core.paths import PROMPTS
from seedbed.llm.params import Llm
from seedbed.runs.preview import Look, Preview, Sample, fields, kept_by, one_each


def _augment(params: augment.Params, inputs: augment.Inputs, look: Look) -> Iterator[Sample]:
    segments = list(read_rows(inputs.segments, Segment))[: look.rows]
    demos = augment.read_demos(inputs, params)
    with look.opened(params.llm) as engine:
        kept, rejected = augment.augment(segments, demos, params.augment, engine.ask)
        asked = engine.taken()
    rows: dict[str, AugmentedPair | RejectedPair] = {row.id: row for row in (*kept, *rejected)}
    made = [rows[segment.id] for segment in segments]
    for sample, segment in zip(one_each(asked, map(_without_text, made)), segments, strict=True):
        shots = "few" if augment.shown(segment, demos, params.augment) else "zero"
        yield replace(sample, made_from=[PROMPTS / f"augment/{shots}_shot.txt"])


def _without_text(row: AugmentedPair | RejectedPair) -> dict[str, Any]:
    names = ("instruction", "reason") if isinstance(row, RejectedPair) else ("instruction",)
    return fields(row, *names)


def _judged(
    pairs: Sequence[Pair], demos: Demos, params: Judging, llm: Llm, pool: Sequence[Pair], look: Look
) -> Iterator[Sample]:
    """A sample a pair, each judged as among all. pool: see `judging.parts`."""
    rule = kept_by(params.threshold, params.keep_share)
    files = [PROMPTS / name for name in _files(params)]
    with look.opened(llm) as engine:
        for pair in pairs[: look.rows]:
            (measured,) = parts([pair], demos, params, engine, pool)
            score, reason = score_of(measured, params)
            why = {"reason": reason} if reason else {}
            made = {"score": score, **why}
            yield Sample(engine.taken(), [made], pair.instruction, "" if reason else rule, files)


def _files(params: Judging) -> list[str]:
    """The prompt files by which a judge asks."""
    if params.by in ("rating", "expected"):
        return [f"curate/{params.rubric}{'_digit' if params.by == 'expected' else ''}.txt"]
    shots = "few_shot" if params.demos else "zero_shot"
    if params.direction == "backward":
        return [f"augment/{shots}.txt"]
    return [f"curate/{shots}.txt", f"curate/{'few_shot_alone' if params.demos else 'alone'}.txt"]


def _curate(params: curate.Params, inputs: curate.Inputs, look: Look) -> Iterator[Sample]:
    pairs = list(read_rows(inputs.pairs, AugmentedPair))
    demos = curate.read_demos(inputs, params)
    return _judged(pairs, demos, params.curate, params.llm, pairs, look)


def _judge(params: judge.Params, inputs: judge.Inputs, look: Look) -> Iterator[Sample]:
    own = params.judge
    rows = list(read_conversations(inputs.rows or Path(own.rows)))
    demos = draw(read_seed_pairs(inputs.start), [], own.seed, params.seed_pairs.max_chars)
    return _judged(rows, demos, own, params.llm, rows, look)


def _assess(params: assess.Params, inputs: assess.Inputs, look: Look) -> Iterator[Sample]:
    """Of the true pairs: a run asks the same of swapped ones."""
    labels = assess.read_labels(Path(params.assess.labels))
    pairs = assess.by_hand(list(read_rows(inputs.segments, Segment)), labels)
    known = {pair.id for pair in pairs}
    curated = [row for row in read_curated(inputs.before) if row.id not in known]
    longest = params.seed_pairs.max_chars
    demos = draw(read_seed_pairs(inputs.start), curated, params.curate.seed, longest)
    for sample in _judged(pairs, demos, params.curate, params.llm, pairs, look):
        later = "a run compares it with the score of the same text under others' instructions"
        yield replace(sample, later=later)


def _ifd(params: ifd.Params, inputs: ifd.Inputs, look: Look) -> Iterator[Sample]:
    path = inputs.rows or Path(params.ifd.rows)
    # Whether a row is among the best of all is not known.
    all_kept = params.ifd.model_copy(update={"keep_share": 1.0})
    with look.opened(params.llm) as engine:
        for row in list(read_conversations(path))[: look.rows]:
            wanted = list(ifd.scorings([row]))
            fits = fitting([prompt + text for prompt, text, _ in wanted], engine)
            scored = engine.score(one for one, may in zip(wanted, fits, strict=True) if may)
            scores = [next(scored) if may else None for may in fits]
            (found,) = ifd.ifd([row], scores, all_kept, str(path))
            names = ["conditioned", "alone", "ifd", *(["reason"] if found.reason else [])]
            yield Sample(
                engine.taken(),
                [fields(found, *names)],
                row.instruction,
                "" if found.reason else kept_by(None, params.ifd.keep_share),
                [PROMPTS / "curate/zero_shot.txt", PROMPTS / "curate/alone.txt"],
            )


PREVIEWS = {
    "augment": Preview(_augment, "augment"),
    "curate": Preview(_curate, "curate"),
    "assess": Preview(_assess, "curate"),
    "judge": Preview(_judge, "curate"),
    "ifd": Preview(_ifd, "curate"),
}
