"""A page's text as blocks.

A block is a heading, a paragraph, a whole list, quotation or table, or a code block. Emphasis and
links leave their text, images nothing; `code` keeps its marks; items are "- x" and "1. x",
quotations "> x", cells "a | b", code blocks are fenced. A heading in a list or a quotation is a
line of it. What is no text of a page, such as its scripts and its navigation, is left out.
"""

import re
from dataclasses import dataclass

from seedbed.backtranslation.frames import Context, Frame
from seedbed.backtranslation.markup import Kept, Markup, Unreadable

_SKIPPED = re.compile(
    "script|style|template|noscript|svg|math|nav|footer|button|select|textarea|iframe|object|audio|"
    "video|canvas"
)
# What begins and ends a paragraph, beside what has a meaning of its own here.
_PARAGRAPH = re.compile(
    "p|div|section|article|main|header|aside|address|details|summary|figure|figcaption|center|dl|"
    "dt|dd|form|fieldset|legend|hr|caption|thead|tbody|tfoot|body|html|head|nav|footer"
)
_HEADING = re.compile(r"h[1-6]")
_LANGUAGE = re.compile(r"language-([\w+#.-]+)")
# More tables, lists and quotations in one another are no page: each text is put into all of them.
_DEEPEST = 100


@dataclass(frozen=True)
class Block:
    """A block. level: of a heading, 1 to 6; 0 of any other. The lines count from 1."""

    level: int
    text: str
    first_line: int
    last_line: int


class Reader(Markup):
    """Takes the parts of a page, and has its blocks, in order.

    title, url, license: what the page says of itself, or None.
    at: the lines that all that is fed stands on; None for those of the page.
    kept: as `left_open` gives it.

    Raises:
        Unreadable: whenever it takes something.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        super().__init__(kept)
        self.blocks: list[Block] = []
        self.title: str | None = None
        self.url: str | None = None
        self.license: str | None = None
        self.at: tuple[int, int] | None = None
        self._contexts = [Context()]
        self._inline: list[str] = []
        self._lines: list[str] = []  # of the block that is being gathered
        self._span: tuple[int, int] | None = None
        self._heading = 0
        self._code: list[str] | None = None
        self._language = ""
        self._title: list[str] | None = None  # while it is open
        self._skipped, self._depth = "", 0
        self._opened = 1, 0

    def part(self, html: str, kept: Kept) -> None:
        """Take a part of a Markdown document, with whatever it leaves open kept."""
        self.kept = kept
        self.feed(html)
        self.close()

    @property
    def left_open(self) -> dict[str, tuple[int, int]]:
        """The element that is still open whose text is left out; what is to be kept instead."""
        name = "title" if self._title is not None else self._skipped
        return {name: self._opened} if name else {}

    def end(self) -> list[Block]:
        """Close all that is open, after the parts were closed, and give the blocks."""
        self._end_code()
        self._flush()
        self._end_heading()
        while len(self._contexts) > 1:
            self._end_table()
        self._contexts[0].frames.clear()
        self._emit()
        return self.blocks

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._skipped:
            self._depth += tag == self._skipped
            return
        if self._code is not None:
            self._in_code(tag, attrs)
            return
        if _SKIPPED.fullmatch(tag) and not self.keeps(tag):
            self._skipped, self._depth, self._opened = tag, 1, self.getpos()
            return
        if tag in ("title", "meta", "link"):
            self._head(tag, {name: value or "" for name, value in attrs})
        elif tag == "br":
            self._inline.append("\n")
        elif tag == "code":
            self._inline.append("`")
        elif tag == "pre":
            self._flush()
            self._code, self._language = [], ""
            self._mark(0)
        elif _HEADING.fullmatch(tag):
            self._begin_heading(int(tag[1]))
        elif tag in ("ul", "ol", "li", "blockquote"):
            self._flush()
            self._begin_item_or_list(tag, dict(attrs))
        elif tag in ("table", "tr", "td", "th"):
            self._flush()
            self._begin_table_part(tag)
        elif _PARAGRAPH.fullmatch(tag):
            self._flush()

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            self._depth -= tag == self._skipped
            if not self._depth:
                self._skipped = ""
            return
        if self._code is not None:
            if tag == "pre":
                self._end_code()
            return
        if tag == "title":
            self._end_title()
        elif tag == "code":
            self._inline.append("`")
        elif _HEADING.fullmatch(tag):
            self._flush()
            self._end_heading()
        elif tag in ("ul", "ol", "blockquote"):
            self._flush()
            self._end_frame(quote=tag == "blockquote")
        elif tag in ("table", "tr", "td", "th"):
            self._flush()
            if len(self._contexts) > 1:
                if tag == "tr":
                    self._end_row()
                elif tag == "table":
                    self._end_table()
        elif _PARAGRAPH.fullmatch(tag) or tag == "li":
            self._flush()

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        if self._title is not None:
            self._title.append(data)
            return
        if data.strip():
            before = data[: len(data) - len(data.lstrip())].count("\n")
            self._mark(before, data.strip().count("\n"))
        if self._code is not None:
            self._code.append(data)
        else:
            self._inline.append(re.sub(r"\s+", " ", data))

    def _head(self, tag: str, attrs: dict[str, str]) -> None:
        kind = attrs.get("rel", "").lower().split()
        if tag == "title":
            if self.title is None and self._title is None and not self.keeps(tag):
                self._title, self._opened = [], self.getpos()
        elif tag == "link" and "canonical" in kind:
            self.url = self.url or attrs.get("href", "").strip() or None
        elif tag == "link" and "license" in kind:
            self.license = self.license or attrs.get("href", "").strip() or None
        elif tag == "meta" and attrs.get("name", "").lower() in ("license", "dc.rights"):
            self.license = self.license or attrs.get("content", "").strip() or None

    def _end_title(self) -> None:
        if self._title is not None:
            self.title = " ".join("".join(self._title).split()) or None
            self._title = None

    def _in_code(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert self._code is not None
        if tag == "br":
            self._code.append("\n")
        elif tag == "code" and (named := _LANGUAGE.search(dict(attrs).get("class") or "")):
            self._language = named[1]

    def _here(self) -> tuple[int, int]:
        line = self.getpos()[0]
        return self.at or (line, line)

    def _mark(self, before: int, within: int = 0) -> None:
        """Note that the block has text so many lines further on, on so many more lines."""
        first = self.getpos()[0] + before
        first, last = self.at or (first, first + within)
        self._span = (self._span[0] if self._span else first, last)

    def _begin_heading(self, level: int) -> None:
        self._flush()
        self._end_heading()
        if any(context.frames for context in self._contexts):
            return  # it is a list's or a quotation's own
        while any(context.row for context in self._contexts):  # a page laid out as a table
            self._end_row(apart=True)
        self._emit()
        self._heading = level
        self._mark(0)

    def _end_heading(self) -> None:
        """Of one that is still open, since it has no text."""
        if self._heading:
            self._heading_is("")

    def _heading_is(self, text: str) -> None:
        first, last = self._span or self._here()
        self.blocks.append(Block(self._heading, text, first, last))
        self._heading, self._span = 0, None

    def _end_code(self) -> None:
        if self._code is None:
            return
        text = "".join(self._code).strip("\n")
        self._code = None
        if text.strip():
            longest = max((len(run) for run in re.findall("`{3,}", text)), default=2)
            fence = "`" * (longest + 1)
            self._put(f"{fence}{self._language}\n{text}\n{fence}")
        elif not self._lines:
            self._span = None

    def _begin_item_or_list(self, tag: str, attrs: dict[str, str | None]) -> None:
        frames = self._contexts[-1].frames
        self._check_depth()
        if tag == "li":
            if frames and not frames[-1].quote:
                frames[-1].next_item()
        elif tag == "ol":
            start = attrs.get("start") or ""
            # Python reads no number of thousands of digits.
            number = int(start) if re.fullmatch("[0-9]{1,9}", start) else 1
            frames.append(Frame(number=number))
        else:
            frames.append(Frame(quote=tag == "blockquote"))

    def _check_depth(self) -> None:
        if sum(1 + len(context.frames) for context in self._contexts) > _DEEPEST:
            raise Unreadable

    def _end_frame(self, quote: bool) -> None:
        frames = self._contexts[-1].frames
        for place in range(len(frames) - 1, -1, -1):
            if frames[place].quote == quote:
                del frames[place:]
                break
        self._emit_if_whole()

    def _begin_table_part(self, tag: str) -> None:
        if tag == "table":
            self._check_depth()
            self._contexts.append(Context())
        elif len(self._contexts) > 1:
            if tag == "tr":
                self._end_row()
            context = self._contexts[-1]
            context.row = context.row or []
            context.frames.clear()
            if tag != "tr":
                context.row.append([])

    def _end_row(self, apart: bool = False) -> None:
        """End the innermost open row. apart: its texts are lines each, as without a table."""
        depth = len(self._contexts) - 1
        if apart:
            depth = max(i for i, context in enumerate(self._contexts) if context.row)
        context = self._contexts[depth]
        cells, context.row = context.row or [], None
        context.frames.clear()
        if not any(cells):
            return
        if apart or any(len(texts) > 1 for texts in cells):
            for texts in cells:
                for text in texts:
                    self._put(text, depth - 1)
        else:
            row = " | ".join(" ".join(texts).replace("\n", " ") for texts in cells)
            self._put(row, depth - 1)

    def _end_table(self) -> None:
        self._end_row()
        self._contexts.pop()
        self._emit_if_whole()

    def _flush(self) -> None:
        """End the paragraph."""
        text = "".join(self._inline)
        self._inline.clear()
        text = "\n".join(" ".join(line.split()) for line in text.split("\n")).strip("\n")
        if not text:
            return
        if self._heading:
            self._heading_is(" ".join(text.split()))
        else:
            self._put(text)

    def _put(self, text: str, depth: int | None = None) -> None:
        """Put a text where it belongs: into the innermost open cell, or the block."""
        depth = len(self._contexts) - 1 if depth is None else depth
        for context in reversed(self._contexts[: depth + 1]):
            text = context.framed(text)
            if context.row:
                context.row[-1].append(text)
                return
        self._lines.append(text)
        self._emit_if_whole()

    def _emit_if_whole(self) -> None:
        if len(self._contexts) == 1 and not self._contexts[0].frames:
            self._emit()

    def _emit(self) -> None:
        if self._lines:
            first, last = self._span or self._here()
            self.blocks.append(Block(0, "\n".join(self._lines), first, last))
            self._lines, self._span = [], None


def read_page(html: str) -> Reader:
    """A page that was read to its end. Raises Unreadable: it is none.

    What is left out of a page ends with its element. Of one that never ends, the text is kept, but
    for programs: else all of the page that follows would be lost.
    """
    kept: dict[str, tuple[int, int]] = {}
    while True:
        reader = Reader(kept)
        reader.feed(html)
        reader.close()
        more = reader.left_open
        if not more or "script" in more or "style" in more:
            reader.end()
            return reader
        kept |= more
