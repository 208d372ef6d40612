"""Rows of Self-Instruct's stages, told back to the seed tasks."""

from collections.abc import Collection
from pathlib import Path

from seedbed.core.records import Exchange, Record
from seedbed.runs.places import Place, find, origin, row_at
from seedbed.runs.telling import Telling
from seedbed.self_instruct.alpaca_rows import PREPARED_TASKS, TASKS, RejectedTask, Task
from seedbed.self_instruct.instructions import fold_space
from seedbed.self_instruct.origins import ROWS_OF, Pool
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    SEED_TASKS,
    ClassifiedInstruction,
    Completion,
    FinetuningRow,
    GeneratedInstance,
    Instruction,
    MessagesRow,
    RejectedInstance,
    RejectedInstruction,
    SeedTask,
)
from seedbed.self_instruct.seeds import read_seed_tasks

Prepared = FinetuningRow | MessagesRow | GeneratedInstance | RejectedInstance
# These fields of a row are told as answer and request, or in fewer words.
TOLD_APART = {"metadata", "instance_metadata", "instruction_metadata", "most_similar", "shown"}


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told. writers: what the stages write."""
    return [path for path in writers if path in ROWS_OF]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told."""
    return path in ROWS_OF and path in writers


def tell(telling: Telling, place: Place) -> None:
    """Tell the row at a place in a file it `knows`, and all it came from. Raises as `account`."""
    row = row_at(place, ROWS_OF[place.path])
    if isinstance(row, Prepared):
        _prepared(telling, place, row)
    elif isinstance(row, Task | RejectedTask):
        _task(telling, place, row)
    elif isinstance(row, Completion):
        _completion(telling, place, row)
    elif isinstance(row, ClassifiedInstruction):
        _classified(telling, place, row)
        _instruction(
            telling,
            *origin(
                place,
                INSTRUCTIONS,
                Instruction,
                lambda instruction: instruction.id == row.instruction_id,
                f"the id {row.instruction_id}",
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
    with telling.out.under(str(place)):
        stage = _row(telling, place, row)
        telling.out.field("key", row.key)
        telling.parameters(stage)
    if row.key is None and (seed := _seed(row.instruction_id)):
        with telling.out.under(f"a seed task's own instance: {seed[1].id} ({seed[0]})"):
            telling.revision(stage, SEED_TASKS)
        return
    nor = "" if row.key else f", nor has {SEED_TASKS} such a task"
    of_same_id = f"the instruction's id {row.instruction_id}{nor}"

    def is_its(completion: Completion) -> bool:
        return completion.instruction_id == row.instruction_id

    if place.path.parent == PREPARED_TASKS:
        _task(telling, *origin(place, TASKS, Task, is_its, of_same_id), "cut from ")
    else:
        found = origin(place, COMPLETIONS, Completion, is_its, of_same_id)
        _completion(telling, *found, "cut from ")


def _seed(id_: str) -> tuple[Place, SeedTask] | None:
    """The seed task of this id, and where it stands."""
    return find(SEED_TASKS, SeedTask, lambda task: task.id == id_)


def _completion(telling: Telling, place: Place, row: Completion, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        _most_similar(telling, row)
        _answer(telling, stage, row.instance_metadata.key, row.instance_metadata)
    of_same_id = f"the instruction's id {row.instruction_id}"
    _classified(
        telling,
        *origin(
            place,
            CLASSIFIED,
            ClassifiedInstruction,
            lambda kind: kind.instruction_id == row.instruction_id,
            of_same_id,
        ),
        "its instruction was classified: ",
    )
    _instruction(
        telling,
        *origin(
            place,
            INSTRUCTIONS,
            Instruction,
            lambda instruction: instruction.id == row.instruction_id,
            of_same_id,
        ),
        "its instruction: ",
    )


def _task(telling: Telling, place: Place, row: Task | RejectedTask, how: str = "") -> None:
    """A whole task, back to the seed tasks that its prompt showed."""
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        if isinstance(row, Task):
            _most_similar(telling, row)
            _answer(telling, stage, row.instruction_metadata.key, row.instruction_metadata)
        else:
            _answer(telling, stage, row.key)
    seeds = {task.id: (line, task) for line, task in enumerate(read_seed_tasks(SEED_TASKS), 1)}
    with telling.out.under("the seed tasks that its prompt showed:"):
        for number, id_ in enumerate(row.shown or (), 1):
            if id_ not in seeds:
                where = f"not found in {SEED_TASKS}: has it changed since?"
                telling.out.line(f"{number}. {id_}: {where}")
                continue
            line, task = seeds[id_]
            text = telling.shortened(fold_space(task.instruction))
            telling.out.line(f"{number}. {id_} ({Place(SEED_TASKS, line)}): {text}")
        telling.revision(stage, SEED_TASKS)


def _classified(telling: Telling, place: Place, row: ClassifiedInstruction, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        _answer(telling, stage, row.key)


def _instruction(telling: Telling, place: Place, row: Instruction, how: str = "") -> None:
    with telling.out.under(f"{how}{place}"):
        stage = _row(telling, place, row)
        _most_similar(telling, row)
        _answer(telling, stage, row.metadata.key, row.metadata)
    _shown(telling, row)


def _rejected_instruction(telling: Telling, place: Place, row: RejectedInstruction) -> None:
    # If the store lacks the answer, an instruction that was accepted from it has its prompt.
    sibling = find(INSTRUCTIONS, Instruction, lambda accepted: accepted.metadata.key == row.key)
    with telling.out.under(str(place)):
        stage = _row(telling, place, row)
        _answer(telling, stage, row.key, sibling[1].metadata if sibling else None)
    _shown(telling, row)


# --- what some of them tell


def _row(telling: Telling, place: Place, row: Record) -> str:
    """The row itself; gives the stage that wrote it."""
    return telling.row(place, row, TOLD_APART, {"request_idx": "round"})


def _most_similar(telling: Telling, row: Instruction | Completion) -> None:
    for text, similarity in list(row.most_similar.items())[:1]:
        telling.out.field("most like it", f"ROUGE-L {similarity:.3f}: {text}")


def _answer(
    telling: Telling, stage: str, key: str | None, exchange: Exchange | None = None
) -> None:
    telling.asked(stage, key, telling.pipeline.prompt_files(stage), exchange)


def _shown(telling: Telling, row: Instruction | RejectedInstruction) -> None:
    """The instructions that the prompt of a row of bootstrap's showed, back to the seed tasks."""
    out = telling.out
    if row.shown is None:
        out.line("the instructions that its prompt showed: its row does not name them")
        return
    reached: dict[str, int] = {}
    with out.under("the instructions that its prompt showed, and what they came from:"):
        for ancestor in Pool().ancestors(row.shown):
            known = ancestor.known
            if known is None:
                where = f"not found in {SEED_TASKS} or {INSTRUCTIONS}: has one changed since?"
                out.line(f"{ancestor.number}. {ancestor.id}: {where}", ancestor.depth)
                continue
            if known.round is None:
                reached[ancestor.id] = known.place.line
                where = f"{ancestor.id} ({known.place})"
            else:
                above = (
                    f"; its prompt stands above, at {ancestor.told_at}" if ancestor.told_at else ""
                )
                where = f"{known.place} (round {known.round}{above})"
            text = telling.shortened(fold_space(known.text))
            out.line(f"{ancestor.number}. {where}: {text}", ancestor.depth)
    in_order = sorted(reached, key=reached.__getitem__)
    with out.under(f"seed tasks that it goes back to: {len(reached)} of {SEED_TASKS}"):
        telling.revision(telling.pipeline.stage_of(INSTRUCTIONS), SEED_TASKS)
        out.line(", ".join(in_order))
