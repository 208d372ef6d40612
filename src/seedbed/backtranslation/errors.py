"""What may be wrong with instruction backtranslation."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from seedbed.errors import SeedbedError, cut


def _reasons(counted: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in sorted(counted.items()))


class NothingAugmented(SeedbedError):
    def __init__(self, reasons: Counter[str]):
        super().__init__(
            f"augment: no segment has an instruction that is kept ({_reasons(reasons)})\n"
            "  Take a model that can continue texts, or widen augment.min_words, max_words, "
            "max_copied, rouge_threshold."
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


class NoDocuments(SeedbedError):
    def __init__(self, folder: Path):
        super().__init__(
            f"{folder}: there is no file in it\n"
            "  Put .md, .txt, .html, .jsonl or .parquet files there, or name another folder in "
            "segment.folder."
        )


class NoSegments(SeedbedError):
    def __init__(self, folder: Path, documents: int, reasons: Counter[str]):
        super().__init__(
            f"{folder}: none of its {documents} documents has a segment that is kept "
            f"({_reasons(reasons)})\n"
            "  Widen segment.min_chars and max_chars, or bring documents with headings."
        )


class BadFrontMatter(SeedbedError):
    def __init__(self, path: Path, line: int, problem: str):
        super().__init__(
            f"{path}:{line}: what stands between the two --- is no YAML with title, license and "
            f"url as texts: {problem}\n  Mend it, or remove it."
        )


class NoTextColumn(SeedbedError):
    def __init__(self, path: Path, columns: Iterable[str]):
        super().__init__(
            f"{path}: it has no column text, but {cut(', '.join(columns) or 'none at all')}\n"
            "  Name the column of the documents' texts text."
        )


class NotAText(SeedbedError):
    def __init__(self, path: Path, column: str, kind: str):
        super().__init__(
            f"{path}: its column {column} is of type {cut(kind)}\n"
            "  Write it as strings, or leave it out unless it is text."
        )
