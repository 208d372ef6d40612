"""The root verb of an instruction, and its noun."""

import json
from pathlib import Path

import pytest

from seedbed.tasks.roots import Root, root

# 100 of the seed tasks, each with the verb and the noun that a person finds in it. A pair is the
# main verb of an order or a question and its direct object, of the first sentence that has both.
BY_HAND = [
    json.loads(line)
    for line in Path(__file__).with_name("data").joinpath("roots.jsonl").read_text().splitlines()
]


def test_nineteen_of_twenty_pairs_are_those_that_a_person_finds() -> None:
    found = [(root(row["instruction"]), Root(row["verb"], row["noun"])) for row in BY_HAND]
    assert len(found) == 100
    said = [pair for pair in found if pair[0].noun]
    right = sum(machine == person for machine, person in said)
    assert right / len(said) >= 0.95, f"{right} of {len(said)}"
    assert right / sum(person.noun is not None for _, person in found) >= 0.93


@pytest.mark.parametrize(
    "before",
    [
        "Please ",
        "Kindly, ",
        "Now ",
        "Could you please ",
        "I would like you to ",
        "Your task is to ",
        "In one line, ",
        "Given a topic, ",
        "If you can, ",
        "You don’t know me. ",
    ],
)
def test_what_stands_before_the_request_changes_nothing(before: str) -> None:
    assert root(f"{before}write a short poem about rivers.") == Root("write", "poem")


@pytest.mark.parametrize(
    ("instruction", "found"),
    [
        # A tagger that has seen few orders takes the first word for a noun.
        ("List three rivers.", Root("list", "river")),
        ("Paraphrase the sentence.", Root("paraphrase", "sentence")),
        ("Offer the guest three tips.", Root("offer", "tip")),
        ("Give me the cat's two names.", Root("give", "name")),
        ("Add up the hours each person worked.", Root("add", "hour")),
        ("Which six questions should he ask?", Root("ask", "question")),
        ("Suppose the sentence is true.", Root("suppose", None)),
        ("Explain why bread turns stale.", Root("explain", None)),
        ("Reply to the letter.", Root("reply", None)),
        ("How do a viola and a violin differ?", Root("differ", None)),
        ("Two taps fill a tank.", Root(None, None)),
        ("Red, green and blue", Root(None, None)),
        ("", Root(None, None)),
        ("你好", Root(None, None)),
        pytest.param("In this, " * 2000, Root(None, None), id="a long one"),
    ],
)
def test_what_is_not_there_is_not_guessed(instruction: str, found: Root) -> None:
    assert root(instruction) == found
