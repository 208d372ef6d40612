"""Python's parser of HTML, made to end in time, and to lose nothing that is to be kept."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

# From where on elements of a name are text, though they are none of a page.
Kept = Mapping[str, tuple[int, int]]
# More tags and comments that never end are no page: for each, all that follows is looked through.
_UNENDED = 100


class Unreadable(Exception):
    """It is too odd to be read as a page, or as Markdown."""


class Markup(HTMLParser):
    """Calls a method for each tag and text. kept: of elements whose text is left out else.

    Raises:
        Unreadable: whenever it takes something.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        super().__init__(convert_charrefs=True)
        self.kept = kept or {}
        self._unended = 0

    def keeps(self, tag: str) -> bool:
        """Whether the text of an element that begins here is kept."""
        return tag in self.kept and self.getpos() >= self.kept[tag]

    def set_cdata_mode(self, elem: str, *more: Any, **options: Any) -> None:
        if not self.keeps(elem):
            super().set_cdata_mode(elem, *more, **options)

    def parse_starttag(self, i: int) -> int:
        # Python's own search for the end takes a time that grows with the square of what follows.
        ends = self.rawdata.find(">", i) >= 0
        return self._count(super().parse_starttag(i) if ends else -1)

    def parse_endtag(self, i: int) -> int:
        return self._count(super().parse_endtag(i))

    def parse_comment(self, i: int, report: bool = True) -> int:
        return self._count(super().parse_comment(i, report))

    def parse_pi(self, i: int) -> int:
        return self._count(super().parse_pi(i))

    def parse_html_declaration(self, i: int) -> int:
        return self._count(super().parse_html_declaration(i))

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:  # such as <![foo[: a browser takes it for a comment
            return self.parse_bogus_comment(i)

    def _count(self, end: int) -> int:
        """The same. end: below 0 of what never ends."""
        self._unended += end < 0
        if self._unended > _UNENDED:
            raise Unreadable
        return end
