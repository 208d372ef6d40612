"""What can be wrong with several servers, and with the name that stands for them."""

from collections.abc import Sequence

from seedbed.errors import SeedbedError
from seedbed.llm.redaction import redact


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


def _listed(models: Sequence[str]) -> str:
    more = f" and {len(models) - 5} more" if len(models) > 5 else ""
    return redact(", ".join(models[:5])) + more
