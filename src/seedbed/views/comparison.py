"""Several servers side by side: which are there, and do they answer alike?

Answers of all are kept under one name, so a difference between them is one between answers that
nobody could tell apart afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from seedbed.errors import SeedbedError
from seedbed.llm.errors import ModelUnknown
from seedbed.llm.redaction import quoted, redact
from seedbed.llm.send.client import Client
from seedbed.llm.send.fleet import alike
from seedbed.llm.send.setback import Setback, failure
from seedbed.llm.serve.endpoint import Endpoint

# What each is asked, greedily and twice.
PROMPTS = ("Once upon a time", "The capital of France is", "One, two, three,")
# Characters of a text that are shown.
SHOWN = 40

# The greedy text that a server goes on with after a prompt.
Answer = Callable[[Client, Endpoint, str], Awaitable[str]]


@dataclass
class Server:
    """A server that is there.

    texts: of each of the PROMPTS, both times.
    """

    endpoint: Endpoint
    models: list[str]
    texts: list[tuple[str, str]]

    @property
    def address(self) -> str:
        return self.endpoint.address

    @property
    def repeated(self) -> int:
        """How many of the texts came twice."""
        return sum(one == other for one, other in self.texts)


@dataclass(frozen=True)
class Compared:
    """first: the first server that is there. advice: what to do about the others, in lines."""

    first: Endpoint
    advice: list[str]


def compare(endpoint: Endpoint, runner: asyncio.Runner, answer: Answer) -> Iterator[str | Compared]:
    """What is found, a line at a time, and at the end what it comes to.

    Raises:
        SeedbedError: none of them is there, or one refuses the key or does not answer a request.
    """
    servers: list[Server] = []
    advice: list[str] = []
    problem: SeedbedError | None = None
    with ExitStack() as clients:
        for each in endpoint.servers:
            client = Client(each)
            clients.callback(_close, runner, client)
            yield f"server    {each.address}"
            try:
                models = runner.run(client.present())
            except Setback as setback:
                problem = failure(endpoint.address, setback)
                yield f"          NOT THERE: {redact(setback.said)}"
                advice.append(f"{each.address}: a run does without it until it is there")
                continue
            yield f"models    {_listed(models, 20) or 'it does not say'}"
            try:
                texts = runner.run(_texts(client, each, answer))
            except ModelUnknown as unknown:
                problem = unknown
                yield f"          HAS NOT THE MODEL {endpoint.model}"
                advice.append(f"{each.address}: take it out of OPENAI_BASE_URL, a run ends with it")
                continue
            servers.append(Server(each, models, texts))
    if not servers:
        assert problem is not None, "there are several"
        raise problem
    for line in _compared(servers, endpoint.llm.model):
        yield line
        if line.startswith("UNLIKE"):
            advice.append("let all servers be alike: their answers are kept under one name")
    yield Compared(servers[0].endpoint, list(dict.fromkeys(advice)))


def _close(runner: asyncio.Runner, client: Client) -> None:
    runner.run(client.close())


async def _texts(client: Client, endpoint: Endpoint, answer: Answer) -> list[tuple[str, str]]:
    return [
        (await answer(client, endpoint, prompt), await answer(client, endpoint, prompt))
        for prompt in PROMPTS
    ]


def _compared(servers: Sequence[Server], model: str) -> Iterator[str]:
    for server in servers:
        repeats = "repeats" if server.repeated == len(PROMPTS) else "REPEATS"
        yield (
            f"{repeats}   {server.address}: {server.repeated} of {len(PROMPTS)} greedy texts came "
            "the same twice"
        )
    first, *others = servers
    for other in others:
        differences = list(_differences(first, other, model))
        if differences:
            yield f"UNLIKE    {other.address} and {first.address}:"
            yield from (f"          {difference}" for difference in differences)
        else:
            yield f"alike     {other.address} and {first.address}: models and greedy texts"


def _differences(first: Server, other: Server, model: str) -> Iterator[str]:
    if not alike(model, other.models, first.models):
        yield f"it serves {_listed(other.models, 5)}, the other {_listed(first.models, 5)}"
    for prompt, texts, theirs in zip(PROMPTS, other.texts, first.texts, strict=True):
        # One that does not repeat itself says something else by itself.
        if not set(texts) & set(theirs):
            yield f"after {prompt!r} {_shown(texts[0])}, the other {_shown(theirs[0])}"


def _listed(models: Sequence[str], most: int) -> str:
    return ", ".join(quoted(model, 200) for model in models[:most])


def _shown(text: str) -> str:
    return repr(redact(text)[:SHOWN])
