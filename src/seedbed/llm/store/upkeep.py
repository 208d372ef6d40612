"""Looking after a store: what is in it, what of it is damaged, and what is to go."""

import json
from collections.abc import Iterator
from typing import Any

from seedbed.llm import errors
from seedbed.llm.store.database import failures_named
from seedbed.llm.store.migrations import COLUMNS
from seedbed.llm.store.rows import fault, named
from seedbed.llm.store.store import Store

# Of more answers so many are looked at for how many tokens a text has.
COUNTED = 4000


def check(store: Store) -> None:
    """Read all of it through: the file, each row's digest, each request's key, each body.

    Raises:
        StoreDamaged
    """
    with failures_named(store.path):
        faults = [fault for (fault,) in store.file.db.execute("PRAGMA integrity_check(3)")]
        if faults != [b"ok"]:
            text = "; ".join(fault.decode(errors="replace") for fault in faults)
            raise errors.StoreDamaged(store.path, " ".join(text.split()))
        damaged = [what for _, _, what in _damaged(store)]
    if damaged:
        raise errors.RowsDamaged(store.path, damaged)


def _damaged(store: Store) -> Iterator[tuple[str, int, str]]:
    """Table, row number and what is wrong, for each row that is not what was kept."""
    for table, columns in COLUMNS.items():
        rows = store.file.db.execute(
            f"SELECT rowid, {', '.join(columns)}, digest FROM {table} ORDER BY rowid"  # noqa: S608
        )
        for number, *row in rows:
            if why := fault(table, row):
                yield table, number, f"{named(table, row)} {why}"


def prune(
    store: Store, model: str | None, problem: str | None, before: str | None, delete: bool
) -> int:
    """Count the answers that all of the given conditions hold for; delete them if asked to.

    model: a part of its identity; before: a day, YYYY-MM-DD.
    """
    conditions = {
        "instr(model, ?)": model,
        "problem = ?": problem,
        "created_at < ?": before,
    }
    given = {test: value for test, value in conditions.items() if value is not None}
    where = "FROM responses WHERE " + " AND ".join(given)
    values = tuple(given.values())
    with failures_named(store.path):
        if not delete:
            count = f"SELECT count(*) {where}"
            return int(store.file.db.execute(count, values).fetchone()[0])
        with store.file.transaction():
            deleted = store.file.db.execute(f"DELETE {where}", values).rowcount
        store.file.db.execute("VACUUM")
    return deleted


def prune_damaged(store: Store, delete: bool) -> int:
    """Count the rows, of all tables, that are not what was kept; delete them if asked to."""
    with failures_named(store.path):
        damaged = [(table, number) for table, number, _ in _damaged(store)]
    if delete:
        with store.file.transaction():
            for table, number in damaged:
                store.file.db.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))  # noqa: S608
    return len(damaged)


def by_model(store: Store) -> list[dict[str, Any]]:
    """For each model: answers, cut, problems, tokens, bytes, first and last day."""
    with failures_named(store.path):
        models = store.file.db.execute(
            "SELECT model, count(*) AS answers, sum(NOT ended AND problem IS NULL) AS cut, "
            "sum(problem = 'refused') AS refused, sum(problem = 'empty') AS empty, "
            "sum(problem = 'malformed') AS malformed, "
            "sum(problem = 'over_context') AS over_context, "
            "sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens, "
            "sum(length(request) + length(response)) AS size, "
            "min(created_at) AS first, max(created_at) AS last "
            "FROM responses GROUP BY model ORDER BY model"
        )
        names = [column[0] for column in models.description]
        return [
            {
                name: value.decode(errors="replace") if isinstance(value, bytes) else value or 0
                for name, value in zip(names, row, strict=True)
            }
            for row in models
        ]


def tokens_a_character(store: Store, model: str) -> float | None:
    """Prompt tokens for each character sent, as that model counted them so far.

    Of a store of many answers some are looked at, evenly spread.
    """
    with failures_named(store.path):
        last = store.file.db.execute("SELECT max(rowid) FROM responses").fetchone()[0] or 0
        some = range(1, last + 1, last // COUNTED + 1)
        tokens, characters = store.file.db.execute(
            "SELECT sum(prompt_tokens), sum(length(json_extract(request, '$.prompt')) + "
            "ifnull(length(json_extract(request, '$.system')), 0)) FROM responses "
            # Whether a text that was scored is counted as prompt depends on the server.
            "WHERE rowid IN (SELECT value FROM json_each(?)) AND model = ? AND prompt_tokens > 0 "
            "AND json_extract(request, '$.kind') != 'score'",
            (json.dumps([*some]), model),
        ).fetchone()
    return tokens / characters if characters else None
