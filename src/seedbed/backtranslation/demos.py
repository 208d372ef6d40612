"""Which pairs a prompt shows: some that people wrote, and some that were kept a round before."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seedbed.backtranslation.prompts import Pair
from seedbed.backtranslation.rows import CURATED, KEPT, PAIRS, SEED, CuratedPair, SeedPair
from seedbed.core import draws
from seedbed.core.files import exists, read_rows


@dataclass(frozen=True)
class Demos:
    """The same for all prompts of a run, so that a server evaluates them once.

    seed: pairs that people wrote, in a random order. curated: likewise those kept a round before,
    which take half of the places, rounded down.
    """

    seed: Sequence[Pair]
    curated: Sequence[Pair]

    def before(self, id_: str, number: int) -> list[Pair]:
        """So many for a pair, none of which is itself: curated ones first, then those by people."""
        own = [pair for pair in self.curated if pair.id != id_][: number // 2]
        return [*own, *self.seed[: number - len(own)]]


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
    """What a round kept; of the start nothing. Raises BadFile, BadRow."""
    path = before / CURATED / KEPT
    return list(read_rows(path, CuratedPair)) if exists(before / CURATED) else []
