"""The parameters: params.yaml, checked before anything else happens.

A stage is handed only what it declares in dvc.yaml: a parameter that it reads without declaring it
fails at once, instead of going stale.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args

from pydantic import (
    ValidationError,
    create_model,
)

from seedbed.core.files import plainly, read_text
from seedbed.core.paths import PARAMS
from seedbed.core.section import Section
from seedbed.errors import BadFile, BadParam, NoRepository, shown
from seedbed.llm.params import Llm, Model, Run
from seedbed.methods import STAGES, parts
from seedbed.runs.changes import changed
from seedbed.runs.errors import BadChange
from seedbed.runs.pipeline import PIPELINE, pipelines
from seedbed.runs.plain_yaml import Name, Tree, read_yaml
from seedbed.runs.stages import declared_by


class Everything(Section):
    """All of params.yaml: llm, run, and the sections of every method."""

    llm: Model
    run: Run

    @property
    def asked(self) -> Llm:
        """The engine's parameters: those of llm and run together."""
        return Llm(**dict(self.llm), **dict(self.run))


def _of_all() -> type[Everything]:
    # The last base's fields come first, so that errors come in the order of the methods.
    sections = [part.Sections for part in reversed(parts("params"))]
    return create_model("Everything", __base__=(*sections, Everything))


_All = _of_all()
Declared = TypeVar("Declared", bound=Section)


def load(
    stage: str,
    sections: type[Declared],
    changes: Mapping[str, Any] = MappingProxyType({}),
    at: tuple[Path, str] | None = None,
) -> Declared:
    """The sections that `stage` declares in dvc.yaml.

    All of params.yaml is checked, so that a mistake in a later stage's section is not found only
    after the stages before it were paid for.

    Args:
        changes: values that take the place of those, by full name.
        at: the dvc.yaml that declares them, and the stage's name there; None for where it runs.

    Raises:
        BadChange: one of `changes` is of no declared parameter, or a value that it cannot have.
        BadFile, BadRow: params.yaml is missing, no text, or no YAML.
        BadParam: a parameter that is unknown, of the wrong type, out of range, or that YAML 1.1
            and YAML 1.2 read differently; names file, line and parameter.
        NoRepository: this is no clone of the project.
    """
    tree = _checked()
    declared = _declared(at or _place(stage), tree.data)
    # Who asks reads the section run as well; who only compares the model's name does not.
    if "llm" in declared and sections.model_fields["llm"].annotation is Llm:
        declared["llm"] = declared["llm"] | tree.data["run"]
    try:
        return sections.model_validate(changed(declared, changes))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        for name, value in changes.items():
            # What is wrong with a section as a whole may be wrong by the change, too.
            if f"{place}.".startswith(f"{name}.") or name.startswith(f"{place}."):
                unknown = first["type"] == "extra_forbidden"
                problem = "there is no such parameter" if unknown else plainly(first["msg"])
                raise BadChange(f"{name}={value}", f"{place}: {problem}") from None
        raise explained(error, tree) from None


def _declared(at: tuple[Path, str], data: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage declares of all parameters, within the sections that it is in.

    `dvc.api.params_show` would say the same, after it has read every dvc.yaml and dvc.lock of the
    project: two seconds of every stage's.
    """
    path, name = at
    if not PIPELINE.exists():
        raise NoRepository(Path.cwd())
    declared: dict[str, Any] = {}
    for full in declared_by(path, read_yaml(path), name):
        *outer, last = full.split(".")
        here, there = declared, data
        for part in outer:
            here, there = here.setdefault(part, {}), there.get(part, {})
        if last in there:
            here[last] = there[last]
    return declared


def _place(stage: str) -> tuple[Path, str]:
    """The dvc.yaml of a stage, and what DVC calls it there: with its round, where it has several.

    Without DVC it is in the pipeline that has its method's name, or else in the first that has it.
    """
    if address := os.environ.get("DVC_STAGE"):
        path, _, name = address.rpartition(":")
        return Path(path or PIPELINE), name
    method = STAGES[stage].__name__.rpartition(".")[2] if stage in STAGES else ""
    there = sorted(pipelines(), key=lambda path: path.parent.name != method)
    return next((path for path in there if _has(path, stage)), PIPELINE), stage


def _has(path: Path, stage: str) -> bool:
    stages = read_yaml(path).get("stages") if path.exists() else None
    return isinstance(stages, dict) and stage in stages


def checked(data: Any) -> Everything:
    """All of the sections, of parsed YAML. Raises ValidationError."""
    return _All.model_validate(data)


def everything() -> Everything:
    """All of params.yaml. Raises as `load`."""
    return checked(_checked().data)


def _checked() -> Tree:
    """What params.yaml says, once it is known to be sound."""
    if not PARAMS.exists():
        raise BadFile(PARAMS, "no such file", "Run Seedbed from the project's folder.")
    tree = Tree(PARAMS, read_text(PARAMS))
    _check_that_dvc_reads_the_same(tree)
    try:
        checked(tree.data)
    except ValidationError as error:
        raise explained(error, tree) from None
    return tree


def _check_that_dvc_reads_the_same(tree: Tree) -> None:
    """DVC reads YAML 1.2, PyYAML and most editors 1.1."""
    try:
        read = read_yaml(tree.path)
    except BadFile:
        # It does not say what: a text such as -_, which looks to it like the beginning of a number.
        for name, value in _leaves(tree.data):
            if isinstance(value, str) and not _dvc_can_read(value):
                problem = f"DVC (YAML 1.2) cannot read {shown(value)}"
                raise tree.bad(name, problem, "Write quotes around it.") from None
        raise
    for name, value in _leaves(read):
        other = tree.at(name)
        # What is no number (.nan) is not equal to itself.
        if type(value) is not type(other) or (value != other and value == value):
            raise tree.bad(
                name,
                f"DVC (YAML 1.2) reads {shown(value)}, PyYAML (YAML 1.1) reads {shown(other)}",
                "Write it so that both agree: 0.000001 or 1.0e-6 for 1e-6, true for yes, "
                'quotes around a text such as "no".',
            )


def _dvc_can_read(text: str) -> bool:
    from dvc.utils.serialize import ParseError, parse_yaml

    try:
        parse_yaml(text, PARAMS)
    except ParseError:
        pass  # a text of several lines may be no YAML by itself
    except ValueError:
        return False
    return True


def explained(error: ValidationError, tree: Tree) -> BadParam:
    """The first thing that is wrong with parameters, where `tree` has it."""
    errors = error.errors()
    # A name that is misspelt is also one that is missing: say the former.
    first = next((problem for problem in errors if problem["type"] == "extra_forbidden"), errors[0])
    name = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(tree, name)
    expected = plainly(first["msg"])
    expected = expected[0].lower() + expected[1:]
    value = first["input"]
    prefix = "" if isinstance(value, dict) else f"found {shown(value)}: "
    return tree.bad(name, prefix + expected, "Change it there.")


def _unknown(tree: Tree, name: Name) -> BadParam:
    model: Any = _All
    for part in name[:-1]:
        # A number is a place in a list, and some names, such as a round's, are a user's own.
        fields = getattr(model, "model_fields", None)
        model = get_args(model)[-1] if fields is None else fields[part].annotation
    known = list(model.model_fields)
    close = difflib.get_close_matches(str(name[-1]), known, n=1)
    remedy = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
    return tree.bad(name, "there is no such parameter", remedy)


def _leaves(data: Any, name: Name = ()) -> Iterator[tuple[Name, Any]]:
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data)
        if isinstance(data, list)
        else ()
    )
    empty = True
    for key, value in items:
        empty = False
        yield from _leaves(value, (*name, key))
    if empty:
        yield name, data
