"""Verbs and their nouns → points for the `sunburst` plot template.

After figure 2 of the Self-Instruct paper (arXiv 2212.10560): the 20 most frequent root verbs
inside, the four most frequent direct objects of each around them. Angles and radii are reckoned
here, because Vega-Lite cannot nest one ring in another.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import degrees, tau
from typing import Any

VERBS, NOUNS = 20, 4
# Pixels from the centre: the verbs' ring lies between the first two, the nouns' after it.
RADII = (66, 164, 268)
# What a line of 11 pixels needs; a segment that is thinner there, in its middle, has no label.
LABEL_HEIGHT = 12
# Neighbours differ, the last and the first too.
HUES = 8


def sunburst(pairs: Iterable[tuple[str, str]], total: int) -> list[dict[str, Any]]:
    """One point a segment, the most frequent first, clockwise from the top; last the centre.

    pairs: verb and noun of each instruction that has both.
    total: how many instructions there are, for the text in the centre.

    Returns:
        points with `ring` (verb, noun or centre), `verb`, `noun`, `count`; `theta` and `theta2`
        in radians, `radius` and `radius2` in pixels; `hue`, a number from 0 to 7; and for the
        label `label` (empty where it would not fit), `middle` in radians, `centre` in pixels and
        `angle` in degrees.
    """
    counted = Counter(pairs)
    nouns: dict[str, Counter[str]] = {}
    for (verb, noun), count in sorted(counted.items()):
        nouns.setdefault(verb, Counter())[noun] = count
    # Sorting is stable and most_common too: those with equal counts come in alphabetical order.
    verbs = sorted(nouns, key=lambda verb: -nouns[verb].total())[:VERBS]
    shown = {verb: nouns[verb].most_common(NOUNS) for verb in verbs}
    whole = sum(count for some in shown.values() for _, count in some)

    points, start = [], 0.0
    for i, verb in enumerate(verbs):
        hue = i % HUES if i % HUES or i < len(verbs) - 1 or not i else HUES // 2
        counts = [count for _, count in shown[verb]]
        edges = [start]
        for count in counts:
            edges.append(edges[-1] + tau * count / whole)
        points.append(_segment("verb", verb, "", sum(counts), edges[0], edges[-1], hue))
        for (noun, count), (left, right) in zip(shown[verb], pairwise(edges), strict=True):
            points.append(_segment("noun", verb, noun, count, left, right, hue))
        start = edges[-1]
    return [*points, _centre(whole, total)]


def _segment(
    ring: str, verb: str, noun: str, count: int, start: float, end: float, hue: int
) -> dict[str, Any]:
    inner, outer = RADII[:2] if ring == "verb" else RADII[1:]
    middle, centre = (start + end) / 2, (inner + outer) / 2
    fits = (end - start) * centre >= LABEL_HEIGHT
    # Along the radius, and never upside down.
    angle = degrees(middle) - 90 if middle <= tau / 2 else degrees(middle) - 270
    return {
        "ring": ring,
        "verb": verb,
        "noun": noun,
        "count": count,
        "theta": round(start, 6),
        "theta2": round(end, 6),
        "radius": inner,
        "radius2": outer,
        "hue": hue,
        "label": (noun or verb) if fits else "",
        "middle": round(middle, 6),
        "centre": centre,
        "angle": round(angle, 3),
    }


def _centre(whole: int, total: int) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(
        ("theta", "theta2", "radius", "radius2", "hue", "middle", "centre", "angle"), 0
    )
    label = f"{whole:,} of {total:,}\ninstructions"
    return {"ring": "centre", "verb": "", "noun": "", "count": whole, **nothing, "label": label}
