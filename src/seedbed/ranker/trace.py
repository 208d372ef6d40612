"""Rows of the ranker, told back to scorings, candidates and the meta-prompts behind these."""

from collections.abc import Collection
from pathlib import Path

from seedbed.core.files import exists
from seedbed.core.paths import PROMPTS
from seedbed.errors import BadFile
from seedbed.ranker.rows import (
    CANDIDATES,
    DEMOS_SCORED,
    EVALUATED,
    RANKER,
    RESULTS,
    SELECTED,
    TEMPLATE,
    TRAINED,
    Candidate,
    DemosScored,
    Result,
    Selection,
    Trained,
)
from seedbed.ranker.ways import CHOOSE, WRITE
from seedbed.runs.places import Place, find, row_at, rows_if_there
from seedbed.runs.telling import Telling

ORIGINS = CANDIDATES / "origins.jsonl"


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told, a pattern for many. writers: what the stages write."""
    there = {
        RANKER.parent: RANKER.parent / TRAINED,
        SELECTED: SELECTED / "*.jsonl",
        EVALUATED: EVALUATED / RESULTS,
    }
    return [file for folder, file in there.items() if folder in writers]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told."""
    return any(path.match(str(file)) for file in files(writers))


def tell(telling: Telling, place: Place) -> None:
    """Tell a row of a file that it `knows`, and all it came from. Raises as `account`."""
    if not exists(place.path):
        raise BadFile(place.path, "no such file", f"See what is in {place.path.parent}.")
    if place.path.parent == EVALUATED:
        _result(telling, place, row_at(place, Result))
    elif place.path.name == DEMOS_SCORED:
        row = row_at(place, DemosScored)
        with telling.out.under(str(place)):
            stage = telling.row(place, row, apart=["keys"])
            _answers(telling, row.keys)
            telling.parameters(stage)
        _candidate(telling, row.task, row.index)
    elif place.path.parent == SELECTED:
        _selection(telling, place, row_at(place, Selection))
    else:
        _trained(telling, place, row_at(place, Trained))


def _trained(telling: Telling, place: Place, row: Trained) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row, apart=["features", "keys"])
        for index, label, values, keys in zip(
            row.instruction_idx, row.labels, row.features, row.keys, strict=True
        ):
            numbers = ", ".join(f"{value:.3f}" for value in values)
            answers = ", ".join(f"{key[:12]}…" for key in keys) or "none"
            telling.out.line(f"{index}. label {label:.3f}; features {numbers}; scorings {answers}")
        telling.parameters(stage)
    telling.out.line(
        f"it came from data/relabel_and_pick/{row.split}.jsonl, the row {row.task}:{row.id}"
    )


def _selection(telling: Telling, place: Place, row: Selection) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row, apart=["scores", "untrained", "keys"])
        order = sorted(
            range(len(row.scores)), key=lambda place: (-row.scores[place], place != row.chosen)
        )
        told = ", ".join(f"{place}: {row.scores[place]:.3f}" for place in order[:5])
        telling.out.line(f"highest scores, by candidate: {told}")
        with telling.out.under(f"scorings behind the score of candidate {row.chosen}:"):
            _answers(telling, row.keys[row.chosen])
            if scored := _of_demos(row.task, row.chosen):
                where, demos = scored
                telling.out.line(f"and those of the demos: {where} (mean {demos.score:.3f})")
        with telling.out.under(f"question: {TEMPLATE}"):
            telling.revision(stage, TEMPLATE)
        with telling.out.under(f"its ranker: {RANKER}, the weights {row.head!r}"):
            telling.revision(stage, RANKER)
        telling.parameters(stage)
    _candidate(telling, row.task, row.chosen)


def _result(telling: Telling, place: Place, row: Result) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row, apart=["keys", "order"])
        for method, keys in row.keys.items():
            with telling.out.under(f"{method} asked:"):
                _answers(telling, keys)
            file = CHOOSE if method == "lm_selection" else WRITE
            with telling.out.under(f"prompt file: {file}"):
                telling.revision(stage, file)
        telling.parameters(stage)
    path = SELECTED / f"{row.task}.jsonl"
    found = find(path, Selection, lambda other: other.id == row.id) if exists(path) else None
    if found is None:
        telling.out.line(f"its selection: {path} does not have it any more")
    else:
        _selection(telling, *found)


def _answers(telling: Telling, keys: Collection[str]) -> None:
    for key in keys:
        telling.answer(key)
    if not keys:
        telling.out.line("none of its own")


def _of_demos(task: str, index: int) -> tuple[Place, DemosScored] | None:
    path = SELECTED / DEMOS_SCORED
    for line, row in enumerate(rows_if_there(path, DemosScored), 1):
        if (row.task, row.index) == (task, index):
            return Place(path, line), row
    return None


def _candidate(telling: Telling, task: str, index: int) -> None:
    """Where a candidate came from: its row, the answer and the meta-prompt."""
    path = CANDIDATES / f"{task}.json"
    for line, row in enumerate(rows_if_there(ORIGINS, Candidate), 1):
        if (row.task, row.index) == (task, index):
            where = Place(ORIGINS, line)
            with telling.out.under(f"its candidate {index}: {where}"):
                stage = telling.row(where, row)
                if row.key is None:
                    telling.out.line("the task's own instruction")
                    return
                shots = telling.pipeline.parameter(stage, "candidates.shots")
                name = f"{row.meta_prompt}.txt"
                telling.asked(stage, row.key, [PROMPTS / "candidates" / f"{shots}_shot" / name])
            return
    telling.out.line(f"its candidate {index}: {path}, of unknown origin")
