"""The metrics, as a part of the page."""

from pathlib import Path
from typing import Any

from seedbed.views.report import metrics as figures
from seedbed.views.report.markup import Html, join, tag


def tables(compared: figures.Compared) -> Html:
    if compared.before is None:
        lead = tag("p", "There is no earlier commit to compare with.", class_="lead")
    elif compared.differing:
        lead = tag(
            "p",
            f"{compared.differing} differ from {compared.before}: ",
            tag("span", "▲ more", class_="up"),
            ", ",
            tag("span", "▼ less", class_="down"),
            ". The colours tell the direction, not what is better.",
            class_="lead",
        )
    else:
        lead = tag("p", f"The same as in {compared.before}.", class_="lead")
    cards = [_card(file, own, compared) for file, own in compared.files.items()]
    return join([lead, tag("div", *cards, class_="columns")])


def _card(file: str, own: list[figures.Figure], compared: figures.Compared) -> Html:
    """The metrics of a stage; those of each single task are folded away."""
    differs = any(one.differs for one in own) and compared.before is not None
    groups: dict[str, list[figures.Figure]] = {}
    for one in own:
        groups.setdefault(one.name.rpartition(".")[0], []).append(one)
    whole = {name: group for name, group in groups.items() if "." not in name}
    single = {name: group for name, group in groups.items() if "." in name}
    caption = tag("h3", Path(file).stem)
    more = None
    if single:
        count = sum(map(len, single.values()))
        changed = sum(one.differs for group in single.values() for one in group)
        told = f"{count} of single tasks" + (f", {changed} differ" if changed and differs else "")
        more = tag("details", tag("summary", told), _table(single, differs))
    return tag("article", caption, _table(whole, differs), more, class_="card")


def _table(groups: dict[str, list[figures.Figure]], differs: bool) -> Html:
    lines: list[Html] = []
    for prefix, group in groups.items():
        if prefix:
            told = prefix.replace(".", " · ")
            width = 4 if differs else 2
            lines.append(tag("tr", tag("th", told, colspan=width, scope="rowgroup", class_="of")))
        # Reasons that never occurred are told in one line.
        idle = [one for one in group if one.now == 0 and not one.differs]
        idle = idle if len(idle) > 1 else []
        lines += [_figure(one, prefix, differs) for one in group if one not in idle]
        if idle:
            names = ", ".join(_leaf(one, prefix) for one in idle)
            zeros = [tag("td", "0"), *([tag("td", "0"), tag("td")] if differs else [])]
            lines.append(tag("tr", tag("th", names, scope="row"), *zeros, class_="idle"))
    head = None
    if differs:
        names_ = (tag("th", name, scope="col") for name in ("before", "now", "change"))
        head = tag("thead", tag("tr", tag("td"), *names_))
    return tag("table", head, tag("tbody", *lines), class_="metrics")


def _leaf(one: figures.Figure, prefix: str) -> str:
    return one.name.removeprefix(f"{prefix}.") if prefix else one.name


def _figure(one: figures.Figure, prefix: str, differs: bool) -> Html:
    cells = [tag("td", number(one.now), title=_exact(one.now))]
    if differs:
        cells = [tag("td", number(one.before), title=_exact(one.before)), *cells, _change(one)]
    return tag("tr", tag("th", _leaf(one, prefix), scope="row"), *cells)


def _change(one: figures.Figure) -> Html:
    if not one.differs:
        return tag("td")
    if one.before is None:
        return tag("td", "new", class_="new")
    if one.now is None:
        return tag("td", "gone", class_="new")
    if not (_is_number(one.before) and _is_number(one.now)):
        return tag("td", "other", class_="new")
    change = one.now - one.before
    more = change > 0
    told = f"{'▲ +' if more else '▼ −'}{number(abs(change))}"
    return tag("td", told, class_="up" if more else "down")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def number(value: Any) -> str:
    """A metric with four digits after the point at most.

    >>> number(12345), number(0.320518), number(67.0), number(None)
    ('12,345', '0.3205', '67', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        text = f"{value:,.4f}".rstrip("0").rstrip(".")
        return text if value == 0 or text.strip("-0.") else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _exact(value: Any) -> str | None:
    return repr(value) if isinstance(value, float) else None
