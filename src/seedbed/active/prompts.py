"""What a model is asked of a task, and what is scored under spoilt prompts.

The prompts are those that `evaluate` puts held-out tasks in, and that active-select trains on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seedbed.active.params import ActiveScore
from seedbed.active.perturb import drop_words
from seedbed.active.rows import Demo, Instance, Perturbed, PoolTask, demos_of
from seedbed.core import draws
from seedbed.llm.contract.request import Request
from seedbed.tasks.prompts import Prompts


@dataclass(frozen=True)
class Asked:
    """An instance whose answer's probability is measured."""

    task: PoolTask
    instance: Instance


def asked(tasks: Sequence[PoolTask], params: ActiveScore) -> list[Asked]:
    """The instances, task by task: of each task the same ones, whatever other tasks there are."""
    seed = params.seed
    tasks = sorted(tasks, key=lambda task: draws.rank(seed, "tasks", task.task))
    tasks = sorted(tasks[: params.max_tasks], key=lambda task: task.task)
    return [
        Asked(task, instance)
        for task in tasks
        for instance in sorted(
            task.instances, key=lambda one: draws.rank(seed, "instances", task.task, one.id)
        )[: params.instances]
    ]


def perturbed(task: PoolTask, params: ActiveScore) -> list[Perturbed]:
    """What a task's prompts show, k = 0 being the whole of it: the same for all its instances."""

    def spoilt(text: str, k: int, what: str) -> str:
        if k == 0:
            return text
        return drop_words(text, params.rate, draws.generator(params.seed, task.task, k, what))

    definition, inputs = params.target in ("td", "tdte"), params.target in ("te", "tdte")
    return [
        Perturbed(
            task=task.task,
            k=k,
            instruction=spoilt(task.instruction, k, "definition")
            if definition
            else task.instruction,
            demos=[
                Demo(
                    input=spoilt(demo.input, k, f"demo {n}") if inputs else demo.input,
                    output=demo.output,
                )
                for n, demo in enumerate(task.demos)
            ],
        )
        for k in range(params.perturbations + 1)
    ]


def prompt(one: Asked, shown: Perturbed, prompts: Prompts) -> tuple[str, str]:
    """The prompt of an instance under one of these, and what it shares with the task's others."""
    # The same demos for every k: those of the whole prompt.
    pairs = demos_of(one.task.demos, one.instance, shown.demos)
    return prompts.fill(shown.instruction, pairs, one.instance.input)


def requests(
    instances: Sequence[Asked], params: ActiveScore, prompts: Prompts
) -> Iterator[Request]:
    """What asks a model for its own answers, in order."""
    for one in instances:
        whole = Perturbed(
            task=one.task.task, k=0, instruction=one.task.instruction, demos=one.task.demos
        )
        text, shared = prompt(one, whole, prompts)
        yield Request(text, params.sampling, prefixes=(shared,))
