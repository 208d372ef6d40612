"""Work that is pure and large: in this process, in several, or on a Ray cluster.

Where it is done is no parameter, for the result is the same wherever that is: what is asked goes
out in turn, and comes back in the order in which it went. `SEEDBED_SHARDS` says how many workers
there are; `SEEDBED_RAY`, that they are actors of a Ray cluster, and not processes. Without either
it is this process, and what is small is done here anyway, since a process takes half a second to
start.

Two ways: `mapped` for what needs nothing but its item, `Held` for what has a state that is asked
again and again. A function, a class, arguments and results travel by pickle: what is sent is
defined in a module.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from typing import Any, NamedTuple, TypeVar

from seedbed.core.cluster import named, nodes
from seedbed.core.workers import Actor, Here, Process, Worker
from seedbed.errors import BadShards

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items a worker that were asked and not answered: one that it works on, one that waits for it.
AHEAD = 2
# More processes than that is a typing error.
_MOST = 1024


class Place(NamedTuple):
    """Where work is done: by so many workers at most, which are processes, or actors.

    One that is no actor is this process.
    """

    workers: int
    ray: bool = False

    @property
    def here(self) -> bool:
        return self.workers == 1 and not self.ray

    def at_most(self, workers: int) -> "Place":
        """With no more workers than that; for one, this process will do."""
        return HERE if workers <= 1 else Place(min(self.workers, workers), self.ray)

    def on_this_machine(self) -> "Place":
        """For what reads files: a cluster need not have them, so that processes do it."""
        return Place(min(self.workers, os.cpu_count() or 1)) if self.ray else self

    def settled(self) -> "Place":
        """With no more workers than the cluster has cores: it is joined. Raises as `join`."""
        if not self.ray:
            return self
        return Place(max(1, min(self.workers, int(sum(node.cpus for node in nodes())))), ray=True)


HERE = Place(1)


def from_environment() -> Place:
    """Where the environment says that work is done; no cluster is joined yet.

    Raises:
        BadShards: `SEEDBED_SHARDS` is no number of workers.
        BadCluster: `SEEDBED_RAY` is no address.
    """
    value = os.environ.get("SEEDBED_SHARDS", "")
    if value and not (value.isdecimal() and len(value) < 6 and 1 <= int(value) <= _MOST):
        raise BadShards("SEEDBED_SHARDS", value, f"a number of workers, 1 to {_MOST}")
    if named() is not None:
        return Place(int(value) if value else _MOST, ray=True)
    return Place(int(value)) if value else HERE


def mapped(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    least: int = 0,
    size: Callable[[Item], int] = lambda item: 1,
    where: Place | None = None,
) -> Iterator[Result]:
    """Yield what a function makes of each item, in the items' order.

    Items are taken as they are worked on, at most AHEAD a worker before their results: neither they
    nor the results are ever held all.

    Args:
        function: pure, and of a module, or a partial of one.
        least: the first items, up to this size together, are done here: what ends before is too
            small for workers to be started.
        size: of an item.
        where: `from_environment()` if it is None.

    Raises:
        SeedbedError: as the function, and as joining a cluster.
        ShardLost, BadShards
    """
    where = from_environment() if where is None else where
    source = iter(items)
    left = least
    while where.here or left > 0:
        try:
            item = next(source)
        except StopIteration:
            return
        left -= size(item)
        yield function(item)
    where = where.settled()
    with Held(_Function, [(function,)] * where.workers, where) as held:
        asked: deque[int] = deque()
        for worker, item in zip(cycle(range(len(held))), source, strict=False):
            # Answered first and asked then, so that no more are out; yielded last, so that the
            # worker has something to do meanwhile.
            results = [held.answer(asked.popleft())] if len(asked) == AHEAD * len(held) else []
            held.ask(worker, "call", item)
            asked.append(worker)
            yield from results
        while asked:
            yield held.answer(asked.popleft())


class _Function:
    """A function as a state that never changes."""

    def __init__(self, function: Callable[[Any], Any]):
        self._function = function

    def call(self, item: Any) -> Any:
        return self._function(item)


class Held:
    """Workers, each with a state of its own, which is made there and never leaves it.

    Whatever is asked of one is answered in the order in which it was asked. Used as a context, or
    closed: what is being worked on then is given up.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        where: Place | None = None,
    ):
        """make: called with each of `arguments`, one worker for each.

        where: only whether here, in processes or on a cluster; `from_environment()` if None.
        """
        where = from_environment() if where is None else where
        kind = Actor if where.ray else Here if where.here else Process
        self._workers: list[Worker] = []
        try:
            for number, of_one in enumerate(arguments):
                self._workers.append(kind(make, of_one, number, len(arguments)))
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._workers)

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, worker: int, method: str, *arguments: Any) -> None:
        """Have a worker call a method of its state, and do not wait. Raises ShardLost."""
        self._workers[worker].ask(method, arguments)

    def answer(self, worker: int) -> Any:
        """What the first call not yet answered of this worker gave.

        Raises:
            ShardLost: it is gone.
            SeedbedError: as the method.
        """
        return self._workers[worker].answer()

    def all(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Ask every worker, each with arguments of its own, at the same time; their answers."""
        for worker, of_one in zip(self._workers, arguments, strict=True):
            worker.ask(method, of_one)
        return [worker.answer() for worker in self._workers]

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.close()
