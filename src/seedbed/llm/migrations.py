"""The response store's tables, and the steps from each earlier version to the next.

Version 1 had key, request, response, created_at. Version 2 adds what can be said of an answer
without parsing it, so that look-ups, statistics and reuse need no JSON.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

SCHEMA = 2

TABLES = (
    """CREATE TABLE responses (
        key TEXT NOT NULL,          -- SHA-256 of the request's canonical form
        base TEXT NOT NULL,         -- the same for max_tokens 0: see seedbed.llm.request
        model TEXT NOT NULL,        -- the endpoint's identity, as JSON
        request TEXT NOT NULL,      -- the canonical form
        response TEXT NOT NULL,     -- the raw body, or the part of a shared one
        max_tokens INTEGER NOT NULL,-- what it was allowed in the end
        ended INTEGER NOT NULL,     -- 1: it stopped by itself
        problem TEXT,               -- refused, empty, malformed or over_context; null: none
        prompt_tokens REAL,         -- as the server counted; its share of a shared request's;
        completion_tokens REAL,     -- null: the server did not say
        created_at TEXT NOT NULL    -- UTC
    )""",
    # A table with a row number: answers are appended, and only the small index is random.
    "CREATE UNIQUE INDEX responses_key ON responses (key)",
    "CREATE INDEX responses_base ON responses (base) WHERE ended",
    """CREATE TABLE spending (
        run TEXT PRIMARY KEY, tokens INTEGER NOT NULL, dollars REAL NOT NULL
    )""",
    """CREATE TABLE batches (
        tag TEXT PRIMARY KEY,       -- ours, also in the batch's metadata
        model TEXT NOT NULL,        -- as in responses
        id TEXT                     -- the provider's; null until it answered
    )""",
    """CREATE TABLE batch_requests (
        tag TEXT NOT NULL,
        key TEXT NOT NULL, base TEXT NOT NULL, request TEXT NOT NULL, max_tokens INTEGER NOT NULL
    )""",
    "CREATE INDEX batch_requests_tag ON batch_requests (tag)",
)


def _say_what_can_be_said_of_an_answer(db: sqlite3.Connection) -> None:
    from seedbed.llm import api, request

    def upgraded() -> Iterator[tuple[Any, ...]]:
        for key, form, body, created_at in db.execute(
            "SELECT key, request, response, created_at FROM responses_1"
        ):
            fields = json.loads(form)
            try:
                data, (choice,) = api.choices_of(body, 1)
                problem, usage = api.problem_of(choice), api.usage_of(data) or (None, None)
                ended = choice.get("finish_reason") == "stop"
            except api.MalformedBody:  # damaged: found when it is looked up, as before
                problem, usage, ended = None, (None, None), False
            yield (
                *(key, request.base_of(form), request.canonical(fields["model"])),
                *(form, body, fields["max_tokens"]),
                *(ended, problem, *usage, created_at),
            )

    db.execute("ALTER TABLE responses RENAME TO responses_1")
    for table in TABLES:
        db.execute(table)
    db.executemany("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", upgraded())
    db.execute("DROP TABLE responses_1")


# Step i brings version i + 1 to version i + 2.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_say_what_can_be_said_of_an_answer,)
