"""clf: instructions → is it a classification task?

The model is asked with a few-shot prompt (Self-Instruct, section 2.2): classification tasks need
their instances written the other way round. Its completion is kept as it came; `is_yes` reads it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.files import read_rows, to_json, to_line, write_files
from seedbed.core.metrics import counts, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import Prompt
from seedbed.core.section import Section
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Ask
from seedbed.llm.params import Llm
from seedbed.self_instruct.params import Clf
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    ClassifiedInstruction,
    Named,
    answered,
)


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    clf: Clf


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    instructions: Path = INSTRUCTIONS


def classify(
    instructions: list[Named], params: Clf, prompt: Prompt, ask: Ask
) -> list[ClassifiedInstruction]:
    """One row an instruction, in order."""
    answers = ask(requests((row.instruction for row in instructions), params, prompt))
    return [
        ClassifiedInstruction(
            instruction=row.instruction,
            instruction_id=row.id,
            is_classification=answer.text,
            problem=answer.problem,
            key=answer.key,
        )
        for row, answer in zip(instructions, answers, strict=True)
    ]


def requests(instructions: Iterable[str], params: Clf, prompt: Prompt) -> Iterator[Request]:
    """One request an instruction, in order."""
    for text in instructions:
        yield Request(prompt.fill(text.strip()), params.sampling, prefixes=(prompt.prefix,))


def metrics(rows: list[ClassifiedInstruction]) -> dict[str, Any]:
    """The stage's metrics."""
    answers = answered(rows)
    return {
        "classification_share": share(answers["yes"], len(rows)),
        "neither_yes_nor_no": answers["unparsable"],
        "answers": counts(("yes", "no", "unparsable"), answers),
        "problems": counts(PROBLEMS, Counter(row.problem for row in rows if row.problem)),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the instructions, classify, write completions and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    instructions = list(read_rows(inputs.instructions, Named))
    prompt = Prompt("clf/is_classification.txt", "instruction")
    with (
        Progress("clf", len(instructions), "rows") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        rows = classify(instructions, params.clf, prompt, engine.ask)
    write_files(
        {
            into.folder / CLASSIFIED.name: map(to_line, rows),
            into.metrics: to_json(with_tables(metrics(rows))),
        }
    )
    progress.finish(len(rows))
