"""alpaca: seed tasks → whole tasks, many a request.

The model is shown a few seed tasks with their inputs and outputs, and continues the list: one
request where bootstrap, clf and instances take three and more (Stanford Alpaca's change to
Self-Instruct). An instruction is kept by bootstrap's filters, and if it is unlike all that there
are; input and output are left to `prepare`. What a prompt shows does not depend on the answers, but
how many are asked does: it goes in rounds, judged in the requests' order, until there are enough.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from seedbed.core import draws
from seedbed.core.files import to_json, write_files
from seedbed.core.metrics import counts, mean, share, with_tables
from seedbed.core.paths import PROMPTS, Into
from seedbed.core.pool import Pool
from seedbed.core.progress import Progress
from seedbed.core.prompts import read_prompt
from seedbed.core.records import Exchange
from seedbed.core.section import Section
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm
from seedbed.llm.spool import Rows, spooled
from seedbed.self_instruct.alpaca_rows import REJECTED_TASKS, TASKS, RejectedTask, Task
from seedbed.self_instruct.errors import NothingNew, TooFewSeedTasks
from seedbed.self_instruct.instructions import REASONS, refuser
from seedbed.self_instruct.params import Alpaca, Filters
from seedbed.self_instruct.rows import SEED_TASKS, SeedTask, instruction_id
from seedbed.self_instruct.seeds import read_seed_tasks
from seedbed.self_instruct.task_list import Shown, Written, listed, split_list

# `cut_at_length`: the last task of a completion that was cut; `no_output`: nothing in it is one;
# `surplus`: more came in the last round than were asked for. A completion that is of no use is
# refused whole.
ALL_REASONS = ("cut_at_length", *REASONS, "no_output", "too_similar", "surplus", *PROBLEMS)


class Params(Section):
    """The sections that dvc.yaml declares for this stage; of bootstrap's the filters alone."""

    llm: Llm
    bootstrap: Filters
    alpaca: Alpaca


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    seed_tasks: Path = SEED_TASKS


class Template:
    """The prompt file: the number of tasks that its list has in all, and those that it shows."""

    def __init__(self, params: Alpaca):
        """Raises as `read_prompt`."""
        places = ("{count}", "{tasks}")
        text = read_prompt(PROMPTS / "alpaca/tasks.txt", places)
        before, _, after = text.partition("{tasks}")
        count = str(params.num_prompt_tasks + params.num_tasks_a_request)
        self._before, self._after = (part.replace("{count}", count) for part in (before, after))

    @property
    def prefix(self) -> str:
        """What every prompt begins with."""
        return self._before.rstrip(" ")

    def fill(self, shown: Iterable[SeedTask]) -> str:
        """The prompt with these tasks, each with its first instance."""
        tasks = [
            Shown(task.instruction, task.instances[0].input, task.instances[0].output)
            for task in shown
        ]
        return self._before + listed(tasks) + self._after


class Asked(NamedTuple):
    """A request, and the ids of the seed tasks that its prompt shows, in order."""

    request: Request
    shown: list[str]


class Piece(NamedTuple):
    """What may be a task. reason: why it is refused, if that is known already."""

    task: Written
    id: str
    reason: str | None
    asked: Asked
    answer: Answer


@dataclass
class Grown:
    """What was made of the answers. Pieces in = accepted + rejected, each with a reason.

    highest: of each accepted instruction the ROUGE-L F1 with the one most like it.
    cut: how many of the completions ran into their length limit.
    """

    accepted: Rows[Task] = field(default_factory=list[Task])
    rejected: Rows[RejectedTask] = field(default_factory=list[RejectedTask])
    highest: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    completions: int = 0
    cut: int = 0

    @property
    def tasks(self) -> int:
        """How many there are."""
        return len(self.highest)


def grow(
    seeds: list[SeedTask],
    params: Alpaca,
    filters: Filters,
    template: Template,
    ask: Ask,
    advance: Callable[..., None] = lambda n, **_: None,
    into: Grown | None = None,
) -> Grown:
    """Grow exactly `params.num_tasks_to_generate` tasks from the seed tasks.

    advance: called after each round with the number accepted and `rejected=`.
    into: filled and given back; whoever looks on may pass an empty one.

    Raises:
        NothingNew: `params.max_rounds_without_new` rounds in a row brought none.
    """
    grown = Grown() if into is None else into
    wanted = params.num_tasks_to_generate
    rounds_without_new = 0
    with Pool([seed.instruction for seed in seeds], len(seeds) + wanted) as pool:
        while grown.tasks < wanted:
            before = grown.tasks, grown.refused.total()
            asked = list(draw_requests(grown.completions, seeds, params, template))
            answers = ask([request for request, _ in asked])
            judge_round(grown, asked, answers, wanted, filters, pool)
            advance(grown.tasks - before[0], rejected=grown.refused.total() - before[1])
            rounds_without_new = 0 if grown.tasks > before[0] else rounds_without_new + 1
            if rounds_without_new == params.max_rounds_without_new:
                reasons = counts(ALL_REASONS, grown.refused)
                raise NothingNew(rounds_without_new, grown.tasks, wanted, reasons, "alpaca")
    return grown


def draw_requests(
    first: int, seeds: list[SeedTask], params: Alpaca, template: Template
) -> Iterator[Asked]:
    """The requests of a round, from number `first` of the run on; a request's draws are its own."""
    total = params.num_prompt_tasks + params.num_tasks_a_request
    one_too_many = f"\n{total + 1}. Instruction"
    sampling = params.sampling.model_copy(update={"stop": [one_too_many, *params.sampling.stop]})
    for number in range(first, first + params.request_batch_size):
        shown = draws.generator(params.seed, "prompt", number).sample(
            seeds, params.num_prompt_tasks
        )
        sampling_seed = draws.generator(params.seed, "sampling", number).getrandbits(31)
        request = Request(
            template.fill(shown), sampling, sampling_seed, prefixes=(template.prefix,)
        )
        yield Asked(request, [task.id for task in shown])


def pieces_of(
    number: int, asked: Asked, answer: Answer, refuse: Callable[[str], str | None]
) -> list[Piece]:
    """The pieces of an answer, at least one. number: the request's in the run."""
    written = [Written("", "")] if answer.problem else split_list(answer.text)
    pieces = []
    for place, task in enumerate(written, 1):
        reason: str | None = answer.problem
        if reason is None and answer.cut and place == len(written):
            reason = "cut_at_length"
        reason = reason or refuse(task.instruction) or (None if task.has_output else "no_output")
        pieces.append(Piece(task, instruction_id(number, place, answer.key), reason, asked, answer))
    return pieces


def judge_round(
    grown: Grown,
    asked: list[Asked],
    answers: Iterable[Answer],
    wanted: int,
    filters: Filters,
    pool: Pool,
) -> None:
    """Sort the pieces of a round's answers into accepted and rejected, in the requests' order."""
    refuse = refuser(
        min_words=filters.min_words,
        max_words=filters.max_words,
        refused_words=filters.refused_words,
        refused_prefixes=filters.refused_prefixes,
        refuse_non_ascii=filters.refuse_non_ascii,
    )
    pieces: list[Piece] = []
    for number, (one, answer) in enumerate(zip(asked, answers, strict=True), grown.completions):
        pieces += pieces_of(number, one, answer, refuse)
        grown.cut += answer.cut
    sound = [piece.task.instruction for piece in pieces if piece.reason is None]
    threshold = Fraction(str(filters.rouge_threshold))  # as it is written: 7/10, not the float's
    sifted = iter(pool.sift(sound, threshold, wanted - grown.tasks))
    for piece in pieces:
        found = None if piece.reason else next(sifted)
        if found is None or not found.taken:
            reason = piece.reason or ("too_similar" if found and found.similar else "surplus")
            grown.rejected.append(_rejected(piece, reason, grown.rounds))
            grown.refused[reason] += 1
            continue
        closest = {pool.texts[place]: score for place, score in found.closest}
        grown.accepted.append(_accepted(piece, closest, found.mean, grown.rounds))
        grown.highest.append(next(iter(closest.values())))
    grown.rounds += 1
    grown.completions += len(asked)


def _accepted(piece: Piece, closest: dict[str, float], mean: float, round_: int) -> Task:
    answer, (request, shown) = piece.answer, piece.asked
    return Task(
        instruction=piece.task.instruction,
        instruction_id=piece.id,
        raw_instances=piece.task.rest,
        is_classification=False,
        instance_metadata=Exchange(key=answer.key),
        instruction_metadata=Exchange(
            prompt=request.prompt, response=answer.response, key=answer.key
        ),
        most_similar=closest,
        avg_similarity_score=mean,
        request_idx=round_,
        shown=shown,
    )


def _rejected(piece: Piece, reason: str, round_: int) -> RejectedTask:
    return RejectedTask(
        instruction=piece.task.instruction,
        id=piece.id,
        reason=reason,
        key=piece.answer.key,
        request_idx=round_,
        shown=piece.asked.shown,
        raw_instances=piece.task.rest,
    )


def metrics(grown: Grown) -> dict[str, Any]:
    """The stage's metrics: means and counts; nothing in them differs from run to run."""
    pieces = grown.tasks + grown.refused.total()
    return {
        "tasks_accepted": grown.tasks,
        "tasks_too_similar": grown.refused["too_similar"],
        "tasks_a_request": share(pieces, grown.completions),
        "task_requests": grown.completions,
        "task_completions_cut": grown.cut,
        "task_highest_similarity": mean(grown.highest),
        "tasks_rejected": counts(ALL_REASONS, grown.refused),
    }


def read_seeds(path: Path, params: Alpaca) -> list[SeedTask]:
    """The seed tasks to grow from. Raises BadFile, BadRow, TooFewSeedTasks."""
    seeds = read_seed_tasks(path)
    if len(seeds) < params.num_prompt_tasks:
        shown = params.num_prompt_tasks
        raise TooFewSeedTasks(path, len(seeds), shown, "seed tasks", "alpaca.num_prompt_tasks")
    return seeds


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the seed tasks, grow, write tasks and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.alpaca
    seeds = read_seeds(inputs.seed_tasks, section)
    template = Template(section)
    places = [into.folder / path.name for path in (TASKS, REJECTED_TASKS)]
    with spooled(*places) as (accepted, rejected):
        with (
            Progress("alpaca", section.num_tasks_to_generate, "tasks") as progress,
            open_engine(params.llm, progress.answered) as engine,
        ):
            grown = Grown(accepted, rejected)
            advance = progress.advance
            grow(seeds, section, params.bootstrap, template, engine.ask, advance, grown)
        write_files(
            {
                places[0]: accepted.lines(),
                places[1]: rejected.lines(),
                into.metrics: to_json(with_tables(metrics(grown))),
            }
        )
    progress.finish(grown.tasks)
