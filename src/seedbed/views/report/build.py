"""The page: its parts, put into page.html."""

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
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
from seedbed.views.report.facts import facts
from seedbed.views.report.markup import Html, join, tag
from seedbed.views.report.ranking import contests
from seedbed.views.report.tables import tables

# What the stages write that the page is made of, and the stage that makes it.
PARTS = {
    INSTRUCTIONS: "bootstrap",
    PREPARED: "prepare",
    CANDIDATES: "candidates",
    LABELLED: "label",
    RELABELLED: "relabel-and-pick",
}
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
        "provenance": facts(pipeline, commit, [one.name for one in stages]),
        "pipeline": join(drawing.draw(group) for group in drawing.methods(stages)),
        "figures": tables(figures.compared()),
        "plots": _plots(),
        "kinds": _kinds(found),
        "contest": contests(tasks),
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


# --- the metrics


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
