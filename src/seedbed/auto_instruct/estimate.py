"""What Auto-Instruct's stages would ask. Whatever they ask belongs to its task.

So the tasks are walked through one by one, and no more than one is held: of a folder of thousands
some are large. Of many tasks some stand for all, and of a task's many examples likewise: to look
seven million requests up takes minutes.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from seedbed.auto_instruct import candidates, label
from seedbed.auto_instruct.params import Candidates, Label, Sections
from seedbed.auto_instruct.rows import Candidate
from seedbed.auto_instruct.trials import Trial, plan
from seedbed.llm.contract.wire import Ask
from seedbed.runs.dry_run import Foreseen, Foresight, Unknown, thinned
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import find_tasks

# Of more tasks so many are read, and so many requests of label's are looked up, of all of them.
TASKS, REQUESTS = 25, 10_000


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """candidates and label. Raises as these for bad input, of the tasks that are read."""
    first, second = Foreseen("candidates"), Foreseen("label")
    meta_prompts = candidates.read_meta_prompts(params.candidates.shots)
    label.read_template()
    paths = find_tasks(Path(params.niv2.folder), params.niv2.tasks)
    some, weight = thinned(paths, TASKS)
    unknown = 0
    for path in some:
        task = read_task(path)
        part = Foreseen(first.stage)
        rows = _candidates(task, params.candidates, meta_prompts, partial(foresight.answers, part))
        first.add(part, weight)
        known = rows is not None
        if rows is None:
            rows = list(_stand_ins(task, params.candidates, meta_prompts))
            unknown += 1
        trial = plan(task, rows, params.label)
        _look_up(second, foresight, trial, params.label, known, (weight, REQUESTS // len(some)))
    if weight > 1:
        for seen in (first, second):
            seen.guess(f"requests: {len(some)} of {len(paths)} tasks were read, for all")
    if unknown:
        number = round(unknown * weight)
        tasks = f"{number} task{'s' if number > 1 else ''}"
        first.guess(f"requests: as if nothing more were sampled again, for {tasks}")
        second.guess(f"prompts: as if all candidates were the seed instruction, for {tasks}")
    return [first, second]


def _candidates(
    task: Task, params: Candidates, meta_prompts: list[candidates.MetaPrompt], ask: Ask
) -> list[Candidate] | None:
    """A task's candidates; None if the store lacks an answer.

    What is in data/candidates may be of another run: a run would write it anew.
    """
    try:
        return candidates.generate([task], params, meta_prompts, ask).rows
    except Unknown:
        return None


def _look_up(
    seen: Foreseen,
    foresight: Foresight,
    trial: Trial,
    params: Label,
    known: bool,
    how: tuple[float, int],
) -> None:
    """What label would ask of a task.

    known: whether its candidates are. how: for how many tasks it stands, and how many requests are
    looked up at most.
    """
    weight, most = how
    each = max(1, trial.requests // len(trial.chosen))
    examples, of_examples = thinned(trial.task.examples, max(1, most // each))
    chosen, _ = thinned(trial.chosen, max(1, most // each))
    task = trial.task.model_copy(update={"examples": list(examples)})
    some = replace(trial, task=task, chosen=list(chosen))
    requests = label.requests(some, params)
    # Candidate by candidate: the seed instruction, which is known, is the first.
    sure = some.requests if known else sum(0 in tried for tried in chosen)
    part = Foreseen(seen.stage)
    for _ in foresight.look_up(part, islice(requests, sure)):
        pass
    foresight.more(part, requests)
    seen.add(part, weight * of_examples)
    if of_examples > 1:
        seen.guess("requests: some of each task's examples were looked up, for all of them")


def _stand_ins(
    task: Task, params: Candidates, meta_prompts: list[candidates.MetaPrompt]
) -> Iterator[Candidate]:
    """As many candidates, and groups of them, as the task will have."""
    groups = [None, *(meta.name for meta in meta_prompts for _ in range(params.samples))]
    for index, group in enumerate(groups):
        yield Candidate(
            task=task.name,
            index=index,
            meta_prompt=group,
            sample=None,
            key=None,
            instruction=candidates.seed_instruction(task, params.shots),
        )
