"""Trying each candidate on each example, and scoring what comes; a fake in the model's place."""

import json
import random
import re
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from support.engines import FAKE, Fake
from support.params import section
from support.project import ROOT
from support.stages import run_stage
from support.tries import tries

from seedbed.auto_instruct import describe_candidates, label
from seedbed.auto_instruct.candidate_files import ORIGINS, file_of
from seedbed.auto_instruct.errors import TooFewToDrawFrom
from seedbed.auto_instruct.matching import is_right
from seedbed.auto_instruct.params import Label, Niv2
from seedbed.auto_instruct.pick import ABSENT
from seedbed.auto_instruct.rows import LABELLED, Candidate, LabelledExample
from seedbed.auto_instruct.trials import Trial, plan
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.paths import METRICS, PLOTS
from seedbed.errors import BadFile, BadRow, SeedbedError
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer, read_body
from seedbed.tasks import scoring
from seedbed.tasks.niv2 import Demo, Example, Task
from seedbed.tasks.scoring import best_rouge_l, rouge_l

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)


def task(name: str = "task1", examples: int = 4) -> Task:
    return Task(
        name=name,
        instruction="Seed.",
        demos=[Demo(input=f"demo {n}", output=f"out {n}") for n in range(4)],
        examples=[
            Example(
                id=f"e{n}",
                input=f"input {n}",
                targets=[f"target {n}", *([f"other {n}"] if n % 2 else [])],
            )
            for n in range(examples)
        ],
        is_classification=False,
        labels=[],
        categories=[],
    )


def candidates_of(name: str = "task1", count: int = 7) -> list[Candidate]:
    """The seed instruction, then groups of three."""
    return [
        Candidate(
            task=name,
            index=n,
            meta_prompt=f"meta {(n - 1) // 3}" if n else None,
            sample=(n - 1) % 3 if n else None,
            key=f"key {n}" if n else None,
            instruction=f"Candidate {n}." if n else "Seed.",
        )
        for n in range(count)
    ]


def settings_of(**changes: object) -> Label:
    return section(Label, **{"max_examples": None, **changes})


def echo(request: Request) -> str:
    """Says which candidate was tried on which example."""
    instruction = request.prompt.split("\n\n")[0]
    return f" {instruction} on {request.prompt.rpartition('Input: ')[2].splitlines()[0]}\n"


def labelled(
    tasks: list[Task],
    reply: Callable[[Request], str] = echo,
    candidates: int = 7,
    finish_reason: str = "stop",
    **changes: object,
) -> tuple[list[list[LabelledExample]], Fake]:
    params = settings_of(**changes)
    trials = [plan(one, candidates_of(one.name, candidates), params) for one in tasks]
    fake = Fake(reply, finish_reason)
    return [rows for _, rows, _ in label.label(trials, params, fake)], fake


# --- prompts and their order


def test_a_candidate_of_ones_own_is_stripped_for_the_prompt_and_for_nothing_else() -> None:
    own = candidates_of(count=2)
    own[1] = own[1].model_copy(update={"instruction": " Candidate 1.\n\n"})
    plain, spaced = (
        plan(task(examples=1), given, settings_of()) for given in (candidates_of(count=2), own)
    )
    assert list(label.requests(spaced, settings_of())) == list(label.requests(plain, settings_of()))
    header = json.loads(list(label.lines_of(spaced, [], "template"))[1])
    assert header == {"instructions": ["Seed.", " Candidate 1.\n\n"]}


def test_the_prompt_is_instruction_demos_input_and_ends_with_output() -> None:
    _, fake = labelled([task(examples=1)], candidates=1)
    (request,) = fake.requests
    assert request.prompt == (
        "Seed.\n\n"
        "Input: demo 0\nOutput: out 0\n\n"
        "Input: demo 1\nOutput: out 1\n\n"
        "Input: demo 2\nOutput: out 2\n\n"
        "Input: input 0\nOutput:"
    )
    assert request.sampling.max_tokens == 32
    assert request.sampling.temperature == 0
    _, fake = labelled([task(examples=1)], candidates=1, shots="zero")
    assert fake.requests[0].prompt == "Seed.\n\nInput: input 0\nOutput:"


@pytest.mark.parametrize("shots", ["few", "zero"])
def test_requests_go_candidate_by_candidate_and_share_all_before_the_input(shots: str) -> None:
    _, fake = labelled([task("a"), task("b")], shots=shots)
    assert len(fake.requests) == 2 * 7 * 4
    for number, request in enumerate(fake.requests):
        shared, _, given = request.prompt.rpartition("Input:")
        assert request.prefixes == (shared + "Input:",)
        assert given == f" input {number % 4}\nOutput:"
    prefixes = [request.prefixes for request in fake.requests]
    assert all(len(set(prefixes[n : n + 4])) == 1 for n in range(0, len(prefixes), 4))


def test_what_all_inputs_begin_with_is_shared_too_however_many_are_tried() -> None:
    named = task().model_copy(
        update={
            "examples": [
                Example(id=str(n), input=f"Sentence 1: The {word}: x", targets=["t"])
                for n, word in enumerate(["man", "map", "dog"])
            ]
        }
    )
    for most in (1, 2, None):
        _, fake = labelled([named], max_examples=most)
        assert all(one.prefixes[0].endswith("\n\nInput: Sentence 1:") for one in fake.requests)
        assert all(one.prompt.startswith(one.prefixes[0] + " The ") for one in fake.requests)


def test_another_task_or_example_changes_nothing_for_the_rest() -> None:
    (alone,), asked = labelled([task("b")], sample_instructions=3)
    (_, both), asked_both = labelled([task("a"), task("b")], sample_instructions=3)
    strip = {"instruction_keys"}
    assert [row.model_dump(exclude=strip) for row in both] == [
        row.model_dump(exclude=strip) for row in alone
    ]
    assert asked_both.requests[-len(asked.requests) :] == asked.requests
    (fewer,), _ = labelled([task("b")], sample_instructions=3, max_examples=2)
    assert fewer == alone[:2]


def test_no_more_tasks_are_held_than_wait_for_answers() -> None:
    held: list[weakref.ref[Task]] = []

    def trials() -> Iterator[Trial]:
        for n in range(9):
            own = task(f"task{n}")
            held.append(weakref.ref(own))
            trial = plan(own, candidates_of(own.name), settings_of())
            held.append(weakref.ref(trial.task))
            yield trial

    def ask(requests: Iterable[Request]) -> Iterator[Answer]:
        fake = Fake(echo)
        while window := list(islice(requests, 40)):  # a task has 28
            yield from fake(window)

    for trial, rows, _ in label.label(trials(), settings_of(), ask):
        assert len(rows) == len(trial.task.examples)
        # That of these rows, the one whose answers come next, and what was read ahead.
        assert sum(one() is not None for one in held) <= 2 * 4
    assert len(held) == 2 * 9


def test_two_processes_score_as_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [task(f"task{n}", examples=3 + n) for n in range(5)]

    def reply(request: Request) -> str:
        return echo(request).replace("on input", "on target")

    for metric in ("rouge", "prefix_match"):
        monkeypatch.delenv("SEEDBED_SHARDS", raising=False)
        here, _ = labelled(tasks, reply, metric=metric)
        monkeypatch.setattr(label, "ALONE", 30)
        monkeypatch.setenv("SEEDBED_SHARDS", "2")
        there, _ = labelled(tasks, reply, metric=metric)
        assert there == here
    assert any(score for rows in here for row in rows for score in row.instruction_rouge)


# --- which candidates


def test_all_candidates_are_tried_on_all_examples_unless_fewer_are_asked_for() -> None:
    (rows,), fake = labelled([task()])
    assert [row.instruction_idx for row in rows] == [list(range(7))] * 4
    assert len(fake.requests) == 28


def test_so_many_candidates_are_drawn_for_each_example() -> None:
    (rows,), fake = labelled([task(examples=60)], sample_instructions=3)
    drawn = [tuple(row.instruction_idx) for row in rows]
    assert all(len(set(one)) == 3 and list(one) == sorted(one) for one in drawn)
    assert len(set(drawn)) > 20
    assert {place for one in drawn for place in one} == set(range(7))
    assert len(fake.requests) == 180
    (again,), _ = labelled([task(examples=60)], sample_instructions=3)
    assert again == rows
    (other,), _ = labelled([task(examples=60)], sample_instructions=3, seed=43)
    assert [tuple(row.instruction_idx) for row in other] != drawn


@pytest.mark.parametrize("number", [None, 2])
def test_at_most_one_of_each_group_is_tried_if_asked_for(number: int | None) -> None:
    (rows,), _ = labelled([task(examples=60)], one_from_each_group=True, sample_instructions=number)
    for row in rows:
        groups = [(place + 2) // 3 for place in row.instruction_idx]
        assert len(groups) == len(set(groups)) == (number or 3)
    assert {place for row in rows for place in row.instruction_idx} == set(range(7))


def test_candidates_of_ones_own_are_no_group() -> None:
    known = candidates_of(count=4)
    own = [one.model_copy(update={"meta_prompt": None, "key": None}) for one in known]
    trial = plan(task(examples=1), own, settings_of(one_from_each_group=True))
    assert trial.chosen == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sample_instructions": 8}, "task1 has only 7 candidates"),
        ({"sample_instructions": 4, "one_from_each_group": True}, "task1 has only 3 groups"),
    ],
)
def test_fewer_candidates_than_asked_for_is_an_error_before_anything_is_asked(
    changes: dict, said: str
) -> None:
    with pytest.raises(TooFewToDrawFrom, match=said):
        labelled([task()], **changes)


# --- rows


def test_each_output_stands_by_its_candidate_and_its_example() -> None:
    for changes in ({}, {"sample_instructions": 3}, {"one_from_each_group": True}):
        (rows,), fake = labelled([task()], **changes)
        assert [row.id for row in rows] == ["e0", "e1", "e2", "e3"]
        names = [one.instruction for one in candidates_of()]
        by_text = {echo(one).strip(): one for one in fake.requests}
        for n, row in enumerate(rows):
            assert row.input == f"input {n}"
            assert row.target == f"target {n}"
            assert row.targets == ([f"target {n}", f"other {n}"] if n % 2 else None)
            said = [f"{names[place]} on input {n}" for place in row.instruction_idx]
            assert row.instruction_outputs == said
            for text, key in zip(row.instruction_outputs, row.instruction_keys, strict=True):
                one = by_text[text]
                assert key == Fake.key(one)
            assert row.instruction_problems is None


@pytest.mark.parametrize("metric", ["exact_match", "rouge"])
def test_scores_are_those_of_the_output_with_the_closest_target(metric: str) -> None:
    said = ["", "target 0", "Target.", "other 1.", "a target 3 or other"]
    rng = random.Random(0)
    (rows,), _ = labelled([task()], lambda _: rng.choice(said), metric=metric)
    for row in rows:
        for text, score, right in zip(
            row.instruction_outputs, row.instruction_rouge, row.instruction_labels, strict=True
        ):
            targets = row.targets or [row.target]
            wanted = max(SCORER.score(one, text)["rougeL"].fmeasure for one in targets)
            assert abs(score - wanted) <= 1e-12
            if metric == "rouge":
                assert right == (wanted >= 0.5)
            else:
                assert right == (text.lower().removesuffix(".") in targets)


def test_answers_of_no_use_score_nothing_and_say_so() -> None:
    def refused(requests: Iterable[Request]) -> list[Answer]:
        body = {"choices": [{"text": "target", "finish_reason": "content_filter", "index": 0}]}
        fine = {"choices": [{"text": "target", "finish_reason": "length", "index": 0}]}
        return [
            read_body(f"k{n}", json.dumps(body if n == 1 else fine)) for n, _ in enumerate(requests)
        ]

    params = settings_of()
    trial = plan(task(examples=2), candidates_of(count=2), params)
    ((_, rows, cut),) = label.label([trial], params, refused)
    assert [row.instruction_problems for row in rows] == [None, ["refused", None]]
    assert rows[1].instruction_outputs == ["", "target"]
    assert rows[1].instruction_rouge[0] == 0
    assert rows[1].instruction_labels[0] == 0
    assert cut == 3
    figures = label.metrics({"t": label.measure(trial, rows, cut)})
    assert figures["problems"]["refused"] == 1
    assert figures["outputs_cut"] == 3
    assert figures["outputs"] == 4


@pytest.mark.parametrize(("shots", "count"), [("few", 1), ("zero", 0)])
def test_examples_whose_answer_stands_in_the_prompt_are_counted(shots: str, count: int) -> None:
    one = task(examples=3)
    demo = Demo(input=one.examples[1].input, output="x")
    one = one.model_copy(update={"demos": [*one.demos[:2], demo]})
    trial = plan(one, candidates_of(count=2), settings_of(shots=shots))
    rows = labelled([one], candidates=2, shots=shots)[0][0]
    figures = label.metrics({"t": label.measure(trial, rows, 0)})
    assert figures["examples_shown_as_demos"] == count


# --- figures


@pytest.mark.parametrize("number", [None, 2])
def test_figures_are_those_of_the_plain_computation(number: int | None) -> None:
    rng = random.Random(1)

    def some(request: Request) -> str:
        return " ".join(rng.choices(["target", "0", "1", "2", "3", "other", "x"], k=3))

    tasks, figures = [task("a", 12), task("b", 5)], {}
    for one, rows in zip(tasks, labelled(tasks, some, sample_instructions=number)[0], strict=True):
        trial = plan(one, candidates_of(one.name, 7), settings_of())
        figures[one.name] = label.measure(trial, rows, 0)
        scores: dict[int, list[float]] = {}
        for row in rows:
            for place, score in zip(row.instruction_idx, row.instruction_rouge, strict=True):
                scores.setdefault(place, []).append(score)
        means = {place: fmean(own) for place, own in scores.items()}
        summary = figures[one.name].summary()
        assert summary.get("rouge_seed", means.get(0)) == pytest.approx(means.get(0), abs=1e-6)
        assert summary["rouge_mean"] == pytest.approx(fmean(means.values()), abs=1e-6)
        assert summary["rouge_best"] == pytest.approx(max(means.values()), abs=1e-6)
        assert summary["rouge_worst"] == pytest.approx(min(means.values()), abs=1e-6)
        oracle = fmean(max(row.instruction_rouge) for row in rows)
        assert summary["rouge_oracle"] == pytest.approx(oracle, abs=1e-6)
        scores = np.full((len(rows), 1 + max(means)), ABSENT)
        for number, row in enumerate(rows):
            scores[number, row.instruction_idx] = row.instruction_rouge
        points = describe_candidates.heat_map({one.name: scores})
        assert {p["candidate"]: p["rouge"] for p in points} == pytest.approx(means, abs=1e-6)
    said = label.metrics(figures)
    assert said["examples_tried"] == 17
    for name in ("rouge_mean", "rouge_best", "rouge_worst", "rouge_oracle"):
        both = [one.summary()[name] for one in figures.values()]
        assert said[name] == pytest.approx(fmean(both), abs=2e-6)


# --- scoring


@pytest.mark.parametrize(
    ("output", "target", "metrics"),
    [
        ("Yes.", "yes", "exact normalized prefix normalized_prefix"),
        (" yes \n", "Yes.", "exact normalized prefix normalized_prefix"),
        ("The  cat", "a cat", "normalized normalized_prefix"),
        ("yes, it is", "yes", "prefix normalized_prefix"),
        ("The cat sat", "cat", "normalized_prefix"),
        ("no", "yes", ""),
        ("ye", "yes", ""),
        ("", "", ""),
        (".", ".", ""),
        ("", "yes", ""),
        ("yes", "", ""),
        ("the", "a", ""),
        ("theory", "ory", ""),
    ],
)
def test_a_label_says_whether_the_output_matches(output: str, target: str, metrics: str) -> None:
    names = {
        "exact": "exact_match",
        "normalized": "normalized_exact_match",
        "prefix": "prefix_match",
        "normalized_prefix": "normalized_prefix_match",
    }
    for short, name in names.items():
        expected = short in metrics.split()
        assert is_right(name, output, [target], 1.0) == expected, name
        assert is_right(name, output, ["nothing like it", target], 0.0) == expected, name


def test_half_in_common_is_right_by_rouge() -> None:
    assert is_right("rouge", "x", ["y"], 0.5)
    assert not is_right("rouge", "x", ["x"], 0.4999)


def with_rouge_score(output: str, target: str) -> float:
    return float(SCORER.score(target, output)["rougeL"].fmeasure)


WORDS = ["a", "b", "The", "abcdefgh", "abcdefghi", "abcdefghj", "x1", "é", "naïve", "İ", "K", "ß",
         "don't", "\x01", "a\x01b", "\ud800", "日本", "--", "U.S.", "1,000"]  # fmt: skip
texts = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join),
    st.text(st.characters(codec=None), max_size=30),
)


@settings(max_examples=tries(300), deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=30))
def test_scores_are_rouge_scores_own(pairs: list[tuple[str, str]]) -> None:
    assert rouge_l(pairs).tolist() == [with_rouge_score(*pair) for pair in pairs]


def test_scores_of_many_tokens_are_rouge_scores_own_across_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With few slots nearly every token shares its own with another."""
    rng = random.Random(0)
    words = [f"{rng.choice('abcdefghijk')}{'longer' * rng.randint(0, 2)}{n}" for n in range(3000)]
    some = [" ".join(rng.choices(words, k=rng.randint(0, 40))) for _ in range(400)]
    pairs = [(rng.choice(some), rng.choice(some)) for _ in range(3000)]
    pairs += [(" ".join(rng.sample(one.split(), len(one.split()))), one) for one in some]
    expected = [with_rouge_score(*pair) for pair in pairs]
    for bits, chunk, characters in ((16, 1 << 11, 1 << 21), (4, 100, 1 << 21), (16, 1000, 500)):
        monkeypatch.setattr(scoring, "_SLOT_BITS", bits)
        monkeypatch.setattr(scoring, "_CHUNK", chunk)
        monkeypatch.setattr(scoring, "_CHARACTERS", characters)
        assert rouge_l(pairs).tolist() == expected


def test_more_different_tokens_than_the_first_code_points_hold() -> None:
    long = " ".join(f"t{n}" for n in range(70_000))
    assert rouge_l([(long, "t69999 t0"), ("t5 t4", long)]).tolist() == pytest.approx(
        [2 / 70_002, 2 / 70_002]
    )


def test_no_pairs_have_no_scores() -> None:
    assert rouge_l([]).tolist() == best_rouge_l([], []).tolist() == []


# --- the stage


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two tasks of three candidates."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEEDBED_STORE", str(tmp_path / "responses.sqlite"))
    shutil.copytree(ROOT / "data" / "prompts", tmp_path / "data" / "prompts")
    files: dict[Path, Iterable[str]] = {}
    rows = []
    for name in ("one", "two"):
        pair = {"input": "2", "output": "even", "explanation": ""}
        instances = [{"id": f"{name}-{n}", "input": str(n), "output": ["even"]} for n in range(3)]
        own = {
            "Definition": ["Odd?"],
            "Positive Examples": [pair],
            "Negative Examples": [],
            "Categories": ["x"],
            "Instances": instances,
        }
        files[Path(f"data/niv2/{name}.json")] = to_json(own)
        mine = [
            one.model_copy(update={"instruction": "Odd?"}) if not one.index else one
            for one in candidates_of(name, 3)
        ]
        files[file_of(name)] = to_json([one.instruction for one in mine])
        rows += mine
    write_files({**files, ORIGINS: map(to_line, rows)})
    return tmp_path


def stage_params(**changes: object) -> label.Params:
    niv2 = Niv2(folder="data/niv2", tasks=None)
    return label.Params(llm=FAKE, niv2=niv2, label=settings_of(**changes))


def run_with(
    monkeypatch: pytest.MonkeyPatch,
    fake: Callable[[Iterable[Request]], Iterable[Answer]],
    **changes: object,
) -> None:
    class Engine:
        ask = staticmethod(fake)

        def __enter__(self) -> "Engine":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("seedbed.llm.engine.open_engine", lambda *_: Engine())
    run_stage(label, stage_params(**changes))


def test_a_task_s_file_has_three_header_lines_and_a_row_an_example(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with(monkeypatch, Fake(lambda _: " even\n"), max_examples=2)
    for name in ("one", "two"):
        lines = [json.loads(line) for line in (LABELLED / f"{name}.jsonl").read_text().splitlines()]
        assert len(lines) == 3 + 2
        assert "{{input}}" in lines[0]["prompt"]
        assert "{{instruction}}" in lines[0]["prompt"]
        assert lines[1] == {"instructions": ["Odd?", "Candidate 1.", "Candidate 2."]}
        assert lines[2] == {"demos": "Input: 2\nOutput: even"}
        assert lines[3]["id"] == f"{name}-0"
        assert lines[3]["target"] == "even"
        assert lines[3]["instruction_rouge"] == [1.0, 1.0, 1.0]
        assert lines[3]["instruction_labels"] == [1, 1, 1]
        assert "targets" not in lines[3]
        assert "instruction_problems" not in lines[3]
    figures = json.loads((METRICS / "label.json").read_text())
    rouge = [value for name, value in figures.items() if name.startswith("rouge_")]
    assert rouge == [1.0] * 5
    assert figures["right_share"] == 1.0
    run_stage(describe_candidates, describe_candidates.Params())
    assert len(json.loads((PLOTS / "label_heatmap.json").read_text())) == 6


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        (file_of("one"), '"Candidate 2."', '"Another one."', "instruction 2 is not the one"),
        (file_of("two"), '"Odd?",', "", "2 instructions, but .* has 3"),
        (file_of("two"), '"Odd?"', "7", "instruction 0 is 7, not a text"),
        (file_of("one"), "[", "", "Invalid JSON"),
        (ORIGINS, '"index": 1', '"index": "1"', "field index: "),
        (Path("data/niv2/two.json"), '"Instances"', '"Instanzen"', "field Instances: "),
        (Path("data/prompts/label/ranker.txt"), "{{input}}", "", "stands in it 0 times"),
        (Path("data/prompts/label/ranker.txt"), "Does", "{{demos}}", r"no place \{\{demos"),
        (Path("data/prompts/label/ranker.txt"), "Does", "{input}", r"no place \{input"),
    ],
)
def test_bad_input_is_one_error_that_names_the_file_and_nothing_is_asked_or_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, path: Path, old: str, new: str, said: str
) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    fake = Fake(lambda _: "even")
    with pytest.raises(SeedbedError) as failure:
        run_with(monkeypatch, fake)
    assert isinstance(failure.value, BadFile | BadRow)
    assert re.match(f"{path}(:[0-9]+)?: .*{said}", str(failure.value))
    assert fake.requests == []
    assert not LABELLED.exists()
    assert not METRICS.exists()


def test_a_stage_that_fails_half_way_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(requests: Iterable[Request]) -> Iterator[Answer]:
        yield from Fake(lambda _: " even")(islice(requests, 11))  # of 18: the first task is done
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_with(monkeypatch, ask)
    assert not LABELLED.exists()
    assert not METRICS.exists()
