"""Where the response store lies."""

import os
from pathlib import Path

from seedbed.errors import NoRepository


def default_path() -> Path:
    """SEEDBED_STORE, else .seedbed/responses.sqlite in the repository (the parent's, if queued).

    A relative SEEDBED_STORE counts from there too, so that a temporary copy does not take it away.
    """
    chosen = Path(os.environ.get("SEEDBED_STORE") or ".seedbed/responses.sqlite").expanduser()
    if chosen.is_absolute():
        return chosen
    root = os.environ.get("DVC_ROOT")
    if root is None:
        here = Path.cwd()
        roots = [folder for folder in (here, *here.parents) if (folder / ".dvc").is_dir()]
        if not roots:
            raise NoRepository(here)
        root = str(roots[0])
    return Path(root) / chosen
