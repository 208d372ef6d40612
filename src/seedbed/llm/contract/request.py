"""What is asked of a model, and the key that its answer is kept under.

The canonical form, version 1: a JSON object with sorted keys, no spaces, UTF-8, of

    form         1
    kind         "completion", "chat", "score" or "tokens"
    model        the endpoint's `identity`: everything about server and model that can change an
                 answer. For a server: its address without user, password and query, and the
                 model's name. For the embedded server: the engine and its version, the settings
                 that change its arithmetic, and the SHA-256 of the GGUF file.
    prompt       the prompt; in a chat, the user's message
    system       the system message (null: none); in a chat only
    text         the text to be scored; with "score" only, which has none of what follows
                 ("tokens", the number of a prompt's tokens, has not even that)
    …            every field of `Sampling` (null: left to the server); top_k and min_p only as far
                 as they are sent, so that the keys of servers that do not know them stay
    seed         the sampling seed (null: none sent)
    sample       which of several samples of the same prompt, from 1 on; absent for the first, 0

The key is the SHA-256 of that, in hexadecimal. Whatever can change an answer is in it, so an
answer is never stale; what cannot (API key, concurrency, retries, stage) is not, so an answer
is never asked for twice (a server's port is part of its address: another may serve another
model). A change of the form changes FORM, and with it every key.

A second key, `base`, is that of the same form with max_tokens 0. It finds an answer that ended by
itself within fewer tokens than are asked for now: with more room it would have been the same.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

FORM = 1

Api = Literal["completions", "chat"]
# What a server may refuse, and llm.leave_out can keep from it.
Parameter = Literal[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "stop",
    "seed",
]
# What says that there is none, to servers that have one unless they are told (llama.cpp: 40 and
# 0.05; vLLM what the model's generation config has).
NONE = {"top_k": -1, "min_p": 0.0}


class Sampling(BaseModel):
    """How a completion is sampled; the names are the OpenAI API's.

    top_k, min_p: null for none. The OpenAI API does not have them, other servers do.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    max_tokens: PositiveInt
    temperature: NonNegativeFloat
    top_p: float = Field(ge=0, le=1)
    frequency_penalty: float = Field(ge=-2, le=2)
    presence_penalty: float = Field(ge=-2, le=2)
    logprobs: int | None = Field(ge=0, le=5)
    stop: list[str] = []
    top_k: PositiveInt | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)

    def cuts(self, leave_out: Collection[Parameter], say_none: bool) -> dict[str, float]:
        """top_k and min_p as they are sent. say_none: whether that there is none is said."""
        given = {"top_k": self.top_k, "min_p": self.min_p}
        said = {name: NONE[name] if say_none and value is None else value
                for name, value in given.items() if name not in leave_out}  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Request:
    """One prompt to be completed once.

    seed: sample i of a prompt is asked with `seed` + i; samples that share a request have its first
        one's, and what the server makes of it.
    sample: which of several samples of the same prompt; samples 0, 1, 2… of one prompt are asked
        in one HTTP request where the server can do so, and its prompt is paid for once.
    prefixes: beginnings of the prompt that it shares with others of its stage, the shorter before
        the longer. They are no part of the request, only a hint to the engine of what can be
        evaluated once for all.
    """

    prompt: str
    sampling: Sampling
    seed: int | None = None
    sample: int = 0
    prefixes: tuple[str, ...] = field(default=(), compare=False)


class Keyed(NamedTuple):
    """A request's canonical form under an endpoint, and the two keys made of it."""

    key: str
    base: str
    form: str


class Canon:
    """Writes requests in their canonical form; see the module's text.

    identity, api, system, leave_out, say_none: the endpoint's.
    """

    def __init__(
        self,
        identity: Mapping[str, Any],
        api: Api = "completions",
        system: str | None = None,
        leave_out: Collection[Parameter] = (),
        say_none: bool = True,
    ):
        self.model = canonical(dict(identity))
        self._identity = dict(identity)
        self._api = api
        self._system = system
        self._leave_out = set(leave_out)
        self._say_none = say_none
        # All but prompt, sample and seed is the same for thousands of requests: written once.
        self._written: dict[int, tuple[Sampling, str, str, str]] = {}

    def of(self, request: Request) -> Keyed:
        written = self._written.get(id(request.sampling))
        if written is None:
            if len(self._written) == 1000:
                self._written.clear()
            written = (request.sampling, *self._around(request.sampling))
            self._written[id(request.sampling)] = written
        _, before, before_in_base, after = written
        seed = None if "seed" in self._leave_out else request.seed
        rest = f'"prompt":{canonical(request.prompt)},'
        if request.sample:
            rest += f'"sample":{request.sample},'
        rest += f'"seed":{canonical(seed)},{after}'
        form = before + rest
        return Keyed(key_of(form), key_of(before_in_base + rest), form)

    def _around(self, sampling: Sampling) -> tuple[str, str, str]:
        """What stands before the prompt, the same with max_tokens 0, and what stands after."""
        fields: dict[str, Any] = sampling.model_dump(exclude={*NONE})
        fields |= dict.fromkeys(self._leave_out & fields.keys())
        fields |= sampling.cuts(self._leave_out, self._say_none)
        fields |= {"form": FORM, "model": self._identity}
        fields["kind"] = "chat" if self._api == "chat" else "completion"
        if self._api == "chat":
            fields["system"] = self._system
        before = {name: value for name, value in fields.items() if name < "prompt"}
        after = {name: value for name, value in fields.items() if name > "seed"}
        in_base = before | {"max_tokens": 0}
        return canonical(before)[:-1] + ",", canonical(in_base)[:-1] + ",", canonical(after)[1:]

    def score(self, prompt: str, text: str) -> Keyed:
        """The form of a text to be scored."""
        form = canonical(
            {
                "form": FORM,
                "kind": "score",
                "model": self._identity,
                "prompt": prompt,
                "text": text,
            }
        )
        return Keyed(key_of(form), key_of(form), form)

    def tokens(self, text: str) -> Keyed:
        """The form of a text whose tokens are to be counted."""
        form = canonical({"form": FORM, "kind": "tokens", "model": self._identity, "prompt": text})
        return Keyed(key_of(form), key_of(form), form)


def canonical(value: Any) -> str:
    """JSON in the one way that keys are made of.

    Raises:
        ValueError: there is a number in it that JSON does not have, such as NaN.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def key_of(form: str) -> str:
    return hashlib.sha256(form.encode()).hexdigest()


def base_of(form: str) -> str:
    """The `base` key of a request in its canonical form."""
    fields = json.loads(form)
    return key_of(canonical(fields | {"max_tokens": 0}) if "max_tokens" in fields else form)
