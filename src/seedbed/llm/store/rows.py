"""What the store keeps, an answer or what a run has spent; and whether a row is still that."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seedbed.llm.contract.request import key_of
from seedbed.llm.contract.wire import MalformedBody, choices_of
from seedbed.llm.store.migrations import COLUMNS, digest_of


class Kept(NamedTuple):
    """An answer as the store has it; see `seedbed.llm.store.migrations` for the columns."""

    key: str
    base: str
    model: str
    request: str
    response: str
    max_tokens: int
    ended: bool
    problem: str | None
    prompt_tokens: float | None
    completion_tokens: float | None
    created_at: str | None = None


def now() -> str:
    """The time, UTC, as `created_at` has it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


def values_of(kept: Kept, at: str | None = None) -> tuple[Any, ...]:
    """A kept answer as SQLite has it. at: when it is kept, if it does not say so itself."""
    prompt, completion = kept.prompt_tokens, kept.completion_tokens
    return (
        *kept[:6],
        int(kept.ended),
        kept.problem,
        None if prompt is None else float(prompt),
        None if completion is None else float(completion),
        kept.created_at or at,
    )


def ended_of(form: dict[str, Any], response: str, problem: str | None) -> bool:
    """Whether an answer ended by itself, as its body says. form: the request's.

    Raises:
        MalformedBody: the body can be no answer, and `problem` does not say so.
    """
    if problem not in (None, "empty"):
        return False
    if form.get("kind") == "tokens":  # a number, not a completion
        return True
    _, (choice,) = choices_of(response, 1)
    return choice.finish_reason == "stop"


@dataclass
class Spent:
    """What one run has spent: tokens, and US dollars."""

    run: str
    tokens: int = 0
    dollars: float = 0.0


def as_entered(row: Sequence[Any]) -> tuple[Any, ...] | None:
    """A row as it was entered, without its digest; None if it is another now."""
    *values, digest = row
    if digest_of(values).encode() != digest:
        return None
    try:
        return tuple([value.decode() if isinstance(value, bytes) else value for value in values])
    except UnicodeDecodeError:  # it was so when the digest was made
        return None


def named(table: str, row: Sequence[Any]) -> str:
    columns = COLUMNS[table]
    name = str(row[columns.index("key") if "key" in columns else 0], "utf-8", "replace")
    return f"the answer {name[:12]}…" if table == "responses" else f"{name[:12]}… in {table}"


def fault(table: str, row: Sequence[Any]) -> str | None:
    """What is wrong with a row, if anything is."""
    entered = as_entered(row)
    if entered is None:
        return "is not what was kept"
    if "request" not in COLUMNS[table]:
        return None
    fields = dict(zip(COLUMNS[table], entered, strict=True))
    if key_of(fields["request"]) != fields["key"]:
        return "has the request of another"
    if table == "responses":
        try:
            ended_of(json.loads(fields["request"]), fields["response"], fields["problem"])
        except MalformedBody as problem:
            return f"cannot be read: {problem}"
    return None
