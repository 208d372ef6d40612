"""What is asked of a model, what comes back, and the key that an answer is kept under.

The canonical form, version 1: a JSON object with sorted keys, no spaces, UTF-8, of

    form         1
    kind         "completion"
    model        the endpoint's `identity`: everything about server and model that can change an
                 answer. For a server: its address without user, password and query, and the
                 model's name. For the embedded server: the engine and its version, the settings
                 that change its arithmetic, and the SHA-256 of the GGUF file.
    prompt       the prompt
    …            every field of `Sampling` (null: left to the server)
    seed         the sampling seed (null: none sent)

The key is the SHA-256 of that, in hexadecimal. Whatever can change an answer is in it, so an
answer is never stale; what cannot (API key, concurrency, retries, stage) is not, so an answer
is never asked for twice (a server's port is part of its address: another may serve another
model). A change of the form changes FORM, and with it every key.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

FORM = 1


class Sampling(BaseModel):
    """How a completion is sampled; the names are the OpenAI API's."""

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


@dataclass(frozen=True)
class Request:
    """One prompt to be completed once.

    prefix: what the prompt shares with others of its stage, its beginning. It is no part of the
        request, only a hint to the engine of what can be evaluated once for all.
    """

    prompt: str
    sampling: Sampling
    seed: int | None = None
    prefix: str = field(default="", compare=False)

    def canonical(self, identity: Mapping[str, Any]) -> str:
        """The canonical form under an endpoint's identity; see the module's text."""
        form = {
            "form": FORM,
            "kind": "completion",
            "model": dict(identity),
            "prompt": self.prompt,
            "seed": self.seed,
            **self.sampling.model_dump(),
        }
        return json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def key_of(canonical: str) -> str:
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """One completion.

    response: the raw response without what differs from run to run (id, time, timings, cache
        statistics) and without the log-probability of each token; the store has all of it.
    """

    key: str
    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    response: dict[str, Any]

    @property
    def cut(self) -> bool:
        """Whether the completion ran into its length limit."""
        return self.finish_reason == "length"


@dataclass
class Tally:
    """What was sent and what was reused so far; tokens are those of answers that were sent for."""

    sent: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class MalformedBody(ValueError):
    """A response body that holds no completion; the message says what is wrong."""


def read_body(key: str, body: str) -> Answer:
    """Parse a raw response body of the completions API.

    Raises:
        MalformedBody: it is no JSON object with one choice that has a text.
    """
    try:
        data = json.loads(body)
    except ValueError:
        raise MalformedBody("not JSON") from None
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise MalformedBody("it should have one choice")
    choice = choices[0]
    text, finish_reason = choice.get("text"), choice.get("finish_reason")
    if not isinstance(text, str) or not isinstance(finish_reason, str | None):
        raise MalformedBody("the choice should have a text and a finish_reason")
    # JSON may hold half of a surrogate pair, which no file and no request can.
    text = text.encode("utf-8", "replace").decode()
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    counts = {}
    for name in ("prompt_tokens", "completion_tokens"):
        count = usage.get(name)
        counts[name] = count if isinstance(count, int) else 0
    return Answer(
        key=key,
        text=text,
        finish_reason=finish_reason,
        **counts,
        response={
            "object": "text_completion",
            "model": str(data.get("model", "")),
            "choices": [
                {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
            ],
            "usage": counts,
        },
    )
