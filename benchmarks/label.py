"""How much of the prompts does label have evaluated, and how much is there to evaluate at all?

The embedded server with the packaged model answers the requests of label on a real task of
Natural Instructions (../shared/data/niv2; without it, on one of the project's own), with 22
candidates that the stage `candidates` wrote for it and 3 demos. For each request that the server
gets, the engine's priming included, it says how many prompt tokens it evaluated:
timings.prompt_n.

    bound    the nodes of the tree of shared beginnings: each distinct beginning once, over the
             token ids that the server's own /tokenize gives
    seedbed  the stage's requests through the engine: candidate by candidate
    seed     the order of the seed's program: all candidates of an example together, each prompt a
             plain request with cache_prompt, to a server of its own

The counts are exact and the same in every run; the seconds are those of this machine. The answers
are compared too: they may differ in a word, since how much of a prompt comes from the cache
changes the rounding.

Run it from the project's folder: PYTHONPATH=src python benchmarks/label.py [TASK [EXAMPLES]]
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
from sizes import ARGUMENTS, sized

from seedbed.auto_instruct import candidates, label
from seedbed.auto_instruct.params import Candidates, Label
from seedbed.auto_instruct.rows import Candidate
from seedbed.auto_instruct.trials import plan
from seedbed.core.paths import PARAMS
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import body_for, choices_of
from seedbed.llm.params import Llm
from seedbed.llm.serve.endpoint import PATHS, open_endpoint
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import find_tasks

REAL, OWN = Path("../shared/data/niv2"), Path("data/niv2")
TASK, EXAMPLES = "task195_sentiment140_classification", sized(8, 2)
META_PROMPTS, SAMPLES = sized(None, 1), sized(3, 1)  # None: all
# What it must reach.
MOST_OF_BOUND, MOST_OF_SEED = sized(1.1, inf), sized(1 / 3, inf)


@dataclass
class Counted:
    """What answering all requests took; texts in the order of label's requests."""

    texts: list[str]
    requests: int
    evaluated: int
    seconds: float


def settings(examples: int) -> tuple[Llm, Candidates, Label]:
    """Those of params.yaml, but few-shot, with all 22 candidates on every example."""
    said = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    for_all = {"shots": "few", "sample_instructions": None, "one_from_each_group": False}
    own = said["label"] | for_all | {"max_examples": examples}
    return (
        Llm.model_validate(said["llm"]),
        Candidates.model_validate(said["candidates"] | {"shots": "few", "samples": SAMPLES}),
        Label.model_validate(own),
    )


def read(name: str) -> Task:
    if not REAL.exists():
        print(f"{REAL} is not here, so this is a task of the project's own.\n")
        return read_task(find_tasks(OWN)[0])
    return read_task(*find_tasks(REAL, [name]))


def write_candidates(task: Task, llm: Llm, own: Candidates) -> list[Candidate]:
    """As the stage does."""
    meta_prompts = candidates.read_meta_prompts(own.shots)[:META_PROMPTS]
    with fresh_engine(llm) as engine:
        return candidates.generate([task], own, meta_prompts, engine.ask).rows


def as_seedbed(requests: Sequence[Request], llm: Llm) -> Counted:
    with fresh_engine(llm) as engine:
        # The server starts with the first request, which is not counted.
        list(engine.ask([Request("Hello", requests[0].sampling)]))
        Counting.start_over()
        begun = time.perf_counter()
        texts = [answer.text for answer in engine.ask(requests)]
        seconds = time.perf_counter() - begun
    return Counted(texts, Counting.requests, Counting.evaluated, seconds)


def as_seed(requests: Sequence[Request], examples: int, llm: Llm) -> tuple[Counted, int]:
    """In the seed's order; and, from the same server, the bound."""

    async def ask_all() -> tuple[Counted, int]:
        texts = {}
        client = Counting(endpoint)
        try:
            bound = await count_nodes([request.prompt for request in requests], client)
            Counting.start_over()
            begun = time.perf_counter()
            # From candidate by candidate to example by example.
            for number in sorted(range(len(requests)), key=lambda number: number % examples):
                request = requests[number]
                body = body_for(
                    "completions",
                    endpoint.model,
                    None,
                    [request.prompt],
                    request,
                    request.sampling.max_tokens,
                    1,
                    (),
                )
                body["cache_prompt"] = True
                answer = await client.post(PATHS["completions"], body)
                texts[number] = choices_of(answer, 1)[1][0].text
            seconds = time.perf_counter() - begun
        finally:
            await client.close()
        in_order = [texts[number] for number in range(len(requests))]
        return Counted(in_order, Counting.requests, Counting.evaluated, seconds), bound

    with open_endpoint(llm) as endpoint:
        return asyncio.run(ask_all())


def main(name: str = TASK, examples: str = str(EXAMPLES)) -> None:
    llm, for_candidates, own = settings(int(examples))
    task = read(name)
    rows = write_candidates(task, llm, for_candidates)
    trial = plan(task, rows, own)
    requests = list(label.requests(trial, own))
    print(
        f"{task.name}: {len(trial.chosen)} examples × {len(rows)} candidates, "
        f"{len({request.prompt for request in requests})} distinct prompts\n"
    )
    seed, bound = as_seed(requests, len(trial.chosen), llm)
    seedbed = as_seedbed(requests, llm)

    columns = "{:<10}{:>10}{:>26}{:>10}{:>10}".format
    print(columns("way", "requests", "prompt tokens evaluated", "× bound", "seconds"))
    print(columns("bound", "", f"{bound:,}", "1.000", ""))
    for way, one in (("seedbed", seedbed), ("seed", seed)):
        ratio, seconds = f"{one.evaluated / bound:.3f}", f"{one.seconds:.1f}"
        print(columns(way, f"{one.requests:,}", f"{one.evaluated:,}", ratio, seconds))
    same = sum(a == b for a, b in zip(seedbed.texts, seed.texts, strict=True))
    print(f"\n{same} of {len(requests)} answers are the same either way.")
    of_bound, of_seed = seedbed.evaluated / bound, seedbed.evaluated / seed.evaluated
    print(
        f"seedbed evaluates {of_bound:.3f} × the bound (at most {MOST_OF_BOUND}) and "
        f"{of_seed:.3f} × the seed's order (at most {MOST_OF_SEED:.3f}), "
        f"in 1/{seed.seconds / seedbed.seconds:.1f} of its time."
    )
    sys.exit(0 if of_bound <= MOST_OF_BOUND and of_seed <= MOST_OF_SEED else 1)


if __name__ == "__main__":
    main(*ARGUMENTS)
