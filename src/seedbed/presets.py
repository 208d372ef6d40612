"""Presets: values that go together, kept as a file and written into params.yaml by one command.

What stands in params.yaml is what a run uses, and DVC sees nothing else: a preset changes that
file, with all of its comments left as they are, and `git diff params.yaml` shows what it did.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from seedbed.errors import BadFile, BadParam
from seedbed.files import problem_of, read_text, write_files
from seedbed.params import Everything, Lines
from seedbed.paths import PARAMS, PRESETS

# A change: a parameter's full name, what stood there, what stands there now.
Change = tuple[str, Any, Any]


def path_of(name: str) -> Path:
    """Raises BadFile: there is no preset of that name."""
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in PRESETS.glob("*.yaml"))) or "none"
        raise BadFile(path, "no such preset", f"There are: {there}.")
    return path


def apply(name: str) -> list[Change]:
    """Write the values of a preset into params.yaml; gives those that changed, in its order.

    Raises:
        BadFile: no such preset, or one of the two files is no YAML mapping.
        BadParam: the preset names a parameter that params.yaml does not have, or gives it a value
            that it cannot have. params.yaml is then left alone.
    """
    path = path_of(name)
    own, text = read_text(path), read_text(PARAMS)
    _root(path, own)
    lines, root = Lines(own), _root(PARAMS, text)
    current = yaml.safe_load(text)
    changes: list[Change] = []
    pieces: list[tuple[int, int, str]] = []  # from, to, what to put there
    for names, value in _leaves(yaml.safe_load(own)):
        full = ".".join(names)
        found = _place(root, names)
        if found is None:
            remedy = "Take its name from params.yaml."
            raise BadParam(path, lines.of(names), full, "there is no such parameter", remedy)
        before = current
        for one in names:
            before = before[one]
        if before != value:
            changes.append((full, before, value))
            # JSON is YAML too, and fits on the line of the name, whatever stood there.
            pieces.append((*found, f": {json.dumps(value, ensure_ascii=False)}"))
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    try:
        Everything.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        full, problem = problem_of(error)
        line = lines.of(tuple(full.split(".")))
        raise BadParam(path, line, full, problem, "Change it there.") from None
    if changes:
        write_files({PARAMS: [text]})
    return changes


def _root(path: Path, text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text)
    except yaml.YAMLError as error:
        raise BadFile(path, " ".join(str(error).split()), "Mend the YAML there.") from None
    if not isinstance(root, yaml.MappingNode):
        raise BadFile(path, "holds no parameters", "It has sections, as params.yaml has.")
    return root


def _leaves(data: Mapping[str, Any], names: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*names, name))
        else:
            yield (*names, name), value


def _place(node: yaml.Node, names: tuple[str, ...]) -> tuple[int, int] | None:
    """Where a parameter's value stands: from the end of its name to the end of the value."""
    start = 0
    for name in names:
        if not isinstance(node, yaml.MappingNode):
            return None
        found = [(key, value) for key, value in node.value if key.value == name]
        if not found:
            return None
        key, node = found[0]
        start = key.end_mark.index
    return start, _end(node)


def _end(node: yaml.Node) -> int:
    """Of a list in several lines, the end of its last item: the mark is that of what comes next."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
