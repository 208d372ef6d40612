"""Auto-Instruct's files, and their rows."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from seedbed.core.paths import PROMPTS
from seedbed.core.records import Record

# The ranking model's prompt, which label passes on.
RANKER_PROMPT = PROMPTS / "label/ranker.txt"
CANDIDATES = Path("data/candidates")
LABELLED = Path("data/label")
RELABELLED = Path("data/relabel_and_pick")


def _number_as_text(id_: Any) -> Any:
    return str(id_) if type(id_) is int else id_  # true is no number


# An example's id, which is a number in some of the Auto-Instruct authors' label files.
Id = Annotated[str, BeforeValidator(_number_as_text)]


class Candidate(Record):
    """Where one of a task's candidate instructions came from (candidates).

    index: its place among the task's candidates; the seed instruction has 0.
    meta_prompt, sample, key: what it was asked with and the answer's key; null for the seed
        instruction, and where it stands in for a text that never came.
    """

    task: str
    index: int
    meta_prompt: str | None
    sample: int | None
    key: str | None
    instruction: str


class LabelledExample(Record):
    """An example, and how each candidate did on it (label).

    target: its first reference; targets: all of them, if there are several.
    The lists belong together: instruction_idx are places among the task's candidates,
    instruction_rouge is ROUGE-L F1 (0 to 1), instruction_keys are those of the answers,
    instruction_problems is there only if one of the answers is of no use, or has none otherwise.
    """

    id: str
    input: str
    target: str
    targets: list[str] | None = None
    instruction_idx: list[int]
    instruction_labels: list[int]
    instruction_outputs: list[str]
    instruction_rouge: list[float]
    instruction_keys: list[str]
    instruction_problems: list[str | None] | None = None
