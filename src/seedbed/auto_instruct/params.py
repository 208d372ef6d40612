"""Auto-Instruct's sections of params.yaml."""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from seedbed.auto_instruct.matching import Metric
from seedbed.core.section import Section, place
from seedbed.llm.contract.request import Sampling
from seedbed.tasks.places import check_name


def _local_folder(text: str) -> str:
    """dvc.yaml has it as a dependency, and DVC takes some names for more than a name."""
    if "://" in text:
        raise ValueError("an address, not a folder: `dvc import` fetches what is elsewhere")
    path = PurePath(text)
    if path.suffix == ".dvc" or path.name in (".dvc", "dvc.yaml"):
        raise ValueError("what has this name is DVC's own")
    return text


def _no_repeat(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return names


class Niv2(Section):
    """The tasks in Natural Instructions form that instructions are found for.

    folder: where they are; see `seedbed tasks`.
    tasks: their names; null for all that are there.
    """

    folder: Annotated[
        str, Field(min_length=1), AfterValidator(place), AfterValidator(_local_folder)
    ]
    tasks: (
        Annotated[
            list[Annotated[str, AfterValidator(check_name)]],
            Field(min_length=1),
            AfterValidator(_no_repeat),
        ]
        | None
    )


class Candidates(Section):
    """Instructions for the tasks of niv2.

    shots: whether the meta-prompts show a task's demos.
    samples: how many of each meta-prompt.
    max_resamples: how often each is sampled again if it repeats another or says nothing.
    """

    shots: Literal["few", "zero"]
    samples: PositiveInt
    max_resamples: int = Field(ge=0)
    sampling: Sampling
    seed: int


class Label(Section):
    """How candidates are tried.

    max_examples: how many of each task's examples, the first ones; null for all.
    sample_instructions: how many candidates to draw for each example; null for all.
    one_from_each_group: whether an example gets at most one candidate of each meta-prompt.
    metric: what makes an output right (the 0/1 label); ROUGE-L is always recorded.
    """

    shots: Literal["few", "zero"]
    max_examples: PositiveInt | None
    sample_instructions: PositiveInt | None
    one_from_each_group: bool
    metric: Metric
    sampling: Sampling
    seed: int


class RelabelAndPick(Section):
    """How examples are kept for the ranker; under the names of the authors' options.

    sample_instructions: candidates drawn for each example.
    min_qualify_range: hundredths of ROUGE that the drawn scores must span; 0 for no limit.
    max_examples: a task's, at most; null for all.
    pick_example_criteria: how these are drawn where there are more.
    max_instruction_tokens: longer candidates are left out; null for no limit.
    tokenizer: what counts them: the model's own, if its server offers it, or their words.
    unseen_dev_tasks: all of their examples are for development, none for training.
    seen_dev_examples: how many examples of each other task, and never more than half, likewise.
    min_task_examples, max_task_examples: of a task's training examples in train.jsonl.
    """

    sample_instructions: int = Field(ge=2)
    min_qualify_range: float = Field(ge=0, le=100)
    max_examples: PositiveInt | None
    rank_criteria: Literal["norm_score_max", "relative_score_range"]
    pick_example_criteria: Literal["instruction_popularity", "random"]
    min_best_norm_score: float | None = Field(ge=0, le=1)
    max_instruction_tokens: PositiveInt | None
    tokenizer: Literal["model", "words"]
    unseen_dev_tasks: list[Annotated[str, Field(min_length=1)]]
    seen_dev_examples: int = Field(ge=0)
    min_task_examples: PositiveInt | None
    max_task_examples: PositiveInt | None
    seed: int

    @model_validator(mode="after")
    def _bounds_fit(self) -> "RelabelAndPick":
        least, most = self.min_task_examples, self.max_task_examples
        if least is not None and most is not None and least > most:
            raise ValueError("min_task_examples exceeds max_task_examples")
        return self


class Sections(Section):
    """All sections of Auto-Instruct."""

    niv2: Niv2
    candidates: Candidates
    label: Label
    relabel_and_pick: RelabelAndPick
