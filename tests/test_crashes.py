"""Whatever write fails, and wherever the process dies: nothing is seen half-written, and the next
run goes on from there to the bytes of one that nothing happened to.

It is done as SQLite does it: the first write fails, then the second, and so on to the last.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from support.crashing_runs import DIED
from support.project import PYTHONPATH, ROOT, environment
from support.server import completion, serving

from seedbed.core.files import to_line
from seedbed.core.records import Exchange
from seedbed.llm.store.store import Store
from seedbed.llm.store.upkeep import check
from seedbed.self_instruct.rows import Instruction

TEXTS = ["Sort the words.", "Name a colour."]
OUTPUTS = ("data/clf/is_clf_or_not.jsonl", "metrics/clf.json")
OLD = b"what stood there before\n"

Runs = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture(scope="module")
def runs(asked: Counter[str]) -> Iterator[Runs]:
    """Runs the stage in a folder; see crashing_runs.py."""

    def answer(body: dict, headers: Message) -> dict:
        asked[body["prompt"]] += 1
        return completion(" Yes" if "Sort" in body["prompt"][-80:] else " No")

    with serving(answer) as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "support.crashing_runs"],
            env=environment(PYTHONPATH=PYTHONPATH),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin
        assert process.stdout

        def run(folder: Path, at: int = 0, how: str = "") -> dict[str, Any]:
            store = str(folder / "store/responses.sqlite")
            environment = {"OPENAI_BASE_URL": url, "SEEDBED_STORE": store}
            environment |= {"SEEDBED_CONCURRENCY": "1"}
            wanted = {"folder": str(folder), "environment": environment, "at": at, "how": how}
            process.stdin.write(json.dumps(wanted) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return json.loads(process.stdout.readline())  # type: ignore[union-attr]

        yield run
        process.communicate()


def prepare(folder: Path) -> Path:
    """What the stage reads, and what it is to replace."""
    rows = [
        Instruction(
            instruction=text,
            most_similar={},
            avg_similarity_score=0.0,
            metadata=Exchange(prompt="p", response={}, key="k"),
            request_idx=n,
        )
        for n, text in enumerate(TEXTS)
    ]
    (folder / "data/bootstrap").mkdir(parents=True)
    path = folder / "data/bootstrap/machine_generated_instructions.jsonl"
    path.write_text("".join(map(to_line, rows)))
    shutil.copytree(ROOT / "data/prompts", folder / "data/prompts")
    for name in OUTPUTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(OLD)
    return folder


def outputs(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in OUTPUTS]


def left_over(folder: Path, kind: str) -> list[str]:
    return [path.name for path in folder.rglob(f"*.{kind}")]


@pytest.fixture(scope="module")
def undisturbed(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = prepare(tmp_path_factory.mktemp("undisturbed") / "run")
    done = runs(folder)
    assert done["code"] == 0, done
    assert OLD not in outputs(folder)
    return outputs(folder)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ENOSPC", "EIO", "dies"])
def test_no_failing_write_is_seen_and_the_next_run_ends_as_if_there_had_been_none(
    runs: Runs, undisturbed: list[bytes], asked: Counter[str], tmp_path: Path, how: str
) -> None:
    at = 0
    while True:
        at += 1
        folder = prepare(tmp_path / f"{at}")
        asked.clear()
        done = runs(folder, at, how)
        assert "Traceback" not in done["output"], (at, done)
        if not done["failed"]:
            assert done["code"] == 0, (at, done)
            break
        for found, new in zip(outputs(folder), undisturbed, strict=True):
            assert found in (OLD, new), f"half-written at {at}: {found!r}"
        if how == "dies":
            assert done["code"] == DIED, (at, done)
        else:
            # At the end of a run there is nothing left that might be lost.
            assert done["code"] == 1 or outputs(folder) == undisturbed, (at, done)
            assert left_over(folder, "partial") == left_over(folder, "claims") == [], f"at {at}"
        again = runs(folder)
        assert again["code"] == 0, (at, again)
        assert outputs(folder) == undisturbed, f"another result after {at}"
        assert left_over(folder, "partial") == [], f"at {at}"
        assert asked.total() <= len(TEXTS) + 1, f"more than what was in flight, at {at}"
        with closing(Store(folder / "store/responses.sqlite")) as store:
            check(store)
            assert len(list(store.rows())) == len(TEXTS)
            assert store.claim(["new"]) == ({}, set())  # who claims clears up
        assert left_over(folder, "claims") == [], f"at {at}"
    print(f"{at - 1} writes failed ({how})")
    assert at > 12
