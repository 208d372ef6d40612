"""Rows of Self-Instruct's stages, told back to the seed tasks."""

from collections.abc import Collection
from pathlib import Path

from seedbed.core.records import Exchange, Record
from seedbed.runs.places import Place, find, origin, row_at
from seedbed.runs.telling import Telling
from seedbed.self_instruct.origins import ROWS_OF, Pool, seed_of, spelt_out
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    RAW_INSTANCES,
    SEED_TASKS,
    ClassifiedInstruction,
    FinetuningRow,
    GeneratedInstance,
    Instruction,
    MessagesRow,
    RawInstances,
    RejectedInstance,
    RejectedInstruction,
)

Prepared = FinetuningRow | MessagesRow | GeneratedInstance | RejectedInstance
# These fields of a row are told as answer and request, or in fewer words.
TOLD_APART = {"metadata", "instance_metadata", "instruction_metadata", "most_similar"}


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told. writers: what the stages write."""
    return [path for path in writers if path in ROWS_OF]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told."""
    return path in ROWS_OF and path in writers


def tell(telling: Telling, place: Place) -> None:
    """The row at a place, in a file that it `knows`, and whatever it came from. As `account`."""
    row = row_at(place, ROWS_OF[place.path])
    if isinstance(row, Prepared):
        _prepared(telling, place, row)
    elif isinstance(row, RawInstances):
        _raw_instances(telling, place, row)
    elif isinstance(row, ClassifiedInstruction):
        _classified(telling, place, row)
        _instruction(
            telling,
            *origin(
                place,
                INSTRUCTIONS,
                Instruction,
                lambda one: one.instruction == row.instruction,
                f"the instruction {row.instruction[:80]!r}",
            ),
            "its instruction: ",
        )
    elif isinstance(row, Instruction):
        _instruction(telling, place, row)
    elif isinstance(row, RejectedInstruction):
        _rejected_instruction(telling, place, row)
    else:
        raise AssertionError(f"no way to trace a {type(row).__name__}")


# --- the stages, from the last to the first


def _prepared(telling: Telling, place: Place, row: Prepared) -> None:
    key = row.key
    with telling.out.under(str(place)):
        stage = _row(telling, place, row)
        telling.out.field("key", key)
        telling.parameters(stage)
    if key is None:
        _without_key(telling, stage, spelt_out(place, row))
        return
    _raw_instances(
        telling,
        *origin(
            place,
            RAW_INSTANCES,
            RawInstances,
            lambda one: one.instance_metadata.key == key,
            f"the key {key!r}",
        ),
        "cut from ",
    )


def _without_key(telling: Telling, stage: str, row: GeneratedInstance | RejectedInstance) -> None:
    """A seed task's own instance, or one that was cut from an answer that has no key either."""
    seed = seed_of(row)
    if seed is None and RAW_INSTANCES.exists():
        found = find(
            RAW_INSTANCES,
            RawInstances,
            lambda one: one.instance_metadata.key is None and one.instruction == row.instruction,
        )
        if found:
            _raw_instances(telling, *found, "cut from ")
            return
    own = "a seed task's own instance"
    whose = f"{seed[1]} ({seed[0]})" if seed else f"not found in {SEED_TASKS}"
    with telling.out.under(f"{own}: {whose}"):
        telling.revision(stage, SEED_TASKS)


def _raw_instances(telling: Telling, place: Place, row: RawInstances, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        _most_similar(telling, row)
        _answer(telling, stage, row.instance_metadata.key, row.instance_metadata)
    named = f"the instruction {row.instruction[:80]!r}"
    _classified(
        telling,
        *origin(
            place,
            CLASSIFIED,
            ClassifiedInstruction,
            lambda one: one.instruction == row.instruction,
            named,
        ),
        "its instruction was classified: ",
    )
    _instruction(
        telling,
        *origin(
            place,
            INSTRUCTIONS,
            Instruction,
            lambda one: (
                one.instruction == row.instruction
                and one.metadata.key == row.instruction_metadata.key
            ),
            f"{named} and the key {row.instruction_metadata.key!r}",
        ),
        "its instruction: ",
    )


def _classified(telling: Telling, place: Place, row: ClassifiedInstruction, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        _answer(telling, stage, row.key)


def _instruction(telling: Telling, place: Place, row: Instruction, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        _most_similar(telling, row)
        prompt = _answer(telling, stage, row.metadata.key, row.metadata)
    _shown(telling, prompt, row.request_idx)


def _rejected_instruction(telling: Telling, place: Place, row: RejectedInstruction) -> None:
    # If the store lacks the answer, an instruction that was accepted from it has its prompt.
    sibling = find(INSTRUCTIONS, Instruction, lambda one: one.metadata.key == row.key)
    with telling.out.under(str(place)):
        stage = _row(telling, place, row)
        prompt = _answer(telling, stage, row.key, sibling[1].metadata if sibling else None)
    _shown(telling, prompt, row.request_idx)


# --- what some of them tell


def _row(telling: Telling, place: Place, row: Record) -> str:
    """The row itself; gives the stage that wrote it."""
    return telling.row(place, row, TOLD_APART, {"request_idx": "round"})


def _most_similar(telling: Telling, row: Instruction | RawInstances) -> None:
    for text, similarity in list(row.most_similar.items())[:1]:
        telling.out.field("most like it", f"ROUGE-L {similarity:.3f}: {text}")


def _answer(
    telling: Telling, stage: str, key: str | None, exchange: Exchange | None = None
) -> str | None:
    return telling.asked(stage, key, telling.pipeline.prompt_files(stage), exchange)


def _shown(telling: Telling, prompt: str | None, round_: int) -> None:
    """The instructions that a prompt of bootstrap's showed, back to the seed tasks."""
    out = telling.out
    if prompt is None:
        out.line("the instructions that its prompt showed: not known without its request")
        return
    reached: dict[str, int] = {}
    with out.under("the instructions that its prompt showed, and what they came from:"):
        for one in Pool().ancestors(prompt, round_):
            reached |= {id_: place.line for place, id_ in one.seeds}
            if one.seeds:
                where = " or ".join(f"{id_} ({place})" for place, id_ in one.seeds)
            elif one.machine:
                place, made_in = one.machine
                above = f"; its prompt stands above, at {one.told}" if one.told else ""
                where = f"{place} (round {made_in}{above})"
            else:
                where = f"not found in {SEED_TASKS} or {INSTRUCTIONS}: has one changed since?"
            out.line(f"{one.number}. {where}: {telling.shortened(one.text)}", one.depth)
    in_order = sorted(reached, key=reached.__getitem__)
    with out.under(f"seed tasks that it goes back to: {len(reached)} of {SEED_TASKS}"):
        telling.revision(telling.pipeline.stage_of(INSTRUCTIONS), SEED_TASKS)
        out.line(", ".join(in_order))
