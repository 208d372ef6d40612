"""The response store: every answer that was ever paid for, kept the moment it arrives.

One SQLite file that is no output of any stage: DVC deletes outputs before a stage runs, and a
temporary or queued experiment is a copy that goes away. It lies in the git-ignored folder
.seedbed of the repository that the experiments belong to, which DVC names in DVC_ROOT, or where
SEEDBED_STORE says. Several processes may use it at once.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seedbed.errors import NoRepository, StoreFailed

SCHEMA = 1


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


class Store:
    """Key → raw response body."""

    def __init__(self, path: Path):
        """Open or create the store.

        Raises:
            StoreFailed: no room, no permission, not a store, or one of a later version.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFailed(path, error.strerror or str(error)) from None
        with self._failures_named():
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            # A killed process loses nothing with NORMAL in write-ahead mode; a power cut may
            # lose the last answers, never the file.
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise StoreFailed(path, f"of version {version}; this program knows {SCHEMA}")
            # BEGIN IMMEDIATE both guards against a second process that creates it just now and
            # finds out, before anything is paid for, whether the file can be written.
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS responses ("
                "key TEXT PRIMARY KEY, request TEXT NOT NULL, response TEXT NOT NULL, "
                "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"
            )
            self._db.execute(f"PRAGMA user_version={SCHEMA}")
            self._db.execute("COMMIT")

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreFailed(self.path, str(error)) from None

    def put(self, key: str, request: str, response: str) -> None:
        """Keep an answer, durably, before this returns. The first under a key stays."""
        with self._failures_named():
            self._db.execute(
                "INSERT INTO responses (key, request, response) VALUES (?, ?, ?) "
                "ON CONFLICT (key) DO NOTHING",
                (key, request, response),
            )

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """The bodies of those keys that are here."""
        found = {}
        with self._failures_named():
            for key in keys:
                row = self._db.execute(
                    "SELECT response FROM responses WHERE key = ?", (key,)
                ).fetchone()
                if row:
                    found[key] = row[0]
        return found

    def close(self) -> None:
        with self._failures_named():
            self._db.close()
