"""active-score: a model's remaining tasks → how unsure it is how they are told.

The model answers each task's instances; the probability of each answer is measured under the prompt
and under some with words missing. A task whose answers depend on how it is told is one that the
model has not understood, or that it could learn from. No label is needed, unless asked for.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from seedbed.active.errors import ChatNotScored, NothingScored
from seedbed.active.measures import measured, probability_of
from seedbed.active.params import ActiveScore
from seedbed.active.prompts import Asked, asked, perturbed, prompt, requests
from seedbed.active.rows import (
    ACTIVE,
    ANSWERS,
    PERTURBED,
    SCORES,
    TASKS,
    Answered,
    Perturbed,
    PoolTask,
    Scored,
    TaskScore,
    read_chosen,
    read_pool,
    remaining,
)
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.llm.contract.wire import PROBLEMS, Answer
from seedbed.llm.params import Llm
from seedbed.tasks.prompts import Prompts

# Why an instance is not scored, beside what may be wrong with an answer.
TOO_LONG = "too_long"


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    active_score: ActiveScore


@dataclass(frozen=True)
class Inputs:
    """pool: the folder of a pool. round: that of a round, whose model is asked."""

    pool: Path = ACTIVE / "pool"
    round: Path = ACTIVE / "start"


def own_answers(
    instances: Sequence[Asked],
    answers: Sequence[Answer],
    params: ActiveScore,
    fits: Sequence[bool] | None = None,
) -> Iterator[Answered]:
    """What is scored where the model's own answers are.

    fits: whether the model can take each with its end; None for all of them.
    """
    for one, answer, may in zip(instances, answers, fits or [True] * len(answers), strict=True):
        # With an end to it, nothing can be scored too.
        refused: str | None = None if answer.problem == "empty" and params.end else answer.problem
        refused = refused or (None if may else TOO_LONG)
        text = None if refused else answer.text + params.end
        yield Answered(
            task=one.task.task, id=one.instance.id, text=text, refused=refused, key=answer.key
        )


def gold_answers(
    instances: Sequence[Asked], fits: Sequence[bool], params: ActiveScore
) -> Iterator[Answered]:
    """What is scored where right answers are: the first one, whichever the prompt.

    fits: whether the model can take prompt and answer.
    """
    for one, may in zip(instances, fits, strict=True):
        yield Answered(
            task=one.task.task,
            id=one.instance.id,
            text=gold(one) + params.end if may else None,
            refused=None if may else TOO_LONG,
            key=None,
        )


def gold(one: Asked) -> str:
    """A right answer, as the model would give it."""
    return f" {one.instance.outputs[0].strip()}"


# A prompt, the text that follows it, and what of the prompt others share.
Pair = tuple[str, str, tuple[str, ...]]


class Counting(Protocol):
    """The part of the engine that knows lengths."""

    @property
    def context(self) -> int | None: ...
    def count_tokens(self, texts: Sequence[str], /) -> list[int] | None: ...


def _with_end(
    instances: Sequence[Asked],
    answers: Sequence[Answer],
    shown: Mapping[str, list[Perturbed]],
    params: ActiveScore,
    prompts: Prompts,
    engine: Counting,
) -> list[bool] | None:
    """Whether prompt, answer and end fit together: an answer that came fits without its end."""
    if not params.end:
        return None
    whole = [prompt(one, shown[one.task.task][0], prompts)[0] for one in instances]
    return _fitting([p + a.text + params.end for p, a in zip(whole, answers, strict=True)], engine)


def _fitting(texts: Sequence[str], engine: Counting) -> list[bool]:
    """Whether the model can take each; all of them where nobody says how much it can."""
    lengths = engine.count_tokens(texts) if engine.context is not None else None
    if lengths is None or engine.context is None:
        return [True] * len(texts)
    # One token begins a prompt, and one may come where prompt and text are not read as one.
    return [length + 2 <= engine.context for length in lengths]


def pairs(
    instances: Sequence[Asked],
    answered: Sequence[Answered],
    shown: Mapping[str, list[Perturbed]],
    prompts: Prompts,
) -> Iterator[tuple[Answered, int, Pair]]:
    """What is scored, and under which prompt: a task's instances together, prompt by prompt.

    So what they share, all that stands before an instance's input, is evaluated once a prompt.
    """
    both = zip(instances, answered, strict=True)
    for name, group in groupby(both, key=lambda pair: pair[0].task.task):
        own = [(one, answer, answer.text) for one, answer in group if answer.text is not None]
        for k, one_of in enumerate(shown[name]):
            for one, answer, text in own:
                whole, shared = prompt(one, one_of, prompts)
                # To have a prefix in the cache takes a request, which pays for several instances.
                prefixes = (shared,) if len(own) > 1 and shared else ()
                yield answer, k, (whole, text, prefixes)


def of_tasks(
    tasks: Sequence[PoolTask],
    answered: Sequence[Answered],
    scores: Sequence[Scored],
    params: ActiveScore,
) -> Iterator[TaskScore]:
    """A row a task, by name, but for those of which no instance was scored."""
    table: dict[str, dict[str, list[float]]] = {}
    for row in scores:
        p = probability_of(row.total, row.tokens, params.probability)
        table.setdefault(row.task, {}).setdefault(row.id, []).append(p)
    refused = Counter(row.task for row in answered if row.refused)
    for task in tasks:
        if task.task in table:
            rows = list(table[task.task].values())
            found = measured(rows, params.uncertainty)
            yield TaskScore(
                task=task.task,
                is_classification=task.is_classification,
                instances=len(rows),
                refused=refused[task.task],
                uncertainty=_to_digits(found.uncertainty),
                probability=_to_digits(found.probability),
                perplexity=_to_digits(found.perplexity),
            )


def _to_digits(value: float) -> float:
    """To nine significant digits: a product of many tokens' probabilities is far below 1e-9."""
    return float(f"{value:.9g}")


def metrics(
    rows: Sequence[TaskScore], answered: Sequence[Answered], scores: Sequence[Scored]
) -> dict[str, Any]:
    """The stage's metrics."""
    refused = Counter(row.refused for row in answered if row.refused)
    return {
        "scored_tasks": len(rows),
        "unscored_tasks": len({row.task for row in answered}) - len(rows),
        "scorings": len(scores),
        "mean_uncertainty": mean([row.uncertainty for row in rows]),
        "mean_probability": mean([row.probability for row in rows]),
        "instances_refused": counts([*PROBLEMS, TOO_LONG], refused),
    }


def read(inputs: Inputs) -> list[PoolTask]:
    """The tasks that the round has left. Raises BadFile, BadRow."""
    return list(remaining(read_pool(inputs.pool), read_chosen(inputs.round)))


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the tasks, have the model answer, score; write answers, scores and metrics.

    Raises:
        NothingScored: no task has an answer. ChatNotScored: what is answered is not what is scored.
        ScoringNotOffered: the server cannot score.
        BadFile, BadRow: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    if params.llm.api == "chat":
        raise ChatNotScored(inputs.round.name)
    own, prompts = params.active_score, Prompts()
    instances = asked(read(inputs), own)
    tasks = list({one.task.task: one.task for one in instances}.values())
    shown = {task.task: perturbed(task, own) for task in tasks}
    most = len(instances) * (own.perturbations + 1 + (own.labels == "own"))
    with (
        Progress("active-score", most, "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        if own.labels == "own":
            answers = list(engine.ask(requests(instances, own, prompts)))
            fits = _with_end(instances, answers, shown, own, prompts, engine)
            answered = list(own_answers(instances, answers, own, fits))
        else:
            whole = [prompt(one, shown[one.task.task][0], prompts)[0] for one in instances]
            both = zip(whole, instances, strict=True)
            fits = _fitting([text + gold(one) + own.end for text, one in both], engine)
            answered = list(gold_answers(instances, fits, own))
        wanted = list(pairs(instances, answered, shown, prompts))
        found = engine.score(pair for _, _, pair in wanted)
        scores = [
            Scored(
                task=row.task,
                id=row.id,
                k=k,
                tokens=len(score.logprobs),
                total=round(score.total, 6),
                key=score.key,
            )
            for (row, k, _), score in zip(wanted, found, strict=True)
        ]
    rows = list(of_tasks(tasks, answered, scores, own))
    if not rows:
        refused = Counter(row.refused for row in answered if row.refused)
        reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(refused.items()))
        raise NothingScored(inputs.round.name, reasons or "no task is left")
    write_files(
        {
            into.folder / TASKS: map(to_line, rows),
            into.folder / ANSWERS: map(to_line, answered),
            into.folder / PERTURBED: [
                to_line(row) for task in tasks for row in shown[task.task][1:]
            ],
            into.folder / SCORES: map(to_line, scores),
            into.metrics: to_json(with_tables(metrics(rows, answered, scores))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(rows))
