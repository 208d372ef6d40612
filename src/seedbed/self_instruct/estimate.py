"""What Self-Instruct's stages would ask: each as far as the answers of the one before are known.

Up to LOOKED_UP instructions the novelty filter is replayed, and every request looked up. To do so
with 52,000 takes a minute. Of more the first ones are replayed; where bootstrap's files turn out to
be of the same run, the others are read there, and where they are not, the others are guessed. What
is asked about the instructions is then looked up for some of them, which stand for all.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, cycle, islice
from math import ceil

from seedbed.core.paths import METRICS
from seedbed.core.prompts import Prompt
from seedbed.core.records import Record
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.runs.dry_run import LOOKED_UP, Foreseen, Foresight, Unknown, thinned
from seedbed.self_instruct import alpaca, bootstrap, clf, instances
from seedbed.self_instruct.bootstrap import Grown, PoolEntry
from seedbed.self_instruct.params import Bootstrap, Sections
from seedbed.self_instruct.rows import INSTRUCTIONS, is_yes

# Instructions accepted for each completion: 40 from 15 with the packaged model.
ACCEPTED_A_COMPLETION = 2.7
# Tasks accepted for each request of alpaca's: 40 from 25, likewise.
TASKS_A_REQUEST = 1.6
# Sixteen words, as the instructions accepted with the packaged model have on average.
STAND_IN = "Explain in a few sentences what this is about, why it matters, and who would care."


class Enough(Exception):
    """So many instructions are known that the others would take too long."""


class Unread:
    """Takes rows that nobody wants."""

    def append(self, row: Record, /) -> None:
        pass


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """bootstrap, clf, instances and alpaca. Raises as these for bad input."""
    first, instructions = _bootstrap(params, foresight)
    return [
        first,
        _clf(params, foresight, instructions),
        _instances(params, foresight, instructions),
        _alpaca(params, foresight),
    ]


# --- bootstrap


def _bootstrap(params: Sections, foresight: Foresight) -> tuple[Foreseen, list[str]]:
    """What it would ask, and the instructions that are known."""
    section = params.bootstrap
    seen = Foreseen("bootstrap")
    grown = Grown(Unread(), Unread())
    last: list[Request] = []

    def ask(requests: Iterable[Request]) -> list[Answer]:
        nonlocal last
        if len(grown.pool) >= LOOKED_UP:
            raise Enough
        last = list(requests)
        return foresight.answers(seen, last)

    seeds, prompt = bootstrap.read_seeds(bootstrap.Inputs().seed_tasks, section)
    try:
        bootstrap.grow(seeds, section, prompt, ask, into=grown)
    except Unknown:
        # The round that was just looked up brings some of them.
        _guess_rounds(seen, foresight, grown, section, last, under_way=1)
    except Enough:
        written = _written(grown, section)
        if written is None:
            before = seen.requests
            _guess_rounds(seen, foresight, grown, section, last, under_way=0)
            _count_like(seen, foresight, last[0], prompt, before)
        else:
            _look_up_rounds(seen, foresight, written, grown, (seeds, section, prompt))
            return seen, [entry.text for entry, _ in written]
    return seen, [entry.text for entry in grown.pool]


def _guess_rounds(
    seen: Foreseen,
    foresight: Foresight,
    grown: Grown,
    section: Bootstrap,
    last: list[Request],
    under_way: int,
) -> None:
    """As many rounds more as it takes, all like the last one."""
    rate, why = _accepted_a_completion(grown)
    wanted = section.num_instructions_to_generate - len(grown.pool)
    rounds = ceil(wanted / rate / len(last)) - under_way
    foresight.more(seen, last * rounds)
    seen.guess(f"requests: {rate:.2g} instructions accepted each, {why}")


def _accepted_a_completion(grown: Grown) -> tuple[float, str]:
    if grown.completions and grown.pool:
        return len(grown.pool) / grown.completions, "as so far"
    with suppress(OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
        last = json.loads((METRICS / "bootstrap.json").read_text())
        rate = last["accepted"] / last["completions"]
        if rate > 0:
            return rate, "as in metrics/bootstrap.json"
    return ACCEPTED_A_COMPLETION, "as with the packaged model"


def _count_like(
    seen: Foreseen, foresight: Foresight, request: Request, prompt: Prompt, replayed: int
) -> None:
    """Which of the guessed requests the store has nobody knows, but how many it can have."""
    more = seen.requests - replayed
    there = foresight.kept_like(request, prompt.prefix) - replayed
    kept = min(max(there, 0), more)
    seen.kept += kept
    if more:
        left = 1 - kept / more
        seen.characters = round(seen.characters * left)
        seen.most_tokens = round(seen.most_tokens * left)
    seen.guess(
        f"in store: {replayed} were looked up; the others as many as there are answers to such "
        "prompts, in whichever run"
    )


def _written(grown: Grown, section: Bootstrap) -> list[tuple[PoolEntry, int]] | None:
    """The instructions that bootstrap wrote, with their rounds, if they go on as those replayed."""
    with suppress(OSError, ValueError, LookupError):
        with INSTRUCTIONS.open("rb") as lines:
            written = list(map(_head, lines))
        same = [entry for entry, _ in written[: len(grown.pool)]] == grown.pool
        if same and len(written) == section.num_instructions_to_generate:
            return written
    return None


def _head(line: bytes) -> tuple[PoolEntry, int]:
    """An instruction and its round, without the rest of the row: that is most of its 8 kB.

    Raises ValueError, LookupError: the row is not as bootstrap writes it.
    """
    head, _, rest = line.partition(b', "most_similar": ')
    row = json.loads(head + b"}")
    round_ = rest.rpartition(b', "request_idx": ')[2].partition(b",")[0]
    return PoolEntry(row["id"], row["instruction"]), int(round_)


def _look_up_rounds(
    seen: Foreseen,
    foresight: Foresight,
    written: list[tuple[PoolEntry, int]],
    grown: Grown,
    how: tuple[list[PoolEntry], Bootstrap, Prompt],
) -> None:
    """The rounds that were not replayed, some of which stand for all.

    written: what all rounds brought; how: the seed instructions, the parameters and the prompt.
    """
    seeds, section, prompt = how
    machine = [entry for entry, _ in written]
    each = section.request_batch_size
    brought = Counter(round_ for _, round_ in written)
    rounds = range(max(brought) + 1)
    before = list(accumulate((brought[round_] for round_ in rounds), initial=0))
    some, weight = thinned(rounds[grown.rounds :], max(1, LOOKED_UP // each))
    part = Foreseen(seen.stage)
    for round_ in some:
        there = machine[: before[round_]]
        asked = bootstrap.draw_requests(round_ * each, seeds, there, section, prompt)
        for _ in foresight.look_up(part, (request for request, _ in asked)):
            pass
    seen.add(part, weight)
    seen.guess(
        f"in store: {grown.completions} were looked up one by one, of the others "
        f"{part.requests:,} for all; that they are asked is taken from {INSTRUCTIONS}"
    )


# --- clf and instances


def _clf(params: Sections, foresight: Foresight, instructions: list[str]) -> Foreseen:
    seen = Foreseen("clf")
    prompt = Prompt("clf/is_classification.txt", "instruction")
    some, weight = thinned(instructions, LOOKED_UP)
    _look_up(seen, foresight, clf.requests(some, params.clf, prompt), weight)
    unknown = params.bootstrap.num_instructions_to_generate - len(instructions)
    if unknown:
        like = clf.requests(some or [STAND_IN], params.clf, prompt)
        foresight.more(seen, islice(cycle(like), unknown))
        seen.guess(f"prompts: {unknown} instructions are yet to be written")
    return seen


def _kinds(params: Sections, foresight: Foresight, texts: Sequence[str]) -> Iterator[bool | None]:
    """Whether each is a classification task; None if clf's answer is not there."""
    prompt = Prompt("clf/is_classification.txt", "instruction")
    requests = clf.requests(texts, params.clf, prompt)
    for answer in foresight.look_up(Foreseen("clf"), requests):
        yield None if answer is None else is_yes(answer.text)


def _instances(params: Sections, foresight: Foresight, instructions: list[str]) -> Foreseen:
    section = params.instances
    seen = Foreseen("instances")
    prompts = instances.Prompts()
    wanted = params.bootstrap.num_instructions_to_generate
    if section.num_instructions is not None:
        wanted = min(wanted, section.num_instructions)
    some, weight = thinned(instructions[:wanted], LOOKED_UP)
    kinds = list(_kinds(params, foresight, some))
    known = [
        (text, kind)
        for text, kind in zip(some, kinds, strict=True)
        if kind is not None and instances.is_wanted(kind, section)
    ]
    _look_up(seen, foresight, instances.requests(known, section, prompts), weight)
    unknown = round(kinds.count(None) * weight) + wanted - len(instructions[:wanted])
    if unknown:
        kind = section.tasks == "classification"
        like = instances.requests([(text, kind) for text in some or [STAND_IN]], section, prompts)
        foresight.more(seen, islice(cycle(like), unknown))
        taken = "generation" if section.tasks == "all" else section.tasks
        what = "prompts" if section.tasks == "all" else "requests"
        seen.guess(f"{what}: as if {unknown} that are not classified yet were {taken} tasks")
    return seen


def _look_up(
    seen: Foreseen, foresight: Foresight, requests: Iterable[Request], weight: float
) -> None:
    """Look requests up, each of which stands for `weight` of all."""
    part = Foreseen(seen.stage)
    for _ in foresight.look_up(part, requests):
        pass
    seen.add(part, weight)
    if weight > 1:
        seen.guess(f"in store: {part.requests:,} were looked up for all")


# --- alpaca


def _alpaca(params: Sections, foresight: Foresight) -> Foreseen:
    """Its requests are known without the answers; how many there are is not."""
    section = params.alpaca
    seen = Foreseen("alpaca")
    grown = alpaca.Grown(Unread(), Unread())
    looked_up = 0

    def ask(requests: Iterable[Request]) -> list[Answer]:
        nonlocal looked_up
        if grown.tasks >= LOOKED_UP:
            raise Enough
        looked_up += section.request_batch_size
        return foresight.answers(seen, requests)

    seeds = alpaca.read_seeds(alpaca.Inputs().seed_tasks, section)
    template = alpaca.Template(section)
    with suppress(Unknown, Enough):
        alpaca.grow(seeds, section, params.bootstrap, template, ask, into=grown)
    if missing := section.num_tasks_to_generate - grown.tasks:
        rate, why = _tasks_a_request(grown)
        each = section.request_batch_size
        rounds = range(grown.completions, grown.completions + ceil(missing / rate), each)
        ahead = rounds[(looked_up - grown.completions) // each :]
        some, weight = thinned(ahead, max(1, LOOKED_UP // each))
        asked = (alpaca.draw_requests(first, seeds, section, template) for first in some)
        requests = (request for of_round in asked for request, _ in of_round)
        _look_up(seen, foresight, requests, weight)
        seen.guess(f"requests: {rate:.2g} tasks accepted each, {why}")
    return seen


def _tasks_a_request(grown: alpaca.Grown) -> tuple[float, str]:
    if grown.tasks:
        return grown.tasks / grown.completions, "as so far"
    with suppress(OSError, ValueError, LookupError, TypeError, ZeroDivisionError):
        last = json.loads((METRICS / "alpaca.json").read_text())
        rate = last["tasks_accepted"] / last["task_requests"]
        if rate > 0:
            return rate, "as in metrics/alpaca.json"
    return TASKS_A_REQUEST, "as with the packaged model"
