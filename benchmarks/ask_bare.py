"""Ask with the official client alone, in the ordinary way; `engine.py` runs it.

Workers, as many as there may be requests in flight, take the prompts in turn and await `create`,
which parses every response. Nothing is stored. The clock runs from the making of the client to
its closing; imports are not counted.

    python benchmarks/ask_bare.py URL chat|completions PROMPTS PROMPTS_PER_REQUEST IN_FLIGHT
"""

import asyncio
import json
import sys
import time

import openai
import openai.resources.chat  # which the client would import on the clock
from mock_server import MODEL, answer_to
from texts import prompts

SAMPLING = {"max_tokens": 300, "temperature": 0.7, "top_p": 0.9}


async def ask(client: openai.AsyncOpenAI, api: str, asked: list[str]) -> list[str]:
    if api == "chat":
        messages = [{"role": "user", "content": asked[0]}]
        chat = await client.chat.completions.create(model=MODEL, messages=messages, **SAMPLING)
        return [chat.choices[0].message.content]
    made = await client.completions.create(model=MODEL, prompt=asked, **SAMPLING)
    return [choice.text for choice in made.choices]


async def ask_all(url: str, api: str, requests: list[list[str]], in_flight: int) -> float:
    """Seconds that it took. Every answer is compared with its prompt."""
    left = iter(requests)
    begun = time.perf_counter()
    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

        async def work() -> None:
            for asked in left:
                answers = await ask(client, api, asked)
                assert answers == [answer_to(prompt) for prompt in asked]

        await asyncio.gather(*(work() for _ in range(in_flight)))
    return time.perf_counter() - begun


def main(url: str, api: str, count: int, each: int, in_flight: int) -> None:
    everything = list(prompts(count))
    requests = [everything[start : start + each] for start in range(0, count, each)]
    begun = time.process_time()
    seconds = asyncio.run(ask_all(url, api, requests, in_flight))
    print(json.dumps({"seconds": seconds, "processor": time.process_time() - begun}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
