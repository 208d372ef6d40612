"""A preview as lines for a terminal, in which whatever a model wrote stays text."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from seedbed.runs.filled import Piece, Told
from seedbed.runs.outline import MARGIN, printable
from seedbed.runs.preview import Asked
from seedbed.views.preview.look import Seen

# What marks a part that was filled in, where there is no style.
BEGIN, END = "⟦", "⟧"
BOLD, NOT_BOLD = "\x1b[1;36m", "\x1b[0m"
# Of what was shown already the last so many characters; of one sample so many questions.
LITERAL, QUESTIONS = 200, 3
NOT_COUNTED = (
    "the whole stage: nobody can say, as it reads what another run of its method writes; "
    "`seedbed estimate` has the stage itself"
)


def lines(seen: Seen, styled: bool) -> Iterator[str]:
    """The lines to print. styled: whether the terminal shows styles."""
    mark = _styled if styled else _marked
    yield f"{seen.stage.address}: {seen.help}"
    so = mark("what stands so")
    yield f"asks {printable(seen.llm.model)} ({seen.llm.api}); filled in is {so}"
    if not seen.samples:
        yield "it has nothing to ask"
    known: set[str | None] = set()
    for number, sample in enumerate(seen.samples, 1):
        yield ""
        about = f": {' '.join(sample.about.split())}" if sample.about else ""
        yield printable(f"{number}{about}")
        both = zip(sample.asked, seen.told(sample), strict=True)
        for one, found in islice(both, QUESTIONS):
            yield from _asked(one, found, known, mark)
            known |= {found.name, one.prompt}
        if (more := len(sample.asked) - QUESTIONS) > 0:
            yield f"  and {more} more such question{'s' * (more > 1)}"
        yield f"  makes of it:{'' if sample.made else ' nothing'}"
        for row in sample.made:
            yield from _row(row)
        if sample.later:
            yield f"  {printable(sample.later)}"
    yield ""
    yield from summary(seen)


def summary(seen: Seen) -> Iterator[str]:
    """What was sent, and what all would take."""
    asked = sum(len(sample.asked) for sample in seen.samples)
    yield f"asked now: {seen.sent} of these {asked}; a run finds all of them in the store"
    if seen.whole is None:
        yield NOT_COUNTED
        return
    yield seen.whole.told
    for note in seen.whole.foreseen.guessed:
        yield f"  guessed: {note}"


def state(one: Asked) -> str:
    """Where an answer is from, and what is wrong with it."""
    told = ["in the store" if one.kept else "asked now"]
    told += [f"of no use: {one.problem}"] if one.problem else []
    told += ["cut at max_tokens"] if one.ended == "length" else []
    return ", ".join(told)


def _asked(
    one: Asked, found: Told, known: set[str | None], mark: Callable[[str], str]
) -> Iterator[str]:
    """known: the files, and the prompts, that were shown already."""
    if one.prompt in known:
        yield "  the same prompt as above"
    else:
        name = f" from {found.name}" if found.name else ""
        yield printable(f"  prompt{name}, {len(one.prompt):,} characters:")
        for line in _prompt(found, found.name in known, mark).split("\n"):
            yield f"    {MARGIN}{line}"
    if one.text is not None:
        yield from _block("and after it", one.text)
    yield from _block(f"answer ({state(one)})" if one.text is None else state(one), one.said)


def _prompt(found: Told, known: bool, mark: Callable[[str], str]) -> str:
    """The prompt, with what was filled in marked; of a text that was shown before, the ends."""
    return "".join(
        mark(piece.text) if piece.filled else _lines(_short(piece, known)) for piece in found.pieces
    )


def _short(piece: Piece, known: bool) -> str:
    if not known or len(piece.text) <= LITERAL:
        return piece.text
    # From where a line begins, if one does.
    end = piece.text[-LITERAL:]
    end = end[end.find("\n") + 1 :]
    return f"… {len(piece.text) - len(end):,} characters as above\n{end}"


def _lines(text: str) -> str:
    """Each line as a terminal shows it as it stands."""
    return "\n".join(map(printable, text.split("\n")))


def _marked(text: str) -> str:
    return f"{BEGIN}{_lines(text)}{END}"


def _styled(text: str) -> str:
    # Line by line: a margin is no part of it.
    return "\n".join(f"{BOLD}{printable(line)}{NOT_BOLD}" for line in text.split("\n"))


def _block(name: str, text: str) -> Iterator[str]:
    yield f"  {printable(name)}:"
    for line in text.split("\n"):
        yield f"    {MARGIN}{printable(line)}"


def _row(row: Mapping[str, Any]) -> Iterator[str]:
    first = True
    for name, value in row.items():
        yield printable(f"    {'-' if first else ' '} {name}: {shown(value)}")
        first = False


def shown(value: Any) -> str:
    """A value of a row, in one line: a text of several keeps its `\\n`."""
    if isinstance(value, str) and value == value.strip() and value and "\n" not in value:
        return value
    return json.dumps(value, ensure_ascii=False)
