"""Training's sections of params.yaml."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from seedbed.core.section import Section, place

# The layers that a LoRA can be put beside, as transformers calls them: attention, then the rest.
Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Source(Section):
    """A file of rows, and what part of all that is trained on comes from it."""

    file: Annotated[str, Field(min_length=1), AfterValidator(place)]
    share: PositiveFloat


class Finetune(Section):
    """LoRA (arXiv 2106.09685) on rows of one or several files.

    base: the packaged model, a GGUF file, or a folder in Hugging Face's form.
    rows: so many in all, drawn at random; null for as many as the shares allow.
    max_tokens: a row with more, prompt and completion together, is left out.
    rank, alpha: of the two matrices beside each layer of `targets`; their product counts
        alpha / rank times.
    batch: rows a step.
    max_steps: of the optimizer at most, however many epochs that is; null for no such limit.
    learning_rate: AdamW's highest; it is reached after `warmup`, a share of all steps, and then
        falls linearly to nothing.
    threads: another number may round otherwise, so it is a parameter.
    """

    base: Annotated[str, Field(min_length=1), AfterValidator(place)]
    sources: list[Source] = Field(min_length=1)
    rows: PositiveInt | None
    max_tokens: int = Field(ge=8, le=32768)
    rank: PositiveInt = Field(le=256)
    alpha: PositiveFloat
    targets: list[Target] = Field(min_length=1)
    epochs: PositiveInt
    max_steps: PositiveInt | None
    batch: PositiveInt
    learning_rate: PositiveFloat
    warmup: float = Field(ge=0, le=1)
    threads: PositiveInt = Field(le=512)
    seed: int

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Finetune":
        for name, values in (
            ("targets", list(self.targets)),
            ("sources", [source.file for source in self.sources]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names the same twice")
        return self


class Sections(Section):
    """All of them."""

    finetune: Finetune
