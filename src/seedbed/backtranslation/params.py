"""The sections of params.yaml."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from seedbed.core.section import Section, place
from seedbed.llm.contract.request import Sampling

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
# The folder of what people wrote, which the first round goes on from.
START = "start"

By = Literal["contrast", "gain", "expected", "rating"]
Direction = Literal["backward", "forward"]
Rubric = Literal["points", "checklist"]


def _name(text: str) -> str:
    # It becomes a part of a path, and of a stage's name.
    if not _NAME.fullmatch(text):
        raise ValueError("a name has at most 60 of A-Z a-z 0-9 _ -, the first a letter")
    return text


def _or_none(text: str | None) -> str | None:
    return (text or "").strip() or None


_Path = Annotated[str, Field(min_length=1), AfterValidator(place)]
Name = Annotated[str, AfterValidator(_name)]
Share = Annotated[float, Field(gt=0, le=1)]


def _crossed(what: str, least: int, most: int) -> str:
    return f"min_{what}, {least}, is above max_{what}, {most}"


class Round(Section):
    """A round of curation. before: the one whose kept pairs it goes on from; `start` for none."""

    before: Name


class Backtranslation(Section):
    """The rounds, in order; pipelines/backtranslation/dvc.yaml has the stages for each.

    last: the one of which `combine` takes the pairs.
    """

    rounds: dict[Name, Round] = Field(min_length=1)
    last: Name

    @model_validator(mode="after")
    def _is_a_chain(self) -> "Backtranslation":
        known = {START}
        for name, one in self.rounds.items():
            if name == START:
                raise ValueError(f"round {name}: that is the name of what people wrote")
            if one.before not in known:
                later = "it is a later round" if one.before in self.rounds else "there is none"
                raise ValueError(f"round {name} goes on from {one.before}, but {later}")
            known.add(name)
        if self.last not in self.rounds:
            raise ValueError(f"last: there is no round {self.last}")
        return self


class Segments(Section):
    """Documents, cut by heading into texts that may be answers.

    folder: of .md, .txt, .html, .jsonl and .parquet files, in folders of their own too.
    license: of documents that name none; null, or blank, for none.
    header_levels: of headings, down to which a segment may begin with one.
    min_chars, max_chars: of a segment's text, as it is kept.
    refused_headers: words that a heading of navigation or advertising has, in any case.
    max_repeated: at most this share of a segment's sentences may be like another of them.
    near_duplicate: two texts of which the shingles have this Jaccard similarity are one.
    refuse_contacts: refuse texts with an e-mail address or a telephone number.
    max_segments: so many at most, at random; null for all.
    """

    folder: _Path
    license: Annotated[str | None, AfterValidator(_or_none)]
    header_levels: int = Field(ge=1, le=6)
    min_chars: PositiveInt
    max_chars: PositiveInt
    refused_headers: list[Annotated[str, Field(pattern=r"\S")]]
    max_repeated: float = Field(ge=0, le=1)
    near_duplicate: float = Field(gt=0, le=1)
    refuse_contacts: bool
    max_segments: PositiveInt | None
    seed: int

    @model_validator(mode="after")
    def _has_room(self) -> "Segments":
        if self.min_chars > self.max_chars:
            raise ValueError(_crossed("chars", self.min_chars, self.max_chars))
        return self


class SeedPairs(Section):
    """Pairs that people wrote.

    file: tasks in the seed tasks' form, or conversations of one question and its answer.
    min_chars, max_chars: only pairs without an input, whose output is as long, are shown.
    """

    file: _Path
    min_chars: PositiveInt
    max_chars: PositiveInt

    @model_validator(mode="after")
    def _has_room(self) -> "SeedPairs":
        if self.min_chars > self.max_chars:
            raise ValueError(_crossed("chars", self.min_chars, self.max_chars))
        return self


class LongestDemo(Section):
    """What the stages that show pairs read of that: the longest, in characters."""

    max_chars: int


class Augment(Section):
    """The instruction that a text would answer.

    backward: few_shot (the prompt shows pairs) or adapter (a model that was trained on seed pairs
        reversed: it is shown none). demos: so many are shown; of_curated: of the round before, too.
    min_words, max_words: of an instruction.
    max_copied: at most this share of its runs of four words may stand in the text.
    rouge_threshold: an instruction whose ROUGE-L F1 with one that was shown is above this is its
        copy.
    """

    backward: Literal["few_shot", "adapter"]
    demos: PositiveInt
    of_curated: bool
    min_words: PositiveInt
    max_words: PositiveInt
    max_copied: float = Field(ge=0, le=1)
    rouge_threshold: float = Field(ge=0, le=1)
    sampling: Sampling
    seed: int

    @model_validator(mode="after")
    def _has_room(self) -> "Augment":
        if self.min_words > self.max_words:
            raise ValueError(_crossed("words", self.min_words, self.max_words))
        return self


class Judging(Section):
    """How pairs are judged.

    by: contrast (a text's mean log-probability a token, less its mean with the other texts of
        `swapped` pairs), gain (less that with none), expected (the mean of five digits by how
        likely each is as a rating) or rating (what an answer ends with).
    direction: of the first two: backward (of the instruction after the output) or forward (of the
        output's first `score_words` words after the instruction; null for all of them).
    rubric: of the last two: points (five of them, the paper's) or checklist (one a criterion).
    demos: pairs that the first two show before.
    samples: of the last: so many answers, of which the ratings' mean is taken.
    threshold, keep_share: one of them: at least this score; or this share of all, the best ones.
    """

    by: By
    direction: Direction
    rubric: Rubric
    demos: int = Field(ge=0)
    swapped: PositiveInt
    score_words: PositiveInt | None
    samples: PositiveInt
    threshold: float | None
    keep_share: Share | None
    sampling: Sampling
    seed: int

    @model_validator(mode="after")
    def _has_one_bound(self) -> "Judging":
        if (self.threshold is None) == (self.keep_share is None):
            raise ValueError("exactly one of threshold and keep_share must be null")
        # Ratings are from 1 to 5; the other two have no bounds.
        least = 1 if self.threshold is None else self.threshold
        if self.by in ("expected", "rating") and not 1 <= least <= 5:
            raise ValueError(f"threshold, {least:g}, must be from 1 to 5 with by: {self.by}")
        return self


class Curate(Judging):
    """How augmented pairs are judged."""


class Judge(Judging):
    """How rows are judged. rows: a file in the form of messages (data/prepare has one)."""

    rows: _Path


class Ifd(Section):
    """Instruction-following difficulty. rows: as in `judge`.

    keep_share: this share of all rows, the highest of those that fit.
    """

    rows: _Path
    keep_share: Share
    seed: int


class Assess(Section):
    """How good the judge is.

    labels: what people say of documents' sections. resamples: for an interval of the AUC.
    """

    labels: _Path
    resamples: int = Field(ge=100, le=1_000_000)
    seed: int


class Ratings(Section):
    """What people say of rows.

    rows: the file that they rated. resamples: for an interval of the AUC.
    """

    rows: _Path
    resamples: int = Field(ge=100, le=1_000_000)
    seed: int


class Combine(Section):
    """Sets to train on.

    tag: system (a message of its own, in the form that has one, else a line before), prefix (a
        line before the instruction) or none. system_seed, system_augmented: the tags.
    seed_times: each seed pair stands so many times in what it is mixed into.
    """

    tag: Literal["system", "prefix", "none"]
    system_seed: str = Field(pattern=r"\S")
    system_augmented: str = Field(pattern=r"\S")
    seed_times: PositiveInt
    seed: int


class Sections(Section):
    """All sections of instruction backtranslation."""

    backtranslation: Backtranslation
    segment: Segments
    seed_pairs: SeedPairs
    augment: Augment
    curate: Curate
    assess: Assess
    combine: Combine
    judge: Judge
    ifd: Ifd
    ratings: Ratings
