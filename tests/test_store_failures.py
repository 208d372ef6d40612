"""A store that cannot be opened, or only read: what is said, and what can still be had."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.growing import Growing
from support.project import PYTHONPATH, Project, environment
from support.stores import kept, of_version_1, write_version_2

from seedbed.errors import WriteFailed
from seedbed.llm import errors
from seedbed.llm.store import database
from seedbed.llm.store.store import Store

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


# --- opening


def notes(path: Path) -> None:
    path.write_text("not a database, but somebody's notes\n" * 100)


def database_of_others(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE bookmarks (address TEXT)")


def database_of_others_with_a_version(path: Path) -> None:
    database_of_others(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=2")


def later(path: Path) -> None:
    Store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")


def no_utf_8(path: Path) -> None:
    Store(path).close()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"tableresponses", b"table\xff\xfesponses"))


def folder(path: Path) -> None:
    path.mkdir()


def file_for_a_folder(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file")


@pytest.mark.parametrize(
    ("make", "error", "says", "remedy"),
    [
        (notes, errors.NotAStore, "not a database", "something else"),
        (database_of_others, errors.NotAStore, "a database of something else", "something else"),
        (database_of_others_with_a_version, errors.NotAStore, "of something else", "as it is"),
        (later, errors.StoreOfLaterVersion, "of version 99", "Bring Seedbed up to date"),
        (no_utf_8, errors.StoreDamaged, "not UTF-8", ".recover"),
        (folder, errors.StoreNotReadable, "it is a folder", "Make it a file"),
        (file_for_a_folder, errors.StoreWithoutFolder, "folder cannot be made", "in a folder"),
    ],
)
def test_each_reason_why_a_store_cannot_be_opened_has_its_own_remedy(
    tmp_path: Path,
    make: Callable[[Path], None],
    error: type[errors.StoreFailed],
    says: str,
    remedy: str,
) -> None:
    path = tmp_path / "folder" / "responses.sqlite"
    path.parent.mkdir()
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(error) as failure:
        Store(path)
    problem, _, advice = str(failure.value).partition("\n  ")
    assert problem.startswith(f"response store {path}: ")
    assert says in problem
    assert remedy in advice
    assert "Make room" not in advice
    assert before is None or path.read_bytes() == before, "it was changed"


def test_a_store_that_another_process_writes_for_too_long_is_said_to_be_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "responses.sqlite"
    Store(path).close()
    monkeypatch.setattr(database, "WAIT", 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.StoreBusy, match="Another process has been writing"):
            Store(path)


def test_a_name_that_is_no_file_and_rights_that_are_lacking_are_not_mended_by_room(
    tmp_path: Path,
) -> None:
    for number, remedy in ((13, "make the file and its folder writable"), (20, "through folders")):
        said = str(WriteFailed(tmp_path, OSError(number, os.strerror(number))))
        assert remedy in said
        assert "make room" not in said
    assert "make room" in str(WriteFailed(tmp_path, OSError(28, os.strerror(28))))


# --- only to be read


@pytest.fixture
def only_read(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `seedbed …` where the folder of the store, and nothing else, cannot be written."""
    if subprocess.run([*UNSHARE, f"mount -t tmpfs tmpfs {tmp_path}"], check=False).returncode:
        pytest.skip("this machine allows no mount in a namespace")

    def run(store: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        inside = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        before = {path: path.read_bytes() for path in store.parent.iterdir()}
        done = subprocess.run(
            [*UNSHARE, inside, str(store.parent), sys.executable, "-m", "seedbed", *words],
            env=environment(PYTHONPATH=PYTHONPATH, SEEDBED_STORE=str(store), **more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        assert "Traceback" not in done.stdout
        assert {path: path.read_bytes() for path in store.parent.iterdir()} == before
        return done

    return run


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_a_store_that_can_only_be_read_is_looked_at_and_exported(
    tmp_path: Path, only_read: Run
) -> None:
    path = tmp_path / "there" / "responses.sqlite"
    with closing(Store(path)) as store:
        store.put([kept("a"), kept("b")])
    assert "answers        2 " in only_read(path, "store", "stats").stdout
    assert only_read(path, "store", "check").stdout == f"{path}: sound\n"
    done = only_read(path, "store", "export", str(tmp_path / "a.jsonl"))
    assert done.stdout.startswith("2 answers written")
    assert only_read(path, "store", "prune", "--model", "x").stdout.startswith("0 answers would")
    for words in (["import", str(tmp_path / "a.jsonl")], ["prune", "--model", "s", "--yes"]):
        done = only_read(path, "store", *words)
        assert done.returncode == 1
        cannot = f"seedbed store {words[0]}: response store {path}: cannot be written: "
        assert done.stdout.startswith(cannot)
        assert "Make the file and its folder writable" in done.stdout


def left_by_a_killed_process(path: Path) -> None:
    """A store whose last answer is in the write-ahead log."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from seedbed.llm.store.store import Store\n"
        "from support.stores import kept\n"
        "store = Store(Path(sys.argv[1]))\n"
        "store.put([kept('a')])\n"
        "store.file.db.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n"
        "store.put([kept('b')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        check=False,
    )
    assert path.with_name(path.name + "-wal").stat().st_size


@pytest.mark.slow
def test_what_a_killed_process_kept_last_is_read_too_or_said_to_be_out_of_reach(
    tmp_path: Path, only_read: Run
) -> None:
    path = tmp_path / "there" / "responses.sqlite"
    left_by_a_killed_process(path)
    assert "answers        2 " in only_read(path, "store", "stats").stdout
    path.with_name(path.name + "-shm").unlink()
    done = only_read(path, "store", "stats")
    assert done.returncode == 1
    assert "responses.sqlite-wal, in which the last answers are" in done.stdout


def test_a_store_of_an_earlier_version_that_can_only_be_read_is_named(
    tmp_path: Path, only_read: Run
) -> None:
    path = tmp_path / "there" / "responses.sqlite"
    path.parent.mkdir()
    write_version_2(path, of_version_1()[:2])
    done = only_read(path, "store", "stats")
    assert done.returncode == 1
    assert "of version 2; this program reads 3" in done.stdout
    assert "name a copy" in done.stdout


def test_a_run_replays_and_is_traced_and_reported_from_a_store_that_can_only_be_read(
    grown: Project, grower: Growing, tmp_path: Path, only_read: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, server = grown, grower
    path = tmp_path / "there" / "responses.sqlite"
    rows = "data/clf/is_clf_or_not.jsonl"
    shutil.move(project.folder / ".seedbed", path.parent)
    there = {"OPENAI_BASE_URL": server.url}
    first = project.read(rows)
    monkeypatch.chdir(project.folder)

    # All is there: nothing is sent, be it a replay or not.
    for old, new in (("", ""), ("replay: false", "replay: true")):
        project.replace("params.yaml", old, new)
        (project.folder / rows).unlink()
        done = only_read(path, "clf", **there)
        assert done.returncode == 0, done.stdout
        assert "clf · 12 rows · 0 sent · 12 reused" in done.stdout
        assert project.read(rows) == first
    project.set("run.replay", False)
    assert f"answer {project.rows(rows)[0]['key']}" in only_read(path, "trace", f"{rows}:1").stdout
    done = only_read(path, "report", "--output", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stdout

    # Something is missing: it is said before anything is sent.
    (project.folder / "data/prompts/clf/is_classification.txt").write_text(
        "Another: {instruction}\n"
    )
    done = only_read(path, "clf", **there)
    assert done.returncode == 1
    assert f"seedbed clf: response store {path}: cannot be written: " in done.stdout
    assert server.connections == 0
