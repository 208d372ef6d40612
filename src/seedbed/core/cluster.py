"""Ray, where SEEDBED_RAY says so: one of this process's own on this machine, or one that runs.

A process joins once, when it first has something for the cluster to do, and leaves at its end. What
runs on the nodes is the Seedbed of the process that joined: Ray hands out its sources.
"""

import atexit
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from seedbed.errors import SeedbedError, cut, shown

LOCAL = "local"
PACKAGE = Path(__file__).parents[1]
# Besides Seedbed's own sources, what has to be the same on all nodes: answers are kept under
# xllamacpp's version, and Ray's and Python's are what its processes speak to each other in.
SAME = ("ray", "xllamacpp")
# Seconds: for a connection, and for a node to start a process there.
REACH, ANSWER = 5.0, 120.0
# No child of this process needs to know them, and a process of the cluster least of all.
SECRETS = ("OPENAI_API_KEY", "OPENAI_BASE_URL")


class BadCluster(SeedbedError):
    def __init__(self, value: str):
        super().__init__(
            f"environment variable SEEDBED_RAY={shown(value)}: expected {LOCAL}, or host:port of a "
            "Ray cluster's head, such as 10.0.0.1:6379"
        )


class NoRay(SeedbedError):
    def __init__(self, why: str):
        super().__init__(
            f"SEEDBED_RAY is set, and Ray cannot be loaded: {why}\n"
            "  `make cluster` installs it; without SEEDBED_RAY nothing needs it."
        )


class ClusterNotThere(SeedbedError):
    def __init__(self, address: str, why: str):
        super().__init__(
            f"no Ray cluster at SEEDBED_RAY={address}: {cut(why, 300)}\n"
            "  `ray start --head` starts one, on this machine or on one from which this was joined "
            "with `ray start --address`; it prints the address. docs/scaling.md goes through it."
        )


class ClusterRefused(SeedbedError):
    def __init__(self, address: str):
        super().__init__(
            f"the Ray cluster at SEEDBED_RAY={address} does not take this machine's token, or is "
            "none\n"
            "  It stands in ~/.ray/auth_token of the head, or in its RAY_AUTH_TOKEN: copy it here. "
            "A cluster that was started without any: `ray get-auth-token --generate` first, then "
            "start it anew."
        )


class OtherVersion(SeedbedError):
    def __init__(self, node: str, what: str, theirs: str, ours: str):
        super().__init__(
            f"Ray node {node} has {what} {theirs}, and this process {ours}\n"
            "  Answers of both would be kept as one's. Install the same on that node (the same "
            "commit, Python, and `make cluster` there), and start it anew."
        )


class NodeSilent(SeedbedError):
    def __init__(self, node: str, why: str):
        super().__init__(
            f"Ray node {node} runs nothing of Seedbed's: {cut(why, 300)}\n"
            "  Is Seedbed's environment the one in which `ray start` ran there? Ray's log of "
            "it is there, in session_latest/logs."
        )


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, or a part of one.

    id: Ray's; name: as `ray start --node-name` says, else its host's name and address.
    address: of its host.
    memory: bytes, as Ray counts them: 70 % of what was free when it started, or what it was told.
    """

    id: str
    name: str
    address: str
    cpus: float
    gpus: float
    memory: float


def named() -> str | None:
    """What SEEDBED_RAY says: `local`, an address, or None if it is not set.

    Raises:
        BadCluster
    """
    said = os.environ.get("SEEDBED_RAY") or None
    if said is None or said == LOCAL:
        return said
    host, colon, port = said.rpartition(":")
    is_port = port.isdecimal() and len(port) < 6 and 0 < int(port) < 2**16
    if not (colon and is_port and re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:]+\]", host)):
        raise BadCluster(said)
    return said


@cache
def join() -> Any:
    """The module `ray`, in a process that has joined the cluster that SEEDBED_RAY names.

    Raises:
        BadCluster, NoRay, ClusterNotThere, ClusterRefused, OtherVersion, NodeSilent
    """
    address = named()
    assert address is not None, "asked before"
    _prepare(address)
    try:
        import ray
    except ImportError as error:
        raise NoRay(str(error)) from None
    if address != LOCAL:
        _reach(address)
    own: dict[str, Any] = {"address": address}
    if address == LOCAL:
        folder = tempfile.mkdtemp(prefix="seedbed-ray-")
        # Ray's own leaving is registered already, so this comes before it.
        atexit.register(_leave, ray.shutdown, folder)
        # Ray opens the folder that it is given to everybody, with the code that it loads: so one
        # within a folder that nobody else may enter.
        own |= {"_temp_dir": f"{folder}/r", "include_dashboard": False}
    with _as_it_was(), _told_if_slow():
        try:
            ray.init(
                **own,
                log_to_driver=False,
                configure_logging=False,
                runtime_env={
                    "py_modules": [str(PACKAGE)],
                    "excludes": ["**/__pycache__"],
                    # See seedbed.llm.serve.embedded: it is read when OpenMP is loaded.
                    "env_vars": {"GOMP_SPINCOUNT": "300"},
                },
            )
        except Exception as error:  # Ray has no class of its own for most of them
            raise _why_not(address, error) from None
    if address != LOCAL:
        _check_nodes(ray)
    return ray


def _prepare(address: str) -> None:
    """What Ray reads from the environment, as it is loaded or later."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if address == LOCAL:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        # So it calls what keeps it from looking for an address of this machine that others reach:
        # its processes then listen on 127.0.0.1 alone, else on all there are.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def _reach(address: str) -> None:
    """Ray itself tries for long, and says it in many lines. Raises ClusterNotThere."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except OSError as error:
        raise ClusterNotThere(address, str(error)) from None


def _leave(shutdown: Callable[[], None], folder: str) -> None:
    shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and starts processes, which get this one's environment."""
    before = signal.getsignal(signal.SIGTERM)
    hidden = {name: os.environ.pop(name) for name in SECRETS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _told_if_slow() -> Iterator[None]:
    """In some containers Ray never gets going, and does not say so."""
    said = "seedbed: Ray has been starting for a minute; Ctrl-C ends it, without SEEDBED_RAY it is "
    timer = threading.Timer(60, lambda: print(said + "not needed", file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _why_not(address: str, error: Exception) -> SeedbedError:
    said = " ".join(str(error).split())
    # Something listens there (see _reach): of a wrong token Ray says but the last of these.
    refused = ("InvalidAuthToken", "Failed to connect to Ray cluster")
    if "AuthenticationError" in type(error).__name__ or any(word in said for word in refused):
        return ClusterRefused(address)
    pairs = re.findall(r"Ray: (\S+) Python: (\S+)", said)
    if "Version mismatch" in said and len(pairs) == 2:
        (their_ray, their_python), (our_ray, our_python) = pairs
        if their_ray != our_ray:
            return OtherVersion(address, "Ray", their_ray, our_ray)
        return OtherVersion(address, "Python", their_python, our_python)
    return ClusterNotThere(address, said or type(error).__name__)


def nodes() -> list[Node]:
    """Those that are alive, in the order of their names. Raises as `join`."""
    return _nodes(join())


def _nodes(ray: Any) -> list[Node]:
    found = []
    for one in ray.nodes():
        if not one["Alive"]:
            continue
        own, address = one["NodeName"], one["NodeManagerAddress"]
        name = own if own != address else f"{one['NodeManagerHostname']} ({address})"
        has = one["Resources"]
        found.append(
            Node(
                one["NodeID"],
                name,
                address,
                has.get("CPU", 0.0),
                has.get("GPU", 0.0),
                has.get("memory", 0.0),
            )
        )
    return sorted(found, key=lambda node: (node.name, node.id))


def digest() -> str:
    """Of the package's sources: what version of Seedbed a process runs."""
    whole = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        whole.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes())
    return whole.hexdigest()[:12]


def versions() -> dict[str, str]:
    """What has to be the same on all nodes."""
    found = {"Seedbed": digest(), "Python": ".".join(map(str, sys.version_info[:3]))}
    for package in SAME:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def compare(node: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Raises OtherVersion."""
    for what, own in ours.items():
        if theirs.get(what) != own:
            raise OtherVersion(node, what, theirs.get(what, "none"), own)


def _check_nodes(ray: Any) -> None:
    """Have each node say what it runs. Raises OtherVersion, NodeSilent."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # No core is asked for: others may hold all of them.
    ask = ray.remote(num_cpus=0, max_retries=0)(versions)
    there = _nodes(ray)
    asked = [
        ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
        ).remote()
        for node in there
    ]
    ours = versions()
    for node, reference in zip(there, asked, strict=True):
        try:
            theirs = ray.get(reference, timeout=ANSWER)
        except Exception as error:  # whatever keeps a process from running there
            if node.id not in {other.id for other in _nodes(ray)}:
                continue  # Ray takes a node that was killed to be there for some seconds more
            raise NodeSilent(node.name, " ".join(str(error).split())) from None
        compare(node.name, theirs, ours)
