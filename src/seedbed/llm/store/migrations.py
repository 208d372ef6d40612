"""The response store's tables, and how a store of an earlier version is brought up to date.

Version 1 had key, request, response, created_at. Version 2 added what can be said of an answer
without parsing it, so that look-ups, statistics and reuse need no JSON, and the tables beside that
of the answers. Version 3 adds a digest to each row, so that one that has changed is noticed, and
the two tables of claims.

What `key` is the SHA-256 of, `request`, is checked against it; and each row, but for the claims,
against its digest (`digest_of`). The tables are strict, so that SQLite's own check finds a value
that has become one of another type.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

SCHEMA = 3

TABLES = (
    """CREATE TABLE responses (
        key TEXT NOT NULL,          -- SHA-256 of the request's canonical form
        base TEXT NOT NULL,         -- the same for max_tokens 0: see seedbed.llm.contract.request
        model TEXT NOT NULL,        -- the endpoint's identity, as JSON
        request TEXT NOT NULL,      -- the canonical form
        response TEXT NOT NULL,     -- the raw body, or the part of a shared one
        max_tokens INTEGER NOT NULL,-- what it was allowed in the end
        ended INTEGER NOT NULL,     -- 1: it stopped by itself
        problem TEXT,               -- refused, empty, malformed or over_context; null: none
        prompt_tokens REAL,         -- as the server counted; its share of a shared request's;
        completion_tokens REAL,     -- null: the server did not say
        created_at TEXT NOT NULL,   -- UTC
        digest TEXT NOT NULL        -- of the row
    ) STRICT""",
    # A table with a row number: answers are appended, and only the small index is random.
    "CREATE UNIQUE INDEX responses_key ON responses (key)",
    "CREATE INDEX responses_base ON responses (base) WHERE ended",
    """CREATE TABLE spending (
        run TEXT PRIMARY KEY, tokens INTEGER NOT NULL, dollars REAL NOT NULL,
        digest TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE batches (
        tag TEXT PRIMARY KEY,       -- ours, also in the batch's metadata
        model TEXT NOT NULL,        -- as in responses
        id TEXT,                    -- the provider's; null until it answered
        digest TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE batch_requests (
        tag TEXT NOT NULL,
        key TEXT NOT NULL, base TEXT NOT NULL, request TEXT NOT NULL, max_tokens INTEGER NOT NULL,
        digest TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX batch_requests_tag ON batch_requests (tag)",
    # See seedbed.llm.store.claims. What stands here is of use only while its process runs.
    """CREATE TABLE claimants (
        name TEXT PRIMARY KEY, expires REAL NOT NULL -- seconds since 1970, UTC
    ) STRICT""",
    """CREATE TABLE claims (
        key TEXT PRIMARY KEY,       -- as in responses
        claimant TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
)

# The columns of the tables whose rows have a digest, in the order that it is made in.
COLUMNS = {
    "responses": (
        *("key", "base", "model", "request", "response", "max_tokens", "ended", "problem"),
        *("prompt_tokens", "completion_tokens", "created_at"),
    ),
    "spending": ("run", "tokens", "dollars"),
    "batches": ("tag", "model", "id"),
    "batch_requests": ("tag", "key", "base", "request", "max_tokens"),
}
NUMBERS = {"max_tokens", "ended", "prompt_tokens", "completion_tokens", "tokens", "dollars"}


def bare(statement: str) -> str:
    """A statement that makes a table, without what is only for a reader.

    >>> bare("CREATE TABLE a (\\n    b TEXT -- why\\n)")
    'CREATE TABLE a ( b TEXT )'
    """
    return " ".join(re.sub("--.*", "", statement).split())


def digest_of(row: Sequence[Any]) -> str:
    """The digest of a row's other columns, as they come from SQLite; a text may be its UTF-8.

    It is the SHA-256 of a JSON list, in which a text is [its number of bytes], followed by the
    texts: they are long, and as JSON they would take three times as long.

    >>> import hashlib
    >>> digest_of(["run", 12, 0.5]) == hashlib.sha256(b"[[3], 12, 0.5]run").hexdigest()
    True
    """
    # The list is written by hand: `json.dumps` would take as long as all the rest.
    texts, shape = [], []
    for value in row:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            texts.append(value)
            shape.append(f"[{len(value)}]")
        else:
            shape.append("null" if value is None else repr(value))
    return hashlib.sha256(b"".join([f"[{', '.join(shape)}]".encode(), *texts])).hexdigest()


def enter(table: str) -> str:
    """The beginning of a statement that enters a row as `with_digest` gives it."""
    columns = (*COLUMNS[table], "digest")
    # A text may come as its UTF-8, whether it is right or not.
    values = ", ".join("?" if name in NUMBERS else "CAST(? AS TEXT)" for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608


def with_digest(row: Sequence[Any]) -> tuple[Any, ...]:
    return (*row, digest_of(row))


def upgrade(db: sqlite3.Connection, version: int) -> None:
    """Bring a store of an earlier version up to date, within a transaction of the caller's.

    The rows are read as they were and entered anew, so that an upgraded store is like a new one.
    A digest is that of what is there: what has changed before cannot be known by it.

    db: gives texts as their UTF-8.
    """
    earlier = ["responses"] if version == 1 else list(COLUMNS)
    for index in ("responses_key", "responses_base", "batch_requests_tag"):
        db.execute(f"DROP INDEX IF EXISTS {index}")
    for table in earlier:
        db.execute(f"ALTER TABLE {table} RENAME TO {table}_{version}")
    for statement in TABLES:
        db.execute(statement)
    for table in earlier:
        rows = _answers_of_1(db) if version == 1 else _rows_of_2(db, table)
        db.executemany(enter(table), map(with_digest, rows))
        db.execute(f"DROP TABLE {table}_{version}")


def _answers_of_1(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """What can be said of an answer is read out of it."""
    from seedbed.llm.contract import request
    from seedbed.llm.contract import wire as api

    for key, form, body, created_at in db.execute(
        "SELECT key, request, response, created_at FROM responses_1"
    ):
        form = form.decode()
        fields = json.loads(form)
        prompt_tokens = completion_tokens = problem = None
        ended = 0
        # One that is damaged is found when it is looked up.
        with suppress(api.MalformedBody):
            data, (choice,) = api.choices_of(body, 1)
            problem, usage = choice.problem, api.usage_of(data)
            ended = int(choice.finish_reason == "stop" and problem in (None, "empty"))
            if usage:
                prompt_tokens, completion_tokens = map(float, usage)
        yield (
            *(key, request.base_of(form), request.canonical(fields["model"]), form, body),
            *(fields["max_tokens"], ended, problem, prompt_tokens, completion_tokens, created_at),
        )


def _rows_of_2(db: sqlite3.Connection, table: str) -> Iterable[tuple[Any, ...]]:
    columns = ", ".join(COLUMNS[table])
    return db.execute(f"SELECT {columns} FROM {table}_2 ORDER BY rowid")  # noqa: S608
