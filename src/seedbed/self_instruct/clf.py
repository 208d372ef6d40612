"""clf: instructions → is it a classification task?

The model is asked with a few-shot prompt (Self-Instruct, section 2.2): classification tasks need
their instances written the other way round. Its completion is kept as it came; `is_yes` reads it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.files import read_rows, to_json, write_files
from seedbed.core.metrics import counts, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import Prompt
from seedbed.core.section import Section
from seedbed.llm.answers import answered
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Ask
from seedbed.llm.params import Llm
from seedbed.llm.spool import spooled
from seedbed.self_instruct.params import Clf
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    INSTRUCTIONS,
    ClassifiedInstruction,
    Named,
    meaning,
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
    instructions: Iterable[Named], params: Clf, prompt: Prompt, ask: Ask
) -> Iterator[ClassifiedInstruction]:
    """Yield one row an instruction, in order."""

    def asked(rows: Iterable[Named]) -> Iterator[Request]:
        return requests((row.instruction for row in rows), params, prompt)

    for row, _, answer in answered(instructions, asked, ask):
        yield ClassifiedInstruction(
            instruction=row.instruction,
            instruction_id=row.id,
            is_classification=answer.text,
            problem=answer.problem,
            key=answer.key,
        )


def requests(instructions: Iterable[str], params: Clf, prompt: Prompt) -> Iterator[Request]:
    """One request an instruction, in order."""
    for text in instructions:
        yield Request(prompt.fill(text.strip()), params.sampling, prefixes=(prompt.prefix,))


def metrics(rows: Iterable[ClassifiedInstruction]) -> dict[str, Any]:
    """The stage's metrics, of rows that are gone through once."""
    said: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for row in rows:
        said[meaning(row)] += 1
        problems.update([row.problem] if row.problem else [])
    return {
        "classification_share": share(said["yes"], said.total()),
        "neither_yes_nor_no": said["unparsable"],
        "answers": counts(("yes", "no", "unparsable"), said),
        "problems": counts(PROBLEMS, problems),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the instructions, classify, write completions and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    instructions = list(read_rows(inputs.instructions, Named))
    prompt = Prompt("clf/is_classification.txt", "instruction")
    classified = into.folder / CLASSIFIED.name
    with spooled(classified) as (spool,):
        with (
            Progress("clf", len(instructions), "rows") as progress,
            open_engine(params.llm, progress.answered_row) as engine,
        ):
            rows = classify(instructions, params.clf, prompt, engine.ask)
            figures = metrics(spool.over(rows))
        write_files({classified: spool.lines(), into.metrics: to_json(with_tables(figures))})
    progress.finish(len(instructions))
