"""HTML and SVG put together so that whatever is not markup is escaped."""

from collections.abc import Iterable
from html import escape

# Elements that have no content, and no end.
VOID = {"img", "input"}


class Html(str):
    """A text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. Children that are not `Html` are text; None is left out.

    An attribute's name may end in an underscore (`class_`), others stand for hyphens. Its value
    may be None (left out) or True (the bare name).

    >>> tag("p", "1 < 2 ", tag("b", "so"), class_="sum", data_n=3, hidden=True)
    '<p class="sum" data-n="3" hidden>1 &lt; 2 <b>so</b></p>'
    """
    given = ""
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            given += f" {key}"
        elif value is not None:
            given += f' {key}="{escape(str(value))}"'
    content = "" if name in VOID else f"{join(children)}</{name}>"
    return Html(f"<{name}{given}>{content}")


def join(children: Iterable[object]) -> Html:
    """One after the other, as the children of `tag`."""
    return Html(
        "".join(
            one if isinstance(one, Html) else escape(str(one))
            for one in children
            if one is not None
        )
    )
