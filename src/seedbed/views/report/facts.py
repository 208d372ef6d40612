"""What was run, as a part of the page."""

import json
from itertools import groupby

from seedbed.runs.pipeline import Pipeline
from seedbed.views.report import provenance
from seedbed.views.report.markup import Html, join, tag

# So many of the files that have changed are named.
CHANGED_SHOWN = 12


def facts(pipeline: Pipeline, commit: provenance.Commit | None, stages: list[str]) -> Html:
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
