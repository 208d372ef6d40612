"""`seedbed store`: what looks at the response store, and keeps it in order."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seedbed.errors import BadFile
from seedbed.llm.contract.wire import Problem
from seedbed.runs.outline import printable
from seedbed.views.saying import explaining, show

if TYPE_CHECKING:
    from seedbed.llm.store.store import Store

store_app = typer.Typer(help="The response store: every answer that was ever paid for.")


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
