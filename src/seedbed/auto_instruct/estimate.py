"""What Auto-Instruct's stages would ask. Whatever they ask belongs to its task.

So the tasks are walked through one by one, and no more than one is held: of a folder of thousands
some are large.
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from seedbed.auto_instruct import candidates, label
from seedbed.auto_instruct.params import Candidates, Sections
from seedbed.auto_instruct.rows import Candidate
from seedbed.auto_instruct.trials import plan
from seedbed.runs.dry_run import Foreseen, Foresight, Unknown
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import find_tasks


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """candidates and label. Raises as these for bad input."""
    first, second = Foreseen("candidates"), Foreseen("label")
    meta_prompts = candidates.read_meta_prompts(params.candidates.shots)
    label.read_template()
    unknown = 0
    for path in find_tasks(Path(params.niv2.folder), params.niv2.tasks):
        task = read_task(path)
        # What is in data/candidates may be of another run: a run would write it anew.
        try:
            made = candidates.generate(
                [task], params.candidates, meta_prompts, partial(foresight.answers, first)
            )
            rows, known = made.rows, True
        except Unknown:
            rows, known = list(_stand_ins(task, params.candidates, meta_prompts)), False
            unknown += 1
        trial = plan(task, rows, params.label)
        requests = label.requests(trial, params.label)
        # Candidate by candidate: the seed instruction, which is known, is the first.
        sure = trial.requests if known else sum(0 in chosen for chosen in trial.chosen)
        for _ in foresight.look_up(second, islice(requests, sure)):
            pass
        foresight.more(second, requests)
    if unknown:
        tasks = f"{unknown} task{'s' if unknown > 1 else ''}"
        first.guess(f"requests: as if nothing more were sampled again, for {tasks}")
        second.guess(f"prompts: as if all candidates were the seed instruction, for {tasks}")
    return [first, second]


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
