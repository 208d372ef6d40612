"""The forms in which the data is handed on: each is a configuration of the data set on the hub.

They are not columns of one table, because a trainer tells from the columns what it is given.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from seedbed.auto_instruct.rows import RELABELLED, Id
from seedbed.core.records import Record
from seedbed.self_instruct.rows import PREPARED, FinetuningRow, GeneratedInstance, MessagesRow


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


@dataclass(frozen=True)
class Form:
    """A configuration.

    stage: what wrote its files. splits: the file of each split. about: what it has, for the card.
    measured: the columns whose lengths the card tells.
    """

    name: str
    stage: str
    record: type[Record]
    splits: dict[str, Path]
    measured: tuple[str, ...]
    about: str


# The first that is there is what `load_dataset(folder)` loads when no configuration is named.
FORMS = (
    Form(
        "finetuning",
        "prepare",
        FinetuningRow,
        {"train": PREPARED / "finetuning.jsonl"},
        ("prompt", "completion"),
        "`prompt` and `completion`, put together in one of several ways at random, as in the paper",
    ),
    Form(
        "messages",
        "prepare",
        MessagesRow,
        {"train": PREPARED / "messages.jsonl"},
        (),
        "the same rows as `messages` of a user and an assistant",
    ),
    Form(
        "alpaca",
        "prepare",
        GeneratedInstance,
        {"train": PREPARED / "alpaca.jsonl"},
        ("instruction", "input", "output"),
        "the same rows as `instruction`, `input` (empty where none is needed) and `output`",
    ),
    Form(
        "ranker",
        "relabel-and-pick",
        RankerRow,
        {name: RELABELLED / f"{name}.jsonl" for name in ("train", "seen_dev", "unseen_dev")},
        ("input", "target", "instructions"),
        "examples with the `instructions` that competed on them: the label of each (they sum to "
        "1), its ROUGE-L with the target, and its output; `seen_dev` has other examples of the "
        "tasks in `train`, `unseen_dev` has other tasks",
    ),
)
