"""Ask with Seedbed's engine; `engine.py` runs it.

The environment says the server, the store, the requests in flight and the prompts a request. The
clock runs from the opening of the engine to its closing, when the last answer is on disk. The
peak memory is that of this process, which was made for this alone.

With `lazy` no prompt is made before the engine asks for it, and none is kept: this is how the
memory is measured.

    python benchmarks/ask_seedbed.py chat|completions PROMPTS ready|lazy
"""

import json
import resource
import sys
import time
from collections.abc import Iterable

from mock_server import MODEL, answer_to
from texts import prompts

from seedbed.llm.contract.request import Request, Sampling
from seedbed.llm.engine import open_engine
from seedbed.llm.params import Embedded, Llm

SAMPLING = Sampling(
    max_tokens=300,
    temperature=0.7,
    top_p=0.9,
    frequency_penalty=0.0,
    presence_penalty=0.0,
    logprobs=None,
    stop=[],
)


def ask_all(llm: Llm, given: Iterable[str], expected: Iterable[str]) -> float:
    """Seconds that it took. Every answer is compared with its prompt."""
    begun = time.perf_counter()
    with open_engine(llm, lambda tally: None) as engine:
        answers = engine.ask(Request(prompt, SAMPLING) for prompt in given)
        for prompt, answer in zip(expected, answers, strict=True):
            assert answer.text == answer_to(prompt)
    return time.perf_counter() - begun


def main(api: str, count: int, lazy: bool) -> None:
    # The embedded server does not run, but the parameters have it.
    llm = Llm(model=MODEL, api=api, embedded=Embedded(context=4096, slots=1, threads=1))
    begun = time.process_time()
    if lazy:
        seconds = ask_all(llm, prompts(count), prompts(count))
    else:
        everything = list(prompts(count))
        begun = time.process_time()
        seconds = ask_all(llm, everything, everything)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    processor = time.process_time() - begun
    print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "lazy")
