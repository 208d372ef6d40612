"""What Self-Instruct's stages would ask: each as far as the answers of the one before are known."""

import json
from collections.abc import Iterable
from contextlib import suppress
from itertools import cycle, islice
from math import ceil

from seedbed.core.paths import METRICS
from seedbed.core.prompts import Prompt
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.runs.dry_run import Foreseen, Foresight, Unknown
from seedbed.self_instruct import bootstrap, clf, instances
from seedbed.self_instruct.params import Sections
from seedbed.self_instruct.rows import is_yes

# Instructions accepted for each completion: 40 from 15 with the packaged model.
ACCEPTED_A_COMPLETION = 2.7
# Sixteen words, as the instructions accepted with the packaged model have on average.
STAND_IN = "Explain in a few sentences what this is about, why it matters, and who would care."


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """bootstrap, clf and instances. Raises as these for bad input."""
    first, instructions = _bootstrap(params, foresight)
    second, kinds = _clf(params, foresight, instructions)
    return [first, second, _instances(params, foresight, instructions, kinds)]


def _bootstrap(params: Sections, foresight: Foresight) -> tuple[Foreseen, list[str]]:
    section = params.bootstrap
    seen = Foreseen("bootstrap")
    grown = bootstrap.Grown()
    last: list[Request] = []

    def ask(requests: Iterable[Request]) -> list[Answer]:
        nonlocal last
        last = list(requests)
        return foresight.answers(seen, last)

    seeds, prompt = bootstrap.read_seeds(bootstrap.Inputs().seed_tasks, section)
    try:
        bootstrap.grow(seeds, section, prompt, ask, into=grown)
    except Unknown:
        rate, why = _accepted_a_completion(grown)
        # The round that was just looked up brings some of them.
        wanted = section.num_instructions_to_generate - len(grown.accepted)
        rounds = ceil(wanted / rate / len(last)) - 1
        foresight.more(seen, last * rounds)
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
    params: Sections, foresight: Foresight, instructions: list[str]
) -> tuple[Foreseen, list[bool | None]]:
    seen = Foreseen("clf")
    prompt = Prompt("clf/is_classification.txt", "instruction")
    unknown = params.bootstrap.num_instructions_to_generate - len(instructions)
    answers = foresight.look_up(seen, clf.requests(instructions, params.clf, prompt))
    kinds = [None if answer is None else is_yes(answer.text) for answer in answers]
    if unknown:
        like = clf.requests(instructions or [STAND_IN], params.clf, prompt)
        foresight.more(seen, islice(cycle(like), unknown))
        seen.guess(f"prompts: {unknown} instructions are yet to be written")
    return seen, kinds + [None] * unknown


def _instances(
    params: Sections,
    foresight: Foresight,
    instructions: list[str],
    kinds: list[bool | None],
) -> Foreseen:
    section = params.instances
    seen = Foreseen("instances")
    prompts = instances.Prompts()
    known: list[tuple[str, bool]] = []
    unknown = 0
    for i, kind in enumerate(kinds[: section.num_instructions]):
        if kind is None:
            unknown += 1
        elif section.tasks == "all" or (section.tasks == "classification") == kind:
            known.append((instructions[i], kind))
    for _ in foresight.look_up(seen, instances.requests(known, section, prompts)):
        pass
    if unknown:
        kind = section.tasks == "classification"
        like = instances.requests(
            [(text, kind) for text in instructions or [STAND_IN]], section, prompts
        )
        foresight.more(seen, islice(cycle(like), unknown))
        taken = "generation" if section.tasks == "all" else section.tasks
        what = "prompts" if section.tasks == "all" else "requests"
        seen.guess(f"{what}: as if {unknown} that are not classified yet were {taken} tasks")
    return seen
