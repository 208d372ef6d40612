"""What may be wrong with instruction backtranslation."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from seedbed.errors import SeedbedError


def _reasons(counted: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counted.items()))


class NothingAugmented(SeedbedError):
    def __init__(self, reasons: Counter[str]):
        super().__init__(
            f"augment: no segment has an instruction that is kept ({_reasons(reasons)})\n"
            "  Take a model that can continue texts, or widen augment.min_words, max_words, "
            "max_copied."
        )


class NoScoreOfAny(SeedbedError):
    def __init__(self, stage: str, pairs: int, reasons: Iterable[str], by: str):
        super().__init__(
            f"{stage}: none of the {pairs} pairs has a score ({_reasons(Counter(reasons))})\n"
            f"  Judge by another way than {stage}.by: {by}, such as expected, which is never "
            "without a score, or raise the sampling's max_tokens."
        )


class NothingCurated(SeedbedError):
    def __init__(self, where: Path, pairs: int, threshold: float, best: float):
        super().__init__(
            f"{where}: none of {pairs} pairs is kept: the best has a score of {best:g}, and "
            f"threshold is {threshold:g}\n  Lower it, or set keep_share in its place."
        )


class NoLabelledPair(SeedbedError):
    def __init__(self, labels: Path, pairs: Path):
        super().__init__(
            f"{labels}: no row has the document and heading of a pair in {pairs}\n"
            "  Label sections of the documents in segment.folder, with their headings from the "
            "title down."
        )


class NothingFits(SeedbedError):
    def __init__(self, rows: Path, reasons: Counter[str]):
        super().__init__(
            f"{rows}: no row is kept by instruction-following difficulty ({_reasons(reasons)})\n"
            "  Take a model that can follow instructions, or rows whose outputs are not empty."
        )
