"""Do two embedded servers of one thread, on Ray, answer nearly twice as much as one does?

    one    the embedded server with one thread in this process, without Ray
    fleet  as many of them as this machine has cores, each in an actor of a local Ray cluster

The packaged model is asked both times for the same, one after the other; a few requests before the
clock starts have the servers started and what the prompts share evaluated. The answers are
compared. It takes quiet cores: whatever else computes is taken from the two more than from the one.

Run it from the project's folder, after `make cluster`: PYTHONPATH=src python benchmarks/cluster.py
"""

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from sizes import sized

from seedbed.llm.contract.request import Request, Sampling
from seedbed.llm.engine import Engine
from seedbed.llm.params import Embedded, Llm
from seedbed.llm.serve.embedded import PACKAGED
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.store import Store

REQUESTS, WARMING = sized(96, 4), sized(8, 2)
SAMPLING = Sampling(
    max_tokens=sized(32, 2),
    temperature=0.0,
    top_p=1.0,
    frequency_penalty=0.0,
    presence_penalty=0.0,
    logprobs=None,
)
LLM = Llm(model=PACKAGED, embedded=Embedded(context=2048, slots=1, threads=1))
PREFACE = "Each question has a short answer.\n\n" + "".join(
    f"Question: how many are {number} and {number + 1}?\nAnswer: {2 * number + 1}.\n\n"
    for number in range(8)
)


def requests(first: int, count: int) -> list[Request]:
    return [
        Request(
            f"{PREFACE}Question: what is number {n} of the list?\nAnswer:",
            SAMPLING,
            prefixes=(PREFACE,),
        )
        for n in range(first, first + count)
    ]


def measure(ray: str) -> tuple[int, float, list[str]]:
    """How many servers there are, answers a second, and the answers. ray: as SEEDBED_RAY."""
    os.environ["SEEDBED_RAY"] = ray
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Store(Path(folder) / "responses.sqlite")) as store,
        open_endpoint(LLM) as endpoint,
    ):
        engine = Engine(endpoint, store, lambda tally: None)
        try:
            list(engine.ask(requests(REQUESTS, WARMING)))
            begun = time.perf_counter()
            texts = [answer.text for answer in engine.ask(requests(0, REQUESTS))]
            rate = REQUESTS / (time.perf_counter() - begun)
            return len(engine._endpoint.servers) or 1, rate, texts
        finally:
            engine.close()


def main() -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        os.environ.pop(name, None)
    print(f"{REQUESTS} requests of {SAMPLING.max_tokens} tokens, {os.cpu_count()} cores")
    _, one, texts = measure("")
    print(f"  one server of one thread   {one:6.2f} answers/s", flush=True)
    servers, fleet, theirs = measure("local")
    print(f"  {servers} of them, on Ray         {fleet:6.2f} answers/s")
    same = sum(mine == other for mine, other in zip(texts, theirs, strict=True))
    print(
        f"\n{servers} servers answer {fleet / one:.2f} times as much as one; "
        f"{same} of {REQUESTS} answers are the same."
    )
    sys.exit(0 if same == REQUESTS else 1)


if __name__ == "__main__":
    main()
