"""Training's files, and their rows."""

from seedbed.core.paths import DATA
from seedbed.core.records import Record

EVALUATED = DATA / "evaluate"
ANSWERS, SCORES = "answers.jsonl", "scores.jsonl"


class Evaluation(Record):
    """What a model made of an example (evaluate).

    demos: how many demos the prompt showed. prompt: its file of data/prompts/evaluate.
    scored: the part of the output that is scored, to which rouge_l and exact_match (0 to 100)
        belong.
    ended: whether the answer ended by itself, and not because it was too long.
    overlaps: those of 8 and 13 for which so many words in a row, of its input or of a target, are
        in what the model was trained on.
    """

    model: str
    task: str
    id: str
    input: str
    targets: list[str]
    demos: int
    prompt: str
    output: str
    scored: str
    rouge_l: float
    exact_match: float
    ended: bool
    overlaps: list[int]
    problem: str | None
    key: str


class TaskScore(Record):
    """How a model did on a task: means over its examples (evaluate).

    source, rows, threshold: the model's, as the parameters have them.
    majority: the ROUGE-L of the label that most of the examples have; null if they have no closed
        set of labels.
    copy_input: the ROUGE-L of the input itself.
    """

    model: str
    source: str | None
    rows: int | None
    threshold: float | None
    task: str
    category: str
    is_classification: bool
    examples: int
    rouge_l: float
    exact_match: float
    ended: float
    majority: float | None
    copy_input: float
