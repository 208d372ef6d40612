"""The ranker's files, and their rows.

A method imports no other: what Auto-Instruct's stages wrote is read as rows of the ranker's own,
with the fields that it wants.
"""

from collections.abc import Iterator, Sequence
from math import fsum, isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from seedbed.core.files import bad_row, opened, read_json, read_rows
from seedbed.core.paths import DATA, PROMPTS
from seedbed.core.records import Record
from seedbed.errors import BadFile, BadRow

PICKED = DATA / "relabel_and_pick"
CANDIDATES = DATA / "candidates"
LABELLED = DATA / "label"
RANKER = DATA / "rank_train/ranker.json"
TRAINED = "examples.jsonl"
SELECTED = DATA / "rank_select"
# No task has such a name.
DEMOS_SCORED = "_demos.jsonl"
EVALUATED = DATA / "rank_evaluate"
RESULTS = "examples.jsonl"
# The question that a ranker is asked, which label passes on to its rows.
TEMPLATE = PROMPTS / "label/ranker.txt"
# The lines of a label file that stand before its rows.
HEADERS = 3

Split = Literal["train", "seen_dev", "unseen_dev"]
SPLITS: tuple[Split, ...] = ("train", "seen_dev", "unseen_dev")
# What the weights that chose for an example had seen of it: nothing, other examples of its task, or
# itself.
Seen = Literal["unseen", "seen", "trained"]


def _number_as_text(id_: Any) -> Any:
    return str(id_) if type(id_) is int else id_


Id = Annotated[str, BeforeValidator(_number_as_text)]


class Picked(Record):
    """What is read of an example that relabel-and-pick kept; its lists go by position.

    id: TASK:ID. prompt: the template of the ranker's question.
    """

    id: str
    prompt: str
    input: str
    instructions: list[str]
    instruction_idx: list[int]
    instruction_labels: list[float]
    instruction_rouge: list[float]

    @property
    def task(self) -> str:
        return self.id.partition(":")[0]


class Labelled(Record):
    """What is read of an example that label tried candidates on; its lists go by position."""

    id: Id
    input: str
    target: str | list[str]
    targets: list[str] | None = None
    instruction_idx: list[int]
    instruction_outputs: list[str]
    instruction_rouge: list[float]

    @property
    def references(self) -> list[str]:
        """All right outputs."""
        if self.targets:
            return self.targets
        return [self.target] if isinstance(self.target, str) else self.target


class Candidate(Record):
    """What is read of where a candidate came from."""

    task: str
    index: int
    meta_prompt: str | None
    sample: int | None
    key: str | None
    instruction: str


class Trained(Record):
    """An example that the ranker was trained on, or a development one (rank-train).

    features: a list a candidate, in the order of the ranker's features, without `hidden`.
    keys: of the scorings that they come from, a list a candidate.
    """

    task: str
    id: str
    split: Split
    input: str
    cut: bool
    instruction_idx: list[int]
    labels: list[float]
    features: list[list[float]]
    keys: list[list[str]]


class Selection(Record):
    """Which instruction the ranker chose for an example (rank-select).

    head: the weights that it was chosen by: those of all tasks, or of the ones without a part.
    seen: what these had seen of it.
    cut: whether its input was too long for the question.
    scores: of all candidates; untrained: what they are without training, null if there is no such
        thing.
    chosen: a candidate's place, and instruction its text; untrained_chosen: what would be chosen
        without training.
    keys: of the scorings behind the scores, a list a candidate; those of demos are apart.
    """

    task: str
    id: str
    input: str
    head: str
    seen: Seen
    cut: bool
    scores: list[float]
    untrained: list[float] | None
    chosen: int
    instruction: str
    untrained_chosen: int | None
    keys: list[list[str]]


class DemosScored(Record):
    """How likely a candidate makes the outputs of its task's demos (rank-select).

    score: the mean over the demos, each shown the others, of the log-probability a token of its
        output. keys: of these scorings.
    """

    task: str
    index: int
    score: float
    keys: list[str]


class Result(Record):
    """What each way to choose gives on an example (rank-evaluate).

    rouge: by method, 0 to 1; null where there is no label for its choice. exact: whether the output
        is a reference, 0 to 1: a mean where the choice is random.
    chosen: by method, the candidate's place; null where it is none.
    wrote: the instruction that on_the_fly wrote, and its output.
    keys: of the answers of methods that ask, by method.
    order: the ROUGE-L of all candidates, the ranker's first choice first.
    tau: Kendall's tau-b of the ranker's scores and ROUGE-L; null where one of them ranks nothing.
    best: the places of the candidates that do best.
    """

    task: str
    id: str
    seen: Seen
    is_classification: bool
    rouge: dict[str, float | None]
    exact: dict[str, float | None]
    chosen: dict[str, int | None]
    wrote: list[str] | None
    keys: dict[str, list[str]]
    order: list[float]
    tau: float | None
    best: list[int]


def read_picked(path: Path) -> list[Picked]:
    """The rows of train.jsonl or its like; none of an empty file.

    Raises:
        BadFile, BadRow: as `read_rows`; lists of unlike lengths or of one entry, a label that is no
            number or below 0, labels that do not sum to 1; another template than the first row's.
    """
    with opened(path) as file:
        if not file.read(1):
            return []
    rows: list[Picked] = []
    for line, row in enumerate(read_rows(path, Picked), 1):
        remedy = "Run `dvc repro relabel-and-pick`."
        lengths = {
            len(row.instructions),
            len(row.instruction_idx),
            len(row.instruction_labels),
            len(row.instruction_rouge),
        }
        if len(lengths) > 1 or max(lengths) < 2:
            problem = "its lists are not of one length of at least 2"
            raise BadRow(path, line, f"field instructions: {problem}", remedy)
        labels = row.instruction_labels
        wrong = [label for label in labels if not isfinite(label) or label < 0]
        if wrong:
            problem = f"{wrong[0]} is no share of 1"
            raise BadRow(path, line, f"field instruction_labels: {problem}", remedy)
        if abs(fsum(labels) - 1) > 1e-6:
            problem = f"the labels sum to {fsum(labels):.6g}, not to 1"
            raise BadRow(path, line, f"field instruction_labels: {problem}", remedy)
        if rows and row.prompt != rows[0].prompt:
            problem = "another template than that of line 1"
            raise BadRow(path, line, f"field prompt: {problem}", "Label all tasks with one.")
        rows.append(row)
    return rows


class _Instructions(Record):
    """The second header line of a label file."""

    instructions: list[str]


def read_labelled(path: Path, candidates: Sequence[str]) -> Iterator[Labelled]:
    """The examples of a task's labels, after the header lines.

    Args:
        candidates: those of the task, which its labels are to be of.

    Raises:
        BadFile: missing, or without headers. BadRow: labels of other candidates; a line that is not
            the record, lists of unlike lengths, a candidate that is not there, a ROUGE-L that is
            not from 0 to 1.
    """
    fields = ", ".join(Labelled.model_fields)
    shape = f"Each line from {HEADERS + 1} on is one JSON object with {fields}."
    remedy = "Run `dvc repro label`."
    number = 0
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if number == 2:
                _check_header(path, line, candidates)
            if number <= HEADERS:
                continue
            try:
                row = Labelled.model_validate_json(line)
            except ValidationError as error:
                raise bad_row(path, number, line, error, shape) from None
            given = (row.instruction_idx, row.instruction_outputs, row.instruction_rouge)
            if len({len(values) for values in given}) > 1:
                raise BadRow(path, number, "its lists are of unlike lengths", remedy)
            for index, rouge in zip(row.instruction_idx, row.instruction_rouge, strict=True):
                if not 0 <= index < len(candidates):
                    last = len(candidates) - 1
                    problem = f"field instruction_idx: {index} is not from 0 to {last}"
                    raise BadRow(path, number, problem, remedy)
                if not 0 <= rouge <= 1:  # NaN is neither
                    problem = f"field instruction_rouge: {rouge} is not from 0 to 1"
                    raise BadRow(path, number, problem, remedy)
            yield row
    if number < HEADERS:
        raise BadFile(
            path, f"{number} lines", "Three header lines stand before its rows. " + remedy
        )


def _check_header(path: Path, line: bytes, candidates: Sequence[str]) -> None:
    shape = "Line 2 is one JSON object with instructions."
    try:
        given = _Instructions.model_validate_json(line).instructions
    except ValidationError as error:
        raise bad_row(path, 2, line, error, shape) from None
    if given != [*candidates]:
        problem = "field instructions: the labels were made with other candidates"
        raise BadRow(path, 2, problem, "Run `dvc repro label`.")


def read_candidates(task: str, folder: Path) -> list[str]:
    """A task's candidates, its own instruction first.

    Raises:
        BadFile: the task has none, or they are no list of texts. BadRow: not JSON.
    """
    path = folder / f"{task}.json"
    if not path.exists():
        raise BadFile(path, f"the task {task} has no candidates", "Run `dvc repro candidates`.")
    shape = "It must be one JSON list of texts, the task's instructions."
    try:
        texts = read_json(path, TypeAdapter(list[str]).validate_json, shape)
    except ValidationError:
        raise BadFile(path, "no list of texts", shape) from None
    if not texts or not all(text.strip() for text in texts):
        raise BadFile(path, "no instruction, or a blank one", shape)
    return texts
