"""The parameters of the model: the section `llm` of params.yaml."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from seedbed.core.section import Section, place
from seedbed.llm.contract.request import Api, Parameter


class Embedded(Section):
    """The embedded server. Each of these changes its arithmetic, and so its answers.

    context: tokens a slot holds, prompt and completion together.
    slots: requests evaluated together; with more than one the bytes differ from run to run.
    speculative: what guesses the next tokens, which the model then evaluates together: ngram_map_k
        goes on as the text did the last time that it came by the same words. null: nothing does.
    adapter: a LoRA as a GGUF file, such as stage `finetune` makes; null, and as params.yaml has no
        such line, for the model as it is.
    """

    # What it counts in 32 bits, the two multiplied too.
    context: int = Field(ge=256, le=2**22)
    slots: PositiveInt = Field(le=256)
    threads: PositiveInt = Field(le=512)
    speculative: Literal["ngram_map_k"] | None = None
    adapter: Annotated[str, Field(min_length=1), AfterValidator(place)] | None = None


def server_name(name: str) -> str:
    """The name itself. Raises ValueError: it could be taken for an address, or for nothing."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError(
            "expected a name of letters, digits, ., _ and -, such as pool; addresses stand in "
            "OPENAI_BASE_URL"
        )
    return name


class Price(Section):
    """US dollars per million tokens."""

    model: str = Field(min_length=1)
    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Model(Section):
    """The section `llm`: the model and how it is asked.

    model: the packaged model, a GGUF file, or the name that the server knows it by.
    server: a name for what answers, in place of the address in every key: the same model at
        another address is then the same model. null, and as params.yaml has no such line: the
        address.
    system: the system message of a chat; null for none.
    leave_out: parameters that are not sent, because the server refuses them.
    """

    model: Annotated[str, Field(min_length=1), AfterValidator(place)]
    server: Annotated[str, AfterValidator(server_name)] | None = None
    api: Api = "completions"
    system: str | None = None
    leave_out: list[Parameter] = Field(default=[])
    embedded: Embedded

    @model_validator(mode="after")
    def _fits(self) -> "Model":
        if self.system is not None and self.api != "chat":
            raise ValueError("system is for a chat: set llm.api to chat, or system to null")
        return self


class Run(Section):
    """The section `run`: what changes no result, so that no stage declares it.

    replay: answer from the store alone, without a connection.
    prices: for servers that cost something; used by `seedbed estimate` and the budget.
    """

    replay: bool = False
    prices: list[Price] = Field(default=[])


class Llm(Model, Run):
    """Both: what the engine is told."""
