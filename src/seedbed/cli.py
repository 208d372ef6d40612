"""The commands that dvc.yaml calls, one a stage."""

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated

import typer

from seedbed import params
from seedbed.errors import SeedbedError

app = typer.Typer(
    help=__doc__, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)


def run_stage(name: str) -> None:
    """Run one stage on its declared parameters; say what went wrong in one message."""
    try:
        # A stage's libraries are imported only for that stage: `--help` stays quick.
        stage = import_module(f"seedbed.stages.{name}")
        stage.run(params.load(name, stage.Params))
    except SeedbedError as error:
        print(f"seedbed {name}: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt as stop:
        for note in getattr(stop, "__notes__", []):
            print(f"\nseedbed {note}. Run the same command to go on from there.", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
def bootstrap() -> None:
    """Seed tasks → instructions."""
    run_stage("bootstrap")


@app.command()
def clf() -> None:
    """Instructions → is it a classification task?"""
    run_stage("clf")


@app.command()
def instances() -> None:
    """Instructions → raw instances."""
    run_stage("instances")


@app.command()
def prepare() -> None:
    """Raw instances → finetuning data."""
    run_stage("prepare")


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
    """A row of any output → what it came from, back to the seed tasks."""
    from seedbed.outline import printable
    from seedbed.trace import account

    try:
        lines = account(row, full)
    except SeedbedError as error:
        # What a row is named by in a message may be a model's text, too.
        said = "\n".join(map(printable, str(error).split("\n")))
        print(f"seedbed trace: {said}", file=sys.stderr)
        raise typer.Exit(1) from None
    if isinstance(sys.stdout, TextIOWrapper):
        # A model may write any character; a terminal may know fewer.
        sys.stdout.reconfigure(errors="backslashreplace")
    for line in lines:
        print(line)


def main() -> None:
    app()
