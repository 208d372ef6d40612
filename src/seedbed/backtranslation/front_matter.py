"""What a Markdown document says of itself at its beginning, in YAML.

It stands between a first line of --- and the next line of --- or ..., and has names with values
alone: each line there begins with a name (a word, or one in quotation marks) and a colon, goes on
with the value of one (indented, or an item of its list), is blank, or is a comment that no blank
line precedes. Else it is text, as a note or a heading between two rules is.
"""

import re
from pathlib import Path

import yaml

from seedbed.backtranslation.errors import BadFrontMatter

NAMES = ("title", "url", "license")
# What YAML calls nothing.
_NOTHING = ("", "~", "null")
_ENTRY = re.compile(r"""(?:\w[\w.-]*|"[\w. -]+"|'[\w. -]+')[ \t]*:(?!//)(.*)""")


def or_none(value: str | None) -> str | None:
    """A text in one line; None of nothing."""
    value = " ".join((value or "").split())
    return None if value.lower() in _NOTHING else value


def split(path: Path, text: str) -> tuple[dict[str, str | None], str, int]:
    """What it says, by NAMES; the text after it, and how many lines stood before that.

    Raises:
        BadFrontMatter: it is no YAML, or one of the names has no text.
    """
    lines = text.split("\n") if text.startswith("---") else []
    end = _end(lines)
    if end is None:
        return dict.fromkeys(NAMES), text, 0
    own = _read(path, "\n".join(lines[1:end]) + "\n")
    return own, "\n".join(lines[end + 1 :]), end + 1


def _end(lines: list[str]) -> int | None:
    """The line that ends it; None if it is text."""
    if not lines or lines[0].rstrip() != "---":
        return None
    begun = awaits_items = after_blank = False
    for place, line in enumerate(lines[1:], 1):
        if line.rstrip() in ("---", "..."):
            return place if begun else None
        if not line.strip():
            after_blank = True
            continue
        if entry := _ENTRY.fullmatch(line):
            begun, awaits_items = True, entry[1].strip()[:1] in ("", "#")
        elif not (
            (line[0] == "#" and not after_blank)
            or (begun and line[0] in " \t]}")
            or (awaits_items and line[:2].rstrip() == "-")
            or (not begun and line.lstrip()[0] == "#" and not after_blank)
        ):
            return None
        after_blank = False
    return None


def _read(path: Path, text: str) -> dict[str, str | None]:
    try:
        # Of YAML's types none is wanted: a title of 2024 is a text.
        found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "nested too deeply"
        raise BadFrontMatter(path, mark.line + 2 if mark else 1, problem) from None
    if not isinstance(found, dict):
        raise BadFrontMatter(path, 1, "no names with values")
    own: dict[str, str | None] = dict.fromkeys(NAMES)
    named: set[str] = set()
    for key, value in found.items():
        name = str(key).lower()
        if name not in NAMES:
            continue
        if not isinstance(value, str):
            raise BadFrontMatter(path, 1, f"{name} is no text")
        if name in named:
            raise BadFrontMatter(path, 1, f"{name} stands there twice")
        named.add(name)
        own[name] = or_none(value)
    return own
