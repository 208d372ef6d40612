"""Handing a run on: the answers as a file, and a run of them alone, without key and server."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.growing import GROWN_KEY, Growing, growing, small
from support.params import sampling
from support.project import Project
from support.server import completion
from support.stages import run_stage
from support.tries import tries
from typer.testing import CliRunner

from seedbed import params
from seedbed.cli import app
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.store import transfer
from seedbed.llm.store.rows import Kept
from seedbed.llm.store.store import Store
from seedbed.llm.store.transfer import export, read_in
from seedbed.llm.store.upkeep import by_model, check
from seedbed.methods import module_of

OUTPUTS = (
    "dvc.lock",
    "data/bootstrap/machine_generated_instructions.jsonl",
    "data/bootstrap/rejected.jsonl",
    "data/clf/is_clf_or_not.jsonl",
    "data/instances/machine_generated_instances.jsonl",
    "data/prepare/finetuning.jsonl",
    "data/prepare/rejected.jsonl",
    "metrics/bootstrap.json",
    "metrics/clf.json",
    "metrics/instances.json",
    "metrics/prepare.json",
    "metrics/candidates.json",
    "metrics/label.json",
    "metrics/relabel_and_pick.json",
    "data/candidates/origins.jsonl",
    "data/relabel_and_pick/train.jsonl",
)


def seedbed(project: Project, *words: str, **environment: str) -> tuple[int, str]:
    done = project.run("python", "-m", "seedbed", *words, PYTHONPATH="src", **environment)
    return done.returncode, done.stdout


def test_an_imported_store_replays_the_run_to_the_byte_without_a_connection(
    grown_with: tuple[Project, Growing, int], grown: Project, grower: Growing, project: Project
) -> None:
    first, clone, server, sent = grown, project, grower, grown_with[2]
    small(clone)
    # The server stays, so that whoever connects is counted.
    there = {"OPENAI_BASE_URL": server.url}
    code, told = seedbed(first, "store", "export", "answers.jsonl")
    assert (code, told.partition(" ")[0]) == (0, str(sent))
    assert GROWN_KEY.encode() not in first.read("answers.jsonl")

    clone.set("run.replay", True)
    answers = str(first.folder / "answers.jsonl")
    said = f"{sent} answers, {sent} of them new\n"
    assert seedbed(clone, "store", "import", answers) == (0, said)
    done = clone.run("dvc", "repro", **there)
    assert done.returncode == 0, done.stdout
    for name in OUTPUTS:
        assert clone.read(name) == first.read(name), name
    assert b"replay" not in clone.read("dvc.lock")
    assert b"prices" not in clone.read("dvc.lock")
    clone.set("run.replay", False)
    assert "up to date" in clone.run("dvc", "status", "dvc.yaml", **there).stdout

    # Without one of the answers it says which.
    clone.set("run.replay", True)
    row = clone.rows("data/clf/is_clf_or_not.jsonl")[4]
    store = Store(clone.folder / ".seedbed/responses.sqlite")
    store.file.db.execute("DELETE FROM responses WHERE key = ?", (row["key"],))
    store.close()
    code, said = seedbed(clone, "clf", **there)
    assert code == 1
    assert f"no answer to request 5 ({row['key']})" in said
    assert f'"name": "served-model", "server": "{server.url}"' in said
    assert row["instruction"] in said
    assert f'    {{"name":"served-model","server":"{server.url}"}}' in said
    assert "Traceback" not in said
    assert (server.connections, server.bodies) == (0, [])


def test_a_replay_needs_neither_server_nor_key_of_openai(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(project)
    project.set("run.replay", True)
    code, said = seedbed(project, "bootstrap")
    assert code == 1
    assert "no answer to request 1 (" in said
    assert '"server": "https://api.openai.com/v1"' in said
    assert "answers of these models:\n    none" in said


@pytest.mark.parametrize("replay", ["false", "true"])
def test_a_stage_that_runs_again_opens_no_connection(
    project: Project, monkeypatch: pytest.MonkeyPatch, replay: str
) -> None:
    small(project)
    monkeypatch.chdir(project.folder)
    monkeypatch.delenv("SEEDBED_STORE", raising=False)

    def run(name: str) -> bytes:
        stage = module_of(name)
        run_stage(stage, params.load(name, stage.Params))
        return project.read("data/clf/is_clf_or_not.jsonl") if name == "clf" else b""

    with growing() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run("bootstrap")
        server.start_over()
        first = run("clf")
        assert server.connections > 0
        assert len(server.bodies) == 12
        server.start_over()
        project.replace("params.yaml", "replay: false", f"replay: {replay}")
        assert run("clf") == first
        assert (server.connections, server.bodies) == (0, [])


# --- the file


SAMPLING = sampling(
    max_tokens=8, temperature=0.1, top_p=1e-7, presence_penalty=-0.5, stop=["\n", "é\u2028"]
)
CANON = Canon({"server": "http://host/v1", "name": "served-model"})
CHAT = Canon({"server": "http://host/v1", "name": "other"}, "chat", "Be brief.", ["seed"])


def kept(
    prompt: str, text: str = "x", *, canon: Canon = CANON, seed: int | None = None, sample: int = 0
) -> Kept:
    """A row as the sender makes it."""
    keyed = canon.of(Request(prompt, SAMPLING, seed, sample))
    body = json.dumps(completion(text), ensure_ascii=False)
    return Kept(
        keyed.key,
        keyed.base,
        canon.model,
        keyed.form,
        body,
        8,
        True,
        None,
        7.0,
        0.25,
        "2026-11-21 06:00:00",
    )


def all_kinds() -> list[Kept]:
    """An answer of every kind that a store may have."""
    message = {"role": "assistant", "content": None, "refusal": "no"}
    refused = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]})
    cut = json.dumps({"choices": [{"text": "x", "finish_reason": "length"}], "shared_by": 2})
    keyed = CANON.score("a prompt", " and a text")
    logprobs = {"tokens": [" and"], "token_logprobs": [-0.25]}
    scored = {"choices": [{"text": " and", "finish_reason": "stop", "logprobs": logprobs}]}
    counted = CANON.tokens("a text")
    return [
        kept("plain"),
        kept("\u2028 \u0085 é 𓀀 \x00 \ud7ff", 'a "quoted" \\ \u2028 line\r\nanother'),
        kept("a seed", seed=2**53 + 1)._replace(created_at="2025-01-31 23:59:59"),
        kept("a sample", seed=-1, sample=3),
        kept("empty", " ")._replace(problem="empty"),
        kept("cut")._replace(response=cut, ended=False, prompt_tokens=None),
        kept("half a surrogate pair")._replace(
            response=json.dumps(completion("x")).replace('"x"', '"\\ud800"')
        ),
        kept("lowered")._replace(max_tokens=6),
        kept("refused", canon=CHAT)._replace(
            response=refused, problem="refused", ended=False, completion_tokens=None
        ),
        kept("malformed")._replace(
            response="<html>", problem="malformed", ended=False, prompt_tokens=None
        ),
        kept("too long")._replace(response="", problem="over_context", ended=False),
        Kept(
            keyed.key,
            keyed.base,
            CANON.model,
            keyed.form,
            json.dumps(scored),
            0,
            True,
            None,
            4.0,
            1.0,
            "2026-11-21 06:00:00",
        ),
        Kept(
            *(counted.key, counted.base, CANON.model, counted.form, '{"tokens": 2}'),
            *(0, True, None, None, None, "2026-11-21 06:00:00"),
        ),
    ]


@contextmanager
def store_of(path: Path, rows: list[Kept]) -> Iterator[Store]:
    store = Store(path)
    store.put(rows)
    yield store
    store.close()


def written(store: Store, path: Path) -> Path:
    path.write_text("".join(export(store)), encoding="utf-8", newline="\n")
    return path


def test_import_after_export_is_the_same_store_and_twice_adds_nothing(tmp_path: Path) -> None:
    rows = all_kinds()
    with (
        store_of(tmp_path / "one.sqlite", rows) as one,
        store_of(tmp_path / "other.sqlite", []) as other,
    ):
        file = written(one, tmp_path / "a.jsonl")
        assert len(file.read_bytes().splitlines()) == len(rows)
        assert read_in(other, file) == (len(rows), len(rows))
        assert list(other.rows()) == list(one.rows()) == sorted(rows)
        assert read_in(other, file) == (len(rows), 0)
        assert list(other.rows()) == sorted(rows)
        assert written(other, tmp_path / "b.jsonl").read_bytes() == file.read_bytes()
        assert by_model(other) == by_model(one)


@settings(max_examples=tries(25), deadline=None)
@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"])),
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
    temperature=st.floats(0, 2),
    seed=st.none() | st.integers(-(2**63), 2**64),
    tokens=st.none() | st.floats(0, 1e12),
)
def test_whatever_was_asked_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    prompt: str,
    text: str,
    temperature: float,
    seed: int | None,
    tokens: float | None,
) -> None:
    sampling = SAMPLING.model_copy(update={"temperature": temperature, "stop": [prompt]})
    keyed = CANON.of(Request(prompt, sampling, seed))
    row = kept(prompt, text)._replace(
        key=keyed.key, base=keyed.base, request=keyed.form, prompt_tokens=tokens
    )
    folder = tmp_path_factory.mktemp("transfer")
    file = folder / "a.jsonl"
    with store_of(folder / "one.sqlite", [row]) as one:
        written(one, file)
    (found,) = transfer._rows(file)
    assert found == row


def test_an_export_does_not_depend_on_the_order_in_which_the_answers_came(tmp_path: Path) -> None:
    rows = all_kinds()
    with (
        store_of(tmp_path / "one.sqlite", rows) as one,
        store_of(tmp_path / "other.sqlite", rows[::-1]) as other,
    ):
        assert list(export(one)) == list(export(other))
        assert list(export(one)) == list(export(one))
        assert [json.loads(line)["key"] for line in export(one)] == sorted(r.key for r in rows)


def test_an_export_of_one_model_has_its_answers_only(tmp_path: Path) -> None:
    with store_of(tmp_path / "one.sqlite", all_kinds()) as store:
        lines = [json.loads(line) for line in export(store, '"other"')]
    assert [line["request"]["prompt"] for line in lines] == ["refused"]


def test_a_store_that_grows_meanwhile_is_exported_as_it_was_at_the_beginning(
    tmp_path: Path,
) -> None:
    rows = sorted(kept(f"prompt {i}") for i in range(50))
    with store_of(tmp_path / "one.sqlite", rows[::2]) as store:
        lines = export(store)
        first = next(lines)
        with store_of(tmp_path / "one.sqlite", rows[1::2]):
            pass
        keys = [json.loads(line)["key"] for line in (first, *lines)]
        assert keys == [row.key for row in rows[::2]]
        assert len(list(export(store))) == 50


def test_a_line_that_comes_twice_is_one_answer_and_the_first_under_a_key_stays(
    tmp_path: Path,
) -> None:
    row = kept("a", "first")
    with (
        store_of(tmp_path / "one.sqlite", [row]) as one,
        store_of(tmp_path / "other.sqlite", [kept("a", "second"), kept("b")]) as other,
    ):
        line = next(export(one))
        file = tmp_path / "a.jsonl"
        file.write_text(line + line)
        assert read_in(other, file) == (2, 0)
        assert "second" in other.get([row.key])[row.key].response
        with store_of(tmp_path / "third.sqlite", []) as third:
            assert read_in(third, file) == (2, 1)


Tamper = Callable[[dict], object]


def put(name: str, value: object) -> Tamper:
    return lambda line: line.update({name: value})


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (lambda line: line["request"].update(prompt="Another"), "key is not that of the request"),
        (lambda line: line["request"].pop("seed"), "key is not that of the request"),
        (put("key", "0" * 64), "key is not that of the request"),
        (put("request", "x"), "field request"),
        (put("response", '{"choices": [{"text": "x"'), "response: not JSON"),
        (put("response", '{"choices": []}'), "response: it should have one choice"),
        (put("response", None), "field response"),
        (put("problem", "odd"), "problem 'odd'"),
        (put("max_tokens", -1), "field max_tokens"),
        (put("max_tokens", "8"), "field max_tokens"),
        (put("max_tokens", 2**63), "field max_tokens"),
        (lambda line: line["request"].update(top_p=math.nan), "field request: a number that JSON"),
        (put("response", "half \ud800"), r"half of a surrogate pair \(column"),
        (put("prompt_tokens", -1.0), "field prompt_tokens"),
        (put("completion_tokens", math.nan), "completion_tokens"),
        (put("created_at", "yesterday"), "field created_at"),
        (lambda line: line.pop("created_at"), "field created_at"),
        (put("response", json.dumps(completion("another"))), "the digest is not that of"),
        (put("max_tokens", 7), "the digest is not that of"),
        (put("problem", "refused"), "the digest is not that of"),
        (put("prompt_tokens", 8.0), "the digest is not that of"),
        (put("completion_tokens", None), "the digest is not that of"),
        (put("created_at", "2026-11-21 06:00:01"), "the digest is not that of"),
        (put("digest", "0" * 64), "the digest is not that of"),
        (put("digest", 0), "field digest"),
    ],
)
def test_a_line_that_was_tampered_with_is_named_and_nothing_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tamper: Tamper, says: str
) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 2)
    with store_of(tmp_path / "one.sqlite", [kept(f"prompt {i}") for i in range(7)]) as one:
        lines = list(export(one))
    line = json.loads(lines[5])
    tamper(line)
    lines[5] = json.dumps(line) + "\n"
    assert_refused(tmp_path, "".join(lines), rf"a\.jsonl:6: .*{says}")


def test_an_answer_under_anothers_key_is_refused(tmp_path: Path) -> None:
    """Though body and digest are each other's."""
    with store_of(tmp_path / "one.sqlite", [kept("a", "x"), kept("b", "y")]) as one:
        first, second = map(json.loads, export(one))
    own = {name: first[name] for name in ("response", "digest")}
    lines = [json.dumps(first) + "\n", json.dumps(second | own) + "\n"]
    assert_refused(tmp_path, "".join(lines), r"a\.jsonl:2: the digest is not that of")


def test_an_export_of_before_there_were_digests_is_still_read(tmp_path: Path) -> None:
    with store_of(tmp_path / "one.sqlite", all_kinds()) as one:
        lines = [json.loads(line) for line in export(one)]
        for line in lines:
            del line["digest"]
        file = tmp_path / "a.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with store_of(tmp_path / "other.sqlite", []) as other:
            assert read_in(other, file) == (len(lines), len(lines))
            assert list(other.rows()) == list(one.rows())
            check(other)


@pytest.mark.parametrize("line", ["\n", "{\n", '"x"\n', "{}\n", b"\xff\n".decode("latin-1")])
def test_a_line_that_is_no_answer_is_named_and_nothing_is_added(tmp_path: Path, line: str) -> None:
    with store_of(tmp_path / "one.sqlite", [kept("a")]) as one:
        assert_refused(tmp_path, "".join(export(one)) + line, r"a\.jsonl:2: ")


def assert_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(text)
    with store_of(tmp_path / "other.sqlite", []) as other:
        with pytest.raises(BadRow, match=says):
            read_in(other, file)
        assert list(other.rows()) == []


def test_a_file_that_is_empty_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with store_of(tmp_path / "other.sqlite", []) as other:
        for name in ("empty", "missing"):
            with pytest.raises(BadFile, match=rf"{name}\.jsonl"):
                read_in(other, tmp_path / f"{name}.jsonl")


def test_the_command_says_where_a_line_is_wrong_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "s.sqlite"))
    file = tmp_path / "a.jsonl"
    file.write_text("{}\n")
    done = CliRunner().invoke(app, ["store", "import", str(file)])
    assert done.exit_code == 1
    assert done.output.startswith(f"seedbed store import: {file}:1: field key: ")
