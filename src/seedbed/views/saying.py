"""How every command speaks: a failure is one message, and what a model wrote is only text."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import typer

from seedbed.errors import SeedbedError
from seedbed.runs.outline import printable
from seedbed.runs.stop import Stop


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


def show(lines: Iterator[str] | list[str]) -> None:
    if isinstance(sys.stdout, TextIOWrapper):
        # A model may write any character; a terminal may know fewer.
        sys.stdout.reconfigure(errors="backslashreplace")
    for line in lines:
        print(line)
