"""What a run would ask, before it asks: requests, answers in the store already, tokens, cost.

The stages are walked through with the answers that the store has. As far as these reach, the
requests are the very ones that a run would send; beyond that (nobody knows what bootstrap will
accept before it has asked) they are counted from what was seen so far, and the line says so.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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

    requests: in all; kept: of them, in the store. Tokens: of those to be sent.
    guessed: what of it is no count but a guess, and from what.
    """

    stage: str
    requests: int = 0
    kept: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    guessed: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        return self.requests - self.kept


class Unknown(Exception):
    """The store does not have the next answers."""


class Foresight:
    """Looks requests up, sends none, and adds up what sending them would take."""

    def __init__(self, engine: Engine, tokens_a_character: float | None):
        self._engine = engine
        self._tokens_a_character = tokens_a_character

    def look_up(self, seen: Foreseen, requests: Sequence[Request]) -> list[Answer | None]:
        found = self._engine.peek(requests)
        seen.requests += len(requests)
        seen.kept += sum(answer is not None for answer in found)
        missing = [
            request for request, answer in zip(requests, found, strict=True) if answer is None
        ]
        self._add_tokens(seen, missing, found)
        return found

    def more(
        self, seen: Foreseen, number: int, like: Iterable[Request], found: Sequence[Answer | None]
    ) -> None:
        """So many requests more, as long as those."""
        models = list(like)
        seen.requests += number
        if models:
            repeated = [models[i % len(models)] for i in range(number)]
            self._add_tokens(seen, repeated, found)

    def _add_tokens(
        self, seen: Foreseen, missing: list[Request], found: Sequence[Answer | None]
    ) -> None:
        ratio = self._tokens_a_character
        if ratio is None and missing:
            note = f"prompt tokens: {CHARACTERS_A_TOKEN:g} characters each"
            seen.guessed += [] if note in seen.guessed else [note]
        characters = sum(len(self._engine.form_of(request)) for request in missing)
        seen.prompt_tokens += round(characters * (ratio or 1 / CHARACTERS_A_TOKEN))
        counted = [
            usage["completion_tokens"]
            for answer in found
            if answer is not None and (usage := answer.response.get("usage"))
        ]
        if counted:
            seen.completion_tokens += round(len(missing) * sum(counted) / len(counted))
        elif missing:
            note = "completion tokens: at most, all max_tokens"
            seen.guessed += [] if note in seen.guessed else [note]
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
                foresight = Foresight(engine, _tokens_a_character(store, engine.model))
                first, instructions = _bootstrap(params, foresight)
                second, kinds = _clf(params, foresight, instructions)
                third = _instances(params, foresight, instructions, kinds)
                return [first, second, third], endpoint.price
            finally:
                engine.close()
    finally:
        store.close()


def _tokens_a_character(store: Store, model: str) -> float | None:
    """Prompt tokens for a character of the canonical form, as this model counted them so far."""
    for one in store.statistics():
        if one["model"] == model and one["counted_characters"] and one["prompt_tokens"]:
            return float(one["prompt_tokens"] / one["counted_characters"])
    return None


def _bootstrap(params: Everything, foresight: Foresight) -> tuple[Foreseen, list[str]]:
    own = params.bootstrap
    seen = Foreseen("bootstrap")
    grown = bootstrap.Grown()
    last: list[Request] = []
    known: list[Answer | None] = []

    def ask(requests: Iterable[Request]) -> list[Answer]:
        nonlocal last
        last = list(requests)
        found = foresight.look_up(seen, last)
        known.extend(found)
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
        more = max(0, ceil(wanted / rate / len(last)) - 1) * len(last)
        foresight.more(seen, more, last, known)
        seen.guessed.insert(0, f"requests: {rate:.2g} instructions accepted each, {why}")
    return seen, [row.instruction for row in grown.accepted]


def _accepted_a_completion(grown: bootstrap.Grown) -> tuple[float, str]:
    if grown.completions and grown.accepted:
        return len(grown.accepted) / grown.completions, "as so far"
    try:
        last = json.loads((METRICS / "bootstrap.json").read_text())
        return last["accepted"] / last["completions"], "as in metrics/bootstrap.json"
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return ACCEPTED_A_COMPLETION, "as with the packaged model"


def _clf(
    params: Everything, foresight: Foresight, instructions: list[str]
) -> tuple[Foreseen, list[bool | None]]:
    seen = Foreseen("clf")
    prompt = Prompt("clf.txt", "instruction")
    unknown = params.bootstrap.num_instructions_to_generate - len(instructions)
    found = foresight.look_up(seen, list(clf.requests(instructions, params.clf, prompt)))
    stand_ins = instructions or [STAND_IN]
    foresight.more(seen, unknown, clf.requests(stand_ins, params.clf, prompt), found)
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
    found = foresight.look_up(seen, list(instances.requests(known, own, prompts)))
    if unknown:
        if own.tasks != "all":
            seen.guessed.append(f"requests: as if all were {own.tasks} tasks")
        kind = own.tasks == "classification"
        like = instances.requests(
            [(text, kind) for text in instructions or [STAND_IN]], own, prompts
        )
        foresight.more(seen, unknown, like, found)
    return seen


# As long as the accepted instructions are on average.
STAND_IN = "Explain in a few sentences what this is about and why."


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
