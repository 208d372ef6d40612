"""What people's ratings come to: shares with intervals, agreement, and which scores foretell them.

Intervals and agreement are SciPy's and NLTK's, both of which the environment has anyway.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from nltk.metrics.agreement import AnnotationTask
from scipy.stats import binomtest

from seedbed.backtranslation import agreement
from seedbed.backtranslation.params import Ratings
from seedbed.tasks.ratings import MARKS, OF_A_ROW, OF_AN_ANSWER, About, Opinions

# Of 200 instructions of the paper with an instance each (arXiv 2212.10560, data quality).
PAPER = {"valid": 0.92, "input": 0.79, "output": 0.58, "all": 0.54}
GROUPS = ("all", "classification", "generation")


@dataclass(frozen=True)
class Known:
    """A row, what people say of it, and what is known of it besides.

    said: question → what most say; `all` if every question is answered. scores: name → value.
    group: classification or generation; None of what no stage asked about.
    """

    about: About
    said: Mapping[str, bool]
    group: str | None
    scores: Mapping[str, float]


def interval(part: int, whole: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share (Wilson 1927). whole: one or more."""
    found = binomtest(part, whole).proportion_ci(method="wilson")
    return round(float(found.low), 6), round(float(found.high), 6)


def shares(rows: Sequence[Known]) -> list[dict[str, Any]]:
    """Of each question, and each kind of task, the share of rows that it holds of."""
    found = []
    for question in PAPER:
        for group in GROUPS:
            said = [
                row.said[question]
                for row in rows
                if question in row.said and group in ("all", row.group)
            ]
            if not said:
                continue
            low, high = interval(sum(said), len(said))
            found.append(
                {
                    "name": question,
                    "group": group,
                    "rows": len(said),
                    "yes": sum(said),
                    "share": round(sum(said) / len(said), 6),
                    "low": low,
                    "high": high,
                    "paper": PAPER[question] if group == "all" else None,
                }
            )
    return found


def of_answers(people: Mapping[str, Opinions]) -> list[dict[str, Any]]:
    """Of each model how its answers were rated; each person's rating counts by itself."""
    marks: dict[str, Counter[str]] = {}
    for of_one in people.values():
        for about, answers in of_one.items():
            if about.model is not None and OF_AN_ANSWER in answers:
                marks.setdefault(about.model, Counter())[answers[OF_AN_ANSWER]] += 1
    found = []
    for model, count in sorted(marks.items()):
        good, all_ = count["A"] + count["B"], count.total()
        low, high = interval(good, all_)
        row = {"name": model, "ratings": all_, **{mark: count[mark] for mark in MARKS}}
        found.append({**row, "a_or_b": round(good / all_, 6), "low": low, "high": high})
    return found


def agreements(people: Mapping[str, Opinions], counted: set[About]) -> list[dict[str, Any]]:
    """How far people agree: Krippendorff's alpha of all, Cohen's kappa of each two.

    counted: the rows that count; of answers all do. Of one label alone there is neither, since
        chance would agree as well: then the number is null.
    """
    found = []
    for question in (*OF_A_ROW, OF_AN_ANSWER):
        said = {
            name: {
                about: answers[question]
                for about, answers in of_one.items()
                if question in answers and (about.model is not None or about in counted)
            }
            for name, of_one in people.items()
        }
        said = {name: answers for name, answers in said.items() if answers}
        several = {
            about for one, other in combinations(said.values(), 2) for about in {*one} & {*other}
        }
        if not several:
            continue
        task = _task(said, several)
        alpha = round(float(task.alpha()), 6) if len(task.K) > 1 else None
        found.append(_agreement(question, "everybody", len(several), None, alpha))
        for first, second in combinations(sorted(said), 2):
            both = {*said[first]} & {*said[second]}
            if not both:
                continue
            pair = _task({name: said[name] for name in (first, second)}, both)
            equal = sum(said[first][about] == said[second][about] for about in both)
            kappa = round(float(pair.kappa()), 6) if len(pair.K) > 1 else None
            who = f"{first} and {second}"
            found.append(_agreement(question, who, len(both), equal / len(both), kappa))
    return found


def _agreement(
    question: str, who: str, rated: int, equal: float | None, value: float | None
) -> dict[str, Any]:
    return {
        "name": question,
        "who": who,
        "rated": rated,
        "same": None if equal is None else round(equal, 6),
        "measure": "alpha" if equal is None else "kappa",
        "value": value,
    }


def _task(said: Mapping[str, Mapping[About, str]], of: set[About]) -> AnnotationTask:
    return AnnotationTask(
        [
            (name, "\n".join(map(str, about)), answers[about])
            for name, answers in sorted(said.items())
            for about in sorted(of & {*answers}, key=str)
        ]
    )


def foretelling(rows: Sequence[Known], params: Ratings) -> list[dict[str, Any]]:
    """How likely a row that people find right has the higher score, for each score and question.

    0.5 is chance; below, a lower score speaks for the row. null where all are right, or none.
    """
    found = []
    for name in ("judge", "ifd", "similarity"):
        for question in PAPER:
            pairs = [
                (row.scores[name], row.said[question])
                for row in rows
                if name in row.scores and question in row.said
            ]
            if not pairs:
                continue
            scores, good = zip(*pairs, strict=True)
            auc = agreement.auc(scores, good)
            ends = agreement.interval(scores, good, params.resamples, params.seed)
            found.append(
                {
                    "name": name,
                    "question": question,
                    "rows": len(pairs),
                    "good": sum(good),
                    "auc": None if auc is None else round(auc, 6),
                    "low": None if ends is None else round(ends[0], 6),
                    "high": None if ends is None else round(ends[1], 6),
                }
            )
    return found


def thresholds(rows: Sequence[Known]) -> list[agreement.Point]:
    """What the rows come to that the judge keeps from a score on; good is a right output."""
    pairs = [
        (row.scores["judge"], row.said["output"])
        for row in rows
        if "judge" in row.scores and "output" in row.said
    ]
    return agreement.by_threshold([score for score, _ in pairs], [good for _, good in pairs])
