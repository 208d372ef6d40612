"""What may be wrong with Active Instruction Tuning."""

from pathlib import Path

from seedbed.errors import SeedbedError, cut, shown


class PoolTooSmall(SeedbedError):
    def __init__(self, tasks: int, chunk: int, dev: int, rounds: int):
        super().__init__(
            f"active_pool: the pool has {tasks} tasks, but {dev} are held out and {rounds} rounds "
            f"train on {chunk} more each: that takes {dev + rounds * chunk}\n"
            "  Lower active_pool.chunk or active_pool.dev, run fewer rounds, or take a larger pool."
        )


class TooFewLeft(SeedbedError):
    def __init__(self, name: str, left: int, chunk: int):
        super().__init__(
            f"round {name}: {left} tasks are left of the pool, but it takes {chunk}\n"
            "  Lower active_pool.chunk, run fewer rounds, or take a larger pool."
        )


class TooFewToHoldOut(SeedbedError):
    def __init__(self, dev: int, classification: int, tasks: int):
        super().__init__(
            f"active_pool.dev is {dev}, half of them of each kind, but of the {tasks} tasks of the "
            f"pool {classification} are classification tasks\n  Lower it, or take a larger pool."
        )


class NoTaskOfAKind(SeedbedError):
    def __init__(self, name: str, kind: str, share: float):
        super().__init__(
            f"round {name}: active_select.cls_share is {share:g}, but the pool has no {kind} task\n"
            "  Set it to null, which takes whatever comes, or take a pool of both kinds."
        )


class NoDemos(SeedbedError):
    def __init__(self, target: str, demos: int, task: str, source: Path, more: int):
        others = f" (nor have {more} more)" if more else ""
        super().__init__(
            f"active_score.target is {target}, but with active_pool.demos: {demos} the task "
            f"{shown(task)} of {source} shows none{others}\n"
            "  Set the target to td, raise active_pool.demos, or leave such tasks out of "
            "active_pool.tasks."
        )


class OtherBase(SeedbedError):
    def __init__(self, base: str, model: str):
        super().__init__(
            f"active_pool: the rounds train adapters of {shown(base)} (finetune.base), but "
            f"{shown(model)} is asked (llm.model), which cannot take them\n"
            "  Give both the same value."
        )


class ChatNotScored(SeedbedError):
    def __init__(self, name: str):
        super().__init__(
            f"round {name}: llm.api is chat, which puts a prompt into a template, and a text is "
            "scored without one\n  Set llm.api to completions."
        )


class HeldOutInPool(SeedbedError):
    def __init__(self, task: str, other: str, more: int):
        others = f" (and {more} more)" if more else ""
        super().__init__(
            f"active_pool: the test task {shown(task)} is in the pool too, as {shown(other)}"
            f"{others}\n  A model would be tried on what it was trained on: take it out of one of "
            "the two (active_pool.tasks, active_pool.test_tasks)."
        )


class TooFewInstances(SeedbedError):
    def __init__(self, task: str, source: Path, has: int, needs: int, more: int):
        others = f" (and {more} more tasks)" if more else ""
        super().__init__(
            f"active_pool: the task {shown(task)} of {source} has {has} instances, but "
            f"active_score.instances is {needs}{others}\n"
            "  Lower that, raise active_pool.max_examples if it is lower, or leave the task out of "
            "active_pool.tasks."
        )


class NoSuchPoolTask(SeedbedError):
    def __init__(self, path: Path, line: int, name: str, where: Path):
        super().__init__(
            f"{path}:{line}: there is no task {shown(name)} in {where}\n"
            "  Correct the name, or remove the line."
        )


class NoScores(SeedbedError):
    def __init__(self, name: str):
        super().__init__(
            f"round {name} has no scores to choose by\n"
            f"  Name it in active.scored, and run "
            f"`dvc repro pipelines/active/dvc.yaml:active-score@{name}`."
        )


class NothingScored(SeedbedError):
    def __init__(self, name: str, reasons: str):
        super().__init__(
            f"round {name}: none of the tasks could be scored ({cut(reasons)})\n"
            "  A model that gives no answer has none to be unsure of: set active_score.labels to "
            'gold, or active_score.end to a text such as "\\n".'
        )


class NothingEvaluated(SeedbedError):
    def __init__(self, folder: Path):
        super().__init__(
            f"{folder}: no round has been evaluated\n"
            "  `dvc repro pipelines/active/dvc.yaml` runs them all."
        )


class OtherTasks(SeedbedError):
    """Rounds that were evaluated on different tasks cannot be compared."""

    def __init__(self, name: str, first: str):
        super().__init__(
            f"round {name} was evaluated on other tasks than round {first}\n"
            "  Run `dvc repro pipelines/active/dvc.yaml`; remove from data/active what active.runs "
            "names no more."
        )
