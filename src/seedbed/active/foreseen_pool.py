"""The pool of a run to come: as it is drawn, or as it may be."""

from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from seedbed.active import active_pool, sources
from seedbed.active.draw import draw
from seedbed.active.errors import PoolTooSmall
from seedbed.active.params import ActivePool, Sections
from seedbed.active.rows import ACTIVE, HELD_OUT, POOL, TASKS, HeldOutTask, PoolTask, read_pool
from seedbed.core.files import exists, read_rows
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import list_tasks

# What names the places of tasks.
FOLDER, TEST = "active_pool.folder", "active_pool.test"


@dataclass(frozen=True)
class Pool:
    """A pool of tasks. guess: how it was made up, if it is not drawn yet; else ""."""

    name: str
    tasks: list[PoolTask]
    held_out: list[HeldOutTask]
    guess: str


def read_or_guess(name: str, params: Sections) -> Pool:
    """A pool as it is drawn, or as it may be.

    Raises:
        PoolTooSmall: the tasks that are there do not do.
        SeedbedError: as `sources.read_pool` and `sources.read_tasks`.
    """
    folder, own = ACTIVE / name, params.active_pool
    if exists(folder / POOL / TASKS):
        held_out = list(read_rows(folder / POOL / HELD_OUT, HeldOutTask))
        return Pool(name, list(read_pool(folder).values()), held_out, "")
    if own.source == "self_instruct":
        found = sources.read_pool(own, sources.Inputs())
        guess = f"drawn of the {len(found)} tasks that are there"
    else:
        least = max(params.active_score.instances, params.active_select.examples or 1)
        found = _sources(own, own.folder, own.tasks, max(least, own.dev_examples), FOLDER)
        guess = f"drawn of {len(found)} tasks that are like one, with {least} examples each"
    rounds = active_pool.longest(params.active.runs)
    if len(found) < own.dev + rounds * own.chunk:
        raise PoolTooSmall(len(found), own.chunk, own.dev, rounds)
    names, seed = [one.task.name for one in found], params.active.pools[name].seed
    classification = {one.task.name for one in found if one.task.is_classification}
    drawn = draw(names, classification, own.chunk, own.dev, seed)
    tasks = list(active_pool.rows(found, drawn, own.demos))
    test = _sources(own, own.test, own.test_tasks, own.test_examples, TEST)
    return Pool(name, tasks, list(active_pool.held_out(test, tasks, own)), guess)


def _sources(
    own: ActivePool, place: str, names: str | None, examples: int, param: str
) -> list[sources.Source]:
    """The tasks of a file; of a folder as many as it has, but all of them like one.

    They may be thousands, and to read them takes minutes.

    Args:
        names: the list of those that are wanted. examples: of each in a folder.
    """
    path, wanted = Path(place), Path(own.lists) / names if names else None
    if path.suffix == ".jsonl":
        return sources.read_tasks(path, wanted, param)
    there = {name: places[0] for name, places in list_tasks(path, param).items()}
    listed = sources.read_names(wanted)
    listed = dict.fromkeys(there, 0) if listed is None else listed
    like = there[next((name for name in listed if name in there), next(iter(there)))]
    task = read_task(like)
    more = {"examples": list(islice(cycle(task.examples), examples))}
    found = []
    for n in range(len(listed)):
        # Of both kinds, as a draw holds out some of each, and each told like no other.
        own_words = {"name": f"{n}", "instruction": task.instruction[: -len(f"{n}")] + f"{n}"}
        update = more | own_words | {"is_classification": n % 2 == 0}
        found.append(sources.Source(task.model_copy(update=update), like, {}))
    return found
