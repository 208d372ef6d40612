"""Where the requests go: the embedded server, or whatever OPENAI_BASE_URL names."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from seedbed.errors import BadEnvironment, BadModel, redact
from seedbed.llm import embedded
from seedbed.params import Llm

OPENAI = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """A server to send requests to.

    address: what messages call it; no user, password or query is in it.
    model: the name that the server knows the model by.
    identity: all that can change its answers, see `seedbed.llm.request`.
    concurrency: requests in flight at most.
    connect: gives base URL and key; the first call starts the embedded server, so that a run
        which needs no new answer does not wait for it.
    one_slot: whether it is an embedded server with one slot, which gives the same bytes every
        time if it is asked in the way of `seedbed.llm.engine`.
    """

    address: str
    model: str
    identity: Mapping[str, Any]
    concurrency: int
    connect: Callable[[], tuple[str, str]]
    embedded: bool = False
    one_slot: bool = False


def number_from_env(name: str, default: int, least: int = 1) -> int:
    """A whole number from the environment. Raises BadEnvironment."""
    value = os.environ.get(name, "")
    if not value:
        return default
    if not value.isdecimal() or int(value) < least:
        raise BadEnvironment(name, value, f"a whole number of at least {least}")
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
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@contextmanager
def open_endpoint(llm: Llm) -> Iterator[Endpoint]:
    """The endpoint that the parameters and the environment name; an embedded server stops after.

    OPENAI_BASE_URL, if set, is the server, and llm.model the name it knows the model by.
    Otherwise llm.model is the packaged model or a GGUF file, and the embedded server runs it; or,
    if there is an OPENAI_API_KEY, the name of one of OpenAI's models.

    Raises:
        BadModel, BadEnvironment
    """
    url = os.environ.get("OPENAI_BASE_URL", "")
    key = os.environ.get("OPENAI_API_KEY", "")
    local = llm.model == embedded.PACKAGED or llm.model.endswith(".gguf")
    if not url and local:
        model = embedded.find_model(llm)
        with ExitStack() as running:
            yield Endpoint(
                address=f"the embedded server ({model.name})",
                model=model.name,
                identity=model.identity,
                concurrency=llm.embedded.slots,
                connect=lambda: running.enter_context(embedded.serve(model)),
                embedded=True,
                one_slot=llm.embedded.slots == 1,
            )
        return
    if not url:
        if not key:
            raise BadModel(
                llm.model,
                "neither a GGUF file nor the packaged model",
                f"Name a file that ends in .gguf, or {embedded.PACKAGED!r}; for a server set "
                "OPENAI_BASE_URL, for OpenAI's own models OPENAI_API_KEY.",
            )
        url = OPENAI
    if not _is_url(url):
        shown = redact(url.rpartition("@")[2].partition("?")[0])
        raise BadEnvironment("OPENAI_BASE_URL", shown, "http(s)://host[:port]/v1")
    address = without_secrets(url)
    yield Endpoint(
        address=address,
        model=llm.model,
        identity={"server": address, "name": llm.model},
        concurrency=number_from_env("SEEDBED_CONCURRENCY", 8),
        # The client wants a key; servers without keys ignore it.
        connect=lambda: (url, key or "none"),
    )
