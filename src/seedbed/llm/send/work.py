"""What is to be asked, and what became of it: between the engine and those who send."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from seedbed.core.progress import Tally
from seedbed.llm.budget import cost
from seedbed.llm.contract.request import Keyed, Request
from seedbed.llm.contract.wire import (
    Answer,
    Problem,
    choices_of,
    read_body,
    split,
    usage_of,
)
from seedbed.llm.errors import RowFailed
from seedbed.llm.params import Price
from seedbed.llm.store.rows import Kept

# Of the prompt, and of the completion.
Tokens = tuple[int, int]


@dataclass
class Window:
    """A stretch of the requests. Its answers are given out together, in the requests' order."""

    keys: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    failed: list[RowFailed] = field(default_factory=list)
    open: int = 0


@dataclass(eq=False)
class Wanted:
    """A request that the store has no answer to.

    row: counts the requests of the stage from 1; the first of several that are equal.
    windows: all those under way that have it.
    """

    keyed: Keyed
    request: Request
    row: int
    windows: list[Window]


@dataclass(eq=False)
class Call:
    """One HTTP request: `samples` samples of each of one or more prompts.

    was_shared: it is part of one that was refused, and reads as if it had not been.
    sent, failed: how often, as `Asking` has it, at all servers that it was sent to.
    """

    wanted: list[Wanted]
    samples: int = 1
    was_shared: bool = False
    sent: int = 0
    failed: int = 0

    @property
    def first(self) -> Wanted:
        return self.wanted[0]

    @property
    def prompts(self) -> list[str]:
        return [wanted.request.prompt for wanted in self.wanted[:: self.samples]]

    @property
    def size(self) -> int:
        return len(self.wanted)

    def apart(self) -> list["Call"]:
        """The same, one answer a call."""
        return [Call([wanted], was_shared=True) for wanted in self.wanted]


def group(wanted: Iterable[Wanted], prompts_per_call: int, samples: bool) -> list[Call]:
    """Put what can be asked together into one call.

    Prompts that begin alike come one after another, so that a server with a prefix cache
    evaluates their beginning once.

    samples: whether the samples of a prompt may share a call.
    """
    alike: list[Call] = []
    order = sorted(wanted, key=lambda each: (each.request.prompt, each.request.sample))
    for each in order:
        last = alike[-1].wanted[-1].request if alike else None
        request = each.request
        if (
            samples
            and last is not None
            and (last.prompt, last.seed) == (request.prompt, request.seed)
            and last.sampling == request.sampling
            and last.sample + 1 == request.sample
        ):
            alike[-1].wanted.append(each)
            alike[-1].samples += 1
        else:
            alike.append(Call([each]))
    if prompts_per_call == 1:
        return alike
    calls: list[Call] = []
    # A list has one sampling for all its prompts. Several lists are under way at a time, because
    # prompts of several kinds may alternate.
    filling: dict[tuple[str, int | None, int, int], Call] = {}
    for call in alike:
        request = call.first.request
        kind = (request.sampling.model_dump_json(), request.seed, request.sample, call.samples)
        into = filling.get(kind)
        if into is None or len(into.wanted) // into.samples == prompts_per_call:
            filling[kind] = call
            calls.append(call)
        else:
            into.wanted += call.wanted
    return calls


@dataclass
class Read:
    """What a response body holds: a row for the store for each request, and the usage of all."""

    rows: list[Kept]
    usage: Tokens | None


def read(call: Call, model: str, body: str, max_tokens: int, shared: bool) -> Read:
    """Take a response body apart.

    shared: whether such calls may have several answers, so that the usage of each is not known.

    Raises:
        MalformedBody: it does not hold an answer to each request of the call.
    """
    shared = shared or call.was_shared
    return read_of([wanted.keyed for wanted in call.wanted], model, body, max_tokens, shared)


def read_of(
    asked: Sequence[Keyed], model: str, body: str, max_tokens: int, shared: bool = False
) -> Read:
    """The same for requests that nobody may be waiting for any more."""
    size = len(asked)
    data, choices = choices_of(body, size)
    bodies = split(data, choices) if shared or size > 1 else [body]
    usage = usage_of(data)
    share = (None, None) if usage is None else (usage[0] / size, usage[1] / size)
    rows = [
        keep(keyed, model, text, max_tokens, choice.problem, choice.finish_reason, share)
        for keyed, text, choice in zip(asked, bodies, choices, strict=True)
    ]
    return Read(rows, usage)


def keep(
    keyed: Keyed,
    model: str,
    body: str,
    max_tokens: int,
    problem: Problem | None,
    finish_reason: str | None = None,
    usage: tuple[float | None, float | None] = (None, None),
) -> Kept:
    """The store's row for an answer."""
    return Kept(
        key=keyed.key,
        base=keyed.base,
        model=model,
        request=keyed.form,
        response=body,
        max_tokens=max_tokens,
        ended=finish_reason == "stop" and problem in (None, "empty"),
        problem=problem,
        prompt_tokens=usage[0],
        completion_tokens=usage[1],
    )


class Book:
    """Enters what became of each request.

    stop_here: whether texts are cut at the stop sequences here, the server not being told them.
    on_answer: called with the tally after each answer, from the store or the server.
    """

    def __init__(self, on_answer: Callable[[Tally], None], stop_here: bool):
        self.tally = Tally()
        # The keys of the requests that failed: who asks the same further on fails with them.
        self.given_up: set[str] = set()
        self._on_answer = on_answer
        self._stop_here = stop_here

    def answer(self, kept: Kept, request: Request) -> Answer:
        """Raises MalformedBody: the row in the store is damaged."""
        asked = request.sampling.max_tokens
        return read_body(
            kept.key,
            kept.response,
            kept.problem,  # type: ignore[arg-type] # what the store has was a Problem
            kept.max_tokens if kept.max_tokens < asked else None,
            request.sampling.stop if self._stop_here else (),
        )

    def settle(self, wanted: Wanted, kept: Kept, *, sent: bool = True) -> None:
        """The request was answered."""
        answer = self.answer(kept, wanted.request)
        for window in wanted.windows:
            window.answers[kept.key] = answer
            window.open -= 1
        if sent:
            self.sent()
        else:
            self.reused(1)

    def fail(self, call: Call, reason: str) -> None:
        """The requests were not answered, for all the trying."""
        for wanted in call.wanted:
            self.given_up.add(wanted.keyed.key)
            wanted.windows[0].failed.append(RowFailed(wanted.row, wanted.keyed.key, reason))
            for window in wanted.windows:
                window.open -= 1

    def count(self, usage: Tokens, price: Price | None) -> None:
        """So many tokens were paid for."""
        self.tally.prompt_tokens += usage[0]
        self.tally.completion_tokens += usage[1]
        if self.tally.cost is not None:
            self.tally.cost += cost(price, *usage)

    def show(self, note: str | None) -> None:
        """What is being waited for."""
        self.tally.note = note
        self._on_answer(self.tally)

    def sent(self) -> None:
        """A request was answered by the server."""
        self.tally.sent += 1
        self._on_answer(self.tally)

    def reused(self, times: int) -> None:
        """So many requests needed no sending."""
        for _ in range(times):
            self.tally.reused += 1
            self._on_answer(self.tally)
