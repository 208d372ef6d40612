"""What does it take to know how unsure a model is of a task?

One of the project's tasks with two demos, some instances and the paper's ten prompts with words
missing, to the embedded server: how many prompt tokens it evaluates for the scores
(timings.prompt_n), by way of what an instance's prompts share and each prompt by itself, and the
bound, which is the distinct beginnings of all prompts.

The counts are exact and the same in every run; the seconds are those of this machine.

Run it from the project's folder: PYTHONPATH=src python benchmarks/active.py
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import yaml
from counting import Counting, count_nodes, fresh_engine
from sizes import sized

from seedbed.active.active_score import own_answers, pairs
from seedbed.active.params import ActiveScore
from seedbed.active.prompts import asked, perturbed, requests
from seedbed.active.rows import Demo, Instance, PoolTask
from seedbed.core.paths import PARAMS
from seedbed.llm.params import Llm
from seedbed.llm.send.score import Pair
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks
from seedbed.tasks.prompts import Prompts

INSTANCES, PERTURBATIONS, DEMOS = sized(10, 2), sized(10, 1), 2
# What it must reach.
MOST_OF_BOUND = sized(1.15, inf)


@dataclass
class Counted:
    """What scoring took; totals in nats."""

    totals: list[float]
    requests: int
    evaluated: int
    seconds: float


def settings() -> tuple[Llm, ActiveScore]:
    """Those of params.yaml, at the paper's size."""
    said = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    size = {"instances": INSTANCES, "perturbations": PERTURBATIONS, "target": "tdte"}
    return Llm.model_validate(said["llm"]), ActiveScore.model_validate(said["active_score"] | size)


def task() -> PoolTask:
    found = read_task(find_tasks(Path("data/niv2"))[0], INSTANCES)
    return PoolTask(
        task=found.name,
        part="rest",
        is_classification=found.is_classification,
        instruction=found.instruction,
        source="data/niv2",
        demos=[Demo(input=demo.input, output=demo.output) for demo in found.demos[:DEMOS]],
        instances=[
            Instance(id=one.id, input=one.input, outputs=one.targets) for one in found.examples
        ],
    )


def bound(prompts: Sequence[str], llm: Llm) -> int:
    async def count() -> int:
        client = Counting(endpoint)
        try:
            return await count_nodes(prompts, client)
        finally:
            await client.close()

    with open_endpoint(llm) as endpoint:
        return asyncio.run(count())


def measured(wanted: Sequence[Pair], llm: Llm) -> Counted:
    with fresh_engine(llm) as engine:
        list(engine.score([("Hello", " there")]))  # the server starts
        Counting.start_over()
        begun = time.perf_counter()
        totals = [one.total for one in engine.score(wanted)]
        seconds = time.perf_counter() - begun
    return Counted(totals, Counting.requests, Counting.evaluated, seconds)


def main() -> int:
    llm, own = settings()
    prompts, instances = Prompts(), asked([task()], own)
    name = instances[0].task.task
    shown = {name: perturbed(instances[0].task, own)}
    with fresh_engine(llm) as engine:
        answers = list(engine.ask(requests(instances, own, prompts)))
    answered = list(own_answers(instances, answers, own))
    wanted = [pair for _, _, pair in pairs(instances, answered, shown, prompts)]
    alone = [(prompt, text) for prompt, text, _ in wanted]
    least = bound([prompt for prompt, _ in alone], llm)
    print(f"{name}: {len(answered)} instances × {own.perturbations + 1} prompts\n")
    columns = "{:<28}{:>10}{:>26}{:>10}{:>10}".format
    print(columns("way", "requests", "prompt tokens evaluated", "× bound", "seconds"))
    print(columns("bound", "", f"{least:,}", "1.000", ""))
    ways = {"seedbed": measured(wanted, llm), "each prompt by itself": measured(alone, llm)}
    for way, one in ways.items():
        ratio, seconds = f"{one.evaluated / least:.3f}", f"{one.seconds:.1f}"
        print(columns(way, f"{one.requests:,}", f"{one.evaluated:,}", ratio, seconds))
    shared, whole = ways.values()
    apart = [abs(a - b) for a, b in zip(shared.totals, whole.totals, strict=True)]
    print(
        f"\n{whole.evaluated / shared.evaluated:.2f} times fewer; the scores of the two differ by "
        f"at most {max(apart):.2f} nats\nUncertainty, perplexity and probability come of the same "
        f"{len(wanted)} scores, for which the authors' program asks three times."
    )
    return 0 if shared.evaluated <= MOST_OF_BOUND * least else 1


if __name__ == "__main__":
    sys.exit(main())
