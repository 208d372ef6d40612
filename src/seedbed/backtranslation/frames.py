"""What a text of a page stands in: lists and quotations, and the cells of tables."""

from dataclasses import dataclass, field


@dataclass
class Frame:
    """A list (number: of its next item; None of one without) or a quotation."""

    quote: bool = False
    number: int | None = None
    marker: str = ""
    waits: bool = False  # the item's marker, for its first line

    def next_item(self) -> None:
        self.marker = "- "
        if self.number is not None:
            self.marker = f"{self.number}. "
            self.number += 1
        self.waits = True

    def prefixes(self) -> tuple[str, str]:
        """What stands before the first line of a text in it, and before the others."""
        if self.quote:
            return "> ", "> "
        first = self.marker if self.waits else " " * len(self.marker)
        self.waits = False
        return first, " " * len(self.marker)


@dataclass
class Context:
    """The page, or a table in it. row: its open row: cells, each of texts; None for none."""

    frames: list[Frame] = field(default_factory=list)
    row: list[list[str]] | None = None

    def framed(self, text: str) -> str:
        first = rest = ""
        for frame in self.frames:
            own_first, own_rest = frame.prefixes()
            first, rest = first + own_first, rest + own_rest
        lines = text.split("\n")
        return "\n".join(f"{rest if i else first}{line}".rstrip() for i, line in enumerate(lines))
