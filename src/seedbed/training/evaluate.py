"""evaluate: models, each with or without an adapter, on held-out tasks → how well they answer.

Every model is asked the same examples with the same prompts, and its answers are scored as
Super-NaturalInstructions scores them. Beside a score stand what a constant label and a copy of the
input would reach, how many answers ended by themselves, and what the model saw in training.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.core.files import exists, to_json, to_line, write_files
from seedbed.core.metrics import counts, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress, Tally
from seedbed.core.section import Section
from seedbed.errors import BadFile
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm
from seedbed.tasks.prompts import Prompts
from seedbed.training import harness
from seedbed.training.contamination import SIZES, Overlaps, find
from seedbed.training.errors import NothingLeftToAsk, TaskAmongTrained
from seedbed.training.held_out import Case, cases, read_held_out
from seedbed.training.params import Evaluate, Evaluated
from seedbed.training.rows import ANSWERS, SCORES, Evaluation
from seedbed.training.scores import mark
from seedbed.training.summary import Summary, flat, lines


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    evaluate: Evaluate


@dataclass(frozen=True)
class Inputs:
    """held_out: in place of evaluate.held_out; None for that."""

    held_out: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What all models are asked.

    models: each with the number of rows that it was trained on.
    overlaps: for each model, by name, and each case the sizes of runs that it was trained on.
    left_out: how many examples no model is asked, because of these.
    """

    models: list[Evaluated]
    cases: list[Case]
    overlaps: dict[str, list[list[int]]]
    left_out: int


def plan(all_cases: list[Case], params: Evaluate) -> Plan:
    """Look for what the models were trained on; leave it out if `leave_out_overlaps` says so.

    Raises:
        TaskAmongTrained: a model was trained on the instruction of one of the tasks.
        NothingLeftToAsk: each of the examples would be left out.
        BadFile, BadRow: of the files of rows.
    """
    examples = [case.example for case in all_cases]
    instructions = {case.task.name: case.task.instruction for case in all_cases}
    size = params.leave_out_overlaps
    kept = np.ones(len(all_cases), dtype=bool)
    seen: dict[str, Overlaps] = {}
    for model in params.models:
        seen[model.name] = find(map(Path, model.trained_on), examples, instructions)
        tasks = seen[model.name].tasks
        if size is None and tasks:
            task, (path, line) = next(iter(tasks.items()))
            raise TaskAmongTrained(path, line, model.name, task, len(tasks) - 1)
        if size is not None:
            kept &= ~seen[model.name].examples(size)
            kept &= [case.task.name not in tasks for case in all_cases]
    if size is not None and not kept.any():
        raise NothingLeftToAsk(len(all_cases), size)
    places = np.flatnonzero(kept).tolist()
    return Plan(
        [
            model.model_copy(update={"rows": model.rows or seen[model.name].rows or None})
            for model in params.models
        ],
        [all_cases[place] for place in places],
        {
            name: [[n for n in SIZES if overlaps.examples(n)[place]] for place in places]
            for name, overlaps in seen.items()
        },
        len(all_cases) - len(places),
    )


def requests(cases: Iterable[Case], params: Evaluate, prompts: Prompts) -> Iterator[Request]:
    """One request a case, in order."""
    for case in cases:
        prompt, shared = prompts.fill(*case.shown)
        yield Request(prompt, params.sampling, prefixes=(shared,))


def cut(output: str, at: str | None) -> str:
    r"""The part of an output that is scored, without white space around it.

    >>> cut("\n\nParis.\n\nQ: And of Italy?", "\n\n")
    'Paris.'
    """
    output = output.strip()
    return output.partition(at)[0].rstrip() if at else output


def evaluate(
    planned: Plan,
    params: Evaluate,
    prompts: Prompts,
    asking: Callable[[Evaluated], AbstractContextManager[Ask]],
) -> list[Evaluation]:
    """One row a model and case, model by model, in the order of the cases.

    Args:
        asking: opens what asks a model; one is closed before the next is opened.
    """
    rows: list[Evaluation] = []
    for model in planned.models:
        with asking(model) as ask:
            answers = list(ask(requests(planned.cases, params, prompts)))
        assert len(answers) == len(planned.cases), "one answer a request"
        rows += _rows(model, planned, answers, params, prompts)
    return rows


def _rows(
    model: Evaluated, planned: Plan, answers: Sequence[Answer], params: Evaluate, prompts: Prompts
) -> Iterator[Evaluation]:
    scored = [cut(answer.text, params.cut_at) for answer in answers]
    marks = mark(scored, planned.cases)
    overlaps = planned.overlaps[model.name]
    for number, (case, answer) in enumerate(zip(planned.cases, answers, strict=True)):
        yield Evaluation(
            model=model.name,
            task=case.task.name,
            id=case.example.id,
            input=case.example.input,
            targets=case.example.targets,
            demos=len(case.demos),
            prompt=prompts.file_of(case.demos, case.example.input).name,
            output=answer.text,
            scored=scored[number],
            rouge_l=round(float(marks.rouge_l[number]), 4),
            exact_match=float(marks.exact_match[number]),
            ended=answer.finish_reason == "stop",
            overlaps=overlaps[number],
            problem=answer.problem,
            key=answer.key,
        )


def metrics(planned: Plan, rows: list[Evaluation], summary: Summary) -> dict[str, Any]:
    """The stage's metrics: a few numbers of each model, and tables."""
    scores, differences = summary.tables()
    return {
        **flat(scores, differences),
        "examples_evaluated": len(planned.cases),
        "evaluated": {
            "tasks": len({case.task.name for case in planned.cases}),
            "examples_left_out": planned.left_out,
        },
        "evaluate_problems": counts(PROBLEMS, Counter(row.problem for row in rows if row.problem)),
        "score": scores,
        "difference": differences,
    }


def llm_of(llm: Llm, model: Evaluated) -> Llm:
    """The engine's parameters for this model and no other."""
    settings = llm.model_dump()
    settings["model"] = model.model or llm.model
    if model.adapter is not None or "adapter" in settings["embedded"]:
        settings["embedded"]["adapter"] = model.adapter
    return Llm.model_validate(settings)


def check_adapters(params: Evaluate) -> None:
    """Look for the adapters, before any model is asked. Raises BadFile: one is missing."""
    for model in params.models:
        if model.adapter is not None and not exists(Path(model.adapter)):
            raise BadFile(
                Path(model.adapter),
                f"no such file, though evaluate.models gives it to {model.name}",
                "`dvc repro pipelines/training/dvc.yaml:finetune` makes one; or change it there.",
            )


def read_cases(params: Evaluate, path: Path | None = None) -> list[Case]:
    """The cases to ask, in order. path: read this instead. Raises as `read_held_out`."""
    there = read_held_out(path or Path(params.held_out), params.tasks)
    return [case for _, task in there for case in cases(task, params.shots, params.max_examples)]


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the tasks, ask each model, score; write answers, scores and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.evaluate
    prompts = Prompts()
    check_adapters(section)
    planned = plan(read_cases(section, inputs.held_out), section)
    before = Tally()
    with Progress("evaluate", len(planned.cases) * len(section.models), "answers") as progress:

        @contextmanager
        def asking(model: Evaluated) -> Iterator[Ask]:
            nonlocal before
            now = before

            def answered(tally: Tally) -> None:
                nonlocal now
                now = together(before, tally)
                progress.answered_row(now)

            with open_engine(llm_of(params.llm, model), answered) as engine:
                yield engine.ask
            before = now

        rows = evaluate(planned, section, prompts, asking)
    summary = Summary(planned.models, planned.cases, rows, section.resamples, section.seed)
    counted = metrics(planned, rows, summary)
    write_files(
        {
            into.folder / ANSWERS: map(to_line, rows),
            into.folder / SCORES: map(to_line, summary.of_tasks()),
            **harness.files(into.folder, planned.cases, rows, section, prompts, params.llm.model),
            into.metrics: to_json(with_tables(counted)),
        },
        alone_in=into.folder,
    )
    progress.finish(len(rows))
    print("\n".join(lines(counted["score"], counted["difference"])), flush=True)


def together(first: Tally, second: Tally) -> Tally:
    """The tally of one engine and then of another."""
    costs = (first.cost, second.cost)
    return replace(
        second,
        sent=first.sent + second.sent,
        reused=first.reused + second.reused,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
    )
