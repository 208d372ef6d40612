"""ranker.json: all that a selection needs of a training, and what it was trained on."""

from pathlib import Path

from pydantic import ValidationError

from seedbed.core.files import problem_of, read_json
from seedbed.core.records import Record
from seedbed.errors import BadFile
from seedbed.ranker.errors import REMAKE, OtherRanker
from seedbed.ranker.heads import ALL, Head
from seedbed.ranker.params import RankTrain
from seedbed.ranker.rows import Seen


class Ranker(Record):
    """A trained ranker.

    template: of its question. model: the identity of the model behind the features, or of the base
        that was tuned.
    heads: by name; of a tuned model there is none. without: by task, the head found without it.
    trained_on: by task, the ids of the examples.
    """

    kind: str
    features: list[str]
    template: str
    model: str
    temperature: float
    max_input_tokens: int
    heads: dict[str, Head]
    without: dict[str, str]
    trained_on: dict[str, list[str]]

    def head_for(self, task: str, held_out: bool) -> str:
        """The name of the head that chooses for a task."""
        return self.without.get(task, ALL) if held_out else ALL

    def seen(self, task: str, id_: str, head: str) -> Seen:
        """What a head had seen of an example."""
        if self.kind == "yes_no":  # it has learned nothing
            return "unseen"
        if task not in self.trained_on or (head != ALL and head == self.without.get(task)):
            return "unseen"
        return "trained" if id_ in self.trained_on[task] else "seen"


def features_of(params: RankTrain) -> list[str]:
    """What is measured for a kind of ranker."""
    if params.kind == "yes_no":
        return ["yes_no"]
    return [] if params.kind == "finetune" else list(params.features)


def load_ranker(path: Path) -> Ranker:
    """The ranker in a file. Raises BadFile, BadRow: missing, or no ranker."""
    try:
        return read_json(path, Ranker.model_validate_json, REMAKE)
    except ValidationError as error:
        place, problem = problem_of(error)
        raise BadFile(path, f"field {place}: {problem}", REMAKE) from None


def read_ranker(path: Path, params: RankTrain, template: str) -> Ranker:
    """The ranker, which is one of these parameters and this template.

    Raises:
        BadFile, BadRow: missing, or no ranker. OtherRanker: one of another kind, of other features,
            another template, or inputs of another length.
    """
    ranker = load_ranker(path)
    for what, made, now in (
        ("rank_train.kind", ranker.kind, params.kind),
        ("rank_train.features", ", ".join(ranker.features), ", ".join(features_of(params))),
        ("template (data/prompts/label/ranker.txt)", repr(ranker.template), repr(template)),
        (
            "rank_train.max_input_tokens",
            str(ranker.max_input_tokens),
            str(params.max_input_tokens),
        ),
    ):
        if made != now:
            raise OtherRanker(path, what, made, now)
    return ranker


def check_model(path: Path, ranker: Ranker, model: str) -> None:
    """Whether the ranker's features are of the model that is asked. Raises OtherRanker."""
    if ranker.model != model:
        raise OtherRanker(path, "model", ranker.model, model)
