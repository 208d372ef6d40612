"""Ask one server, or several, with Seedbed's engine; `servers.py` runs it.

The environment says the servers, the store and the requests in flight at each. The clock runs as in
`ask_seedbed.py`. What is asked is a number of prompts, or with `label` what the stage label asks
about the project's own tasks, with so many examples each and 22 candidates that are made up.

    python benchmarks/ask_servers.py PROMPTS|label:EXAMPLES plain|fleet

With `fleet` one server is asked in the way in which several are.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import yaml
from ask_seedbed import SAMPLING
from mock_server import MODEL, answer_to
from texts import Writer, prompts

from seedbed.auto_instruct import label
from seedbed.auto_instruct.params import Label
from seedbed.auto_instruct.rows import Candidate
from seedbed.auto_instruct.trials import plan
from seedbed.llm.contract.request import Request
from seedbed.llm.engine import Engine
from seedbed.llm.params import Embedded, Llm
from seedbed.llm.send import client  # noqa: F401 - it takes most of a second, which is not counted
from seedbed.llm.serve.endpoint import open_endpoint
from seedbed.llm.store.place import default_path
from seedbed.llm.store.store import Store
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks

ROOT = Path(__file__).parents[1]
CANDIDATES = 22


def label_requests(examples: int) -> Iterator[Request]:
    """What label asks about all of the project's tasks, few-shot, each example 22 times."""
    said = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["label"]
    for_all = {"shots": "few", "sample_instructions": None, "one_from_each_group": False}
    own = Label.model_validate(said | for_all | {"max_examples": examples})
    writer = Writer(7)
    for path in find_tasks(ROOT / "data/niv2"):
        rows = [
            Candidate(
                task=path.stem,
                index=index,
                meta_prompt=None,
                sample=None,
                key=None,
                instruction=writer.instruction(),
            )
            for index in range(CANDIDATES)
        ]
        yield from label.requests(plan(read_task(path), rows, own), own)


def ask_all(requests: list[Request], fleet: bool) -> tuple[float, float]:
    """Seconds that it took, and those of the processor. Every answer is compared."""
    llm = Llm(model=MODEL, server="mock", embedded=Embedded(context=4096, slots=1, threads=1))
    begun, busy = time.perf_counter(), time.process_time()
    with closing(Store(default_path())) as store, open_endpoint(llm) as endpoint:
        if fleet and not endpoint.servers:
            endpoint = replace(endpoint, servers=(endpoint,))
        engine = Engine(endpoint, store, lambda tally: None)
        try:
            for request, answer in zip(requests, engine.ask(requests), strict=True):
                assert answer.text == answer_to(request.prompt)
        finally:
            engine.close()
    return time.perf_counter() - begun, time.process_time() - busy


def main(asked: str, way: str) -> None:
    if asked.startswith("label:"):
        requests = list(label_requests(int(asked.removeprefix("label:"))))
    else:
        requests = [Request(prompt, SAMPLING) for prompt in prompts(int(asked))]
    seconds, processor = ask_all(requests, way == "fleet")
    told = {"requests": len(requests), "seconds": seconds, "processor": processor}
    print(json.dumps(told | {"prompts": len({request.prompt for request in requests})}))


if __name__ == "__main__":
    main(*sys.argv[1:])
