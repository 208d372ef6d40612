"""Servers on the nodes of a Ray cluster, each in an actor, asked as any several servers are.

An actor holds a share of a node: as many cores as the embedded server has threads and the memory
that the model needs, or a GPU for vLLM. Which node it is on is Ray's affair, and where it goes
when it has died: to whatever node then has such a share, be it one that came later. It runs one
server, on its node's address (on this machine: on loopback), under a key that it makes itself, and
dies with it. This process alone sends requests, and writes the store and the budget.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedbed.core import cluster
from seedbed.errors import SeedbedError
from seedbed.llm.errors import BadModel
from seedbed.llm.params import Embedded
from seedbed.llm.serve import embedded, vllm
from seedbed.llm.server_errors import NoRoom, NoShare, ShareFailed

if TYPE_CHECKING:
    from seedbed.llm.serve.endpoint import Endpoint

# Of the model's file: itself, the copy that is laid out for the processor, and what is computed.
MEMORY = 2.0
# Seconds: that the first server may take (vLLM may have a model to load down), that the others may
# after it, and that one which died is waited for each time that it is looked for.
FIRST, OTHERS, AGAIN = 3600.0, 60.0, 5.0


@dataclass(frozen=True)
class Placed:
    """Where an actor's server listens, or why there is none.

    node: its node's id, as Ray has it.
    problem: what there is instead of a server, and a remedy.
    """

    node: str
    url: str = ""
    key: str = ""
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class Share:
    """What an actor asks of a node."""

    cpus: int
    gpus: int = 0
    memory: int = 0

    def times(self, node: cluster.Node) -> int:
        """How often a node has it."""
        wanted = ((self.cpus, node.cpus), (self.gpus, node.gpus), (self.memory, node.memory))
        return min(int(has // own) for own, has in wanted if own)


class Server:
    """An actor; a subclass says what it runs.

    home: the address of the machine from which it is asked: there it listens on loopback.
    """

    def __init__(self, home: str, *own: Any):
        import ray

        self._own = own
        address = ray.util.get_node_ip_address()
        self._host = "127.0.0.1" if address == home else address
        self._node = ray.get_runtime_context().get_node_id()
        self._running = ExitStack()
        self._at: tuple[str, str] | None = None

    def place(self) -> Placed:
        """Where it listens; the first call starts it."""
        try:
            if self._at is None:
                self._at = self._running.enter_context(self._run(self._host, *self._own))
            return Placed(self._node, *self._at)
        except SeedbedError as error:
            problem, _, remedy = str(error).partition("\n")
            return Placed(self._node, problem=(problem, remedy.strip()))

    @staticmethod
    def _run(host: str, *own: Any) -> AbstractContextManager[tuple[str, str]]:
        """A context that gives base URL and key. May raise SeedbedError."""
        raise NotImplementedError


class EmbeddedServer(Server):
    """Runs the embedded server, on the model's file as its node has it."""

    @staticmethod
    @contextmanager
    def _run(
        host: str, name: str, settings: dict[str, Any], identity: dict[str, Any]
    ) -> Iterator[tuple[str, str]]:
        """identity: of the model where the run is; answers are kept under it."""
        own = "It has to be at the same path on every node, or on a file system that all share."
        if name == embedded.PACKAGED:
            own = "`make cluster` on that node installs it."
        try:
            model = embedded.find(name, Embedded(**settings))
        except BadModel as error:
            raise BadModel(name, error.problem, own) from None
        except ImportError as error:
            raise BadModel(name, str(error), own) from None
        for what, expected in identity.items():
            if (found := model.identity.get(what)) != expected:
                raise BadModel(name, f"another {what}: {found}, not {expected}", own)
        with embedded.serve(model, host=host) as at:
            yield at


class VllmServer(Server):
    """Runs vLLM."""

    @staticmethod
    def _run(host: str, name: str) -> AbstractContextManager[tuple[str, str]]:
        return vllm.serve(name, host)


class Team:
    """Actors of one kind.

    kind: a subclass of Server; own: what it is made with.
    """

    def __init__(self, kind: type[Server], own: Sequence[Any], share: Share, count: int):
        self._ray = ray = cluster.join()
        actor = ray.remote(kind).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            memory=share.memory or None,
            max_restarts=-1,
            scheduling_strategy="SPREAD",
        )
        home = ray.util.get_node_ip_address()
        self._actors = [actor.remote(home, *own) for _ in range(count)]
        self._asked: list[Any] = [None] * count

    def __len__(self) -> int:
        return len(self._actors)

    def wait(self) -> None:
        """Until one server is there, and a little longer for the others.

        Raises:
            ShareFailed: one of them never will be.
        """
        self._asked = [actor.place.remote() for actor in self._actors]
        told = False
        end = time.monotonic() + FIRST
        ready: list[Any] = []
        while not ready and time.monotonic() < end:
            ready, _ = self._ray.wait(self._asked, num_returns=1, timeout=60)
            if not ready and not told:
                told = True
                print(f"seedbed: waiting for {len(self)} servers on Ray", file=sys.stderr)
        ready, _ = self._ray.wait(self._asked, num_returns=len(self), timeout=OTHERS)
        for reference in ready:
            try:
                placed = self._ray.get(reference)
            except self._ray.exceptions.RayError:
                continue  # it died meanwhile, and is looked for as any that did
            if placed.problem:
                raise ShareFailed(self._name(placed.node), *placed.problem)

    def at(self, number: int) -> tuple[str, str]:
        """Base URL and key of a server. Raises Away: it is starting, or waits for a node."""
        from seedbed.llm.serve.endpoint import Away

        if self._asked[number] is None:
            self._asked[number] = self._actors[number].place.remote()
        try:
            placed = self._ray.get(self._asked[number], timeout=AGAIN)
        except self._ray.exceptions.GetTimeoutError:
            raise Away("it has not started yet") from None
        except self._ray.exceptions.RayError as error:
            self._asked[number] = None
            raise Away(str(error).partition("\n")[0]) from None
        self._asked[number] = None
        if placed.problem:
            raise Away(f"Ray node {self._name(placed.node)}: {placed.problem[0]}")
        return placed.url, placed.key

    def _name(self, node: str) -> str:
        return next((one.name for one in cluster.nodes() if one.id == node), node)

    def stop(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)


def of_embedded(here: "Endpoint", model: embedded.Model, running: ExitStack) -> "Endpoint":
    """The embedded server, as many times as the cluster has room for it; stopped with `running`.

    here: the same in this process. What it answers is kept alike, for it is the same.
    """
    # The path counts from the project, where no node's processes are.
    settings = model.settings
    if settings.adapter:
        settings = settings.model_copy(update={"adapter": str(Path(settings.adapter).absolute())})
    name = here.llm.model
    if name != embedded.PACKAGED:
        name = str(model.path.absolute())
    size = model.path.stat().st_size
    share = Share(cpus=settings.threads, memory=int(MEMORY * size))

    def gather() -> tuple["Endpoint", ...]:
        nodes = cluster.nodes()
        enough = [node for node in nodes if node.cpus >= share.cpus]
        for node in enough:
            if node.memory < share.memory:
                raise NoRoom(node.name, int(node.memory), share.memory, model.name)
        count = sum(share.times(node) for node in enough)
        if not count:
            raise NoShare(
                f"{share.cpus} CPUs (llm.embedded.threads)", [node.name for node in nodes]
            )
        own = (name, settings.model_dump(), model.identity)
        return _servers(here, Team(EMBEDDED, own, share, count), running)

    return replace(here, address=f"embedded servers on Ray ({model.name})", gather=gather)


def of_vllm(there: "Endpoint", running: ExitStack) -> "Endpoint":
    """vLLM on each GPU of the cluster; stopped with `running`.

    there: a server with the model, wherever it is.
    """
    share = Share(cpus=1, gpus=1)

    def gather() -> tuple["Endpoint", ...]:
        nodes = cluster.nodes()
        count = sum(share.times(node) for node in nodes)
        if not count:
            raise NoShare("a GPU", [node.name for node in nodes])
        return _servers(there, Team(VLLM, (there.model,), share, count), running)

    return replace(there, address=f"vLLM on Ray ({there.model})", gather=gather)


def _servers(one: "Endpoint", team: Team, running: ExitStack) -> tuple["Endpoint", ...]:
    """An endpoint an actor, each like `one`."""
    running.callback(team.stop)
    team.wait()
    connect: Callable[[int], tuple[str, str]] = team.at
    return tuple(
        replace(
            one,
            address=f"server {number + 1} on Ray",
            connect=partial(connect, number),
            connect_embedding=None,
            moves=True,
        )
        for number in range(len(team))
    )


# What the actors are; a test has others.
EMBEDDED: type[Server] = EmbeddedServer
VLLM: type[Server] = VllmServer
