"""A preview as one page: no script, nothing loaded, whatever a model wrote is text."""

from importlib.resources import files
from itertools import islice
from pathlib import Path

from seedbed.core.files import exists
from seedbed.errors import BadFile
from seedbed.views.preview.look import Seen
from seedbed.views.preview.told import QUESTIONS, shown, state, summary
from seedbed.views.report.build import digest
from seedbed.views.report.templates import render


def page(seen: Seen) -> str:
    """The page."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return render(
        "preview/page.html",
        policy=f"default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src '{digest(style)}'",
        style=style,
        seen=seen,
        summary=list(summary(seen)),
        samples=[
            {
                "sample": sample,
                "asked": [
                    {"one": one, "prompt": found, "state": state(one)}
                    for one, found in islice(
                        zip(sample.asked, seen.told(sample), strict=True), QUESTIONS
                    )
                ],
                "more": max(len(sample.asked) - QUESTIONS, 0),
                "made": [
                    {name: shown(value) for name, value in row.items()} for row in sample.made
                ],
            }
            for sample in seen.samples
        ],
    )


def demand_folder(path: Path) -> None:
    """A folder that is not there is more often mistyped than meant.

    Raises:
        BadFile: the page has no folder to be in.
    """
    folder = path.parent
    if not (exists(folder) and folder.is_dir()):
        raise BadFile(path, f"there is no folder {folder}", "Make it first, or name another place.")
