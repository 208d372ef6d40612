"""The command line: the stages that dvc.yaml calls, and what looks at a run from outside."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedbed import params
from seedbed.errors import BadFile, SeedbedError
from seedbed.llm.contract.wire import Problem
from seedbed.methods import METHODS, module_of, parts
from seedbed.runs.changes import read_changes
from seedbed.runs.outline import printable
from seedbed.runs.rounds import read_instead, write_into
from seedbed.runs.stop import Stop

if TYPE_CHECKING:
    from seedbed.llm.store.store import Store

# A command's libraries are imported in it: `--help` stays quick.
app = typer.Typer(
    help="Grow instruction-tuning data. `dvc repro` runs the stages; the rest looks at a run.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(help="The response store: every answer that was ever paid for.")
app.add_typer(store_app, name="store", no_args_is_help=True)


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn a failure inside into one message, and an exit status. name: the command's."""
    with Stop() as stopped:
        try:
            yield
        except SeedbedError as error:
            # What is quoted in a message may be a model's text, or a server's.
            message = "\n".join(map(printable, str(error).split("\n")))
            print(f"seedbed {name}: {message}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            for note in getattr(stop, "__notes__", []):
                hint = f"seedbed {note}. Run the same command to go on from there."
                print(f"\n{hint}", file=sys.stderr)
            raise typer.Exit(128 + stopped.number) from None


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


def show(lines: Iterator[str] | list[str]) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        # A model may write any character; a terminal may know fewer.
        sys.stdout.reconfigure(errors="backslashreplace")
    for line in lines:
        print(line)


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
            help="An SPDX id, or one of the hub's. Without it the card has the terms of the "
            "packaged model, or `unknown`.",
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


@contextmanager
def opened_store() -> Iterator["Store"]:
    """The store, if there is one: looking at it does not make it."""
    from seedbed.core.files import exists
    from seedbed.llm.store.place import default_path
    from seedbed.llm.store.store import Store

    path = default_path()
    if not exists(path):
        remedy = "Nothing was asked yet, or SEEDBED_STORE should name another place."
        raise BadFile(path, "there is no response store", remedy)
    with closing(Store(path)) as store:
        yield store


@store_app.command("stats")
def store_stats() -> None:
    """What is in the store, a paragraph a model."""
    with explaining("store stats"), opened_store() as store:
        from seedbed.llm.store.transfer import statistics

        show(statistics(store))


@store_app.command("check")
def store_check() -> None:
    """Read the whole file through for damage, and compare each row with its digest."""
    with explaining("store check"), opened_store() as store:
        from seedbed.llm.store.upkeep import check

        check(store)
        show([printable(f"{store.path}: sound")])


Model = Annotated[
    str | None, typer.Option(help="Only of models whose identity has this text in it.")
]


@store_app.command("export")
def store_export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON Lines to be written.")],
    model: Model = None,
) -> None:
    """Write the answers as JSON Lines, for somebody without a key: see run.replay."""
    with explaining("store export"), opened_store() as store:
        from seedbed.core.files import write_files
        from seedbed.llm.store.transfer import export

        count = 0

        def counted() -> Iterator[str]:
            nonlocal count
            for line in export(store, model):
                count += 1
                yield line

        write_files({file: counted()})
        print(f"{count} answers written (`seedbed store stats` shows the models that there are)")


@store_app.command("import")
def store_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON Lines that `store export` wrote.")
    ],
) -> None:
    """Add the answers of an exported store."""
    with explaining("store import"):
        from seedbed.llm.store.place import default_path
        from seedbed.llm.store.store import Store
        from seedbed.llm.store.transfer import read_in

        with closing(Store(default_path())) as store:
            lines, new = read_in(store, file)
            print(f"{lines} answers, {new} of them new")


@store_app.command("rename")
def store_rename(
    server: Annotated[str, typer.Argument(metavar="FROM", help="The server's address, or name.")],
    to: Annotated[str, typer.Argument(metavar="TO", help="The name that llm.server has.")],
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only this model's.")] = None,
) -> None:
    """Move a server's answers to another name, under which llm.server finds them."""
    with explaining("store rename"), opened_store() as store:
        from seedbed.llm.serve.endpoint import server_of
        from seedbed.llm.store.renaming import rename

        show(rename(store, server_of(server), server_of(to), model).told)


@store_app.command("prune")
def store_prune(
    model: Model = None,
    problem: Annotated[
        Problem | None, typer.Option(help="Only those that are of no use for this reason.")
    ] = None,
    before: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only those kept before this day (UTC)."),
    ] = None,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Those that are not what was kept, of all models.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; else they are counted.")] = False,
) -> None:
    """Delete answers, so that they are asked for anew."""
    chosen = bool(model or problem or before)
    if not (chosen or damaged):
        raise typer.BadParameter("say which: --model, --problem or --before; or --damaged")
    if chosen and damaged:
        raise typer.BadParameter("--damaged goes alone: what a row says of itself may be wrong")
    with explaining("store prune"), opened_store() as store:
        from seedbed.llm.store.upkeep import prune, prune_damaged

        day = f"{before:%Y-%m-%d}" if before else None
        gone = prune_damaged(store, yes) if damaged else prune(store, model, problem, day, yes)
        print(f"{gone} answers {'deleted' if yes else 'would be deleted: add --yes'}")


def main() -> None:
    app()
