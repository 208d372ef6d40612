"""The files of the stage alpaca, and their rows.

A task is a row of `instances` as well, so that `prepare` reads it.
"""

from pathlib import Path

from seedbed.self_instruct.rows import Completion, RejectedInstruction

TASKS = Path("data/alpaca/tasks.jsonl")
REJECTED_TASKS = Path("data/alpaca/rejected.jsonl")
# What `prepare` makes of them.
PREPARED_TASKS = Path("data/alpaca/prepare")


class Task(Completion):
    """An accepted task: an instruction, and in raw_instances its input and output.

    instruction_metadata: the whole exchange. instance_metadata is the same, and has the key alone:
        of a completion that was cut `prepare` refuses the last instance, which is here another
        task's.
    request_idx, shown: as an Instruction has them; shown are seed tasks' ids.
    """

    request_idx: int
    shown: list[str]


class RejectedTask(RejectedInstruction):
    """A piece of a completion that did not become a task, and why."""

    raw_instances: str
