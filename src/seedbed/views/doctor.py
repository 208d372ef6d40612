"""Is the server there, and what does it do: a handful of very short requests, none of them kept."""

import asyncio
import time
from collections.abc import Collection, Iterator
from statistics import median
from typing import Any

from seedbed.llm.contract.request import NONE, Parameter, Request, Sampling
from seedbed.llm.contract.wire import MalformedBody, body_for, choices_of, usage_of
from seedbed.llm.params import Llm
from seedbed.llm.redaction import redact
from seedbed.llm.send.client import Client
from seedbed.llm.send.setback import Setback, failure
from seedbed.llm.send.slot import Slot
from seedbed.llm.serve.endpoint import PATHS, Endpoint, open_endpoint
from seedbed.views.additions import additions
from seedbed.views.comparison import compare

PLAIN = Sampling(
    max_tokens=1,
    temperature=0.0,
    top_p=1.0,
    frequency_penalty=0.0,
    presence_penalty=0.0,
    logprobs=None,
)
# What can be left out, each tried by itself; the other requests are sent without any of them.
PARAMETERS: dict[Parameter, dict[str, Any]] = {
    "temperature": {"temperature": 0.7},
    "top_p": {"temperature": 0.7, "top_p": 0.9},
    "top_k": {"temperature": 0.7, "top_k": 50},
    "min_p": {"temperature": 0.7, "min_p": 0.1},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "presence_penalty": {"presence_penalty": 0.5},
    "logprobs": {"logprobs": 1},
    "stop": {"stop": ["\n1", "\n2", "\n3", "\n4"]},
    "seed": {"seed": 1},
}
# What else is tried, and what to do if the server will not have it.
MANY_STOPS, SAMPLES, LISTS = "stop of more than four", "several samples", "lists of prompts"
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    MANY_STOPS: (
        {"stop": [f"\n{i}" for i in range(5)], "sent": ("stop",)},
        "give four at most, or leave stop out: then the text is cut at them here",
    ),
    SAMPLES: ({"n": 2}, "each is asked by itself"),
    LISTS: ({"prompts": 2}, "leave SEEDBED_PROMPTS_PER_REQUEST at 1"),
}
# How to ask so that the same text should come every time, and what has to be sent for that.
STEADY: dict[str, dict[str, Any]] = {
    "greedy": {"sent": ("temperature",)},
    "sampled with a seed": {"sent": ("temperature", "seed"), "temperature": 1.0, "seed": 1},
}
# Tokens generated to measure the speed, and to see whether the same ones come twice.
LONG, TWICE = 64, 32
# Times that a request is tried again if it fails through no fault of its own.
RETRIES = 2


def examine(llm: Llm) -> Iterator[str]:
    """What is found, a line at a time.

    Raises:
        SeedbedError: the server is not there, refuses the key, or does not answer a request.
    """
    with open_endpoint(llm) as endpoint, asyncio.Runner() as runner:
        endpoint = endpoint.gathered()
        several = bool(endpoint.servers)
        advice: list[str] = []
        if several:
            for found in compare(endpoint, runner, _greedy):
                if isinstance(found, str):
                    yield found
                else:
                    endpoint, advice = found.first, found.advice
        yield f"{'below    ' if several else 'server   '} {endpoint.address}"
        client = Client(endpoint)
        try:
            if not several:
                models = runner.run(client.models())
                yield f"models    {redact(', '.join(models)) or 'it does not say'}"
            took = []
            for _ in range(3):
                began = time.monotonic()
                runner.run(_ask(client, endpoint))
                took.append(time.monotonic() - began)
            yield f"request   one token of {endpoint.model}: {median(took) * 1000:.0f} ms"
            refused: list[str] = []
            for name, change in PARAMETERS.items():
                if name in NONE and not endpoint.say_none:
                    continue  # only what is set in params.yaml is sent there
                why = runner.run(_refusal(client, endpoint, sent=(name,), **change))
                yield f"takes     {name}" if why is None else f"REFUSES   {name}: {why}"
                refused += [] if why is None else [name]
            for other, (change, remedy) in OTHERS.items():
                if other == LISTS and llm.api == "chat":
                    continue  # the API has none
                if other == MANY_STOPS and "stop" in refused:
                    continue
                why = runner.run(_refusal(client, endpoint, **change))
                yield f"takes     {other}" if why is None else f"REFUSES   {other}: {why}"
                if why is not None:
                    yield f"          ({remedy})"
            for at_once in sorted({1, endpoint.concurrency}):
                seconds, tokens = runner.run(_speed(client, endpoint, at_once))
                yield f"speed     {tokens / seconds:.0f} tokens/s, {at_once} at once"
            for how, change in STEADY.items():
                if not set(change["sent"]) & set(refused):
                    yield f"twice     {runner.run(_compared(client, endpoint, **change))}, {how}"
            for line in runner.run(additions(client, endpoint)):
                yield f"adds      {redact(line)}"
            if not set(refused) <= set(llm.leave_out):
                advice.append(f"set llm.leave_out in params.yaml to [{', '.join(refused)}]")
            if not advice and refused:
                advice.append("none: what it refuses is in llm.leave_out")
            for line in advice or ["none: it takes all that the stages send"]:
                yield f"advice    {line}"
        finally:
            runner.run(client.close())


async def _ask(client: Client, endpoint: Endpoint, **how: Any) -> int:
    """Send a request that any server takes; gives the tokens of the answer."""
    return (await _answered(client, endpoint, **how))[1]


async def _answered(client: Client, endpoint: Endpoint, **how: Any) -> tuple[str, int]:
    try:
        return await _send(client, endpoint, **how)
    except Setback as setback:
        raise failure(endpoint.address, setback) from None


async def _greedy(client: Client, endpoint: Endpoint, prompt: str) -> str:
    """The likeliest text after a prompt."""
    told = () if "temperature" in endpoint.llm.leave_out else ("temperature",)
    how: dict[str, Any] = {"max_tokens": TWICE, "sent": told}
    return (await _answered(client, endpoint, text=prompt, **how))[0]


async def _refusal(client: Client, endpoint: Endpoint, **how: Any) -> str | None:
    """Why the server does not take such a request; None if it does."""
    try:
        await _send(client, endpoint, **how)
    except Setback as setback:
        if setback.kind in ("busy", "absent"):
            raise failure(endpoint.address, setback) from None
        return redact(setback.said)
    return None


async def _send(
    client: Client,
    endpoint: Endpoint,
    *,
    sent: Collection[Parameter] = (),
    prompts: int = 1,
    n: int = 1,
    seed: int | None = None,
    text: str = "Once upon a time",
    **change: Any,
) -> tuple[str, int]:
    """Send a request and look at the answer; gives its (first) text and the tokens that it has.

    sent: those of the parameters that may be left out that are not.
    """
    llm = endpoint.llm
    request = Request(text, PLAIN.model_copy(update=change), seed)
    most = request.sampling.max_tokens
    asked = [text] * prompts
    left_out = [name for name in PARAMETERS if name not in sent]
    body = body_for(llm.api, endpoint.model, llm.system, asked, request, most, n, left_out)
    slot = Slot.at(endpoint, client) if prompts == n == 1 else None

    async def post() -> str:
        return await (slot.ask(body, ()) if slot else client.post(PATHS[llm.api], body))

    answer = await client.insist(post, RETRIES)
    try:
        data, choices = choices_of(answer, prompts * n)
    except MalformedBody as problem:
        raise Setback("bad", str(problem), body=answer) from None
    if "logprobs" in sent and not all(choice.raw.get("logprobs") for choice in choices):
        raise Setback("bad", "it answers without them")
    usage = usage_of(data)
    return choices[0].text, usage[1] if usage else most


async def _compared(client: Client, endpoint: Endpoint, **how: Any) -> str:
    """Whether a prompt gets the same text alone and among others, as many as are asked at once."""

    async def text() -> str:
        return (await _answered(client, endpoint, max_tokens=TWICE, **how))[0]

    alone = await text()
    at_once = await asyncio.gather(*(text() for _ in range(endpoint.concurrency)))
    different = len({alone, *at_once})
    if different == 1:
        return "the same text"
    return f"{different} DIFFERENT texts of {1 + len(at_once)}"


async def _speed(client: Client, endpoint: Endpoint, at_once: int) -> tuple[float, int]:
    """Seconds and tokens of so many requests at once."""
    began = time.monotonic()
    # Other beginnings, so that no cache answers.
    tokens = await asyncio.gather(
        *(
            _ask(client, endpoint, text=f"{i}. Once upon a time", max_tokens=LONG)
            for i in range(at_once)
        )
    )
    return time.monotonic() - began, sum(tokens)
