"""Whatever stands in params.yaml, it is accepted or refused in one error: no traceback, no hang.

A few dozen strange values in the suite. By hand, after a change to how parameters are read, as many
as you have time for (a thousand take a minute; those that DVC reads too, a hundredth as many, take
a second each):

    SEEDBED_FUZZ=20000 pytest tests/test_fuzz_params.py
"""

import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from support.project import ROOT, Project
from support.tries import tries

from seedbed import params
from seedbed.core.paths import PARAMS
from seedbed.errors import BadParam, SeedbedError
from seedbed.methods import STAGES, module_of
from seedbed.runs.outline import printable
from seedbed.views.preset import _place

TEXT = (ROOT / PARAMS).read_text(encoding="utf-8")
EXAMPLES = int(os.environ.get("SEEDBED_FUZZ", tries(40)))
# What concerns no line: a whole file that is not what it should be.
OF_THE_FILE = re.compile(
    r"holds no parameters|characters, but|is UTF-16|byte order mark|not UTF-8|holds a \w+, not"
)


def names_in(node: yaml.Node, within: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every section and every parameter, so that a new one is covered without being named."""
    found = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = (*within, key.value)
            found += [name, *names_in(value, name)]
    return found


ROOT_NODE = yaml.compose(TEXT)
NAMES = names_in(ROOT_NODE)
assert ("llm", "embedded", "context") in NAMES

ODD = st.text(
    st.sampled_from("\0\a\b\t\n\r\x1b\x7f\x85\xa0\u2028\u2029\ufeff\ufffe\U0001f600 ab01é")
    | st.sampled_from("&*!|>%@`#?:-,[]{}\"'<=~.+_ \\")
    | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


def any_of(words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words.split())


NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(0, 3).map(lambda n: str(2**63 - 2 + n)),
    st.floats().map(repr),
    any_of(".nan .inf -.inf 1e999 1e-6 0o17 0x1F 0b1 017 1_0 1__ 1:1.5 -_ 0o_ + 1. .5 1e5 -0"),
    any_of("2024-13-01 2024-02-30 2024-01-01 0000-00-00 2024-01-01T99:99:99 9999-12-31T23:59:59-9"),
    st.builds(
        lambda sign, digits: sign + "1" * digits,
        st.sampled_from(["", "0x", "0b", "0o", "-", "1.", "1:"]),
        st.integers(1, 6000),
    ),
)
WORDS = any_of("yes no on y True NULL ~ = << null all none - ? : *a *b")
QUOTED = st.one_of(
    ODD.map(json.dumps),
    st.sampled_from(
        [r'"\ud800"', r'"\udc00\ud800"', r'"\UFFFFFFFF"', r'"\x"', '"', "'", r'"\0"', ""]
    ),
)
TAGS = any_of(
    "!!int !!float !!bool !!null !!str !!binary !!timestamp !!set !!omap !!pairs !!map !!seq"
    " !!merge !!value !!python/object/apply:os.getcwd !mine ! !<x> !! !<tag:yaml.org,2002:int>"
    " &a &b | >- ?"
)
SCALARS = st.one_of(NUMBERS, WORDS, QUOTED, ODD)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda some: f"[{', '.join(some)}]"),
        st.lists(st.tuples(SCALARS, inner), max_size=4).map(
            lambda some: "{" + ", ".join(f"{key}: {value}" for key, value in some) + "}"
        ),
        st.lists(inner, max_size=3).map(lambda some: "".join(f"\n    - {one}" for one in some)),
        st.tuples(TAGS, inner).map(" ".join),
        inner.map(lambda one: f"&a [{one}, *a]"),
        inner.map(lambda one: f"&a {{b: {one}, <<: *a}}"),
        inner.map(lambda one: f"{{<<: {one}, a: 1, a: 2}}"),
    ),
    max_leaves=8,
)
LARGE = st.one_of(
    st.builds(lambda one, n: one * n, SCALARS, st.integers(100, 30_000)),
    st.builds(lambda one, n: f"[{f'{one}, ' * n}]", SCALARS, st.integers(100, 30_000)),
    st.builds(
        lambda one, n: one * n,
        st.sampled_from(["[", "{a: ", "- ", "? ", "&a [", "!!seq ["]),
        st.integers(10, 9000),
    ),
    st.integers(5, 500).map(lambda n: "[" * n + "]" * n),
    # Each has nine times as many values in it as the one before.
    st.integers(2, 30).map(
        lambda n: "[&a0 1, " + ", ".join(f"&a{i} [{f'*a{i - 1}, ' * 9}]" for i in range(1, n)) + "]"
    ),
)
AROUND = st.sampled_from(
    [
        "{}",
        "{}",
        "{}",
        "{}\n---\na: 1",
        "{}\n...\nb",
        "{}\n\tb: 1",
        "{} # word",
        "\n\n  {}",
        "{}\n{}",
    ]
)


def check(content: bytes, names: tuple[str, ...] | None = None) -> bool:
    """Whether params.yaml with that content is accepted; if not, that it is refused as it should.

    names: the only one that may be wrong in it, if that is known.
    """
    PARAMS.write_bytes(content)
    begun = time.process_time()
    try:
        everything = params.everything()
    except SeedbedError as error:
        said = str(error)
        note(said)
        place = re.match(r"params\.yaml:(\d+): ", said)
        if place:
            # YAML counts these as ends of lines.
            lines = len(re.findall("[\n\r\x85\u2028\u2029]", content.decode())) + 1
            assert 1 <= int(place[1]) <= lines
        else:
            assert said.startswith("params.yaml: ")
            assert OF_THE_FILE.search(said)
        if names and isinstance(error, BadParam):
            assert said.split(": ")[1].split(".")[0] == names[0]
        assert len(said) < 800
        assert "\n  " in said
        assert printable(said).encode()
        return False
    finally:
        # Of this process alone, and several times what it takes.
        assert time.process_time() - begun < 5
    assert json.loads(everything.model_dump_json())
    return True


@pytest.fixture
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def with_value(names: tuple[str, ...], value: str) -> bytes:
    place = _place(ROOT_NODE, names)
    assert place
    start, end = place
    return (TEXT[:start] + ": " + value + TEXT[end:]).encode()


slow = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(slow, max_examples=EXAMPLES)
@given(names=st.sampled_from(NAMES), value=VALUES | LARGE, around=AROUND)
@pytest.mark.usefixtures("_own_folder")
def test_every_field_takes_a_value_or_refuses_it(
    names: tuple[str, ...], value: str, around: str
) -> None:
    text = around.replace("{}", value)
    alone = "\n" not in text and "\r" not in text and "\x85" not in text and "\u2028" not in text
    check(with_value(names, text), names if alone and "\u2029" not in text else None)


@settings(slow, max_examples=EXAMPLES)
@given(place=st.integers(0, len(TEXT)), value=ODD | VALUES, cut=st.integers(0, 40))
@pytest.mark.usefixtures("_own_folder")
def test_a_file_that_was_spoilt_anywhere_is_read_or_refused(
    place: int, value: str, cut: int
) -> None:
    check((TEXT[:place] + value + TEXT[place + cut :]).encode())


@settings(slow, max_examples=EXAMPLES)
@given(content=st.binary(max_size=60), place=st.integers(0, len(TEXT)), alone=st.booleans())
@pytest.mark.usefixtures("_own_folder")
def test_bytes_that_are_no_text_are_refused(content: bytes, place: int, alone: bool) -> None:
    own = TEXT.encode()
    content = content if alone else own[:place] + content + own[place:]
    try:
        content.decode()
    except UnicodeDecodeError:
        assert not check(content)
    else:
        check(content)


# In Hydra's words. It refuses some of them itself, as DVC says then.
SET = st.recursive(
    NUMBERS
    | WORDS
    | ODD.map(lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'")
    | st.text("abz019.-_ /:%é\U0001f600", max_size=200),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda some: f"[{','.join(some)}]"),
        st.dictionaries(st.text("abx1", min_size=1), inner, max_size=3).map(
            lambda some: "{" + ",".join(f"{key}:{value}" for key, value in some.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(slow, max_examples=EXAMPLES)
@given(names=st.sampled_from(NAMES), value=SET, sign=st.sampled_from(["", "", "+", "++"]))
@pytest.mark.usefixtures("_own_folder")
def test_what_dvc_writes_is_accepted_or_refused(
    names: tuple[str, ...], value: str, sign: str
) -> None:
    from dvc.utils.hydra import apply_overrides

    PARAMS.write_text(TEXT, encoding="utf-8")
    with suppress(Exception):  # what it refuses it leaves alone, or writes half of it
        apply_overrides(str(PARAMS), [f"{sign}{'.'.join(names)}={value}"])
    check(PARAMS.read_bytes())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    every = ("ranker", "training", "active", "backtranslation")
    return Project(tmp_path_factory.mktemp("fuzz") / "project", pipelines=every)


FOLDERS = st.one_of(
    any_of(
        "${x} / .. data/candidates s3://a remote://a local:// a.dvc file.dvc/ .dvc dvc.yaml ~ *"
    ),
    st.sampled_from(["x" * 5000, "a/" * 3000]),
    ODD,
)


@settings(slow, max_examples=max(3, EXAMPLES // 100))
@given(
    names=st.sampled_from(NAMES) | st.just(("niv2", "folder")),
    value=VALUES | FOLDERS.map(json.dumps),
    stage=st.sampled_from(sorted(STAGES)),
)
def test_what_a_stage_reads_through_dvc_is_accepted_or_refused(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    value: str,
    stage: str,
) -> None:
    monkeypatch.chdir(project.folder)
    accepted = check(with_value(names, value))
    sections = module_of(stage).Params
    if accepted:
        assert params.load(stage, sections)
    else:
        with pytest.raises(SeedbedError):
            params.load(stage, sections)
