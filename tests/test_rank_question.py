"""The ranker's question: what stands in it whatever an input holds, and what is cut."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ranking import TEMPLATE
from support.tries import tries

from seedbed.ranker.question import Question, shortened, tokens_of


def count(texts: Sequence[str]) -> list[int]:
    """A token for every four bytes that are begun."""
    return [-(-len(text.encode()) // 4) for text in texts]


def test_braces_in_an_input_or_a_candidate_stay() -> None:
    question = Question(TEMPLATE)
    asked = question.ask("{{instruction}} and {{input}}", "Fill {{input}} in")
    assert asked == (
        "Input: {{instruction}} and {{input}}\n\nInstruction: Fill {{input}} in\n\nDoes it suit?"
    )


@given(st.lists(st.text(max_size=80), max_size=6), st.integers(1, 30), st.text(min_size=1))
@settings(max_examples=tries(80), deadline=None)
def test_an_input_over_the_limit_is_cut_and_candidate_and_question_survive(
    inputs: list[str], most: int, candidate: str
) -> None:
    cut = shortened(inputs, most, count)
    for given_, kept in zip(inputs, cut, strict=True):
        assert given_.startswith(kept)
        if count([given_])[0] <= most:
            assert kept == given_
        else:
            assert count([kept])[0] <= most
            assert len(kept) < len(given_)
            # As much as there is room for, but for white space at its end.
            longer = given_[: len(kept) + 1]
            assert count([longer])[0] > most or not given_[len(kept)].strip() or len(kept) <= 1
        asked = Question(TEMPLATE).ask(kept, candidate)
        assert candidate.strip() in asked
        assert asked.endswith("\n\nDoes it suit?")


def test_only_what_can_be_too_long_is_counted() -> None:
    asked: list[str] = []

    def counting(texts: Sequence[str]) -> list[int]:
        asked.extend(texts)
        return count(texts)

    assert shortened(["short", "x" * 8], 8, counting) == ["short", "x" * 8]
    assert asked == []
    assert shortened(["short", "x" * 80], 8, counting) == ["short", "x" * 32]
    assert "short" not in asked


def test_where_nobody_counts_four_tokens_stand_for_three_words() -> None:
    assert tokens_of(["a b c", "a b c d", ""], lambda texts: None) == [4, 6, 0]
