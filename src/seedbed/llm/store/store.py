"""The response store: every answer that was ever paid for, kept the moment it arrives.

One SQLite file that is no output of any stage: DVC deletes outputs before a stage runs, and a
temporary or queued experiment is a copy that goes away. It lies in the git-ignored folder
.seedbed of the repository that the experiments belong to, which DVC names in DVC_ROOT, or where
SEEDBED_STORE says (`seedbed.llm.store.place`). Several processes may use it at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

from seedbed.llm import errors
from seedbed.llm.store.claims import Claims
from seedbed.llm.store.database import Database, failures_named
from seedbed.llm.store.migrations import digest_of, enter, with_digest
from seedbed.llm.store.rows import Kept, Spent, now, values_of


class Store:
    """Key → answer."""

    def __init__(self, path: Path):
        """Open or create the store; bring one of an earlier version up to date.

        One that can be read but not written is opened too: see `demand_writing`.

        Raises:
            StoreFailed: no room, no permission, not a store, damaged, or of a later version.
        """
        self.path = path
        self.file = Database(path)
        self._claims: Claims | None = None
        self._seen = self.file.data_version()
        # Answers that were not kept because another process had kept one first.
        self.outrun = 0

    @property
    def writable(self) -> bool:
        return self.file.writable

    def demand_writing(self) -> None:
        """Raises StoreNotWritable: the store can only be read."""
        self.file.demand_writing()

    def put(self, answers: Sequence[Kept], spent: Spent | None = None) -> Spent | None:
        """Keep answers, durably, before this returns; all or none. The first under a key stays.

        No claim on them is left.

        spent: what they cost, added to what its run has spent.

        Returns:
            what that run has spent by now, in all its processes.
        """
        total = None
        at = now()
        rows = [with_digest(values_of(answer, at)) for answer in answers]
        with self.file.transaction():
            entered = self.file.db.executemany(
                f"{enter('responses')} ON CONFLICT (key) DO NOTHING", rows
            ).rowcount
            self._give_up(answer.key for answer in answers)
            if spent:
                before = self.spent(spent.run)
                tokens, dollars = before.tokens + spent.tokens, before.dollars + spent.dollars
                total = Spent(spent.run, tokens, dollars)
                self.file.db.execute("DELETE FROM spending WHERE run = ?", (spent.run,))
                self.file.db.execute(
                    enter("spending"), with_digest((spent.run, tokens, float(dollars)))
                )
        self.outrun += len(answers) - max(entered, 0)
        return total

    def claim(self, keys: Sequence[str]) -> tuple[dict[str, Kept], set[str]]:
        """Claim requests before they are sent, unless they are answered or another's.

        Returns:
            the answers that there are, and the keys that another process has claimed.
        """
        with self.file.transaction(durable=False):
            if self.claims_lapsed:
                self._leave()
            if self._claims is None:
                self._claims = Claims(self.path)
                Thread(target=self._keep_renewing, args=(self._claims,), daemon=True).start()
            kept = self.get(keys)
            return kept, self._claims.enter(self.file.db, [key for key in keys if key not in kept])

    @property
    def claims_lapsed(self) -> bool:
        """Whether others may have taken over what was claimed: this process was stopped."""
        return self._claims is not None and self._claims.lapsed

    def release(self, keys: Iterable[str]) -> None:
        """Give up the claims on requests that are not answered."""
        with self.file.transaction(durable=False):
            self._give_up(keys)

    def _give_up(self, keys: Iterable[str]) -> None:
        self.file.db.executemany("DELETE FROM claims WHERE key = ?", ((key,) for key in keys))

    def _keep_renewing(self, claims: Claims) -> None:
        # Not the event loop's affair: it stands still while a stage is at its own work.
        while claims.wait():
            with suppress(errors.StoreFailed), self.file.turn:
                if not (claims.over or claims.lapsed):
                    with self.file.transaction(durable=False):
                        claims.renew(self.file.db)

    def _leave(self) -> None:
        """Give up all claims; within a transaction."""
        claims, self._claims = self._claims, None
        if claims:
            claims.close()
            claims.leave(self.file.db)

    def spent(self, run: str) -> Spent:
        """What a run has spent so far."""
        row = next(self.file.rows("spending", "WHERE run = ?", (run,)), None)
        return Spent(*row) if row else Spent(run)

    def get(self, keys: Iterable[str]) -> dict[str, Kept]:
        """The answers under those keys that are here.

        Raises:
            RowsDamaged: one of them is not what was kept.
        """
        with self.file.turn:  # not what may be rolled back yet
            return {kept.key: kept for kept in self.file.answers("key IN ({})", keys)}

    def ended(self, bases: Iterable[str]) -> dict[str, list[Kept]]:
        """The answers with those bases that ended by themselves, fewest max_tokens first.

        Raises:
            RowsDamaged: one of them is not what was kept.
        """
        ended: dict[str, list[Kept]] = {}
        with self.file.turn:
            for kept in self.file.answers("base IN ({}) AND ended ORDER BY max_tokens, key", bases):
                ended.setdefault(kept.base, []).append(kept)
        return ended

    def count(self, beginning: str) -> int:
        """How many answers there are to requests whose canonical form begins so."""
        where = "substr(request, 1, ?) = ?"
        with failures_named(self.path), self.file.turn:
            found = self.file.db.execute(
                f"SELECT COUNT(*) FROM responses WHERE {where}",  # noqa: S608 (no value of anyone's)
                (len(beginning), beginning),
            )
            return int(found.fetchone()[0])

    def row(self, key: str) -> Kept | None:
        return self.get([key]).get(key)

    def others_wrote(self) -> bool:
        """Whether another process has written since this was last asked."""
        with failures_named(self.path):
            before, self._seen = self._seen, self.file.data_version()
        return before != self._seen

    def rows(self, model: str | None = None) -> Iterator[Kept]:
        """All answers (of one model, as its identity is written), by key."""
        where, values = ("", ()) if model is None else ("WHERE model = ?", (model,))
        yield from map(Kept._make, self.file.rows("responses", f"{where} ORDER BY key", values))

    def batches(self, model: str) -> list[tuple[str, str | None]]:
        """The batches of a model that are under way: tag, the provider's id (None: unknown)."""
        rows = self.file.rows("batches", "WHERE model = ? ORDER BY rowid", (model,))
        return [(tag, id_) for tag, _, id_ in rows]

    def batch_requests(self, tag: str) -> dict[str, tuple[str, str, int]]:
        """What a batch asks: key → base, canonical form, max_tokens."""
        rows = self.file.rows("batch_requests", "WHERE tag = ?", (tag,))
        return {key: (base, form, most) for _, key, base, form, most in rows}

    def batch_begun(
        self, tag: str, model: str, requests: Iterable[tuple[str, str, str, int]]
    ) -> None:
        """Remember a batch before it is submitted. requests: key, base, form, max_tokens."""
        with self.file.transaction():
            self.file.db.execute(enter("batches"), with_digest((tag, model, None)))
            self.file.db.executemany(
                enter("batch_requests"), (with_digest((tag, *request)) for request in requests)
            )

    def batch_made(self, tag: str, id_: str) -> None:
        with self.file.transaction():
            for _, model, _ in list(self.file.rows("batches", "WHERE tag = ?", (tag,))):
                self.file.db.execute(
                    "UPDATE batches SET id = ?, digest = ? WHERE tag = ?",
                    (id_, digest_of((tag, model, id_)), tag),
                )

    def batch_over(self, tag: str) -> None:
        with self.file.transaction():
            self.file.db.execute("DELETE FROM batches WHERE tag = ?", (tag,))
            self.file.db.execute("DELETE FROM batch_requests WHERE tag = ?", (tag,))

    def close(self) -> None:
        if self._claims:
            # Without room they cannot be taken out; but without their lock they are void.
            with suppress(errors.StoreFailed), self.file.transaction():
                self._leave()
        self.file.close()
