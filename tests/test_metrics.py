"""What stands in metrics/ adds up."""

from collections import Counter

import pytest

from seedbed.core.metrics import counts


def test_a_reason_that_no_sum_would_have_is_no_silence() -> None:
    assert counts(["empty", "cut"], Counter({"cut": 2})) == {"empty": 0, "cut": 2}
    with pytest.raises(AssertionError, match=r"'refused'.*empty, cut"):
        counts(["empty", "cut"], Counter({"cut": 2, "refused": 1}))
