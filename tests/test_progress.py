"""The line that a person sees while a stage runs."""

import pytest

from seedbed.core.progress import Progress, Tally


def shown(progress: Progress) -> str:
    return progress._bar.postfix or ""


def test_tokens_and_cost_so_far_and_expected_are_shown() -> None:
    with Progress("clf", 10, "rows") as progress:
        progress.answered_row(Tally(sent=1, prompt_tokens=90, completion_tokens=10, cost=0.5))
        assert "tokens=90 in 10 out (of ~1000)" in shown(progress)
        assert "cost=$0.5000 (of ~$5.0000)" in shown(progress)


def test_what_was_reused_is_not_expected_to_have_cost_anything() -> None:
    with Progress("clf", 10, "rows") as progress:
        progress.answered_row(Tally(reused=5))
        assert "of ~" not in shown(progress)
        progress.answered_row(Tally(sent=1, reused=5, prompt_tokens=90, completion_tokens=10))
        # Five were free, one took 100, four are to come.
        assert "(of ~500)" in shown(progress)


def test_what_is_free_shows_no_cost() -> None:
    with Progress("clf", 10, "rows") as progress:
        progress.answered_row(Tally(sent=1, prompt_tokens=9))
        assert "cost" not in shown(progress)


def test_each_answer_is_a_row_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("clf", 3, "rows") as progress:
        tally = Tally()
        for _ in range(3):
            tally.sent += 1
            progress.answered_row(tally)
            progress.answered_row(tally)  # a note changed, say
        assert progress._bar.n == 3
    progress.finish(3)
    assert "clf · 3 rows · 3 sent · 0 reused" in capsys.readouterr().out
