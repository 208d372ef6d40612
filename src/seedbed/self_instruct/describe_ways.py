"""describe-ways: what a row takes to make, by the four stages and by alpaca.

Requests, and tokens as the server counted them, of every answer that a way has asked for, those of
refused pieces too, for each row that `prepare` finished. Seed tasks are no such rows. The rows name
the answers by key, and the response store has their tokens: it asks nothing and shapes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.core.files import read_rows, to_json, write_files
from seedbed.core.metrics import with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.self_instruct.alpaca_rows import PREPARED_TASKS, REJECTED_TASKS, TASKS
from seedbed.self_instruct.errors import TokensUnknown
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    PREPARED,
    REJECTED_INSTRUCTIONS,
)


class Params(Section):
    """It has no parameters."""


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    instructions: Path = INSTRUCTIONS
    rejected: Path = REJECTED_INSTRUCTIONS
    classified: Path = CLASSIFIED
    completions: Path = COMPLETIONS
    rows: Path = PREPARED / "finetuning.jsonl"
    tasks: Path = TASKS
    rejected_tasks: Path = REJECTED_TASKS
    task_rows: Path = PREPARED_TASKS / "finetuning.jsonl"


class _Keyed(Record):
    """What is read of an exchange."""

    key: str | None = None


class _Row(_Keyed):
    """What is read of a row of any of these files."""

    metadata: _Keyed = _Keyed()
    instance_metadata: _Keyed = _Keyed()


@dataclass(frozen=True)
class Cost:
    """What a way has asked for, and what came of it."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    rows: int

    def cells(self) -> dict[str, float]:
        """As the table has them."""
        each = {
            "requests": self.requests,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }
        a_row = {f"{name}_a_row": round(value / self.rows, 2) for name, value in each.items()}
        return {"rows": self.rows, **each, **a_row} if self.rows else {"rows": 0, **each}


def keys_of(path: Path) -> Iterator[str]:
    """Yield the answer's key of each row that has one; none of an empty file."""
    rows = read_rows(path, _Row) if path.stat().st_size else ()
    for row in rows:
        if key := row.key or row.metadata.key or row.instance_metadata.key:
            yield key


def cost(way: str, asked: Iterable[Path], rows: Path) -> Cost:
    """What the answers took that the files of `asked` name, for the rows that have a key.

    Raises:
        BadFile, BadRow, StoreFailed
        TokensUnknown: the store lacks an answer, or nobody counted its tokens.
    """
    from seedbed.llm.store.place import default_path
    from seedbed.llm.store.reading import tokens_of

    keys = {key for path in asked for key in keys_of(path)}
    counted = dict(tokens_of(default_path(), sorted(keys)))
    if lacking := len(keys - counted.keys()):
        raise TokensUnknown(way, lacking, len(keys), default_path())
    return Cost(
        requests=len(keys),
        prompt_tokens=round(sum(prompt for prompt, _ in counted.values())),
        completion_tokens=round(sum(completion for _, completion in counted.values())),
        rows=sum(1 for _ in keys_of(rows)),
    )


def metrics(costs: dict[str, Cost]) -> dict[str, Any]:
    """The table, and of each way what a row takes; 0 where no row was finished."""
    table = {way: of_way.cells() for way, of_way in costs.items()}
    short: dict[str, Any] = {}
    for way, cells in table.items():
        tokens = cells.get("prompt_tokens_a_row", 0.0) + cells.get("completion_tokens_a_row", 0.0)
        short[f"{way}_requests_a_row"] = cells.get("requests_a_row", 0.0)
        short[f"{way}_tokens_a_row"] = round(tokens, 2)
    return {**short, "way": table}


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read what both ways wrote; write the metrics."""
    four = [inputs.instructions, inputs.rejected, inputs.classified, inputs.completions]
    one = [inputs.tasks, inputs.rejected_tasks]
    with Progress("describe-ways", None, "ways") as progress:
        costs = {
            "four_stages": cost("bootstrap, clf and instances", four, inputs.rows),
            "alpaca": cost("alpaca", one, inputs.task_rows),
        }
    write_files({into.metrics: to_json(with_tables(metrics(costs)))})
    progress.finish(sum(of_way.rows for of_way in costs.values()))
