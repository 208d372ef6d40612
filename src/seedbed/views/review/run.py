"""`seedbed review`: ask a person, until Ctrl-C."""

import getpass
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from seedbed.tasks.ratings import FOLDER, NAME
from seedbed.views.errors import BadName
from seedbed.views.review.items import read_items
from seedbed.views.review.server import Server
from seedbed.views.review.session import Session


def default_name() -> str:
    """The login name, as far as it can be a file's; else `me`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may know no name of its user
        name = ""
    return name if NAME.fullmatch(name) else "me"


def review(
    path: Path, sample: int, seed: int, name: str, models: Sequence[str], show: bool
) -> None:
    """Serve the page until somebody hits Ctrl-C. show: open it in the browser too.

    Raises:
        BadName. BadFile, BadRow: of what is read, of the ratings too.
    """
    if not NAME.fullmatch(name):
        raise BadName(name)
    session = Session(read_items(path, sample, seed, name, models), FOLDER / f"{name}.jsonl")
    session.mend()
    done = session.state()["done"]
    with Server(session) as server:
        print(f"{done} of {len(session)} questions answered in {session.path}")
        print(f"Open {server.address}", flush=True)
        print("Ctrl-C ends it; every answer is kept as it is given.", flush=True)
        if show:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            done = session.state()["done"]
            print(f"\n{done} of {len(session)} questions answered in {session.path}")
            print("The same command goes on from there." if done < len(session) else "That is all.")
