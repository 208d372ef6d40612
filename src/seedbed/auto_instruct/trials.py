"""What label tries: of each task some candidates on some examples."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from seedbed.auto_instruct.candidate_files import read_candidates
from seedbed.auto_instruct.errors import TooFewToDrawFrom
from seedbed.auto_instruct.params import Label, Niv2
from seedbed.auto_instruct.rows import Candidate
from seedbed.core import draws
from seedbed.tasks.few_shot import DEMOS, common_label, shown
from seedbed.tasks.niv2 import Example, Task, read_task
from seedbed.tasks.places import find_tasks, task_name


@dataclass(frozen=True)
class Trial:
    """A task and its candidates, and for each of its examples those that are tried on it.

    demos: as the prompts show them.
    inputs_begin: what the inputs of all the task's examples begin with, such as "Sentence 1:".
    chosen: for each example the places of its candidates, ascending.
    """

    task: Task
    candidates: list[Candidate]
    demos: str
    inputs_begin: str
    chosen: list[list[int]]

    @property
    def requests(self) -> int:
        """How many requests it takes."""
        return sum(map(len, self.chosen))


def plan(task: Task, candidates: list[Candidate], params: Label) -> Trial:
    """Choose what is tried on the first `max_examples` of the task's examples.

    Raises:
        TooFewToDrawFrom: fewer candidates, or groups of them, than `sample_instructions`.
    """
    demos = shown((demo.input, demo.output) for demo in task.demos[:DEMOS])
    # Of all examples, not of those alone that are tried: what the prompts declare as shared has a
    # hand in the rounding of the answers, and more examples should not change those of the first.
    inputs_begin = common_label([example.input for example in task.examples])
    task = task.model_copy(update={"examples": task.examples[: params.max_examples]})
    groups = _groups(candidates) if params.one_from_each_group else None
    available = len(candidates) if groups is None else len(groups)
    if params.sample_instructions is not None and params.sample_instructions > available:
        of = "candidates" if groups is None else "groups of candidates"
        raise TooFewToDrawFrom(task.name, params.sample_instructions, available, of)
    return Trial(
        task=task,
        candidates=candidates,
        demos=demos if params.shots == "few" else "",
        inputs_begin=inputs_begin,
        chosen=[
            choose(task.name, example, len(candidates), groups, params) for example in task.examples
        ],
    )


def _groups(candidates: Iterable[Candidate]) -> list[list[int]]:
    """The candidates by the meta-prompt that they come from; each that has none by itself."""
    groups: dict[str | int, list[int]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.meta_prompt or candidate.index, []).append(candidate.index)
    return list(groups.values())


def choose(
    task: str, example: Example, candidates: int, groups: list[list[int]] | None, params: Label
) -> list[int]:
    """The candidates that are tried on an example, ascending; the draw is its own."""
    draw = draws.generator(params.seed, "candidates", task, example.id)
    chosen = list(range(candidates))
    if groups is not None:
        chosen = [draw.choice(group) for group in groups]
    if params.sample_instructions is not None:
        chosen = draw.sample(chosen, params.sample_instructions)
    return sorted(chosen)


@dataclass(frozen=True)
class Trials:
    """All that is to be tried, task by task. Whoever goes through it reads the tasks anew: of
    hundreds the examples would be most of the memory.

    candidates: of each task, by name.
    """

    paths: list[Path]
    candidates: dict[str, list[Candidate]]
    params: Label

    def __iter__(self) -> Iterator[Trial]:
        """Raises BadFile, BadRow, TooFewToDrawFrom."""
        for path in self.paths:
            yield plan(read_task(path), self.candidates[task_name(path)], self.params)


def read_trials(folder: Path, niv2: Niv2, params: Label) -> Trials:
    """The tasks, and their candidates that lie in the folder. Raises BadFile, BadRow."""
    paths = find_tasks(Path(niv2.folder), niv2.tasks)
    return Trials(paths, read_candidates(map(task_name, paths), folder), params)
