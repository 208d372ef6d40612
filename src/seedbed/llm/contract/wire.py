"""The two APIs that servers speak, completions and chat: bodies out, bodies in.

Pure functions; what is sent and what comes back are plain JSON.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from seedbed.llm.contract.request import Api, Parameter, Request

# Why an answer is of no use although it came: `refused` by the server's or the model's rules,
# `empty`, `malformed` (not what the API promises, several times over), `over_context`: it does
# not fit the model.
Problem = Literal["refused", "empty", "malformed", "over_context"]
PROBLEMS: tuple[Problem, ...] = ("refused", "empty", "malformed", "over_context")


@dataclass(frozen=True)
class Answer:
    """One completion.

    text: "" if it was refused, malformed or too long.
    problem: why it is of no use, if it is not.
    lowered_to: the max_tokens that it got, if the one asked for did not fit the context.
    response: the raw response without what differs from run to run (id, time, timings, cache
        statistics) and without the log-probability of each token; the store has all of it.
    """

    key: str
    text: str
    finish_reason: str | None
    response: dict[str, Any]
    problem: Problem | None = None
    lowered_to: int | None = None

    @property
    def cut(self) -> bool:
        """Whether the completion ran into its length limit."""
        return self.finish_reason == "length"


# What stages are given: requests → their answers, in order.
Ask = Callable[[Iterable[Request]], Iterable[Answer]]


class MalformedBody(ValueError):
    """A response body that holds no completion; the message says what is wrong."""


def body_for(
    api: Api,
    model: str,
    system: str | None,
    prompts: Sequence[str],
    request: Request,
    max_tokens: int,
    samples: int,
    leave_out: Collection[Parameter],
    say_none: bool = True,
) -> dict[str, Any]:
    """The body of one HTTP request: `samples` completions of each prompt, sampled as `request`.

    say_none: as `Endpoint` has it.
    """
    sampling = request.sampling
    body: dict[str, Any] = {"model": model}
    if api == "chat":
        (prompt,) = prompts
        first = [] if system is None else [{"role": "system", "content": system}]
        body["messages"] = [*first, {"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompts[0] if len(prompts) == 1 else list(prompts)
    body["max_tokens"] = max_tokens
    body["temperature"] = sampling.temperature
    # At temperature 0 it has no meaning, and vLLM refuses the authors' 0. A temperature that is
    # left out is not in the key, so nothing may depend on it.
    if sampling.temperature or "temperature" in leave_out:
        body["top_p"] = sampling.top_p
    body |= sampling.cuts(leave_out, say_none)
    body["frequency_penalty"] = sampling.frequency_penalty
    body["presence_penalty"] = sampling.presence_penalty
    if sampling.stop:
        body["stop"] = sampling.stop
    if request.seed is not None:
        body["seed"] = request.seed + request.sample
    if samples > 1:
        body["n"] = samples
    for name in leave_out:
        body.pop(name, None)
    if sampling.logprobs is not None and "logprobs" not in leave_out:
        if api == "chat":
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        else:
            body["logprobs"] = sampling.logprobs
    return body


class Choice(NamedTuple):
    """One of the choices in a response.

    raw: all that the server said of it; refused: whether the model, or the server, refused.
    """

    raw: dict[str, Any]
    text: str
    finish_reason: str | None
    refused: bool

    @property
    def problem(self) -> Problem | None:
        if self.refused:
            return "refused"
        return None if self.text.strip() else "empty"


def choices_of(body: str, expected: int) -> tuple[dict[str, Any], list[Choice]]:
    """The parsed body and its choices, in the order of their indices.

    Raises:
        MalformedBody: no JSON object, or not `expected` choices, each with an index of its own
            and a text.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):  # the latter: nested a thousand deep
        raise MalformedBody("not JSON") from None
    raw = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(raw, list) or len(raw) != expected:
        wanted = "one choice" if expected == 1 else f"{expected} choices"
        raise MalformedBody(f"it should have {wanted}")
    choices = [_read_choice(choice) for choice in raw]
    if expected > 1:
        # A list's answers may come in any order: only the index tells which prompt is whose.
        at = {i: choice for choice in choices if isinstance(i := choice.raw.get("index"), int)}
        if at.keys() != set(range(expected)):
            raise MalformedBody("its choices should be numbered by their index")
        choices = [at[i] for i in range(expected)]
    return data, choices


def _read_choice(choice: Any) -> Choice:
    if not isinstance(choice, dict):
        raise MalformedBody("each choice should be an object")
    finish_reason = choice.get("finish_reason")
    refused = finish_reason == "content_filter"
    if "message" in choice:
        message = choice["message"]
        if not isinstance(message, dict) or "content" not in message:
            raise MalformedBody("the choice should have a message with content")
        text = message["content"]
        refused = refused or bool(message.get("refusal"))
        # null: the model only thought, or called a tool, or refused.
        text = "" if text is None else text
    else:
        text = choice.get("text")
    if not isinstance(text, str) or not isinstance(finish_reason, str | None):
        raise MalformedBody("the choice should have a text and a finish_reason")
    ended = None if finish_reason is None else whole(finish_reason)
    return Choice(choice, whole(text), ended, refused)


def whole(text: str) -> str:
    """JSON may hold half of a surrogate pair, which no file and no request can: it becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def usage_of(data: dict[str, Any]) -> tuple[int, int] | None:
    """Prompt and completion tokens that the server counted, if it says."""
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    possible = range(2**40)
    return (prompt, completion) if prompt in possible and completion in possible else None


def problem_body(said: str, body: str = "") -> str:
    """What is kept of a response that is no completion: what was said, and how the body begins."""
    error = {"message": said, "body": body} if body else {"message": said}
    return written({"error": error})


def usage_in(body: str) -> tuple[int, int] | None:
    """The usage of a body that may be no completion."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return usage_of(data) if isinstance(data, dict) else None


def split(data: dict[str, Any], choices: list[Choice]) -> list[str]:
    """A body for each choice of a response that answers several requests.

    The usage is that of all of them together: `shared_by` says how many.
    """
    rest = {name: value for name, value in data.items() if name != "choices"}
    return [
        written({**rest, "choices": [choice.raw], "shared_by": len(choices)}) for choice in choices
    ]


def written(body: Any) -> str:
    """A body as the store can keep it: half of a surrogate pair, which no file can, becomes "?".

    Raises:
        MalformedBody: it is nested so deep that it could only just be read.
    """
    try:
        return whole(json.dumps(body, ensure_ascii=False))
    except RecursionError:
        raise MalformedBody("nested too deep") from None


def read_body(
    key: str,
    body: str,
    problem: Problem | None = None,
    lowered_to: int | None = None,
    stop: Sequence[str] = (),
) -> Answer:
    """The answer that a kept body holds.

    stop: what the server was not told to stop at (`llm.leave_out`): the text ends there.

    Raises:
        MalformedBody: it holds no completion, and `problem` does not say so.
    """
    extra: dict[str, Any] = {} if lowered_to is None else {"max_tokens_lowered_to": lowered_to}
    try:
        data, (choice,) = choices_of(body, 1)
    except MalformedBody:
        if problem is None:
            raise
        response = {"choices": [_plain_choice({}, "", None)], "problem": problem, **extra}
        return Answer(key, "", None, response, problem, lowered_to)
    text, finish_reason, problem = choice.text, choice.finish_reason, choice.problem
    ends = [place for sequence in stop if (place := text.find(sequence)) >= 0]
    if ends:
        text, finish_reason = text[: min(ends)], "stop"
    usage = None
    if "shared_by" not in data:
        # What prompts share a request differs from run to run, and so would their usage.
        counted = usage_of(data) or (0, 0)
        usage = dict(zip(("prompt_tokens", "completion_tokens"), counted, strict=True))
    if problem:
        extra["problem"] = problem
    return Answer(
        key=key,
        text="" if problem == "refused" else text,
        finish_reason=finish_reason,
        response={
            "object": "chat.completion" if "message" in choice.raw else "text_completion",
            "model": whole(str(data.get("model", ""))),
            "choices": [_plain_choice(choice.raw, text, finish_reason)],
            "usage": usage,
            **extra,
        },
        problem=problem,
        lowered_to=lowered_to,
    )


def _plain_choice(choice: dict[str, Any], text: str, finish_reason: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {"text": text}
    if "message" in choice:
        said = {"message": {"role": "assistant", "content": text}}
    return {**said, "index": 0, "logprobs": None, "finish_reason": finish_reason}
