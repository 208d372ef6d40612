"""A stage as a person names it: where it stands, what its command says, what it lacks."""

import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from seedbed.core.files import exists
from seedbed.runs.errors import NoSuchStage, NotMadeYet
from seedbed.runs.pipeline import PIPELINE, Pipeline


@dataclass(frozen=True)
class Called:
    """A stage of a dvc.yaml.

    address: as DVC's commands take it, such as `pipelines/active/dvc.yaml:active-score@start`.
    command: the stage of Seedbed that it runs.
    inputs, changes: what stands after --input, and after --set.
    """

    address: str
    command: str
    inputs: list[str]
    changes: list[str]

    @property
    def place(self) -> tuple[Path, str]:
        """Its dvc.yaml, and its name there."""
        path, _, name = self.address.rpartition(":")
        return Path(path or PIPELINE), name

    @property
    def name(self) -> str:
        """Its name there, without which one of a loop it is."""
        return self.place[1].partition("@")[0]


def called(pipeline: Pipeline, name: str, method: str | None = None) -> Called:
    """The stage of that name: of several the method's own, and of a loop the first.

    Args:
        name: as DVC has it, with or without its dvc.yaml and which one of a loop it is.
        method: the folder of the method that a stage of this name belongs to.

    Raises:
        NoSuchStage
    """
    own = f"{PIPELINE.parent / 'pipelines' / (method or '')}/"
    named = [
        address
        for address in pipeline.stages
        if name in (address, address.rpartition(":")[2], address.partition("@")[0])
        or name == address.rpartition(":")[2].partition("@")[0]
    ]
    # The sort is stable: the order of the files is that of reading.
    named.sort(key=lambda address: (address != name, ":" in address, not address.startswith(own)))
    if not named:
        known = {address.rpartition(":")[2].partition("@")[0] for address in pipeline.stages}
        raise NoSuchStage(name, sorted(known))
    command = pipeline.stages[named[0]].cmd
    words = shlex.split(command if isinstance(command, str) else command[0])
    start = words.index("seedbed") + 1 if "seedbed" in words else len(words)
    rest = words[start:]
    return Called(named[0], rest[0] if rest else "", _after(rest, "--input"), _after(rest, "--set"))


def _after(words: list[str], option: str) -> list[str]:
    """What follows an option, each time that it is there."""
    joined = f"{option}="
    pairs = pairwise(words)
    return [value for word, value in pairs if word == option] + [
        word.removeprefix(joined) for word in words if word.startswith(joined)
    ]


def demand_inputs(pipeline: Pipeline, address: str) -> None:
    """Raises NotMadeYet: the stage reads what another makes, and that is not there."""
    for dep in map(Path, pipeline.stages[address].deps):
        if exists(dep):
            continue
        for out, writer in pipeline.writers.items():
            if dep.is_relative_to(out) or out.is_relative_to(dep):
                raise NotMadeYet(address, dep, writer)
