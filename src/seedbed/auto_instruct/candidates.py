"""candidates: task → instructions that compete to prompt it.

The model is shown a task in several ways, by meta-prompts, and asked to put it into an instruction;
of each it gives several samples (Auto-Instruct, arXiv 2310.13127, section 3.1). With seven
meta-prompts, three samples of each and the task's own instruction, the seed, a task has 22
candidates. Three of the meta-prompts show six other tasks, with instructions of about 25, 50 and
130 words, which leads the model to instructions of different lengths. All are written for a base
model, which continues a pattern. The authors took the best of five for each sample, where their
server did that; today's hardly do.

Whatever is drawn or asked belongs to its task: another task more changes nothing for the rest.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of
from seedbed.auto_instruct.params import Candidates, Niv2
from seedbed.auto_instruct.rows import Candidate
from seedbed.core import draws
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean_words, with_tables
from seedbed.core.paths import PROMPTS, Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import read_prompt
from seedbed.core.section import Section
from seedbed.errors import BadFile
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm
from seedbed.tasks.few_shot import DEMOS, shown
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import find_tasks

# What a meta-prompt shows of a task, each once.
PLACEHOLDERS = {"few": ("instruction", "demos"), "zero": ("instruction", "answer_format")}
# Where a sentence ends: what follows begins another, or a line; "e.g. this" goes on.
_SENTENCE_END = re.compile(r"""[.!?]["')\]]*(?=\s+["'(\[]?[A-Z0-9]|\s*\n|\s*$)""")


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    niv2: Niv2
    candidates: Candidates


@dataclass(frozen=True)
class Inputs:
    """Nothing: the folder of tasks is a parameter, niv2.folder."""


@dataclass(frozen=True)
class MetaPrompt:
    """A way to ask for an instruction: a text file in data/prompts/candidates."""

    name: str
    text: str

    @property
    def prefix(self) -> str:
        """What the prompts of all tasks begin with."""
        return self.text.partition("{")[0].rstrip(" ")

    def fill(self, task: Task) -> str:
        """The prompt for a task."""
        texts = {
            "instruction": task.instruction,
            "demos": shown((demo.input, demo.output) for demo in task.demos[:DEMOS]),
            "answer_format": answer_format(task),
        }
        # All in one go: an instruction may have a {placeholder} in it.
        return re.sub(r"\{(\w+)\}", lambda match: texts.get(match[1], match[0]), self.text)


def answer_format(task: Task) -> str:
    """The line in which a zero-shot prompt lists a classification task's answers; "" for others."""
    return "\nPossible answers: " + ", ".join(task.labels) if task.labels else ""


def seed_instruction(task: Task, shots: str) -> str:
    """The first candidate: the task's own instruction.

    Without demos nobody would know the answers, so with `shots` zero they follow it, as with the
    authors.
    """
    return task.instruction + (answer_format(task) if shots == "zero" else "")


def read_meta_prompts(shots: str) -> list[MetaPrompt]:
    """The meta-prompts of a kind, few or zero, in the order of their names.

    Raises:
        BadFile, BadRow: there are none, or one does not show what it must, and that alone.
    """
    folder = PROMPTS / "candidates" / f"{shots}_shot"
    paths = []
    for path in sorted(folder.glob("*.txt")):
        # Such as ._steps.txt: what an operating system keeps beside a file, nobody wrote as a
        # prompt, and nobody sees. Who hid one of their own to leave it out gets what they wanted.
        if path.name.startswith("."):
            print(f"{path}: left out, a hidden file", file=sys.stderr)
        else:
            paths.append(path)
    if not paths:
        raise BadFile(folder, "no meta-prompts there", "Put at least one .txt file into it.")
    places = ["{" + name + "}" for name in PLACEHOLDERS[shots]]
    return [MetaPrompt(path.stem, read_prompt(path, places)) for path in paths]


@dataclass
class Wanted:
    """A candidate that is being sampled.

    sample: the sample asked for now. text, taken, key: the last text that came, which sample it
        was, and its key.
    """

    task: Task
    meta_prompt: MetaPrompt
    sample: int
    text: str = ""
    taken: int | None = None
    key: str | None = None

    def request(self, params: Candidates) -> Request:
        """The request for its `sample`."""
        prompt = self.meta_prompt.fill(self.task)
        draw = draws.generator(params.seed, "candidate", self.task.name, self.meta_prompt.name)
        # The samples have all of the prompt in common, and other tasks' what stands before theirs.
        return Request(
            prompt,
            params.sampling,
            draw.getrandbits(31),
            self.sample,
            prefixes=(self.meta_prompt.prefix, prompt),
        )

    def take(self, answer: Answer) -> bool:
        """Take the answer's text, and give whether it has one; without one the last text stays."""
        text = whole_sentences(answer.text) if answer.cut else answer.text.strip()
        if not text:
            return False
        self.text, self.taken, self.key = text, self.sample, answer.key
        return True


def whole_sentences(text: str) -> str:
    """A text that was cut at its length limit, without the sentence that was cut; stripped.

    A text without a whole sentence stays as it is.

    >>> whole_sentences("Read it. Say who wro"), whole_sentences("1. Read it.\\n2. Say who")
    ('Read it.', '1. Read it.')
    """
    ends = [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        # The number of a step, as in "2.", is no sentence.
        if not text[: match.start()].rpartition("\n")[2].strip().isdecimal()
    ]
    return text[: ends[-1] if ends else None].strip()


@dataclass
class Made:
    """The candidates of all tasks, task by task, and what became of the answers.

    repeats: candidates that say what another one of their task does, for all the sampling.
    missing: those for which no text came, and the seed instruction stands in.
    resampled: answers beyond the first of each.
    """

    rows: list[Candidate] = field(default_factory=list)
    repeats: int = 0
    missing: int = 0
    resampled: int = 0
    cut: int = 0
    problems: Counter[str] = field(default_factory=Counter)


def generate(
    tasks: list[Task], params: Candidates, meta_prompts: list[MetaPrompt], ask: Ask
) -> Made:
    """1 + samples × meta-prompts candidates for each task, in order; first the seed instruction."""
    made = Made()
    wanted = first_wanted(tasks, params, meta_prompts)
    # What a task has already, and the next sample of each of its meta-prompts.
    there = {
        task.name: {task.instruction.strip(), seed_instruction(task, params.shots).strip()}
        for task in tasks
    }
    next_sample = Counter(
        {(task.name, meta.name): params.samples for task in tasks for meta in meta_prompts}
    )
    open_ = wanted
    for again in range(params.max_resamples + 1):
        answers = ask(candidate.request(params) for candidate in open_)
        still = []
        for candidate, answer in zip(open_, answers, strict=True):
            made.cut += answer.cut
            made.problems.update([answer.problem] if answer.problem else [])
            if candidate.take(answer) and candidate.text not in there[candidate.task.name]:
                there[candidate.task.name].add(candidate.text)
            else:
                still.append(candidate)
        open_ = still
        if not open_ or again == params.max_resamples:
            break
        made.resampled += len(open_)
        for candidate in open_:
            candidate.sample = next_sample[candidate.task.name, candidate.meta_prompt.name]
            next_sample[candidate.task.name, candidate.meta_prompt.name] += 1
    made.missing = sum(not candidate.text for candidate in open_)
    made.repeats = len(open_) - made.missing
    each = len(meta_prompts) * params.samples
    for number, task in enumerate(tasks):
        of_task = wanted[number * each : (number + 1) * each]
        made.rows += _rows(task, seed_instruction(task, params.shots), of_task)
    return made


def first_wanted(
    tasks: Iterable[Task], params: Candidates, meta_prompts: list[MetaPrompt]
) -> list[Wanted]:
    """Each candidate but the seed instructions, in order, with the sample to begin with."""
    return [
        Wanted(task, meta_prompt, sample)
        for task in tasks
        for meta_prompt in meta_prompts
        for sample in range(params.samples)
    ]


def _rows(task: Task, seed: str, wanted: Iterable[Wanted]) -> Iterator[Candidate]:
    yield Candidate(
        task=task.name, index=0, meta_prompt=None, sample=None, key=None, instruction=seed
    )
    for index, candidate in enumerate(wanted, 1):
        yield Candidate(
            task=task.name,
            index=index,
            meta_prompt=candidate.meta_prompt.name,
            sample=candidate.taken,
            key=candidate.key,
            instruction=candidate.text or seed,
        )


def metrics(made: Made, tasks: int) -> dict[str, Any]:
    """The stage's metrics; words are those of candidates that the model wrote.

    tasks: how many there are.
    """
    return {
        "tasks": tasks,
        "candidates": len(made.rows),
        "candidates_repeated": made.repeats,
        "candidates_missing": made.missing,
        "candidates_resampled": made.resampled,
        "candidates_cut": made.cut,
        "candidate_words": mean_words(row.instruction for row in made.rows if row.key),
        "problems": counts(PROBLEMS, made.problems),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the tasks, ask for instructions, write candidates and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.candidates
    meta_prompts = read_meta_prompts(section.shots)
    # One example would do, but a task that label cannot read should cost nothing here.
    paths = find_tasks(Path(params.niv2.folder), params.niv2.tasks)
    tasks = [read_task(path, max_examples=1) for path in paths]
    with (
        Progress(
            "candidates", len(tasks) * len(meta_prompts) * section.samples, "answers"
        ) as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        made = generate(tasks, section, meta_prompts, engine.ask)
    each = 1 + len(meta_prompts) * section.samples
    assert len(made.rows) == each * len(tasks), "every task has as many candidates"
    lists: dict[str, list[str]] = {}
    for row in made.rows:
        lists.setdefault(row.task, []).append(row.instruction)
    write_files(
        {
            **{file_of(task, into.folder): to_json(texts) for task, texts in lists.items()},
            into.folder / ORIGINS.name: map(to_line, made.rows),
            into.metrics: to_json(with_tables(metrics(made, len(tasks)))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(made.rows))
