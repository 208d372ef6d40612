"""Every plot of dvc.yaml, drawn without a network.

`dvc plots show` writes a page that fetches its drawing library when it is opened; this draws the
same Vega-Lite specifications with vl-convert, which carries the library with it.
"""

import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from seedbed.errors import BadFile
from seedbed.runs.pipeline import PIPELINE

KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
# A picture of more points than that is smaller as a PNG.
MOST_SVG = 400_000
# A picture of more pixels than that gets a line for itself.
WIDE = 560
# A letter may be that much wider than Vega thought, in parts of the type size.
WIDER = 0.13
# So of axes and legends it lays out larger type than is then shown: sizes that nobody else has.
LAID_OUT = {"labelFontSize": ("12.01", "10"), "titleFontSize": ("13.21", "11")}
# What fits, in that type; else as Vega has it.
LIMITS = {"axis": 216, "legend": 192}


@dataclass(frozen=True)
class Plot:
    """A plot of dvc.yaml: the file it shows, and its specification, or None if it is an image."""

    name: str
    spec: dict[str, Any] | None

    @property
    def title(self) -> str:
        title = (self.spec or {}).get("title") or Path(self.name).stem.replace("_", " ")
        return str(title["text"] if isinstance(title, dict) else title)


@dataclass(frozen=True)
class Picture:
    """A plot as an image. width: in pixels; 0 if it is not known."""

    title: str
    kind: str
    content: bytes
    width: float = 0

    @property
    def wide(self) -> bool:
        """Whether it gets a line of the page for itself."""
        return self.width > WIDE

    @property
    def uri(self) -> str:
        """The image itself, as an address."""
        return f"data:{self.kind};base64,{b64encode(self.content).decode()}"


def plots(revisions: list[str] | None = None) -> Iterator[Plot]:
    """The plots as `dvc plots show` has them, or of revisions, as `dvc plots diff`.

    Raises:
        BadFile: DVC cannot make them.
    """
    command = ["diff", *revisions] if revisions else ["show"]
    shown = subprocess.run(  # noqa: S603 - no shell
        [sys.executable, "-m", "dvc", "plots", *command, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if shown.returncode:
        message = shown.stderr.strip().rpartition("\n")[2]
        raise BadFile(PIPELINE, f"dvc plots: {message}", "See `dvc plots show`.")
    for name, drawings in json.loads(shown.stdout or "{}").get("data", {}).items():
        for drawing in drawings:
            yield Plot(name, drawing["content"] if drawing["type"] == "vega" else None)


def to_png(plot: Plot) -> bytes:
    """A PNG with two pixels for each of the plot's."""
    import vl_convert

    if plot.spec is None:
        return Path(plot.name).read_bytes()
    return bytes(vl_convert.vegalite_to_png(plot.spec, scale=2))


def picture(plot: Plot) -> Picture | None:
    """A picture for the page, which tells the title itself; None if it is no image it can hold."""
    if plot.spec is None:
        path = Path(plot.name)
        kind = KINDS.get(path.suffix)
        return Picture(plot.title, kind, path.read_bytes()) if kind else None
    import vl_convert

    bare = _bare(plot.spec)
    svg = smaller(with_room(renumbered(vl_convert.vegalite_to_svg(bare)))).encode()
    match = re.search(rb'<svg[^>]* width="([0-9.]+)', svg)
    width = float(match[1]) if match else 0
    if len(svg) > MOST_SVG:
        png = bytes(vl_convert.vegalite_to_png({**bare, "background": "white"}, scale=1.5))
        return Picture(plot.title, KINDS[".png"], png, width)
    return Picture(plot.title, KINDS[".svg"], svg, width)


def renumbered(svg: str) -> str:
    """Vega counts the ids of gradients and clips on from drawing to drawing: here from 0.

    >>> renumbered('<g id="gradient_7"/><g fill="url(#gradient_7)" clip-path="url(#clip3)"/>')
    '<g id="gradient_0"/><g fill="url(#gradient_0)" clip-path="url(#clip1)"/>'
    """
    number_of: dict[str, int] = {}

    def renumber(match: re.Match[str]) -> str:
        number = number_of.setdefault(match[2] + match[3], len(number_of))
        return f"{match[1]}{match[2]}{number}{match[4]}"

    return re.sub(r"""(id="|url\(#)(gradient_|clip)(\d+)(["\)])""", renumber, svg)


def with_room(svg: str) -> str:
    """Make a drawing wider at the sides at which its texts end.

    Vega measured them in a narrow typeface, and left no more room than that. Who looks at the
    drawing may have a wider one: DejaVu Sans takes up to a fifth more than Liberation Sans.

    >>> label = '<text text-anchor="end" font-size="10px">ten letters</text></svg>'
    >>> with_room('<svg width="100" height="50" viewBox="0 0 100 50">' + label)[:58]
    '<svg width="114" height="50" viewBox="-14 0 114 50"><text '
    """
    room = {"end": 0, "start": 0}
    for anchor, size, text in re.findall(
        r'<text text-anchor="(end|start)"[^>]* font-size="(\d+)px"[^>]*>([^<]*)<', svg
    ):
        room[anchor] = max(room[anchor], round(len(unescape(text)) * int(size) * WIDER))
    wider = sum(room.values())
    return re.sub(
        r'( width=")([\d.]+)(".*? viewBox=")0 0 [\d.]+',
        lambda match: (
            f"{match[1]}{float(match[2]) + wider:g}{match[3]}"
            f"{-room['end']} 0 {float(match[2]) + wider:g}"
        ),
        svg,
        count=1,
    )


def smaller(svg: str) -> str:
    """What was laid out in larger type, in the type that is to be seen.

    >>> smaller('<text font-size="12.01px">1</text><text font-size="12px">2</text>')
    '<text font-size="10px">1</text><text font-size="12px">2</text>'
    """
    for laid_out, shown in LAID_OUT.values():
        svg = svg.replace(f'font-size="{laid_out}px"', f'font-size="{shown}px"')
    return svg


def _bare(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification without its title, and without the name of the only revision there is."""
    bare: dict[str, Any] = _without_revision(spec)
    bare.pop("title", None)
    own = bare.get("config", {})
    sizes = {name: float(laid_out) for name, (laid_out, _) in LAID_OUT.items()}
    config = {
        part: {**sizes, "labelLimit": limit, **own.get(part, {})} for part, limit in LIMITS.items()
    }
    return {**bare, "background": "transparent", "config": {**own, **config}}


def _without_revision(part: Any, name: str = "") -> Any:
    if isinstance(part, list):
        return [_without_revision(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    if part.get("field") == "rev":
        if name == "color":
            return {**part, "legend": None}
        if name in ("row", "column", "facet"):
            return {**part, "header": {"labels": False}}
    # The points themselves are data, whatever their fields are called.
    return {
        key: inner if key == "data" else _without_revision(inner, key)
        for key, inner in part.items()
    }
