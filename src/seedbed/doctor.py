"""Is the server there, and what does it do: a handful of very short requests, none of them kept."""

import asyncio
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from seedbed import errors
from seedbed.llm.api import MalformedBody, body_for, choices_of, usage_of
from seedbed.llm.client import PATHS, Client, Setback
from seedbed.llm.endpoint import Endpoint, open_endpoint
from seedbed.llm.request import Request, Sampling
from seedbed.params import Llm

PLAIN = Sampling(
    max_tokens=1,
    temperature=0.0,
    top_p=1.0,
    frequency_penalty=0.0,
    presence_penalty=0.0,
    logprobs=None,
)
# What is tried, and what to do if the server will not have it.
TRIALS: dict[str, tuple[dict[str, Any], str]] = {
    "temperature": ({"temperature": 0.7, "top_p": 0.9}, "leave_out"),
    "frequency_penalty": ({"frequency_penalty": 0.5}, "leave_out"),
    "presence_penalty": ({"presence_penalty": 0.5}, "leave_out"),
    "logprobs": ({"logprobs": 1}, "leave_out"),
    "stop": ({"stop": ["\n1", "\n2", "\n3", "\n4"]}, "leave_out"),
    "stop of more than four": ({"stop": [f"\n{i}" for i in range(5)]}, "four at most"),
    "seed": ({"seed": 1}, "leave_out"),
    "several samples": ({"n": 2}, "each is asked by itself"),
    "lists of prompts": ({"prompts": 2}, "leave SEEDBED_PROMPTS_PER_REQUEST at 1"),
}
# Tokens generated to measure the speed.
LONG = 64


def examine(llm: Llm) -> Iterator[str]:
    """What is found, a line at a time.

    Raises:
        SeedbedError: the server is not there, refuses the key, or does not answer a request.
    """
    with open_endpoint(llm) as endpoint, asyncio.Runner() as runner:
        yield f"server    {endpoint.address}"
        client = Client(endpoint)
        try:
            models = runner.run(client.models())
            yield f"models    {', '.join(models) or 'it does not say'}"
            took = []
            for _ in range(3):
                began = time.monotonic()
                try:
                    runner.run(_ask(client, endpoint))
                except Setback as setback:
                    raise _named(endpoint, setback) from None
                took.append(time.monotonic() - began)
            yield f"request   one token of {endpoint.model}: {median(took) * 1000:.0f} ms"
            refused = []
            for name, (change, remedy) in TRIALS.items():
                if name == "lists of prompts" and llm.api == "chat":
                    continue  # the API has none
                try:
                    runner.run(_ask(client, endpoint, **change))
                    yield f"takes     {name}"
                except Setback as setback:
                    yield f"REFUSES   {name}: {errors.redact(setback.said)}"
                    if remedy == "leave_out":
                        refused.append(name)
                    else:
                        yield f"          ({remedy})"
            for at_once in sorted({1, endpoint.concurrency}):
                seconds, tokens = runner.run(_speed(client, endpoint, at_once))
                yield f"speed     {tokens / seconds:.0f} tokens/s, {at_once} requests at once"
            if refused:
                yield f"advice    set llm.leave_out in params.yaml to [{', '.join(refused)}]"
            else:
                yield "advice    none: it takes all that the stages send"
        finally:
            runner.run(client.close())


async def _ask(
    client: Client,
    endpoint: Endpoint,
    *,
    prompts: int = 1,
    n: int = 1,
    seed: int | None = None,
    text: str = "Once upon a time",
    **change: Any,
) -> int:
    """Send a request and look at the answer; gives the tokens that it has."""
    llm = endpoint.llm
    request = Request(text, PLAIN.model_copy(update=change), seed)
    asked = [text] * prompts
    body = body_for(
        llm.api, endpoint.model, llm.system, asked, request, request.sampling.max_tokens, n, ()
    )
    answer = await client.post(PATHS[llm.api], body)
    try:
        data, choices = choices_of(answer, prompts * n)
    except MalformedBody as problem:
        raise Setback("broke", f"not a completion: {problem}: {answer[:200]}") from None
    if change.get("logprobs") and not all(choice.get("logprobs") for choice in choices):
        raise Setback("bad", "it answers without them")
    usage = usage_of(data)
    return usage[1] if usage else request.sampling.max_tokens


async def _speed(client: Client, endpoint: Endpoint, at_once: int) -> tuple[float, int]:
    """Seconds and tokens of so many requests at once."""
    began = time.monotonic()
    # Other beginnings, so that no cache answers.
    asked = (
        _ask(client, endpoint, text=f"{i}. Once upon a time", max_tokens=LONG)
        for i in range(at_once)
    )
    try:
        tokens = await asyncio.gather(*asked)
    except Setback as setback:
        raise _named(endpoint, setback) from None
    return time.monotonic() - began, sum(tokens)


def _named(endpoint: Endpoint, setback: Setback) -> errors.SeedbedError:
    if setback.kind == "absent":
        return errors.ServerNotThere(endpoint.address, setback.said)
    if setback.parameter:
        return errors.ParameterRefused(endpoint.address, setback.parameter, setback.said)
    if setback.status:
        return errors.RequestRefused(endpoint.address, setback.status, setback.said)
    return errors.ServerFailed(endpoint.address, setback.said)
