"""The store's file: opened and looked through, brought up to date, read, written."""

import errno
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from seedbed.llm import errors
from seedbed.llm.store.claims import MANY
from seedbed.llm.store.migrations import COLUMNS, SCHEMA, TABLES, bare, upgrade
from seedbed.llm.store.rows import Kept, as_entered, named

# Seconds to wait for another process that writes.
WAIT = 60
# Seconds that the check at opening may take. Measured: 0.35 s a gigabyte, the file in memory.
CHECK_SECONDS = 2.0
# Pages of 4 KB that are written ahead before they go into the file. Keys are random, so that the
# same pages change again and again: with SQLite's own 1,000 a tenth more is written.
WRITTEN_AHEAD = 8000
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
    # In one statement: between two of them another process may have made the tables.
    rows = db.execute(
        "SELECT user_version, name, sql FROM pragma_user_version LEFT JOIN sqlite_schema"
    ).fetchall()
    version = int(rows[0][0])
    tables = {name: sql for _, name, sql in rows if name is not None}
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
        entered = as_entered(row)
        if entered is None:
            raise errors.RowsDamaged(path, [f"{named(table, row)} is not what was kept"])
        yield entered


def answers_in(
    path: Path, db: sqlite3.Connection, where: str, values: Iterable[str]
) -> Iterator[Kept]:
    wanted = list(values)
    for i in range(0, len(wanted), MANY):
        part = wanted[i : i + MANY]
        marks = where.format(", ".join("?" * len(part)))
        yield from map(Kept._make, rows_of(path, db, "responses", f"WHERE {marks}", part))


class Database:
    """A store's file, open.

    db: the connection.
    turn: held by who writes: one transaction at a time, and none is read from before its end.
    """

    def __init__(self, path: Path):
        """Raises as `Store`."""
        self.path = path
        # Commits run in a thread beside the event loop's.
        self.turn = RLock()
        self._not_writable: errors.StoreNotWritable | None = None
        with failures_named(path):
            try:
                self.db = self._open_to_write()
            except errors.StoreNotWritable as error:
                if not path.is_file():
                    raise
                self._not_writable = error
                self.db = connected_to_read(path)
                self._glance()

    def _open_to_write(self) -> sqlite3.Connection:
        _make_folder(self.path)
        with failures_named(self.path):
            self.db = _connected(self.path.absolute().as_uri())
            try:
                # Before anything is changed in a file that may be somebody else's.
                version_of(self.path, self.db)
                self._write_ahead()
                self._glance()
                self._bring_up_to_date()
            except BaseException:
                self.db.close()
                raise
        return self.db

    def _bring_up_to_date(self) -> None:
        # BEGIN IMMEDIATE guards against a second process that creates it just now.
        with self.transaction():
            version = version_of(self.path, self.db)
            # Finds out, before anything is paid for, whether the file can be written.
            self.db.execute(f"PRAGMA user_version={SCHEMA}")
            if version == SCHEMA:
                self.db.execute("ROLLBACK")
            elif version:
                upgrade(self.db, version)
            else:
                for table in TABLES:
                    self.db.execute(table)
        if 0 < version < SCHEMA:
            self.db.execute("VACUUM")  # all of it was there twice

    def _write_ahead(self) -> None:
        """Set the journal's mode. If another process does so just now, SQLite does not wait."""
        end = time.monotonic() + WAIT
        while True:
            try:
                self.db.execute("PRAGMA journal_mode=WAL")
                self.db.execute(f"PRAGMA wal_autocheckpoint={WRITTEN_AHEAD}")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All or none of what is written within it.

        durable: it survives a power cut too; else it need not, and the disk is not waited for.

        Raises:
            StoreFailed
        """
        self.demand_writing()
        with self.turn, failures_named(self.path):
            self.db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                if self.db.in_transaction:
                    self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
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
        self.db.set_progress_handler(lambda: time.monotonic() > end, 100_000)
        try:
            verdict = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
        else:
            if verdict != b"ok":
                raise errors.StoreDamaged(self.path, verdict.decode(errors="replace"))
        finally:
            self.db.set_progress_handler(None, 0)

    def rows(
        self, table: str, rest: str = "", values: Sequence[object] = ()
    ) -> Iterator[tuple[Any, ...]]:
        with failures_named(self.path):
            yield from rows_of(self.path, self.db, table, rest, values)

    def answers(self, where: str, values: Iterable[str]) -> Iterator[Kept]:
        with failures_named(self.path):
            yield from answers_in(self.path, self.db, where, values)

    def data_version(self) -> int:
        return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        with self.turn, failures_named(self.path):
            self.db.close()


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
