"""What does the work of `seedbed.core.shards`: an object here, in a process, or in an actor.

A worker writes no file, so that it may be killed at any time. Ctrl-C is the affair of the process
that asks; a worker that loses that ends by itself.
"""

import os
import signal
import traceback
from collections import deque
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol

from seedbed.core.cluster import join
from seedbed.errors import SeedbedError, ShardLost

# What asks a process to end.
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Worker(Protocol):
    """As `seedbed.core.shards.Held` has them, one by one."""

    def ask(self, method: str, arguments: tuple[Any, ...]) -> None: ...
    def answer(self) -> Any: ...
    def close(self) -> None: ...


class Here:
    """A state in this process, which is asked when the answer is wanted."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...], number: int, of: int):
        self._state = make(*arguments)
        self._asked: deque[tuple[str, tuple[Any, ...]]] = deque()

    def ask(self, method: str, arguments: tuple[Any, ...]) -> None:
        self._asked.append((method, arguments))

    def answer(self) -> Any:
        method, arguments = self._asked.popleft()
        return getattr(self._state, method)(*arguments)

    def close(self) -> None:
        self._asked.clear()


class _Outcome(NamedTuple):
    """What came of a call elsewhere.

    error: a failure as its class and its message: pickle would have the message made once more.
    """

    value: Any = None
    error: tuple[type[SeedbedError], tuple[Any, ...]] | None = None
    trace: str | None = None

    def get(self) -> Any:
        if self.error is not None:
            kind, arguments = self.error
            raise kind.__new__(kind, *arguments)
        if self.trace is not None:
            raise RuntimeError(f"in a worker:\n{self.trace}")
        return self.value


class _Remote:
    """A state that is made at the first call, so that what goes wrong then is an answer, too."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...]):
        self._make: tuple[Callable[..., Any], tuple[Any, ...]] | None = (make, arguments)
        self._state: Any = None

    def call(self, method: str, arguments: tuple[Any, ...]) -> _Outcome:
        try:
            if self._make is not None:
                make, of_it = self._make
                self._state, self._make = make(*of_it), None
            return _Outcome(getattr(self._state, method)(*arguments))
        except SeedbedError as error:
            return _Outcome(error=(type(error), error.args))
        except Exception:
            return _Outcome(trace=traceback.format_exc())


class Process:
    """A state in a process, spawned: after a fork, locks would stay as threads held them."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...], number: int, of: int):
        self._number, self._of = number, of
        spawn = get_context("spawn")
        self._pipe, other = spawn.Pipe()
        self._process = spawn.Process(
            target=_serve, args=(other, make, arguments), name=f"shard {number + 1}", daemon=True
        )
        # Inherited: a terminal sends Ctrl-C to all its processes, and a scheduler its signals, but
        # only this one knows what to do. It gets what came meanwhile after that.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            other.close()

    def ask(self, method: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._pipe.send((method, arguments))
        except OSError:
            raise self._lost() from None

    def answer(self) -> Any:
        try:
            outcome: _Outcome = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        return outcome.get()

    def close(self) -> None:
        # It has nothing to put in order.
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _lost(self) -> ShardLost:
        self._process.join(1)
        code = self._process.exitcode
        if code is not None and code < 0:
            how, remedy = f"killed by {signal.Signals(-code).name}", "see whether memory ran out"
        else:
            how, remedy = f"it ended with status {code}", "see what it said above"
        return ShardLost(self._number, self._of, how, remedy)


def _serve(pipe: Connection, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """What a process does: answer, in the order of the questions."""
    asked: SimpleQueue[tuple[str, tuple[Any, ...]]] = SimpleQueue()
    Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    remote = _Remote(make, arguments)
    while True:
        pipe.send(remote.call(*asked.get()))


def _listen(pipe: Connection, asked: "SimpleQueue[tuple[str, tuple[Any, ...]]]") -> None:
    """Take what is asked at once: if both sides were sending, and neither took, both would wait for
    ever. At the end of this process's life there is nobody to work for.
    """
    while True:
        try:
            asked.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(0)


class Actor:
    """A state in an actor of a Ray cluster."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...], number: int, of: int):
        self._number, self._of = number, of
        self._ray = join()
        # No core is asked for: others may hold all of them, and one would wait for ever. Not begun
        # anew by itself, for it would not have its state.
        remote = self._ray.remote(
            num_cpus=0, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._actor = remote(_Remote).remote(make, arguments)
        self._asked: deque[Any] = deque()

    def ask(self, method: str, arguments: tuple[Any, ...]) -> None:
        self._asked.append(self._actor.call.remote(method, arguments))

    def answer(self) -> Any:
        try:
            outcome: _Outcome = self._ray.get(self._asked.popleft())
        except self._ray.exceptions.RayActorError as error:
            how = str(error).partition("\n")[0]
            remedy = "see the cluster's log"
            raise ShardLost(self._number, self._of, how, remedy) from None
        return outcome.get()

    def close(self) -> None:
        self._asked.clear()
        self._ray.kill(self._actor)
