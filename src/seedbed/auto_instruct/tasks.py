"""What `seedbed tasks` says: a line a task, and what is wrong with it.

A method may have such a module. This one is apart from `seedbed.tasks.niv2`, so that another
table makes no stage run again.
"""

from collections.abc import Iterator
from pathlib import Path

from seedbed.auto_instruct.params import Sections
from seedbed.errors import SeedbedError
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import list_tasks, the_task

_MOST_SHOWN = 8


def survey_of(params: Sections) -> Iterator[tuple[str, bool]]:
    """The survey of the tasks that the parameters name. As `survey`."""
    return survey(Path(params.niv2.folder), params.niv2.tasks)


def survey(folder: Path, names: list[str] | None = None) -> Iterator[tuple[str, bool]]:
    """Yield lines, each with whether what it speaks of is sound; reads every task.

    Args:
        names: what niv2.tasks asks for, if that is to be checked too.

    Raises:
        BadFile: there is no such folder, or nothing in it.
    """
    there = list_tasks(folder)
    wide = max(map(len, there))
    yield f"{'task':{wide}}  examples  demos  words in  words out  kind", True
    broken = 0
    for name in there:
        try:
            line = _sizes(read_task(the_task(folder, there, name)))
        except SeedbedError as error:
            broken += 1
            yield f"{name:{wide}}  broken: {_one_line(error)}", False
        else:
            yield f"{name:{wide}}  {line}", True
    for name in names or []:
        if name not in there:
            try:
                the_task(folder, there, name)
            except SeedbedError as error:
                yield _one_line(error), False
    yield f"{len(there)} tasks, {broken} of them broken", True


def _sizes(task: Task) -> str:
    words_in = _mean_words([example.input for example in task.examples])
    words_out = _mean_words([target for example in task.examples for target in example.targets])
    kind = "generation"
    if task.is_classification:
        more = f", … ({len(task.labels)})" if len(task.labels) > _MOST_SHOWN else ""
        kind = f"classification: {', '.join(task.labels[:_MOST_SHOWN])}{more}"
    shown = {demo.input for demo in task.demos}
    if known := sum(example.input in shown for example in task.examples):
        # A prompt that shows the demos has the answer in it.
        kind += f" ({known} of the examples are demos)"
    if blank := sum(not "".join(example.targets).strip() for example in task.examples):
        # Whatever a model says to them scores nothing.
        kind += f" ({blank} of the examples have no output)"
    return (
        f"{len(task.examples):8,}  {len(task.demos):5}  {words_in:8.1f}  {words_out:9.1f}  {kind}"
    )


def _mean_words(texts: list[str]) -> float:
    return sum(len(text.split()) for text in texts) / len(texts)


def _one_line(error: SeedbedError) -> str:
    return " ".join(str(error).split())
