"""The commands that dvc.yaml calls, one a stage."""

import sys
from importlib import import_module

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


def main() -> None:
    app()
