"""A document's text as blocks: the same of Markdown as of HTML, since it is rendered to that first.

The form of a block is said in `seedbed.backtranslation.html_blocks`.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from seedbed.backtranslation.html_blocks import Block, Reader


@cache
def _markdown() -> MarkdownIt:
    # Deeper lists would be left out.
    parser = MarkdownIt("commonmark", {"maxNesting": 100})
    return parser.enable(["table", "strikethrough"])


def _groups(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens of each outermost block."""
    group: list[Token] = []
    for token in tokens:
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield group
            group = []


def read_markdown(text: str, skipped: int = 0) -> list[Block]:
    """The blocks of Markdown (CommonMark, tables). skipped: lines that stood before it."""
    lines = text.split("\n")
    env: dict[str, Any] = {}
    reader = Reader()
    parser = _markdown()
    for group in _groups(parser.parse(text, env)):
        first, end = group[0].map or (0, 1)
        while end - 1 > first and not lines[end - 1].strip():  # a list takes the lines after it
            end -= 1
        reader.at = first + 1 + skipped, end + skipped
        reader.part(parser.renderer.render(group, parser.options, env))
    return reader.end()


def read_plain(text: str) -> list[Block]:
    """The paragraphs of a text without headings, letter by letter; a blank line parts them."""
    blocks: list[Block] = []
    begun: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], 1):
        if line.strip():
            begun.append(line.rstrip())
        elif begun:
            blocks.append(Block(0, "\n".join(begun), number - len(begun), number - 1))
            begun = []
    return blocks
