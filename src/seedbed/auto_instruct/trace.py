"""Rows of Auto-Instruct's stages, told back to the task, its candidates and their meta-prompts."""

import json
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of
from seedbed.auto_instruct.examples import (
    ExampleInFile,
    Merged,
    Origin,
    candidates_of,
    example_at,
    find_example,
    find_task,
    label_of,
)
from seedbed.auto_instruct.label_file import Labelled
from seedbed.auto_instruct.rows import (
    CANDIDATES,
    LABELLED,
    RANKER_PROMPT,
    RELABELLED,
    Candidate,
)
from seedbed.core.files import exists
from seedbed.core.paths import PROMPTS
from seedbed.errors import BadFile
from seedbed.runs.places import Place, row_at
from seedbed.runs.telling import Telling
from seedbed.tasks.places import MERGED

# Folders that a stage writes, with the files whose rows can be traced.
FOLDERS = {CANDIDATES: ORIGINS.name, LABELLED: "*.jsonl", RELABELLED: "*.jsonl"}
# So much of a key tells it from all others, and is enough to look it up.
KEY = 12


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told, a pattern for many. writers: what the stages write."""
    return [folder / FOLDERS[folder] for folder in writers if folder in FOLDERS]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told, or why not: it is in a folder of tasks."""
    return path.parent in FOLDERS and path.parent in writers


def tell(telling: Telling, place: Place) -> None:
    """Tell the row at a place in one of FOLDERS, and all it came from. Raises as `account`."""
    folder = place.path.parent
    if folder == CANDIDATES and place.path != ORIGINS:
        raise BadFile(
            place.path,
            "one JSON list, without rows",
            f"Where its texts came from stands in {ORIGINS}: name a line of that.",
        )
    if folder.exists() and not exists(place.path):
        close = get_close_matches(place.path.name, [path.name for path in folder.iterdir()], n=1)
        remedy = f"Did you mean {close[0]}?" if close else f"See what is in {folder}."
        raise BadFile(place.path, "no such file", remedy)
    if folder == CANDIDATES:
        _candidate(telling, place, row_at(place, Candidate))
    elif folder == LABELLED:
        example = example_at(place)
        _labelled(telling, example, example.row.instruction_idx)
    else:
        merged = place.path.stem in MERGED
        _kept(telling, place, row_at(place, Merged) if merged else example_at(place).row)


def _candidate(telling: Telling, place: Place, row: Candidate) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        if row.key is None:
            telling.out.line(_without_key(row))
            telling.parameters(stage)
        else:
            telling.asked(stage, row.key, [_meta_prompt(telling, row)])
    path = find_task(_tasks_of(telling, stage), row.task)
    with telling.out.under(f"its task: {path}"):
        telling.revision(stage, path)


def _kept(telling: Telling, place: Place, row: Labelled) -> None:
    """An example that relabel-and-pick kept."""
    out = telling.out
    with out.under(str(place)):
        stage = telling.written(place.path)
        _example(telling, row)
        with out.under(
            f"candidates drawn for it, and their new labels: {len(row.instruction_idx)}"
        ):
            for index, label, rouge in zip(
                row.instruction_idx, row.instruction_labels, row.instruction_rouge, strict=True
            ):
                out.line(f"{index}. label {label:.3f} (ROUGE-L {rouge:.3f})")
        telling.parameters(stage)
    _labelled(telling, label_of(place, row), row.instruction_idx, "kept from ")


def _labelled(telling: Telling, example: ExampleInFile, shown: list[int], how: str = "") -> None:
    """An example as label tried candidates on it. shown: the candidates to be told."""
    out, place, row = telling.out, example.place, example.row
    candidates = candidates_of(example)
    with out.under(f"{how}{place}"):
        stage = telling.written(place.path)
        _example(telling, row)
        tried = f"candidates tried on it: {len(row.instruction_idx)} of {len(candidates)}"
        drawn = "" if len(shown) == len(row.instruction_idx) else ", of which these were drawn"
        with out.under(f"{tried}{drawn}"):
            # An entry for each candidate, in whichever lists there are.
            for values in zip(*row.lists().values(), strict=True):
                entries = dict(zip(row.lists(), values, strict=True))
                if entries["instruction_idx"] in shown:
                    _tried(telling, candidates[entries["instruction_idx"]], entries)
        with out.under(f"prompt of the ranking model, passed on: {RANKER_PROMPT}"):
            telling.revision(stage, RANKER_PROMPT)
        telling.parameters(stage)
    _made(telling, file_of(place.path.stem), [candidates[index] for index in shown])
    _task(telling, stage, place.path.stem, row)


def _tried(telling: Telling, origin: Origin, entries: dict[str, Any]) -> None:
    """A candidate on an example. entries: the row's, by list."""
    out, candidate = telling.out, origin.candidate
    output, key = entries["instruction_outputs"], entries.get("instruction_keys")
    key = None if key is None else str(key)
    metrics = f"label {entries['instruction_labels']:g}, ROUGE-L {entries['instruction_rouge']:.3f}"
    if problem := entries.get("instruction_problems"):
        metrics += f", problem: {problem}"
    if not telling.full:
        quoted = json.dumps(telling.shortened(output), ensure_ascii=False)
        answer = f"answer {key[:KEY]}…" if key else "answer without a key"
        out.line(f"{candidate.index}. {quoted}: {metrics}, {answer}")
        out.line(f"{_came_from(origin)}: {telling.shortened(candidate.instruction)}", deeper=2)
        return
    with out.under(f"{candidate.index}. {metrics}"):
        telling.field("output", output)
        telling.answer(key)
        with out.under(f"its instruction: {_came_from(origin)}"):
            out.quote(candidate.instruction)
            if candidate.key is not None:
                telling.answer(candidate.key, [_meta_prompt(telling, candidate)])


def _made(telling: Telling, path: Path, origins: list[Origin]) -> None:
    """How candidates came about: their file, meta-prompts and parameters."""
    with telling.out.under(f"its candidates: {path}"):
        stage = telling.written(path)
        files = [
            _meta_prompt(telling, origin.candidate) for origin in origins if origin.candidate.key
        ]
        for file in dict.fromkeys(files):
            with telling.out.under(f"meta-prompt: {file}"):
                telling.revision(stage, file)
        telling.parameters(stage)


def _task(telling: Telling, stage: str, name: str, row: Labelled) -> None:
    whereabouts = find_example(_tasks_of(telling, stage), name, row)
    which = (
        f"example {whereabouts.example:,} of {whereabouts.examples:,}"
        if whereabouts.example
        else f"the example is not among its {whereabouts.examples:,}: has it changed since?"
    )
    with telling.out.under(f"its task: {whereabouts.path}, {which}"):
        telling.revision(stage, whereabouts.path)


def _example(telling: Telling, row: Labelled) -> None:
    telling.field("id", row.id)
    telling.field("input", row.input)
    targets = (row.model_extra or {}).get("targets")
    telling.field("targets" if targets else "target", targets or row.target)


def _came_from(origin: Origin) -> str:
    candidate = origin.candidate
    if origin.place is None:
        return f"{file_of(candidate.task)}, of unknown origin"
    if candidate.key is None:
        return f"{origin.place} ({_without_key(candidate)})"
    return f"{origin.place} ({candidate.meta_prompt}, sample {candidate.sample})"


def _without_key(candidate: Candidate) -> str:
    if candidate.index == 0:
        return "the task's own instruction"
    return "no text came: the task's own instruction stands in"


def _meta_prompt(telling: Telling, candidate: Candidate) -> Path:
    shots = telling.pipeline.parameter("candidates", "candidates.shots")
    return PROMPTS / "candidates" / f"{shots}_shot" / f"{candidate.meta_prompt}.txt"


def _tasks_of(telling: Telling, stage: str) -> Path:
    """The folder of tasks that a stage ran with."""
    return Path(telling.pipeline.parameter(stage, "niv2.folder"))
