"""Answers of one server, moved to another name for it: an address, or what llm.server says.

What answered is a part of every key. So each answer is written anew: its canonical form with the
other name, the two keys made of that, the digest; the body, the day and all else stay. Rows of data
that were written before name keys that are gone then: the next run of their stages, which needs no
server for that, writes the new ones.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from seedbed.llm.contract.request import base_of, canonical, key_of
from seedbed.llm.server_errors import BatchUnderWay, NoSuchServer, RunUnderWay
from seedbed.llm.store.claims import Claims
from seedbed.llm.store.migrations import digest_of
from seedbed.llm.store.rows import Kept, values_of
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import by_model

# Rows that are read at a time.
CHUNK = 500


@dataclass(frozen=True)
class Moved:
    """How many answers have the new name by now, and how many stay: it had such already."""

    to: str
    moved: int
    stayed: int

    @property
    def told(self) -> list[str]:
        """In lines to read."""
        lines = [f"{self.moved} answers moved to {self.to}"]
        if self.stayed:
            lines.append(f"{self.stayed} stay: {self.to} has an answer to the same already")
        return lines


def rename(store: Store, server: str, to: str, name: str | None = None) -> Moved:
    """Move the answers of a server to another name for it, all or none.

    Args:
        server: its address, as keys have it, or its name. to: likewise.
        name: of the model, if it is of one alone.

    Raises:
        NoSuchServer: the store has none of its answers.
        BatchUnderWay, RunUnderWay: what is on its way would come under the old name.
        StoreFailed
    """
    moved = stayed = 0
    with store.file.transaction(), closing(Claims(store.path)) as claims:
        if claims.others(store.file.db):
            raise RunUnderWay(store.path, server)
        models = [
            model
            for totals in by_model(store)
            if _is_of(model := str(totals["model"]), server, name)
        ]
        if not models:
            raise NoSuchServer(store.path, server, name, sorted(_servers(store)))
        for model in models:
            if batches := store.batches(model):
                raise BatchUnderWay(store.path, server, len(batches))
            for kept in _answers(store, model):
                changed = _move(store, kept, to)
                moved, stayed = moved + changed, stayed + (not changed)
    return Moved(to, moved, stayed)


def _is_of(model: str, server: str, name: str | None) -> bool:
    """Whether an identity is that of a server's model."""
    identity = _identity(model)
    return identity.get("server") == server and name in (None, identity.get("name"))


def _identity(model: str) -> dict[str, object]:
    try:
        identity = json.loads(model)
    except ValueError:  # a row that is damaged, which is not looked for here
        return {}
    return identity if isinstance(identity, dict) else {}


def _servers(store: Store) -> set[str]:
    """All those that the store has answers of."""
    found = (_identity(str(totals["model"])).get("server") for totals in by_model(store))
    return {server for server in found if isinstance(server, str)}


def _answers(store: Store, model: str) -> Iterator[Kept]:
    """Those of an identity, some at a time: what is read is written meanwhile."""
    found = store.file.db.execute("SELECT key FROM responses WHERE model = ?", (model,))
    keys = [key.decode() for (key,) in found.fetchall()]
    for i in range(0, len(keys), CHUNK):
        yield from store.get(keys[i : i + CHUNK]).values()


def _move(store: Store, kept: Kept, to: str) -> bool:
    """Whether it is under the new name now: if that has an answer, the first one stays."""
    fields = json.loads(kept.request)
    fields["model"] |= {"server": to}
    form = canonical(fields)
    row = kept._replace(
        key=key_of(form), base=base_of(form), model=canonical(fields["model"]), request=form
    )
    changed = store.file.db.execute(
        "UPDATE OR IGNORE responses SET key = ?, base = ?, model = ?, request = ?, digest = ? "
        "WHERE key = ?",
        (row.key, row.base, row.model, row.request, digest_of(values_of(row)), kept.key),
    )
    return changed.rowcount > 0
