"""The response store beside a dict: whatever is done to it, by whom, and however that ends."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.params import sampling
from support.project import ROOT
from support.server import completion

from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.store.migrations import enter, with_digest
from seedbed.llm.store.rows import Kept, Spent, values_of
from seedbed.llm.store.store import Store
from seedbed.llm.store.transfer import export, read_in
from seedbed.llm.store.upkeep import check, prune

CANONS = [Canon({"server": "http://host/v1", "name": name}) for name in ("ours", "theirs")]
SAMPLING = sampling(max_tokens=8, temperature=0.5, stop=[])


def kept(canon: Canon, prompt: str, max_tokens: int, text: str, end: str, day: int) -> Kept:
    """A row as the sender makes it: `end` is a finish_reason, or a problem."""
    sampling = SAMPLING.model_copy(update={"max_tokens": max_tokens})
    keyed = canon.of(Request(prompt, sampling))
    problem = end if end not in ("stop", "length") else None
    body = "" if problem else json.dumps(completion(text, end), ensure_ascii=False)
    return Kept(
        *(keyed.key, keyed.base, canon.model, keyed.form, body, max_tokens),
        *(end == "stop", problem, None if problem else 7.0, 0.5, f"2026-01-0{day} 12:00:00"),
    )


# So few requests that they meet again and again.
answers = st.builds(
    kept,
    st.sampled_from(CANONS),
    st.sampled_from(["a", "bé\u2028", "\x00"]),
    st.sampled_from([8, 16]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(str.strip),
    st.sampled_from(["stop", "stop", "length", "refused"]),
    st.integers(1, 3),
)
some = st.lists(answers, max_size=4)
writers = st.sampled_from(["one", "other"])
ALL = [
    kept(canon, prompt, most, "x", "stop", 1)
    for canon in CANONS
    for prompt in ("a", "bé\u2028", "\x00")
    for most in (8, 16)
]
KEYS = [row.key for row in ALL]

KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from seedbed.llm.store.store import Store

path, rows, at = pickle.load(sys.stdin.buffer)
store = Store(Path(path))
def end(statement):
    if statement == at:
        os.kill(os.getpid(), signal.SIGKILL)
if at:
    store.file.db.set_trace_callback(end)
store.put(rows)
os.kill(os.getpid(), signal.SIGKILL)
"""


class StoreBesideADict(RuleBasedStateMachine):
    """Two processes' connections to one store; a third dies in the middle of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "responses.sqlite"
        self.stores = {name: Store(self.path) for name in ("one", "other")}
        self.kept: dict[str, Kept] = {}
        self.spent = 0
        self.claims: dict[str, str] = {}
        self.files = 0
        self.killed = False

    def teardown(self) -> None:
        for store in self.stores.values():
            store.close()
        with closing(Store(self.path)) as store:
            check(store)
            assert list(store.rows()) == sorted(self.kept.values())
        assert [path.name for path in self.folder.glob("*.claims")] == []
        shutil.rmtree(self.folder)

    def enter(self, rows: Iterable[Kept]) -> None:
        for row in rows:
            self.kept.setdefault(row.key, row)
            self.claims.pop(row.key, None)

    @rule(writer=writers, rows=some, tokens=st.integers(0, 9))
    def put(self, writer: str, rows: list[Kept], tokens: int) -> None:
        self.enter(rows)
        self.spent += tokens
        total = self.stores[writer].put(rows, Spent("run", tokens, tokens / 4))
        assert total == Spent("run", self.spent, self.spent / 4)

    @rule(writer=writers)
    def get(self, writer: str) -> None:
        assert self.stores[writer].get(KEYS) == self.kept

    @rule(writer=writers)
    def ended(self, writer: str) -> None:
        expected: dict[str, list[Kept]] = {}
        for row in sorted(self.kept.values(), key=lambda row: (row.max_tokens, row.key)):
            if row.ended:
                expected.setdefault(row.base, []).append(row)
        assert self.stores[writer].ended({row.base for row in ALL}) == expected

    @rule(writer=writers, keys=st.lists(st.sampled_from(KEYS), unique=True))
    def claim(self, writer: str, keys: list[str]) -> None:
        found, theirs = self.stores[writer].claim(keys)
        assert found == {key: self.kept[key] for key in keys if key in self.kept}
        others = {key for key, owner in self.claims.items() if owner != writer}
        assert theirs == {key for key in keys if key in others} - self.kept.keys()
        self.claims |= dict.fromkeys(set(keys) - self.kept.keys() - theirs, writer)

    @rule(writer=writers)
    def reopen(self, writer: str) -> None:
        self.stores[writer].close()
        self.open(writer)

    def open(self, writer: str) -> None:
        self.stores[writer] = Store(self.path)
        self.claims = {key: owner for key, owner in self.claims.items() if owner != writer}

    @rule(writer=writers, rows=some)
    def drop(self, writer: str, rows: list[Kept]) -> None:
        """The connection ends in the middle of a put."""
        store = self.stores[writer]
        store.file.db.execute("BEGIN IMMEDIATE")
        for row in {row.key: row for row in rows}.values():
            if row.key not in self.kept:
                store.file.db.execute(enter("responses"), with_digest(values_of(row)))
        store.file.db.execute("DELETE FROM spending")
        store.file.db.close()
        if store._claims:
            store._claims.close()
        self.open(writer)

    @precondition(lambda self: not self.killed)
    @rule(rows=some, at=st.sampled_from(["BEGIN IMMEDIATE", "COMMIT", None]))
    def kill(self, rows: list[Kept], at: str | None) -> None:
        """A process dies at the beginning of a put, before its end, or after."""
        self.killed = True
        done = subprocess.run(
            [sys.executable, "-c", KILLED],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            input=pickle.dumps((str(self.path), rows, at)),
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        if at is None:
            self.enter(rows)

    @rule(
        writer=writers,
        model=st.sampled_from([None, "ours", "theirs"]),
        problem=st.sampled_from([None, "refused"]),
        before=st.sampled_from([None, "2026-01-02"]),
        delete=st.booleans(),
    )
    def prune(
        self, writer: str, model: str | None, problem: str | None, before: str | None, delete: bool
    ) -> None:
        if not (model or problem or before):
            return
        gone = {
            key
            for key, row in self.kept.items()
            if (not model or model in row.model)
            and (not problem or row.problem == problem)
            and (not before or str(row.created_at) < before)
        }
        assert prune(self.stores[writer], model, problem, before, delete) == len(gone)
        if delete:
            self.kept = {key: row for key, row in self.kept.items() if key not in gone}

    @rule(writer=writers)
    def export(self, writer: str) -> None:
        self.files += 1
        lines = "".join(export(self.stores[writer]))
        (self.folder / f"{self.files}.jsonl").write_text(lines, encoding="utf-8", newline="\n")

    @precondition(lambda self: self.files)
    @rule(writer=writers, file=st.integers(1))
    def read_in(self, writer: str, file: int) -> None:
        path = self.folder / f"{1 + file % self.files}.jsonl"
        if not path.stat().st_size:
            return
        with closing(Store(self.folder / "other.sqlite")) as other:
            lines, new = read_in(other, path)
            rows = list(other.rows())
            assert lines == new == len(rows)
        (self.folder / "other.sqlite").unlink()
        missing = [row for row in rows if row.key not in self.kept]
        assert read_in(self.stores[writer], path) == (len(rows), len(missing))
        self.enter(rows)

    @invariant()
    def both_see_the_same(self) -> None:
        one, other = (list(store.rows()) for store in self.stores.values())
        assert one == other == sorted(self.kept.values())


@pytest.mark.filterwarnings("error")
@pytest.mark.slow
class TestStoreBesideADict(StoreBesideADict.TestCase):  # type: ignore[misc]
    settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
