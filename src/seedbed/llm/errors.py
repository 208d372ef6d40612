"""What can go wrong between a request and the store: one class a failure.

None of the messages ever holds a key: text that comes from a server passes through `redact`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.errors import SeedbedError, shown
from seedbed.llm.redaction import quoted, redact


class BadModel(SeedbedError):
    def __init__(self, model: str, problem: str, remedy: str):
        super().__init__(f"llm.model: {model}: {problem}\n  {remedy}")
        self.model, self.problem, self.remedy = model, problem, remedy


class BadAdapter(SeedbedError):
    def __init__(self, adapter: str, problem: str, remedy: str):
        super().__init__(f"llm.embedded.adapter: {adapter}: {problem}\n  {remedy}")


class ServerNotThere(SeedbedError):
    def __init__(self, address: str, why: str):
        super().__init__(
            f"no answer from {address}: {redact(why)}\n"
            "  Is the server running, and is OPENAI_BASE_URL right (it usually ends in /v1)?"
        )


class KeyRefused(SeedbedError):
    """The key, or the account that it belongs to."""

    def __init__(self, address: str, status: int, answer: str):
        super().__init__(
            f"{address} refused the key (HTTP {status}): {redact(answer)}\n"
            "  Set OPENAI_API_KEY to a key that this server accepts, and see to its account. What "
            "was answered is kept: run the same command again to go on from there."
        )


class ModelUnknown(SeedbedError):
    def __init__(self, address: str, model: str, answer: str, known: list[str]):
        if model in known:
            problem = f"{address} has the model {model!r}, but no completions API"
            remedy = "Does the address end in /v1?"
        elif known:
            problem = f"{address} does not know the model {model!r}"
            served = redact(", ".join(known))
            remedy = f"Set llm.model in params.yaml to one that it serves: {served}."
        else:
            problem = f"{address} has no completions API, or no model {model!r}"
            remedy = "Does the address end in /v1? Is llm.model in params.yaml right?"
        super().__init__(
            f"{problem}: {redact(answer)}\n  {remedy} For the embedded model unset OPENAI_BASE_URL."
        )


class Redirected(SeedbedError):
    """The server points to another place, where neither key nor prompts should go unasked."""

    def __init__(self, address: str, target: str):
        super().__init__(
            f"{address} redirects requests to {quoted(target, 200)!r}, which is not followed\n"
            "  If that is the right place, name it in OPENAI_BASE_URL."
        )


class RequestRefused(SeedbedError):
    def __init__(self, address: str, status: int, answer: str):
        super().__init__(
            f"{address} refused a request (HTTP {status}): {redact(answer)}\n"
            "  Change the parameter that it names in params.yaml; what was answered is kept."
        )


class ParameterRefused(SeedbedError):
    """The server does not take one of the parameters."""

    def __init__(self, address: str, parameter: str, answer: str):
        remedy = f"Add {parameter} to llm.leave_out in params.yaml, and it is not sent."
        if parameter == "stop":
            remedy = (
                "Give fewer stop sequences, or add stop to llm.leave_out in params.yaml: then the "
                "text is cut at them here."
            )
        elif parameter in ("n", "max_tokens"):
            remedy = f"Change {parameter} of the stage's sampling in params.yaml."
        super().__init__(
            f"{address} refuses the parameter {parameter}: {redact(answer)}\n  {remedy}"
        )


@dataclass(frozen=True)
class RowFailed:
    """A request without an answer: its number among the stage's, its key, and the reason."""

    row: int
    key: str
    reason: str


class RowsFailed(SeedbedError):
    """Some requests have no answer after all retries."""

    def __init__(self, address: str, failed: list[RowFailed], log: Path):
        self.failed = failed
        rows = [f"  request {each.row} ({each.key[:12]}…): {each.reason}" for each in failed[:10]]
        more = f"  … and {len(failed) - 10} more: see {log}" if len(failed) > 10 else f"  See {log}"
        super().__init__(
            "\n".join(
                [
                    f"{address} did not answer {len(failed)} of the requests, for all retries:",
                    *rows,
                    more,
                    "  All others are answered and kept: run the same command again to ask for "
                    "these alone.",
                ]
            )
        )


class EmbeddingNotOffered(SeedbedError):
    def __init__(self, address: str):
        super().__init__(
            f"{address} is not asked for the states of prompts: only the embedded server is\n"
            "  Leave `hidden` out of rank_train.features, or unset OPENAI_BASE_URL."
        )


class ScoringNotOffered(SeedbedError):
    """A given text cannot be scored there."""

    def __init__(self, address: str, why: str, remedy: str | None = None):
        remedy = remedy or (
            "The embedded server can, and servers whose completions API takes `echo` with "
            "`logprobs`, such as vLLM."
        )
        super().__init__(f"{address} cannot score a given text: {redact(why)}\n  {remedy}")


class BatchFailed(SeedbedError):
    def __init__(self, address: str, why: str):
        super().__init__(
            f"the batch API of {address}: {redact(why)}\n"
            "  What was answered is kept, and batches under way are remembered: run the same "
            "command again to go on. Without SEEDBED_MODE=batch requests are sent one by one."
        )


class NotInStore(SeedbedError):
    """A replay needs what the store does not have."""

    def __init__(self, path: Path, row: int, key: str, form: str, models: list[str]):
        wanted: dict[str, Any] = json.loads(form)
        beginning = str(wanted.get("prompt", ""))[-200:]
        has = "\n".join(f"    {model}" for model in models[:10]) or "    none"
        super().__init__(
            f"run.replay: the response store {path} has no answer to request {row} ({key})\n"
            f"  model {json.dumps(wanted['model'])}, prompt ending {beginning!r}\n"
            f"  The store has answers of these models:\n{has}\n"
            "  Import the rest (`seedbed store import`), or set run.replay to false."
        )


class BudgetReached(SeedbedError):
    """The next request might exceed the budget."""

    def __init__(
        self,
        tokens: int,
        dollars: float,
        most_tokens: int | None,
        most_dollars: float | None,
        next_tokens: int,
        next_dollars: float,
    ):
        limits = []
        if most_dollars is not None:
            limits.append(
                f"SEEDBED_BUDGET_USD={most_dollars:g}: ${dollars:.6f} spent, "
                f"the next request may cost ${next_dollars:.6f}"
            )
        if most_tokens is not None:
            limits.append(
                f"SEEDBED_BUDGET_TOKENS={most_tokens}: {tokens} used, "
                f"the next request may take {next_tokens}"
            )
        super().__init__(
            "the budget is used up: " + "; ".join(limits) + "\n"
            "  What was answered is kept: raise the budget and run the same command to go on."
        )


class NoPrice(SeedbedError):
    def __init__(self, model: str):
        super().__init__(
            f"SEEDBED_BUDGET_USD is set, but run.prices in params.yaml has no price for {model!r}\n"
            "  Add `{model: …, input: …, output: …}` in US dollars per million tokens."
        )


class ServerFailed(SeedbedError):
    def __init__(self, address: str, why: str):
        super().__init__(
            f"{address} keeps failing: {redact(why)}\n"
            "  What was answered is kept: run the same command again to go on from there."
        )


class BadAnswer(SeedbedError):
    def __init__(self, address: str, problem: str, body: str):
        super().__init__(
            f"{address} sent what is not a completion: {problem}: {quoted(body, 200)!r}\n"
            "  Does it serve the OpenAI completions API (/v1/completions)?"
        )


class StoreFailed(SeedbedError):
    def __init__(
        self,
        path: Path,
        why: str,
        remedy: str = "See to that, or let SEEDBED_STORE name another place. What was kept before "
        "is not harmed.",
    ):
        super().__init__(f"response store {path}: {why}\n  {remedy}")


class StoreNotWritable(StoreFailed):
    def __init__(self, path: Path, why: str):
        super().__init__(
            path,
            f"cannot be written: {why}",
            "Make the file and its folder writable, or let SEEDBED_STORE name another place. As it "
            "is, only what it has can be had: run.replay, `seedbed store export`.",
        )


class StoreNotReadable(StoreFailed):
    def __init__(self, path: Path, why: str):
        super().__init__(
            path,
            f"cannot be read: {why}",
            "Make it a file that you may read, or let SEEDBED_STORE name another place.",
        )


class StoreWithoutFolder(StoreFailed):
    def __init__(self, path: Path, why: str):
        super().__init__(
            path,
            f"its folder cannot be made: {why}",
            "Let SEEDBED_STORE name a file in a folder that is there, or can be made.",
        )


class StoreFull(StoreFailed):
    def __init__(self, path: Path, why: str):
        super().__init__(
            path,
            why,
            "Make room and run the same command again to go on from there. What was kept before is "
            "not harmed; at most what was in flight is lost, and asked for again.",
        )


class StoreBusy(StoreFailed):
    def __init__(self, path: Path, why: str):
        super().__init__(
            path,
            why,
            "Another process has been writing for a minute. End it, or wait for its end, and run "
            "the same command again.",
        )


class NotAStore(StoreFailed):
    def __init__(self, path: Path, why: str):
        super().__init__(
            path,
            f"it is none: {why}",
            "The file is something else, and was left as it is: let SEEDBED_STORE name another "
            "place.",
        )


class StoreOfLaterVersion(StoreFailed):
    def __init__(self, path: Path, version: int, known: int):
        super().__init__(
            path,
            f"of version {version}; this program knows {known}",
            "Bring Seedbed up to date, or let SEEDBED_STORE name another place.",
        )


class StoreOfEarlierVersion(StoreFailed):
    """It is read only, or is to be, and so cannot be brought up to date."""

    def __init__(self, path: Path, version: int, known: int):
        super().__init__(
            path,
            f"of version {version}; this program reads {known}",
            "`seedbed store check` brings it up to date, if it can be written; else let "
            "SEEDBED_STORE name a copy that can.",
        )


class StoreDamaged(StoreFailed):
    def __init__(
        self,
        path: Path,
        found: str,
        remedy: str = "What is legible can be saved with `sqlite3 FILE .recover | sqlite3 NEW`, or "
        "let SEEDBED_STORE name another place.",
    ):
        super().__init__(path, f"damaged: {found}", remedy)


class RowsDamaged(StoreDamaged):
    """The file is sound, but not what is in some of its rows."""

    def __init__(self, path: Path, rows: list[str]):
        more = f"; and {len(rows) - 10} more" if len(rows) > 10 else ""
        super().__init__(
            path,
            "; ".join(rows[:10]) + more,
            "`seedbed store prune --damaged` deletes such rows, so that the answers are asked for "
            "anew; an export made before, imported after that, brings them back.",
        )


class BadEnvironment(SeedbedError):
    def __init__(self, name: str, value: str, expected: str):
        super().__init__(f"environment variable {name}={shown(value)}: expected {expected}")


class BadAddress(SeedbedError):
    """It is not quoted: in what is no address, a password may be anywhere."""

    def __init__(self) -> None:
        super().__init__(
            "environment variable OPENAI_BASE_URL: not the address of a server (it is not shown, "
            "because a password may be in it)\n"
            "  Expected http(s)://[user:password@]host[:port]/v1; in user and password write /, ?, "
            "# and @ as %2F, %3F, %23 and %40; several of them with spaces or commas between."
        )
