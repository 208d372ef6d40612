"""active-select: scores → the tasks to train on next, and all that were chosen before.

Nothing is asked. Random choices depend on no score, so that a pool's random rounds are the same
whichever model there is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.active.choose import Choice, choose
from seedbed.active.errors import TooFewLeft
from seedbed.active.params import FREE, ActiveSelect
from seedbed.active.rows import (
    ACTIVE,
    CHOSEN,
    TRAINED,
    Chosen,
    PoolTask,
    TaskScore,
    TrainRow,
    demos_of,
    read_chosen,
    read_pool,
    read_scores,
    remaining,
)
from seedbed.core import draws
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.tasks.prompts import Prompts


class Chunk(Section):
    """How many tasks a round takes: the pool's chunk."""

    chunk: int


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    active_pool: Chunk
    active_select: ActiveSelect


@dataclass(frozen=True)
class Inputs:
    """pool: the folder of a pool. before: that of the round before, or the pool's again."""

    pool: Path = ACTIVE / "pool"
    before: Path = ACTIVE / "start"


def select(
    pool: Mapping[str, PoolTask],
    before: Sequence[Chosen],
    scores: Mapping[str, TaskScore],
    chunk: int,
    params: ActiveSelect,
    name: str,
) -> list[Chosen]:
    """The tasks of a round: those of the round before, then those that it chooses.

    Raises:
        TooFewLeft: the pool has no chunk left.
    """
    left = {task.task: task.is_classification for task in remaining(pool, [*before])}
    if len(left) < chunk:
        raise TooFewLeft(name, len(left), chunk)
    if params.method == "first_chunk":
        first = [task for task in pool.values() if task.part == "start"]
        choices = [
            Choice(task.task, task.is_classification, rank, None, False)
            for rank, task in enumerate(first, 1)
        ]
    else:
        # A draw belongs to the pool's own, and to how far the round is, whatever its name.
        draw = (params.seed, f"{next(iter(pool))} {len(before)}")
        choices = choose(left, params.method, scores, chunk, params.cls_share, draw)
    return [
        *before,
        *(
            Chosen(
                task=choice.task,
                is_classification=choice.is_classification,
                round=name,
                method=params.method,
                rank=choice.rank,
                score=choice.score,
                filled=choice.filled,
            )
            for choice in choices
        ),
    ]


def training(
    pool: Mapping[str, PoolTask], chosen: Sequence[Chosen], params: ActiveSelect, prompts: Prompts
) -> Iterator[TrainRow]:
    """What is trained on: of each task the same instances, whatever other tasks there are.

    Their prompts are those in which a model is asked later.
    """
    for row in chosen:
        task = pool[row.task]
        ranked = sorted(
            task.instances, key=lambda one: draws.rank(params.seed, "train", row.task, one.id)
        )
        for one in ranked[: params.examples]:
            text, _ = prompts.fill(task.instruction, demos_of(task.demos, one), one.input)
            completion = f" {one.outputs[0].strip()}"
            yield TrainRow(
                task=task.task, id=one.id, prompt=text, completion=completion, key=one.key
            )


def metrics(chosen: Sequence[Chosen], name: str, left: int) -> dict[str, Any]:
    """The stage's metrics. left: tasks of the pool that are not chosen yet."""
    new = [row for row in chosen if row.round == name]
    return {
        "chosen_tasks": len(chosen),
        "remaining_tasks": left,
        "chosen_of_round": {
            "classification": sum(row.is_classification for row in new),
            "generation": sum(not row.is_classification for row in new),
            "filled": sum(row.filled for row in new),
            "without_score": sum(row.score is None for row in new),
        },
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read pool, tasks and scores, choose; write the tasks, their rows to train on, and metrics.

    Raises:
        NoScores: the method chooses by scores, and the round before has none.
        TooFewLeft: of the pool.
        BadFile, BadRow: of what is read.
    """
    own, name = params.active_select, into.round.rpartition("/")[2]
    with Progress("active-select", None, "tasks") as progress:
        pool, before = read_pool(inputs.pool), read_chosen(inputs.before)
        scores = {} if own.method in FREE else read_scores(inputs.before)
        chosen = select(pool, before, scores, params.active_pool.chunk, own, name)
        left = sum(1 for _ in remaining(pool, chosen))
    write_files(
        {
            into.folder / CHOSEN: map(to_line, chosen),
            into.folder / TRAINED: map(to_line, training(pool, chosen, own, Prompts())),
            into.metrics: to_json(with_tables(metrics(chosen, name, left))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(chosen))
