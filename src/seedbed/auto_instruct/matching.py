"""Is an output right? The 0/1 labels of Auto-Instruct (arXiv 2310.13127)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

Metric = Literal[
    "exact_match", "normalized_exact_match", "prefix_match", "normalized_prefix_match", "rouge"
]
# From this ROUGE-L F1 on an output counts as right, where the metric is `rouge`.
GOOD = 0.5

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def is_right(metric: Metric, output: str, targets: Iterable[str], rouge: float) -> bool:
    """The 0/1 label of an output: does it match one of the targets?

    Both are stripped and lower-cased, and a final full stop is dropped; `normalized_…` also drops
    articles and folds white space. A `…prefix_match` wants the output to begin with the target.
    What is empty then, on either side, never matches.

    Args:
        rouge: the output's best ROUGE-L F1.
    """
    if metric == "rouge":
        return rouge >= GOOD
    plain = _normalized if metric.startswith("normalized") else _plain
    given = plain(output)
    if metric.endswith("prefix_match"):
        return any(target and given.startswith(target) for target in map(plain, targets))
    return bool(given) and any(given == target for target in map(plain, targets))


@lru_cache(maxsize=4096)  # an example's targets are met once for each candidate
def _plain(text: str) -> str:
    return text.strip().lower().removesuffix(".").rstrip()


@lru_cache(maxsize=4096)
def _normalized(text: str) -> str:
    return " ".join(_ARTICLE.sub(" ", _plain(text)).split())
