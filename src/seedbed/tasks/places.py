"""Where the tasks in the form of Natural Instructions are, and what they are called."""

import re
from pathlib import Path

from seedbed.core.files import exists
from seedbed.errors import BadFile, shown
from seedbed.tasks.errors import BadTaskName, NoSuchTask, SameTaskName

# relabel-and-pick's files of all tasks, beside those of single ones, which have their names.
MERGED = ("train", "seen_dev", "unseen_dev")

# A name becomes the name of files and part of ids, so it is nothing that a path could act on.
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
# The files of a task that is a folder.
INSTRUCTION, DEMOS, EXAMPLES = "naive_instruction.txt", "demo.jsonl", "all_examples.jsonl"
METADATA = "task_metadata.json"
NEEDED = (INSTRUCTION, DEMOS, EXAMPLES)
_OF_A_FOLDER = {
    *NEEDED,
    METADATA,
    "demo_template.json",
    "fs_downstream_inference_prompt_template.txt",
    "zs_downstream_inference_prompt_template.txt",
    "instruction_selection_prompt.txt",
}


def check_name(name: str) -> str:
    """The name itself, once it is checked.

    Raises:
        ValueError: it cannot name a task.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{shown(name)} cannot name a task: at most 200 of A-Z a-z 0-9 _ . -, the first a "
            "letter or digit, no two points together"
        )
    # Some disks keep a name in any case as one.
    if name.casefold() in MERGED:
        raise ValueError(f"{name!r} cannot name a task: relabel-and-pick has a file of that name")
    return name


def task_name(path: Path) -> str:
    """The name of the task that is kept there; `check_name` says whether it may have it.

    >>> task_name(Path("data/niv2/task1.v2.json")), task_name(Path("data/niv2/task2"))
    ('task1.v2', 'task2')
    """
    return path.name.removesuffix(".json")


def list_tasks(folder: Path, param: str = "niv2.folder") -> dict[str, list[Path]]:
    """The paths of all that looks like a task, by name; checks neither names nor contents.

    A folder that is none of the authors' folders and holds others or JSON files is a collection,
    such as the official `tasks`: what it holds is taken as if it lay in `folder` itself.

    Args:
        param: the parameter that names the folder.

    Raises:
        BadFile: there is no such folder, or nothing in it.
    """
    paths_of: dict[str, list[Path]] = {}
    for path in _entries(folder, param):
        inside = _entries(path, param) if path.is_dir() and not _is_task_folder(path) else []
        for task in inside or [path]:
            paths_of.setdefault(task_name(task), []).append(task)
    if not paths_of:
        raise BadFile(
            folder, "no tasks there", "Put NAME.json files or the authors' folders into it."
        )
    return dict(sorted(paths_of.items()))


def find_tasks(folder: Path, names: list[str] | None = None) -> list[Path]:
    """The paths of the tasks, in the order of their names.

    Args:
        names: only these; None for all that are there.

    Raises:
        BadFile: there is no such folder, or nothing in it.
        BadTaskName, SameTaskName, NoSuchTask: what they say, of the tasks that are asked for.
    """
    there = list_tasks(folder)
    wanted = there if names is None else set(names)
    path_of: dict[str, Path] = {}
    for name in sorted(wanted):
        path = the_task(folder, there, name)
        # Some disks would keep what is written of both in one file.
        if path_of.setdefault(name.casefold(), path) != path:
            raise SameTaskName(path_of[name.casefold()], path)
    return list(path_of.values())


def the_task(folder: Path, there: dict[str, list[Path]], name: str) -> Path:
    """The path of the one task of that name. there: what `list_tasks` found in `folder`.

    Raises:
        BadTaskName, NoSuchTask, SameTaskName
    """
    paths = there.get(name, [])
    try:
        check_name(name)
    except ValueError as error:
        raise BadTaskName(paths[0] if paths else folder, str(error)) from None
    if not paths:
        raise NoSuchTask(folder, name, list(there))
    if len(paths) > 1:
        raise SameTaskName(paths[0], paths[1])
    return paths[0]


def _entries(folder: Path, param: str) -> list[Path]:
    """The folders and JSON files in a folder, by name; hidden ones are DVC's or git's."""
    if not exists(folder):
        raise BadFile(folder, "no such folder", f"Check {param} in params.yaml.")
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if not path.name.startswith(".") and (path.suffix == ".json" or path.is_dir())
        )
    except OSError as error:
        raise BadFile(folder, error.strerror or str(error), "It must be a folder.") from None


def _is_task_folder(folder: Path) -> bool:
    return any((folder / name).exists() for name in _OF_A_FOLDER)
