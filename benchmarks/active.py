"""What does it take to know how unsure a model is of a task?

One of the project's tasks with two demos, some instances and the paper's ten prompts with words
missing, to the embedded server: how many prompt tokens it evaluates for the scores
(timings.prompt_n), by way of what an instance's prompts share and each prompt by itself, and the
bound, which is the distinct beginnings of all prompts.

The counts are exact and the same in every run; the seconds are those of this machine.

Run it from the project's folder: PYTHONPATH=src python benchmarks/active.py
"""

import sys
from math import inf
from pathlib import Path

import yaml
from counting import bound, fresh_engine, scored, table
from sizes import sized

from seedbed.active.active_score import own_answers, pairs
from seedbed.active.params import ActiveScore
from seedbed.active.prompts import asked, perturbed, requests
from seedbed.active.rows import Demo, Instance, PoolTask
from seedbed.core.paths import PARAMS
from seedbed.llm.params import Llm
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks
from seedbed.tasks.prompts import Prompts

INSTANCES, PERTURBATIONS, DEMOS = sized(10, 2), sized(10, 1), 2
# What it must reach.
MOST_OF_BOUND = sized(1.15, inf)


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
    ways = {"seedbed": scored(wanted, llm), "each prompt by itself": scored(alone, llm)}
    print("\n".join(table(least, ways)))
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
