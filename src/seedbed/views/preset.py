"""Presets: values that go together, kept as a file and written into params.yaml by one command.

What stands in params.yaml is what a run uses, and DVC sees nothing else: a preset changes that
file, with all of its comments left as they are, and `git diff params.yaml` shows what it did.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import ValidationError

from seedbed.core.files import exists, read_text, write_files
from seedbed.core.paths import PARAMS, PRESETS
from seedbed.errors import BadFile, SeedbedError
from seedbed.methods import parts
from seedbed.params import checked, explained
from seedbed.runs.plain_yaml import Tree

# What JSON has as it is, and YAML only as an escape.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
# A mapping of several lines, behind its name, up to the first of its own names.
_IN_LINES = re.compile(r":(?:\s*#.*)*\s*\n( +)[^\s#-]")
# A change: a parameter's full name, what stood there, what stands there now.
Change = tuple[str, Any, Any]


def path_of(name: str) -> Path:
    """The file of a preset. Raises BadFile: there is none of that name."""
    path = PRESETS / f"{name}.yaml"
    if not exists(path):
        there = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml"))) or "none"
        raise BadFile(path, "no such preset", f"There are: {there}.")
    return path


def apply(name: str) -> list[Change]:
    """Write the values of a preset into params.yaml; gives those that changed, in its order.

    Raises:
        BadFile, BadRow: no such preset, or one of the two files is no YAML mapping.
        BadParam: the preset names a parameter that params.yaml does not have, or gives it a value
            that it cannot have; or one of the files is not sound. params.yaml is then left alone.
    """
    path = path_of(name)
    preset, params = Tree(path, read_text(path)), Tree(PARAMS, read_text(PARAMS))
    text = params.text
    wanted = copy.deepcopy(params.data)
    changes: list[Change] = []
    pieces: list[tuple[int, int, str]] = []  # from, to, what to put there
    for names, value in _leaves(preset.data):
        span = _place(params.root, names)
        if span is None:
            remedy = "Take its name from params.yaml."
            raise preset.bad(names, "there is no such parameter", remedy)
        section = wanted
        for part in names[:-1]:
            section = section[part]
        before = section[names[-1]]
        if before != value:
            section[names[-1]] = value
            changes.append((".".join(names), before, value))
            pieces.append((*span, _instead(text[slice(*span)], value)))
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    try:
        checked(wanted)
    except ValidationError as error:
        # What is wrong in params.yaml itself is no fault of the preset's.
        place = error.errors()[0]["loc"]
        stated = [names for names, _ in _leaves(preset.data)]
        of_preset = any(names[: len(place)] == place[: len(names)] for names in stated)
        raise explained(error, preset if of_preset else params) from None
    if not _says(text, wanted):
        raise BadFile(
            PARAMS,
            "one of the values there stands for several parameters",
            "Write out what its aliases (*) and merges (<<) stand for.",
        )
    if changes:
        write_files({PARAMS: [text]})
    return changes


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return Tree(PARAMS, text).data == wanted
    except SeedbedError:
        return False


def _instead(before: str, value: Any) -> str:
    """What is put behind a parameter's name. before: what stood there, of which it takes the form.

    A mapping then has a line for each of its names.
    """
    lines = _IN_LINES.match(before)
    if lines is None or not isinstance(value, Mapping) or not value:
        return f": {written(value)}"
    return ":" + "".join(f"\n{lines[1]}{written(k)}: {written(v)}" for k, v in value.items())


def written(value: Any) -> str:
    r"""A value as YAML 1.1 and 1.2 both read it, on one line.

    >>> print(written([None, True, 1e-05, "no", "\x85"]))
    [null, true, 1.0e-05, "no", "\u0085"]
    """
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    # JSON is YAML too, but for numbers such as 1e-05.
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return text if "." in text else text.replace("e", ".0e")
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _leaves(data: Mapping[str, Any], names: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping) and not _has_own_names((*names, name)):
            yield from _leaves(value, (*names, name))
        else:
            yield (*names, name), value


def _has_own_names(full: tuple[str, ...]) -> bool:
    """Whether a parameter is a mapping whose names a user chooses, such as those of rounds.

    It is one value: a name that a preset leaves out is gone.
    """
    fields: dict[str, Any] = {}
    for part in parts("params"):
        fields |= part.Sections.model_fields
    kind: Any = None
    for name in full:
        if name not in fields:
            return False
        kind = fields[name].annotation
        fields = getattr(kind, "model_fields", {})
    return get_origin(kind) is dict


def _place(node: yaml.Node, names: tuple[str, ...]) -> tuple[int, int] | None:
    """Where a parameter's value stands: from the end of its name to the end of the value."""
    start = 0
    for name in names:
        if not isinstance(node, yaml.MappingNode):
            return None
        pairs = [(key, value) for key, value in node.value if key.value == name]
        if not pairs:
            return None
        key, node = pairs[0]
        start = key.end_mark.index
    return start, _end(node)


def _end(node: yaml.Node) -> int:
    """Of a list in several lines, the end of its last item: the mark is that of what comes next."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
