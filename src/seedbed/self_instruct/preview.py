"""The first prompts of Self-Instruct's stages, and what becomes of the answers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice

from seedbed.core.files import read_rows, to_line
from seedbed.core.prompts import Prompt
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer, Ask
from seedbed.runs.preview import Look, Preview, Sample, Watched, fields, one_each
from seedbed.self_instruct import alpaca, bootstrap, clf, instances, prepare
from seedbed.self_instruct.alpaca_rows import RejectedTask, Task
from seedbed.self_instruct.bootstrap import Grown
from seedbed.self_instruct.rows import (
    Completion,
    Instruction,
    LeanCompletion,
    Named,
    RejectedInstance,
    RejectedInstruction,
    meaning,
)


class Enough(Exception):
    """A round was looked at; the prompts of the next show what came of it."""


def _bootstrap(params: bootstrap.Params, inputs: bootstrap.Inputs, look: Look) -> Iterator[Sample]:
    """Of the first round: its prompts are known, and those of the next show what it brings."""
    section = params.bootstrap
    seeds, prompt = bootstrap.read_seeds(inputs.seed_tasks, section)
    accepted, rejected = list[Instruction](), list[RejectedInstruction]()
    grown = Grown(accepted, rejected)
    with look.opened(params.llm) as engine:
        own = section.model_copy(update=_one_round(look, section.request_batch_size))
        with suppress(Enough):
            bootstrap.grow(seeds, own, prompt, _asking(engine, grown), into=grown)
        asked = engine.taken()
    for number, one in enumerate(asked, 1):
        new = [
            {"accepted": row.instruction} | _nearest(row.most_similar)
            for row in accepted
            if row.metadata.key == one.key
        ]
        refused = [
            {"rejected": row.instruction, "reason": row.reason}
            for row in rejected
            if row.key == one.key
        ]
        later = _no_more(look, number, len(asked), "bootstrap")
        yield Sample([one], [*new, *refused], later=later)


def _alpaca(params: alpaca.Params, inputs: alpaca.Inputs, look: Look) -> Iterator[Sample]:
    """Likewise, of whole tasks."""
    section = params.alpaca
    seeds, template = alpaca.read_seeds(inputs.seed_tasks, section), alpaca.Template(section)
    accepted, rejected = list[Task](), list[RejectedTask]()
    grown = alpaca.Grown(accepted, rejected)
    with look.opened(params.llm) as engine:
        own = section.model_copy(update=_one_round(look, section.request_batch_size))
        ask = _asking(engine, grown)
        with suppress(Enough):
            alpaca.grow(seeds, own, params.bootstrap, template, ask, into=grown)
        asked = engine.taken()
    for number, one in enumerate(asked, 1):
        new = [
            {"accepted": row.instruction, "task": row.raw_instances} | _nearest(row.most_similar)
            for row in accepted
            if row.instance_metadata.key == one.key
        ]
        refused = [
            {"rejected": row.instruction, "task": row.raw_instances, "reason": row.reason}
            for row in rejected
            if row.key == one.key
        ]
        later = _no_more(look, number, len(asked), "alpaca")
        yield Sample([one], [*new, *refused], later=later)


def _one_round(look: Look, batch: int) -> dict[str, int]:
    # A round that brings nothing is none to stop at.
    return {"request_batch_size": min(look.rows, batch), "max_rounds_without_new": 2}


def _no_more(look: Look, number: int, round_: int, stage: str) -> str:
    """After the last request of a round that is smaller than what is to be looked at: why."""
    if number < round_ or round_ >= look.rows:
        return ""
    return (
        f"no more is shown than a round, of {round_} requests ({stage}.request_batch_size): what "
        "is asked after it depends on the answers"
    )


def _asking(engine: Watched, grown: Grown | alpaca.Grown) -> Ask:
    def ask(requests: Iterable[Request]) -> Iterable[Answer]:
        if grown.rounds:
            raise Enough
        return engine.ask(requests)

    return ask


def _nearest(most_similar: Mapping[str, float]) -> dict[str, object]:
    return {
        name: value
        for other, score in islice(most_similar.items(), 1)
        for name, value in (("rouge_l", round(score, 4)), ("most_similar", other))
    }


def _clf(params: clf.Params, inputs: clf.Inputs, look: Look) -> Iterator[Sample]:
    first = list(islice(read_rows(inputs.instructions, Named), look.rows))
    prompt = Prompt("clf/is_classification.txt", "instruction")
    with look.opened(params.llm) as engine:
        rows = list(clf.classify(first, params.clf, prompt, engine.ask))
        asked = engine.taken()
    yield from one_each(
        asked, [{**fields(row, "instruction"), "classification": meaning(row)} for row in rows]
    )


def _instances(params: instances.Params, inputs: instances.Inputs, look: Look) -> Iterator[Sample]:
    """And what `prepare` makes of the completions: the pairs, and why one is refused."""
    section = params.instances
    first = list(islice(instances.select(instances.read_tasks(inputs), section), look.rows))
    with look.opened(params.llm) as engine:
        rows = list(instances.generate(first, section, instances.Prompts(), engine.ask))
        asked = engine.taken()
    for one, row in zip(asked, rows, strict=True):
        yield Sample([one], list(_pairs(row, look)), row.instruction)


def _pairs(row: Completion, look: Look) -> Iterator[dict[str, object]]:
    lean = LeanCompletion.model_validate_json(to_line(row))
    rejected = list[RejectedInstance]()
    parsed = prepare.parse([lean], look.everything.prepare, rejected)
    for kept in parsed.kept:
        yield fields(kept, "input", "output")
    for refused in rejected:
        yield fields(refused, "input", "output", "reason")


PREVIEWS = {
    "bootstrap": Preview(_bootstrap, "bootstrap"),
    "alpaca": Preview(_alpaca, "alpaca"),
    "clf": Preview(_clf, "clf"),
    "instances": Preview(_instances, "instances"),
}
