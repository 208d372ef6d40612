"""Who asks what just now, so that processes at the same work do not ask it twice.

Before a process sends requests it claims them, a window of them in one transaction; a claim goes
with the answer. What another process has claimed is waited for.

A claim is worth something while its process lives, which the others see by a lock on a file of its
own beside the store: the system takes it from a process that dies, however it dies, so a run that
was killed is gone on with at once. A process that was stopped (Ctrl-Z) keeps its lock, and not
every file system has locks: so a claim is a lease too, which runs out unless it is renewed.
"""

import math
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event

from seedbed.llm.store.lock import hold, is_free

# Seconds that a claim is good for. It is renewed four times as often.
LEASE = 60.0
# SQLite takes so many variables in one statement on every build.
MANY = 900


class Claims:
    """The claims of this process. What takes `db` is done within a transaction of the caller's."""

    def __init__(self, store: Path):
        """Raises WriteFailed."""
        self._over = Event()
        self._store = store
        self._name = secrets.token_hex(8)
        self._lock = hold(self._file_of(self._name))
        self._good_until = 0.0

    def _file_of(self, name: str) -> Path:
        return self._store.with_suffix(f".{name}.claims")

    @property
    def lapsed(self) -> bool:
        """Whether they were not renewed in time: others may have taken them over."""
        return time.time() > self._good_until

    def wait(self) -> bool:
        """Until they are to be renewed; False: they need no renewing any more."""
        return not self._over.wait(LEASE / 4)

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def renew(self, db: sqlite3.Connection) -> None:
        self._good_until = time.time() + LEASE
        db.execute(
            "INSERT INTO claimants (name, expires) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET expires = excluded.expires",
            (self._name, self._good_until),
        )

    def enter(self, db: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
        """Claim the keys that nobody else has claimed; gives the others."""
        if not self._good_until:
            self.renew(db)
        theirs: set[str] = set()
        if self.others(db):
            for i in range(0, len(keys), MANY):
                part = keys[i : i + MANY]
                marks = ", ".join("?" * len(part))
                claimed = db.execute(
                    "SELECT key FROM claims JOIN claimants ON claimant = name "  # noqa: S608
                    f"WHERE name != ? AND key IN ({marks})",
                    (self._name, *part),
                )
                theirs |= {key.decode() for (key,) in claimed}
        db.executemany(
            "INSERT INTO claims (key, claimant) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET claimant = excluded.claimant",
            # In the order of the table, neighbours are entered together.
            ((key, self._name) for key in sorted(set(keys) - theirs)),
        )
        return theirs

    def others(self, db: sqlite3.Connection) -> bool:
        """Whether others that claim are alive; what those that are dead had claimed is dropped."""
        others = dict(
            db.execute("SELECT name, expires FROM claimants WHERE name != ?", (self._name,))
        )
        # One that died before its first claim was entered has left no more than its file.
        ours = re.compile(rf"{re.escape(self._store.stem)}\.([0-9a-f]{{16}})\.claims")
        for file in self._store.parent.glob("*.claims"):
            if (match := ours.fullmatch(file.name)) and match[1] != self._name:
                others.setdefault(match[1].encode(), math.inf)
        alive = False
        for name, expires in others.items():
            file = self._file_of(name.decode())
            if expires < time.time() or is_free(file):
                self._drop(db, name.decode())
                with suppress(OSError):
                    file.unlink(missing_ok=True)
            else:
                alive = True
        return alive

    def _drop(self, db: sqlite3.Connection, name: str) -> None:
        db.execute("DELETE FROM claims WHERE claimant = ?", (name,))
        db.execute("DELETE FROM claimants WHERE name = ?", (name,))

    def leave(self, db: sqlite3.Connection) -> None:
        """Give up all of them."""
        self._drop(db, self._name)

    def close(self) -> None:
        """Give up the lock: without it the claims are void."""
        self._over.set()
        with suppress(OSError):
            self._file_of(self._name).unlink(missing_ok=True)
        os.close(self._lock)
