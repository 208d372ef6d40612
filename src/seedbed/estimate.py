"""What a run would ask, before it asks: requests, answers in the store already, tokens, cost.

The stages are walked through with the answers that the store has. As far as these reach, the
requests are the very ones that a run would send; beyond that (nobody knows what bootstrap will
accept before it has asked) they are counted from what was seen so far, and the line says so.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle, islice
from math import ceil

from seedbed.llm.api import Answer
from seedbed.llm.budget import cost
from seedbed.llm.endpoint import open_endpoint
from seedbed.llm.engine import Engine
from seedbed.llm.request import Request
from seedbed.llm.store import Store, default_path
from seedbed.params import Everything, Price
from seedbed.paths import METRICS
from seedbed.prompts import Prompt
from seedbed.records import is_yes
from seedbed.stages import bootstrap, clf, instances

# Where nothing was counted yet. Characters a token: English, with the tokenizers of today.
CHARACTERS_A_TOKEN = 4.0
# Instructions accepted for each completion: 40 from 15 with the packaged model.
ACCEPTED_A_COMPLETION = 2.7


@dataclass
class Foreseen:
    """What one stage would ask.

    requests: in all; kept: of them, in the store, or the same as one before. Tokens: of those to
        be sent.
    guessed: what of it is no count but a guess, and from what.
    counted: of its answers in the store, as far as the server counted their tokens.
    """

    stage: str
    requests: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guessed: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> int:
        return self.requests - self.kept

    def guess(self, note: str) -> None:
        if note not in self.guessed:
            self.guessed.append(note)


class Unknown(Exception):
    """The store does not have the next answers."""


class Foresight:
    """Looks requests up, sends none, and adds up what sending them would take.

    system: the system message, which is a part of every prompt.
    tokens_a_character: what the model made of prompts so far, None if none were counted.
    """

    def __init__(self, engine: Engine, system: str | None, tokens_a_character: float | None):
        self._engine = engine
        self._system = system or ""
        self._tokens_a_character = tokens_a_character

    def look_up(self, seen: Foreseen, requests: Sequence[Request]) -> list[Answer | None]:
        found = self._engine.peek(requests)
        missing: dict[str, Request] = {}  # by key: equal ones are sent once
        for request, answer in zip(requests, found, strict=True):
            if answer is None:
                missing[self._engine.key_of(request)] = request
            elif (usage := answer.response.get("usage")) and usage["prompt_tokens"]:
                seen.counted.update(usage, answers=1, characters=self._characters([request]))
        seen.requests += len(requests)
        seen.kept += len(requests) - len(missing)
        self._add_tokens(seen, list(missing.values()))
        return found

    def more(self, seen: Foreseen, number: int, like: Iterable[Request]) -> None:
        """So many requests more, as long as those."""
        seen.requests += number
        self._add_tokens(seen, list(islice(cycle(like), number)))

    def _characters(self, requests: Iterable[Request]) -> int:
        return sum(len(request.prompt) + len(self._system) for request in requests)

    def _add_tokens(self, seen: Foreseen, missing: list[Request]) -> None:
        if not missing:
            return
        counted = seen.counted
        if counted:
            ratio = counted["prompt_tokens"] / counted["characters"]
        elif self._tokens_a_character:
            ratio = self._tokens_a_character
        else:
            seen.guess(f"prompt tokens: {CHARACTERS_A_TOKEN:g} characters each")
            ratio = 1 / CHARACTERS_A_TOKEN
        seen.prompt_tokens += round(self._characters(missing) * ratio)
        if counted:
            mean = counted["completion_tokens"] / counted["answers"]
            seen.completion_tokens += round(len(missing) * mean)
        else:
            seen.guess("completion tokens: at most, all max_tokens")
            seen.completion_tokens += sum(request.sampling.max_tokens for request in missing)


def foresee(params: Everything) -> tuple[list[Foreseen], Price | None]:
    """What each stage would ask, in order, and what the model's tokens cost.

    Raises:
        SeedbedError: as the stages for bad input.
    """
    store = Store(default_path())
    try:
        with open_endpoint(params.llm) as endpoint:
            engine = Engine(endpoint, store, lambda tally: None)
            try:
                ratio = store.tokens_a_character(engine.model)
                foresight = Foresight(engine, params.llm.system, ratio)
                first, instructions = _bootstrap(params, foresight)
                second, kinds = _clf(params, foresight, instructions)
                third = _instances(params, foresight, instructions, kinds)
                return [first, second, third], endpoint.price
            finally:
                engine.close()
    finally:
        store.close()


def _bootstrap(params: Everything, foresight: Foresight) -> tuple[Foreseen, list[str]]:
    own = params.bootstrap
    seen = Foreseen("bootstrap")
    grown = bootstrap.Grown()
    last: list[Request] = []

    def ask(requests: Iterable[Request]) -> list[Answer]:
        nonlocal last
        last = list(requests)
        found = foresight.look_up(seen, last)
        answers = [answer for answer in found if answer is not None]
        if len(answers) < len(found):
            raise Unknown
        return answers

    seeds, prompt = bootstrap.read_seeds(own)
    try:
        bootstrap.grow(seeds, own, prompt, ask, into=grown)
    except Unknown:
        rate, why = _accepted_a_completion(grown)
        # The round that was just looked up brings some of them.
        wanted = own.num_instructions_to_generate - len(grown.accepted)
        foresight.more(seen, (ceil(wanted / rate / len(last)) - 1) * len(last), last)
        seen.guess(f"requests: {rate:.2g} instructions accepted each, {why}")
    return seen, [row.instruction for row in grown.accepted]


def _accepted_a_completion(grown: bootstrap.Grown) -> tuple[float, str]:
    if grown.completions and grown.accepted:
        return len(grown.accepted) / grown.completions, "as so far"
    with suppress(OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
        last = json.loads((METRICS / "bootstrap.json").read_text())
        rate = last["accepted"] / last["completions"]
        if rate > 0:
            return rate, "as in metrics/bootstrap.json"
    return ACCEPTED_A_COMPLETION, "as with the packaged model"


def _clf(
    params: Everything, foresight: Foresight, instructions: list[str]
) -> tuple[Foreseen, list[bool | None]]:
    seen = Foreseen("clf")
    prompt = Prompt("clf.txt", "instruction")
    unknown = params.bootstrap.num_instructions_to_generate - len(instructions)
    found = foresight.look_up(seen, list(clf.requests(instructions, params.clf, prompt)))
    if unknown:
        stand_ins = instructions or [STAND_IN]
        foresight.more(seen, unknown, clf.requests(stand_ins, params.clf, prompt))
        seen.guess(f"prompts: {unknown} instructions are yet to be written")
    kinds = [None if answer is None else is_yes(answer.text) for answer in found]
    return seen, kinds + [None] * unknown


def _instances(
    params: Everything,
    foresight: Foresight,
    instructions: list[str],
    kinds: list[bool | None],
) -> Foreseen:
    own = params.instances
    seen = Foreseen("instances")
    prompts = instances.Prompts()
    known: list[tuple[str, bool]] = []
    unknown = 0
    for i, kind in enumerate(kinds[: own.num_instructions]):
        if kind is None:
            unknown += 1
        elif own.tasks == "all" or (own.tasks == "classification") == kind:
            known.append((instructions[i], kind))
    foresight.look_up(seen, list(instances.requests(known, own, prompts)))
    if unknown:
        kind = own.tasks == "classification"
        like = instances.requests(
            [(text, kind) for text in instructions or [STAND_IN]], own, prompts
        )
        foresight.more(seen, unknown, like)
        taken = "generation" if own.tasks == "all" else own.tasks
        what = "prompts" if own.tasks == "all" else "requests"
        seen.guess(f"{what}: as if {unknown} that are not classified yet were {taken} tasks")
    return seen


# Sixteen words, as the instructions accepted with the packaged model have on average.
STAND_IN = "Explain in a few sentences what this is about, why it matters, and who would care."


def table(seen: Sequence[Foreseen], price: Price | None) -> Iterable[str]:
    """The lines to print."""
    columns = "{:<10} {:>9} {:>9} {:>9} {:>14} {:>18} {:>12}".format
    yield columns(
        "stage", "requests", "in store", "to send", "prompt tokens", "completion tokens", "cost"
    )
    total = Foreseen("total")
    for one in seen:
        yield columns(*_cells(one, price))
        for name in ("requests", "kept", "prompt_tokens", "completion_tokens"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
    yield columns(*_cells(total, price))
    for one in seen:
        for note in one.guessed:
            yield f"  guessed for {one.stage}: {note}"
    if price is None:
        yield "  no price: add the model to llm.prices in params.yaml"


def _cells(one: Foreseen, price: Price | None) -> list[str]:
    numbers = (one.requests, one.kept, one.missing, one.prompt_tokens, one.completion_tokens)
    dollars = cost(price, one.prompt_tokens, one.completion_tokens)
    return [
        one.stage,
        *(f"{number:,}" for number in numbers),
        "?" if price is None else f"${dollars:,.4f}",
    ]
