"""active-pool: tasks → a pool to choose from, a first chunk of it, and held-out tasks.

The pool is one of Natural Instructions, or what Self-Instruct has: the seed tasks and those that
were made of them. It is drawn as the authors draw theirs; see `seedbed.active.draw`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from seedbed.active.draw import Draw, draw
from seedbed.active.errors import (
    HeldOutInPool,
    NoSuchPoolTask,
    PoolTooSmall,
    TooFewInstances,
    TooFewToHoldOut,
)
from seedbed.active.params import ActivePool, Run
from seedbed.active.rows import (
    HELD_OUT,
    TASKS,
    Demo,
    HeldOutInstance,
    HeldOutTask,
    Instance,
    Part,
    PoolTask,
)
from seedbed.core.files import exists, read_rows, read_text, to_json, to_line, write_files
from seedbed.core.metrics import with_tables
from seedbed.core.paths import DATA, Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.tasks.niv2 import Example, Task, read_task
from seedbed.tasks.places import list_tasks, the_task
from seedbed.tasks.seed_form import read_seed_form

SEED_TASKS = DATA / "seed_tasks.jsonl"
PREPARED = DATA / "prepare/alpaca.jsonl"
CLASSIFIED = DATA / "clf/is_clf_or_not.jsonl"


Kept = TypeVar("Kept")


class Rounds(Section):
    """How many rounds go on from each other; the rest is no affair of the pool's."""

    runs: dict[str, Run]


class Instances(Section):
    """How many instances a task is scored on."""

    instances: int


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    active: Rounds
    active_pool: ActivePool
    active_score: Instances


@dataclass(frozen=True)
class Inputs:
    """What it reads of Self-Instruct, where that is the source."""

    seed_tasks: Path = SEED_TASKS
    prepared: Path = PREPARED
    classified: Path = CLASSIFIED


class PreparedRow(Record):
    """What is read of a finetuning row (prepare)."""

    id: str
    instruction_id: str
    instruction: str = Field(pattern=r"\S")
    input: str
    output: str
    key: str | None


class ClassifiedRow(Record):
    """What is read of an instruction's kind (clf): its completion."""

    instruction_id: str
    is_classification: str | None


@dataclass(frozen=True)
class Source:
    """A task, and the file that it comes from. keys: of its examples, by id."""

    task: Task
    path: Path
    keys: Mapping[str, str | None]


def read_names(path: Path | None) -> dict[str, int] | None:
    """The names in a file, one a line, each with its line; None for all. Raises BadFile."""
    if path is None:
        return None
    lines = enumerate(read_text(path).splitlines(), 1)
    return {line.strip(): number for number, line in lines if line.strip()}


def read_tasks(path: Path, names: Path | None, param: str, most: int | None = None) -> list[Source]:
    """The tasks of a folder or a .jsonl file; with `names`, those of that file, in its order.

    Args:
        param: the parameter that names the folder. most: so many examples of each; None for all.

    Raises:
        NoSuchPoolTask: one of the names is not there.
        BadFile, BadRow, BadTaskName, SameTaskName: as `read_task` and `read_seed_form`.
    """
    wanted = read_names(names)
    if path.suffix == ".jsonl":
        there = {task.name: Source(task, path, {}) for task in read_seed_form(path)}
        return _in_order(there, wanted, names, path)
    found = list_tasks(path, param)
    chosen = _in_order({name: name for name in sorted(found)}, wanted, names, path)
    places = [the_task(path, found, name) for name in chosen]
    return [Source(read_task(place, most), place, {}) for place in places]


def _in_order(
    there: Mapping[str, Kept], wanted: Mapping[str, int] | None, names: Path | None, where: Path
) -> list[Kept]:
    if wanted is None or names is None:
        return list(there.values())
    for name, line in wanted.items():
        if name not in there:
            raise NoSuchPoolTask(names, line, name, where)
    return [there[name] for name in wanted]


def grown(inputs: Inputs) -> list[Source]:
    """The tasks that Self-Instruct made, each with its instances; none if it has not run.

    Raises:
        BadFile, BadRow: of what it wrote.
    """
    if not exists(inputs.prepared) or not exists(inputs.classified):
        return []
    is_cls = {
        row.instruction_id: (row.is_classification or "").strip().lower().startswith("yes")
        for row in read_rows(inputs.classified, ClassifiedRow)
    }
    rows: dict[str, list[PreparedRow]] = {}
    for row in read_rows(inputs.prepared, PreparedRow):
        if row.instruction_id in is_cls:  # prepare can add the seed tasks' own
            rows.setdefault(row.instruction_id, []).append(row)
    return [
        Source(
            Task(
                name=name,
                instruction=own[0].instruction.strip(),
                demos=[],
                examples=[_example(row) for row in own],
                is_classification=is_cls[name],
                labels=[],
                categories=[],
            ),
            inputs.prepared,
            {row.id: row.key for row in own},
        )
        for name, own in rows.items()
    ]


def _example(row: PreparedRow) -> Example:
    return Example(id=row.id, input=row.input, targets=[row.output])


def read_pool(params: ActivePool, inputs: Inputs) -> list[Source]:
    """The pool's tasks, in the order of their files. Raises as `read_tasks` and `grown`."""
    names = _list(params, params.tasks)
    if params.source == "niv2":
        return read_tasks(Path(params.folder), names, "active_pool.folder", params.max_examples)
    there = {one.task.name: one for one in read_tasks(inputs.seed_tasks, None, "")}
    there |= {one.task.name: one for one in grown(inputs)}
    return _in_order(there, read_names(names), names, inputs.seed_tasks)


def _list(params: ActivePool, name: str | None) -> Path | None:
    return None if name is None else Path(params.lists) / name


def longest(runs: Mapping[str, Run]) -> int:
    """How many rounds go on from each other, at most."""
    depth: dict[str, int] = {}
    for name, run in runs.items():
        depth[name] = depth.get(run.before, 0) + 1
    return max(depth.values())


def check(pool: Sequence[Source], test: Sequence[Source], params: Params) -> None:
    """Look for what would go wrong later, once a model is trained.

    Raises:
        PoolTooSmall, HeldOutInPool, TooFewInstances
    """
    own, rounds = params.active_pool, longest(params.active.runs)
    if len(pool) < own.dev + rounds * own.chunk:
        raise PoolTooSmall(len(pool), own.chunk, own.dev, rounds)
    by_instruction = {one.task.instruction.strip(): one.task.name for one in pool}
    names = {one.task.name for one in pool}
    both = [
        (one.task.name, by_instruction.get(one.task.instruction.strip(), one.task.name))
        for one in test
        if one.task.name in names or one.task.instruction.strip() in by_instruction
    ]
    if both:
        raise HeldOutInPool(*both[0], len(both) - 1)
    needs = params.active_score.instances
    few = [one for one in pool if len(one.task.examples) < needs]
    if few:
        has = len(few[0].task.examples)
        raise TooFewInstances(few[0].task.name, few[0].path, has, needs, len(few) - 1)


def rows(pool: Sequence[Source], drawn: Draw, demos: int) -> Iterator[PoolTask]:
    """The pool's rows: the first chunk, what is held out, and the rest."""
    by_name = {one.task.name: one for one in pool}
    parts: tuple[tuple[Part, list[str]], ...] = (
        ("start", drawn.start),
        ("dev", drawn.dev),
        ("rest", drawn.rest),
    )
    for part, names in parts:
        for name in names:
            source = by_name[name]
            yield PoolTask(
                task=name,
                part=part,
                is_classification=source.task.is_classification,
                instruction=source.task.instruction.strip(),
                source=str(source.path),
                demos=_demos(source.task, demos),
                instances=[
                    Instance(
                        id=example.id,
                        input=example.input,
                        outputs=example.targets,
                        key=source.keys.get(example.id),
                    )
                    for example in source.task.examples
                ],
            )


def _demos(task: Task, most: int) -> list[Demo]:
    return [Demo(input=demo.input, output=demo.output) for demo in task.demos[:most]]


def held_out(
    test: Iterable[Source], pool: Sequence[PoolTask], params: ActivePool
) -> Iterator[HeldOutTask]:
    """What models are tried on: the test tasks, then those of the pool that are held out.

    Of the latter only what is told like none that may be trained on: it would measure memory.
    """
    for one in test:
        yield HeldOutTask(
            id=one.task.name,
            instruction=one.task.instruction,
            demos=_demos(one.task, params.demos),
            instances=[
                HeldOutInstance(input=example.input, output=example.targets)
                for example in one.task.examples[: params.test_examples]
            ],
            is_classification=one.task.is_classification,
            motivation_app="test",
        )
    trained = {task.instruction for task in pool if task.part != "dev"}
    for task in pool:
        if task.part != "dev" or task.instruction in trained:
            continue
        yield HeldOutTask(
            id=task.task,
            instruction=task.instruction,
            demos=task.demos,
            instances=[
                HeldOutInstance(input=instance.input, output=instance.outputs)
                for instance in task.instances[: params.dev_examples]
            ],
            is_classification=task.is_classification,
            motivation_app="dev",
        )


def metrics(pool: Sequence[PoolTask], tried: Sequence[HeldOutTask]) -> dict[str, Any]:
    """The stage's metrics."""
    parts = Counter((task.part, task.is_classification) for task in pool)
    places = Counter(task.motivation_app for task in tried)
    return {
        "pool_tasks": len(pool),
        "pool_classification": sum(task.is_classification for task in pool),
        "test_tasks": places["test"],
        "dev_tasks": places["dev"],
        "pool_part": {
            part: {"tasks": parts[part, True] + parts[part, False], "cls": parts[part, True]}
            for part in ("start", "dev", "rest")
        },
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the tasks, draw; write the pool, what is held out, and metrics.

    Raises:
        PoolTooSmall, HeldOutInPool, TooFewInstances, TooFewToHoldOut: nothing can be trained so.
        NoSuchPoolTask, BadFile, BadRow: of what is read.
    """
    own = params.active_pool
    with Progress("active-pool", None, "tasks") as progress:
        pool = read_pool(own, inputs)
        test = read_tasks(
            Path(own.test), _list(own, own.test_tasks), "active_pool.test", own.test_examples
        )
        check(pool, test, params)
        classification = {one.task.name for one in pool if one.task.is_classification}
        names = [one.task.name for one in pool]
        drawn = draw(names, classification, own.chunk, own.dev, own.seed)
        if len(drawn.dev) < own.dev:
            raise TooFewToHoldOut(own.dev, len(classification), len(names))
        written = list(progress.over(rows(pool, drawn, own.demos)))
    tried = list(held_out(test, written, own))
    write_files(
        {
            into.folder / TASKS: map(to_line, written),
            into.folder / HELD_OUT: map(to_line, tried),
            into.metrics: to_json(with_tables(metrics(written, tried))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(written))
