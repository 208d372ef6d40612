"""Rows of Active Instruction Tuning, told back to scores, answers, prompts and the pool's task."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from seedbed.active.measures import Probability, probability_of
from seedbed.active.params import FREE
from seedbed.active.rows import (
    ACTIVE,
    ANSWERS,
    CHOSEN,
    PERTURBED,
    PIPELINE,
    POOL,
    SCORED,
    SCORES,
    SELECTED,
    TASKS,
    TRAINED,
    Answered,
    Chosen,
    Instance,
    Perturbed,
    PoolTask,
    Scored,
    TaskScore,
    TrainRow,
    demos_of,
)
from seedbed.active.sources import PreparedRow
from seedbed.core.files import exists
from seedbed.runs.places import Place, find, origin, row_at, rows_if_there, rows_of
from seedbed.runs.telling import Telling
from seedbed.tasks.prompts import Prompts

# Within the folder of a round, or of a pool: the files whose rows can be told.
FILES = {
    SELECTED: (CHOSEN, TRAINED),
    SCORED: (TASKS, ANSWERS, PERTURBED, SCORES),
    POOL: (TASKS,),
}
# A task may have thousands of instances; so many are told, unless all is asked for.
INSTANCES = 5
# So much of a key tells it from all others, and is enough to look it up.
KEY = 12
ADAPTER = Path("finetune/adapter.gguf")

Row = TypeVar("Row", Answered, Perturbed, Scored)


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told, a pattern for many. writers: what the stages write."""
    return [
        ACTIVE / "*" / folder / name
        for folder, names in FILES.items()
        if any(path.match(str(ACTIVE / "*" / folder)) for path in writers)
        for name in names
    ]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told: those of a round that there is no more cannot."""
    return path.parent in writers and any(path.match(str(file)) for file in files(writers))


def tell(telling: Telling, place: Place) -> None:
    """Tell a row of a file that it `knows`, and all it came from. Raises as `account`."""
    kind, name = Path(place.path.parent.name), place.path.name
    if kind == POOL:
        _pool_task(telling, place, row_at(place, PoolTask))
    elif name == CHOSEN:
        _chosen(telling, place, row_at(place, Chosen))
    elif name == TRAINED:
        _trained(telling, place, row_at(place, TrainRow))
    elif name == TASKS:
        _score(telling, place, row_at(place, TaskScore), _pool_of(telling, place))
    elif name == ANSWERS:
        _answer(telling, place, row_at(place, Answered))
    elif name == PERTURBED:
        _perturbed(telling, place, row_at(place, Perturbed))
    else:
        _scoring(telling, place, row_at(place, Scored))


# --- what was chosen


def _trained(telling: Telling, place: Place, row: TrainRow) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    path, name = place.path.with_name(CHOSEN), row.task
    found = origin(place, path, Chosen, lambda other: other.task == name, f"the task {name}")
    _chosen(telling, *found, "chosen: ")


def _chosen(telling: Telling, place: Place, row: Chosen, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row)
        telling.parameters(stage)
    if row.round != _folder_of(place).name:
        _chosen_before(telling, row)
        return
    run = _runs(telling).get(row.round)
    if run is None:
        telling.out.line(f"what it was chosen of: params.yaml has no round {row.round} any more")
        return
    pool = ACTIVE / run["pool"]
    if row.method in FREE:
        telling.out.line(f"its score: none, {row.method} chooses without")
        _pool_task(telling, *_in_pool(place, pool, row.task), how="its task: ")
        return
    scored = ACTIVE / run["before"] / SCORED
    found = find(scored / TASKS, TaskScore, lambda other: other.task == row.task)
    if found:
        _score(telling, *found, pool, "its score: ", chosen_by=stage)
    else:
        telling.out.line(
            f"its score: {scored / TASKS} has none, so it came after all those that have one"
        )
        _measured(telling, place, scored, pool, row.task)


def _chosen_before(telling: Telling, row: Chosen) -> None:
    """The same task where it was chosen: each round has the tasks of the one before, too."""
    path = ACTIVE / row.round / SELECTED / CHOSEN
    wanted = (row.task, row.round)
    found = (
        find(path, Chosen, lambda other: (other.task, other.round) == wanted)
        if exists(path)
        else None
    )
    if found:
        _chosen(telling, *found, "chosen by an earlier round: ")
    else:
        telling.out.line(f"chosen by an earlier round: {path} does not have it any more")


# --- what it was chosen by


def _score(
    telling: Telling,
    place: Place,
    row: TaskScore,
    pool: Path,
    how: str = "",
    chosen_by: str | None = None,
) -> None:
    """A task's score, and all that it was measured on. chosen_by: the stage that read it."""
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row)
        if chosen_by:
            telling.out.line(telling.pipeline.compared(chosen_by, place.path))
        telling.parameters(stage)
    _measured(telling, place, place.path.parent, pool, row.task)


def _measured(telling: Telling, place: Place, scored: Path, pool: Path, name: str) -> None:
    """The model, its answers, the prompts and the scorings of a task, then the task itself."""
    where, task = _in_pool(place, pool, name)
    adapter = scored.parent / ADAPTER
    with telling.out.under(f"its model: {adapter}"):
        telling.revision(telling.pipeline.stage_of(scored / TASKS), adapter)
    answers = _of(scored / ANSWERS, Answered, lambda row: row.task == name)
    _answers(telling, scored / ANSWERS, answers, task)
    _prompts(
        telling, scored / PERTURBED, _of(scored / PERTURBED, Perturbed, lambda r: r.task == name)
    )
    _scorings(telling, scored / SCORES, _of(scored / SCORES, Scored, lambda r: r.task == name))
    _pool_task(telling, where, task, [row.id for _, row in answers], "its task: ")


def _answers(
    telling: Telling, path: Path, rows: Sequence[tuple[Place, Answered]], task: PoolTask
) -> None:
    with telling.out.under(f"answers that were scored: {path}"):
        stage = telling.written(path)
        for where, row in rows:
            with telling.out.under(f"line {where.line}, of instance {row.id}"):
                _answered(telling, row)
        if not rows:
            telling.out.line("none: the task was not among those that were drawn to be scored")
        _prompt_files(telling, stage, [row for _, row in rows], task)


def _answered(telling: Telling, row: Answered) -> None:
    if row.text is None:
        telling.field("not scored", row.refused)
    else:
        telling.field("text", row.text)
    if row.key is None:
        telling.out.line("a right answer of the task's: no model was asked for it")
    else:
        telling.answer(row.key)


def _prompt_files(telling: Telling, stage: str, rows: Sequence[Answered], task: PoolTask) -> None:
    """The files that the prompts were made of, by the task as it is now."""
    wanted = {row.id for row in rows}
    prompts = Prompts()
    found = []
    for one in task.instances:
        if one.id in wanted:
            found.append(prompts.file_of(demos_of(task.demos, one), one.input))
    for file in dict.fromkeys(found):
        with telling.out.under(f"prompt file: {file}"):
            telling.revision(stage, file)


def _prompts(telling: Telling, path: Path, rows: Sequence[tuple[Place, Perturbed]]) -> None:
    with telling.out.under(f"prompts with words missing: {path}"):
        stage = telling.written(path)
        inputs = telling.pipeline.parameter(stage, "active_score.target") in ("te", "tdte")
        for _, row in rows:
            telling.field(f"k = {row.k}", row.instruction)
            # Else they are the task's own.
            for number, demo in enumerate(row.demos if inputs else [], 1):
                telling.field(f"k = {row.k}, input of demo {number}", demo.input)


def _scorings(telling: Telling, path: Path, rows: Sequence[tuple[Place, Scored]]) -> None:
    with telling.out.under(f"its scorings, of which k = 0 is under the whole prompt: {path}"):
        stage = telling.written(path)
        kind = telling.pipeline.parameter(stage, "active_score.probability")
        for _, row in rows:
            told = (
                f"instance {row.id}, k = {row.k}: {row.tokens} tokens, total {row.total:.3f}"
                f"{_probability(row, kind)}"
            )
            if telling.full:
                with telling.out.under(told):
                    telling.answer(row.key)
            else:
                telling.out.line(f"{told}, scoring {row.key[:KEY]}…")


def _probability(row: Scored, kind: Probability) -> str:
    try:
        return f", probability {probability_of(row.total, row.tokens, kind):.3f}"
    except ArithmeticError:  # of a file that was written by hand
        return ""


def _answer(telling: Telling, place: Place, row: Answered) -> None:
    where, task = _in_pool(place, _pool_of(telling, place), row.task)
    with telling.out.under(str(place)):
        stage = telling.row(place, row, apart=["text", "refused"])
        _answered(telling, row)
        _prompt_files(telling, stage, [row], task)
        telling.parameters(stage)
    _pool_task(telling, where, task, [row.id], "its task: ")


def _perturbed(telling: Telling, place: Place, row: Perturbed) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    where, task = _in_pool(place, _pool_of(telling, place), row.task)
    _pool_task(telling, where, task, how="its task: ")


def _scoring(telling: Telling, place: Place, row: Scored) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.answer(row.key)
        telling.parameters(stage)
    where, task = _in_pool(place, _pool_of(telling, place), row.task)
    path = place.path.with_name(ANSWERS)
    wanted = (row.task, row.id)
    answers = _of(path, Answered, lambda other: (other.task, other.id) == wanted)
    _answers(telling, path, answers, task)
    if row.k:
        path = place.path.with_name(PERTURBED)
        shown = (row.task, row.k)
        _prompts(telling, path, _of(path, Perturbed, lambda other: (other.task, other.k) == shown))
    _pool_task(telling, where, task, [row.id], "its task: ")


# --- the pool


def _pool_task(
    telling: Telling, place: Place, row: PoolTask, ids: Collection[str] = (), how: str = ""
) -> None:
    """A task of the pool, and the file that it comes from. ids: of the instances to be told."""
    with telling.out.under(f"{how}{place}"):
        stage = telling.row(place, row, apart=["demos", "instances"])
        telling.field("demos", len(row.demos))
        shown = [one for one in row.instances if not ids or one.id in ids]
        _instances(telling, shown, len(row.instances))
        telling.parameters(stage)
    source = Path(row.source)
    with telling.out.under(f"it came from {source}"):
        telling.revision(stage, source)
        keys = {one.id: one.key for one in row.instances if one.key is not None}
        made = enumerate(rows_if_there(source, PreparedRow), 1) if keys else ()
        for line, one in made:
            if key := keys.pop(one.id, None):
                told = f"`seedbed trace {source}:{line}` tells that row"
                telling.out.line(f"instance {one.id}, of the answer {key[:KEY]}…: {told}")
        for id_, key in keys.items():
            gone = "the file does not have it any more"
            telling.out.line(f"instance {id_}, of the answer {key[:KEY]}…: {gone}")


def _instances(telling: Telling, shown: Sequence[Instance], instances: int) -> None:
    told = shown if telling.full else shown[:INSTANCES]
    some = "" if len(told) == instances else f", of which {len(told):,} are told"
    with telling.out.under(f"instances: {instances:,}{some}"):
        for one in told:
            for name, value in one.model_dump(exclude={"key"}).items():
                telling.field(name, value)


def _in_pool(place: Place, pool: Path, name: str) -> tuple[Place, PoolTask]:
    """The task that a row is about. Raises NotHere, OriginMissing: the pool lacks it."""
    path = pool / POOL / TASKS
    return origin(place, path, PoolTask, lambda task: task.task == name, f"the task {name}")


def _folder_of(place: Place) -> Path:
    """The folder of the round that a file is of."""
    return place.path.parent.parent


def _runs(telling: Telling) -> dict[str, dict[str, str]]:
    """The rounds as params.yaml has them: DVC has filled in its stages by them already."""
    stage = f"{PIPELINE}:active-curve"
    runs: dict[str, dict[str, str]] = telling.pipeline.parameter(stage, "active.runs")
    return runs


def _pool_of(telling: Telling, place: Place) -> Path:
    """The folder of the pool that the tasks of a scored round are of."""
    name = f"active.scored.{_folder_of(place).name}.pool"
    return ACTIVE / str(telling.pipeline.parameter(telling.pipeline.stage_of(place.path), name))


def _of(path: Path, record: type[Row], wanted: Callable[[Row], bool]) -> list[tuple[Place, Row]]:
    """The rows that are wanted, each with its place. Raises NotHere, BadFile, BadRow."""
    rows = enumerate(rows_of(path, record), 1)
    return [(Place(path, line), row) for line, row in rows if wanted(row)]
