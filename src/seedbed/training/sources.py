"""Files of rows, in any of their forms → prompts and completions; which of them are trained on."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

from seedbed.core import draws
from seedbed.core.files import read_rows
from seedbed.core.prompts import read_prompt
from seedbed.core.records import Record
from seedbed.errors import BadRow
from seedbed.training.errors import TooFewRows
from seedbed.training.params import Source
from seedbed.training.rows import AlpacaRow, MessagesRow, PromptRow, TaskRow


@dataclass(frozen=True)
class Example:
    """What is trained on: a prompt, its completion, and where they come from; see `TrainedRow`."""

    prompt: str
    completion: str
    source: str
    line: int
    key: str | None

    @property
    def id(self) -> str:
        """The same wherever the two texts come from."""
        text = json.dumps([self.prompt, self.completion], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Prompts:
    """How a task is put to the model: data/prompts/finetune, with an input and without."""

    def __init__(self, folder: Path):
        """Raises as `read_prompt`."""
        self._with = read_prompt(folder / "with_input.txt", ["{instruction}", "{input}"])
        self._without = read_prompt(folder / "without_input.txt", ["{instruction}"])

    def fill(self, instruction: str, given: str) -> str:
        """The prompt of a task. given: its input, "" for none."""
        texts = {"instruction": instruction.strip(), "input": given.strip()}
        form = self._with if texts["input"] else self._without
        # Both at once: an instruction that has {input} in it is a text.
        return re.sub(r"\{(instruction|input)\}", lambda place: texts[place[1]], form)


class _First(Record):
    """Whatever a first line has of the fields that tell the forms apart."""

    prompt: Any = None
    completion: Any = None
    messages: Any = None
    instruction: Any = None
    output: Any = None
    instances: Any = None


_FORMS: tuple[tuple[set[str], type[Record]], ...] = (
    ({"prompt", "completion"}, PromptRow),
    ({"messages"}, MessagesRow),
    ({"instruction", "output"}, AlpacaRow),
    ({"instruction", "instances"}, TaskRow),
)


def read_examples(path: Path, prompts: Prompts) -> Iterator[Example]:
    """The examples of a file of rows of one form, which its first line tells.

    A task with instances gives an example for each.

    Raises:
        BadFile, BadRow: as `read_rows`; BadRow too for a first line of no form that is known, and
            for a conversation of more than a question and its answer.
    """
    fields = next(read_rows(path, _First)).model_fields_set
    form = next((form for names, form in _FORMS if names <= fields), None)
    if form is None:
        known = "; ".join(" and ".join(sorted(names)) for names, _ in _FORMS)
        raise BadRow(path, 1, "rows of no form that is known", f"They have: {known}.")
    for line, row in enumerate(read_rows(path, form), 1):
        key = getattr(row, "key", None)
        for prompt, completion in _texts(row, prompts, path, line):
            yield Example(prompt, completion, str(path), line, key)


def _texts(row: Record, prompts: Prompts, path: Path, line: int) -> list[tuple[str, str]]:
    if isinstance(row, PromptRow):
        return [(row.prompt, row.completion)]
    if isinstance(row, AlpacaRow):
        return [(prompts.fill(row.instruction, row.input), _answer(row.output))]
    if isinstance(row, TaskRow):
        return [
            (prompts.fill(row.instruction, one.input), _answer(one.output)) for one in row.instances
        ]
    assert isinstance(row, MessagesRow)
    *before, asked, answer = row.messages
    roles = [message.role for message in row.messages]
    if roles[-2:] != ["user", "assistant"] or not {*roles[:-2]} <= {"system", "developer"}:
        raise BadRow(
            path,
            line,
            f"a conversation of {', '.join(roles)}",
            "It must be one of a user and one of the assistant, after a system message at most: a "
            "base model has no form for more. A trainer of chat models takes it: docs/training.md.",
        )
    instruction = "\n\n".join(message.content for message in (*before, asked))
    return [(prompts.fill(instruction, ""), _answer(answer.content))]


def _answer(output: str) -> str:
    """After a colon a space is the beginning of the next word, for most tokenizers."""
    return f" {output.strip()}"


class _HasExample(Protocol):
    @property
    def example(self) -> Example: ...


Row = TypeVar("Row", bound=_HasExample)


def mix(
    pools: Sequence[Sequence[Row]],
    sources: Sequence[Source],
    rows: int | None,
    seed: int,
    left_out: Sequence[int],
) -> list[Row]:
    """So many rows of each source as its share says, drawn at random, in their order.

    A draw belongs to its row: one more row in a file takes at most one other's place.

    Args:
        pools: the rows that each source has.
        rows: in all; None for as many as the shares allow.
        left_out: of each source, for the message.

    Raises:
        TooFewRows: a source has fewer than its share asks for, or there are not two in all.
    """
    # As they were written: 0.1 is a tenth.
    weights = [Fraction(str(source.share)) for source in sources]
    shares = [weight / sum(weights) for weight in weights]
    if rows is None:
        total = min(len(pool) / share for pool, share in zip(pools, shares, strict=True))
        counts = [int(total * share) for share in shares]
    else:
        counts = [int(rows * share) for share in shares]
        # What is left of the whole goes where most was cut off.
        cut = [rows * share - count for share, count in zip(shares, counts, strict=True)]
        for i in sorted(range(len(cut)), key=lambda i: -cut[i])[: rows - sum(counts)]:
            counts[i] += 1
    mixed: list[Row] = []
    for pool, source, count, out in zip(pools, sources, counts, left_out, strict=True):
        wanted = max(count, 2 if len(pools) == 1 else 1)
        if len(pool) < wanted:
            raise TooFewRows(source.file, wanted, len(pool), out)
        ranked = sorted(pool, key=lambda row: draws.rank(seed, "rows", row.example.id))
        chosen = {row.example.id for row in ranked[:count]}
        mixed += [row for row in pool if row.example.id in chosen]
    return mixed
