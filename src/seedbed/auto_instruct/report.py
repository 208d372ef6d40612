"""Auto-Instruct's result: the candidates of each task, best first."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import Field

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of, read_instructions
from seedbed.auto_instruct.label_file import HEADERS, read_labels
from seedbed.auto_instruct.pick import ABSENT
from seedbed.auto_instruct.rows import CANDIDATES, LABELLED, RELABELLED, Candidate
from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.runs.page import Part, Section

# Of each task so many labelled examples are enough to know which model was asked.
EXAMPLES = 1


@dataclass(frozen=True)
class Ranked:
    """A candidate.

    index: its place among the task's; the seed instruction has 0.
    origin: the meta-prompt and sample that it was asked with; "" if it is not known.
    rouge: mean ROUGE-L F1 over the examples that it was tried on; None if on none.
    tried: on how many examples it was tried.
    drawn: in how many of the kept examples it stands.
    """

    index: int
    instruction: str
    origin: str
    rouge: float | None
    tried: int
    drawn: int


@dataclass(frozen=True)
class Contest:
    """A task.

    examples: how many were labelled.
    kept: how many of these were kept; None if relabel-and-pick has no such task.
    """

    task: str
    examples: int
    kept: int | None
    candidates: list[Ranked]

    @property
    def state(self) -> list[str]:
        """How far it got, piece by piece."""
        kept = [] if self.kept is None else [f"{self.kept} kept for the ranker"]
        examples = f"{self.examples} examples" if self.examples else "not labelled yet"
        return [f"{len(self.candidates)} candidates", examples, *kept]

    @property
    def of_best(self) -> list[str]:
        """What the page says of the best candidate, piece by piece; nothing if none was tried."""
        best = self.candidates[0]
        if best.rouge is None:
            return []
        pieces = [f"mean ROUGE-L {best.rouge:.3f}"]
        seed = next((ranked for ranked in self.candidates if ranked.index == 0), None)
        if best.index == 0:
            pieces.append("the task’s own instruction is the best")
        elif seed and seed.rouge is not None:
            gain = best.rouge - seed.rouge
            pieces.append(f"{'+' if gain >= 0 else '−'}{abs(gain):.3f} on the task’s own")
        if best.origin and best.index:
            pieces.append(f"from {best.origin}")
        if equals := sum(ranked.rouge == best.rouge for ranked in self.candidates) - 1:
            pieces.append(f"{equals} {'others do' if equals > 1 else 'other does'} as well")
        return pieces


def part() -> Part:
    """What the report's page has of Auto-Instruct. Raises as `collect`."""
    tasks = collect()
    counts = []
    if tasks:
        candidates = sum(len(task.candidates) for task in tasks)
        counts.append((candidates, f"candidates for {len(tasks)} tasks"))
        counts.append((sum(task.kept or 0 for task in tasks), "examples for a ranker"))
    contests = Section(
        id="instructions",
        link="Instructions",
        title="Instructions that compete",
        template="contests.html",
        values={"tasks": tasks},
    )
    return Part(
        made_of=[CANDIDATES, LABELLED, RELABELLED],
        counts=counts,
        sections=[contests],
        keys=keys(),
    )


class _Labelled(Record):
    """What is read of an example: that of a label file of one's own may have no keys."""

    instruction_keys: list[str] = Field(default_factory=list)


def keys() -> dict[str, set[str]]:
    """For each stage that asks, the keys of answers of its rows: enough to know the model.

    Raises:
        BadFile, BadRow: a file is broken.
    """
    asked: dict[str, set[str]] = {"candidates": set(), "label": set()}
    if ORIGINS.exists() and ORIGINS.stat().st_size:
        asked["candidates"] = {row.key for row in read_rows(ORIGINS, Candidate) if row.key}
    for path in sorted(LABELLED.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in islice(lines, HEADERS, HEADERS + EXAMPLES):
                asked["label"].update(_Labelled.model_validate_json(line).instruction_keys)
    return asked


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
        rouge = scores[:, index]
        rouge = rouge[(rouge != ABSENT) & ~np.isnan(rouge)]
        known = origins.get((task, index))
        drawn = 0
        if kept is not None and index < kept.shape[1]:
            drawn = int(np.count_nonzero(kept[:, index] != ABSENT))
        candidates.append(
            Ranked(
                index,
                text,
                _origin(known) if known and known.instruction == text else "",
                float(rouge.mean()) if len(rouge) else None,
                len(rouge),
                drawn,
            )
        )
    # Ties go to the one that came first: sorting is stable.
    candidates.sort(key=lambda ranked: -1.0 if ranked.rouge is None else ranked.rouge, reverse=True)
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
