"""Asking for instructions that compete to prompt a task; a fake in the model's place."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engines import Fake
from support.params import section
from support.project import ROOT

from seedbed.auto_instruct import candidate_files, candidates
from seedbed.auto_instruct.candidate_files import (
    ORIGINS,
    file_of,
    read_candidates,
    read_instructions,
)
from seedbed.auto_instruct.params import Candidates
from seedbed.auto_instruct.rows import CANDIDATES
from seedbed.core.files import to_json, to_line, write_files
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.request import Request
from seedbed.tasks.niv2 import Demo, Example, Task


def task(name: str = "task1", labels: tuple[str, ...] = ()) -> Task:
    return Task(
        name=name,
        instruction=f"Do {name}.",
        demos=[Demo(input=f"in {n}", output=f"out {n}") for n in range(4)],
        examples=[Example(id="1", input="i", targets=["t"])],
        is_classification=bool(labels),
        labels=list(labels),
        categories=[],
    )


def settings_of(**changes: object) -> Candidates:
    return section(Candidates, **changes)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data" / "prompts", tmp_path / "data" / "prompts")


def generate(
    tasks: list[Task],
    reply: Callable[[Request], str],
    finish_reason: str = "stop",
    **changes: object,
) -> tuple[candidates.Made, Fake]:
    fake, params = Fake(reply, finish_reason), settings_of(**changes)
    meta_prompts = candidates.read_meta_prompts(params.shots)
    return candidates.generate(tasks, params, meta_prompts, fake), fake


def different(request: Request) -> str:
    return f" Text {hash(request.prompt)} {request.sample}. "


def test_there_are_seven_few_shot_and_six_zero_shot_meta_prompts_and_22_candidates() -> None:
    made, fake = generate([task()], different)
    assert len(made.rows) == 22
    assert len(fake.requests) == 21
    assert [row.index for row in made.rows] == list(range(22))
    assert made.rows[0].instruction == "Do task1."
    assert made.rows[0].key is made.rows[0].meta_prompt is None
    assert len({row.meta_prompt for row in made.rows[1:]}) == 7
    assert len(candidates.read_meta_prompts("zero")) == 6


def test_few_shot_prompts_show_the_instruction_and_three_demos_zero_shot_ones_the_labels() -> None:
    _, fake = generate([task(labels=("no", "yes"))], different)
    for request in fake.requests:
        assert "Short instruction: Do task1.\n" in request.prompt
        for n in range(3):
            assert f"Input: in {n}\nOutput: out {n}\n" in request.prompt
        assert "Input: in 3" not in request.prompt
        assert request.prompt.endswith(":")
    _, fake = generate([task(labels=("no", "yes")), task("task2")], different, shots="zero")
    of_first = [one.prompt for one in fake.requests if "Do task1." in one.prompt]
    of_second = [one.prompt for one in fake.requests if "Do task2." in one.prompt]
    assert len(of_first) == len(of_second) == 18
    assert all("Do task1.\nPossible answers: no, yes\n" in prompt for prompt in of_first)
    assert all("Do task2.\nInstruction" in prompt for prompt in of_second)
    assert not any("Input: in 0" in prompt for prompt in of_first + of_second)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("tasks_short", 15, 33), ("tasks_medium", 40, 63), ("tasks_long", 99, 212)],
)
def test_three_meta_prompts_show_six_other_tasks_with_instructions_of_the_authors_lengths(
    name: str, least: int, most: int
) -> None:
    (meta,) = [one for one in candidates.read_meta_prompts("few") if one.name == name]
    tasks = meta.text.partition("{demos}")[0].split("Instruction in full: ")
    instructions = [text.partition("\n\n")[0] for text in tasks[1:]]
    assert len(instructions) == 6
    assert all(least <= len(text.split()) <= most for text in instructions)
    assert all(text.count("\nOutput: ") == 3 for text in tasks[:-1])


def test_without_demos_the_first_candidate_says_what_the_answers_are_if_they_are_closed() -> None:
    made, _ = generate([task("a", ("yes", "no")), task("b")], different, shots="zero")
    first = [row.instruction for row in made.rows if row.index == 0]
    assert first == ["Do a.\nPossible answers: yes, no", "Do b."]
    made, _ = generate([task("a", ("yes", "no"))], different)
    assert made.rows[0].instruction == "Do a."
    said_again, _ = generate(
        [task("a", ("yes", "no"))],
        lambda request: "Do a.\nPossible answers: yes, no",
        shots="zero",
    )
    assert said_again.repeats == 18


def test_what_looks_like_a_placeholder_in_a_task_stays_text() -> None:
    odd = task().model_copy(update={"instruction": "Fill {demos} and {instruction}."})
    _, fake = generate([odd], different)
    assert all("Short instruction: Fill {demos} and {instruction}.\n" in r.prompt
               for r in fake.requests)  # fmt: skip


def test_samples_of_a_prompt_share_its_seed_and_are_numbered() -> None:
    _, fake = generate([task()], different)
    of_prompt: dict[str, list[Request]] = {}
    for request in fake.requests:
        of_prompt.setdefault(request.prompt, []).append(request)
    assert len(of_prompt) == 7
    for several in of_prompt.values():
        assert [one.sample for one in several] == [0, 1, 2]
        assert len({one.seed for one in several}) == 1
        assert 0 <= several[0].seed < 2**31
        # The file's own beginning, which other tasks' prompts have too, and all of it.
        shared = {one.prefixes for one in several}
        assert len(shared) == 1
        file, whole = shared.pop()
        assert whole == several[0].prompt
        assert whole.startswith(file)
        assert file.endswith(("\n\n", "instruction:"))
    assert len({one.seed for one in fake.requests}) == 7


def test_another_task_changes_nothing_for_the_rest() -> None:
    alone, asked_alone = generate([task("b")], different)
    both, asked = generate([task("a"), task("b")], different)
    assert [row for row in both.rows if row.task == "b"] == alone.rows
    assert [one for one in asked.requests if "Do b." in one.prompt] == asked_alone.requests
    other, _ = generate([task("b")], different, seed=43)
    assert other.rows[0] == alone.rows[0]
    assert [row.key for row in other.rows[1:]] != [row.key for row in alone.rows[1:]]


def test_what_repeats_is_sampled_again_with_higher_numbers() -> None:
    def first_three_alike(request: Request) -> str:
        same = "one" if request.sample < 3 else str(request.sample)
        return f"{same} of {hash(request.prompt)}"

    made, fake = generate([task()], first_three_alike)
    assert made.resampled == 14
    assert made.repeats == made.missing == 0
    assert len({row.instruction for row in made.rows}) == 22
    first = made.rows[1:4]
    assert [row.sample for row in first] == [0, 3, 4]
    keys = {(row.meta_prompt, row.sample) for row in made.rows[1:]}
    assert len(keys) == 21
    assert len(fake.requests) == 21 + 14


def test_only_repeats_of_the_same_task_count() -> None:
    texts = iter(range(100))
    made, _ = generate([task("a")], lambda _: f"{next(texts)}")
    texts_again = iter(range(21))
    texts_of_b = iter(range(21))
    both, _ = generate(
        [task("a"), task("b")],
        lambda one: f"{next(texts_again if 'Do a.' in one.prompt else texts_of_b)}",
    )
    assert made.resampled == both.resampled == 0


def test_after_the_last_try_the_repeat_stays_and_is_counted() -> None:
    made, fake = generate([task()], lambda _: "  Always this. ", max_resamples=2)
    assert len(made.rows) == 22
    assert made.repeats == 20
    assert made.missing == 0
    assert made.resampled == 40
    assert len(fake.requests) == 61
    assert {row.instruction for row in made.rows[1:]} == {"Always this."}


def test_the_seed_instruction_said_again_is_a_repeat() -> None:
    made, _ = generate([task()], lambda _: "Do task1.", max_resamples=0)
    assert made.repeats == 21


def test_nothing_is_sampled_again_and_the_seed_instruction_stands_in_if_nothing_comes() -> None:
    made, _ = generate([task()], lambda _: " \n", max_resamples=1)
    assert made.missing == 21
    assert made.repeats == 0
    assert made.problems == {"empty": 42}
    assert {row.instruction for row in made.rows} == {"Do task1."}
    assert all(row.key is None for row in made.rows)

    made, _ = generate([task()], lambda one: different(one) if one.sample > 2 else "")
    assert made.missing == made.repeats == 0
    assert made.problems == {"empty": 21}
    assert all(row.sample > 2 for row in made.rows[1:])


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Read it. Say who wro", "Read it."),
        ('Say "yes." Or n', 'Say "yes."'),
        ("1. Read it.\n2. Say\n3.", "1. Read it."),
        ("Is it? Then st", "Is it?"),
        (" no sentence at all ", "no sentence at all"),
        ("3.5 is a number", "3.5 is a number"),
        ("Read it, e.g. this one and th", "Read it, e.g. this one and th"),
        ("It costs $3. Then go", "It costs $3."),
        ("- one.\n- two.\n- th", "- one.\n- two."),
    ],
)
def test_a_text_that_was_cut_ends_with_its_last_whole_sentence(text: str, whole: str) -> None:
    assert candidates.whole_sentences(text) == whole


def test_only_a_text_that_was_cut_loses_its_end() -> None:
    def reply(request: Request) -> str:
        return f"Text {hash(request.prompt)} of {request.sample} here. And th"

    made, _ = generate([task()], reply)
    assert all(row.instruction.endswith("here. And th") for row in made.rows[1:])
    made, _ = generate([task()], reply, finish_reason="length")
    assert all(row.instruction.endswith(" here.") for row in made.rows[1:])
    assert candidates.metrics(made, 1)["candidates_cut"] == 21


def test_figures_add_up() -> None:
    made, _ = generate([task("a"), task("b")], lambda _: "Two words", max_resamples=0)
    figures = candidates.metrics(made, 2)
    assert figures["tasks"] == 2
    assert figures["candidates"] == 44
    assert figures["candidates_repeated"] == 40
    assert figures["candidate_words"] == 2.0
    assert set(figures["problems"].values()) == {0}


@pytest.mark.parametrize("text", ["no place", "{demos}", "{instruction} {demos} {demos}"])
def test_a_meta_prompt_without_its_places_is_an_error(text: str) -> None:
    path = Path("data/prompts/candidates/few_shot/mine.txt")
    path.write_text(text)
    with pytest.raises(BadFile, match=str(path)):
        candidates.read_meta_prompts("few")


@pytest.mark.parametrize("place", ["{instrution}", "{{demos}}", "{answer_format}"])
def test_a_meta_prompt_with_a_place_that_there_is_not_is_an_error(place: str) -> None:
    path = Path("data/prompts/candidates/few_shot/mine.txt")
    path.write_text(f"{{instruction}} {{demos}}\n{place}")
    with pytest.raises(BadRow, match=rf"{path}:2: there is no place {re.escape(place)}\n"):
        candidates.read_meta_prompts("few")


def test_a_hidden_file_is_no_meta_prompt_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("data/prompts/candidates/few_shot")
    before = candidates.read_meta_prompts("few")
    (folder / "._steps.txt").write_bytes(b"\0\5\x16\7Mac OS X")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    assert candidates.read_meta_prompts("few") == before
    assert capsys.readouterr().err == f"{folder}/._steps.txt: left out, a hidden file\n"


# --- the files


def write(texts: object, origins: list[str] | None = None) -> None:
    rows = [
        {"task": "t", "index": n, "meta_prompt": None, "sample": None, "key": None,
         "instruction": text}
        for n, text in enumerate(origins or [])
    ]  # fmt: skip
    write_files(
        {file_of("t"): to_json(texts), **({ORIGINS: map(to_line, rows)} if origins else {})}
    )


def test_a_file_of_ones_own_needs_no_origins() -> None:
    write(["a", "b"])
    assert [one.instruction for one in read_candidates(["t"])["t"]] == ["a", "b"]
    write(["a", "b"], ["a", "b"])
    assert [one.instruction for one in read_candidates(["t"])["t"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[", r"Invalid JSON: .*\(column 1\)"),
        (b'["a",\n"\\ud800"]', r"Invalid JSON: half of a surrogate pair \(column 8\)"),
        (b"[" * 5000, "Invalid JSON: recursion limit"),
        (b"9" * 5000, "Invalid JSON: number out of range"),
        ('["a"]'.encode("utf-16"), "is UTF-16, not UTF-8"),
        (b"{}", "holds a dict, not a list"),
        (b'"text"', "holds a str, not a list"),
        (b"[]", "an empty list"),
        (b'["a", 3]', "instruction 1 is 3, not a text"),
        (b'["a", null]', "instruction 1 is null, not a text"),
        (b'[" "]', 'instruction 0 is " ", not a text'),
        (b'["\xff"]', "not UTF-8"),
    ],
)
def test_what_is_no_list_of_texts_is_an_error(content: bytes, said: str) -> None:
    CANDIDATES.mkdir(parents=True)
    file_of("t").write_bytes(content)
    with pytest.raises((BadFile, BadRow), match=f"^{file_of('t')}(:[12])?: .*{said}"):
        read_instructions(file_of("t"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(BadFile, match=f"{file_of('t')}: no such file"):
        read_candidates(["t"])


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["a"], "1 instructions, but .* has 2"),
        (["a", "b", "c"], "3 instructions, but .* has 2"),
        (["a", "x"], "instruction 1 is not the one"),
    ],
)
def test_a_file_that_is_not_what_was_written_is_an_error(texts: list[str], said: str) -> None:
    write(texts, ["a", "b"])
    with pytest.raises(BadFile, match=f"^{file_of('t')}: {said}"):
        read_candidates(["t"])


def test_a_broken_line_of_the_origins_is_named() -> None:
    write(["a"], ["a"])
    ORIGINS.write_text("{}\n")
    with pytest.raises(BadRow, match=f"{candidate_files.ORIGINS}:1: "):
        read_candidates(["t"])
