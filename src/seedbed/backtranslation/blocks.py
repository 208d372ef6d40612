"""A document's text as blocks: the same of Markdown as of HTML, since it is rendered to that first.

The form of a block is said in `seedbed.backtranslation.html_blocks`.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock, reference
from markdown_it.token import Token

from seedbed.backtranslation.html_blocks import Block, Reader
from seedbed.backtranslation.markup import Kept, Unreadable

# What lies deeper the parser leaves out, with all that follows.
_DEEPEST = 100
_CONTAINERS = ("blockquote_open", "list_item_open")


def _as_written(renderer: Any, tokens: list[Token], place: int, options: Any, env: Any) -> str:
    return escapeHtml(tokens[place].content)


def _definition(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """The parser's own rule, which takes a footnote of one word for a link that nobody sees."""
    begin = state.bMarks[first] + state.tShift[first]
    return not state.src.startswith("[^", begin) and reference(state, first, last, silent)


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": _DEEPEST})
    parser.enable(["table", "strikethrough"])
    parser.block.ruler.at("reference", _definition, {"alt": []})
    # <select> in a sentence is a word of it, and so is List<String>.
    parser.add_render_rule("html_inline", _as_written)
    return parser


def _groups(tokens: list[Token]) -> Iterator[list[Token]]:
    """The tokens of each outermost block."""
    group: list[Token] = []
    for token in tokens:
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield group
            group = []


def _left_open(html: str) -> Kept:
    """What a part of a Markdown document is to keep: what it leaves open, and a title's text."""
    kept = {"title": (0, 0)}
    while True:
        reader = Reader(kept)
        reader.feed(html)
        reader.close()
        if not reader.left_open:
            return kept
        kept |= dict.fromkeys(reader.left_open, (0, 0))


def read_markdown(text: str, skipped: int = 0) -> list[Block]:
    """The blocks of Markdown (CommonMark, tables). skipped: lines that stood before it.

    Raises:
        Unreadable: it is nested too deeply.
    """
    lines = text.split("\n")
    env: dict[str, Any] = {}
    reader = Reader()
    parser = _markdown()
    tokens = parser.parse(text, env)
    if any(one.level >= _DEEPEST - 1 and one.type in _CONTAINERS for one in tokens):
        raise Unreadable
    for group in _groups(tokens):
        first, end = group[0].map or (0, 1)
        while end - 1 > first and not lines[end - 1].strip():  # a list takes the lines after it
            end -= 1
        reader.at = first + 1 + skipped, end + skipped
        html = parser.renderer.render(group, parser.options, env)
        is_html = any(one.type == "html_block" for one in group)
        reader.part(html, _left_open(html) if is_html else {})
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
