"""Which pairs a prompt shows: some that people wrote, and some that were kept a round before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from seedbed.backtranslation.prompts import Pair
from seedbed.backtranslation.rows import CURATED, KEPT, PAIRS, SEED, CuratedPair, SeedPair
from seedbed.core import draws
from seedbed.core.files import exists, read_rows
from seedbed.errors import BadFile


@dataclass(frozen=True)
class Demos:
    """The same for all prompts of a run, so that a server evaluates them once.

    seed: pairs that people wrote, in a random order. curated: likewise those kept a round before,
    which take half of the places, rounded down.
    """

    seed: Sequence[Pair]
    curated: Sequence[Pair]

    def before(self, number: int, *asked: str) -> list[Pair]:
        """So many, curated ones first, then those by people; none that is asked about.

        asked: what the prompt is about: ids, instructions and outputs. A model would repeat what it
            has just been shown; and a row may stand in a file of seed pairs, under another id.
        """
        own = list(islice(_others(self.curated, asked), number // 2))
        return [*own, *islice(_others(self.seed, asked), number - len(own))]


def _others(pairs: Sequence[Pair], asked: Sequence[str]) -> Iterator[Pair]:
    return (
        pair
        for pair in pairs
        if pair.id not in asked and pair.instruction not in asked and pair.output not in asked
    )


def draw(
    seed_pairs: Sequence[SeedPair], curated: Sequence[CuratedPair], seed: int, longest: int | None
) -> Demos:
    """The pairs in the order in which they are taken.

    longest: of a curated pair's output, in characters; None for no limit.
    """
    able = [pair for pair in seed_pairs if pair.demo]
    short = [pair for pair in curated if longest is None or len(pair.output) <= longest]
    return Demos(
        sorted(able, key=lambda pair: draws.rank(seed, "demos", pair.id)),
        sorted(short, key=lambda pair: draws.rank(seed, "demos", pair.id)),
    )


def read_seed_pairs(start: Path) -> list[SeedPair]:
    """What people wrote. start: its folder. Raises BadFile, BadRow."""
    return list(read_rows(start / SEED / PAIRS, SeedPair))


def read_curated(before: Path) -> list[CuratedPair]:
    """What a round kept; of the start, and of a model alone, nothing. Raises BadFile, BadRow."""
    if not exists(before):
        raise BadFile(before, "no such folder", "Name that of a round, or of the start.")
    path = before / CURATED / KEPT
    return list(read_rows(path, CuratedPair)) if exists(before / CURATED) else []
