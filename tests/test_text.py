"""Prompts, the parsing of completions, and the shapes of the finetuning data."""

import random
import re
import string
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tries import tries

from seedbed.core.prompts import Prompt
from seedbed.errors import BadFile, BadRow
from seedbed.self_instruct import completions as instances
from seedbed.self_instruct.completions import judge, parse_input_first, parse_output_first
from seedbed.self_instruct.encoding import chat, drop_field_name, encode
from seedbed.self_instruct.instructions import REASONS, numbered, refuser, split_numbered

# --- prompts


@pytest.fixture
def prompt_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Prompt]:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "prompts" / "p.txt"
    path.parent.mkdir(parents=True)

    def read(text: str) -> Prompt:
        path.write_text(text)
        return Prompt("p.txt", "tasks")

    return read


def test_a_prompt_is_its_file_with_the_text_filled_in(prompt_of: Callable[[str], Prompt]) -> None:
    prompt = prompt_of("Do this:\n\nTask: {tasks}\nThe end?\n")
    assert prompt.fill("sing") == "Do this:\n\nTask: sing\nThe end?"
    assert prompt.fill("sing").startswith(prompt.prefix)
    assert prompt.prefix == "Do this:\n\nTask:"


def test_braces_are_harmless(prompt_of: Callable[[str], Prompt]) -> None:
    prompt = prompt_of('Like {"a": {}}: {tasks} {0} { task }')
    assert (
        prompt.fill("{tasks} {x} {{}} %s {") == 'Like {"a": {}}: {tasks} {x} {{}} %s { {0} { task }'
    )


@pytest.mark.parametrize("place", ["{task}", "{{tasks}}", "{instruction}", "{tasks_2}", "{größe}"])
def test_a_place_that_the_prompt_does_not_have_is_refused_with_its_line(
    prompt_of: Callable[[str], Prompt], place: str
) -> None:
    with pytest.raises(
        BadRow, match=rf"p\.txt:2: there is no place {re.escape(place)}\n.*{{tasks}}"
    ):
        prompt_of(f"{{tasks}}\n{place}\n")


def test_a_prompt_of_nothing_but_braces_is_read_at_once(
    prompt_of: Callable[[str], Prompt],
) -> None:
    for piece in ("{", "{a", "{a}{", "}"):
        with pytest.raises((BadFile, BadRow)):
            prompt_of(piece * 300_000)


def test_a_byte_order_mark_is_not_sent_to_the_model(prompt_of: Callable[[str], Prompt]) -> None:
    with pytest.raises(BadFile, match=r"p\.txt: begins with a byte order mark"):
        prompt_of("\ufeff{tasks}")


@pytest.mark.parametrize("text", ["none", "", "{tasks} and {tasks}"])
def test_a_prompt_without_just_one_placeholder_is_refused(
    prompt_of: Callable[[str], Prompt], text: str
) -> None:
    with pytest.raises(BadFile, match=r"p\.txt: \{tasks\} stands in it [02] times"):
        prompt_of(text)


def test_a_list_is_numbered_folded_and_ends_with_the_next_number() -> None:
    shown = [f"Task {n}" for n in range(6)] + ["  Two\n\tlines\u00a0here ", "Translate this:"]
    lines = numbered(shown).split("\n")
    assert lines[0] == "1. Task 0"
    assert lines[6:] == ["7. Two lines here", "8. Translate this", "9."]


def test_a_colon_is_dropped_only_at_the_end() -> None:
    assert numbered(["Do this: sing:"]) == "1. Do this: sing\n2."


def test_a_space_before_the_dropped_colon_goes_too() -> None:
    assert numbered(["Traduisez le texte :"]) == "1. Traduisez le texte\n2."


# --- bootstrap completions


def test_a_completion_is_cut_where_a_line_begins_a_number() -> None:
    text = " First task.\n10. Second\ntask, 2. really.\n 11 . Third costs 3.50.\n12."
    assert split_numbered(text, capitalize=False) == [
        "First task.",
        "Second task, 2. really.",
        "Third costs 3.50.",
        "",
    ]


def test_a_number_with_decimals_at_a_line_begin_does_not_cut() -> None:
    assert split_numbered("Add these:\n1.5 and 2.5", capitalize=False) == ["Add these: 1.5 and 2.5"]


def test_white_space_of_every_kind_is_folded() -> None:
    assert split_numbered("\t a \u00a0\u2003b\n\nc ", capitalize=False) == ["a b c"]


def test_capitalising_is_a_choice() -> None:
    assert split_numbered("explain what NASA does.", True) == ["Explain what nasa does."]
    assert split_numbered("explain what NASA does.", False) == ["explain what NASA does."]


WORDS = ["image", "images", "graph", "graphs", "picture", "pictures", "file", "files"]
WORDS += ["map", "maps", "draw", "plot", "go to"]


def refusal(piece: str, **changes: object) -> str | None:
    bounds = {
        "min_words": 4,
        "max_words": 150,
        "refused_words": WORDS,
        "refused_prefixes": ["Write a program"],
        "refuse_non_ascii": True,
    }
    return refuser(**(bounds | changes))(piece)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        ("", "empty_piece"),
        ("Name three", "too_short"),
        ("Name three rivers", "too_short"),
        ("Name three long rivers", None),
        ("word " * 149 + "word", None),
        ("word " * 150 + "word", "too_long"),
        ("Describe the image in words", "refused_word"),
        ("Describe the IMAGE in words", "refused_word"),
        ("What does this graph, if any, show?", "refused_word"),
        ("Plot the values of x", "refused_word"),
        ("Go to the nearest shop now", "refused_word"),
        ("Tell him to go To school", "refused_word"),
        ("Go at once to school", None),
        ("Imagine a paragraph about drawing", None),
        ("Explain profiles and roadmaps briefly", None),
        ("Write a program that adds numbers", "refused_prefix"),
        ("Write a programme for the concert", "refused_prefix"),
        ("Please Write a program for me", None),
        ("Write the program of a concert", None),
        ("Écris un poème sur la mer", "starts_with_non_ascii"),
        ("写 一 首 诗 about autumn", "starts_with_non_ascii"),
        ("Translate 'écris' into plain English", None),
        ("7 is what kind of number?", None),
    ],
)
def test_a_piece_is_refused_for_its_reason(piece: str, reason: str | None) -> None:
    assert refusal(piece) == reason


@pytest.mark.parametrize("word", WORDS)
def test_each_refused_word_is_refused_alone_and_not_within_another(word: str) -> None:
    assert refusal(f"Tell me of {word.title()}, please") == "refused_word"
    assert refusal(f"Tell me of x{word}x, please") is None


@pytest.mark.parametrize("mark", string.punctuation)
def test_a_piece_that_starts_with_punctuation_is_refused(mark: str) -> None:
    assert refusal(f"{mark} name three long rivers") == "starts_with_punctuation"
    assert refusal(f"Name three {mark} long rivers{mark}") is None


def test_non_ascii_may_be_allowed_where_rouge_l_sees_something() -> None:
    assert refusal("Écris un poème sur la mer", refuse_non_ascii=False) is None
    assert refusal("写 一 首 关于 秋天 的 诗", refuse_non_ascii=False) == "no_scorable_token"
    assert refusal("Напиши стихи про осень сейчас", refuse_non_ascii=False) == "no_scorable_token"


def test_every_rule_is_a_parameter() -> None:
    assert refusal("Draw it", min_words=2, refused_words=["plot"]) is None
    assert refusal("Name three long rivers", max_words=3) == "too_long"
    assert refusal("Write a program that adds numbers", refused_prefixes=[]) is None
    assert refusal("Describe the image in words", refused_words=[]) is None


@pytest.mark.parametrize("word", ["C++", ".NET", "a.b"])
def test_a_refused_word_may_hold_any_characters(word: str) -> None:
    assert refusal(f"Tell me of {word} in short", refused_words=[word]) == "refused_word"
    assert refusal("Tell me of axb in short", refused_words=[word]) is None


@given(st.text(max_size=40), st.booleans())
@settings(max_examples=tries(200), deadline=None)
def test_whatever_the_piece_there_is_one_verdict(text: str, non_ascii: bool) -> None:
    for piece in split_numbered(text, capitalize=True):
        assert refusal(piece, refuse_non_ascii=non_ascii, min_words=1) in (None, *REASONS)


# --- instance completions


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("I cannot do that.", []),
        ("Output: Good morning!", [("", "Good morning!")]),
        ("City: Rome\nOutput: Italy", [("City: Rome", "Italy")]),
        (
            "Example 1\nCity: Rome\nOutput: Italy\n\nExample 2\nCity: Oslo\nOutput: Norway\n",
            [("City: Rome", "Italy"), ("City: Oslo", "Norway")],
        ),
        ("Example 1.\nOutput: a\nExample2\nOutput: b", [("", "a"), ("", "b")]),
        ("Example 1\nInput: 3\nOutput: 9", [("3", "9")]),
        ("Example 1\nInput 1: 3\nOutput 1: 9", [("3", "9")]),
        ("Example 1\nInput1 :3\nOutput1 : 9", [("3", "9")]),
        ("Example 1\nInput: 3\nOutput: 9\nInput: 4\nOutput: 16", [("3", "9")]),
        ("Example 1\nOutput: 9\nInput 2: 4", [("", "9")]),
        ("Example 1\nText: a\nInput: b\nOutput: c", [("Text: a\nInput: b", "c")]),
        ("Example 1\nCity: Rome\nOutput: first\nsecond", [("City: Rome", "first\nsecond")]),
        ("Example 1\nCity: Rome", [("City: Rome", None)]),
        ("Example 1\nCity: Rome\nOutput:", [("City: Rome", "")]),
        ("Example 1\n\nExample 2\nOutput: x", [("", "x")]),
        # A label of an input ends the output, so what follows cannot be mistaken for it.
        ("Input: 3\nOutput: 9\nInput: 4\nOutput: 16", [("3", "9")]),
        ("Example 1 City: Rome\nOutput: Italy", [("City: Rome", "Italy")]),
        ("Example 1: []\nOutput: 0\nExample 2: (3)\nOutput: 3", [("[]", "0"), ("(3)", "3")]),
        ("Example 1\nOutput: a\n\n### ", [("", "a")]),  # where `Example 6` was the stop
    ],
)
def test_input_first_completions_are_cut_into_pairs(
    text: str, pairs: list[tuple[str, str | None]]
) -> None:
    assert parse_input_first(text) == pairs


OPPOSITES = [("Word: hot", "cold"), ("Word: up", "down")]


@pytest.mark.parametrize(
    "heading",
    [
        "Example",
        "EXAMPLE",
        "Example:",
        "### Example",
        "**Example**",
        "Example {}",
        "Example {}:",
        "Example {}.",
        "Example {})",
        "Example{}",
        "Example #{}",
        "Example-{}",
        "Example\u00a0{}",
        "\u3000Example {}\u3000",
        "Example {}\r",
        "EXAMPLE {}",
        "example {}",
        "Example {} (easy)",
        "Example {} (easy):",
        "Example {} [with one word]",
        "**Example {}**",
        "**Example {}:**",
        "**Example {}**:",
        "**Example {} (easy)**",
        "__Example {}__",
        "### Example {}",
        "### **Example {}**",
        "# Example {} #",
        "- Example {}",
        "> Example {}",
        "[Example {}]",
        "(Example {})",
        '"Example {}"',
        "=== Example {} ===",
        "--- Example {} ---",
        "Example 1.{}",
    ],
)
def test_a_heading_of_an_example_is_known_whichever_way_it_is_written(heading: str) -> None:
    text = "\n".join(
        f"{heading.format(number)}\n{given}\nOutput: {output}\n"
        for number, (given, output) in enumerate(OPPOSITES, 1)
    )
    assert parse_input_first(text) == OPPOSITES


def test_a_number_may_be_a_letter_or_a_word() -> None:
    for first, second in (("A", "B"), ("One", "Two")):
        text = f"Example {first}\nWord: hot\nOutput: cold\nExample {second}\nWord: up\nOutput: down"
        assert parse_input_first(text) == OPPOSITES


@pytest.mark.parametrize(
    "line",
    [
        "Example 2 shows that it rains.",
        "Example 2 (above) is wrong.",
        "Example 1 and 2",
        "Example 1, as above",
        "Example 1-3 are alike",
        "Example 1.5 is no heading",
        "Example 12 pages",
        "Example: The cat sat.",
        "Example sentence: The cat sat.",
        "Example of a letter",
        "Examples:",
        "example",
        "- Example",
        "See Example 2",
        "For example:",
        "Counterexample 2",
    ],
)
def test_a_line_that_says_more_than_a_heading_is_text(line: str) -> None:
    for pair in ((f"Text: a\n{line}\nb", "c"), ("Text: a", f"b\n{line}\nc")):
        text = f"Example 1\n{pair[0]}\nOutput: {pair[1]}\nExample 2\nOutput: d"
        assert parse_input_first(text) == [pair, ("", "d")]


@pytest.mark.parametrize(
    "text",
    [
        "Output: one\nOutput: two",
        "Output:\nOutput: two",
        "Word: hot\nOutput: cold\nSample\nWord: up\nOutput: down",
        "Word: hot\nOutput: cold\n\nWord: up\nOutput: down",
        "Word: hot\n**Output:** cold\n\nWord: up\n**Output:** down",
    ],
)
def test_two_outputs_without_a_known_heading_between_them_are_refused_and_cost_no_other(
    text: str,
) -> None:
    for pairs in (parse_input_first(text), parse_input_first(f"Example 1\n{text}")):
        assert [reason for _, reason in judge(pairs, False)] == ["several_outputs"]
    pairs = parse_input_first(f"Example 1\nOutput: x\nExample 2\n{text}")
    assert [reason for _, reason in judge(pairs, False)] == [None, "several_outputs"]


@pytest.mark.parametrize("space", ["", " ", "\t", "\u00a0", "\u3000", "\u2003 ", "\r"])
def test_a_label_is_found_after_any_white_space(space: str) -> None:
    text = f"Example 1\n{space}Input: 3\n{space}Output: 9: three\n{space}Input: 4"
    assert parse_input_first(text) == [("3", "9: three")]


@pytest.mark.parametrize("label", ["**{}:**", "**{}**:", "*{}:*", "__{}__:", "### {}:", "- {}:"])
def test_a_label_in_markdown_is_a_label(label: str) -> None:
    text = f"Example 1\n{label.format('Input')} 3\n{label.format('Output')} 9"
    assert parse_input_first(text) == [("3", "9")]


@pytest.mark.parametrize(
    ("piece", "pair"),
    [
        ("City: Rome Output: Italy", ("City: Rome", "Italy")),
        ("City: Rome. Output 1 : Italy\nin Europe", ("City: Rome.", "Italy\nin Europe")),
        ("Input: 3 Output: 9", ("3", "9")),
        ("3 Output: 9 Input: 4", ("3", "9")),
        # Where a label begins a line, others are text.
        ("The Output: field\nOutput: a", ("The Output: field", "a")),
        ("Key: a\nOutput: The Input: field", ("Key: a", "The Input: field")),
    ],
)
def test_the_only_output_of_an_example_may_stand_within_a_line(
    piece: str, pair: tuple[str, str]
) -> None:
    assert parse_input_first(piece) == [pair]
    assert parse_input_first(f"Example 1\n{piece}") == [pair]


def test_of_several_outputs_within_lines_none_is_taken() -> None:
    piece = "hot Output: cold, up Output: down"
    assert parse_input_first(piece) == []
    for without_label in ("refuse", "take"):
        assert parse_input_first(f"Example 1\n{piece}", without_label) == [(piece, None)]


def test_an_example_without_output_may_be_taken_for_one() -> None:
    text = (
        "Example 1\nI walk\nto school.\nExample 2\nWord: up\nOutput: down\nExample 3\na\nInput: b"
    )
    assert parse_input_first(text, "refuse") == [
        ("I walk\nto school.", None),
        ("Word: up", "down"),
        ("a\nInput: b", None),
    ]
    assert parse_input_first(text, "take") == [
        ("", "I walk\nto school."),
        ("Word: up", "down"),
        ("", "a"),
    ]


def test_a_completion_with_neither_example_nor_output_is_never_taken() -> None:
    assert parse_input_first("I cannot do that.", "take") == []


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("hot\nDay: 35", []),
        ("Class label: true", [("", "true")]),
        ("Class label:\ntrue", [("", "true")]),
        ("Class label: hot\nDay: 35 °C", [("Day: 35 °C", "hot")]),
        ("Well.\nClass label: hot\nDay: 35", [("Day: 35", "hot")]),
        (
            "Class label: hot \nDay: 35\nPlace: Rome\n\nClass label: cold\nDay: 3\n",
            [("Day: 35\nPlace: Rome", "hot"), ("Day: 3", "cold")],
        ),
        ("Class label:", [("", "")]),
    ],
)
def test_output_first_completions_are_cut_into_pairs(
    text: str, pairs: list[tuple[str, str]]
) -> None:
    assert parse_output_first(text) == pairs


def verdicts(*pairs: tuple[str, str | None], cut: bool = False) -> list[str | None]:
    judged = judge(list(pairs), cut)
    assert [pair for pair, _ in judged] == list(pairs)
    return [reason for _, reason in judged]


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("in", "out"), None),
        (("", "out"), None),
        (("in", None), "no_output"),
        (("same", "same"), "input_is_output"),
        (("in", ""), "empty_output"),
        (("in:", "out"), "ends_in_colon"),
        (("in", "out:"), "ends_in_colon"),
        (("Field: in", "a: b"), None),
    ],
)
def test_a_pair_is_refused_for_its_reason(pair: tuple[str, str | None], reason: str | None) -> None:
    assert verdicts(pair) == [reason]


def test_an_empty_pair_is_refused() -> None:
    assert verdicts(("", ""))[0] in ("input_is_output", "empty_output")


def test_the_last_pair_of_a_completion_that_was_cut_goes() -> None:
    assert verdicts(("a", "1"), ("b", "2"), cut=True) == [None, "cut_at_length"]
    assert verdicts(("a", "1"), ("b", None), cut=True) == [None, "cut_at_length"]
    assert verdicts(cut=True) == []


def test_two_outputs_for_one_input_cost_all_pairs() -> None:
    found = verdicts(("a", "1"), ("b", "2"), ("a", "3"))
    assert found == ["conflicting_outputs"] * 3


def test_pairs_keep_their_own_fault_in_a_conflict() -> None:
    found = verdicts(("a", "1"), ("b", ""), ("a", "3"))
    assert found == ["conflicting_outputs", "empty_output", "conflicting_outputs"]


def test_many_outputs_without_input_are_no_conflict() -> None:
    assert verdicts(("", "1"), ("", "2")) == [None, None]


def test_pairs_that_were_refused_conflict_with_nothing() -> None:
    assert verdicts(("a", "1"), ("a", ""), ("a", "a")) == [None, "empty_output", "input_is_output"]
    assert verdicts(("a", "1"), ("a", "2"), cut=True) == [None, "cut_at_length"]


def test_exact_duplicates_go_and_the_first_stays() -> None:
    assert verdicts(("a", "1"), ("b", "2"), ("a", "1")) == [None, None, "duplicate"]
    assert verdicts(("", "1"), ("", "1")) == [None, "duplicate"]


@given(
    st.lists(
        st.sampled_from(
            ["Example 1", "Example", "**", "Output:", "Input 2:", "a", "b:", "\n", "Class label:"]
        )
    ),
    st.booleans(),
)
@settings(max_examples=tries(200), deadline=None)
def test_whatever_the_completion_each_pair_has_one_verdict(parts: list[str], cut: bool) -> None:
    for parse in (parse_input_first, parse_output_first):
        pairs = parse(" ".join(parts))
        found = verdicts(*pairs, cut=cut)
        assert all(reason in (None, *instances.REASONS) for reason in found)
        assert all(
            output and given != output and not (given + "\n" + output).endswith(":")
            for (given, output), reason in zip(pairs, found, strict=True)
            if reason is None
        )


# --- finetuning

WITH_INPUT = {
    ("I\nInput: X\nOutput:", " O"),
    ("I\n\nInput: X\n\nOutput:", " O"),
    ("Task: I\nInput: X\nOutput:", " O"),
    ("I\n\nX\n\nOutput:", " O"),
    ("I\n\nX\n\n", "O"),
    ("I\nX\n\n", "O"),
    ("Task: I\n\nX\n\n", "O"),
}
WITHOUT_INPUT = {
    ("I Output:", " O"),
    ("I\nOutput:", " O"),
    ("I\n\nOutput:", " O"),
    ("I\n", "O"),
    ("I\n\n", "O"),
    ("Task: I\n\n", "O"),
}
DRAWS = 2800


def drawn(given: str) -> Counter[tuple[str, str]]:
    return Counter(encode(" I ", given, " O\n", random.Random(n)) for n in range(DRAWS))


@pytest.mark.parametrize(("given_", "shapes"), [(" X\n", WITH_INPUT), (" ", WITHOUT_INPUT)])
def test_each_shape_and_no_other_is_drawn_equally_often(
    given_: str, shapes: set[tuple[str, str]]
) -> None:
    found = drawn(given_)
    assert set(found) == shapes
    expected = DRAWS / len(shapes)
    # Chi-squared, 6 degrees of freedom at most: above 30 once in 25,000.
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 30


def test_the_field_name_is_cut_half_of_the_time() -> None:
    found = drawn("Sentence: It rains.")
    whole = sum(count for (prompt, _), count in found.items() if "Sentence:" in prompt)
    assert sum(found.values()) == DRAWS
    assert abs(whole - DRAWS / 2) < 130  # five standard deviations


def test_shape_and_field_name_are_drawn_apart() -> None:
    assert len(drawn("Sentence: It rains.")) == 2 * len(WITH_INPUT)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Sentence: It rains.", "It rains."),
        ("It rains.", "It rains."),
        ("From: Ann To: Ben", "From: Ann To: Ben"),
        ("A: one\nA: two", "one\nA: two"),
        ("Text: a\n\nb", "a\nb"),
        ("a\n\nb", "a\nb"),
        ("", ""),
    ],
)
def test_just_one_field_name_is_cut_and_double_newlines_become_one(text: str, cut: str) -> None:
    assert drop_field_name(text) == cut


@pytest.mark.parametrize("text", ["{output}", "{", "{0} {instruction}", "%s"])
def test_braces_in_an_instance_are_harmless(text: str) -> None:
    prompt, completion = encode(text, text, text, random.Random(0))
    assert prompt.count(text) == 2
    assert completion.strip() == text


def test_a_conversation_has_one_turn() -> None:
    assert chat("Add.", "1, 2", "3") == [
        {"role": "user", "content": "Add.\n\n1, 2"},
        {"role": "assistant", "content": "3"},
    ]
    assert chat("Greet.", "", "Hi!")[0] == {"role": "user", "content": "Greet."}


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("Example 1:\nWord: hi\nOutput: x", [("Word: hi", "x")]),
        ("Text: Desired Output: 4 MB\nOutput: yes", [("Text: Desired Output: 4 MB", "yes")]),
        ("Output: print(input('Input: '))", [("", "print(input('Input: '))")]),
        ("Output: See Example 3 of the book.", [("", "See Example 3 of the book.")]),
    ],
)
def test_labels_count_only_where_a_line_begins(text: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_input_first(text) == pairs


@pytest.mark.parametrize(
    "text",
    [
        "Meet me at 10:30.",
        "See https://example.org/a for more.",
        "The ratio is 3:2 in favour.",
        "Open from 9 to 5, on Sunday closed. Visitor: May I come on Sunday?",
    ],
)
def test_a_colon_within_a_text_is_no_field_name(text: str) -> None:
    assert drop_field_name(text) == text


def test_a_number_is_cut_off_with_or_without_a_space_but_not_a_decimal() -> None:
    text = " Name a river.\n10.Tell a joke.\n11) Sing a song.\n3.5 litres are enough."
    found = split_numbered(text, capitalize=False)
    assert found == ["Name a river.", "Tell a joke.", "Sing a song. 3.5 litres are enough."]
