"""What a response store holds: a row, and the files that earlier versions wrote."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from seedbed.llm.contract.request import Canon, Request
from seedbed.llm.store.rows import Kept
from support.engines import LLM
from support.params import SAMPLING, sampling
from support.server import completion

ADDRESS = "http://server/v1"
CANON = Canon({"server": ADDRESS, "name": LLM.model})


def kept(prompt: str) -> Kept:
    keyed = CANON.of(Request(prompt, sampling(max_tokens=8, stop=[])))
    body = json.dumps(completion("x"))
    return Kept(keyed.key, keyed.base, CANON.model, keyed.form, body, 8, True, None, 7, 3)


def write_version_1(path: Path, answers: list[tuple[Request, str]]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TABLE responses (key TEXT PRIMARY KEY, request TEXT NOT NULL, "
            "response TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) "
            "WITHOUT ROWID"
        )
        for request, body in answers:
            keyed = CANON.of(request)
            row = (keyed.key, keyed.form, body, "2026-01-02 03:04:05")
            db.execute("INSERT INTO responses VALUES (?, ?, ?, ?)", row)
        db.execute("PRAGMA user_version=1")
        db.commit()


VERSION_2 = """
CREATE TABLE responses (
    key TEXT NOT NULL, base TEXT NOT NULL, model TEXT NOT NULL, request TEXT NOT NULL,
    response TEXT NOT NULL, max_tokens INTEGER NOT NULL, ended INTEGER NOT NULL, problem TEXT,
    prompt_tokens REAL, completion_tokens REAL, created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX responses_key ON responses (key);
CREATE INDEX responses_base ON responses (base) WHERE ended;
CREATE TABLE spending (run TEXT PRIMARY KEY, tokens INTEGER NOT NULL, dollars REAL NOT NULL);
CREATE TABLE batches (tag TEXT PRIMARY KEY, model TEXT NOT NULL, id TEXT);
CREATE TABLE batch_requests (
    tag TEXT NOT NULL, key TEXT NOT NULL, base TEXT NOT NULL, request TEXT NOT NULL,
    max_tokens INTEGER NOT NULL
);
CREATE INDEX batch_requests_tag ON batch_requests (tag);
PRAGMA user_version=2;
"""


def write_version_2(path: Path, answers: list[tuple[Request, str]]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_2)
        for request, body in answers:
            keyed = CANON.of(request)
            row = (keyed.key, keyed.base, CANON.model, keyed.form, body, 100, 1, None, 7, 3.5)
            db.execute(
                f"INSERT INTO responses VALUES ({'?, ' * 10}'2026-01-02 03:04:05')",
                row,
            )
        first = CANON.of(answers[0][0])
        db.execute("INSERT INTO spending VALUES ('run', 12, 0.5)")
        db.execute("INSERT INTO batches VALUES ('tag', ?, 'batch_1')", (CANON.model,))
        db.execute(
            "INSERT INTO batch_requests VALUES ('tag', ?, ?, ?, 100)",
            (first.key, first.base, first.form),
        )
        db.commit()


def body_of(text: str, finish_reason: str | None = "stop", **more: object) -> str:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    return json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage} | more)


def of_version_1() -> list[tuple[Request, str]]:
    requests = [Request(f"prompt {n} – ü", SAMPLING, seed=n % 3 or None) for n in range(1000)]
    return [(one, body_of(f"kept {one.prompt}")) for one in requests]
