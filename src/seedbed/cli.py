"""The command line: the stages that dvc.yaml calls, and what looks at a run from outside."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from seedbed import params
from seedbed.methods import METHODS, module_of, parts
from seedbed.runs.changes import read_changes
from seedbed.runs.outline import printable
from seedbed.runs.rounds import read_instead, write_into
from seedbed.views.saying import explaining, show
from seedbed.views.store import store_app

# A command's libraries are imported in it: `--help` stays quick.
app = typer.Typer(
    help="Grow instruction-tuning data. `dvc repro` runs the stages; the rest looks at a run.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(store_app, name="store", no_args_is_help=True)


def stage_command(name: str) -> Callable[..., None]:
    """The command that runs one stage on its declared parameters."""

    def run(
        inputs: Annotated[
            list[str] | None,
            typer.Option("--input", metavar="NAME=PATH", help="Read this file instead."),
        ] = None,
        round_: Annotated[
            str | None,
            typer.Option("--round", help="Write into folders of this name instead."),
        ] = None,
        changes: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="NAME=VALUE", help="Change this parameter."),
        ] = None,
    ) -> None:
        with explaining(name):
            stage = module_of(name)
            stage.run(
                params.load(name, stage.Params, read_changes(changes or ())),
                read_instead(stage.Inputs(), inputs or ()),
                write_into(name, round_),
            )

    return run


for _method in METHODS:
    for _name, _help in _method.STAGES.items():
        app.command(_name, help=_help, rich_help_panel="The stages that dvc.yaml calls")(
            stage_command(_name)
        )


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file of presets/, such as paper.")],
) -> None:
    """Write the values of a preset into params.yaml; `git checkout params.yaml` takes them back."""
    with explaining("preset"):
        from seedbed.views.preset import apply

        changes = apply(name)
        show([f"{name}: {before!r} → {after!r}" for name, before, after in changes])
        if not changes:
            print("params.yaml has these values already")


@app.command()
def estimate() -> None:
    """What a run would send: requests, tokens and cost, a line a stage."""
    with explaining("estimate"):
        from seedbed.views.estimate import foresee, table

        show(list(table(*foresee(params.everything()))))


@app.command("preview")
def preview_command(
    stage: Annotated[
        str,
        typer.Argument(metavar="STAGE", help="Such as clf, or curate@round-2 for one of a loop."),
    ],
    rows: Annotated[int, typer.Option(min=1, max=50, help="How many are asked about.")] = 3,
    html: Annotated[
        Path | None, typer.Option(help="Write a page that can be handed on, too.")
    ] = None,
) -> None:
    """The first prompts of a stage, what comes back, what it makes of it, what all would cost."""
    with explaining("preview"):
        from seedbed.core.files import write_files
        from seedbed.views.preview.look import look
        from seedbed.views.preview.page import demand_folder, page
        from seedbed.views.preview.told import lines

        if html:
            demand_folder(html)  # before anything is asked
        seen = look(stage, rows)
        show(lines(seen, styled=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
        if html:
            write_files({html: [page(seen)]})
            show([printable(f"{html}: {html.stat().st_size / 1000:.0f} kB")])


@app.command()
def doctor() -> None:
    """Is the server there, which models has it, what does it refuse, how fast is it?"""
    with explaining("doctor"):
        from seedbed.views.doctor import examine

        for line in examine(params.everything().asked):
            print(printable(line), flush=True)


@app.command()
def trace(
    row: Annotated[
        str,
        typer.Argument(metavar="FILE:LINE", help="Such as data/prepare/finetuning.jsonl:3."),
    ],
    full: Annotated[
        bool, typer.Option("--full", help="Prompts and raw answers whole, not shortened.")
    ] = False,
) -> None:
    """A row of any output → what it came from, back to the tasks that people wrote."""
    with explaining("trace"):
        from seedbed.views.trace import account

        show(account(row, full))


@app.command()
def report(
    output: Annotated[Path, typer.Option("--output", help="The page to be written.")] = Path(
        ".seedbed/report.html"
    ),
) -> None:
    """A run as one page: what was run, metrics, plots, and every row with its origin."""
    with explaining("report"):
        from seedbed.core.files import write_files
        from seedbed.views.report.build import build

        page = build()
        write_files({output: [page]})
        show([printable(f"{output}: {output.stat().st_size / 1e6:.1f} MB")])


@app.command()
def tasks(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Instead of niv2.folder of params.yaml."),
    ] = None,
) -> None:
    """Natural Instructions tasks: which are there, how large, and what is wrong with them."""
    with explaining("tasks"):
        sections = None if folder else params.everything()
        broken = False
        for method in parts("tasks"):
            for line, sound in method.survey(folder) if folder else method.survey_of(sections):
                broken |= not sound
                show([printable(line)])
                sys.stdout.flush()  # a large folder takes its time
        if broken:
            raise typer.Exit(1)


def _license(value: str | None) -> str | None:
    """The hub's ids are SPDX's in lower case, and some of its own."""
    if value is not None and not re.fullmatch("[A-Za-z0-9][A-Za-z0-9.+-]*", value):
        raise typer.BadParameter("expected an id, such as cc-by-4.0")
    return value and value.lower()


def _language(value: str) -> str:
    if not re.fullmatch("[a-z]{2,3}", value):
        raise typer.BadParameter("expected an ISO 639 code, such as en")
    return value


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New, or empty.")],
    license: Annotated[
        str | None,
        typer.Option(
            callback=_license,
            help="As the hub calls it, such as cc-by-4.0; that there is such a one is not checked. "
            "Without it the card has the terms of the packaged model, or `unknown`.",
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(callback=_language, help="What the data is in: an ISO 639 code.")
    ] = "en",
    without_license: Annotated[
        bool,
        typer.Option(
            "--without-license",
            help="Hand on, too, texts of others of which no licence is known.",
        ),
    ] = False,
) -> None:
    """The finished data → a folder for the Hugging Face hub: Parquet, JSON Lines, a data card."""
    with explaining("export"):
        from seedbed.views.export.folder import export

        show(list(map(printable, export(folder, license, language, without_license))))


@app.command()
def review(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Rows, such as data/prepare/alpaca.jsonl; or what evaluate's models answered, "
            "data/evaluate/answers.jsonl.",
        ),
    ],
    sample: Annotated[
        int, typer.Option(min=1, help="So many rows, or held-out examples, drawn at random.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Of the draw: the same for all who rate.")] = 42,
    name: Annotated[
        str | None,
        typer.Option(help="Whose answers: data/ratings/NAME.jsonl. Your login name, if not said."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model's answers, and others so.")
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open it in the browser too.")] = False,
) -> None:
    """Rate rows, or answers whose models you are not told, on a page in your browser."""
    with explaining("review"):
        from seedbed.views.review.run import default_name, review

        review(file, sample, seed, name or default_name(), models or (), opens)


def main() -> None:
    app()
