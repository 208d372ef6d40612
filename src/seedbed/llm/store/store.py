"""The response store: every answer that was ever paid for, kept the moment it arrives.

One SQLite file that is no output of any stage: DVC deletes outputs before a stage runs, and a
temporary or queued experiment is a copy that goes away. It lies in the git-ignored folder
.seedbed of the repository that the experiments belong to, which DVC names in DVC_ROOT, or where
SEEDBED_STORE says. Several processes may use it at once.
"""

import errno
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock, Thread
from typing import Any, NamedTuple

from seedbed.errors import NoRepository
from seedbed.llm import errors
from seedbed.llm.contract.request import key_of
from seedbed.llm.contract.wire import MalformedBody, choices_of
from seedbed.llm.store.claims import MANY, Claims
from seedbed.llm.store.migrations import (
    COLUMNS,
    SCHEMA,
    TABLES,
    bare,
    digest_of,
    enter,
    upgrade,
    with_digest,
)

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


def values_of(kept: Kept) -> tuple[Any, ...]:
    """A kept answer as SQLite has it; one without a time is kept now."""
    counted = [
        None if n is None else float(n) for n in (kept.prompt_tokens, kept.completion_tokens)
    ]
    at = kept.created_at or time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    return (*kept[:6], int(kept.ended), kept.problem, *counted, at)


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
    return bool(choice.get("finish_reason") == "stop")


def read_only(path: Path, key: str) -> Kept | None:
    """What the store at `path` has under a key; nothing is written, not even an empty store.

    Raises:
        StoreFailed: it cannot be read, or the answer is not what was kept.
    """
    return next(_reading(path, [key]), None)


def requests_of(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Key, model and request of those answers that the store at `path` has; nothing is written.

    Raises:
        StoreFailed: it cannot be read, or an answer is not what was kept.
    """
    return ((kept.key, kept.model, kept.request) for kept in _reading(path, keys))


def _reading(path: Path, keys: Iterable[str]) -> Iterator[Kept]:
    if not path.exists():
        return
    with failures_named(path), closing(connected_to_read(path)) as db:
        yield from _select(path, db, "key IN ({})", keys)


# What to say of SQLite's failures; of the others, that they happened.
FAILURES: dict[int, type[errors.StoreFailed]] = {
    sqlite3.SQLITE_NOTADB: errors.NotAStore,
    sqlite3.SQLITE_CORRUPT: errors.StoreDamaged,
    sqlite3.SQLITE_FULL: errors.StoreFull,
    sqlite3.SQLITE_BUSY: errors.StoreBusy,
    sqlite3.SQLITE_READONLY: errors.StoreNotWritable,
    sqlite3.SQLITE_CANTOPEN: errors.StoreNotWritable,
    sqlite3.SQLITE_PERM: errors.StoreNotWritable,
}


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextmanager
def failures_named(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise FAILURES.get(_code(error), errors.StoreFailed)(path, str(error)) from None
    except UnicodeDecodeError:  # SQLite quotes the name of a table or a column
        raise errors.StoreDamaged(path, "a name in it is not UTF-8") from None


def _connected(address: str) -> sqlite3.Connection:
    # Several threads use it, in turns.
    db = sqlite3.connect(
        address, timeout=WAIT, isolation_level=None, check_same_thread=False, uri=True
    )
    # A text comes as its bytes: of these the digest is made, and they may be UTF-8 no more.
    db.text_factory = bytes
    return db


def connected_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing to a store, nor beside it where nothing can be written.

    Raises:
        StoreFailed: it cannot be read as it is.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    db = _connected(address)
    try:
        try:
            db.execute("SELECT 1 FROM sqlite_schema")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_CANTOPEN:
                raise
            # SQLite could not make the file that its locks are in, so nobody else writes either.
            wal = path.with_name(path.name + "-wal")
            if wal.exists() and wal.stat().st_size:
                raise errors.StoreNotWritable(
                    path, f"nor can {wal.name}, in which the last answers are, be read then"
                ) from None
            db.close()
            db = _connected(f"{address}&immutable=1")
            try:
                db.execute("SELECT 1 FROM sqlite_schema")
            except sqlite3.OperationalError as error:
                raise errors.StoreNotReadable(path, str(error)) from None
        version = version_of(path, db)
        if version != SCHEMA:
            raise errors.StoreOfEarlierVersion(path, version, SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def version_of(path: Path, db: sqlite3.Connection) -> int:
    """The store's version; 0 if there is nothing in the file yet.

    Raises:
        StoreFailed: it is no store, of a later version, or its tables are not those of its version.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    tables = dict(db.execute("SELECT name, sql FROM sqlite_schema"))
    if version > SCHEMA:
        raise errors.StoreOfLaterVersion(path, version, SCHEMA)
    if not tables and not version:
        return 0
    if b"responses" not in tables or not version:
        raise errors.NotAStore(path, "a database of something else")
    theirs = {bare(sql.decode(errors="replace")) for sql in tables.values() if sql}
    ours = set(map(bare, TABLES)) <= theirs
    if ours != (version == SCHEMA):
        raise errors.StoreDamaged(path, f"the tables are not those of version {version}")
    return version


def rows_of(
    path: Path, db: sqlite3.Connection, table: str, rest: str = "", values: Sequence[object] = ()
) -> Iterator[tuple[Any, ...]]:
    """Rows of a table (`rest`: which, and in what order), as they were entered.

    Raises:
        RowsDamaged: one of them is not what was entered.
    """
    columns = ", ".join(COLUMNS[table])
    for row in db.execute(f"SELECT {columns}, digest FROM {table} {rest}", values):  # noqa: S608
        entered = _as_entered(row)
        if entered is None:
            raise errors.RowsDamaged(path, [f"{_named(table, row)} is not what was kept"])
        yield entered


def _as_entered(row: Sequence[Any]) -> tuple[Any, ...] | None:
    """A row as it was entered, without its digest; None if it is another now."""
    *values, digest = row
    if digest_of(values).encode() != digest:
        return None
    try:
        return tuple([value.decode() if isinstance(value, bytes) else value for value in values])
    except UnicodeDecodeError:  # it was so when the digest was made
        return None


def _named(table: str, row: Sequence[Any]) -> str:
    columns = COLUMNS[table]
    name = str(row[columns.index("key") if "key" in columns else 0], "utf-8", "replace")
    return f"the answer {name[:12]}…" if table == "responses" else f"{name[:12]}… in {table}"


def _select(
    path: Path, db: sqlite3.Connection, where: str, values: Iterable[str]
) -> Iterator[Kept]:
    wanted = list(values)
    for i in range(0, len(wanted), MANY):
        part = wanted[i : i + MANY]
        marks = where.format(", ".join("?" * len(part)))
        yield from map(Kept._make, rows_of(path, db, "responses", f"WHERE {marks}", part))


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

        One that can be read but not written is opened too: see `demand_writing`.

        Raises:
            StoreFailed: no room, no permission, not a store, damaged, or of a later version.
        """
        self.path = path
        # Commits run in a thread beside the event loop's: one transaction at a time.
        self._turn = RLock()
        self._not_writable: errors.StoreNotWritable | None = None
        with failures_named(path):
            try:
                self._db = self._open_to_write()
            except errors.StoreNotWritable as error:
                if not path.is_file():
                    raise
                self._not_writable = error
                self._db = connected_to_read(path)
                self._glance()
        self._claims: Claims | None = None
        self._seen = self._data_version()
        # Answers that were not kept because another process had kept one first.
        self.outrun = 0

    def _open_to_write(self) -> sqlite3.Connection:
        _make_folder(self.path)
        with failures_named(self.path):
            self._db = _connected(self.path.absolute().as_uri())
            try:
                # Before anything is changed in a file that may be somebody else's.
                version_of(self.path, self._db)
                self._write_ahead()
                # An answer that was reported as kept survives a power cut too. Commits are
                # batched, so the waiting for the disk is shared.
                self._db.execute("PRAGMA synchronous=FULL")
                self._glance()
                self._bring_up_to_date()
            except BaseException:
                self._db.close()
                raise
        return self._db

    def _bring_up_to_date(self) -> None:
        # BEGIN IMMEDIATE guards against a second process that creates it just now.
        with self._transaction():
            version = version_of(self.path, self._db)
            # Finds out, before anything is paid for, whether the file can be written.
            self._db.execute(f"PRAGMA user_version={SCHEMA}")
            if version == SCHEMA:
                self._db.execute("ROLLBACK")
            elif version:
                upgrade(self._db, version)
            else:
                for table in TABLES:
                    self._db.execute(table)
        if 0 < version < SCHEMA:
            self._db.execute("VACUUM")  # all of it was there twice

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

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.demand_writing()
        with self._turn, failures_named(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                if self._db.in_transaction:
                    self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @property
    def writable(self) -> bool:
        return self._not_writable is None

    def demand_writing(self) -> None:
        """Raises StoreNotWritable: the store can only be read."""
        if self._not_writable:
            raise self._not_writable

    def _glance(self) -> None:
        """Read the file through for damage, as far as one gets in CHECK_SECONDS.

        Raises:
            StoreDamaged
        """
        end = time.monotonic() + CHECK_SECONDS
        self._db.set_progress_handler(lambda: time.monotonic() > end, 100_000)
        try:
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
        else:
            if found != b"ok":
                raise errors.StoreDamaged(self.path, found.decode(errors="replace"))
        finally:
            self._db.set_progress_handler(None, 0)

    def check(self) -> None:
        """Read all of it through: the file, each row's digest, each request's key, each body.

        Raises:
            StoreDamaged
        """
        with failures_named(self.path):
            found = [said for (said,) in self._db.execute("PRAGMA integrity_check(3)")]
            if found != [b"ok"]:
                said = "; ".join(one.decode(errors="replace") for one in found)
                raise errors.StoreDamaged(self.path, " ".join(said.split()))
            damaged = [said for _, _, said in self._damaged()]
        if damaged:
            raise errors.RowsDamaged(self.path, damaged)

    def _damaged(self) -> Iterator[tuple[str, int, str]]:
        """Table, row number and what is wrong, for each row that is not what was kept."""
        for table, columns in COLUMNS.items():
            found = self._db.execute(
                f"SELECT rowid, {', '.join(columns)}, digest FROM {table} ORDER BY rowid"  # noqa: S608
            )
            for number, *row in found:
                if why := _fault(table, row):
                    yield table, number, f"{_named(table, row)} {why}"

    def put(self, answers: Sequence[Kept], spent: Spent | None = None) -> Spent | None:
        """Keep answers, durably, before this returns; all or none. The first under a key stays.

        No claim on them is left.

        spent: what they cost, added to what its run has spent.

        Returns:
            what that run has spent by now, in all its processes.
        """
        total = None
        rows = [with_digest(values_of(one)) for one in answers]
        with self._transaction():
            entered = self._db.executemany(
                f"{enter('responses')} ON CONFLICT (key) DO NOTHING", rows
            ).rowcount
            self._give_up(one.key for one in answers)
            if spent:
                before = self.spent(spent.run)
                tokens, dollars = before.tokens + spent.tokens, before.dollars + spent.dollars
                total = Spent(spent.run, tokens, dollars)
                self._db.execute("DELETE FROM spending WHERE run = ?", (spent.run,))
                self._db.execute(
                    enter("spending"), with_digest((spent.run, tokens, float(dollars)))
                )
        self.outrun += len(answers) - max(entered, 0)
        return total

    def claim(self, keys: Sequence[str]) -> tuple[dict[str, Kept], set[str]]:
        """Claim requests before they are sent, unless they are answered or another's.

        Returns:
            the answers that there are, and the keys that another process has claimed.
        """
        with self._transaction():
            if self.claims_lapsed:
                self._leave()
            if self._claims is None:
                self._claims = Claims(self.path)
                Thread(target=self._keep_renewing, args=(self._claims,), daemon=True).start()
            kept = self.get(keys)
            return kept, self._claims.enter(self._db, [key for key in keys if key not in kept])

    @property
    def claims_lapsed(self) -> bool:
        """Whether others may have taken over what was claimed: this process was stopped."""
        return self._claims is not None and self._claims.lapsed

    def release(self, keys: Iterable[str]) -> None:
        """Give up the claims on requests that are not answered."""
        with self._transaction():
            self._give_up(keys)

    def _give_up(self, keys: Iterable[str]) -> None:
        self._db.executemany("DELETE FROM claims WHERE key = ?", ((key,) for key in keys))

    def _keep_renewing(self, claims: Claims) -> None:
        # Not the event loop's affair: it stands still while a stage is at its own work.
        while claims.wait():
            with suppress(errors.StoreFailed), self._turn:
                if not (claims.over or claims.lapsed):
                    with self._transaction():
                        claims.renew(self._db)

    def _leave(self) -> None:
        """Give up all claims; within a transaction."""
        claims, self._claims = self._claims, None
        if claims:
            claims.close()
            claims.leave(self._db)

    def spent(self, run: str) -> Spent:
        """What a run has spent so far."""
        row = next(self._rows("spending", "WHERE run = ?", (run,)), None)
        return Spent(*row) if row else Spent(run)

    def get(self, keys: Iterable[str]) -> dict[str, Kept]:
        """The answers under those keys that are here.

        Raises:
            RowsDamaged: one of them is not what was kept.
        """
        with self._turn:  # not what may be rolled back yet
            return {kept.key: kept for kept in self._select("key IN ({})", keys)}

    def ended(self, bases: Iterable[str]) -> dict[str, list[Kept]]:
        """The answers with those bases that ended by themselves, fewest max_tokens first.

        Raises:
            RowsDamaged: one of them is not what was kept.
        """
        found: dict[str, list[Kept]] = {}
        with self._turn:
            for kept in self._select("base IN ({}) AND ended ORDER BY max_tokens, key", bases):
                found.setdefault(kept.base, []).append(kept)
        return found

    def _select(self, where: str, values: Iterable[str]) -> Iterator[Kept]:
        with failures_named(self.path):
            yield from _select(self.path, self._db, where, values)

    def _rows(
        self, table: str, rest: str = "", values: Sequence[object] = ()
    ) -> Iterator[tuple[Any, ...]]:
        with failures_named(self.path):
            yield from rows_of(self.path, self._db, table, rest, values)

    def row(self, key: str) -> Kept | None:
        return self.get([key]).get(key)

    def _data_version(self) -> int:
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def others_wrote(self) -> bool:
        """Whether another process has written since this was last asked."""
        with failures_named(self.path):
            before, self._seen = self._seen, self._data_version()
        return before != self._seen

    def rows(self, model: str | None = None) -> Iterator[Kept]:
        """All answers (of one model, as its identity is written), by key."""
        where, values = ("", ()) if model is None else ("WHERE model = ?", (model,))
        yield from map(Kept._make, self._rows("responses", f"{where} ORDER BY key", values))

    def statistics(self) -> list[dict[str, Any]]:
        """For each model: answers, cut, problems, tokens, bytes, first and last day."""
        with failures_named(self.path):
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
                {
                    name: value.decode(errors="replace") if isinstance(value, bytes) else value or 0
                    for name, value in zip(names, row, strict=True)
                }
                for row in found
            ]

    def tokens_a_character(self, model: str) -> float | None:
        """Prompt tokens for each character sent, as that model counted them so far."""
        with failures_named(self.path):
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
        with failures_named(self.path):
            if not delete:
                count = f"SELECT count(*) {where}"
                return int(self._db.execute(count, values).fetchone()[0])
            with self._transaction():
                deleted = self._db.execute(f"DELETE {where}", values).rowcount
            self._db.execute("VACUUM")
        return deleted

    def prune_damaged(self, delete: bool) -> int:
        """Count the rows, of all tables, that are not what was kept; delete them if asked to."""
        with failures_named(self.path):
            found = [(table, number) for table, number, _ in self._damaged()]
        if delete:
            with self._transaction():
                for table, number in found:
                    self._db.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))  # noqa: S608
        return len(found)

    def batches(self, model: str) -> list[tuple[str, str | None]]:
        """The batches of a model that are under way: tag, the provider's id (None: unknown)."""
        rows = self._rows("batches", "WHERE model = ? ORDER BY rowid", (model,))
        return [(tag, id_) for tag, _, id_ in rows]

    def batch_requests(self, tag: str) -> dict[str, tuple[str, str, int]]:
        """What a batch asks: key → base, canonical form, max_tokens."""
        rows = self._rows("batch_requests", "WHERE tag = ?", (tag,))
        return {key: (base, form, most) for _, key, base, form, most in rows}

    def batch_begun(
        self, tag: str, model: str, requests: Iterable[tuple[str, str, str, int]]
    ) -> None:
        """Remember a batch before it is submitted. requests: key, base, form, max_tokens."""
        with self._transaction():
            self._db.execute(enter("batches"), with_digest((tag, model, None)))
            self._db.executemany(
                enter("batch_requests"), (with_digest((tag, *request)) for request in requests)
            )

    def batch_made(self, tag: str, id_: str) -> None:
        with self._transaction():
            for _, model, _ in list(self._rows("batches", "WHERE tag = ?", (tag,))):
                self._db.execute(
                    "UPDATE batches SET id = ?, digest = ? WHERE tag = ?",
                    (id_, digest_of((tag, model, id_)), tag),
                )

    def batch_over(self, tag: str) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM batches WHERE tag = ?", (tag,))
            self._db.execute("DELETE FROM batch_requests WHERE tag = ?", (tag,))

    def close(self) -> None:
        if self._claims:
            # Without room they cannot be taken out; but without their lock they are void.
            with suppress(errors.StoreFailed), self._transaction():
                self._leave()
        with self._turn, failures_named(self.path):
            self._db.close()


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno == errno.ENOSPC:
            raise errors.StoreFull(path, why) from None
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise errors.StoreNotWritable(path, why) from None
        raise errors.StoreWithoutFolder(path, why) from None
    if path.is_dir():
        raise errors.StoreNotReadable(path, "it is a folder")


def _fault(table: str, row: Sequence[Any]) -> str | None:
    """What is wrong with a row, if anything is."""
    entered = _as_entered(row)
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
