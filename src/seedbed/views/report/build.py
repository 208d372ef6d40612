"""The page: what every run has, and the part of each method, put into page.html."""

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from importlib.resources import files
from typing import Any

from seedbed.methods import parts
from seedbed.runs.page import Kind, Part
from seedbed.runs.pipeline import Pipeline
from seedbed.views.errors import NothingToReport
from seedbed.views.report import comparison, drawing, made_with, pictures
from seedbed.views.report.packing import columns, packed
from seedbed.views.report.templates import render


def build() -> str:
    """The page. The same project at the same commit gives the same text.

    Raises:
        NothingToReport: no stage has written anything.
        BadFile, BadRow: a file is broken, or there is no dvc.yaml.
        StoreFailed, NoRepository: the response store cannot be read, or found.
    """
    pipeline = Pipeline()
    part_of = {module.__package__ or "": module.part() for module in parts("report")}
    if not any(path.exists() for part in part_of.values() for path in part.made_of):
        raise NothingToReport
    stages = drawing.stages()
    commit = made_with.commit()
    answers = {stage: keys for part in part_of.values() for stage, keys in part.keys.items()}
    models, unknown_answers = made_with.models(answers)
    compared = comparison.compared()
    styles = (_file(package, "report.css") for package in part_of)
    style = "".join([_file(__package__, "page.css"), *styles])
    # A method's script puts itself among the `ways`, from where the page's own takes it.
    begin = "'use strict';\nconst ways = {};\n"
    scripts = (_file(package, "report.js") for package in part_of)
    script = "".join([begin, *scripts, _file(__package__, "page.js")])
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{digest(style)}'; script-src '{digest(script)}'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    kinds = [kind for part in part_of.values() for kind in part.kinds]
    return render(
        "page/page.html",
        title=f"Seedbed report · {commit.id[:7]}" if commit else "Seedbed report",
        policy=policy,
        style=style,
        script=script,
        counts=[count for part in part_of.values() for count in part.counts],
        notices=_notices(pipeline, part_of.values()),
        pipeline=pipeline,
        commit=commit,
        models=models,
        unknown_answers=unknown_answers,
        packages=made_with.packages(),
        parameters=made_with.parameters(pipeline, [stage.name for stage in stages]),
        drawings=[drawing.draw(group) for group in drawing.connected(stages)],
        compared=compared,
        cards=comparison.cards(compared),
        plots=_plots(),
        kinds=kinds,
        scored=any(row.score is not None for kind in kinds for row in kind.rows),
        rated=any(row.rating is not None for kind in kinds for row in kind.rows),
        sections=[
            (section, render(f"{_name(package)}/{section.template}", **section.values))
            for package, part in part_of.items()
            for section in part.sections
        ],
        data=packed(_data(part_of)),
    )


def digest(text: str) -> str:
    """A source of the Content-Security-Policy: only this very text may be used."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _name(package: str) -> str:
    return package.rpartition(".")[2]


def _file(package: str, name: str) -> str:
    """A file of a package; "" if it has none of that name."""
    path = files(package).joinpath(name)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _notices(pipeline: Pipeline, method_parts: Iterable[Part]) -> list[str]:
    """What the page cannot show, and what on it is not of one run."""
    missing: list[str] = []
    changed: list[str] = []
    for path in (path for part in method_parts for path in part.made_of):
        stage = pipeline.stage_of(path)
        compared = pipeline.compared(stage, path) if path.is_file() else None
        if not path.exists():
            missing.append(
                f"`{path}` is not there: {stage} has not run, or its output is not fetched. "
                f"Run `dvc repro {stage}` or `dvc pull`."
            )
        elif compared and not compared.startswith("the file is what"):
            changed.append(f"`{path}`: {compared}.")
    return [*missing, *(notice for part in method_parts for notice in part.notices), *changed]


def _plots() -> list[tuple[pictures.Plot, pictures.Picture | None]] | None:
    """Every plot as an image, None where it is none; None if nothing can be drawn here."""
    try:
        import vl_convert  # noqa: F401
    except ImportError:
        return None
    return [(plot, pictures.picture(plot)) for plot in pictures.plots()]


def _data(part_of: dict[str, Part]) -> dict[str, Any]:
    """What the page's script reads: see the top of page.js."""
    kinds: list[tuple[str, Kind]] = [
        (_name(package), kind) for package, part in part_of.items() for kind in part.kinds
    ]
    return {
        "kinds": [
            {
                "name": kind.name,
                "file": kind.file.as_posix(),
                "method": method,
                "count": len(kind.rows),
            }
            for method, kind in kinds
        ],
        "rows": columns([kind.rows for _, kind in kinds]),
        "origins": {_name(package): part.origins for package, part in part_of.items()},
    }
