"""Every plot of dvc.yaml, drawn without a network.

`dvc plots show` writes a page that fetches its drawing library when it is opened; this draws the
same Vega-Lite specifications with vl-convert, which carries the library with it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.errors import BadFile
from seedbed.recorded import PIPELINE

KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
# The blues of Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, SKY = "#0072b2", "#56b4e9"
# Axes for a dark page.
_INK, _GRID = "#e6e4df", "#363c43"
DARK = {
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "gridColor": _GRID,
        "domainColor": _GRID,
        "tickColor": _GRID,
    },
    "legend": {"labelColor": _INK, "titleColor": _INK},
    "header": {"labelColor": _INK, "titleColor": _INK},
    "view": {"stroke": _GRID},
}
# A picture of more points than that is smaller as a PNG.
MOST_SVG = 400_000


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
    """A plot as an image.

    dark: the same for a dark page, None if it has but one form.
    width: in pixels; 0 if it is not known.
    """

    title: str
    kind: str
    light: bytes
    dark: bytes | None
    width: float = 0


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
        said = shown.stderr.strip().rpartition("\n")[2]
        raise BadFile(PIPELINE, f"dvc plots: {said}", "See `dvc plots show`.")
    for name, found in json.loads(shown.stdout or "{}").get("data", {}).items():
        for one in found:
            yield Plot(name, one["content"] if one["type"] == "vega" else None)


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
        return Picture(plot.title, kind, path.read_bytes(), None) if kind else None
    import vl_convert

    light, dark = (
        vl_convert.vegalite_to_svg(_bare(plot.spec, blue), config=config).encode()
        for blue, config in ((BLUE, {}), (SKY, DARK))
    )
    found = re.search(rb'<svg[^>]* width="([0-9.]+)', light)
    width = float(found[1]) if found else 0
    if len(light) > MOST_SVG:
        white = {**_bare(plot.spec, BLUE), "background": "white"}
        png = vl_convert.vegalite_to_png(white, scale=1.5)
        return Picture(plot.title, KINDS[".png"], bytes(png), None, width)
    return Picture(plot.title, KINDS[".svg"], light, dark, width)


def _bare(spec: dict[str, Any], blue: str) -> dict[str, Any]:
    """A specification without its title, on whatever colour the page has."""
    bare = {**spec, "background": "transparent"}
    bare.pop("title", None)
    encoding = bare.get("encoding", {})
    if encoding.get("color", {}).get("field") == "rev":
        # Of one revision the colours, and their legend, say nothing.
        bare["encoding"] = {**encoding, "color": {"value": blue}}
    return bare
