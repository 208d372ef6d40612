"""The project's own tasks in Natural Instructions form."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from support.project import ROOT

from seedbed.auto_instruct.params import Niv2
from seedbed.tasks.niv2 import Task, read_task
from seedbed.tasks.places import find_tasks

FOLDER = ROOT / "data" / "niv2"
LABELS = {
    "seedbed001_everyday_review_sentiment_analysis": ["negative", "positive"],
    "seedbed002_does_it_follow_textual_entailment": ["no", "yes"],
    "seedbed003_headline_topic_text_categorization": ["business", "science", "sport", "weather"],
}
PATHS = find_tasks(FOLDER)
each_file = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def the(number: int) -> Task:
    return read_task(PATHS[number - 1])


def test_there_are_three_of_either_kind() -> None:
    tasks = {path.stem: read_task(path) for path in PATHS}
    assert len(tasks) == 6
    assert {name: task.labels for name, task in tasks.items() if task.is_classification} == LABELS


def test_the_default_run_takes_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from seedbed import params

    monkeypatch.chdir(ROOT)
    settings: Niv2 = params.everything().niv2
    assert len(find_tasks(ROOT / settings.folder, settings.tasks)) == 3


@each_file
def test_it_has_the_official_shape(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    task = json.loads(text)
    assert text == json.dumps(task, indent=4, ensure_ascii=False) + "\n"
    lists = ["Contributors", "Source", "URL", "Categories", "Reasoning", "Definition",
             "Input_language", "Output_language", "Instruction_language", "Domains"]  # fmt: skip
    rest = ["Positive Examples", "Negative Examples", "Instances", "Instance License"]
    assert list(task) == lists + rest
    for field in lists:
        assert [type(one) for one in task[field]] == [str]
    for example in task["Positive Examples"] + task["Negative Examples"]:
        assert list(example) == ["input", "output", "explanation"]
        assert all(example.values())
    for number, instance in enumerate(task["Instances"]):
        assert list(instance) == ["id", "input", "output"]
        assert re.fullmatch(path.name[:10] + "-[0-9a-f]{32}", instance["id"]), number
        outputs = instance["output"]
        assert all(outputs)
        assert len(set(outputs)) == len(outputs)
        assert [one.strip() for one in outputs] == outputs
    assert len(task["Instances"]) >= 60
    assert len(task["Positive Examples"]) >= 3
    assert len(task["Negative Examples"]) >= 2


def test_no_input_is_there_twice() -> None:
    tasks = [json.loads(path.read_text(encoding="utf-8")) for path in PATHS]
    shown = ("Positive Examples", "Negative Examples", "Instances")
    inputs = [folded(one["input"]) for task in tasks for field in shown for one in task[field]]
    assert [text for text, times in Counter(inputs).items() if times > 1] == []


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_told_shown_and_balanced(name: str) -> None:
    task = read_task(FOLDER / f"{name}.json")
    assert {demo.output for demo in task.demos} == set(task.labels)
    count = Counter(target for example in task.examples for target in example.targets)
    even = len(task.examples) / len(task.labels)
    for label in task.labels:
        assert f'"{label}"' in task.instruction
        assert abs(count[label] - even) <= 0.15 * even
    # The first ten are what a small run takes.
    assert {example.targets[0] for example in task.examples[:10]} == set(task.labels)


def test_a_sentence_in_the_past_has_the_words_of_the_one_in_the_present() -> None:
    task = the(4)
    for text, outputs in [(one.input, one.targets) for one in task.examples] + [
        (demo.input, [demo.output]) for demo in task.demos
    ]:
        for output in outputs:
            before = text.replace("cannot", "can not").split()
            after = output.replace("couldn't", "could not").split()
            assert len(before) == len(after), text
            changed = sum(a != b for a, b in zip(before, after, strict=True))
            assert 1 <= changed <= len(before) / 2, text


def test_an_answer_is_a_span_of_its_passage_and_not_of_its_question() -> None:
    task = the(5)
    for text, answers in [(one.input, one.targets) for one in task.examples] + [
        (demo.input, [demo.output]) for demo in task.demos
    ]:
        found = re.fullmatch(r"Passage: (.+) Question: (.+\?)", text)
        assert found, text
        for answer in answers:
            assert re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", found[1]), text
            assert folded(answer) not in folded(found[2]), text


def test_the_odd_word_is_one_of_those_named_and_not_always_in_one_place() -> None:
    task = the(6)
    places = Counter()
    for example in task.examples:
        (word,) = example.targets
        before, *after = re.split(rf"(?<!\w){re.escape(word)}(?!\w)", example.input)
        assert len(after) == 1, example.input
        places[before.count(",") + before.count(" and ")] += 1
    assert max(places.values()) <= len(task.examples) / 2
