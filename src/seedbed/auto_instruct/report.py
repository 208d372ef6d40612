"""Auto-Instruct's result: the candidates of each task, best first."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of, read_instructions
from seedbed.auto_instruct.label_file import read_labels
from seedbed.auto_instruct.pick import ABSENT
from seedbed.auto_instruct.rows import CANDIDATES, LABELLED, RELABELLED, Candidate
from seedbed.core.files import read_rows


@dataclass(frozen=True)
class Ranked:
    """A candidate.

    index: its place among the task's; the seed instruction has 0.
    origin: the meta-prompt and sample that it was asked with; "" if it is not known.
    rouge: mean ROUGE-L F1 over the examples that it was tried on; None if on none.
    tried: on so many examples.
    drawn: in so many of the kept examples it stands.
    """

    index: int
    instruction: str
    origin: str
    rouge: float | None
    tried: int
    drawn: int


@dataclass(frozen=True)
class Contest:
    """A task. examples: that were labelled; kept: None if relabel-and-pick has no such task."""

    task: str
    examples: int
    kept: int | None
    candidates: list[Ranked]

    @property
    def seed(self) -> Ranked | None:
        return next((one for one in self.candidates if one.index == 0), None)


def collect() -> list[Contest]:
    """The tasks that have candidates, by name.

    Raises:
        BadFile, BadRow: a file is broken.
    """
    origins: dict[tuple[str, int], Candidate] = {}
    if ORIGINS.exists():
        origins = {(row.task, row.index): row for row in read_rows(ORIGINS, Candidate)}
    names = {path.stem for path in CANDIDATES.glob("*.json")}
    names |= {path.stem for path in LABELLED.glob("*.jsonl")}
    return [_contest(name, origins) for name in sorted(names)]


def _contest(task: str, origins: dict[tuple[str, int], Candidate]) -> Contest:
    path = LABELLED / f"{task}.jsonl"
    if path.exists():
        texts, scores = _scores(path)
    else:
        texts = read_instructions(file_of(task))
        scores = np.full((0, len(texts)), ABSENT)
    kept_path = RELABELLED / path.name
    kept = _scores(kept_path)[1] if kept_path.exists() else None
    candidates = []
    for index, text in enumerate(texts):
        own = scores[:, index]
        own = own[(own != ABSENT) & ~np.isnan(own)]
        known = origins.get((task, index))
        drawn = 0
        if kept is not None and index < kept.shape[1]:
            drawn = int(np.count_nonzero(kept[:, index] != ABSENT))
        candidates.append(
            Ranked(
                index,
                text,
                _origin(known) if known and known.instruction == text else "",
                float(own.mean()) if len(own) else None,
                len(own),
                drawn,
            )
        )
    # Ties go to the one that came first: sorting is stable.
    candidates.sort(key=lambda one: -1.0 if one.rouge is None else one.rouge, reverse=True)
    return Contest(task, len(scores), None if kept is None else len(kept), candidates)


def _scores(path: Path) -> tuple[list[str], "np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """The candidates, and (examples, candidates) ROUGE; ABSENT where one was not tried."""
    file, numbers = read_labels(path)
    return file.instructions, numbers.scores


def _origin(candidate: Candidate) -> str:
    if candidate.index == 0:
        return "the task’s own"
    if candidate.meta_prompt is None:
        return ""
    return f"{candidate.meta_prompt} {(candidate.sample or 0) + 1}"
