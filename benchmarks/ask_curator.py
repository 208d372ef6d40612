"""Ask with curator (the package bespokelabs-curator); `engine.py` runs it, in curator's own venv.

Curator is given its fastest way, as far as its settings go: the openai backend, which is four
times as fast as its litellm backend; limits that never bind; its usual display, which is faster
than the plain one; a model without a price, so that no cost is computed. It stores the responses,
as it does by default. Its telemetry and its viewer are off, and what it would fetch from the
network it finds on disk.

The clock runs from the making of the LLM object until the responses are there. The imports, some
seconds of them, are not counted.

    CURATOR_CACHE_DIR=… python benchmarks/ask_curator.py URL PROMPTS IN_FLIGHT
"""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

from mock_server import MODEL, answer_to
from texts import prompts

SAMPLING = {"max_tokens": 300, "temperature": 0.7, "top_p": 0.9}
NEVER_REACHED = 10**12

# Curator counts tokens with tiktoken, whose vocabulary litellm brings along.
LITELLM = Path(importlib.util.find_spec("litellm").origin).parent
os.environ |= {
    "TIKTOKEN_CACHE_DIR": str(LITELLM / "litellm_core_utils" / "tokenizers"),
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TELEMETRY_ENABLED": "false",
    "CURATOR_VIEWER": "false",
    "OPENAI_API_KEY": "none",
    "HF_HUB_OFFLINE": "1",
    # What it made of the same prompts before would spare it work.
    "HF_HOME": os.environ["CURATOR_CACHE_DIR"],
}

# Only now, because it reads the environment when it is imported; the second name is what LLM would
# import on the clock.
from bespokelabs import curator  # noqa: E402
from bespokelabs.curator.request_processor.online import openai_online_request_processor  # noqa: E402, F401


def main(url: str, count: int, in_flight: int) -> None:
    everything = list(prompts(count))
    begun = time.perf_counter()
    llm = curator.LLM(
        model_name=MODEL,
        backend="openai",
        generation_params=SAMPLING,
        backend_params={
            "base_url": url,
            "max_concurrent_requests": in_flight,
            "max_requests_per_minute": NEVER_REACHED,
            "max_tokens_per_minute": NEVER_REACHED,
        },
    )
    answers = llm(everything).dataset["response"]
    seconds = time.perf_counter() - begun
    assert list(answers) == [answer_to(prompt) for prompt in everything]
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
