"""Which server is handed what: all of it once, in order, and what begins alike together."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from support.tries import tries

from seedbed.llm.send.todo import Todo, common


def todo(servers: int, *stretches: list[str]) -> Todo[str]:
    made: Todo[str] = Todo(servers, lambda item: item)
    for stretch in stretches:
        made.add(stretch)
    return made


def taken(todo: Todo[str], servers: list[int]) -> list[list[str]]:
    """What each server gets if they ask in that order, over and over."""
    got: list[list[str]] = [[] for _ in range(max(servers) + 1)]
    while todo:
        for server in servers:
            item = todo.take(server)
            if item is not None:
                got[server].append(item)
    return got


STRETCHES = st.lists(st.lists(st.text("ab", max_size=6)), max_size=5)


@settings(max_examples=tries(200), deadline=None)
@given(stretches=STRETCHES)
def test_one_server_gets_everything_in_the_order_in_which_it_came(
    stretches: list[list[str]],
) -> None:
    (got,) = taken(todo(1, *stretches), [0])
    assert got == [item for stretch in stretches for item in stretch]


@settings(max_examples=tries(200), deadline=None)
@given(stretches=STRETCHES, order=st.permutations(range(4)), failing=st.integers(0, 3))
def test_several_get_everything_once_whoever_fails(
    stretches: list[list[str]], order: list[int], failing: int
) -> None:
    mine = todo(4, *stretches)
    seen, failed = [], 0
    while mine:
        before = len(mine)
        for server in order:
            item = mine.take(server)
            if item is None:
                continue
            if server == failing and failed < 5:
                failed += 1
                mine.again(server, item)
                mine.leave(server)
            else:
                seen.append(item)
        assert len(mine) <= before
    assert sorted(seen) == sorted(item for stretch in stretches for item in stretch)


@settings(max_examples=tries(200), deadline=None)
@given(st.text("ab"), st.text("ab"))
def test_what_two_have_in_common_is_what_they_begin_with(one: str, other: str) -> None:
    shared = common(one, other)
    assert one[:shared] == other[:shared]
    assert one[shared : shared + 1] != other[shared : shared + 1] or one == other


def test_no_group_is_cut_where_there_are_groups_enough() -> None:
    groups = [f"task {group}: " + "examples " * 30 for group in "abcdefgh"]
    prompts = [f"{group}{n}" for group in groups for n in range(8)]
    for got in taken(todo(2, prompts), [0, 1]):
        assert got == sorted(got)
        begun = [prompt[:8] for prompt in got]
        # Of each group all eight, one after another, but for the last that is shared.
        assert sum(a != b for a, b in pairwise(begun)) <= 5
    for got in taken(todo(4, prompts), [0, 1, 2, 3]):
        assert 12 <= len(got) <= 20


def test_a_server_begins_with_what_it_was_asked_before() -> None:
    mine = todo(2, ["a 1", "b 1"])
    assert (mine.take(0), mine.take(1)) == ("a 1", "b 1")
    mine.add(["a 2", "a 3"])
    mine.add(["b 2", "b 3"])
    assert (mine.take(1), mine.take(0)) == ("b 2", "a 2")


def test_what_failed_goes_to_another_first_and_to_the_same_only_in_the_end() -> None:
    mine = todo(2, ["a", "b", "c"])
    failed = mine.take(0)
    assert failed == "a"
    mine.again(0, failed)
    assert mine.take(1) == "a"
    mine.again(1, "a")
    assert [mine.take(1), mine.take(1), mine.take(1)] == ["c", "b", "a"]
    assert mine.take(1) is None


def test_what_is_cleared_is_all_that_was_left() -> None:
    mine = todo(2, ["a", "b", "c", "d"], ["e"])
    mine.again(0, str(mine.take(0)))
    mine.take(0)
    assert sorted(mine.clear()) == ["a", "c", "d", "e"]
    assert not mine
