"""The response store: every answer that was ever paid for, kept the moment it arrives.

One SQLite file that is no output of any stage: DVC deletes outputs before a stage runs, and a
temporary or queued experiment is a copy that goes away. It lies in the git-ignored folder
.seedbed of the repository that the experiments belong to, which DVC names in DVC_ROOT, or where
SEEDBED_STORE says. Several processes may use it at once.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from seedbed.errors import NoRepository, StoreDamaged, StoreFailed
from seedbed.llm.migrations import MIGRATIONS, SCHEMA, TABLES

# SQLite takes so many variables in one statement on every build.
MANY = 900
# Seconds to wait for another process that writes.
WAIT = 60
# Seconds that the check at opening may take. Measured: 0.35 s a gigabyte, the file in memory.
CHECK_SECONDS = 2.0


def default_path() -> Path:
    """SEEDBED_STORE, else .seedbed/responses.sqlite in the repository (the parent's, if queued).

    A relative SEEDBED_STORE counts from there too, so that a temporary copy does not take it away.
    """
    chosen = Path(os.environ.get("SEEDBED_STORE") or ".seedbed/responses.sqlite").expanduser()
    if chosen.is_absolute():
        return chosen
    root = os.environ.get("DVC_ROOT")
    if root is None:
        here = Path.cwd()
        found = [folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()]
        if not found:
            raise NoRepository(here)
        root = str(found[0])
    return Path(root) / chosen


class Kept(NamedTuple):
    """An answer as the store has it; see `seedbed.llm.migrations` for the columns."""

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


COLUMNS = ", ".join(Kept._fields)


def _check_numbers(path: Path, row: str, *numbers: object) -> None:
    """Raises StoreDamaged: SQLite keeps a text in a column of numbers, if it is given one."""
    if not all(isinstance(one, int | float | None) for one in numbers):
        raise StoreDamaged(path, f"row {row} has a text where a number belongs")


def _kept(path: Path, row: Sequence[Any]) -> Kept:
    kept = Kept._make(row)
    numbers = kept.max_tokens, kept.ended, kept.prompt_tokens, kept.completion_tokens
    _check_numbers(path, kept.key, *numbers)
    return kept


def read_only(path: Path, key: str) -> Kept | None:
    """What the store at `path` has under a key; nothing is written, not even an empty store.

    Raises:
        StoreFailed: it cannot be read.
    """
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute(
                f"SELECT {COLUMNS} FROM responses WHERE key = ?",  # noqa: S608 - our own names
                (key,),
            ).fetchone()
    except sqlite3.Error as error:
        raise StoreFailed(path, str(error)) from None
    return _kept(path, row) if row else None


def requests_of(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Key, model and request of those answers that the store at `path` has; nothing is written.

    Raises:
        StoreFailed: it cannot be read.
    """
    if not path.exists():
        return
    wanted = list(keys)
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            for i in range(0, len(wanted), MANY):
                part = wanted[i : i + MANY]
                marks = ", ".join("?" * len(part))
                yield from db.execute(
                    f"SELECT key, model, request FROM responses WHERE key IN ({marks})",  # noqa: S608
                    part,
                )
    except sqlite3.Error as error:
        raise StoreFailed(path, str(error)) from None


@dataclass
class Spent:
    """What one run has spent: tokens, and US dollars."""

    run: str
    tokens: int = 0
    dollars: float = 0.0


class Store:
    """Key → answer."""

    def __init__(self, path: Path):
        """Open or create the store; bring one of an earlier version up to date.

        Raises:
            StoreFailed: no room, no permission, not a store, damaged, or of a later version.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFailed(path, error.strerror or str(error)) from None
        with self._failures_named():
            # Commits run in a thread beside the event loop's: one transaction at a time.
            self._turn = RLock()
            self._db = sqlite3.connect(
                path, timeout=WAIT, isolation_level=None, check_same_thread=False
            )
            self._write_ahead()
            # An answer that was reported as kept survives a power cut too. Commits are batched,
            # so the waiting for the disk is shared.
            self._db.execute("PRAGMA synchronous=FULL")
            version = self._version()
            if version > SCHEMA:
                raise StoreFailed(path, f"of version {version}; this program knows {SCHEMA}")
            self.check(CHECK_SECONDS)
            # BEGIN IMMEDIATE both guards against a second process that creates it just now and
            # finds out, before anything is paid for, whether the file can be written.
            with self._transaction():
                version = self._version()
                if version == 0:
                    for table in TABLES:
                        self._db.execute(table)
                for step in MIGRATIONS[version - 1 :] if version else ():
                    step(self._db)
                self._db.execute(f"PRAGMA user_version={SCHEMA}")
        self._seen = self._data_version()
        # Answers that were not kept because another process had kept one first.
        self.outrun = 0

    def _write_ahead(self) -> None:
        """Set the journal's mode. If another process does so just now, SQLite does not wait."""
        end = time.monotonic() + WAIT
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreFailed(self.path, str(error)) from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def check(self, seconds: float | None = None) -> bool:
        """Read the file through for damage; gives whether `seconds` were enough for all of it.

        Raises:
            StoreDamaged
        """
        end = None if seconds is None else time.monotonic() + seconds
        if end is not None:
            self._db.set_progress_handler(lambda: time.monotonic() > end, 100_000)
        with self._failures_named():
            try:
                found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            except sqlite3.OperationalError as error:
                if "interrupted" not in str(error):
                    raise
                return False
            finally:
                self._db.set_progress_handler(None, 0)
        if found != "ok":
            raise StoreDamaged(self.path, str(found))
        return True

    def put(self, answers: Sequence[Kept], spent: Spent | None = None) -> Spent | None:
        """Keep answers, durably, before this returns; all or none. The first under a key stays.

        spent: what they cost, added to what its run has spent.

        Returns:
            what that run has spent by now, in all its processes.
        """
        total = None
        with self._failures_named(), self._transaction():
            entered = self._db.executemany(
                f"INSERT INTO responses ({COLUMNS}) "  # noqa: S608 - our own names
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce(?, CURRENT_TIMESTAMP)) "
                "ON CONFLICT (key) DO NOTHING",
                answers,
            ).rowcount
            if spent:
                row = self._db.execute(
                    "INSERT INTO spending (run, tokens, dollars) VALUES (?, ?, ?) "
                    "ON CONFLICT (run) DO UPDATE SET tokens = tokens + excluded.tokens, "
                    "dollars = dollars + excluded.dollars RETURNING run, tokens, dollars",
                    (spent.run, spent.tokens, spent.dollars),
                ).fetchall()[0]
                total = Spent(*row)
        self.outrun += len(answers) - max(entered, 0)
        return total

    def spent(self, run: str) -> Spent:
        """What a run has spent so far."""
        with self._failures_named():
            row = self._db.execute(
                "SELECT run, tokens, dollars FROM spending WHERE run = ?", (run,)
            ).fetchone()
        if row is None:
            return Spent(run)
        _check_numbers(self.path, run, *row[1:])
        return Spent(*row)

    def get(self, keys: Iterable[str]) -> dict[str, Kept]:
        """The answers under those keys that are here."""
        with self._turn:  # not what may be rolled back yet
            return {kept.key: kept for kept in self._select("key IN ({})", keys)}

    def ended(self, bases: Iterable[str]) -> dict[str, list[Kept]]:
        """The answers with those bases that ended by themselves, fewest max_tokens first."""
        found: dict[str, list[Kept]] = {}
        with self._turn:
            for kept in self._select("base IN ({}) AND ended ORDER BY max_tokens, key", bases):
                found.setdefault(kept.base, []).append(kept)
        return found

    def _select(self, where: str, values: Iterable[str]) -> Iterator[Kept]:
        wanted = list(values)
        with self._failures_named():
            for i in range(0, len(wanted), MANY):
                part = wanted[i : i + MANY]
                marks = where.format(", ".join("?" * len(part)))
                yield from map(
                    partial(_kept, self.path),
                    self._db.execute(f"SELECT {COLUMNS} FROM responses WHERE {marks}", part),  # noqa: S608
                )

    def row(self, key: str) -> Kept | None:
        return self.get([key]).get(key)

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def others_wrote(self) -> bool:
        """Whether another process has written since this was last asked."""
        with self._failures_named():
            before, self._seen = self._seen, self._data_version()
        return before != self._seen

    def rows(self, model: str | None = None) -> Iterator[Kept]:
        """All answers (of one model, as its identity is written), by key."""
        where = "" if model is None else " WHERE model = ?"
        with self._failures_named():
            yield from map(
                partial(_kept, self.path),
                self._db.execute(
                    f"SELECT {COLUMNS} FROM responses{where} ORDER BY key",  # noqa: S608
                    () if model is None else (model,),
                ),
            )

    def statistics(self) -> list[dict[str, Any]]:
        """For each model: answers, cut, problems, tokens, bytes, first and last day."""
        with self._failures_named():
            found = self._db.execute(
                "SELECT model, count(*) AS answers, sum(NOT ended AND problem IS NULL) AS cut, "
                "sum(problem = 'refused') AS refused, sum(problem = 'empty') AS empty, "
                "sum(problem = 'malformed') AS malformed, "
                "sum(problem = 'over_context') AS over_context, "
                "sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens, "
                "sum(length(request) + length(response)) AS size, "
                "min(created_at) AS first, max(created_at) AS last "
                "FROM responses GROUP BY model ORDER BY model"
            )
            names = [column[0] for column in found.description]
            return [
                {name: value or 0 for name, value in zip(names, row, strict=True)} for row in found
            ]

    def tokens_a_character(self, model: str) -> float | None:
        """Prompt tokens for each character sent, as that model counted them so far."""
        with self._failures_named():
            tokens, characters = self._db.execute(
                "SELECT sum(prompt_tokens), sum(length(json_extract(request, '$.prompt')) + "
                "ifnull(length(json_extract(request, '$.system')), 0)) FROM responses "
                # Whether a text that was scored is counted as prompt depends on the server.
                "WHERE model = ? AND prompt_tokens > 0 "
                "AND json_extract(request, '$.kind') != 'score'",
                (model,),
            ).fetchone()
        return tokens / characters if characters else None

    def prune(
        self, model: str | None, problem: str | None, before: str | None, delete: bool
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
        with self._failures_named():
            if not delete:
                count = f"SELECT count(*) {where}"
                return int(self._db.execute(count, values).fetchone()[0])
            with self._transaction():
                deleted = self._db.execute(f"DELETE {where}", values).rowcount
            self._db.execute("VACUUM")
        return deleted

    def batches(self, model: str) -> list[tuple[str, str | None]]:
        """The batches of a model that are under way: tag, the provider's id (None: unknown)."""
        with self._failures_named():
            return self._db.execute(
                "SELECT tag, id FROM batches WHERE model = ? ORDER BY rowid", (model,)
            ).fetchall()

    def batch_requests(self, tag: str) -> dict[str, tuple[str, str, int]]:
        """What a batch asks: key → base, canonical form, max_tokens."""
        with self._failures_named():
            rows = self._db.execute(
                "SELECT key, base, request, max_tokens FROM batch_requests WHERE tag = ?", (tag,)
            )
            found = {key: (base, form, most) for key, base, form, most in rows}
        for key, (_, _, most) in found.items():
            _check_numbers(self.path, key, most)
        return found

    def batch_begun(
        self, tag: str, model: str, requests: Iterable[tuple[str, str, str, int]]
    ) -> None:
        """Remember a batch before it is submitted. requests: key, base, form, max_tokens."""
        with self._failures_named(), self._transaction():
            self._db.execute("INSERT INTO batches (tag, model) VALUES (?, ?)", (tag, model))
            self._db.executemany(
                "INSERT INTO batch_requests VALUES (?, ?, ?, ?, ?)",
                ((tag, *request) for request in requests),
            )

    def batch_made(self, tag: str, id_: str) -> None:
        with self._failures_named(), self._transaction():
            self._db.execute("UPDATE batches SET id = ? WHERE tag = ?", (id_, tag))

    def batch_over(self, tag: str) -> None:
        with self._failures_named(), self._transaction():
            self._db.execute("DELETE FROM batches WHERE tag = ?", (tag,))
            self._db.execute("DELETE FROM batch_requests WHERE tag = ?", (tag,))

    def close(self) -> None:
        with self._failures_named():
            self._db.close()
