"""The pool of a run to come: as it is drawn, or as it may be.

Of thousands of tasks some are read, and the others are counted.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from seedbed.active import active_pool, sources
from seedbed.active.draw import draw
from seedbed.active.errors import PoolTooSmall
from seedbed.active.params import ActivePool, Sections
from seedbed.active.rows import ACTIVE, HELD_OUT, POOL, TASKS, HeldOutTask, PoolTask, read_chosen
from seedbed.core import draws
from seedbed.core.files import exists, opened, read_rows
from seedbed.runs.dry_run import LOOKED_UP, rows_in, thinned
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import list_tasks

# What names the places of tasks.
FOLDER, TEST = "active_pool.folder", "active_pool.test"


@dataclass(frozen=True)
class Pool:
    """A pool of tasks.

    guess: how it was made up, if it is not drawn yet; else "". unread: how many more there are to
    choose from, which those that were read stand for.
    """

    name: str
    tasks: list[PoolTask]
    held_out: list[HeldOutTask]
    guess: str
    unread: int = 0


def read_or_guess(name: str, params: Sections) -> Pool:
    """A pool as it is drawn, or as it may be.

    Raises:
        PoolTooSmall: the tasks that are there do not do.
        SeedbedError: as `sources.read_pool` and `sources.read_tasks`.
    """
    folder, own = ACTIVE / name, params.active_pool
    if exists(folder / POOL / TASKS):
        held_out = list(read_rows(folder / POOL / HELD_OUT, HeldOutTask))
        tasks, unread = _some_drawn(folder / POOL / TASKS, params)
        return Pool(name, tasks, held_out, "", unread)
    unread, rounds = 0, active_pool.longest(params.active.runs)
    needed = own.dev + rounds * own.chunk
    if own.source == "self_instruct":
        with _some_grown(own, sources.Inputs(), needed) as (inputs, unread):
            found = sources.read_pool(own, inputs)
        guess = f"drawn of the {len(found) + unread:,} tasks that are there"
        guess += f", of which {len(found):,} were read" if unread else ""
    else:
        least = max(params.active_score.instances, params.active_select.examples or 1)
        found = _sources(own, own.folder, own.tasks, max(least, own.dev_examples), FOLDER)
        guess = f"drawn of {len(found)} tasks that are like one, with {least} examples each"
    if len(found) < needed:
        raise PoolTooSmall(len(found), own.chunk, own.dev, rounds)
    names, seed = [one.task.name for one in found], params.active.pools[name].seed
    classification = {one.task.name for one in found if one.task.is_classification}
    drawn = draw(names, classification, own.chunk, own.dev, seed)
    tasks = list(active_pool.rows(found, drawn, own.demos))
    test = _sources(own, own.test, own.test_tasks, own.test_examples, TEST)
    return Pool(name, tasks, list(active_pool.held_out(test, tasks, own)), guess, unread)


def _some_drawn(path: Path, params: Sections) -> tuple[list[PoolTask], int]:
    """Some of the tasks of a large pool, in its order; and how many others there are.

    All that were chosen or have a part to play, and of the rest those that are scored first.
    """
    if rows_in(path) <= LOOKED_UP:
        return list(read_rows(path, PoolTask)), 0
    seed = params.active_score.seed
    chosen = {row.task for run in params.active.runs for row in read_chosen(ACTIVE / run)}
    try:
        heads = list(map(_head, _lines(path)))
    except (ValueError, LookupError):  # whoever reads all of it says what is wrong, and where
        return list(read_rows(path, PoolTask)), 0
    rest = [task for task, part in heads if part == "rest"]
    first = sorted(rest, key=lambda task: draws.rank(seed, "tasks", task))[:LOOKED_UP]
    unread = {*rest} - {*first} - chosen
    with TemporaryDirectory() as place:
        thin = Path(place) / path.name
        with thin.open("wb") as kept:
            pairs = zip(heads, _lines(path), strict=True)
            kept.writelines(line for (task, _), line in pairs if task not in unread)
        return list(read_rows(thin, PoolTask)), len(unread)


def _head(line: bytes) -> tuple[str, str]:
    """The name of a task of the pool, and its part, without the rest of the row."""
    row = json.loads(line.partition(b', "is_classification": ')[0] + b"}")
    return row["task"], row["part"]


@contextmanager
def _some_grown(
    own: ActivePool, inputs: sources.Inputs, needed: int
) -> Iterator[tuple[sources.Inputs, int]]:
    """Files with some of many tasks that were grown, each with all of its rows.

    And how many others there are.
    """
    files = (inputs.prepared, inputs.classified)
    # Who names the tasks gets these.
    few = own.tasks or not all(map(exists, files)) or rows_in(inputs.classified) <= LOOKED_UP
    rows, kinds = ([] if few else list(map(_of, _lines(path))) for path in files)
    classified = {*kinds}
    grown = [name for name in dict.fromkeys(rows) if name in classified]
    # So that a draw of some has what a draw of all has, and a rest.
    some, weight = thinned(grown, max(LOOKED_UP, 4 * needed))
    if weight == 1:
        yield inputs, 0
        return
    wanted = {*some}
    with TemporaryDirectory() as place:
        thin = [Path(place) / path.name for path in files]
        for path, ids, file in zip(files, (rows, kinds), thin, strict=True):
            with file.open("wb") as kept:
                pairs = zip(ids, _lines(path), strict=True)
                kept.writelines(line for name, line in pairs if name in wanted)
        yield sources.Inputs(inputs.seed_tasks, *thin), len(grown) - len(some)


def _lines(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        yield from file


def _of(line: bytes) -> bytes:
    """The id of the instruction that a row is of, as it is written; read so, as there are many."""
    return line.rpartition(b'"instruction_id": "')[2].partition(b'"')[0]


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
