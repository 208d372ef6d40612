"""What instruction backtranslation would ask: its stages as far as answers and files are there.

All rounds of a stage are one line, and are looked up together: a round that asks what one before
has asked sends nothing. Texts that nobody has cut or written yet are stood in for, and each line
says so. A line is of requests or of scorings, never of both, so that no scoring is taken for an
answer as long as those that are there.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from math import ceil
from pathlib import Path

from seedbed.backtranslation import augment, seed_pairs
from seedbed.backtranslation.assess import ByHand, by_hand, read_labels, swaps
from seedbed.backtranslation.conversations import read_conversations
from seedbed.backtranslation.demos import Demos, draw, read_curated, read_seed_pairs
from seedbed.backtranslation.documents import list_files
from seedbed.backtranslation.ifd import scorings
from seedbed.backtranslation.judging import Scoring, Weighing, ratings, wanted, weighings
from seedbed.backtranslation.params import START, Augment, Judging, Sections
from seedbed.backtranslation.prompts import Pair
from seedbed.backtranslation.rows import (
    AUGMENTED,
    BACK,
    CURATED,
    PAIRS,
    SEED,
    SEGMENTS,
    AugmentedPair,
    CuratedPair,
    SeedPair,
    Segment,
)
from seedbed.core.files import exists, read_rows
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.runs.dry_run import Foreseen, Foresight, some_rows

# What stands in for the text of a segment, as often as it takes.
WORDS = "So that is what they say about it, and there is more to come. "


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """A line a stage. What is wrong with a file that one reads is told there, and stops no other.

    Raises:
        StoreFailed, RowsDamaged: of the response store.
    """
    looking = Looking(params, foresight)
    looking.at_rounds()
    looking.at_assessing()
    looking.at_rows()
    looking.at_ifd()
    return [looking.augment, looking.curate, looking.assess, looking.judge, looking.ifd]


@contextmanager
def _told(*lines: Foreseen, of: str = "") -> Iterator[None]:
    """What is wrong with a file is its stage's affair, and here a guess. of: the round."""
    try:
        yield
    except (BadFile, BadRow) as error:
        for line in lines:
            line.guess(f"requests: none{of and f' of {of}'}: {str(error).partition(chr(10))[0]}")


@dataclass
class Recorded:
    """An engine that notes what it is asked, and has no answer to it."""

    asked: list[Request] = field(default_factory=list)
    scored: list[Scoring] = field(default_factory=list)
    weighed: list[Weighing] = field(default_factory=list)
    # As if the model could take everything.
    context: int | None = None

    def count_tokens(self, texts: Sequence[str]) -> None:
        """Nobody says how long they are."""

    def ask(self, requests: Iterable[Request]) -> Iterator[Answer]:
        before = len(self.asked)
        self.asked += requests
        return (Answer("", "", None, {}, "empty") for _ in self.asked[before:])

    def score(self, texts: Iterable[Scoring]) -> Iterator["Nothing"]:
        before = len(self.scored)
        self.scored += texts
        return (Nothing() for _ in self.scored[before:])

    def weigh(self, options: Iterable[Weighing]) -> Iterator[list["Nothing"]]:
        before = len(self.weighed)
        self.weighed += options
        return ([Nothing() for _ in texts] for _, texts, _ in self.weighed[before:])


@dataclass(frozen=True)
class Nothing:
    """A scoring of no token."""

    key: str = ""
    logprobs: list[float] = field(default_factory=list)
    total: float = 0.0


@dataclass
class Looking:
    """The lines, and what several of them are made of.

    seed: the pairs that people wrote; None if they cannot be read. pairs: those of each round.
    """

    params: Sections
    foresight: Foresight
    augment: Foreseen = field(default_factory=lambda: Foreseen("augment"))
    curate: Foreseen = field(default_factory=lambda: Foreseen("curate"))
    assess: Foreseen = field(default_factory=lambda: Foreseen("assess"))
    judge: Foreseen = field(default_factory=lambda: Foreseen("judge"))
    ifd: Foreseen = field(default_factory=lambda: Foreseen("ifd"))
    seed: list[SeedPair] | None = None
    segments: list[Segment] | None = None
    pairs: dict[str, list[AugmentedPair]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with _told(self.augment, self.curate, self.assess, self.judge):
            self.seed = self._read_seed()
        with _told(self.augment, self.curate, self.assess):
            self.segments = self._read_segments()

    def _read_seed(self) -> list[SeedPair]:
        if exists(BACK / START / SEED):
            return read_seed_pairs(BACK / START)
        own = self.params.seed_pairs
        for line in (self.augment, self.curate, self.assess, self.judge):
            line.guess(f"prompts: as if the seed pairs were those of {own.file} as it is")
        return list(seed_pairs.pairs(Path(own.file), own))

    def _read_segments(self) -> list[Segment]:
        if exists(SEGMENTS):
            return list(read_rows(SEGMENTS, Segment))
        own = self.params.segment
        folder, size = Path(own.folder), (own.min_chars + own.max_chars) // 2
        files = [folder / name for name in list_files(folder)]
        all_bytes = sum(path.stat().st_size for path in files if exists(path))
        number = ceil(all_bytes / size)
        if own.max_segments is not None:
            number = min(number, own.max_segments)
        for line in (self.augment, self.curate):
            line.guess(
                f"requests: {number:,} segments, as if all {all_bytes:,} bytes of {folder} were "
                f"cut into texts of {size:,} characters"
            )
        return [_stand_in(n, size) for n in range(number)]

    def at_rounds(self) -> None:
        """What the rounds ask for instructions, and then of the pairs."""
        if self.seed is None or self.segments is None:
            return
        rounds = self.params.backtranslation.rounds
        guessed = [_pair(n, one, self.seed) for n, one in enumerate(self.segments)]
        asked: dict[str, Demos] = {}
        for name, one in rounds.items():
            with _told(self.augment, self.curate, of=name):
                asked[name] = self._demos_of_augment(name, one.before, guessed)
        with _told(self.augment, self.curate):
            self._augment(asked, guessed)
        judged = []
        for name, pairs in self.pairs.items():
            with _told(self.curate, of=name):
                curated = self._curated(self.curate, name, rounds[name].before)
                judged.append((pairs, self._demos(curated)))
        with _told(self.curate):
            self._judge(self.curate, judged, self.params.curate)

    def _demos_of_augment(self, name: str, before: str, guessed: list[AugmentedPair]) -> Demos:
        own, curated = self.params.augment, list[CuratedPair]()
        if own.of_curated and own.backward == "few_shot" and own.demos > 1 and before != START:
            if exists(BACK / before / CURATED):
                curated = read_curated(BACK / before)
            else:
                curated = _kept(guessed, self.params.seed_pairs.max_chars)
                self.augment.guess(f"prompts: as if {name} were shown any pairs of {before}")
        longest = self.params.seed_pairs.max_chars
        return draw(self.seed or [], curated, own.seed, longest)

    def _augment(self, asked: dict[str, Demos], guessed: list[AugmentedPair]) -> None:
        own, segments = self.params.augment, self.segments or []
        answers = self.foresight.look_up(
            self.augment,
            chain.from_iterable(augment.requests(segments, one, own) for one in asked.values()),
        )
        for name, demos in asked.items():
            found = list(islice(answers, len(segments)))
            path = BACK / name / AUGMENTED / PAIRS
            known = [
                (segment, answer)
                for segment, answer in zip(segments, found, strict=True)
                if answer is not None
            ]
            if len(known) < len(segments) and exists(path):
                with _told(self.curate, of=name):
                    self.pairs[name] = list(read_rows(path, AugmentedPair))
                    self.curate.guess(f"requests: as if the pairs of {name} stayed as they are")
                continue
            by_id = {pair.id: pair for pair in _instructed(known, demos, own)}
            for answer, pair in zip(found, guessed, strict=True):
                if answer is None:
                    by_id[pair.id] = pair
            self.pairs[name] = [by_id[one.id] for one in segments if one.id in by_id]
            if len(known) < len(segments):
                self.curate.guess("requests: as if no instruction to be written were refused")

    def _curated(self, line: Foreseen, name: str, before: str) -> list[CuratedPair]:
        """The pairs that a round's judge may be shown, of those that the one before kept."""
        own = self.params.curate
        shows = own.by in ("contrast", "gain") and own.demos > 1
        if before == START or not shows:
            return []
        if exists(BACK / before / CURATED):
            return read_curated(BACK / before)
        line.guess(f"prompts: as if {name} were shown any pairs of {before}")
        return _kept(self.pairs.get(before, []), self.params.seed_pairs.max_chars)

    def _demos(self, curated: list[CuratedPair]) -> Demos:
        longest = self.params.seed_pairs.max_chars
        return draw(self.seed or [], curated, self.params.curate.seed, longest)

    def _judge(
        self, line: Foreseen, judged: Sequence[tuple[Sequence[Pair], Demos]], own: Judging
    ) -> None:
        """Look up what is asked of pairs, as `judging.parts` asks it."""
        look = self.foresight
        if own.by == "rating":
            _all(look.look_up(line, chain.from_iterable(ratings(p, own) for p, _ in judged)))
        elif own.by == "expected":
            options = (weighings(pairs, own) for pairs, _ in judged)
            look.look_up_options(line, chain.from_iterable(options))
        else:
            texts = (wanted(pairs, demos, own) for pairs, demos in judged)
            look.look_up_scores(line, (one.scoring for one in chain.from_iterable(texts)))

    def at_assessing(self) -> None:
        """What the judge of each round is asked of the pairs by hand, and of swapped ones."""
        if self.seed is None or self.segments is None:
            return
        recorded = Recorded()
        with _told(self.assess):
            pairs = self._by_hand(self.segments)
            known = {pair.id for pair in pairs}
            for name, one in self.params.backtranslation.rounds.items():
                with _told(self.assess, of=name):
                    curated = self._curated(self.assess, name, one.before)
                    shown = [row for row in curated if row.id not in known]
                    swaps(pairs, self._demos(shown), self.params.curate, recorded)
            _all(self.foresight.look_up(self.assess, recorded.asked))
            self.foresight.look_up_options(self.assess, recorded.weighed)
            self.foresight.look_up_scores(self.assess, recorded.scored)

    def _by_hand(self, segments: list[Segment]) -> list[ByHand]:
        labels = read_labels(Path(self.params.assess.labels))
        if exists(SEGMENTS):
            return by_hand(segments, labels)
        self.assess.guess("requests: as if each section that is labelled good were a segment")
        size = (self.params.segment.min_chars + self.params.segment.max_chars) // 2
        return [
            ByHand(f"{n}", label.instruction.strip(), _stand_in(n, size).text)
            for n, label in enumerate(labels.values())
            if label.good and label.instruction is not None
        ]

    def at_rows(self) -> None:
        """What the judge is asked of other rows."""
        own = self.params.judge
        if self.seed is None or not _is_there(self.judge, own.rows):
            return
        with _told(self.judge), some_rows(self.judge, Path(own.rows)) as (folder, part):
            rows = list(read_conversations(folder / Path(own.rows).name))
            demos = draw(self.seed, [], own.seed, self.params.seed_pairs.max_chars)
            self._judge(part, [(rows, demos)], own)

    def at_ifd(self) -> None:
        """What is scored for instruction-following difficulty."""
        own = self.params.ifd
        if _is_there(self.ifd, own.rows):
            with _told(self.ifd), some_rows(self.ifd, Path(own.rows)) as (folder, part):
                rows = list(read_conversations(folder / Path(own.rows).name))
                self.foresight.look_up_scores(part, scorings(rows))


def _is_there(line: Foreseen, path: str) -> bool:
    with _told(line):
        if exists(Path(path)):
            return True
        line.guess(f"requests: {path} has no rows yet")
    return False


def _stand_in(number: int, size: int) -> Segment:
    """A segment that is yet to be cut: as long as one may be, and told like no other."""
    text = (f"{number} " + WORDS * ceil(size / len(WORDS)))[:size]
    return Segment(
        id=f"{number}",
        document="",
        heading=[],
        text=text,
        first_line=1,
        last_line=1,
        license=None,
        url=None,
    )


def _pair(number: int, segment: Segment, seed: Sequence[SeedPair]) -> AugmentedPair:
    """A segment with an instruction that is yet to be written: one of those that are shown."""
    shown = [pair.instruction for pair in seed if pair.demo] or [WORDS.strip()]
    return AugmentedPair(
        id=segment.id,
        instruction=f"{shown[number % len(shown)]} {number}",
        output=segment.text,
        document=segment.document,
        heading=segment.heading,
        license=segment.license,
        url=segment.url,
        key="",
    )


def _instructed(
    known: Sequence[tuple[Segment, Answer]], demos: Demos, params: Augment
) -> list[AugmentedPair]:
    """The pairs that are made of answers that are there."""
    segments = [segment for segment, _ in known]
    return augment.augment(segments, demos, params, lambda _: [one for _, one in known])[0]


def _kept(pairs: Sequence[AugmentedPair], longest: int) -> list[CuratedPair]:
    """Pairs as if a round had kept them all, none too long for the next to show it."""
    judged: dict[str, object] = {"score": 0.0, "kept": True, "reason": None, "parts": []}
    return [
        CuratedPair.model_validate({**pair.model_dump(), **judged, "output": pair.output[:longest]})
        for pair in pairs
    ]


def _all(answers: Iterator[object]) -> None:
    for _ in answers:
        pass
