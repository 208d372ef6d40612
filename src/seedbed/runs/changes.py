"""Values that a stage's command gives some of its parameters: `--set finetune.seed=2`.

So a stage that stands in an experiment several times differs in them from one time to the next;
DVC sees them in the command, and everything else in params.yaml.
"""

import shlex
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

from seedbed.errors import BadFile, BadParam, BadRow
from seedbed.runs.errors import BadChange
from seedbed.runs.plain_yaml import Tree

OPTION = "--set"


def read_changes(given: Iterable[str]) -> dict[str, Any]:
    """The values by the parameters' full names. given: NAME=VALUE each, the value in YAML.

    Raises:
        BadChange: not of that form, no plain YAML, or DVC and most editors read it differently.
    """
    from dvc.utils.serialize import ParseError, parse_yaml

    changes: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadChange(text, "not NAME=VALUE")
        if name in changes:
            raise BadChange(text, "its parameter is set twice")
        yaml = f"value: {value}\n"
        try:
            read = Tree(Path(OPTION), yaml).data
            same = set(read) == {"value"} and repr(read) == repr({**parse_yaml(yaml, OPTION)})
        except (BadFile, BadParam, BadRow, ParseError, ValueError):
            raise BadChange(text, "no plain value in YAML") from None
        if not same:
            raise BadChange(text, "YAML 1.1 and YAML 1.2 read it differently")
        changes[name] = read["value"]
    return changes


def changed(sections: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The sections with the changes in them.

    Raises:
        BadChange: there is nothing that such a parameter could stand in.
    """
    result = deepcopy(dict(sections))
    for full, value in changes.items():
        *path, name = full.split(".")
        inside: Any = result
        for part in path:
            inside = inside.get(part) if isinstance(inside, dict) else None
        if not isinstance(inside, dict):
            raise BadChange(f"{full}=…", "the stage has no such parameter")
        inside[name] = value
    return result


def changes_in(command: str | list[str]) -> dict[str, Any]:
    """The changes that a stage's command makes, as dvc.yaml or dvc.lock has it; {} for none."""
    changes: dict[str, Any] = {}
    for line in [command] if isinstance(command, str) else command:
        try:
            words = shlex.split(line)
            given = [value for option, value in pairwise(words) if option == OPTION]
            joined = f"{OPTION}="
            given += [word.removeprefix(joined) for word in words if word.startswith(joined)]
            changes |= read_changes(given)
        except (BadChange, ValueError):  # the stage itself would have refused it
            continue
    return changes
