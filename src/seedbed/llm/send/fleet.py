"""Several servers with the same model: a session for each, on one account.

Each has its own turnstile (`seedbed.llm.send.limits`), and its own workers
(`seedbed.llm.send.crew`), so that most goes where most is done. One that fails is left out, longer
each time, and what it was sent goes to the others. What ends a run at one server (nobody there from
the beginning, nothing that succeeds any more) ends it here when it is so at all of them.

Before anything is sent each is asked which models it has, and again when it comes back: answers of
another model would be kept under the one name for all, `llm.server`.
"""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from tqdm import tqdm

from seedbed.llm import errors
from seedbed.llm.redaction import redact
from seedbed.llm.send.crew import Crew, Elsewhere
from seedbed.llm.send.ledger import Ledger
from seedbed.llm.send.limits import Turn, pause_before
from seedbed.llm.send.session import Asking, Session
from seedbed.llm.send.setback import Setback, failure
from seedbed.llm.send.standing import Standing, short_names
from seedbed.llm.send.todo import Todo
from seedbed.llm.send.work import Tokens
from seedbed.llm.serve.endpoint import Endpoint
from seedbed.llm.server_errors import ServersUnlike

Item = TypeVar("Item")


class Member(Session):
    """The session of one of several servers: it tries again elsewhere."""

    def __init__(self, endpoint: Endpoint, model: str, ledger: Ledger, fleet: "Fleet", number: int):
        super().__init__(endpoint, model, ledger)
        self._fleet = fleet
        self._number = number

    def waits_for(self, setback: Setback) -> bool:
        return setback.kind in ("busy", "absent")

    def pause(self, asking: Asking, setback: Setback) -> float:
        pause = pause_before(asking.sent if self.waits_for(setback) else asking.failed)
        raise Elsewhere(setback, pause * random.uniform(0.5, 1.0))

    def _succeeded(self, asking: Asking, usage: Tokens | None, turn: Turn) -> None:
        self._fleet.went_well(self._number)
        super()._succeeded(asking, usage, turn)

    def _show_pace(self) -> None:
        self._fleet.show()


class Fleet:
    """The servers of an endpoint that has several.

    sessions: one a server.
    """

    def __init__(self, endpoint: Endpoint, model: str, ledger: Ledger):
        self.endpoint = endpoint
        self.model = model
        self.ledger = ledger
        self.sessions: tuple[Session, ...] = tuple(
            Member(server, model, ledger, self, number)
            for number, server in enumerate(endpoint.servers)
        )
        names = short_names([server.address for server in endpoint.servers])
        self.standings = [Standing(name) for name in names]
        self._failing_since: float | None = None
        self._left_at = 0.0
        self._begun = False
        self._door = asyncio.Lock()

    @property
    def answered(self) -> bool:
        return any(session.answered for session in self.sessions)

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """As a session's."""
        clock = asyncio.get_running_loop().time
        if self._failing_since is not None:
            self._failing_since += clock() - self._left_at
        with ExitStack() as each:
            for session in self.sessions:
                each.enter_context(session.at_work())
            try:
                yield
            finally:
                self._left_at = clock()

    async def each(
        self,
        items: Iterable[Item],
        do: Callable[[Session, Item], Awaitable[None]],
        prompt: Callable[[Item], str] = lambda item: "",
    ) -> None:
        """Do something with each of the items at one of the servers. As `Session.each`."""
        failures: list[BaseException] = []
        failed: dict[int, int] = {}
        wanted = list(items)
        doing = done = 0

        async def work(server: int, item: Item) -> None:
            nonlocal doing, done
            session = self.sessions[server]
            doing += 1
            try:
                await do(session, item)
                done += 1
            except Elsewhere as elsewhere:
                # What breaks at every server is not the servers' fault.
                setback = elsewhere.setback
                failed[id(item)] = failed.get(id(item), 0) + (setback.kind == "broke")
                if failed[id(item)] > self.endpoint.retries:
                    raise failure(session.endpoint.address, setback) from None
                raise
            finally:
                doing -= 1

        todo: Todo[Item] = Todo(len(self.sessions), prompt)
        todo.add(wanted)
        crew = Crew(self, todo, len(self.sessions), work, lambda: bool(failures), failures.append)
        try:
            while (done < len(wanted) and not failures) or doing:
                if not failures:
                    crew.hire()
                crew.wake.clear()
                await crew.wake.wait()
        finally:
            await crew.dismiss()
        if failures:
            raise failures[0]

    # --- what a crew has to know

    def places(self, server: int) -> int:
        """How many may be at work for that server."""
        if self.away(server):
            return 0
        # One asks it which models it has, or whether it answers again.
        if self.standings[server].out or not self._begun:
            return 1
        limits = self.sessions[server].limits
        return max(1, min(limits.concurrency, int(limits.allowed)))

    def away(self, server: int) -> float:
        """Seconds until that server may be asked."""
        return self.standings[server].away(asyncio.get_running_loop().time())

    async def ready(self, server: int) -> bool:
        """Whether that server is there, with the models that the others have.

        Raises:
            ServersUnlike
            SeedbedError: none of them is there, or has been for too long.
        """
        standing = self.standings[server]
        if self._begun and standing.known:
            return True
        async with self._door:
            if not self._begun:
                # Before anything is kept under the one name: all of them.
                await asyncio.gather(*map(self._look_at, range(len(self.sessions))))
                self._begun = True
            elif not standing.known and not self.away(server):
                await self._look_at(server)
        return standing.known

    async def _look_at(self, server: int) -> None:
        standing = self.standings[server]
        try:
            standing.models = await self.sessions[server].client.present()
        except Setback as setback:
            self.failed(server, setback)
            return
        standing.known = True
        self._compare(server)

    def _compare(self, server: int) -> None:
        """Raises ServersUnlike."""
        llm = self.endpoint.llm
        for other, standing in enumerate(self.standings):
            mine, theirs = self.standings[server].models, standing.models
            if other == server or alike(llm.model, mine, theirs):
                continue
            odd, right = (other, server) if llm.model in mine else (server, other)
            raise ServersUnlike(
                self.sessions[odd].endpoint.address,
                self.standings[odd].models,
                self.sessions[right].endpoint.address,
                self.standings[right].models,
                (llm.model, llm.server or ""),
            )

    def went_well(self, server: int) -> None:
        """It answered."""
        self._failing_since = None
        self.standings[server].went_well()

    def failed(self, server: int, setback: Setback) -> None:
        """It did not answer.

        Raises:
            SeedbedError: nor will any of the others.
        """
        standing, now = self.standings[server], asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = now
        left_out = standing.failed(setback, int(self.sessions[server].limits.allowed), now)
        none_left = all(other.out for other in self.standings)
        if left_out:
            self._tell(server, setback, none_left)
        if none_left:
            self._despair(setback, now)
            if setback.retry_after is None:
                # The last try is when patience ends, and not a pause later.
                end = self._failing_since + self.endpoint.patience
                standing.until = min(standing.until, max(now, end))
        # No answer draws the line anew.
        self.ledger.book.show(self._state())

    def _despair(self, setback: Setback, now: float) -> None:
        """Raises what ends the run, if it is time: no server answers."""
        address, patience = self.endpoint.address, self.endpoint.patience
        retries = self.endpoint.retries
        if not self.answered and all(standing.given_up(retries) for standing in self.standings):
            raise failure(address, setback)
        said = f"{setback.status_or_kind}: {setback.said}"
        wait = min(standing.away(now) for standing in self.standings)
        since = now - (self._failing_since or now)
        if wait > patience:
            asks = f"it asks to wait {wait:.0f} s (more than SEEDBED_PATIENCE={patience})"
            raise errors.ServerFailed(address, f"{asks}: {said}")
        if since > patience:
            nothing = f"nothing has succeeded for {since:.0f} s (SEEDBED_PATIENCE)"
            raise errors.ServerFailed(address, f"{nothing}: {said}")

    def _tell(self, server: int, setback: Setback, none_left: bool) -> None:
        """Say once that a server is left out, unless it only asked for a pause."""
        standing = self.standings[server]
        if standing.told or setback.kind == "busy":
            return
        standing.told = True
        endpoint = self.sessions[server].endpoint
        problem, remedy = "does not answer", "Is the server running, and is OPENAI_BASE_URL right?"
        if setback.status is not None:
            problem, remedy = f"fails (HTTP {setback.status})", "What does its own log say?"
        if endpoint.moves:
            remedy = "Ray starts it anew, on this node or another, as soon as one has room."
        meanwhile = "" if none_left else ", while others answer"
        # Not through a progress line in its midst.
        tqdm.write(
            f"seedbed: {endpoint.address} {problem}: {redact(setback.said)}\n"
            f"  It is left out and tried again{meanwhile}. {remedy}",
            file=sys.stderr,
        )

    def show(self) -> None:
        """Put it on the progress line, for when that is drawn next."""
        self.ledger.book.tally.note = self._state()

    def _state(self) -> str:
        """Each server, with what is in flight there."""
        now = asyncio.get_running_loop().time()
        out = [standing.out or standing.away(now) > 0 for standing in self.standings]
        asked = out.count(False)
        parts = [f"{asked} of {len(self.standings)} servers"]
        for standing, is_out, session in zip(self.standings, out, self.sessions, strict=True):
            slowed = int(session.limits.allowed) < session.limits.concurrency
            state = "left out" if is_out else str(session.limits.in_flight)
            parts.append(f"{standing.name}: {state}{' (slowed)' * slowed}")
        return ", ".join(parts)


# Who is asked: one server, or several.
Asked = Session | Fleet


def alike(model: str, mine: Collection[str], theirs: Collection[str]) -> bool:
    """Whether two servers can have the same model, by the names that they have for theirs.

    model: what they are asked for. One that names none may have any.

    >>> alike("m", ["m", "other"], ["m"]), alike("m", ["other"], ["m"]), alike("m", [], ["m"])
    (True, False, True)
    >>> alike("m", ["a.gguf"], ["a.gguf"]), alike("m", ["a.gguf"], ["b.gguf"])
    (True, False)
    """
    if not mine or not theirs:
        return True
    if model in mine or model in theirs:
        return model in mine and model in theirs
    # Some, such as llama.cpp's, take any name for the one that they have.
    return bool(set(mine) & set(theirs))
