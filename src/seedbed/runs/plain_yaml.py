"""YAML that people write: plain values, and the line that each stands on.

YAML can say more than a parameter needs: a value that holds itself, a few lines that come to
billions of values, a tag that makes an object. And where a text is no date, no number or no
character although it looks like one, PyYAML passes on whatever Python said of it. All of that
becomes one error with its line.
"""

from pathlib import Path
from typing import Any

import yaml

from seedbed.core.files import read_text
from seedbed.errors import BadFile, BadParam, BadRow, cut, shown

# Deeper than any parameter stands; an alias within what it names would have no end.
DEEPEST = 20
# So much is read in a second, with the two readings that a check takes.
MOST_VALUES = 10_000
# Of a file that DVC writes, nobody knows how long it will be.
MOST_IN_A_RUN = 1_000_000
MOST_CHARACTERS = 200_000
# What a whole number is kept in, with its sign: by SQLite and by most servers.
BITS = 64

_MAP, _SEQ, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "merge"))
# What PyYAML raises for a date without such a day, a number of 5,000 digits, a tag that it does not
# know, and what else a text may be that its beginning does not promise.
_UNREADABLE = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
# A parameter and those that it is in, outermost first; a place in a list is a number.
Name = tuple[Any, ...]


def compose(path: Path, text: str, most: int = MOST_VALUES) -> yaml.Node | None:
    """A file's nodes; None if there is nothing in it.

    Args:
        most: values that there may be, once its aliases are followed.

    Raises:
        BadRow: no YAML, several documents, nested too deep, or too many values.
    """
    loader = None
    try:
        loader = _Loader(text, most)
        root = loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadRow(
            path,
            line,
            f"the character {shown(text[error.position])} cannot stand in YAML",
            "Remove it, or write it as an escape within double quotes.",
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        begun = f" (from line {error.context_mark.line + 1} on)" if error.context_mark else ""
        context = error.context and f"{error.context}{begun}"
        said = ", ".join(filter(None, (context, error.problem)))
        line = mark.line + 1 if mark else 1
        raise BadRow(path, line, cut(said, 200), "Mend the YAML there.") from None
    except (OverflowError, ValueError):
        # Of an escape such as \UFFFFFFFF, or a %YAML of thousands of digits.
        line = loader.line + 1 if loader else 1
        said = "a number or a character that there is not"
        raise BadRow(path, line, said, "Mend the YAML there.") from None
    finally:
        if loader:
            loader.dispose()
    if root is not None:
        _follow_aliases(path, root, most)
    return root


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as DVC reads it: `1e-06`, as dvc.lock has it, is a text to PyYAML.

    Raises:
        BadFile, BadRow: it is missing, no text, or no YAML.
    """
    # Imported here because the other commands do without it.
    from dvc.utils.serialize import ParseError, parse_yaml
    from ruamel.yaml.error import MarkedYAMLError

    text = read_text(path)
    compose(path, text, MOST_IN_A_RUN)
    try:
        data = parse_yaml(text, str(path))
    except ParseError as error:
        cause = error.__cause__
        if not isinstance(cause, MarkedYAMLError) or cause.problem_mark is None:
            raise BadFile(path, " ".join(str(error).split()), "Mend the YAML there.") from None
        line = cause.problem_mark.line + 1
        raise BadRow(path, line, cut(str(cause.problem)), "Mend the YAML there.") from None
    # A date without such a day, for one.
    except (LookupError, TypeError, ValueError) as error:
        raise BadFile(path, f"DVC cannot read it: {error}", "Mend the YAML there.") from None
    if not isinstance(data, dict):
        raise BadFile(path, f"holds a {type(data).__name__}, not a mapping", "Mend the YAML there.")
    return data


class _Loader(yaml.SafeLoader):
    """Stops at the first node that is nested too deep, or one too many."""

    def __init__(self, text: str, most: int):
        super().__init__(text)
        self._most = most
        self._nodes = 0
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        self._depth += 1
        problem = _too_much(self._depth, self._nodes, self._most)
        if problem:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _too_much(depth: int, nodes: int, most: int) -> str:
    if depth > DEEPEST:
        return f"nested more than {DEEPEST} deep, or an alias within what it names"
    return f"more than {most:,} values" if nodes > most else ""


def _follow_aliases(path: Path, root: yaml.Node, most: int) -> None:
    todo, nodes = [(root, 1)], 0
    while todo:
        node, depth = todo.pop()
        nodes += 1
        if problem := _too_much(depth, nodes, most):
            line = node.start_mark.line + 1
            raise BadRow(path, line, problem, "Write out what the aliases there stand for.")
        if isinstance(node, yaml.CollectionNode):
            for item in node.value:
                inside = item if isinstance(item, tuple) else (item,)
                todo += [(child, depth + 1) for child in inside]


def line_of(root: yaml.Node | None, name: Name) -> int:
    """The line of a value, counted from 1; of what it would stand in, if it is missing."""
    node, line = root, 1
    for part in name:
        if isinstance(node, yaml.MappingNode):
            inside = [(k, v) for k, v in node.value if k.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            inside = [(v, v) for v in node.value[part : part + 1]]
        else:
            inside = []
        if not inside:
            break
        key, node = inside[0]
        line = key.start_mark.line + 1
    return line


class Tree:
    """A file that is one mapping of texts to plain values.

    data: mappings, lists, texts, numbers, booleans and nulls; aliases and merges are written out.
    root: its nodes, which know their places in the text.
    """

    def __init__(self, path: Path, text: str):
        """Read `text`, the content of `path`.

        Raises:
            BadFile: too long, or no mapping.
            BadRow: as `compose`.
            BadParam: a value that is none of those, a name that is no text or stands there twice.
        """
        self.path, self.text = path, text
        if len(text) > MOST_CHARACTERS:
            raise BadFile(
                path,
                f"{len(text):,} characters, but parameters take at most {MOST_CHARACTERS:,}",
                "Keep what is long in a file of its own.",
            )
        root = compose(path, text)
        if not isinstance(root, yaml.MappingNode):
            raise BadFile(path, "holds no parameters", "It has sections, as params.yaml has.")
        self.root = root
        self._loader = yaml.SafeLoader("")
        self.data: dict[str, Any] = self._value(root, ())

    def line_of(self, name: Name) -> int:
        return line_of(self.root, name)

    def at(self, name: Name) -> Any:
        """A value; None if it is missing."""
        value: Any = self.data
        for part in name:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def bad(self, name: Name, problem: str, remedy: str) -> BadParam:
        """The error for a parameter."""
        return _bad(self.path, self.line_of(name), name, problem, remedy)

    def _value(self, node: yaml.Node, name: Name) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
            return self._mapping(node, name)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
            return [self._value(item, (*name, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, name)
        raise self._at(node, name, f"has the tag {cut(node.tag)}", "Write it without a tag.")

    def _mapping(self, node: yaml.MappingNode, name: Name) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        stated: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for mapping in reversed(self._merged(value, name)):
                    merged |= mapping
                continue
            scalar = isinstance(key, yaml.ScalarNode)
            part = self._scalar(key, (*name, key.value)) if scalar else None
            if not isinstance(part, str):
                shown_as = key.value if scalar else "…"
                remedy = "Write quotes around it."
                raise self._at(key, (*name, shown_as), "a name must be a text", remedy)
            if part in stated:
                raise self._at(key, (*name, part), "stands there twice", "Remove one of them.")
            stated[part] = self._value(value, (*name, part))
        return merged | stated

    def _merged(self, node: yaml.Node, name: Name) -> list[dict[str, Any]]:
        """What `<<` takes over: a mapping, or several, the first before the others."""
        mappings = self._value(node, name)
        mappings = mappings if isinstance(mappings, list) else [mappings]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            raise self._at(node, (*name, "<<"), "merges what is no mapping", "Write it out.")
        return mappings

    def _scalar(self, node: yaml.ScalarNode, name: Name) -> Any:
        try:
            value = self._loader.construct_object(node)
        except _UNREADABLE:
            kind = node.tag.removeprefix("tag:yaml.org,2002:")
            raise self._at(
                node,
                name,
                f"YAML cannot read {shown(node.value)} as {cut(kind)}",
                "Write quotes around it if it is a text.",
            ) from None
        if isinstance(value, str):
            half = next((c for c in value if "\ud800" <= c <= "\udfff"), None)
            if half:
                raise self._at(
                    node,
                    name,
                    f"half of a surrogate pair ({half!r}), which no file can hold",
                    "Write the character itself.",
                )
        elif isinstance(value, int) and value.bit_length() >= BITS:
            problem = f"found {shown(value)}: a number of more than {BITS} bits"
            raise self._at(node, name, problem, "Take a smaller one.")
        elif not isinstance(value, int | float | None):
            raise self._at(
                node,
                name,
                f"YAML reads it as a {type(value).__name__}",
                "Write quotes around it if it is a text.",
            )
        return value

    def _at(self, node: yaml.Node, name: Name, problem: str, remedy: str) -> BadParam:
        return _bad(self.path, node.start_mark.line + 1, name, problem, remedy)


def _bad(path: Path, line: int, name: Name, problem: str, remedy: str) -> BadParam:
    return BadParam(path, line, cut(".".join(map(str, name))) or "the file", problem, remedy)
