"""The page: its parts, put into page.html."""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from seedbed.auto_instruct import report as contest
from seedbed.auto_instruct.rows import CANDIDATES, LABELLED, RELABELLED
from seedbed.runs.pipeline import Pipeline
from seedbed.self_instruct import report as rows_
from seedbed.self_instruct.rows import INSTRUCTIONS, PREPARED
from seedbed.views.errors import NothingToReport
from seedbed.views.report import drawing, pictures, provenance
from seedbed.views.report import metrics as figures
from seedbed.views.report.markup import Html, join, tag

# What the stages write that the page is made of, and the stage that makes it.
PARTS = {
    INSTRUCTIONS: "bootstrap",
    PREPARED: "prepare",
    CANDIDATES: "candidates",
    LABELLED: "label",
    RELABELLED: "relabel-and-pick",
}
# So many of the files that have changed are named.
CHANGED_SHOWN = 12
# A picture of more pixels than that gets a line for itself.
WIDE = 560


def build() -> str:
    """The page. The same project at the same commit gives the same text.

    Raises:
        NothingToReport: no stage has written anything.
        BadFile, BadRow: a file is broken, or there is no dvc.yaml.
        StoreFailed, NoRepository: the response store cannot be read, or found.
    """
    pipeline = Pipeline()
    missing = {path: stage for path, stage in PARTS.items() if not path.exists()}
    if len(missing) == len(PARTS):
        raise NothingToReport
    stages = drawing.stages()
    found = rows_.collect()
    tasks = contest.collect()
    commit = provenance.commit()
    parts = {
        "title": Html(_heading(commit)),
        "summary": _summary(found, tasks),
        "notices": _notices(pipeline, missing, found),
        "provenance": _provenance(pipeline, commit, [one.name for one in stages]),
        "pipeline": join(drawing.draw(group) for group in drawing.methods(stages)),
        "figures": _figures(figures.compared()),
        "plots": _plots(),
        "kinds": _kinds(found),
        "contest": _contests(tasks),
    }
    own = {name: _own(name) for name in ("page.css", "page.js")}
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{digest(own['page.css'])}'; script-src '{digest(own['page.js'])}'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return Template(_own("page.html")).substitute(
        parts,
        policy=policy,
        css=own["page.css"],
        script=own["page.js"],
        data=in_script(found.data()),
    )


def in_script(data: Any) -> str:
    """JSON that stays within its script element, whatever texts are in it.

    >>> in_script(["</script><!--", "a & b"])
    '["\\\\u003c/script\\\\u003e\\\\u003c!--","a \\\\u0026 b"]'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _own(name: str) -> str:
    return files("seedbed.views.report").joinpath(name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """A source of the Content-Security-Policy: only this very text may be used."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _heading(commit: provenance.Commit | None) -> str:
    return f"Seedbed report · {commit.id[:7]}" if commit else "Seedbed report"


def _summary(found: rows_.Rows, tasks: list[contest.Contest]) -> Html:
    """The run in figures."""
    refused = found.count("refused instance") + found.count("refused instruction")
    figures_ = [
        (len(found.seeds), "seed tasks"),
        (len(found.instructions), "new instructions"),
        (found.count("row"), "finetuning rows"),
        (refused, "pieces refused"),
    ]
    if tasks:
        figures_ += [
            (sum(len(one.candidates) for one in tasks), f"candidates for {len(tasks)} tasks"),
            (sum(one.kept or 0 for one in tasks), "examples for a ranker"),
        ]
    return tag(
        "ul",
        *(tag("li", tag("strong", f"{number:,}"), " ", name) for number, name in figures_),
        class_="summary",
    )


def _notices(pipeline: Pipeline, missing: Mapping[Path, str], found: rows_.Rows) -> Html:
    """What the page cannot show, and what on it is not of one run."""
    said: list[Html] = []
    for path, stage in missing.items():
        said.append(
            tag(
                "li",
                tag("code", path),
                f" is not there: {stage} has not run, or its output is not fetched. Run ",
                tag("code", f"dvc repro {stage}"),
                " or ",
                tag("code", "dvc pull"),
                ".",
            )
        )
    if found.without_origin:
        said.append(
            tag(
                "li",
                f"{found.without_origin:,} rows have an origin that is not known: files of "
                "another run, or an answer that the response store lacks. Run ",
                tag("code", "dvc repro"),
                ".",
            )
        )
    for path in rows_.FILES.values():
        compared = pipeline.compared(pipeline.stage_of(path), path)
        if path.exists() and not compared.startswith("the file is what"):
            said.append(tag("li", tag("code", path), ": ", compared, "."))
    if not said:
        return Html("")
    heading = tag("h2", "Mind the gaps", id="notices-title")
    return tag(
        "section",
        heading,
        tag("ul", *said),
        class_="notices",
        aria_labelledby="notices-title",
    )


# --- what was run


def _provenance(pipeline: Pipeline, commit: provenance.Commit | None, stages: list[str]) -> Html:
    entries: list[tuple[str, Html]] = [("Commit", _commit(commit))]
    models, lacking = provenance.models()
    for model in models:
        entries.append(("Model", _model(model, pipeline)))
    if lacking or not models:
        told = f"Of {lacking:,} answers it is not known: the response store here lacks them."
        entries.append(("" if models else "Model", tag("p", told)))
    versions = provenance.packages()
    entries.append(
        (
            "Installed",
            tag("ul", *(tag("li", f"{n} {v}") for n, v in versions.items()), class_="inline"),
        )
    )
    listed = join(tag("div", tag("dt", name), tag("dd", told)) for name, told in entries)
    return join([tag("dl", listed, class_="facts"), _parameters(pipeline, stages)])


def _commit(commit: provenance.Commit | None) -> Html:
    if commit is None:
        return tag("p", "not in git")
    state: Html | str = tag("p", "Nothing has changed since: the working tree is the commit.")
    if commit.changed:
        more = len(commit.changed) - CHANGED_SHOWN
        state = tag(
            "details",
            tag("summary", f"with uncommitted changes in {len(commit.changed):,} files"),
            tag(
                "ul",
                *(tag("li", tag("code", path)) for path in commit.changed[:CHANGED_SHOWN]),
                tag("li", f"and {more:,} more") if more > 0 else None,
            ),
            class_="changed",
        )
    return join(
        [
            tag("p", tag("code", commit.id), " of ", tag("time", commit.date)),
            tag("p", commit.subject, class_="subject"),
            state,
        ]
    )


def _model(model: provenance.Model, pipeline: Pipeline) -> Html:
    identity = dict(model.identity)
    digest = identity.pop("sha256", None)
    engine = identity.pop("engine", None) or identity.pop("server", None)
    # An embedded model is known by its digest alone; dvc.lock has the name that it was given.
    name = identity.pop("name", None) or pipeline.parameter(model.stages[0], "llm.model")
    by = f", answered by {engine}, asked by {', '.join(model.stages)}"
    own = [tag("p", tag("strong", name), by)]
    if digest:
        own.append(tag("p", "SHA-256 ", tag("code", digest)))
    if identity:
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in identity.items())
        own.append(tag("p", settings, class_="settings"))
    return join(own)


def _parameters(pipeline: Pipeline, stages: list[str]) -> Html:
    known = provenance.parameters(pipeline, stages)
    if not known:
        return tag("p", "dvc.lock does not say what the stages ran with.")
    changed = sum(one.now is not None for one in known)
    state = f", {changed} of which params.yaml has otherwise by now" if changed else ""
    tables = []
    for section, own in groupby(known, key=lambda one: one.name.partition(".")[0]):
        lines = [
            tag(
                "tr",
                tag("th", one.name.removeprefix(f"{section}."), scope="row"),
                tag(
                    "td",
                    tag("code", one.value),
                    join([" ", tag("strong", "now ", tag("code", one.now))])
                    if one.now is not None
                    else None,
                ),
            )
            for one in own
        ]
        tables.append(
            tag("table", tag("caption", section), tag("tbody", *lines), class_="parameters")
        )
    return tag(
        "details",
        tag("summary", f"{len(known)} parameters, as dvc.lock recorded them{state}"),
        tag("div", *tables, class_="columns"),
    )


# --- the metrics


def _figures(compared: figures.Compared) -> Html:
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


# --- the plots


def _plots() -> Html:
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        told = "They are not drawn, because vl-convert-python is not installed: "
        return tag("p", told, tag("code", "make report"), " installs it.")
    drawn = []
    for plot in pictures.plots():
        picture = pictures.picture(plot)
        if picture is None:
            drawn.append(tag("p", f"{plot.name} is no image that a page can hold."))
            continue
        # As an image an SVG runs no script and fetches nothing.
        uri = f"data:{picture.kind};base64,{b64encode(picture.content).decode()}"
        image = tag("img", src=uri, alt=picture.title)
        # On a narrow screen it is scrolled, also with the keyboard.
        wide = {"class_": "wide", "tabindex": 0} if picture.width > WIDE else {}
        drawn.append(tag("figure", tag("figcaption", picture.title), image, **wide))
    if not drawn:
        return tag("p", "No plot has been made yet.")
    return tag("div", *drawn, class_="plots")


# --- the rows


LABELS = {
    "row": "finetuning rows",
    "instruction": "accepted instructions",
    "refused instance": "refused instances",
    "refused instruction": "refused instructions",
}


def _kinds(found: rows_.Rows) -> Html:
    """What kinds of rows can be chosen, as buttons of which one is on."""
    there = {kind: found.count(kind) for kind in rows_.FILES}
    choices = [("", "all", len(found.rows))]
    choices += [(kind, LABELS[kind], count) for kind, count in there.items() if count]
    return join(
        tag(
            "label",
            tag("input", type="radio", name="kind", value=value, checked=not value or None),
            tag("span", name, " ", tag("b", f"{count:,}")),
        )
        for value, name, count in choices
    )


# --- Auto-Instruct


def _contests(tasks: list[contest.Contest]) -> Html:
    if not tasks:
        return tag("p", "No task has candidates yet.")
    return join(map(_contest, tasks))


def _contest(task: contest.Contest) -> Html:
    told = [f"{len(task.candidates)} candidates"]
    told += [f"{task.examples} examples"] if task.examples else ["not labelled yet"]
    told += [f"{task.kept} kept for the ranker"] if task.kept is not None else []
    head = ("rank", "ROUGE-L", "", "from", "kept", "instruction")
    lines = [_ranked(place, one) for place, one in enumerate(task.candidates, 1)]
    return tag(
        "article",
        tag("h3", task.task.replace("_", " ")),
        tag("p", " · ".join(told), class_="lead"),
        _best(task),
        tag(
            "details",
            tag("summary", "All candidates, best first"),
            tag(
                "div",
                tag(
                    "table",
                    tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
                    tag("tbody", *lines),
                    class_="candidates",
                ),
                class_="scroll",
                tabindex=0,
            ),
        ),
        class_="contest",
    )


def _best(task: contest.Contest) -> Html | None:
    best, seed = task.candidates[0], task.seed
    if best.rouge is None:
        return None
    equals = sum(one.rouge == best.rouge for one in task.candidates) - 1
    told = [f"mean ROUGE-L {best.rouge:.3f}"]
    if best.index == 0:
        told.append("the task’s own instruction is the best")
    elif seed and seed.rouge is not None:
        gain = best.rouge - seed.rouge
        told.append(f"{'+' if gain >= 0 else '−'}{abs(gain):.3f} on the task’s own")
    if best.origin and best.index:
        told.append(f"from {best.origin}")
    if equals:
        told.append(f"{equals} {'others do' if equals > 1 else 'other does'} as well")
    return tag(
        "figure",
        tag("figcaption", "Best instruction"),
        tag("blockquote", best.instruction, dir="auto"),
        tag("p", " · ".join(told)),
        class_="best",
    )


def _ranked(place: int, one: contest.Ranked) -> Html:
    bar = None
    if one.rouge is not None:
        bar = tag(
            "svg",
            tag("rect", width=f"{100 * one.rouge:.1f}", height=8),
            viewBox="0 0 100 8",
            preserveAspectRatio="none",
            aria_hidden="true",
            class_="bar",
        )
    return tag(
        "tr",
        tag("td", place),
        tag("td", "–" if one.rouge is None else f"{one.rouge:.3f}"),
        tag("td", bar),
        tag("td", one.origin or "–"),
        tag("td", one.drawn or "–"),
        tag("td", one.instruction, class_="text", dir="auto"),
        class_="own" if one.index == 0 else None,
    )
