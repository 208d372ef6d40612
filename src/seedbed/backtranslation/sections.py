"""Blocks → the pieces under headings that may be segments.

Of nested sections the outermost that fits is one piece. One that is too long is cut at its
sub-headings: the text before the first of them is a piece of its own, if there is any. No block is
ever cut, and each is in exactly one piece, as its text or in its path of headings.

A document without a heading of level 1 stands under its title, if it has one; what is under
neither a title nor a heading is one piece, which is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from seedbed.backtranslation.html_blocks import Block


@dataclass(frozen=True)
class Piece:
    """Some text under a heading.

    heading: the path of headings down to its own. text: without its own heading, with those in it.
    place: its first block, with its heading, and the one after its last; they count from 0.
    reason: why it cannot be a segment: no_header, too_short, too_long; None if it may.
    """

    heading: list[str]
    text: str
    place: tuple[int, int]
    first_line: int
    last_line: int
    reason: str | None


@dataclass(frozen=True)
class Cutter:
    """Cuts documents by heading; the parameters are those of `Segments`."""

    header_levels: int
    min_chars: int
    max_chars: int

    def cut(self, blocks: Sequence[Block], title: str | None) -> Iterator[Piece]:
        """The pieces, in order; of no blocks one without a text."""
        end = len(blocks)
        if title is not None and not any(block.level == 1 for block in blocks):
            yield from self._section(blocks, [title], 0, 0, end)
            return
        begins = self._begins(blocks, 0, end)
        if not begins or begins[0]:
            yield self._piece(blocks, [], 0, 0, begins[0] if begins else end)
        for begin, next_begin in pairwise([*begins, end]):
            path = [blocks[begin].text]
            yield from self._section(blocks, path, begin, begin + 1, next_begin)

    def _section(
        self, blocks: Sequence[Block], path: list[str], begin: int, body: int, end: int
    ) -> Iterator[Piece]:
        """The pieces of a section. begin: its heading. body: the first block of its text."""
        whole = self._piece(blocks, path, begin, body, end)
        begins = self._begins(blocks, body, end) if len(whole.text) > self.max_chars else []
        if not begins:
            yield whole
            return
        if begins[0] > body:
            yield self._piece(blocks, path, begin, body, begins[0])
        for first, next_first in pairwise([*begins, end]):
            sub_path = [*path, blocks[first].text]
            yield from self._section(blocks, sub_path, first, first + 1, next_first)

    def _begins(self, blocks: Sequence[Block], begin: int, end: int) -> list[int]:
        """Where the outermost sections begin; one may lie deeper than one that follows it."""
        begins: list[int] = []
        for place in range(begin, end):
            level = blocks[place].level
            if 0 < level <= self.header_levels and (
                not begins or level <= blocks[begins[-1]].level
            ):
                begins.append(place)
        return begins

    def _piece(
        self, blocks: Sequence[Block], path: list[str], begin: int, body: int, end: int
    ) -> Piece:
        text = "\n\n".join(map(in_text, blocks[body:end]))
        reason = None
        if len(text) < self.min_chars:
            reason = "too_short"
        if len(text) > self.max_chars:
            reason = "too_long"
        if not path or not path[-1]:
            reason = "no_header"
        lines = blocks[begin:end]
        first, last = (lines[0].first_line, lines[-1].last_line) if lines else (1, 1)
        return Piece(path, text, (begin, end), first, last, reason)


def in_text(block: Block) -> str:
    """A block as a text has it: a heading with its marks."""
    return f"{'#' * block.level} {block.text}".rstrip() if block.level else block.text
