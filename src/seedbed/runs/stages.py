"""The stages of a dvc.yaml, loops taken apart, and what its dvc.lock recorded of each."""

import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from seedbed.core.files import problem_of, read_text
from seedbed.core.paths import PARAMS
from seedbed.core.records import Record
from seedbed.errors import BadFile, BadParam, cut
from seedbed.runs.plain_yaml import MOST_IN_A_RUN, compose, line_of

# What DVC raises at a form that it did not foresee.
UNEXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _name_of(out: Any) -> Any:
    """An output with settings of its own, such as `cache: false`, is a mapping of one name."""
    return next(iter(out)) if isinstance(out, dict) and out else out


class Stage(Record):
    """What is read of a stage in dvc.yaml. wdir: where its paths count from."""

    desc: str = ""
    cmd: str | list[str] = ""
    wdir: str = "."
    deps: list[str] = Field(default=[])
    outs: list[Annotated[str, BeforeValidator(_name_of)]] = Field(default=[])
    params: list[str | dict[str, list[str] | None]] = Field(default=[])


class _Written(Stage):
    """A stage, or a loop that makes several of `do`."""

    do: Stage | None = None


class Entry(Record):
    """A dependency or output as dvc.lock has it."""

    path: str
    md5: str | None = None


class Locked(Record):
    """What is read of a stage in dvc.lock. params: of each file, name → value."""

    cmd: str | list[str] = ""
    deps: list[Entry] = Field(default=[])
    outs: list[Entry] = Field(default=[])
    params: dict[str, dict[str, Any]] = Field(default={})


Kind = TypeVar("Kind", bound=Record)


def stages_of(path: Path, data: Mapping[str, Any]) -> dict[str, Stage]:
    """The stages of a dvc.yaml as DVC names them: `train@r2` is one of a loop.

    DVC itself fills in what stands in ${…} and takes loops apart. But its errors know no line, so
    what is there is checked first.

    Args:
        data: what stands in `path`.

    Returns:
        the stages, their paths as seen from the project's folder.

    Raises:
        BadParam: not as DVC wants it.
        BadFile: DVC cannot fill it in.
    """
    from dvc.exceptions import DvcException
    from dvc.parsing import DataResolver
    from dvc.repo import Repo

    written = data.get("stages") or {}
    _checked(path, written, Stage)
    loops = {name: stage["do"] for name, stage in written.items() if "do" in stage}
    _checked(path, loops, Stage, "do")
    try:
        with Repo(uninitialized=True) as repo:
            filled = DataResolver(repo, str(path.parent), {**data}).resolve()["stages"]
    except (DvcException, *UNEXPECTED) as error:
        said = cut(" ".join(str(error).split())) or type(error).__name__
        raise BadFile(path, f"DVC cannot read it: {said}", "Mend the YAML there.") from None
    stages = _checked(path, filled, Stage)
    for stage in stages.values():
        stage.wdir = _from_here(stage.wdir, path.parent)
        stage.deps = [_from_here(dep, Path(stage.wdir)) for dep in stage.deps]
        stage.outs = [_from_here(out, Path(stage.wdir)) for out in stage.outs]
    return stages


def declared_by(path: Path, data: Mapping[str, Any], name: str) -> list[str]:
    """The parameters of the project's params.yaml that a stage declares, by full name.

    As they stand in dvc.yaml: nothing is filled in, and so nothing of DVC's has to be loaded.

    Args:
        data: what stands in `path`.
        name: as DVC names the stage; what follows an @ is which one of a loop.

    Raises:
        BadFile, BadParam: there is no such stage, or not as DVC wants it.
    """
    written = data.get("stages")
    stages = _checked(path, written or {}, _Written)
    base = name.partition("@")[0]
    if base not in stages:
        known = cut(", ".join(stages))
        raise BadFile(path, f"has no stage {cut(base)}", f"It has: {known}.")
    stage = stages[base].do or stages[base]
    names = []
    for entry in stage.params:
        of_files = {PARAMS.name: [entry]} if isinstance(entry, str) else entry
        for file, declared in of_files.items():
            if _from_here(file, path.parent / stage.wdir) == PARAMS.as_posix():
                names += declared or []
    return names


def recorded_of(
    path: Path, data: Mapping[str, Any], stages: Mapping[str, Stage]
) -> dict[str, Locked]:
    """What a dvc.lock has of each stage, its paths as seen from the project's folder.

    Args:
        data: what stands in `path`.
        stages: those of the dvc.yaml beside it; it may have others that are there no more.

    Raises:
        BadParam: not as DVC writes it.
    """
    recorded = _checked(path, data.get("stages") or {}, Locked)
    for name, locked in recorded.items():
        place = Path(stages[name].wdir) if name in stages else path.parent
        for entry in (*locked.deps, *locked.outs):
            entry.path = _from_here(entry.path, place)
        locked.params = {_from_here(file, place): values for file, values in locked.params.items()}
    return recorded


def _from_here(path: str, place: Path) -> str:
    return Path(os.path.normpath(place / path)).as_posix()


def _checked(path: Path, stages: Any, kind: type[Kind], *within: str) -> dict[str, Kind]:
    """Raises BadParam: `stages`, or what stands `within` each of them, are not of that kind."""
    try:
        return TypeAdapter(dict[str, kind]).validate_python(stages)  # type: ignore[valid-type]
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        name = ("stages", *place[:1], *within, *place[1:])
        line = line_of(compose(path, read_text(path), MOST_IN_A_RUN), name)
        remedy = "`dvc status` says what DVC makes of the file."
        full = cut(".".join(map(str, name)))
        raise BadParam(path, line, full, problem_of(error)[1], remedy) from None
