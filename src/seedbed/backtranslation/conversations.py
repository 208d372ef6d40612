"""Files of conversations, such as data/prepare/messages.jsonl, as instructions and outputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from seedbed.core.files import read_rows
from seedbed.core.records import Record
from seedbed.errors import BadRow


class Message(Record):
    """One turn."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str


class MessagesRow(Record):
    """A conversation. id: the row's own, if it has one. key: of the answer that it was made of.

    key, license, url: a file from elsewhere may have anything there; what is no text is left.
    """

    messages: list[Message] = Field(min_length=2)
    id: str | int | None = None
    key: Any = None
    license: Any = None
    url: Any = None


@dataclass(frozen=True)
class Conversation:
    """What was asked, and what was answered. line: in its file, from 1. messages: as they stand."""

    id: str
    instruction: str
    output: str
    line: int
    key: str | None
    messages: tuple[Message, ...]
    license: str | None
    url: str | None


def with_score(row: Conversation, score: float | None) -> dict[str, Any]:
    """A row that is kept, as it stood in its file, and what it scored."""
    return {
        "messages": [message.model_dump() for message in row.messages],
        "id": row.id,
        "score": score,
        "license": row.license,
        "url": row.url,
        "key": row.key,
    }


def read_conversations(path: Path) -> Iterator[Conversation]:
    """The conversations of a file, in order; one without an id is called by its line.

    Raises:
        BadFile, BadRow: as `read_rows`; BadRow too for more than a question and its answer, for a
            text that is empty, and for an id that stands there twice.
    """
    lines: dict[str, int] = {}
    for line, row in enumerate(read_rows(path, MessagesRow), 1):
        *before, asked, answer = row.messages
        roles = [message.role for message in row.messages]
        if roles[-2:] != ["user", "assistant"] or not {*roles[:-2]} <= {"system", "developer"}:
            problem = f"a conversation of {', '.join(roles)}"
            remedy = "Leave those of one question and its answer, after a system message at most."
            raise BadRow(path, line, problem, remedy)
        instruction = "\n\n".join(message.content.strip() for message in (*before, asked)).strip()
        output = answer.content.strip()
        if not instruction or not output:
            what = "the answer" if instruction else "the question"
            raise BadRow(path, line, f"{what} is empty", "Remove the row.")
        name = str(line if row.id is None else row.id)
        first = lines.setdefault(name, line)
        if first != line:
            raise BadRow(
                path, line, f"id {name!r} is already that of line {first}", "Give it its own."
            )
        key, license_, url = (
            value if isinstance(value, str) else None for value in (row.key, row.license, row.url)
        )
        messages = tuple(row.messages)
        yield Conversation(name, instruction, output, line, key, messages, license_, url)
