"""What is trained on: which rows, in which tokens, at which step. Without torch."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from support.params import section
from support.project import ROOT

from seedbed.errors import BadFile, BadRow
from seedbed.training.encode import Encoded, Tokens, encode
from seedbed.training.errors import NotDeclared, TooFewRows
from seedbed.training.finetune import check_declared, choose
from seedbed.training.params import Finetune, Source
from seedbed.training.plan import plan
from seedbed.training.sources import Example, Prompts, mix, read_examples

PROMPTS = Prompts(ROOT / "data/prompts/finetune")
# A letter is a token; one begins a text and one ends it.
BEGIN, END = 1000, 1001
LETTERS = Tokens(
    prompts=lambda texts: [[BEGIN, *map(ord, text)] for text in texts],
    completions=lambda texts: [[*map(ord, text)] for text in texts],
    end=END,
)


def example(
    prompt: str, completion: str = " yes", line: int = 1, key: str | None = None
) -> Example:
    return Example(prompt, completion, "a.jsonl", line, key)


def rows(count: int, name: str = "a", completion: str = " yes") -> list[Encoded]:
    return encode([example(f"{name} {i}", completion, i) for i in range(count)], LETTERS)


def source(file: str = "a", share: float = 1.0) -> Source:
    return Source(file=file, share=share)


def texts(path: Path) -> list[tuple[str, str]]:
    return [(one.prompt, one.completion) for one in read_examples(path, PROMPTS)]


def write(path: Path, *lines: dict) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


# --- forms


def test_each_form_of_rows_is_told_by_its_fields(tmp_path: Path) -> None:
    same = ("Add.\n\nInput: 1 + 1\n\nOutput:", " 2")
    forms = {
        "trl": {"prompt": same[0], "completion": same[1], "key": "k"},
        "alpaca": {"instruction": "Add. ", "input": "1 + 1\n", "output": "2", "key": None},
        "task": {
            "id": "t",
            "name": "n",
            "is_classification": False,
            "instruction": "Add.",
            "instances": [{"input": "1 + 1", "output": "2"}, {"input": "", "output": "0"}],
        },
    }
    for name, row in forms.items():
        assert texts(write(tmp_path / name, row))[0] == same, name
    assert texts(tmp_path / "task")[1] == ("Add.\n\nOutput:", " 0")
    (trl,) = read_examples(tmp_path / "trl", PROMPTS)
    assert (trl.key, trl.line, trl.source) == ("k", 1, str(tmp_path / "trl"))


def test_a_conversation_is_a_question_and_its_answer_after_a_system_message(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "Add 1 and 1."}, {"role": "assistant", "content": "2"}]
    system = [{"role": "system", "content": "Be brief."}]
    path = write(tmp_path / "a", {"messages": asked}, {"messages": system + asked})
    assert texts(path) == [
        ("Add 1 and 1.\n\nOutput:", " 2"),
        ("Be brief.\n\nAdd 1 and 1.\n\nOutput:", " 2"),
    ]
    for wrong in (asked + asked, asked[::-1], asked[:1] + asked[:1], system + asked[1:]):
        path = write(tmp_path / "a", {"messages": asked}, {"messages": wrong})
        with pytest.raises(BadRow, match=r"a:2: a conversation of .*\n.*one of a user and one of"):
            texts(path)


def test_an_instruction_with_a_place_in_it_is_a_text(tmp_path: Path) -> None:
    row = {"instruction": "Fill {input} in {instruction}.", "input": "{instruction}", "output": "x"}
    (found,) = texts(write(tmp_path / "a", row))
    assert found[0] == "Fill {input} in {instruction}.\n\nInput: {instruction}\n\nOutput:"


def test_the_files_of_a_run_are_taken_as_they_are() -> None:
    seeds = texts(ROOT / "data/seed_tasks.jsonl")
    assert len(seeds) >= 175
    assert all(prompt.endswith("\n\nOutput:") for prompt, _ in seeds)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"text": "x"}'], "a:1: rows of no form that is known\n  They have: completion and"),
        (['{"prompt": "x"}'], "a:1: rows of no form that is known"),
        (['{"prompt": "x", "completion": "y"}', '{"prompt": "x"}'], "a:2: field completion"),
        (["{"], "a:1: "),
        ([], "a: empty"),
    ],
)
def test_a_row_of_another_form_is_named(tmp_path: Path, lines: list[str], said: str) -> None:
    path = tmp_path / "a"
    path.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises((BadRow, BadFile), match=re.escape(said)):
        texts(path)


def test_a_source_that_dvc_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_declared([source("data/seed_tasks.jsonl"), *section(Finetune).sources])
    with pytest.raises(NotDeclared, match=r"data/mine.jsonl is not among the deps of"):
        check_declared([source("data/mine.jsonl")])


# --- tokens


def test_the_loss_is_on_the_completion_and_the_end_and_on_nothing_else() -> None:
    (row,) = encode([example("Add: 1\nOutput:", " 2")], LETTERS)
    assert row.ids == [BEGIN, *map(ord, "Add: 1\nOutput:"), ord(" "), ord("2"), END]
    # At the colon the space is to come, at the space the 2, at the 2 the end.
    assert [row.ids[position] for position in row.positions] == [ord(":"), ord(" "), ord("2")]
    assert row.targets == [ord(" "), ord("2"), END]


# --- which rows


def test_rows_that_are_left_out_are_counted_by_their_reason() -> None:
    given = [
        example("one"),
        example("two", "  "),
        example("one", line=3),
        example("three" * 10),
        example("four"),
    ]
    params = section(Finetune, max_tokens=20)
    chosen = choose({"a.jsonl": encode(given, LETTERS)}, params)
    assert [row.example.prompt for row in chosen.rows] == ["one", "four"]
    assert [reason for _, reason in chosen.left_out] == ["empty", "duplicate", "too_long"]
    assert chosen.read == {"a.jsonl": 5}
    assert len(encode([example("x" * 14)], LETTERS)[0].ids) == 20
    assert (
        len(choose({"a.jsonl": rows(2) + encode([example("x" * 14)], LETTERS)}, params).rows) == 3
    )


def drawn(pool: Sequence[Encoded], count: int | None) -> set[str]:
    return {row.example.prompt for row in mix([pool], [source()], count, 42, [0])}


def test_one_row_more_takes_at_most_one_others_place() -> None:
    pool = rows(60)
    before = drawn(pool[:-1], 20)
    assert len(before) == 20
    assert drawn(pool, None) == {row.example.prompt for row in pool}
    after = drawn(pool, 20)
    assert len(before - after) <= 1
    # Nor does a larger sample drop one of a smaller: a curve over sizes adds rows.
    assert drawn(pool, 10) < before
    shuffled = random.Random(1).sample(pool[:-1], 59)
    assert drawn(shuffled, 20) == before


def test_the_rows_of_sources_are_as_many_as_their_shares_say() -> None:
    first, second = rows(30, "a"), rows(60, "b")

    def counts(one: float, other: float, count: int | None) -> list[int]:
        sources = [source("a", one), source("b", other)]
        mixed = mix([first, second], sources, count, 42, [0, 0])
        return [sum(row.example.prompt.startswith(name) for row in mixed) for name in "ab"]

    assert counts(1, 2, None) == [30, 60]
    assert counts(0.5, 0.5, None) == [30, 30]
    assert counts(0.1, 0.2, 10) == [3, 7]
    assert counts(1, 1, 7) == [4, 3]
    with pytest.raises(TooFewRows, match="a: 31 rows of it are to be trained on, and it has 30\n"):
        counts(1, 1, 62)


@pytest.mark.parametrize("count", [0, 1])
def test_a_set_of_no_row_or_of_one_is_refused(count: int) -> None:
    params = section(Finetune, max_tokens=30)
    pool = rows(count) + encode([example("long " * 9)], LETTERS)
    with pytest.raises(TooFewRows, match=rf"it has {count}; 1 more were left out: too long"):
        choose({"data/prepare/finetuning.jsonl": pool}, params)


# --- which steps


@dataclass
class Planned:
    """epochs: of each step, the rows' prompts."""

    steps: list[list[str]]
    rates: list[float]


def planned(pool: Sequence[Encoded], **changes: object) -> Planned:
    steps = plan(pool, section(Finetune, **changes))
    return Planned(
        [[row.example.prompt for row in step.rows] for step in steps],
        [step.learning_rate for step in steps],
    )


def test_each_epoch_shows_every_row_once_in_steps_of_one_size() -> None:
    pool = rows(25)
    made = planned(pool, batch=8, epochs=2, max_steps=None)
    assert [len(step) for step in made.steps] == [6, 6, 6, 7] * 2
    first, second = ([*chain(*made.steps[start : start + 4])] for start in (0, 4))
    assert sorted(first) == sorted(second) == sorted(row.example.prompt for row in pool)
    assert first != second
    assert planned(pool, batch=8, epochs=2, max_steps=5).steps == made.steps[:5]
    # The order belongs to the rows: the others keep theirs when one goes.
    less = planned(pool[:-1], batch=25, epochs=1, max_steps=None).steps[0]
    whole = planned(pool, batch=25, epochs=1, max_steps=None).steps[0]
    assert less == [prompt for prompt in whole if prompt != "a 24"]


def test_the_learning_rate_goes_up_and_then_down_over_the_steps_that_are_made() -> None:
    rates = planned(rows(25), epochs=3, max_steps=10, warmup=0.2, learning_rate=1.0).rates
    assert rates == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert planned(rows(25), max_steps=1, warmup=0.0, learning_rate=1.0).rates == [1.0]
