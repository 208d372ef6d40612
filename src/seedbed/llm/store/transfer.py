"""The response store as JSON Lines, so that a run can be handed on and replayed without a key.

    {"key": "0f3a…", "request": {…the canonical form…}, "response": "…the raw body…",
     "max_tokens": 350, "problem": null, "prompt_tokens": 512.0, "completion_tokens": 96.0,
     "created_at": "2026-11-21 06:00:00", "digest": "9c1d…"}

Rows come by key. What can be computed from them is not written; what is written is checked: the key
is that of the request, the digest that of the answer under this key, as the store has it. Lines
without a digest, as exports before version 3 of the store have them, are taken as they are.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from seedbed.core.files import read_rows, to_line
from seedbed.core.records import Record
from seedbed.errors import BadRow
from seedbed.llm.contract.request import base_of, canonical, key_of
from seedbed.llm.contract.wire import PROBLEMS, MalformedBody
from seedbed.llm.store.migrations import digest_of
from seedbed.llm.store.rows import Kept, ended_of, values_of
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import by_model

# Rows a transaction.
CHUNK = 1000


class Transferred(Record):
    """A line of an exported store."""

    key: str
    request: dict[str, Any]
    response: str
    max_tokens: int = Field(ge=0, lt=2**63)  # SQLite's greatest
    problem: str | None
    prompt_tokens: float | None = Field(ge=0, allow_inf_nan=False)
    completion_tokens: float | None = Field(ge=0, allow_inf_nan=False)
    created_at: str = Field(pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
    digest: str | None = None


WRITTEN = [name for name in Transferred.model_fields if name in Kept._fields]


def export(store: Store, model: str | None = None) -> Iterator[str]:
    """The store's answers as lines (of the models whose identity has `model` in it)."""
    for kept in store.rows():
        if model is None or model in kept.model:
            fields = {name: getattr(kept, name) for name in WRITTEN}
            fields["request"] = json.loads(kept.request)
            yield to_line({**fields, "digest": digest_of(values_of(kept))})


def read_in(store: Store, path: Path) -> tuple[int, int]:
    """Add the answers of an exported store; gives how many lines there were and how many were new.

    Nothing is added unless all lines are sound.

    Raises:
        BadFile, BadRow: as `read_rows`; also a key that is not that of its request, or a digest
            that is not that of its answer.
        StoreFailed
    """
    for _ in _rows(path):
        pass
    lines = new = 0
    chunk: list[Kept] = []
    for kept in _rows(path):
        lines += 1
        chunk.append(kept)
        if len(chunk) == CHUNK:
            new += _put(store, chunk)
            chunk = []
    return lines, new + _put(store, chunk)


def _put(store: Store, rows: list[Kept]) -> int:
    known = store.get(row.key for row in rows)
    store.put(rows)
    return len({row.key for row in rows} - known.keys())


def _rows(path: Path) -> Iterable[Kept]:
    for number, row in enumerate(read_rows(path, Transferred), 1):
        try:
            form = canonical(row.request)
        except ValueError:
            said = "field request: a number that JSON does not have, such as NaN"
            raise BadRow(path, number, said, "Export it anew.") from None
        if key_of(form) != row.key:
            raise BadRow(path, number, "the key is not that of the request", "Export it anew.")
        if row.problem not in (None, *PROBLEMS):
            raise BadRow(
                path, number, f"problem {row.problem!r}", f"It is null or {', '.join(PROBLEMS)}."
            )
        try:
            ended = ended_of(row.request, row.response, row.problem)
        except MalformedBody as problem:
            raise BadRow(path, number, f"response: {problem}", "Export it anew.") from None
        kept = Kept(
            key=row.key,
            base=base_of(form),
            model=canonical(row.request.get("model")),
            request=form,
            response=row.response,
            max_tokens=row.max_tokens,
            ended=ended,
            problem=row.problem,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            created_at=row.created_at,
        )
        if row.digest not in (None, digest_of(values_of(kept))):
            raise BadRow(path, number, "the digest is not that of the answer", "Export it anew.")
        yield kept


def statistics(store: Store) -> Iterator[str]:
    """The store's contents in lines to read."""
    yield f"{store.path}: {store.path.stat().st_size / 1e6:,.1f} MB"
    models = by_model(store)
    if not models:
        yield "  no answers"
    for totals in models:
        yield ""
        yield str(totals["model"])
        yield f"  answers        {totals['answers']:,} ({totals['cut']:,} cut at length)"
        problems = ", ".join(f"{totals[name]:,} {name}" for name in PROBLEMS if totals[name])
        yield f"  problems       {problems or 'none'}"
        tokens = totals["prompt_tokens"], totals["completion_tokens"]
        yield "  tokens         {:,.0f} in, {:,.0f} out".format(*tokens)
        yield f"  text           {totals['size'] / 1e6:,.1f} MB"
        yield f"  kept           {totals['first']} to {totals['last']} UTC"
