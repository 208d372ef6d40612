"""A request that was not answered: whose fault that is, read from what came instead."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, get_args

from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.contract.request import Parameter
from seedbed.llm.redaction import quoted

# busy: the server asks to be left alone for a while; absent: nobody listens there;
# broke: it failed at this request; too_long: the request does not fit the model's context;
# refused: its rules forbid this prompt; bad: it will not take this request as it is.
Kind = Literal["busy", "absent", "broke", "too_long", "refused", "bad"]

MALFORMED = "not a completion: "
# Characters that are quoted of what a server said, and of a body that is malformed.
MOST_SAID, MOST_OF_A_BODY = 500, 1000


@dataclass
class Setback(Exception):
    """A request that was not answered, and whose fault that is.

    said: what the server said, in one line.
    retry_after: seconds that it asks to wait.
    parameter: what a `bad` request should leave out, if the server says so.
    body: of a response that is not what it should be; its beginning is kept.
    usage: the tokens that such a response says it took.
    slow: whether the server may be overloaded.
    """

    kind: Kind
    said: str
    status: int | None = None
    retry_after: float | None = None
    parameter: str | None = None
    body: str = ""
    usage: tuple[int, int] | None = None
    slow: bool = False

    def __post_init__(self) -> None:
        # Whatever came from outside is looked through here, before anybody can show or keep it.
        self.said = quoted(re.sub(r"\s+", " ", self.said), MOST_SAID)
        self.body = quoted(self.body, MOST_OF_A_BODY)

    @property
    def passes(self) -> bool:
        """Whether the same request may be answered another time."""
        return self.kind in ("busy", "absent", "broke")

    @property
    def may_be_charged(self) -> bool:
        """Whether the server may have done its work, although it brought no answer."""
        return self.kind == "broke" and self.status in (None, 200)

    @property
    def malformed(self) -> bool:
        """Whether it was answered, with what is no completion."""
        return self.said.startswith(MALFORMED)

    @property
    def status_or_kind(self) -> str:
        return self.kind if self.status is None else f"HTTP {self.status}"


def malformed(why: str, body: str = "", usage: tuple[int, int] | None = None) -> Setback:
    """A response that is no completion: a failed try, like a connection that breaks."""
    return Setback("broke", f"{MALFORMED}{why}", 200, body=body, usage=usage)


def failure(address: str, setback: Setback) -> SeedbedError:
    """The error that ends a run for a setback; `address` as `Endpoint` has it."""
    if setback.kind == "absent":
        return errors.ServerNotThere(address, setback.said)
    if setback.malformed:
        return errors.BadAnswer(address, setback.said.removeprefix(MALFORMED), setback.body)
    if setback.parameter:
        return errors.ParameterRefused(address, setback.parameter, setback.said)
    if setback.kind in ("busy", "broke"):
        return errors.ServerFailed(address, f"{setback.status_or_kind}: {setback.said}")
    if setback.status is None:
        return errors.BadAnswer(address, setback.said, setback.body)
    return errors.RequestRefused(address, setback.status, setback.said)


TIMED_OUT = "it does not answer in time (SEEDBED_TIMEOUT)"


def of_status(status: int, body: object, message: str, headers: Mapping[str, str]) -> Setback:
    """A response with another status than 200.

    body: as parsed JSON, if it is JSON; else `message` says what the server said.
    """
    said = said_in(body, message)
    wait = _retry_after(headers)
    if status in (429, 503, 529):
        return Setback("busy", said, status, wait, slow=True)
    if status in (408, 409) or status >= 500:
        return Setback("broke", said, status, wait, slow=status in (408, 504))
    if status == 413 or re.search(TOO_LONG, said, re.IGNORECASE):
        return Setback("too_long", said, status)
    if re.search(AGAINST_THE_RULES, f"{said} {_field(body, 'code')}", re.IGNORECASE):
        return Setback("refused", said, status)
    parameter = refused_parameter(said, _field(body, "param"))
    return Setback("bad", said, status, parameter=parameter)


# OpenAI: "maximum context length is 4097 tokens"; vLLM the same, or "longer than the maximum
# model length"; llama.cpp: "exceeds the available context size".
TOO_LONG = (
    r"context.?length|maximum context|context (size|window)|(maximum|max).?(model|input).?len"
    r"|too many tokens|(prompt|input) is too long|reduce the length"
)
AGAINST_THE_RULES = r"content_filter|content_policy|content management policy|moderation|flagged"


def refused_parameter(said: str, named: str = "") -> str | None:
    """Which of the parameters that can be left out a refusal is about.

    >>> refused_parameter("Unrecognized request argument supplied: presence_penalty")
    'presence_penalty'
    >>> refused_parameter("$.stop is too long: at most 4 elements")
    'stop'
    """
    names = ["max_tokens", "n", *get_args(Parameter)]
    text = f"{named} {said}".replace("top_logprobs", "logprobs")
    parameters = [name for name in names if re.search(rf"(?<![\w-]){name}(?![\w-])", text)]
    # "n" is also a letter: it counts only where it is named as a parameter.
    if "n" in parameters and named != "n" and not re.search(r"[`'\"]n[`'\"]|\bn ?(=|>|must)", said):
        parameters.remove("n")
    return parameters[0] if parameters else None


def _field(body: object, name: str) -> str:
    return str(body.get(name) or "")[:200] if isinstance(body, dict) else ""


def said_in(body: object, message: str) -> str:
    """What the server answered, in one line; `body` and `message` as in `of_status`."""
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict):
            inner = inner.get("message") or inner.get("detail") or inner
        body = inner
    if isinstance(body, list) and all(isinstance(item, dict) and "msg" in item for item in body):
        # FastAPI's complaints: without their `input`, which repeats the prompt.
        body = "; ".join(
            f"{'.'.join(map(str, item.get('loc', [])))}: {item['msg']}" for item in body
        )
    elif isinstance(body, list | dict):
        body = json.dumps(body)
    said = str(body or message)
    if found := re.findall(COMPLAINT, said[:MOST_TO_SEARCH]):
        said = "; ".join(f"{place}: {message}" for place, message in found)
    return quoted(" ".join(said.split()), MOST_SAID)


# What finds a complaint takes time in proportion to the square.
MOST_TO_SEARCH = 20_000


# The same in vLLM's words.
COMPLAINT = r"""'loc': \(([^)]*)\), 'msg': ('[^']*'|"[^"]*")"""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header: a number, or a date.

    A date counts from the response's own, since the server's clock need not be ours.

    >>> date, later = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:30 GMT"
    >>> _retry_after({"date": date, "retry-after": later})
    30.0
    """
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    until = _date(value)
    begun = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - begun).total_seconds()) if until else None


def _date(value: str) -> datetime | None:
    """A header's date, None if it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    # Without a zone it is UTC, as all dates in headers are.
    return date if date.tzinfo else date.replace(tzinfo=UTC)
