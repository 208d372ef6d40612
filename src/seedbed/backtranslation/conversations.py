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

    key: a file from elsewhere may have anything there; what is no text is left.
    """

    messages: list[Message] = Field(min_length=2)
    id: str | int | None = None
    key: Any = None
    license: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Conversation:
    """What was asked, and what was answered. line: in its file, from 1. messages: as they stand.

    instruction: the request, after what the system says. system: that alone; None if it says
        nothing.
    """

    id: str
    instruction: str
    request: str
    system: str | None
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
        request, output = asked.content.strip(), answer.content.strip()
        system = "\n\n".join(message.content.strip() for message in before).strip() or None
        if not request or not output:
            what = "the answer" if request else "the question"
            raise BadRow(path, line, f"{what} is empty", "Remove the row.")
        name = str(line if row.id is None else row.id)
        first = lines.setdefault(name, line)
        if first != line:
            raise BadRow(
                path, line, f"id {name!r} is already that of line {first}", "Give it its own."
            )
        yield Conversation(
            id=name,
            instruction=instruction,
            request=request,
            system=system,
            output=output,
            line=line,
            key=row.key if isinstance(row.key, str) else None,
            messages=tuple(row.messages),
            license=(row.license or "").strip() or None,
            url=(row.url or "").strip() or None,
        )
