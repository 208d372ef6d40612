"""What evaluate would ask: of each model the same, each known by what it is.

Of many tasks some stand for all, unless all have to be read to compare them with rows.
"""

from collections.abc import Iterable
from pathlib import Path

from seedbed.core.files import exists
from seedbed.llm.contract.request import Request
from seedbed.runs.dry_run import LOOKED_UP, Foreseen, Foresight, rows_in, thinned
from seedbed.tasks.places import list_tasks
from seedbed.tasks.prompts import Prompts
from seedbed.training.evaluate import llm_of, plan, read_cases, requests
from seedbed.training.held_out import Case
from seedbed.training.params import Evaluate, Sections

# Of more tasks so many are read.
TASKS = 25


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """evaluate. Raises as it does for bad input, but for files that are yet to be made."""
    section = params.evaluate
    seen = Foreseen("evaluate")
    prompts = Prompts()
    made = [path for model in section.models for path in model.trained_on if exists(Path(path))]
    missing = {path for model in section.models for path in model.trained_on} - {*made}
    # To compare the tasks with the rows of a large run takes as long as all else together.
    large = {path for path in made if Path(path).is_file() and rows_in(Path(path)) > LOOKED_UP}
    small = {*made} - large
    there = [
        model.model_copy(
            update={"trained_on": [path for path in model.trained_on if path in small]}
        )
        for model in section.models
    ]
    weight = 1.0
    if small:
        cases = plan(read_cases(section), section.model_copy(update={"models": there})).cases
    else:
        cases, weight = _some_cases(section, seen)
    if missing and section.leave_out_overlaps:
        names = ", ".join(sorted(missing))
        seen.guess(f"requests: as if none overlapped with {names}, not there yet")
    if large and section.leave_out_overlaps:
        names = ", ".join(sorted(large))
        seen.guess(f"requests: as if none overlapped with {names}, too many rows to compare")
    part = Foreseen(seen.stage)
    for model in section.models:
        asked = requests(cases, section, prompts)
        if model.adapter is not None and not exists(Path(model.adapter)):
            foresight.more(part, asked)
            part.guess(f"in store: none of {model.name}'s, as {model.adapter} is not there yet")
        elif (llm := llm_of(foresight.llm, model)) == foresight.llm:
            _look_up(foresight, part, asked)
        else:
            with foresight.of(llm) as other:
                _look_up(other, part, asked)
    seen.add(part, weight)
    return [seen]


def _some_cases(section: Evaluate, seen: Foreseen) -> tuple[list[Case], float]:
    """Those of at most TASKS tasks, and for how many each of them stands."""
    names, folder = section.tasks, Path(section.held_out)
    if names is None and folder.is_dir() and not any(folder.glob("*.jsonl")):
        names = sorted(list_tasks(folder, "evaluate.held_out"))
    if names is None:
        return read_cases(section), 1.0
    some, weight = thinned(names, TASKS)
    if weight > 1:
        seen.guess(f"requests: {len(some)} of {len(names)} tasks were read, for all")
    return read_cases(section.model_copy(update={"tasks": list(some)})), weight


def _look_up(foresight: Foresight, seen: Foreseen, asked: Iterable[Request]) -> None:
    for _ in foresight.look_up(seen, asked):
        pass
