"""Where the requests go: the embedded server, or whatever OPENAI_BASE_URL names."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from seedbed.core import cluster
from seedbed.llm.addresses import addresses
from seedbed.llm.budget import Budget
from seedbed.llm.errors import BadAdapter, BadAddress, BadEnvironment, BadModel, NoPrice
from seedbed.llm.params import Llm, Price, server_name
from seedbed.llm.serve import embedded, ray_fleet
from seedbed.llm.server_errors import (
    BadName,
    FleetWithoutName,
    NameWithoutAddress,
    NameWithoutServer,
    NoServerName,
)
from seedbed.llm.store.rows import Spent

OPENAI = "https://api.openai.com/v1"
# Where servers on Ray listen is known when they do. Their tokens cost nothing, as on this machine.
UNPLACED = "http://127.0.0.1/v1"
# Under /v1, for each of `llm.api`.
PATHS = {"completions": "/completions", "chat": "/chat/completions"}


@dataclass(frozen=True)
class Endpoint:
    """A server to send requests to, or several, and how.

    address: what messages call it; no user, password or query is in it.
    model: the name that the server knows the model by.
    llm: the parameters that it is asked with.
    identity: all that can change its answers, see `seedbed.llm.contract.request`.
    connect: gives base URL and key; the first call starts the embedded server, so that a run
        which needs no new answer does not wait for it.
    connect_embedding: the same of a server for states of prompts; None where there is none.
    price: what its tokens cost, None if nobody says.
    say_none: whether it is told that top_k and min_p are none, where params.yaml has null.
    embedded: whether it runs in this process.
    one_slot: whether it is an embedded server with one slot, which gives the same bytes every
        time if it is asked in the way of `seedbed.llm.send.slot`.
    servers: of several, each as an endpoint of its own; empty where there is one. They have the
        same identity, and each its own `concurrency` and what it allows a minute.
    gather: starts the servers and gives them, where they are not there before: see `gathered`.
    moves: whether it may be started anew at another address: `connect` is then called again after
        it was absent, and raises Away while it is.
    concurrency: requests in flight at most, at all servers together.
    prompts_per_request: prompts in one request of the completions API.
    retries: times that a request which fails is tried again.
    patience: seconds after which a run in which nothing succeeds any more stops.
    per_minute, tokens_per_minute: what the server allows, None if it does not say.
    batch: whether requests go through the provider's batch API.
    """

    address: str
    model: str
    llm: Llm
    identity: Mapping[str, Any]
    connect: Callable[[], tuple[str, str]]
    price: Price | None
    connect_embedding: Callable[[], tuple[str, str]] | None = None
    say_none: bool = True
    embedded: bool = False
    one_slot: bool = False
    servers: tuple["Endpoint", ...] = ()
    gather: Callable[[], tuple["Endpoint", ...]] | None = None
    moves: bool = False
    concurrency: int = 8
    prompts_per_request: int = 1
    retries: int = 5
    patience: int = 300
    per_minute: int | None = None
    tokens_per_minute: int | None = None
    batch: bool = False

    def gathered(self) -> "Endpoint":
        """The same with its servers, which are started if need be. Raises SeedbedError."""
        if self.gather is None:
            return self
        servers = self.gather()
        at_once = sum(server.concurrency for server in servers)
        return replace(self, gather=None, servers=servers, concurrency=at_once)

    def budget(self, spent: Spent) -> Budget:
        """The budget that the environment sets. Raises BadEnvironment, NoPrice."""
        dollars = os.environ.get("SEEDBED_BUDGET_USD") or None
        limit = None
        if dollars is not None:
            try:
                limit = float(dollars)
            except ValueError:
                limit = -1.0
            if not 0 <= limit < float("inf"):
                raise BadEnvironment("SEEDBED_BUDGET_USD", dollars, "US dollars, such as 12.50")
            if self.price is None:
                raise NoPrice(self.model)
        tokens = number_from_env("SEEDBED_BUDGET_TOKENS", -1, least=0)
        return Budget(limit, None if tokens < 0 else tokens, self.price, spent)


class Away(Exception):
    """A server that is started by somebody else is not there just now."""


def number_from_env(name: str, default: int, least: int = 1) -> int:
    """A whole number from the environment. Raises BadEnvironment."""
    value = os.environ.get(name, "")
    if not value:
        return default
    # More digits than that no float takes, and no clock or queue either.
    if not value.isdecimal() or len(value) > 12 or int(value) < least:
        raise BadEnvironment(name, value, f"a whole number of at least {least}, in 12 digits")
    return int(value)


def without_secrets(url: str) -> str:
    """The URL without user, password, query and final slash.

    >>> without_secrets("https://me:pw@host:8000/v1/?token=x")
    'https://host:8000/v1'
    """
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port raises if it is none.
        is_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    # An @ after the place: a password ended it before its end, by a slash in it, say. A space: the
    # next of several addresses does not begin with http.
    ends = "@" not in parts.path + parts.query + parts.fragment
    return is_place and ends and not re.search(r"\s", parts.path)


def server_of(said: str) -> str:
    """A server as keys have it, from what somebody calls it: its name, or its address.

    Raises:
        BadName: it can be neither.
    """
    if _is_url(said):
        return without_secrets(said)
    try:
        return server_name(said)
    except ValueError as problem:
        raise BadName("…" if "@" in said else said, str(problem)) from None


@contextmanager
def open_endpoint(llm: Llm) -> Iterator[Endpoint]:
    """The endpoint that the parameters and the environment name; an embedded server stops after.

    OPENAI_BASE_URL, if set, is the server, or several, and llm.model the name it knows the model
    by. Otherwise llm.model is the packaged model or a GGUF file, and the embedded server runs it;
    or, if there is an OPENAI_API_KEY, the name of one of OpenAI's models. With SEEDBED_RAY what
    would run here runs on the nodes of a Ray cluster, and without a key vLLM does.

    Raises:
        BadModel, BadAdapter, BadEnvironment, BadAddress, NoServerName, NameWithoutServer,
        NameWithoutAddress, FleetWithoutName, BadCluster
    """
    urls = addresses(os.environ.get("OPENAI_BASE_URL", ""))
    key = os.environ.get("OPENAI_API_KEY", "")
    local = llm.model == embedded.PACKAGED or llm.model.endswith(".gguf")
    mode = os.environ.get("SEEDBED_MODE") or "live"
    if mode not in ("live", "batch"):
        raise BadEnvironment("SEEDBED_MODE", mode, "live or batch")
    if not urls and local:
        if llm.server:
            raise NameWithoutServer(llm.server, llm.model)
        if mode == "batch":
            raise BadEnvironment("SEEDBED_MODE", mode, "live with the embedded server")
        model = embedded.find_model(llm)
        with ExitStack() as running:
            here = Endpoint(
                address=f"the embedded server ({model.name})",
                model=model.name,
                llm=llm,
                identity=model.identity,
                connect=lambda: running.enter_context(embedded.serve(model)),
                connect_embedding=lambda: running.enter_context(embedded.serve(model, True)),
                price=Price(model=model.name, input=0, output=0),
                embedded=True,
                one_slot=llm.embedded.slots == 1,
                concurrency=llm.embedded.slots,
                retries=number_from_env("SEEDBED_MAX_RETRIES", 5, least=0),
            )
            yield ray_fleet.of_embedded(here, model, running) if cluster.named() else here
        return
    if llm.embedded.adapter:
        raise BadAdapter(
            llm.embedded.adapter,
            f"only the embedded server takes one, and {llm.model} is asked for elsewhere",
            "Set it to null. A server loads an adapter by itself, and llm.model then names it: "
            "docs/training.md.",
        )
    if not urls and not key and not llm.replay and cluster.named():
        if not llm.server:
            raise FleetWithoutName(llm.model)
        if mode == "batch":
            raise BadEnvironment("SEEDBED_MODE", mode, "live with SEEDBED_RAY")
        with ExitStack() as running:
            yield ray_fleet.of_vllm(_served(llm, [UNPLACED], key, batch=False), running)
        return
    if not urls and key and llm.server and not llm.replay:
        raise NameWithoutAddress(llm.server)
    if not urls and not key and not llm.replay:
        raise BadModel(
            llm.model,
            "neither a GGUF file nor the packaged model",
            f"Name a file that ends in .gguf, or {embedded.PACKAGED!r}; for a server set "
            "OPENAI_BASE_URL, for OpenAI's own models OPENAI_API_KEY.",
        )
    yield _served(llm, urls, key, batch=mode == "batch")


def _served(llm: Llm, urls: Sequence[str], key: str, *, batch: bool) -> Endpoint:
    """The endpoint at some addresses; without any, OpenAI's. Raises as `open_endpoint`."""
    # A replay connects to nobody: what has a name was answered by a server that has one.
    named = bool(llm.server) and not urls and not key
    urls = urls or [OPENAI]
    if not all(map(_is_url, urls)):
        raise BadAddress
    places = {without_secrets(url): url for url in urls}
    if len(places) > 1:
        if not llm.server:
            raise NoServerName(len(places))
        if batch:
            raise BadEnvironment(
                "SEEDBED_MODE", "batch", "live, with several addresses in OPENAI_BASE_URL"
            )
    number = partial(number_from_env, least=1)
    first, *others = [
        Endpoint(
            address=place,
            model=llm.model,
            llm=llm,
            identity={"server": llm.server or place, "name": llm.model},
            # The client wants a key; servers without keys ignore it.
            connect=partial(_at, url, key or "none"),
            price=_price(llm, [*places]),
            # OpenAI's own server refuses what it does not know, and it does not know these.
            say_none=named
            or all(urlsplit(one).hostname != urlsplit(OPENAI).hostname for one in urls),
            concurrency=number("SEEDBED_CONCURRENCY", 8),
            prompts_per_request=1
            if llm.api == "chat"  # which has no lists
            else number("SEEDBED_PROMPTS_PER_REQUEST", 1),
            retries=number_from_env("SEEDBED_MAX_RETRIES", 5, least=0),
            patience=number("SEEDBED_PATIENCE", 300),
            per_minute=number("SEEDBED_REQUESTS_PER_MINUTE", 0) or None,
            tokens_per_minute=number("SEEDBED_TOKENS_PER_MINUTE", 0) or None,
            batch=batch,
        )
        for place, url in places.items()
    ]
    if not others:
        return first
    servers = (first, *others)
    return replace(
        first,
        address=_named([*places]),
        servers=servers,
        concurrency=sum(server.concurrency for server in servers),
    )


def _at(url: str, key: str) -> tuple[str, str]:
    return url, key


def _named(places: Sequence[str]) -> str:
    """Several addresses as messages call them.

    >>> _named(["http://a/v1", "http://b/v1"])
    'http://a/v1, http://b/v1'
    """
    more = f" and {len(places) - 4} more" if len(places) > 4 else ""
    return ", ".join(places[:4]) + more


def _price(llm: Llm, places: Sequence[str]) -> Price | None:
    """What the model costs: as params.yaml says; on this machine nothing."""
    for price in llm.prices:
        if price.model == llm.model:
            return price
    local = all(map(_is_here, places))
    return Price(model=llm.model, input=0, output=0) if local else None


def _is_here(place: str) -> bool:
    host = urlsplit(place).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
