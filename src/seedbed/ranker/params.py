"""The ranker's sections of params.yaml."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from seedbed.core.section import Section, place
from seedbed.llm.contract.request import Sampling

Feature = Literal["yes_no", "demos", "input", "length", "seed", "hidden"]
# Other ways to choose, or what a choice is compared with.
Method = Literal[
    "random",
    "seed",
    "selected",
    "untrained",
    "best_seen",
    "demos",
    "cross_validation",
    "lm_selection",
    "on_the_fly",
    "oracle",
    "worst",
]


class Niv2(Section):
    """The tasks that Auto-Instruct found instructions for; None: all that are there."""

    folder: str
    tasks: list[str] | None


class Label(Section):
    """How label asks, of its section: what is tried here is asked in the same way."""

    shots: Literal["few", "zero"]
    sampling: Sampling


class Finetuned(Section):
    """How an encoder-decoder or a decoder is trained (kind: finetune).

    base: a folder in Hugging Face's form, or a name on its hub.
    batch: lists a step. accumulate: lists that are held at a time.
    eval_every: steps between two looks at the development lists, of which the best is kept.
    threads: another number may round otherwise, so it is a parameter.
    """

    base: Annotated[str, Field(min_length=1), AfterValidator(place)]
    epochs: PositiveInt
    batch: PositiveInt
    accumulate: PositiveInt
    learning_rate: PositiveFloat
    eval_every: PositiveInt
    threads: PositiveInt = Field(le=512)


class RankTrain(Section):
    """A ranker, trained list by list.

    kind: `yes_no` trains nothing, `head` weighs features, `finetune` trains a model whole.
    features: what is measured of a pair of example and candidate; see docs/ranker.md.
    l2: how much the untrained weights count, the one that does best on tasks left out if there are
        several.
    temperature: scores are divided by it before the softmax.
    max_input_tokens: an input with more is cut at its end; candidate and question never are.
    folds: at most so many parts of the tasks, of which each is left out once; null for none.
    """

    kind: Literal["yes_no", "head", "finetune"]
    features: list[Feature] = Field(min_length=1)
    l2: list[PositiveFloat] = Field(min_length=1)
    temperature: PositiveFloat
    max_input_tokens: PositiveInt
    folds: Annotated[int, Field(ge=2)] | None
    finetune: Finetuned
    seed: int

    @model_validator(mode="after")
    def _fits(self) -> "RankTrain":
        for name, values in (("features", list(self.features)), ("l2", self.l2)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names the same twice")
        return self


class RankSelect(Section):
    """What is chosen for.

    max_examples: the first so many examples of each task of niv2; null for all.
    held_out_head: whether a task is chosen for by weights that were found without it.
    """

    max_examples: PositiveInt | None
    held_out_head: bool
    seed: int


class RankEvaluate(Section):
    """What a choice is compared with.

    methods: the ways to choose; of these three ask the model: cross_validation, lm_selection and
        on_the_fly.
    resamples: how often examples are drawn anew, within each task, for an interval.
    choose, write: how an answer is sampled that names a candidate, or is an instruction.
    """

    methods: list[Method] = Field(min_length=1)
    resamples: int = Field(ge=100, le=1_000_000)
    choose: Sampling
    write: Sampling
    seed: int

    @model_validator(mode="after")
    def _fits(self) -> "RankEvaluate":
        if len(set(self.methods)) < len(self.methods):
            raise ValueError("methods names the same twice")
        for needed in ("random", "selected", "oracle", "worst"):
            if needed not in self.methods:
                raise ValueError(f"methods lacks {needed}, which the others are compared with")
        return self


class Sections(Section):
    """All sections of the ranker."""

    rank_train: RankTrain
    rank_select: RankSelect
    rank_evaluate: RankEvaluate
