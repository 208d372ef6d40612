"""The files that candidates writes and the stages after it read, in data/candidates.

TASK.json        the task's instructions, one JSON list of texts, the seed instruction first:
                 what the authors of Auto-Instruct call the instruction file
origins.jsonl    where each of them came from; a file of your own needs none
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from seedbed.auto_instruct.rows import CANDIDATES, Candidate
from seedbed.core.files import read_json, read_rows
from seedbed.errors import BadFile

ORIGINS = CANDIDATES / "origins.jsonl"


def file_of(task: str, folder: Path = CANDIDATES) -> Path:
    """Where the task's instructions stand."""
    return folder / f"{task}.json"


def read_instructions(path: Path) -> list[str]:
    """The candidates in a task's file, the seed instruction first.

    Raises:
        BadFile: missing, not UTF-8, not a list of texts, one of them blank.
        BadRow: not JSON.
    """
    remedy = "It must be one JSON list of texts, the task's instructions."
    texts = read_json(path, TypeAdapter(Any).validate_json, remedy)
    if not isinstance(texts, list):
        raise BadFile(path, f"holds a {type(texts).__name__}, not a list", remedy)
    if not texts:
        raise BadFile(path, "an empty list", remedy)
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            shown = json.dumps(text, ensure_ascii=False)[:60]
            raise BadFile(path, f"instruction {index} is {shown}, not a text", remedy)
    return texts


def read_candidates(tasks: Iterable[str], folder: Path = CANDIDATES) -> dict[str, list[Candidate]]:
    """The candidates of each task with their origins, as far as these are known.

    Raises:
        BadFile, BadRow: as `read_instructions` and `read_rows`; or the lists are not what
            origins.jsonl says, because they were changed, or are of another run.
    """
    origins: dict[str, dict[int, Candidate]] = {}
    path = folder / ORIGINS.name
    if path.exists():
        for row in read_rows(path, Candidate):
            origins.setdefault(row.task, {})[row.index] = row
    candidates = {}
    for task in tasks:
        file = file_of(task, folder)
        texts, known = read_instructions(file), origins.get(task)
        if known is None:
            known = {i: _of_unknown_origin(task, i, text) for i, text in enumerate(texts)}
        if len(known) != len(texts):
            raise _changed(file, f"{len(texts)} instructions, but {path} has {len(known)}")
        for index, text in enumerate(texts):
            if index not in known or known[index].instruction != text:
                raise _changed(file, f"instruction {index} is not the one that {path} has")
        candidates[task] = [known[index] for index in range(len(texts))]
    return candidates


def _of_unknown_origin(task: str, index: int, text: str) -> Candidate:
    return Candidate(
        task=task, index=index, meta_prompt=None, sample=None, key=None, instruction=text
    )


def _changed(file: Path, problem: str) -> BadFile:
    return BadFile(
        file,
        problem,
        "Run `dvc repro candidates`; to keep instructions of your own, remove the task's rows "
        "there and say `dvc commit -f candidates`.",
    )
