"""YAML that people write: what it says, where, and what it may not say."""

from pathlib import Path

import pytest
import yaml

from seedbed.errors import BadFile, BadParam, BadRow, SeedbedError
from seedbed.runs.plain_yaml import DEEPEST, MOST_CHARACTERS, MOST_VALUES, Tree

PATH = Path("p.yaml")


def test_plain_values_are_what_pyyaml_makes_of_them() -> None:
    text = 'a: {b: [1, 1.5, true, null, "x", plain, ""], c: {}}\nd: []\ne: |\n  two\n  lines\n'
    assert Tree(PATH, text).data == yaml.safe_load(text)


def test_every_value_is_known_by_its_line() -> None:
    tree = Tree(PATH, "# first\na:\n  b: 1\n  c:\n    - 2\n    - {d: 3}\ne: [4,\n  5]\n")
    lines = {
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c", 1): 6,
        ("a", "c", 1, "d"): 6,
        ("a", "c", 7): 4,
        ("a", "missing", "within"): 2,
        ("e", 0): 7,
        ("e", 1): 8,
        ("nowhere",): 1,
    }
    assert {name: tree.line_of(name) for name in lines} == lines


def test_aliases_and_merges_are_written_out() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {y: 3, <<: *a}\nd: &d {z: 4, x: 5}\n"
    text += "e: {<<: [*a, *d], y: 6}\n"
    tree = Tree(PATH, text)
    assert tree.data == yaml.safe_load(text)
    assert tree.data["c"] == {"x": 1, "y": 3}
    assert tree.data["e"] == {"x": 1, "y": 6, "z": 4}
    assert tree.data["a"] is not tree.data["b"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2024-13-01", "cannot read '2024-13-01' as timestamp"),
        ("!!timestamp x", "cannot read 'x' as timestamp"),
        ("!!int x", "cannot read 'x' as int"),
        ("!!int", "cannot read '' as int"),
        ("!!bool x", "cannot read 'x' as bool"),
        ("!!float 1:x", "cannot read '1:x' as float"),
        ("!!binary é", "cannot read 'é' as binary"),
        ("!!map x", "reads it as a dict"),
        ("!mine x", "cannot read 'x' as !mine"),
        ("=", "cannot read '=' as value"),
        ("9" * 5000, "cannot read '999"),
        ("0x" + "f" * 5000, "thousands of digits: a number of more than 64 bits"),
        (str(2**63), "found 9223372036854775808: a number of more than 64 bits"),
        ("2024-11-01", "reads it as a date"),
        ("!!binary aGk=", "reads it as a bytes"),
        ("!!set {a}", "has the tag tag:yaml.org,2002:set"),
        ("!!omap [a: 1]", "has the tag tag:yaml.org,2002:omap"),
        ("!!python/object/apply:os.getcwd []", "has the tag tag:yaml.org,2002:python"),
        (r'"\ud83d\ude00"', r"half of a surrogate pair ('\ud83d')"),
        ("{1: x}", "b.1: a name must be a text"),
        ("{[a]: x}", "b.…: a name must be a text"),
        ("{no: x}", "b.no: a name must be a text"),
        ("{2024-13-01: x}", "cannot read '2024-13-01' as timestamp"),
        ("{c: 1, c: 2}", "b.c: stands there twice"),
        ("{<<: 3}", "b.<<: merges what is no mapping"),
        ("{<<: [{}, 3]}", "b.<<: merges what is no mapping"),
    ],
)
def test_what_is_no_plain_value_is_named_with_its_line(value: str, said: str) -> None:
    with pytest.raises(BadParam) as failure:
        Tree(PATH, f"a: 1\nb: {value}\n")
    assert str(failure.value).startswith(f"{PATH}:2: b")
    assert said in str(failure.value)


def test_the_greatest_numbers_are_those_of_64_bits() -> None:
    assert Tree(PATH, f"a: [{2**63 - 1}, {1 - 2**63}]").data == {"a": [2**63 - 1, 1 - 2**63]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [", 2),
        ("a: 1\n\tb: 2", 2),
        ("a: 1\nb: \x07", 2),
        ("a: 1\n---\nb: 2", 2),
        ('a: 1\nb: "\\UFFFFFFFF"\n', 2),
        ("a: 1\nb: *nobody", 2),
        ("a: &a 1\nb: &a 2", 2),
        ("%YAML 3.0\n---\na: 1", 1),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(text: str, line: int) -> None:
    with pytest.raises(BadRow, match=rf"^p\.yaml:{line}: "):
        Tree(PATH, text)


def laughs(times: int) -> str:
    """So many names, each of which has ten times as many values in it as the one before."""
    lines = ["a0: &a0 [1, 1]\n"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, times)]
    return "".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: &b [*b]", 2, "nested more than"),
        ("a: 1\nb: &b {c: *b}", 2, "nested more than"),
        ("a: 1\nb: &b {<<: *b}", 2, "nested more than"),
        ("a: 1\nb: &b [*b, *b, *b]", 2, "nested more than|more than .* values"),
        ("a: &a\n  b: &b [*a]\n  c: *b", 2, "nested more than"),
        ("a: 1\nb: " + "[" * 600 + "]" * 600, 2, "nested more than"),
        ("a: 1\nb: " + "[" * 100_000, 2, "nested more than"),
        (laughs(9), 4, "more than .* values"),
        ("a: 1\nb: [" + "1," * MOST_VALUES + "]", 2, "more than .* values"),
    ],
)
def test_what_has_no_end_or_nearly_none_is_named_with_a_line(
    text: str, line: int, said: str
) -> None:
    with pytest.raises(BadRow, match=rf"^p\.yaml:[1-{line}]: ({said})"):
        Tree(PATH, text)


def test_as_much_as_there_may_be_is_read() -> None:
    deep = "a: " + "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert Tree(PATH, deep)
    many = Tree(PATH, "a: [" + ", ".join("1" * (MOST_VALUES - 3)) + "]")
    assert len(many.data["a"]) == MOST_VALUES - 3
    long = Tree(PATH, "a: " + "x" * (MOST_CHARACTERS - 3))
    assert len(long.data["a"]) == MOST_CHARACTERS - 3


@pytest.mark.parametrize("text", ["", "# nothing", "5", "[a]", "a: " + "x" * MOST_CHARACTERS])
def test_what_holds_no_parameters_is_named(text: str) -> None:
    with pytest.raises(BadFile, match=r"^p\.yaml: "):
        Tree(PATH, text)


@pytest.mark.parametrize("value", ["x" * 100_000, "{" + "y" * 100_000 + ": 1, 2: 3}"])
def test_an_error_is_short_whatever_it_is_about(value: str) -> None:
    with pytest.raises(SeedbedError) as failure:
        Tree(PATH, f"a: !mine {value}")
    assert len(str(failure.value)) < 500
