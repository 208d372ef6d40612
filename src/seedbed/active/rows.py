"""The files of Active Instruction Tuning, and their rows.

Each round has a folder, data/active/ROUND, and a pool likewise: a stage of a round writes there,
so that the next round depends on the folder of the one before.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from seedbed.active.errors import NoScores
from seedbed.core.files import exists, read_rows
from seedbed.core.paths import DATA
from seedbed.core.records import Record

PIPELINE = Path("pipelines/active/dvc.yaml")
ACTIVE = DATA / "active"
# Within the folder of a pool, or of a round.
POOL, SELECTED, SCORED = Path("active_pool"), Path("active_select"), Path("active_score")
TASKS, HELD_OUT = "tasks.jsonl", "held_out.jsonl"
CHOSEN, TRAINED = "chosen.jsonl", "train.jsonl"
ANSWERS, PERTURBED, SCORES = "answers.jsonl", "perturbed.jsonl", "scores.jsonl"

Part = Literal["start", "dev", "rest"]


class Demo(Record):
    """A worked example of a task."""

    input: str
    output: str


class Instance(Record):
    """An input and its right outputs. key: of the answer that it was made of, if it was."""

    id: str
    input: str
    outputs: list[str] = Field(min_length=1)
    key: str | None = None


class PoolTask(Record):
    """A task of the pool (active-pool). source: the file that it comes from."""

    task: str
    part: Part
    is_classification: bool
    instruction: str
    source: str
    demos: list[Demo]
    instances: list[Instance] = Field(min_length=1)


class HeldOutInstance(Record):
    """As the stage evaluate reads it: all outputs are equally right."""

    input: str
    output: list[str]


class HeldOutTask(Record):
    """A task that models are tried on, in the seed tasks' form; motivation_app: test or dev."""

    id: str
    instruction: str
    demos: list[Demo]
    instances: list[HeldOutInstance]
    is_classification: bool
    motivation_app: Literal["test", "dev"]


class TrainRow(Record):
    """What is trained on (active-select): an instance's prompt, and the first right output.

    key: of the answer that the instance was made of, if it was.
    """

    task: str
    id: str
    prompt: str
    completion: str
    key: str | None


class TrainedRow(Record):
    """What is read of a row that a model was trained on (finetune). line: of train.jsonl."""

    line: int


class Chosen(Record):
    """A task that is trained on (active-select).

    round: by which it was chosen, method: how. rank: its place in the method's order of its kind.
    score: by which it was ranked, null where by none. filled: it stands in for the other kind.
    """

    task: str
    is_classification: bool
    round: str
    method: str
    rank: int
    score: float | None
    filled: bool


class Answered(Record):
    """What a model's uncertainty is measured on (active-score).

    text: whose probability is taken: the model's own answer, or a right one; null if there is none,
        and then `refused` says why. key: of the model's answer.
    """

    task: str
    id: str
    text: str | None
    refused: str | None
    key: str | None


class Perturbed(Record):
    """An instruction with words missing, and demos' inputs (active-score). k: from 1."""

    task: str
    k: int
    instruction: str
    demos: list[Demo]


class Scored(Record):
    """How likely an answer is under the whole prompt (k = 0) or a spoilt one (active-score).

    total: the sum of its tokens' log-probabilities, in nats.
    """

    task: str
    id: str
    k: int
    tokens: int
    total: float
    key: str


class TaskScore(Record):
    """How unsure a model is of a task (active-score); see `seedbed.active.measures`.

    instances: so many were scored, and so many refused.
    """

    task: str
    is_classification: bool
    instances: int
    refused: int
    uncertainty: float
    probability: float
    perplexity: float


class Evaluated(Record):
    """What is read of a task's score (evaluate)."""

    task: str
    category: str
    is_classification: bool
    examples: int
    rouge_l: float
    exact_match: float


def demos_of(
    demos: Sequence[Demo], instance: Instance, shown: Sequence[Demo] | None = None
) -> list[tuple[str, str]]:
    """(input, output) of the demos before an instance: all but those that would be its answer.

    shown: what is shown in place of each.
    """
    both = zip(demos, shown or demos, strict=True)
    return [(other.input, other.output) for demo, other in both if demo.input != instance.input]


def read_pool(folder: Path) -> dict[str, PoolTask]:
    """The tasks of a pool by name, in the order of its draw. Raises BadFile, BadRow."""
    return {row.task: row for row in read_rows(folder / POOL / TASKS, PoolTask)}


def read_chosen(folder: Path) -> list[Chosen]:
    """The tasks that a round trains on; none of a pool's folder. Raises BadFile, BadRow."""
    path = folder / SELECTED / CHOSEN
    return list(read_rows(path, Chosen)) if exists(folder / SELECTED) else []


def read_scores(folder: Path) -> dict[str, TaskScore]:
    """What a round's model is unsure of. Raises NoScores, BadFile, BadRow."""
    path = folder / SCORED / TASKS
    if not exists(path):
        raise NoScores(folder.name)
    return {row.task: row for row in read_rows(path, TaskScore)}


def remaining(pool: Mapping[str, PoolTask], chosen: list[Chosen]) -> Iterator[PoolTask]:
    """The tasks that are neither held out nor chosen, in the pool's order."""
    taken = {row.task for row in chosen}
    return (task for task in pool.values() if task.part != "dev" and task.task not in taken)
