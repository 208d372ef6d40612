"""seed-pairs: tasks written by people → instructions and outputs to begin with.

They are shown to the model that guesses instructions, and to the judge; and a model is trained on
them, for which they also stand there reversed: the output asks for its instruction.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.backtranslation.conversations import read_conversations
from seedbed.backtranslation.params import SeedPairs
from seedbed.backtranslation.prompts import Backward
from seedbed.backtranslation.rows import PAIRS, REVERSED, Reversed, SeedPair
from seedbed.core.files import opened, to_json, to_line, write_files
from seedbed.core.metrics import counts, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.errors import BadFile
from seedbed.tasks.seed_form import read_seed_form

# Why a pair is not shown.
REASONS = ("has_input", "too_short", "too_long")
# And that only where it is so. An instruction is guessed in one line: augment's sampling stops at
# its end.
SEVERAL_LINES = "several_lines"


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    seed_pairs: SeedPairs


@dataclass(frozen=True)
class Inputs:
    """file: in place of seed_pairs.file; None for that."""

    file: Path | None = None


def pairs(path: Path, params: SeedPairs) -> Iterator[SeedPair]:
    """The pairs of a file of tasks in the seed tasks' form, or of conversations.

    Raises:
        BadFile, BadRow: as `read_seed_form` and `read_conversations`.
    """
    if _has_messages(path):
        for row in read_conversations(path):
            pair = _pair(row.id, row.request, "", row.output, str(path), row.id, params)
            about = {"system": row.system, "license": row.license, "url": row.url}
            yield pair.model_copy(update=about)
        return
    for task in read_seed_form(path):
        for example in task.examples:
            name = f"{task.name}/{example.id}"
            output = example.targets[0].strip()
            given = example.input.strip()
            yield _pair(name, task.instruction, given, output, str(path), task.name, params)


def _has_messages(path: Path) -> bool:
    with opened(path) as file:
        first = file.readline()
    try:
        row = json.loads(first)
    except ValueError:
        return False
    return isinstance(row, dict) and "messages" in row


def _pair(
    id_: str, instruction: str, given: str, output: str, source: str, task: str, params: SeedPairs
) -> SeedPair:
    reason = None
    if given:
        reason = "has_input"
    elif len(output) < params.min_chars:
        reason = "too_short"
    elif len(output) > params.max_chars:
        reason = "too_long"
    elif len(instruction.splitlines()) > 1:
        reason = SEVERAL_LINES
    return SeedPair(
        id=id_,
        instruction=f"{instruction}\n\n{given}" if given else instruction,
        output=output,
        demo=reason is None,
        not_shown=reason,
        task=task,
        source=source,
    )


def metrics(rows: list[SeedPair]) -> dict[str, Any]:
    """The stage's metrics."""
    reasons = Counter(row.not_shown for row in rows if row.not_shown)
    names = (*REASONS, SEVERAL_LINES) if SEVERAL_LINES in reasons else REASONS
    return {
        "seed_pairs": len(rows),
        "seed_demos": sum(row.demo for row in rows),
        "seed_pairs_not_shown": counts(names, reasons),
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the tasks; write the pairs, both ways, and metrics. Raises BadFile, BadRow."""
    own = params.seed_pairs
    path = inputs.file or Path(own.file)
    backward = Backward()
    with Progress("seed-pairs", None, "pairs") as progress:
        rows = list(progress.over(pairs(path, own)))
    if not any(row.demo for row in rows):
        raise BadFile(
            path,
            f"none of its {len(rows)} pairs can be shown: they have an input, several lines of "
            f"instruction, or an output of fewer than {own.min_chars} or more than "
            f"{own.max_chars} characters",
            "Change seed_pairs.min_chars or max_chars, or take another file.",
        )
    write_files(
        {
            into.folder / PAIRS: map(to_line, rows),
            into.folder / REVERSED: (
                to_line(
                    Reversed(
                        prompt=backward.alone(row.output),
                        completion=f" {row.instruction.strip()}",
                    )
                )
                for row in rows
                if row.demo
            ),
            into.metrics: to_json(with_tables(metrics(rows))),
        },
        alone_in=into.folder,
    )
    progress.finish(len(rows))
