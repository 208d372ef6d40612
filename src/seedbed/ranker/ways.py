"""Ways to choose an instruction that ask the model: on the demos, by a list, by writing one.

As the paper of Auto-Instruct compares them (arXiv 2310.13127): `cross_validation` tries each
candidate on the task's demos, each with the others shown; `lm_selection` shows the model all
candidates, numbered, and has it name one; `on_the_fly` has it write an instruction for the example
and follow that.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from seedbed.core.paths import PROMPTS
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer, Ask
from seedbed.ranker.params import Label, RankEvaluate
from seedbed.tasks.few_shot import DEMOS, beginning, prompt, shown
from seedbed.tasks.forms import Form
from seedbed.tasks.niv2 import Demo, Task
from seedbed.tasks.scoring import best_rouge_l

FOLDER = PROMPTS / "rank_evaluate"
CHOOSE, WRITE = FOLDER / "choose.txt", FOLDER / "write.txt"


class Prompts:
    """The prompt files. Raises as `read_prompt`."""

    def __init__(self) -> None:
        self.choose = Form.read(CHOOSE, "candidates", "input")
        self.write = Form.read(WRITE, "demos", "input")


@dataclass(frozen=True)
class Case:
    """A task, its candidates, and the inputs that an instruction is chosen for."""

    task: Task
    candidates: Sequence[str]
    inputs: Sequence[str]

    @property
    def demos(self) -> list[Demo]:
        """Those that prompts show."""
        return self.task.demos[:DEMOS]


@dataclass(frozen=True)
class Answered:
    """Answers to one case. problems: of those that are of no use."""

    texts: list[str]
    keys: list[str]
    problems: list[str]

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Answered":
        return cls(
            [answer.text.strip() for answer in answers],
            [answer.key for answer in answers],
            [answer.problem for answer in answers if answer.problem],
        )


# --- cross-validation


def demo_requests(case: Case, label: Label) -> Iterator[Request]:
    """Each candidate on each demo with the others shown, candidate by candidate."""
    for candidate in case.candidates:
        for number, demo in enumerate(case.demos):
            others = (*case.demos[:number], *case.demos[number + 1 :])
            texts = shown((other.input, other.output) for other in others)
            yield Request(prompt(candidate.strip(), texts, demo.input), label.sampling)


def on_demos(case: Case, answered: Answered) -> list[float]:
    """The mean ROUGE-L of each candidate over the demos."""
    targets = [[demo.output] for _ in case.candidates for demo in case.demos]
    scores = best_rouge_l(answered.texts, targets).reshape(len(case.candidates), -1)
    return [round(float(score), 9) for score in scores.mean(axis=1)]


# --- selection by the model


def choice_requests(case: Case, params: RankEvaluate, prompts: Prompts) -> Iterator[Request]:
    """One request an example: all candidates, numbered from 1, then the input."""
    # A candidate of several lines would look like several.
    lines = [" ".join(text.split()) for text in case.candidates]
    listed = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    shared = prompts.choose.before("input", candidates=listed)
    for given in case.inputs:
        text = prompts.choose.fill(candidates=listed, input=given)
        yield Request(text, params.choose, prefixes=(shared,))


def named(answer: str, candidates: int) -> int | None:
    """The place of the candidate whose number an answer begins with; None if it names none.

    >>> named("3. Say", 22), named("23", 22), named("The third", 22)
    (2, None, None)
    """
    number = re.match(r"\W*(\d{1,9})\b", answer, re.ASCII)
    return int(number[1]) - 1 if number and 1 <= int(number[1]) <= candidates else None


# --- written on the fly


def write_requests(case: Case, params: RankEvaluate, prompts: Prompts) -> Iterator[Request]:
    """One request an example: the demos, the input, and an instruction is asked for."""
    demos = shown((demo.input, demo.output) for demo in case.demos)
    shared = prompts.write.before("input", demos=demos)
    for given in case.inputs:
        text = prompts.write.fill(demos=demos, input=given)
        yield Request(text, params.write, prefixes=(shared,))


def follow_requests(case: Case, instructions: Sequence[str], label: Label) -> Iterator[Request]:
    """Each example after the instruction that was written for it, as label asks."""
    demos = ""
    if label.shots == "few":
        demos = shown((demo.input, demo.output) for demo in case.demos)
    for instruction, given in zip(instructions, case.inputs, strict=True):
        shared = beginning(instruction, demos)
        yield Request(prompt(instruction, demos, given), label.sampling, prefixes=(shared,))


# --- all of them


@dataclass(frozen=True)
class Asked:
    """What a case's ways answered; None of one that was not wanted."""

    demos: Answered | None
    choices: Answered | None
    written: Answered | None
    outputs: Answered | None


def ask_all(
    cases: Sequence[Case],
    methods: Sequence[str],
    params: RankEvaluate,
    label: Label,
    prompts: Prompts,
    ask: Ask,
) -> list[Asked]:
    """Ask what the methods need, one method after the other, each case by case."""
    demos = choices = written = outputs = None
    if "cross_validation" in methods:
        demos = _in_turn([list(demo_requests(case, label)) for case in cases], ask)
    if "lm_selection" in methods:
        choices = _in_turn([list(choice_requests(case, params, prompts)) for case in cases], ask)
    if "on_the_fly" in methods:
        written = _in_turn([list(write_requests(case, params, prompts)) for case in cases], ask)
        followed = [
            list(follow_requests(case, own.texts, label))
            for case, own in zip(cases, written, strict=True)
        ]
        outputs = _in_turn(followed, ask)
    none: list[Answered | None] = [None] * len(cases)
    columns = (demos or none, choices or none, written or none, outputs or none)
    return [Asked(*row) for row in zip(*columns, strict=True)]


def requests_number(cases: Sequence[Case], methods: Sequence[str]) -> int:
    """How many requests that takes."""
    examples = sum(len(case.inputs) for case in cases)
    tries = sum(len(case.candidates) * len(case.demos) for case in cases)
    return (
        tries * ("cross_validation" in methods)
        + examples * ("lm_selection" in methods)
        + 2 * examples * ("on_the_fly" in methods)
    )


def _in_turn(requests: Sequence[Sequence[Request]], ask: Ask) -> list[Answered]:
    answers = iter(ask(request for own in requests for request in own))
    return [Answered.of(list(islice(answers, len(own)))) for own in requests]
