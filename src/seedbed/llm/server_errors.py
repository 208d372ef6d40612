"""What can be wrong with several servers, and with the name that stands for them."""

from collections.abc import Sequence
from pathlib import Path

from seedbed.errors import SeedbedError
from seedbed.llm.redaction import quoted


class NoServerName(SeedbedError):
    """Several addresses, and nobody says what their answers are to be kept under."""

    def __init__(self, count: int):
        super().__init__(
            f"OPENAI_BASE_URL has {count} addresses, and llm.server no name for what answers\n"
            "  Set llm.server in params.yaml to a name, such as pool: answers are then kept under "
            "it, whichever of the servers gave them. `seedbed doctor` says whether they are alike; "
            "`seedbed store rename` moves answers that an address has already."
        )


class NameWithoutServer(SeedbedError):
    def __init__(self, name: str, model: str):
        super().__init__(
            f"llm.server: {name}: a name for a server, but the embedded server runs {model}\n"
            "  Take the line out of params.yaml (a model file is known by its content), or set "
            "OPENAI_BASE_URL."
        )


class NameWithoutAddress(SeedbedError):
    """A key and a name: without an address both would go to OpenAI."""

    def __init__(self, name: str):
        super().__init__(
            f"llm.server: {name}: a name for a server, but OPENAI_BASE_URL says no address\n"
            "  Set it: to https://api.openai.com/v1 for OpenAI's own server, which OPENAI_API_KEY "
            "alone stands for. Where SEEDBED_RAY is to start servers, unset OPENAI_API_KEY."
        )


class ServersUnlike(SeedbedError):
    """Two of the servers have other models.

    address, models: of the one that is the odd one out; other, theirs: of one that is not.
    """

    def __init__(
        self,
        address: str,
        models: Sequence[str],
        other: str,
        theirs: Sequence[str],
        wanted: tuple[str, str],
    ):
        """wanted: llm.model, and llm.server."""
        model, server = wanted
        super().__init__(
            f"{address} serves {_listed(models)}, but {other} serves {_listed(theirs)}\n"
            f"  Answers of both would be kept as those of {server!r}. Start that server with the "
            f"model under the name {model!r}, or take its address out of OPENAI_BASE_URL; `seedbed "
            "doctor` compares them."
        )


class NoSuchServer(SeedbedError):
    def __init__(self, path: Path, server: str, model: str | None, known: Sequence[str]):
        of = f" to model {model!r}" if model else ""
        has = ", ".join(known[:10]) or "none of any server"
        super().__init__(
            f"response store {path}: no answers of {server}{of}\n"
            f"  It has those of: {has}. `seedbed store stats` has a paragraph a model."
        )


class BatchUnderWay(SeedbedError):
    def __init__(self, path: Path, server: str, count: int):
        batches = "a batch is" if count == 1 else f"{count} batches are"
        super().__init__(
            f"response store {path}: {batches} under way at {server}, whose answers are to come "
            "under that name\n"
            "  Let the stage take them in first, with SEEDBED_MODE=batch as it was."
        )


class RunUnderWay(SeedbedError):
    def __init__(self, path: Path, server: str):
        super().__init__(
            f"response store {path}: another process is asking, whose answers may be yet to come "
            f"under {server}\n  Wait until it has ended, or end it: Ctrl-C keeps what is answered."
        )


class BadName(SeedbedError):
    def __init__(self, said: str, problem: str):
        super().__init__(
            f"{said[:100]!r}: {problem}\n  Or give an address: http(s)://host:port/v1."
        )


class FleetWithoutName(SeedbedError):
    """vLLM on a cluster, and nobody says what its answers are to be kept under."""

    def __init__(self, model: str):
        super().__init__(
            f"llm.model: {model}: SEEDBED_RAY has it served by vLLM, and llm.server no name for "
            "what answers\n"
            "  Set llm.server in params.yaml to a name, such as pool: answers are kept under it. "
            "To run the embedded server on the cluster, name a GGUF file."
        )


class ShareFailed(SeedbedError):
    """A node on which a server cannot run."""

    def __init__(self, node: str, problem: str, remedy: str):
        super().__init__(f"Ray node {node}: {problem}\n  {remedy}")


class NoRoom(ShareFailed):
    """has, needs: bytes."""

    def __init__(self, node: str, has: int, needs: int, model: str):
        super().__init__(
            node,
            f"{has / 1e6:,.0f} MB of memory, and {model} needs {needs / 1e6:,.0f} MB",
            "Take the node out of the cluster (`ray stop` there) or name a smaller model; if it "
            "has more, say so to Ray: `ray start --memory=BYTES`.",
        )


class NoShare(SeedbedError):
    """No node has what a server needs."""

    def __init__(self, wanted: str, nodes: Sequence[str]):
        more = f" and {len(nodes) - 10} more" if len(nodes) > 10 else ""
        super().__init__(
            f"no node of the Ray cluster has {wanted}: {', '.join(nodes[:10])}{more}\n"
            "  Start nodes that have it, or say so to Ray: `ray start --num-cpus=N --num-gpus=M`."
        )


class NoVllm(SeedbedError):
    def __init__(self) -> None:
        super().__init__(
            "no program vllm there\n"
            "  Install vLLM in the environment in which `ray start` ran on that node."
        )


class VllmEnded(SeedbedError):
    def __init__(self, model: str, status: int):
        super().__init__(
            f"`vllm serve {model}` ended with status {status}\n"
            "  What it said is on that node, in session_latest/logs of Ray, in the newest "
            "worker-*.err."
        )


def _listed(models: Sequence[str]) -> str:
    more = f" and {len(models) - 5} more" if len(models) > 5 else ""
    return ", ".join(quoted(model, 200) for model in models[:5]) + more
