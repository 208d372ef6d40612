"""Rows go out as they come, and a stage that fails leaves nothing of them."""

import gc
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from support.engines import FAKE, Fake, requests_for
from support.params import section
from support.project import ROOT
from support.stages import run_stage

from seedbed.core.files import read_rows, to_line, write_files
from seedbed.core.records import Exchange
from seedbed.core.section import Section
from seedbed.errors import WriteFailed
from seedbed.llm.answers import answered
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.llm.spool import spooled
from seedbed.self_instruct import bootstrap, clf, instances
from seedbed.self_instruct.params import Bootstrap, Clf, Instances
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    ClassifiedInstruction,
    Completion,
    Instruction,
    Named,
)

ROWS = 40
# So many requests are read before the first of their answers is given out.
AHEAD = 4


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data" / "prompts", tmp_path / "data" / "prompts")


# --- the spool


def test_lines_come_back_as_they_went_in_and_stand_in_no_folder() -> None:
    lines = [f"{n} \ud800 ö\n" for n in range(5)]
    with spooled(Path("out/a.jsonl"), Path("out/b.jsonl")) as (spool, other):
        ends = []
        for line in lines:
            spool.add(line)
            ends.append(spool.size)
        assert list(Path("out").iterdir()) == []
        written = [line.replace("\ud800", "?") for line in lines]
        assert list(spool.lines()) == written
        assert list(spool.lines(ends[1], ends[3])) == written[2:4]
        assert list(other.lines()) == []
        write_files({Path("out/a.jsonl"): spool.lines()})
    direct = Path("direct.jsonl")
    write_files({direct: lines})
    assert Path("out/a.jsonl").read_bytes() == direct.read_bytes()


def test_a_folder_that_was_not_there_goes_with_what_failed() -> None:
    with suppress(RuntimeError), spooled(Path("out/a.jsonl")) as (spool,):
        spool.add("a line\n")
        assert Path("out").exists()
        raise RuntimeError
    assert not Path("out").exists()


def test_a_disk_that_is_full_is_named() -> None:
    with spooled(Path("out/a.jsonl")) as (spool,):
        spool._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
        with pytest.raises(WriteFailed, match=r"out/a\.jsonl: cannot be written: No space left"):
            spool.add("a line\n")


# --- things and their answers


def few_ahead(reply: Callable[[Request], str]) -> Callable[[Iterable[Request]], Iterator[Answer]]:
    """The fake model, which reads so many requests ahead as the engine might."""
    fake = Fake(reply)

    def ask(requests: Iterable[Request]) -> Iterator[Answer]:
        source = iter(requests)
        while window := list(islice(source, AHEAD)):
            yield from fake(window)

    return ask


def test_no_more_is_held_than_waits_for_an_answer() -> None:
    held: list[weakref.ref[Named]] = []

    def rows() -> Iterator[Named]:
        for n in range(ROWS):
            row = Named(instruction=f"i{n}", id=f"{n}")
            held.append(weakref.ref(row))
            yield row

    def asked(things: Iterable[Named]) -> Iterator[Request]:
        return (request for row in things for request in requests_for([row.instruction]))

    most = 0
    for n, (row, request, answer) in enumerate(
        answered(rows(), asked, few_ahead(lambda request: request.prompt))
    ):
        assert row.instruction == request.prompt == answer.text == f"i{n}"
        most = max(most, sum(one() is not None for one in held))
    assert len(held) == ROWS
    # What was read ahead, the one that is just given out, and one in a loop that goes on.
    assert most <= AHEAD + 2


# --- stages


def write_inputs() -> None:
    origin = Exchange(prompt="p", response={"n": 1}, key="origin")
    rows = [
        Instruction(
            instruction=f"Instruction number {n}",
            id=f"{n}",
            most_similar={"Another one": 0.25},
            avg_similarity_score=0.5,
            metadata=origin,
            request_idx=n,
        )
        for n in range(ROWS)
    ]
    kinds = [
        ClassifiedInstruction(instruction="", instruction_id=row.id, is_classification="No")
        for row in rows
    ]
    write_files({INSTRUCTIONS: map(to_line, rows), CLASSIFIED: map(to_line, kinds)})


def run(
    stage: ModuleType,
    params: Section,
    ask: Callable[[Iterable[Request]], Iterator[Answer]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def open_fake(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(ask=ask)

    monkeypatch.setattr("seedbed.llm.engine.open_engine", open_fake)
    run_stage(stage, params)


def test_at_any_row_of_instances_few_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    write_inputs()
    most = 0

    def reply(request: Request) -> str:
        nonlocal most
        alive = [one for one in gc.get_objects() if isinstance(one, Instruction | Completion)]
        most = max(most, len(alive))
        return "Output: it"

    params = instances.Params(llm=FAKE, instances=section(Instances))
    run(instances, params, few_ahead(reply), monkeypatch)
    assert len(list(read_rows(COMPLETIONS, Completion))) == ROWS
    assert AHEAD <= most <= 2 * AHEAD + 2


@pytest.mark.parametrize("name", ["bootstrap", "clf", "instances"])
def test_a_stage_that_fails_half_way_leaves_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inputs()
    shutil.copy(ROOT / "data" / "seed_tasks.jsonl", "data")
    shutil.rmtree({"bootstrap": INSTRUCTIONS.parent}.get(name, Path("none")), ignore_errors=True)
    if name == "clf":
        shutil.rmtree(CLASSIFIED.parent)
    stages = {
        "bootstrap": (bootstrap, bootstrap.Params(llm=FAKE, bootstrap=section(Bootstrap))),
        "clf": (clf, clf.Params(llm=FAKE, clf=section(Clf))),
        "instances": (instances, instances.Params(llm=FAKE, instances=section(Instances))),
    }
    before = sorted(Path("data").rglob("*"))
    times = 0

    def reply(request: Request) -> str:
        nonlocal times
        times += 1
        if times > AHEAD + 3:
            raise RuntimeError
        return f"write {times} words of {times} new things\n10. name {times} tall towers of it"

    with pytest.raises(RuntimeError):
        run(*stages[name], few_ahead(reply), monkeypatch)
    assert times > AHEAD
    assert sorted(Path("data").rglob("*")) == before
    assert not Path("metrics").exists()
