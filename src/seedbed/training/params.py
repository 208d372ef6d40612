"""Training's sections of params.yaml."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from seedbed.core.section import Section, place
from seedbed.llm.contract.request import Sampling

# It becomes a part of metrics' and files' names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("at most 60 of A-Z a-z 0-9 _ -, the first a letter or digit")
    return text


_Path = Annotated[str, Field(min_length=1), AfterValidator(place)]


# The layers that a LoRA can be put beside, as transformers calls them: attention, then the rest.
Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Source(Section):
    """A file of rows, and what part of all that is trained on comes from it."""

    file: _Path
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

    base: _Path
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


class Evaluated(Section):
    """A model that is evaluated.

    name: what files and metrics call it.
    adapter: a LoRA adapter (GGUF) that the embedded server puts onto it; null for none.
    model: in place of llm.model; null for that.
    trained_on: files of rows that it was trained on, to be searched for what it is asked.
    source, rows, threshold: what it was trained on, how many rows (null: as many as trained_on
        has), and by which novelty threshold they were grown: how `curve` draws it.
    """

    name: Annotated[str, AfterValidator(_name)]
    adapter: _Path | None = None
    model: _Path | None = None
    trained_on: list[_Path] = Field(default=[])
    source: str | None = Field(default=None, min_length=1)
    rows: PositiveInt | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)


class Evaluate(Section):
    """Held-out tasks, and the models that are asked them.

    held_out: a folder of tasks in Natural Instructions' form, and of .jsonl files in the form of
        the seed tasks; or one such file.
    tasks: their names, or ids; null for all that are there.
    max_examples: how many of each task's examples, the first ones; null for all.
    shots: how many of the task's demos a prompt shows, at most.
    models: the first is the one that the others are compared with.
    cut_at: the scored part of an answer ends where this stands first; null for all of it.
    leave_out_overlaps: examples that have a run of so many words in common with what one of the
        models was trained on are asked of none; null: they are counted.
    resamples: how often the tasks are drawn anew for an interval.
    sampling: without `stop`, to show which answers ended by themselves.
    """

    held_out: _Path
    tasks: list[Annotated[str, Field(min_length=1)]] | None
    max_examples: PositiveInt | None
    shots: int = Field(ge=0)
    models: list[Evaluated] = Field(min_length=1)
    cut_at: str | None = Field(min_length=1)
    leave_out_overlaps: Literal[8, 13] | None
    resamples: int = Field(ge=100, le=1_000_000)
    sampling: Sampling
    seed: int

    @model_validator(mode="after")
    def _fits(self) -> "Evaluate":
        # Some disks keep a name in any case as one.
        if len({model.name.casefold() for model in self.models}) < len(self.models):
            raise ValueError("two models have the same name")
        if self.sampling.stop:
            raise ValueError("sampling.stop hides which answers ended: set cut_at in its place")
        return self


class Curve(Section):
    """resamples: how often the tasks are drawn anew for an interval."""

    resamples: int = Field(ge=100, le=1_000_000)
    seed: int


class Sections(Section):
    """All sections of training."""

    finetune: Finetune
    evaluate: Evaluate
    curve: Curve
