"""A row of any output, told back to what people wrote: the seed tasks, or the task it is about.

What a stage ran with is taken from where it was recorded: the answers and their requests from the
response store, the parameters from dvc.lock. The working tree may be another by now; where it is,
the account says so.
"""

import os
from pathlib import Path

from seedbed.core.files import exists
from seedbed.errors import BadFile
from seedbed.methods import parts
from seedbed.runs.errors import NotAnOutput
from seedbed.runs.pipeline import Pipeline
from seedbed.runs.places import Place
from seedbed.runs.telling import Telling


def account(text: str, full: bool = False) -> list[str]:
    """The lines of the account of a row.

    Args:
        text: FILE:LINE.
        full: whether to tell prompts, raw answers and instructions whole.

    Raises:
        NotAPlace, NotAnOutput, NoSuchLine: there is no such row of an output.
        NotHere, OriginMissing: a file that the row came from is missing, or of another run.
        BadFile, BadRow: a file on the way is broken.
        NoSuchTask, SameTaskName: the task that the row is about is not where it was.
        StoreFailed, NoRepository: the response store cannot be read, or found.
    """
    place = Place.parse(text)
    # Not `resolve`: an output may be a link into DVC's cache.
    place = Place(Path(os.path.relpath(place.path)), place.line)
    telling = Telling(Pipeline(), full)
    writers = telling.pipeline.writers
    methods = parts("trace")
    for method in methods:
        if method.knows(place.path, writers):
            method.tell(telling, place)
            return telling.out.lines
    if not exists(place.path):
        raise BadFile(place.path, "no such file", "Check the path.")
    raise NotAnOutput(place.path, [file for method in methods for file in method.files(writers)])
