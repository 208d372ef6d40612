"""The key, and user and password of the address, are in no file, log, message or lock."""

import base64
import json
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
from support.engines import ask, kept_in, requests_for, response_to, set_environment
from support.growing import Growing, small
from support.project import Project
from support.server import Cut, Reply, completion, serving

from seedbed.errors import SeedbedError
from seedbed.llm import errors
from seedbed.llm.send import limits
from seedbed.llm.store.runlog import RunLog

# Put together here, because this file is copied into the project that is searched.
MARK = "MAR" + "KED"
KEY = f"sk-{MARK}/{MARK[::-1]}+abcdef=="
PASSWORD = f"{MARK}:pass word"
LOGIN = f"ann:{MARK}%3Apass%20word@"
MARKS = (MARK, MARK[::-1], base64.b64encode(f"ann:{PASSWORD}".encode()).decode()[:20])


def forms_of(headers: Message) -> list[str]:
    """What a server that tells everything would tell: the secret, in every form that it knows."""
    sent = headers["Authorization"]
    forms = [sent, sent.partition(" ")[2]]
    if sent.startswith("Basic "):
        login = base64.b64decode(forms[1]).decode()
        forms += [login, login.partition(":")[2], LOGIN]
    return forms


class Babbling(Growing):
    """Repeats the key in its errors, and in every part of its answers."""

    def __call__(self, body: dict, headers: Message) -> dict:
        forms = forms_of(headers)
        assert any(mark in form for form in forms for mark in MARKS), "nobody has told it"
        told = f"it is {' or '.join(forms)}"
        number = len(self.bodies)
        answer = super().__call__(body, headers)
        if number % 5 == 1:
            faults = [
                Reply(500, json.dumps({"error": {"message": told * 9, "param": told}})),
                Reply(429, told, {"Retry-After": "0", "X-Key": forms[0]}),
                Reply(200, told),
                Reply(503, "x" * 490 + told),  # on the border of what is quoted
                Cut(told),
            ]
            raise faults[number // 5 % len(faults)]
        choice = answer["choices"][0]
        if number % 5 == 2:
            choice["text"] = choice["text"].replace(" ", f" {forms[number % len(forms)]} ", 1)
        return {**answer, "system_fingerprint": told, "model": told, "id": told}


def with_marks(folder: Path) -> list[str]:
    return sorted(
        f"{path.relative_to(folder)}: {mark}"
        for path in folder.rglob("*")
        if path.is_file()
        for mark in MARKS
        if mark.encode() in path.read_bytes() or mark in str(path)
    )


@pytest.mark.parametrize("how", ["key", "login"])
def test_a_whole_run_leaves_no_trace_of_the_key(project: Project, how: str) -> None:
    small(project)
    server = Babbling()
    with serving(server) as url:
        secret = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}
        if how == "login":
            secret["OPENAI_BASE_URL"] = url.replace("//", f"//{LOGIN}")
        concurrent = {**secret, "SEEDBED_CONCURRENCY": "4"}
        if how == "key":
            runs = [project.run("dvc", "repro", **concurrent)]
            sent = len(server.bodies)
            # The stages that ask what others' answers made: what these ask is the same each time.
            again = ("dvc", "repro", "--force", "--verbose", "instances", "label")
            runs.append(project.run(*again, **secret))
            assert len(server.bodies) == sent, "what is kept is not what was found"
        else:
            stages = ("bootstrap", "clf", "instances", "prepare")
            runs = [project.stage(stage, **concurrent) for stage in stages]
        assert [run.returncode for run in runs] == [0] * len(runs)
        assert len(server.bodies) > 30
        said = [run.stdout for run in runs]
        for command in (["store", "export", "out.jsonl"], ["store", "stats"], ["doctor"]):
            done = project.run("python", "-m", "seedbed", *command, PYTHONPATH="src", **secret)
            said.append(done.stdout)
        server.fails_from = 0
        project.set("bootstrap.seed", 1)
        said.append(project.stage("bootstrap", **secret, SEEDBED_MAX_RETRIES="0").stdout)
        assert "not today" in said[-1]
    assert not [mark for mark in MARKS if mark in "".join(said)]
    assert with_marks(project.folder) == []
    assert b"[key]" in project.read(".seedbed/responses.sqlite"), "the server kept it to itself"
    assert b"[key]" in project.read(".seedbed/responses.log.jsonl")
    assert (project.folder / "out.jsonl").exists()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(limits, "LAST_PAUSE", 0.02)
    return tmp_path / "responses.sqlite"


BODIES: dict[str, Callable[[str], str]] = {
    "an error": lambda told: json.dumps({"error": {"message": told}}),
    "text": lambda told: told,
    "a detail": lambda told: json.dumps({"detail": [{"loc": [told], "msg": told, "input": told}]}),
    "an object": lambda told: json.dumps({told: {told: [told]}}),
    "longer than what is quoted": lambda told: "x" * 495 + told,
    "a parameter": lambda told: json.dumps({"error": {"message": told, "param": "stop"}}),
    "escaped": lambda told: json.dumps({"error": {"message": told}}).replace("/", "\\/"),
    "the context": lambda told: f"context length {told}",
    "the rules": lambda told: f"content_filter {told}",
}


@pytest.mark.parametrize("login", ["", LOGIN])
@pytest.mark.parametrize("body", BODIES)
def test_no_error_repeats_the_key_that_the_server_repeats(
    path: Path, monkeypatch: pytest.MonkeyPatch, body: str, login: str
) -> None:
    def answer(asked: dict, headers: Message) -> dict:
        if asked["prompt"] == "good":
            return response_to(asked)
        status = int(asked["prompt"])
        # Longer than our patience, so that it is given up at once.
        wait = {"Retry-After": "9"} if status in (429, 503) else {}
        raise Reply(status, BODIES[body](" ".join(forms_of(headers))), wait)

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(answer) as url:
        named = url.replace("//", f"//{login}")
        set_environment(monkeypatch, named, max_retries=0, patience=1, concurrency=1)
        ask(path, requests_for(["good"]))
        for status in (400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 500, 503):
            said = ""
            try:
                ask(path, requests_for([str(status)]))
            except SeedbedError as error:
                said = str(error)
            assert said or len(kept_in(path)) > 1
            assert not [mark for mark in MARKS if mark in said], said
    assert with_marks(path.parent) == []
    assert RunLog(path).path.read_text().count("\n") > 10


PROMPT = "The quick brown fox\njumps over the “lazy” dog, and\tnobody knows why."


@pytest.mark.parametrize(
    "repeat",
    [
        lambda prompt: f"bad prompt: {prompt}",
        lambda prompt: f"bad prompt: {prompt!r}",
        lambda prompt: json.dumps({"input": prompt}),
        lambda prompt: json.dumps({"input": prompt}, ensure_ascii=False),
        lambda prompt: f"it begins with {prompt[:30]}…",
        lambda prompt: "y" * 480 + prompt,
    ],
)
def test_the_log_has_what_the_server_said_but_no_prompt(
    path: Path, monkeypatch: pytest.MonkeyPatch, repeat: Callable[[str], str]
) -> None:
    def answer(body: dict, headers: Message) -> dict:
        if body["prompt"].startswith("The quick"):
            raise Reply(500, json.dumps({"error": {"message": "no: " + repeat(body["prompt"])}}))
        return completion("An answer that is as secret as the prompt")

    with serving(answer) as url:
        set_environment(monkeypatch, url, max_retries=0, concurrency=1)
        with pytest.raises(errors.RowsFailed) as failure:
            ask(path, requests_for(["A prompt that nobody else may read", PROMPT]))
    log = RunLog(path).path.read_text()
    assert '"said": "no: ' in log
    for word in ("quick", "brown", "jumps", "lazy", "nobody", "secret"):
        assert word not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert [(line["status"], line["answers"]) for line in lines] == [("200", 1), ("HTTP 500", 1)]
    assert lines[1]["key"] == failure.value.failed[0].key
