"""SuperNI's scores for lm-evaluation-harness: a file of its own, which needs rouge-score alone."""

import string
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

SCORER = RougeScorer(["rougeL"], use_stemmer=True)
PUNCTUATION = str.maketrans("", "", string.punctuation)


def plain(text: str) -> str:
    """Lower-cased, without punctuation, each run of white space one space."""
    return " ".join(text.lower().translate(PUNCTUATION).split())


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """The scores of an answer, 0 to 100, with the reference that it does best with."""
    answer = results[0].strip()
    if doc["cut_at"]:
        answer = answer.partition(doc["cut_at"])[0].rstrip()
    return {
        "rouge_l": 100 * max(SCORER.score(t, answer)["rougeL"].fmeasure for t in doc["targets"]),
        "exact_match": 100.0 * any(plain(answer) == plain(t) for t in doc["targets"]),
    }
