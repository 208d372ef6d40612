"""label: every candidate × every example → how well it did.

Each candidate prompts the model on each example of its task, and the output is scored against the
example's targets: ROUGE-L F1, and whether it is right (Auto-Instruct, arXiv 2310.13127, section
3.2). A task's file has the form of the authors': three header lines (the ranking model's prompt
template, the candidates, the demos), then a row an example.

Requests go task by task, candidate by candidate, example by example: all examples of a candidate
share instruction and demos, nine tenths of the prompt, and a server with a prefix cache evaluates
these once. (By example, candidates share nothing: the instruction stands first.)
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seedbed.auto_instruct.candidate_files import read_candidates
from seedbed.auto_instruct.errors import TooFewToDrawFrom
from seedbed.auto_instruct.matching import is_right
from seedbed.auto_instruct.params import Label, Niv2
from seedbed.auto_instruct.rows import CANDIDATES, RANKER_PROMPT, Candidate, LabelledExample
from seedbed.core import draws
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import read_prompt
from seedbed.core.section import Section
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm
from seedbed.tasks.few_shot import DEMOS, beginning, common_label, prompt, shown
from seedbed.tasks.niv2 import Example, Task, read_task
from seedbed.tasks.places import find_tasks, task_name
from seedbed.tasks.scoring import best_rouge_l


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    niv2: Niv2
    label: Label


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    candidates: Path = CANDIDATES


class LeanAnswer(NamedTuple):
    """What is kept of an answer: of a million, the rest is gigabytes."""

    text: str
    key: str
    problem: str | None
    cut: bool

    @classmethod
    def of(cls, answer: Answer) -> "LeanAnswer":
        return cls(answer.text.strip(), answer.key, answer.problem, answer.cut)


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


def requests(trial: Trial, params: Label) -> Iterator[Request]:
    """One request for each pair that is tried, candidate by candidate."""
    sampling = params.sampling
    tried_on: list[list[Example]] = [[] for _ in trial.candidates]
    for example, chosen in zip(trial.task.examples, trial.chosen, strict=True):
        for place in chosen:
            tried_on[place].append(example)
    for candidate, examples in zip(trial.candidates, tried_on, strict=True):
        # One that a person wrote may end with a newline, which a prompt has its own of.
        instruction = candidate.instruction.strip()
        shared = beginning(instruction, trial.demos)
        if trial.inputs_begin:
            shared += f" {trial.inputs_begin}"
        for example in examples:
            text = prompt(instruction, trial.demos, example.input)
            yield Request(text, sampling, prefixes=(shared,))


def label(
    trials: Sequence[Trial], params: Label, ask: Ask
) -> Iterator[tuple[Trial, list[LabelledExample], int]]:
    """Yield for each task its rows, in the examples' order, and how many answers were cut."""
    answers = iter(ask(request for trial in trials for request in requests(trial, params)))
    for trial in trials:
        of_trial = [LeanAnswer.of(answer) for answer in islice(answers, trial.requests)]
        assert len(of_trial) == trial.requests, "one answer a request"
        rows = list(_rows(trial, of_trial, params))
        assert len(rows) == len(trial.task.examples), "rows in = rows out"
        yield trial, rows, sum(answer.cut for answer in of_trial)


def _rows(trial: Trial, answers: list[LeanAnswer], params: Label) -> Iterator[LabelledExample]:
    """answers: in the order of `requests`."""
    # From candidate by candidate to example by example: each example's come in ascending order.
    of_example: list[list[LeanAnswer]] = [[] for _ in trial.chosen]
    in_order = iter(answers)
    pairs = sorted((place, row) for row, chosen in enumerate(trial.chosen) for place in chosen)
    for _, row in pairs:
        of_example[row].append(next(in_order))

    outputs = [answer.text for group in of_example for answer in group]
    targets = [
        example.targets
        for example, group in zip(trial.task.examples, of_example, strict=True)
        for _ in group
    ]
    scores = iter(best_rouge_l(outputs, targets).tolist())
    for example, chosen, group in zip(trial.task.examples, trial.chosen, of_example, strict=True):
        texts = [answer.text for answer in group]
        rouge = list(islice(scores, len(group)))
        problems = [answer.problem for answer in group]
        yield LabelledExample(
            id=example.id,
            input=example.input,
            target=example.targets[0],
            targets=example.targets if len(example.targets) > 1 else None,
            instruction_idx=chosen,
            instruction_labels=[
                int(is_right(params.metric, text, example.targets, score))
                for text, score in zip(texts, rouge, strict=True)
            ],
            instruction_outputs=texts,
            instruction_rouge=rouge,
            instruction_keys=[answer.key for answer in group],
            instruction_problems=list(problems) if any(problems) else None,
        )


@dataclass(frozen=True)
class TaskMetrics:
    """How a task's candidates did: means of ROUGE-L F1, over the examples each was tried on.

    candidates: (candidates,), a mean for each; NaN for one that was never tried.
    oracle: the mean of each example's best.
    shown: examples whose prompts had their answer in them: the task's own demos.
    right: share of outputs that are right by the metric.
    """

    rows: int
    shown: int
    candidates: np.ndarray
    oracle: float
    right: float
    answers: int
    cut: int
    problems: Counter[str]

    def summary(self) -> dict[str, float]:
        """The numbers by name. A candidate that was never tried counts in none; DVC has no null."""
        tried = self.candidates[~np.isnan(self.candidates)].tolist()
        seed = float(self.candidates[0])
        return {
            **({} if np.isnan(seed) else {"rouge_seed": mean([seed])}),
            "rouge_mean": mean(tried),
            "rouge_best": mean([max(tried)]),
            "rouge_worst": mean([min(tried)]),
            "rouge_oracle": mean([self.oracle]),
            "right_share": mean([self.right]),
        }


def measure(trial: Trial, rows: list[LabelledExample], cut: int) -> TaskMetrics:
    """One task's metrics. rows: as `label` gives them; cut: how many answers were cut."""
    candidates = len(trial.candidates)
    in_prompts = {demo.input for demo in trial.task.demos[:DEMOS]} if trial.demos else set()
    sums, times = np.zeros(candidates), np.zeros(candidates)
    for row in rows:
        sums[row.instruction_idx] += row.instruction_rouge
        times[row.instruction_idx] += 1
    labels = [label for row in rows for label in row.instruction_labels]
    with np.errstate(invalid="ignore"):
        means = sums / times
    return TaskMetrics(
        rows=len(rows),
        shown=sum(row.input in in_prompts for row in rows),
        candidates=means,
        oracle=mean([max(row.instruction_rouge) for row in rows]),
        right=mean(labels),
        answers=len(labels),
        cut=cut,
        problems=Counter(
            problem for row in rows for problem in row.instruction_problems or () if problem
        ),
    )


def metrics(tasks: dict[str, TaskMetrics]) -> dict[str, Any]:
    """The stage's metrics, of those of each task, by name.

    Those of ROUGE are the mean over the tasks, each counting the same.
    """
    summaries = {name: task.summary() for name, task in tasks.items()}
    names = dict.fromkeys(name for summary in summaries.values() for name in summary)
    problems: Counter[str] = sum((task.problems for task in tasks.values()), Counter())
    return {
        **{
            name: mean([summary[name] for summary in summaries.values() if name in summary])
            for name in names
        },
        "examples_tried": sum(task.rows for task in tasks.values()),
        "examples_shown_as_demos": sum(task.shown for task in tasks.values()),
        "outputs": sum(task.answers for task in tasks.values()),
        "outputs_cut": sum(task.cut for task in tasks.values()),
        "problems": counts(PROBLEMS, problems),
        "task": {
            name: {
                "rows": tasks[name].rows,
                **summary,
                "outputs_cut": tasks[name].cut,
                "problems": tasks[name].problems.total(),
            }
            for name, summary in summaries.items()
        },
    }


def lines_of(trial: Trial, rows: Iterable[LabelledExample], template: str) -> Iterator[str]:
    """The lines of a task's file: three headers, then the rows."""
    yield to_line({"prompt": template})
    yield to_line({"instructions": [candidate.instruction for candidate in trial.candidates]})
    # The ranking model is shown them whether or not this stage's prompts had them.
    yield to_line({"demos": shown((demo.input, demo.output) for demo in trial.task.demos[:DEMOS])})
    for row in rows:
        yield to_line(row.model_dump(exclude_none=True))


def read_template() -> str:
    """The ranking model's prompt. Raises as `read_prompt`."""
    return read_prompt(RANKER_PROMPT, ["{{input}}", "{{instruction}}"])


def read_trials(inputs: Inputs, niv2: Niv2, params: Label) -> list[Trial]:
    """The tasks and their candidates, all checked.

    Raises:
        BadFile, BadRow, TooFewToDrawFrom
    """
    paths = find_tasks(Path(niv2.folder), niv2.tasks)
    candidates = read_candidates(map(task_name, paths), inputs.candidates)
    # One by one: of a task of thousands of examples only those that are tried are held.
    return [plan(read_task(path), candidates[task_name(path)], params) for path in paths]


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read tasks and candidates, try them, write labels and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.label
    template = read_template()
    trials = read_trials(inputs, params.niv2, section)
    files: dict[Path, list[str]] = {}
    of_tasks: dict[str, TaskMetrics] = {}
    with (
        Progress("label", sum(trial.requests for trial in trials), "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        for trial, rows, cut in label(trials, section, engine.ask):
            name = trial.task.name
            files[into.folder / f"{name}.jsonl"] = list(lines_of(trial, rows, template))
            of_tasks[name] = measure(trial, rows, cut)
    write_files(
        {
            **files,
            into.metrics: to_json(with_tables(metrics(of_tasks))),
        },
        alone_in=into.folder,
    )
    progress.finish(sum(task.rows for task in of_tasks.values()))
