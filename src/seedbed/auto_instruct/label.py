"""label: every candidate × every example → how well it did.

Each candidate prompts the model on each example of its task, and the output is scored against the
example's targets: ROUGE-L F1, and whether it is right (Auto-Instruct, arXiv 2310.13127, section
3.2). A task's file has the form of the authors': three header lines (the ranking model's prompt
template, the candidates, the demos), then a row an example.

Requests go task by task, candidate by candidate, example by example: all examples of a candidate
share instruction and demos, nine tenths of the prompt, and a server with a prefix cache evaluates
these once. (By example, candidates share nothing: the instruction stands first.)
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seedbed.auto_instruct.matching import Metric, is_right
from seedbed.auto_instruct.params import Label, Niv2
from seedbed.auto_instruct.rows import CANDIDATES, RANKER_PROMPT, LabelledExample
from seedbed.auto_instruct.trials import Trial, read_trials
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import read_prompt
from seedbed.core.section import Section
from seedbed.core.shards import mapped
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm
from seedbed.llm.spool import spooled
from seedbed.tasks.few_shot import DEMOS, beginning, prompt, shown
from seedbed.tasks.niv2 import Example
from seedbed.tasks.scoring import best_rouge_l

# The first outputs, a second's work, are scored in this process: see `seedbed.core.shards`.
ALONE = 1_000_000


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
    trials: Iterable[Trial], params: Label, ask: Ask
) -> Iterator[tuple[Trial, list[LabelledExample], int]]:
    """Yield for each task its rows, in the examples' order, and how many answers were cut.

    The trials are read as they are asked about, and no more are held than wait for answers.
    """
    waiting: deque[Trial] = deque()
    answered: deque[tuple[Trial, list[list[LeanAnswer]]]] = deque()

    def asked() -> Iterator[Request]:
        for trial in trials:
            waiting.append(trial)
            yield from requests(trial, params)

    answers = iter(ask(asked()))

    def tried() -> Iterator[list[Tried]]:
        for first in answers:
            trial = waiting.popleft()
            of_trial = [
                LeanAnswer.of(one) for one in chain((first,), islice(answers, trial.requests - 1))
            ]
            assert len(of_trial) == trial.requests, "one answer a request"
            answered.append((trial, _by_example(trial, of_trial)))
            del trial, of_trial  # no more is held here than there
            yield [
                Tried(example.targets, [answer.text for answer in group])
                for example, group in zip(
                    answered[-1][0].task.examples, answered[-1][1], strict=True
                )
            ]

    scored = mapped(partial(score, params.metric), tried(), least=ALONE, size=_outputs)
    for scores in scored:
        trial, groups = answered.popleft()
        rows = [
            _row(*one)
            for one in zip(trial.task.examples, trial.chosen, groups, scores, strict=True)
        ]
        yield trial, rows, sum(answer.cut for group in groups for answer in group)
    assert not waiting, "every task has its answers"


def _by_example(trial: Trial, answers: list[LeanAnswer]) -> list[list[LeanAnswer]]:
    """From candidate by candidate to example by example: each example's come in ascending order.

    answers: in the order of `requests`.
    """
    of_example: list[list[LeanAnswer]] = [[] for _ in trial.chosen]
    in_order = iter(answers)
    pairs = sorted((place, row) for row, chosen in enumerate(trial.chosen) for place in chosen)
    for _, row in pairs:
        of_example[row].append(next(in_order))
    return of_example


class Tried(NamedTuple):
    """An example's targets, and what its candidates made of it."""

    targets: list[str]
    outputs: list[str]


class Scored(NamedTuple):
    """For each output of an example its ROUGE-L F1, and whether it is right: 0 or 1."""

    rouge: list[float]
    right: list[int]


def _outputs(tried: list[Tried]) -> int:
    return sum(len(one.outputs) for one in tried)


def score(metric: Metric, tried: list[Tried]) -> list[Scored]:
    """How well the outputs do, example by example. Pure: see `seedbed.core.shards`."""
    outputs = [output for one in tried for output in one.outputs]
    targets = [one.targets for one in tried for _ in one.outputs]
    scores = iter(best_rouge_l(outputs, targets).tolist())
    scored = []
    for one in tried:
        rouge = list(islice(scores, len(one.outputs)))
        right = [
            int(is_right(metric, output, one.targets, score))
            for output, score in zip(one.outputs, rouge, strict=True)
        ]
        scored.append(Scored(rouge, right))
    return scored


def _row(
    example: Example, chosen: list[int], answers: list[LeanAnswer], scored: Scored
) -> LabelledExample:
    problems = [answer.problem for answer in answers]
    return LabelledExample(
        id=example.id,
        input=example.input,
        target=example.targets[0],
        targets=example.targets if len(example.targets) > 1 else None,
        instruction_idx=chosen,
        instruction_labels=scored.right,
        instruction_outputs=[answer.text for answer in answers],
        instruction_rouge=scored.rouge,
        instruction_keys=[answer.key for answer in answers],
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


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read tasks and candidates, try them, write labels and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.label
    template = read_template()
    trials = read_trials(inputs.candidates, params.niv2, section)
    # All are checked before anything is asked.
    wanted = sum(trial.requests for trial in trials)
    of_tasks: dict[str, TaskMetrics] = {}
    ends = [0]
    with spooled(into.folder / "*.jsonl") as (spool,):
        with (
            Progress("label", wanted, "answers") as progress,
            open_engine(params.llm, progress.answered_row) as engine,
        ):
            for trial, rows, cut in label(trials, section, engine.ask):
                for line in lines_of(trial, rows, template):
                    spool.add(line)
                ends.append(spool.size)
                of_tasks[trial.task.name] = measure(trial, rows, cut)
        files = {
            into.folder / f"{name}.jsonl": spool.lines(*of_task)
            for name, of_task in zip(of_tasks, pairwise(ends), strict=True)
        }
        write_files(
            {**files, into.metrics: to_json(with_tables(metrics(of_tasks)))},
            alone_in=into.folder,
        )
    progress.finish(sum(task.rows for task in of_tasks.values()))
