"""Runs of the stage clf, each in a process of its own, in which something that is written fails.

    python -m support.crashing_runs

It reads a run a line, {"folder": …, "environment": {…}, "at": 3, "how": "ENOSPC"}, and answers each
with {"code": …, "output": …, "failed": true}. The third write, fsync, rename or commit fails then;
`how` is the name of an error, or "dies": the process ends there. `failed` is false if there were
fewer of them. The processes are forked from this one, which has imported everything and has no
thread: so a run takes no more than it must.
"""

import errno
import io
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import openai  # noqa: F401 - imported for all runs at once
import typer

from seedbed.cli import explaining
from seedbed.llm.send import client  # noqa: F401 - likewise
from seedbed.self_instruct import clf
from support.params import sections
from support.stages import run_stage

PARAMS = sections(clf.Params)
# What SQLite says of the same.
SQLITE = {
    "ENOSPC": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "EIO": (sqlite3.SQLITE_IOERR, "disk I/O error"),
}
DIED = 42


class Failing:
    """Counts what is written, and fails at number `at`."""

    def __init__(self, at: int, how: str):
        self._at, self._how = at, how
        self.count = 0

    def step(self) -> bool:
        """Whether this is the one that fails; if the process is to die, it does."""
        self.count += 1
        return self.count == self._at

    def fail(self, sqlite: bool = False) -> NoReturn:
        Path("failed").touch()
        if self._how == "dies":
            os._exit(DIED)
        if sqlite:
            code, said = SQLITE[self._how]
            error = sqlite3.OperationalError(said)
            error.sqlite_errorcode = code
            raise error
        number = getattr(errno, self._how)
        raise OSError(number, os.strerror(number))

    def failing(self, do: Callable[..., Any]) -> Callable[..., Any]:
        """`do`, which is not done when it is its turn to fail; of a write, half."""

        def instead(*arguments: Any) -> Any:
            if self.step():
                if do is WRITE:
                    file, data = arguments
                    do(file, data[: len(data) // 2])
                self.fail()
            return do(*arguments)

        return instead


WRITE = os.write


def install(failing: Failing) -> None:
    os.write = failing.failing(os.write)
    os.fsync = failing.failing(os.fsync)
    os.replace = failing.failing(os.replace)

    class File(io.BufferedWriter):
        def writelines(self, pieces: Any) -> None:
            data = b"".join(pieces)
            if failing.step():
                self.write(data[: len(data) // 2])
                self.flush()
                failing.fail()
            self.write(data)

    opened = io.open

    def open_(path: Any, mode: str = "r", *more: Any, **how: Any) -> Any:
        if mode != "wb":
            return opened(path, mode, *more, **how)
        return File(opened(path, mode, buffering=0))

    io.open = open_

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            if statement == "COMMIT" and failing.step():
                failing.fail(sqlite=True)
            done = super().execute(statement, *values)
            if statement == "COMMIT" and failing._how == "dies" and failing.step():
                failing.fail()
            return done

    connect = sqlite3.connect
    sqlite3.connect = lambda *arguments, **how: connect(*arguments, factory=Connection, **how)


def run(at: int, how: str) -> int:
    if at:
        install(Failing(at, how))
    try:
        with explaining("clf"):
            run_stage(clf, PARAMS)
    except typer.Exit as end:
        return end.exit_code
    return 0


def main() -> None:
    for line in sys.stdin:
        wanted = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if not child:
                code = 1
                try:
                    os.dup2(output.fileno(), 1)
                    os.dup2(output.fileno(), 2)
                    os.chdir(wanted["folder"])
                    os.environ |= wanted["environment"]
                    code = run(wanted["at"], wanted["how"])
                except BaseException:
                    import traceback

                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            failed = Path(wanted["folder"], "failed")
            answer = {"code": code, "output": output.read().decode(), "failed": failed.exists()}
            failed.unlink(missing_ok=True)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
