"""The form in which Auto-Instruct's data is handed on."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator

from seedbed.auto_instruct.candidate_files import ORIGINS
from seedbed.auto_instruct.rows import RELABELLED, Candidate, Id
from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.runs.forms import Export, Form, Origin, made_with
from seedbed.runs.pipeline import Pipeline

STAGE = "relabel-and-pick"


def _as_text(demos: Any) -> Any:
    """Demos are a text, or, with labels of one's own, a list; a column has one type."""
    return json.dumps(demos, ensure_ascii=False) if isinstance(demos, list) else demos


class RankerRow(Record):
    """An example for an instruction ranker (relabel-and-pick); its lists go by position.

    What is None here may be missing in the file: more references than one, keys and problems of
    answers.
    """

    id: Id
    prompt: str
    demos: Annotated[str, BeforeValidator(_as_text)]
    input: str
    target: str
    targets: list[str] | None = None
    instructions: list[str]
    instruction_idx: list[int]
    instruction_labels: list[float]
    instruction_outputs: list[str]
    instruction_rouge: list[float]
    instruction_keys: list[str] | None = None
    instruction_problems: list[str | None] | None = None


def origins(pipeline: Pipeline) -> Callable[[RankerRow], Origin]:
    """A row came from its task's example, its instructions and outputs by an answer each.

    Raises BadFile, BadRow, NotOneRun.
    """
    asked: dict[tuple[str, int], str | None] = {}
    if made_with(pipeline, STAGE, ORIGINS):
        for one in read_rows(ORIGINS, Candidate):
            asked[one.task, one.index] = one.key

    def origin(row: RankerRow) -> Origin:
        task = row.id.partition(":")[0]
        candidates = [asked.get((task, index)) for index in row.instruction_idx]
        keys = [key for key in (*candidates, *(row.instruction_keys or ())) if key is not None]
        return Origin((row.id,), tuple(dict.fromkeys(keys)))

    return origin


EXPORT = Export(
    name="Auto-Instruct",
    source="https://arxiv.org/abs/2310.13127",
    category="text-ranking",
    terms="In `ranker`, the inputs, targets and demos, and the first of each task's "
    "instructions, are those of the tasks that it was made for; their licences hold too.",
    origins="of Auto-Instruct, the example, and its task before the colon",
    forms=(
        Form(
            "ranker",
            STAGE,
            RankerRow,
            {name: RELABELLED / f"{name}.jsonl" for name in ("train", "seen_dev", "unseen_dev")},
            ("input", "target", "instructions"),
            "examples with the `instructions` that competed on them: the label of each (they sum "
            "to 1), its ROUGE-L with the target, and its output; `seen_dev` has other examples of "
            "the tasks in `train`, `unseen_dev` has other tasks",
            key="instruction_keys",
            origins=origins,
        ),
    ),
)
