"""A stage, looked at: its first prompts, what comes back, what it makes of it, and the cost of all.

Nothing is written but answers, into the store, where a run finds them.
"""

from dataclasses import dataclass
from typing import Any

from seedbed import params
from seedbed.llm.budget import cost
from seedbed.llm.params import Llm, Price
from seedbed.methods import STAGES, module_of, parts
from seedbed.params import Everything
from seedbed.runs.addresses import Called, called, demand_inputs
from seedbed.runs.changes import changed, read_changes
from seedbed.runs.dry_run import Foreseen
from seedbed.runs.errors import AsksNothing
from seedbed.runs.filled import Told, told
from seedbed.runs.pipeline import Pipeline
from seedbed.runs.preview import Look, Preview, Sample
from seedbed.runs.rounds import read_instead
from seedbed.views.estimate import foresee


@dataclass(frozen=True)
class Whole:
    """What a stage would ask in all. rounds: whether that is of all its rounds together.

    looked: so many of the requests were just answered. The estimate need not know of them: it
        goes by what the store leads to, from the first stage on.
    """

    foreseen: Foreseen
    price: Price | None
    rounds: bool
    looked: int

    def __post_init__(self) -> None:
        seen = self.foreseen
        looked = min(self.looked, seen.requests)
        if seen.kept < looked:
            left = (seen.requests - looked) / seen.missing
            seen.prompt_tokens = round(seen.prompt_tokens * left)
            seen.completion_tokens = round(seen.completion_tokens * left)
            seen.kept = looked

    @property
    def told(self) -> str:
        """Requests, tokens, dollars."""
        seen = self.foreseen
        of = "all rounds together" if self.rounds else "the whole stage"
        text = f"{of}: {seen.requests:,} requests, {seen.kept:,} of them in the store"
        if not seen.missing:
            return f"{text}: nothing is to be sent"
        dollars = cost(self.price, seen.prompt_tokens, seen.completion_tokens)
        price = "no price (run.prices)" if self.price is None else f"${dollars:,.4f}"
        return (
            f"{text}; {seen.missing:,} to send take {seen.prompt_tokens:,} prompt tokens and "
            f"{seen.completion_tokens:,} completion tokens, {price}"
        )


@dataclass(frozen=True)
class Seen:
    """What a preview shows. help: what the stage makes of what. whole: None if nobody can say."""

    stage: Called
    help: str
    llm: Llm
    samples: list[Sample]
    preview: Preview
    whole: Whole | None

    def told(self, sample: Sample) -> list[Told]:
        """The prompts of a sample in pieces, in order. Raises BadFile."""
        templates = self.preview.templates(sample)
        return [told(one.prompt, templates) for one in sample.asked]

    @property
    def sent(self) -> int:
        """How many answers were asked for now."""
        return sum(not one.kept for sample in self.samples for one in sample.asked)


def previews() -> dict[str, Preview]:
    """Of every stage that asks, by its name."""
    return {name: one for part in parts("preview") for name, one in part.PREVIEWS.items()}


def look(name: str, rows: int) -> Seen:
    """Look at a stage's first rows.

    Args:
        name: as DVC has it, such as `clf` or `curate@round-2`: see `seedbed.runs.addresses`.

    Raises:
        NoSuchStage, AsksNothing: there is nothing to look at.
        NotMadeYet: another stage has to run first.
        SeedbedError: as the stage.
    """
    pipeline = Pipeline()
    stage = called(pipeline, name, _method(name))
    there = previews()
    if stage.command not in there:
        raise AsksNothing(stage.address, list(there))
    preview, module = there[stage.command], module_of(stage.command)
    changes = read_changes(stage.changes)
    own = params.load(stage.command, module.Params, changes, stage.place)
    inputs = read_instead(module.Inputs(), stage.inputs)
    demand_inputs(pipeline, stage.address)
    everything = params.everything()
    samples = list(preview.samples(own, inputs, Look(stage.address, rows, everything)))
    keys = {one.key for sample in samples for one in sample.asked}
    return Seen(
        stage,
        STAGES[stage.command].STAGES[stage.command],
        own.llm,
        samples,
        preview,
        _whole(stage, everything, changes, len(keys)),
    )


def _method(stage: str) -> str | None:
    return STAGES[stage].__name__.rpartition(".")[2] if stage in STAGES else None


def _whole(
    stage: Called, everything: Everything, changes: dict[str, Any], looked: int
) -> Whole | None:
    """By `seedbed estimate`, which counts the rounds of a loop together.

    A stage that stands elsewhere too is counted as its command changes it, if it reads what the
    stage itself reads.
    """
    folder = stage.place[0].parent.name
    lines, price = foresee(everything, {folder or _method(stage.name) or ""})
    for line in lines:
        if line.stage == stage.name:
            return Whole(line, price, "@" in stage.address, looked)
    if stage.inputs:
        return None
    changed_everything = params.checked(changed(everything.model_dump(), changes))
    lines, price = foresee(changed_everything, {_method(stage.command) or ""})
    for line in lines:
        if line.stage == stage.command:
            return Whole(line, price, False, looked)
    return None
