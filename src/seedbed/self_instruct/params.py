"""Self-Instruct's sections of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from seedbed.core.section import Section
from seedbed.llm.contract.request import Sampling
from seedbed.self_instruct.completions import OutputWithoutLabel


class Filters(Section):
    """What makes an instruction one that is kept, of bootstrap's section."""

    rouge_threshold: float = Field(ge=0, le=1)
    min_words: int = Field(ge=0)
    max_words: PositiveInt
    refused_words: list[Annotated[str, Field(min_length=1)]]
    refused_prefixes: list[Annotated[str, Field(min_length=1)]]
    refuse_non_ascii: bool


class Bootstrap(Filters):
    num_instructions_to_generate: PositiveInt
    num_prompt_instructions: PositiveInt
    num_machine_prompt_instructions: int = Field(ge=0)
    use_clf_seed_tasks_only: bool
    request_batch_size: PositiveInt
    max_rounds_without_new: PositiveInt
    capitalize: bool
    sampling: Sampling
    seed: int

    @model_validator(mode="after")
    def _bounds_fit(self) -> "Bootstrap":
        if self.num_machine_prompt_instructions > self.num_prompt_instructions:
            raise ValueError("num_machine_prompt_instructions exceeds num_prompt_instructions")
        if self.min_words > self.max_words:
            raise ValueError("min_words exceeds max_words")
        return self


class Alpaca(Section):
    """Whole tasks, many a request.

    num_prompt_tasks: so many seed tasks are shown; num_tasks_a_request: so many more are asked for.
    """

    num_tasks_to_generate: PositiveInt
    num_prompt_tasks: PositiveInt
    num_tasks_a_request: PositiveInt
    request_batch_size: PositiveInt
    max_rounds_without_new: PositiveInt
    sampling: Sampling
    seed: int


class Clf(Section):
    sampling: Sampling


class Instances(Section):
    tasks: Literal["all", "generation", "classification"]
    num_instructions: PositiveInt | None
    max_instances_to_generate: PositiveInt
    classification_max_tokens: PositiveInt
    sampling: Sampling


class Prepare(Section):
    """What becomes of the completions.

    num_rows: exactly so many rows to train on, of those that there are; None for all.
    output_without_label: whether an example without any `Output:` is refused, or its whole text
        taken as the output.
    """

    num_instructions: PositiveInt | None
    num_rows: PositiveInt | None
    max_instances_per_task: PositiveInt
    output_without_label: OutputWithoutLabel
    include_seed_tasks: bool
    seed: int


class Sections(Section):
    """All sections of Self-Instruct."""

    bootstrap: Bootstrap
    clf: Clf
    instances: Instances
    prepare: Prepare
    alpaca: Alpaca
