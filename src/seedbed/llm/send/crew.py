"""Workers that send what there is to send, each for one of the servers.

A worker takes what its server is handed next, does it, and takes the next. How many a server has is
its own affair (`places`): as many as may be in flight there, and none while it is left out. What
one server could not do, because it failed, goes back for another.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from seedbed.llm.send.setback import Setback
from seedbed.llm.send.todo import Todo

Item = TypeVar("Item")


class Elsewhere(Exception):
    """A server failed: another one is to be asked, or after a pause of so many seconds the same."""

    def __init__(self, setback: Setback, pause: float):
        super().__init__(setback.said)
        self.setback = setback
        self.pause = pause


class Servers(Protocol):
    """What a crew has to know of the servers, by their numbers; see `seedbed.llm.send.fleet`."""

    def places(self, server: int) -> int: ...

    async def ready(self, server: int) -> bool: ...

    def failed(self, server: int, setback: Setback) -> None: ...

    def away(self, server: int) -> float: ...


class Crew(Generic[Item]):
    """The workers of a run.

    do: does an item at a server. May raise Elsewhere.
    over: whether nothing more is to be begun.
    ended: told what a worker raised.
    wake: set whenever something has changed: then `hire` again.
    """

    def __init__(
        self,
        servers: Servers,
        todo: Todo[Item],
        count: int,
        do: Callable[[int, Item], Awaitable[None]],
        over: Callable[[], bool],
        ended: Callable[[BaseException], None],
    ):
        self._servers = servers
        self._todo = todo
        self._do = do
        self._over = over
        self._ended = ended
        self._workers: list[set[asyncio.Task[None]]] = [set() for _ in range(count)]
        self.wake = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._workers))

    def hire(self) -> None:
        """Workers for what nobody has taken yet, where fewest are at work."""
        rooms = [
            self._servers.places(server) - len(workers)
            for server, workers in enumerate(self._workers)
        ]
        for _ in range(min(len(self._todo), sum(room for room in rooms if room > 0))):
            server = min(
                (server for server, room in enumerate(rooms) if room > 0),
                key=lambda server: len(self._workers[server]),
            )
            worker = asyncio.create_task(self._work(server))
            rooms[server] -= 1
            self._workers[server].add(worker)
            worker.add_done_callback(self._workers[server].discard)

    async def dismiss(self) -> None:
        """End all of them where they are."""
        workers = {worker for some in self._workers for worker in some}
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)

    async def _work(self, server: int) -> None:
        try:
            while not self._over() and await self._next(server):
                self.wake.set()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ended(error)
        finally:
            self.wake.set()

    async def _next(self, server: int) -> bool:
        """Do the next item; whether to go on then."""
        places = self._servers.places(server)
        # It may have been slowed down, or left out, meanwhile.
        if len(self._workers[server]) > places:
            return False
        if not await self._servers.ready(server):
            self._expect(server)
            return False
        if self._servers.places(server) > places:
            self.wake.set()
        item = self._todo.take(server)
        if item is None:
            return False
        try:
            await self._do(server, item)
        except Elsewhere as failure:
            self._servers.failed(server, failure.setback)
            self._expect(server)
            await self._hand_back(server, item, failure.pause)
        return True

    async def _hand_back(self, server: int, item: Item, pause: float) -> None:
        """Have another server do it at once, or the same after the pause."""
        others = any(
            self._servers.places(other) for other in range(len(self._workers)) if other != server
        )
        if not others:
            await asyncio.sleep(pause)
        self._todo.again(server, item)
        self.wake.set()
        if others and not self._servers.away(server):
            await asyncio.sleep(pause)

    def _expect(self, server: int) -> None:
        """What is the server's own is for others, and it is looked for when its time has come."""
        if away := self._servers.away(server):
            self._todo.leave(server)
            # A little later: clocks are read to the nanosecond, and timers kept to the tick.
            asyncio.get_running_loop().call_later(away + 0.001, self.wake.set)
