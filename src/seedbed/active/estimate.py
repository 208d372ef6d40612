"""What the rounds would take, before one of them is run: trainings, and what their models are asked.

Of a round whose adapter is there the requests are looked up. Of one that has none yet they are
counted: of its pool if that is drawn, else of the parameters and the tasks that are there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, repeat
from math import ceil
from pathlib import Path
from typing import Protocol

from seedbed.active import active_pool
from seedbed.active.active_pool import Source
from seedbed.active.active_score import gold_answers, own_answers, pairs
from seedbed.active.draw import Draw, draw
from seedbed.active.errors import PoolTooSmall
from seedbed.active.params import Active, ActivePool, ActiveScore, ActiveSelect
from seedbed.active.prompts import Asked, asked, perturbed, requests
from seedbed.active.rows import (
    ACTIVE,
    HELD_OUT,
    POOL,
    SELECTED,
    TASKS,
    TRAINED,
    Answered,
    HeldOutTask,
    PoolTask,
    TrainTask,
    read_chosen,
    read_pool,
    remaining,
)
from seedbed.core.files import exists, read_rows
from seedbed.core.section import Section
from seedbed.errors import SeedbedError
from seedbed.llm.contract.request import Request, Sampling
from seedbed.llm.contract.wire import Answer
from seedbed.llm.errors import BadAdapter
from seedbed.llm.params import Llm
from seedbed.runs.dry_run import Foreseen, Foresight
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks, task_name
from seedbed.tasks.prompts import Prompts

# Within the folder of a round: what training leaves.
ADAPTER = Path("finetune/adapter.gguf")


class Finetune(Section):
    """How long a training is, of its section."""

    rows: int | None
    epochs: int
    max_steps: int | None
    batch: int


class Evaluate(Section):
    """How evaluate asks, of its section."""

    shots: int
    leave_out_overlaps: int | None
    sampling: Sampling


class Sections(Protocol):
    """What is read of params.yaml."""

    @property
    def active(self) -> Active: ...
    @property
    def active_pool(self) -> ActivePool: ...
    @property
    def active_score(self) -> ActiveScore: ...
    @property
    def active_select(self) -> ActiveSelect: ...
    @property
    def finetune(self) -> Finetune: ...
    @property
    def evaluate(self) -> Evaluate: ...


@dataclass(frozen=True)
class Pool:
    """A pool of tasks. guess: what it was made up from, if it is not drawn yet; else ""."""

    name: str
    tasks: list[PoolTask]
    held_out: list[HeldOutTask]
    guess: str

    @property
    def rest(self) -> list[PoolTask]:
        """Those that the first round leaves, in the order of the draw."""
        return [task for task in self.tasks if task.part == "rest"]


@dataclass
class Seen:
    """What all rounds would take together, a line a stage.

    untrained: the rounds without an adapter. unchosen: those whose tasks nobody knows yet.
    steps: of the trainings that are left. scorings: of the requests of `score`.
    unanswered: whether some texts that are to be scored are not there yet.
    """

    train: Foreseen = field(default_factory=lambda: Foreseen("active-train"))
    evaluate: Foreseen = field(default_factory=lambda: Foreseen("active-evaluate"))
    score: Foreseen = field(default_factory=lambda: Foreseen("active-score"))
    untrained: list[str] = field(default_factory=list)
    unchosen: list[str] = field(default_factory=list)
    steps: int = 0
    scorings: int = 0
    unanswered: bool = False


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """Training, evaluating and scoring, each of all rounds together.

    An adapter that is there is taken for the one that a run would make.

    Raises:
        BadFile, BadRow: a prompt file, or what a round wrote, is broken.
    """
    seen, prompts = Seen(), Prompts()
    for name in params.active.pools:
        try:
            pool = _pool(name, params)
        except SeedbedError as error:  # it is that stage's affair, and no other's
            for line in (seen.train, seen.evaluate, seen.score):
                line.guess(f"requests: without those of {name}: {_first_line(error)}")
            continue
        if pool.guess:
            seen.evaluate.guess(f"requests: {pool.guess}")
            seen.score.guess(f"requests: {pool.guess}")
        _walk(pool, params, prompts, seen, foresight)
    _tell(params, seen)
    return [seen.train, seen.evaluate, seen.score]


def _walk(pool: Pool, params: Sections, prompts: Prompts, seen: Seen, foresight: Foresight) -> None:
    """The rounds of a pool, one by one."""
    own, by_name = params.active_score, {task.task: task for task in pool.tasks}
    tries = list(evaluations(pool.held_out, params.evaluate, prompts))
    number: dict[str, int] = {}
    # Of rounds with as many tasks, none of which is known, one is as good as another.
    like: dict[int, list[Asked]] = {}
    for name, run in params.active.runs.items():
        if run.pool != pool.name:
            continue
        number[name] = number.get(run.before, 0) + 1
        # Beside the first chunk, which is drawn with the pool.
        taken = (number[name] - 1) * params.active_pool.chunk
        chosen = [] if pool.guess else read_chosen(ACTIVE / name)
        if taken and not chosen:
            seen.unchosen.append(name)
        instances: list[Asked] = []
        if name in params.active.scored:
            if chosen:
                instances = asked(list(remaining(by_name, chosen)), own)
            else:
                instances = like.get(taken) or asked(pool.rest[taken:], own)
                like[taken] = instances
        if pool.guess or not exists(ACTIVE / name / ADAPTER):
            seen.untrained.append(name)
            seen.steps += steps(_rows(pool, name, taken, params), params.finetune)
            _count(tries, instances, own, prompts, seen, foresight)
            continue
        try:
            with foresight.of(with_adapter(foresight.llm, ACTIVE / name / ADAPTER)) as other:
                for _ in other.look_up(seen.evaluate, tries):
                    pass
                _look_up(instances, own, prompts, seen, other)
        except BadAdapter as error:
            seen.evaluate.guess(f"in store: none of {name}, {_first_line(error)}")
            _count(tries, instances, own, prompts, seen, foresight)


def _count(
    tries: Iterable[Request],
    instances: Sequence[Asked],
    own: ActiveScore,
    prompts: Prompts,
    seen: Seen,
    foresight: Foresight,
) -> None:
    """What a round's model is asked, none of which can be in the store."""
    foresight.more(seen.evaluate, tries)
    times = own.perturbations + 1
    for one, request in zip(instances, requests(instances, own, prompts), strict=True):
        if own.labels == "own":
            foresight.more(seen.score, [request])
            seen.unanswered = True
        # Each as long as the whole prompt: to spoil thousands takes minutes.
        text = _stand_in(one, own).text or ""
        seen.score.requests += times
        seen.score.characters += times * (len(request.prompt) + len(text))
        seen.scorings += times


def _look_up(
    instances: Sequence[Asked], own: ActiveScore, prompts: Prompts, seen: Seen, other: Foresight
) -> None:
    """What a round's model is asked when it is scored."""
    answers: Iterable[Answer | None] = [None] * len(instances)
    if own.labels == "own":
        answers = other.look_up(seen.score, requests(instances, own, prompts))
    answered: list[Answered] = []
    for one, answer in zip(instances, answers, strict=True):
        if answer is not None:
            answered += own_answers([one], [answer], own)
        else:
            answered.append(_stand_in(one, own))
            seen.unanswered |= own.labels == "own"
    shown = {one.task.task: perturbed(one.task, own) for one in instances}
    before = seen.score.requests
    wanted = pairs(instances, answered, shown, own, prompts)
    other.look_up_scores(seen.score, (pair for _, _, pair in wanted))
    seen.scorings += seen.score.requests - before


def _stand_in(one: Asked, own: ActiveScore) -> Answered:
    """A right answer, as it would be scored."""
    (answer,) = gold_answers([one], None, 0, own)
    return answer


def _tell(params: Sections, seen: Seen) -> None:
    """What of it is a guess, and what has no column."""
    scored = params.active.scored
    if seen.untrained:
        seen.train.guess(
            f"trainings: {len(seen.untrained)}, of {seen.steps:,} steps together, as if no row were"
            " left out"
        )
        not_trained = "in store: none of {}, not trained yet".format
        seen.evaluate.guess(not_trained(_named(seen.untrained)))
        if names := [name for name in seen.untrained if name in scored]:
            seen.score.guess(not_trained(_named(names)))
    if seen.unchosen:
        seen.train.guess(
            f"rows: as many a task as the pool has, for {_named(seen.unchosen)}, not chosen yet"
        )
        if names := [name for name in seen.unchosen if name in scored]:
            seen.score.guess(f"prompts: as if the last of the pool were left to {_named(names)}")
    if params.evaluate.leave_out_overlaps and seen.evaluate.requests:
        seen.evaluate.guess("requests: as if none overlapped with what a model is trained on")
    if seen.score.missing:
        unless = "refused" if seen.unanswered else ""
        if params.active_score.labels == "gold":
            unless = "too long"
        unless = unless and f", as if no answer were {unless}"
        seen.score.guess(f"requests: {seen.scorings:,} of them scorings{unless}")
    if seen.unanswered:
        seen.score.guess("prompts: as if answers that are not there yet were right ones")
    # What an answer took would be laid to the scorings, too: at most max_tokens is said instead.
    seen.score.counted.clear()


def evaluations(
    tasks: Iterable[HeldOutTask], params: Evaluate, prompts: Prompts
) -> Iterator[Request]:
    """What evaluate asks a model. A task's other instances stand in for demos, as they do there."""
    for task in tasks:
        for instance in task.instances:
            others = [
                (other.input, other.output[0])
                for other in task.instances
                if other.input != instance.input
            ]
            told, demos = task.instruction.strip(), others[: params.shots]
            text, shared = prompts.fill(told, demos, instance.input)
            yield Request(text, params.sampling, prefixes=(shared,))


def steps(rows: int, params: Finetune) -> int:
    """How many steps of the optimizer a training on so many rows has."""
    planned = params.epochs * ceil((params.rows or rows) / params.batch)
    return planned if params.max_steps is None else min(planned, params.max_steps)


def with_adapter(llm: Llm, adapter: Path) -> Llm:
    """The engine's parameters for a round's model."""
    embedded = llm.embedded.model_copy(update={"adapter": str(adapter)})
    return llm.model_copy(update={"embedded": embedded})


def _rows(pool: Pool, name: str, taken: int, params: Sections) -> int:
    """How many rows a round trains on. taken: tasks beside the first chunk."""
    path = ACTIVE / name / SELECTED / TRAINED
    if not pool.guess and exists(path):
        return sum(len(task.instances) for task in read_rows(path, TrainTask))
    most = params.active_select.examples
    first = [len(task.instances[:most]) for task in pool.tasks if task.part == "start"]
    rest = [len(task.instances[:most]) for task in pool.rest]
    return sum(first) + (ceil(sum(rest) / len(rest) * taken) if rest else 0)


# --- pools


def _pool(name: str, params: Sections) -> Pool:
    """A pool as it is drawn, or as it may be.

    Raises:
        PoolTooSmall: it will not do.
        SeedbedError: as `active_pool.read_pool` and `active_pool.read_tasks`.
    """
    folder, own = ACTIVE / name, params.active_pool
    if exists(folder / POOL / TASKS):
        held_out = list(read_rows(folder / POOL / HELD_OUT, HeldOutTask))
        return Pool(name, list(read_pool(folder).values()), held_out, "")
    if own.source == "self_instruct":
        sources = active_pool.read_pool(own, active_pool.Inputs())
        _check(len(sources), params)
        classification = {one.task.name for one in sources if one.task.is_classification}
        names, seed = [one.task.name for one in sources], params.active.pools[name].seed
        drawn = draw(names, classification, own.chunk, own.dev, seed)
        tasks = list(active_pool.rows(sources, drawn))
        guess = f"as if {name} were drawn of the {len(tasks)} tasks that are there"
    else:
        score, select = params.active_score, params.active_select
        least = max(score.instances, own.dev_examples, select.examples or 0)
        source, count = _first(Path(own.folder), own.tasks, least)
        _check(count, params)
        tasks = _alike(source, count, own)
        guess = f"as if all {count} tasks of {name} were like {source.task.name}"
    dev = [task for task in tasks if task.part == "dev"]
    return Pool(name, tasks, [*_test(own), *active_pool.held_out([], dev, own)], guess)


def _check(tasks: int, params: Sections) -> None:
    own, rounds = params.active_pool, active_pool.longest(params.active.runs)
    if tasks < own.dev + rounds * own.chunk:
        raise PoolTooSmall(tasks, own.chunk, own.dev, rounds)


def _first(folder: Path, names: str | None, least: int) -> tuple[Source, int]:
    """One task of a folder, with so many examples at least, and how many tasks are wanted of it.

    To read them all would take minutes: there are thousands.
    """
    there = {task_name(path): path for path in find_tasks(folder)}
    wanted = (active_pool.read_names(Path(names)) if names else None) or there
    path = next((there[name] for name in wanted if name in there), next(iter(there.values())))
    task = read_task(path)
    examples = islice(cycle(task.examples), max(least, len(task.examples)))
    return Source(task.model_copy(update={"examples": [*examples]}), path, {}), len(wanted)


def _alike(source: Source, count: int, own: ActivePool) -> list[PoolTask]:
    """So many tasks that differ in nothing but their names, as if drawn."""
    (one,) = active_pool.rows([source], Draw([source.task.name], [], []))
    parts = ["start"] * own.chunk + ["dev"] * own.dev
    parts += ["rest"] * (count - len(parts))
    return [
        one.model_copy(update={"task": f"{number}", "part": part})
        for number, part in enumerate(parts)
    ]


def _test(own: ActivePool) -> Iterator[HeldOutTask]:
    path = Path(own.test)
    if path.suffix == ".jsonl":
        names = Path(own.test_tasks) if own.test_tasks else None
        yield from active_pool.held_out(active_pool.read_tasks(path, names), [], own)
        return
    source, count = _first(path, own.test_tasks, own.test_examples)
    (one,) = active_pool.held_out([source], [], own)
    yield from repeat(one, count)


def _first_line(error: SeedbedError) -> str:
    return str(error).partition("\n")[0]


def _named(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
