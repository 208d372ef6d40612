"""What the rounds would take: how much is trained, and what their models are asked.

Of a round whose adapter is there the requests are looked up. Of one that has none yet they are
counted, from its pool if that is drawn, else from the parameters and the tasks that are there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from seedbed.active.active_score import gold, gold_answers, own_answers, pairs
from seedbed.active.foreseen_pool import Pool, read_or_guess
from seedbed.active.params import Sections as Own
from seedbed.active.prompts import Asked, asked, perturbed, requests
from seedbed.active.rows import (
    ACTIVE,
    SELECTED,
    TRAINED,
    Answered,
    HeldOutTask,
    PoolTask,
    TrainRow,
    read_chosen,
    remaining,
)
from seedbed.core.files import exists, read_rows
from seedbed.core.section import Section
from seedbed.errors import SeedbedError
from seedbed.llm.contract.request import Request, Sampling
from seedbed.llm.contract.wire import Answer
from seedbed.llm.errors import BadAdapter
from seedbed.runs.dry_run import Foreseen, Foresight
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

    leave_out_overlaps: int | None
    sampling: Sampling


class Sections(Own):
    """What is read of params.yaml."""

    finetune: Finetune
    evaluate: Evaluate


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """Training, evaluating and scoring, each of all rounds together.

    An adapter that is there is taken for the one that a run would make.

    Raises:
        BadFile, BadRow: a prompt file, or what a round wrote, is broken.
    """
    rounds = Rounds(params, Prompts())
    lines = [rounds.train, rounds.evaluate, rounds.score]
    guesses: dict[str, list[str]] = {}
    for name in params.active.pools:
        try:
            pool = read_or_guess(name, params)
        except SeedbedError as error:  # it is that stage's affair, and no other's
            for line in lines:
                line.guess(f"requests: none of {name}'s: {str(error).splitlines()[0]}")
            continue
        guesses.setdefault(pool.guess, []).append(name)
        rounds.walk(pool, foresight)
    guesses.pop("", None)
    for guess, names in guesses.items():
        for line, what in zip(lines, ("rows", "requests", "requests"), strict=True):
            line.guess(f"{what}: as if {_named(names)} were {guess}")
    rounds.tell()
    return lines


@dataclass
class Rounds:
    """The rounds that were walked through, together; a line a stage.

    untrained: those without an adapter. unchosen: those whose tasks nobody knows yet.
    steps: of the trainings that are left. scorings: of the requests of `score`.
    unanswered: whether some of the texts that are to be scored are not there yet.
    """

    params: Sections
    prompts: Prompts
    train: Foreseen = field(default_factory=lambda: Foreseen("active-train"))
    evaluate: Foreseen = field(default_factory=lambda: Foreseen("active-evaluate"))
    score: Foreseen = field(default_factory=lambda: Foreseen("active-score"))
    untrained: list[str] = field(default_factory=list)
    unchosen: list[str] = field(default_factory=list)
    steps: int = 0
    scorings: int = 0
    unanswered: bool = False

    def walk(self, pool: Pool, foresight: Foresight) -> None:
        """Count the rounds of a pool. Raises BadFile, BadRow: of what they wrote."""
        params = self.params
        sampling, shots = params.evaluate.sampling, params.active_pool.demos
        tried = list(evaluations(pool.held_out, sampling, shots, self.prompts))
        number: dict[str, int] = {}
        # Of rounds with as many tasks, none of which is known, one is as good as another.
        alike: dict[int, Foreseen] = {}
        for name, run in params.active.runs.items():
            if run.pool != pool.name:
                continue
            number[name] = number.get(run.before, 0) + 1
            # The first chunk is drawn with the pool, whatever is chosen later.
            later = (number[name] - 1) * params.active_pool.chunk
            chosen = [] if pool.guess else read_chosen(ACTIVE / name)
            left = list(remaining({task.task: task for task in pool.tasks}, chosen))
            if not chosen:
                left = _part(pool, "rest")[later:]
                self.unchosen += [name] if later else []
            scored = left if name in params.active.scored else []
            # For how many tasks each of those that were read stands.
            there = len(left) + pool.unread
            most = params.active_score.max_tasks or there
            weight = min(most, there) / (min(most, len(left)) or 1)
            if scored and weight > 1:
                self.score.guess(f"requests: {len(left):,} of {there:,} tasks were read, for all")
            if pool.guess or not exists(ACTIVE / name / ADAPTER):
                rows = _rows(pool, name, later, params.active_select.examples)
                self.untrained.append(name)
                self.steps += steps(rows, params.finetune)
            elif self._look_up(name, tried, scored, weight, foresight):
                continue
            foresight.more(self.evaluate, tried)
            if scored and chosen:
                self._add(self._to_score(scored, foresight), weight)
            elif scored:
                alike[later] = alike.get(later) or self._to_score(scored, foresight)
                self._add(alike[later], weight)

    def _to_score(self, tasks: Sequence[PoolTask], foresight: Foresight) -> Foreseen:
        """What is asked to score tasks, of which the store cannot have any answer."""
        own, seen = self.params.active_score, Foreseen("active-score")
        instances = asked(tasks, own)
        for one, request in zip(instances, requests(instances, own, self.prompts), strict=True):
            if own.labels == "own":
                foresight.more(seen, [request])
            # As if no word were missing: to spoil the prompts of thousands takes minutes.
            seen.characters += (own.perturbations + 1) * len(request.prompt + gold(one) + own.end)
        seen.requests += len(instances) * (own.perturbations + 1)
        return seen

    def _add(self, seen: Foreseen, weight: float) -> None:
        """Add what one round is asked, without any answer of it, to the others."""
        asks = self.params.active_score.labels == "own"
        times = self.params.active_score.perturbations + 1
        self.score.add(seen, weight)
        self.scorings += round(seen.requests * weight) * times // (times + asks)
        self.unanswered |= asks

    def _look_up(
        self,
        name: str,
        tried: Sequence[Request],
        scored: Sequence[PoolTask],
        weight: float,
        foresight: Foresight,
    ) -> bool:
        """What a round's model is asked; whether anybody can ask it."""
        adapter = {"adapter": str(ACTIVE / name / ADAPTER)}
        embedded = foresight.llm.embedded.model_copy(update=adapter)
        try:
            with foresight.of(foresight.llm.model_copy(update={"embedded": embedded})) as other:
                for _ in other.look_up(self.evaluate, tried):
                    pass
                instances = asked(scored, self.params.active_score)
                part, scorings = self._look_up_scores(instances, other)
                self.score.add(part, weight)
                self.scorings += round(scorings * weight)
        except BadAdapter as error:
            for line in [self.evaluate, self.score] if scored else [self.evaluate]:
                line.guess(f"in store: none of {name}'s: {str(error).splitlines()[0]}")
            return False
        return True

    def _look_up_scores(
        self, instances: Sequence[Asked], foresight: Foresight
    ) -> tuple[Foreseen, int]:
        """What is asked to score these; and how much of it scores."""
        own, seen = self.params.active_score, Foreseen(self.score.stage)
        answers: Iterable[Answer | None] = [None] * len(instances)
        if own.labels == "own":
            answers = foresight.look_up(seen, requests(instances, own, self.prompts))
        answered: list[Answered] = []
        for one, answer in zip(instances, answers, strict=True):
            if answer is not None:
                answered += own_answers([one], [answer], own)
            else:
                # A right answer stands in for it.
                answered += gold_answers([one], [True], own)
                self.unanswered |= own.labels == "own"
        shown = {one.task.task: perturbed(one.task, own) for one in instances}
        asking = seen.requests
        wanted = pairs(instances, answered, shown, self.prompts)
        foresight.look_up_scores(seen, (pair for _, _, pair in wanted))
        return seen, seen.requests - asking

    def tell(self) -> None:
        """Say what of it is a guess, and what has no column."""
        scored = self.params.active.scored
        if self.untrained:
            self.train.guess(
                f"trainings: {len(self.untrained)}, of {self.steps:,} steps together, as if no row "
                "were left out"
            )
            self.evaluate.guess(f"in store: none of {_named(self.untrained)}, not trained yet")
        if names := [name for name in self.untrained if name in scored]:
            self.score.guess(f"in store: none of {_named(names)}, not trained yet")
        if self.unchosen:
            which = _named(self.unchosen)
            self.train.guess(f"rows: as many a task as the pool has, for {which}, not chosen yet")
        if names := [name for name in self.unchosen if name in scored]:
            self.score.guess(f"prompts: as if the last of the pool were left to {_named(names)}")
        if self.params.evaluate.leave_out_overlaps and self.evaluate.requests:
            self.evaluate.guess("requests: as if none overlapped with what a model is trained on")
        if self.score.missing:
            may_be = "refused" if self.unanswered else ""
            if self.params.active_score.labels == "gold":
                may_be = "too long"
            unless = may_be and f", as if no answer were {may_be}"
            self.score.guess(f"requests: {self.scorings:,} of them scorings{unless}")
        if self.unanswered:
            self.score.guess("prompts: as if answers that are not there yet were right ones")
        # Else each scoring would be taken for an answer, as long as those that are there.
        self.score.counted.clear()


def evaluations(
    tasks: Iterable[HeldOutTask], sampling: Sampling, shots: int, prompts: Prompts
) -> Iterator[Request]:
    """What evaluate asks a model: as there, a task without demos shows its other instances."""
    for task in tasks:
        others = [(one.input, one.output[0]) for one in task.instances]
        known = [(demo.input, demo.output) for demo in task.demos] or others
        for instance in task.instances:
            demos = [pair for pair in known if pair[0] != instance.input][:shots]
            text, shared = prompts.fill(task.instruction.strip(), demos, instance.input)
            yield Request(text, sampling, prefixes=(shared,))


def steps(rows: int, params: Finetune) -> int:
    """How many steps of the optimizer a training on so many rows has."""
    planned = params.epochs * ceil((params.rows or rows) / params.batch)
    return planned if params.max_steps is None else min(planned, params.max_steps)


def _part(pool: Pool, part: str) -> list[PoolTask]:
    return [task for task in pool.tasks if task.part == part]


def _rows(pool: Pool, name: str, later: int, most: int | None) -> int:
    """How many rows a round trains on. later: its tasks besides the first chunk."""
    path = ACTIVE / name / SELECTED / TRAINED
    if not pool.guess and exists(path):
        return sum(1 for _ in read_rows(path, TrainRow))
    first, rest = (
        [len(task.instances[:most]) for task in _part(pool, part)] for part in ("start", "rest")
    )
    return sum(first) + (ceil(sum(rest) / len(rest) * later) if rest else 0)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
