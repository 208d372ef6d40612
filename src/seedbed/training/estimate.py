"""What evaluate would ask: of each model the same, each known by what it is."""

from collections.abc import Iterable
from pathlib import Path

from seedbed.core.files import exists
from seedbed.llm.contract.request import Request
from seedbed.runs.dry_run import LOOKED_UP, Foreseen, Foresight, rows_in
from seedbed.tasks.prompts import Prompts
from seedbed.training.evaluate import llm_of, plan, read_cases, requests
from seedbed.training.params import Sections


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
    planned = plan(read_cases(section), section.model_copy(update={"models": there}))
    if missing and section.leave_out_overlaps:
        names = ", ".join(sorted(missing))
        seen.guess(f"requests: as if none overlapped with {names}, not there yet")
    if large and section.leave_out_overlaps:
        names = ", ".join(sorted(large))
        seen.guess(f"requests: as if none overlapped with {names}, too many rows to compare")
    for model in section.models:
        asked = requests(planned.cases, section, prompts)
        if model.adapter is not None and not exists(Path(model.adapter)):
            foresight.more(seen, asked)
            seen.guess(f"in store: none of {model.name}'s, as {model.adapter} is not there yet")
        elif (llm := llm_of(foresight.llm, model)) == foresight.llm:
            _look_up(foresight, seen, asked)
        else:
            with foresight.of(llm) as other:
                _look_up(other, seen, asked)
    return [seen]


def _look_up(foresight: Foresight, seen: Foreseen, asked: Iterable[Request]) -> None:
    for _ in foresight.look_up(seen, asked):
        pass
