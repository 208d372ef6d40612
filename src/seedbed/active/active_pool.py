"""active-pool: tasks → a pool to choose from, a first chunk of it, and held-out tasks.

The pool is one of Natural Instructions, or what Self-Instruct has: the seed tasks and those that
were made of them. It is drawn as the authors draw theirs; see `seedbed.active.draw`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seedbed.active.draw import Draw, draw
from seedbed.active.errors import (
    HeldOutInPool,
    NoDemos,
    NoTaskOfAKind,
    OtherBase,
    PoolTooSmall,
    TooFewInstances,
    TooFewToHoldOut,
)
from seedbed.active.params import ActivePool, Run, Target
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
from seedbed.active.sources import Inputs, Source, listed, read_pool, read_tasks
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.tasks.asked import asks_for, in_any_case
from seedbed.tasks.niv2 import Task


class Rounds(Section):
    """How many rounds go on from each other; the rest is no affair of the pool's."""

    runs: dict[str, Run]


class Scored(Section):
    """What a task that is scored must have."""

    instances: int
    target: Target


class Share(Section):
    """The share of classification tasks that is chosen."""

    cls_share: float | None


class Base(Section):
    """What is trained."""

    base: str


class Asked(Section):
    """What is asked, with what was trained beside it."""

    model: str


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    active: Rounds
    active_pool: ActivePool
    active_score: Scored
    active_select: Share
    finetune: Base
    llm: Asked


def longest(runs: Mapping[str, Run]) -> int:
    """How many rounds go on from each other, at most."""
    depth: dict[str, int] = {}
    for name, run in runs.items():
        depth[name] = depth.get(run.before, 0) + 1
    return max(depth.values())


def check(pool: Sequence[Source], test: Sequence[Source], params: Params) -> None:
    """Look for what would go wrong later, once a model is trained.

    Raises:
        PoolTooSmall, HeldOutInPool, TooFewInstances, NoDemos, NoTaskOfAKind
    """
    own, rounds = params.active_pool, longest(params.active.runs)
    if len(pool) < own.dev + rounds * own.chunk:
        raise PoolTooSmall(len(pool), own.chunk, own.dev, rounds)
    names = {one.task.name for one in pool}
    asked = {one.task.name: in_any_case(one.task.instruction) for one in test}
    both = [(one.task.name, one.task.name) for one in test if one.task.name in names]
    for one in pool:
        # As evaluate would find it, once a model is trained.
        both += [(name, one.task.name) for name in asks_for(one.task.instruction, asked)]
    if both:
        raise HeldOutInPool(*both[0], len(both) - 1)
    needs, target = params.active_score.instances, params.active_score.target
    few = [one for one in pool if len(one.task.examples) < needs]
    if few:
        has = len(few[0].task.examples)
        raise TooFewInstances(few[0].task.name, few[0].path, has, needs, len(few) - 1)
    bare = [one for one in pool if not one.task.demos[: own.demos]]
    if bare and target != "td":
        raise NoDemos(target, own.demos, bare[0].task.name, bare[0].path, len(bare) - 1)
    _check_kinds(pool, params)


def _check_kinds(pool: Sequence[Source], params: Params) -> None:
    share = params.active_select.cls_share
    later = [name for name, run in params.active.runs.items() if run.method != "first_chunk"]
    kinds = {one.task.is_classification for one in pool}
    for kind, name in ((True, "classification"), (False, "generation")):
        if later and share is not None and kind not in kinds and share != float(not kind):
            raise NoTaskOfAKind(later[0], name, share)


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
    dev = {task.task: in_any_case(task.instruction) for task in pool if task.part == "dev"}
    others = [task for task in pool if task.part != "dev"]
    trained = {name for task in others for name in asks_for(task.instruction, dev)}
    for task in pool:
        if task.part != "dev" or task.task in trained:
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
        PoolTooSmall, HeldOutInPool, TooFewInstances, TooFewToHoldOut, NoDemos, NoTaskOfAKind,
            OtherBase: nothing can be trained so, or what is trained not asked.
        NoSuchPoolTask, BadFile, BadRow: of what is read.
    """
    own = params.active_pool
    if params.finetune.base != params.llm.model:
        raise OtherBase(params.finetune.base, params.llm.model)
    with Progress("active-pool", None, "tasks") as progress:
        pool = read_pool(own, inputs)
        test = read_tasks(
            Path(own.test), listed(own, own.test_tasks), "active_pool.test", own.test_examples
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
