"""Results of all examples → means with intervals, tables, points of pictures, and lines to read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seedbed.core.metrics import mean, share
from seedbed.ranker.listwise import Floats
from seedbed.ranker.params import RankEvaluate
from seedbed.ranker.resampling import Means, examples_needed, means, sign_flip
from seedbed.ranker.rows import Result

# A gain that would be worth having: two hundredths of ROUGE-L.
WORTH = 0.02
# What counts as equal to the best.
TIED = 1e-9
GROUPS = ("all", "unseen", "seen")
NOTHING = "every example was trained on: nothing to compare"


def metrics(results: Sequence[Result], params: RankEvaluate) -> dict[str, Any]:
    """The stage's metrics: of the examples that the weights had not seen, and tables.

    Means are over tasks, each counting the same; scores are from 0 to 1.
    """
    fair = [row for row in results if row.seen != "trained"]
    tables = {
        group: _methods([row for row in fair if group in ("all", row.seen)], params)
        for group in GROUPS
    }
    every = tables["all"]
    flat: dict[str, Any] = {
        f"rank_rouge_{name}": every[name]["rouge"]
        for name in ("random", "seed", "selected", "oracle")
        if name in every
    }
    return {
        **flat,
        **(_gains(every) if every else {}),
        "rank_examples": len(fair),
        "comparison": {
            "examples_trained_on": len(results) - len(fair),
            **(_comparison(fair, params, every) if every else {}),
        },
        "method": [
            {"group": group, "name": name, **row}
            for group, rows in tables.items()
            for name, row in rows.items()
        ],
        "task": {
            task: {
                "seen": own[0].seen,
                "examples": len(own),
                **{name: _mean_of(own, name) for name in params.methods},
            }
            for task in sorted({row.task for row in fair})
            for own in [[row for row in fair if row.task == task]]
        },
    }


def _gains(every: Mapping[str, Any]) -> dict[str, Any]:
    selected, seed = every["selected"], every.get("seed", _nothing())
    room = every["oracle"]["rouge"] - every["random"]["rouge"]
    found = {
        "rank_gain": selected["minus_random"],
        "rank_gain_low": selected["minus_random_low"],
        "rank_gain_high": selected["minus_random_high"],
        "rank_gain_on_seed": seed["selected_minus"],
        "rank_headroom_share": share_of(selected["minus_random"], room),
    }
    return {name: value for name, value in found.items() if value is not None}


def _comparison(
    fair: Sequence[Result], params: RankEvaluate, every: Mapping[str, Any]
) -> dict[str, Any]:
    """What else is known of the ranker's choice; means are over examples."""
    tasks = np.array([row.task for row in fair])
    columns = {name: _column(fair, name) for name in ("selected", "random", "oracle")}
    gain = columns["selected"] - columns["random"]
    best = columns["oracle"] - columns["selected"]
    rankable = [row for row in fair if row.rouge["oracle"] != row.rouge["worst"]]
    seed = every.get("seed", _nothing())
    found = {
        "gain_on_seed_low": seed["selected_minus_low"],
        "gain_on_seed_high": seed["selected_minus_high"],
        "sign_p": round(sign_flip(gain, tasks, params.seed, "selected"), 6),
        "hit_share": share(int(np.count_nonzero(best <= TIED)), len(fair)),
        "tau": mean([row.tau for row in rankable if row.tau is not None]),
        "rankable_examples": len(rankable),
        "examples_for_a_gain_of_two_hundredths": examples_needed(gain, tasks, WORTH),
    }
    return {name: value for name, value in found.items() if value is not None}


def share_of(part: float, whole: float) -> float:
    """A difference as a share of another; 0 of none."""
    return round(part / whole, 6) + 0.0 if whole else 0.0


def _methods(rows: Sequence[Result], params: RankEvaluate) -> dict[str, dict[str, Any]]:
    """What each method gives on rows, and its difference to two others, paired by example.

    A method that has no choice for some examples is measured on the others alone: `examples`.
    """
    if not rows:
        return {}
    table: dict[str, dict[str, Any]] = {}
    closed = np.array([row.is_classification for row in rows])
    for name in params.methods:
        rouge = _column(rows, name)
        exact = _column(rows, name, "exact")
        # Exact match for what has a closed set of answers, ROUGE-L for what is written.
        kind = np.where(closed, exact, rouge)
        known = ~np.isnan(rouge)
        if not known.any():
            table[name] = _nothing()
            continue
        tasks = np.array([row.task for row in rows])[known]
        columns = np.stack(
            [
                rouge,
                exact,
                kind,
                rouge - _column(rows, "random"),
                _column(rows, "selected") - rouge,
            ],
            axis=1,
        )[known]
        found = means(columns, tasks, params.resamples, params.seed)
        table[name] = {
            "examples": int(known.sum()),
            **_ends("rouge", found, 0),
            "exact": _cell(found.mean[1]),
            "by_kind": _cell(found.mean[2]),
            **_ends("minus_random", found, 3),
            **_ends("selected_minus", found, 4),
        }
    return table


def _nothing() -> dict[str, Any]:
    row: dict[str, Any] = {"examples": 0, "exact": None, "by_kind": None}
    for name in ("rouge", "minus_random", "selected_minus"):
        row |= {name: None, f"{name}_low": None, f"{name}_high": None}
    return row


def _ends(name: str, found: Means, column: int) -> dict[str, float | None]:
    low, high = found.low, found.high
    return {
        name: _cell(found.mean[column]),
        f"{name}_low": None if low is None else _cell(low[column]),
        f"{name}_high": None if high is None else _cell(high[column]),
    }


def _column(rows: Sequence[Result], method: str, of: str = "rouge") -> Floats:
    values = [getattr(row, of).get(method) for row in rows]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _mean_of(rows: Sequence[Result], method: str) -> float | None:
    values = [value for row in rows if (value := row.rouge.get(method)) is not None]
    return mean(values) if values else None


def _cell(value: float) -> float:
    return round(float(value), 6) + 0.0


# --- pictures


def drawn_methods(counted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points for the `intervals` plot template: each method's mean, worst first."""
    rows = [row for row in counted["method"] if row["group"] == "all" and row["rouge"] is not None]
    return [
        {
            "method": row["name"],
            "rouge": row["rouge"],
            "low": row["rouge"] if row["rouge_low"] is None else row["rouge_low"],
            "high": row["rouge"] if row["rouge_high"] is None else row["rouge_high"],
        }
        for row in sorted(rows, key=lambda row: (row["rouge"], row["name"]))
    ]


def positions(results: Sequence[Result], params: RankEvaluate) -> list[dict[str, Any]]:
    """Points for the `curve` plot template: the mean ROUGE-L of the 1st, 2nd, … choice.

    Falls if the ranker ranks; the line of a random order is flat.
    """
    fair = [row for row in results if row.seen != "trained"]
    points = []
    tasks = np.array([row.task for row in fair])
    for place in range(min((len(row.order) for row in fair), default=0)):
        values = np.array([[row.order[place]] for row in fair])
        points.append(("ranker", place + 1, means(values, tasks, params.resamples, params.seed)))
    random = _column(fair, "random")[:, np.newaxis]
    if points:
        flat = means(random, tasks, params.resamples, params.seed)
        points += [("random", place, flat) for place in (1, len(points))]
    return [
        {
            "position": place,
            "rouge": _cell(found.mean[0]),
            "low": _cell(found.mean[0] if found.low is None else found.low[0]),
            "high": _cell(found.mean[0] if found.high is None else found.high[0]),
            "source": source,
        }
        for source, place, found in points
    ]


def popularity(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Points for the `beside` plot template: how often each candidate is chosen, and is best.

    What ties for the best counts in equal parts.
    """
    fair = [row for row in results if row.seen != "trained"]
    chosen = Counter(row.chosen.get("selected") for row in fair)
    best: dict[int, float] = {}
    for row in fair:
        for place in row.best:
            best[place] = best.get(place, 0.0) + 1 / len(row.best)
    longest = max((len(row.order) for row in fair), default=0)
    return [
        {"candidate": place, "of": of, "share": share_of(counted.get(place, 0), len(fair))}
        for of, counted in (("chosen", chosen), ("best", best))
        for place in range(longest)
    ]


# --- lines


def lines(counted: Mapping[str, Any]) -> list[str]:
    """What the stage says at its end."""
    rows = [row for row in counted["method"] if row["group"] == "all"]
    if not rows:
        return [NOTHING]
    most = max(row["examples"] for row in rows)
    told = ["way to choose     ROUGE-L           95 %  exact  gain on random            95 %"]
    for row in rows:
        fewer = "" if row["examples"] == most else f"  (of {row['examples']} examples)"
        if row["rouge"] is None:
            told.append(f"{row['name']:17} not to be had here")
            continue
        exact = f"{row['exact']:5.3f}"
        told.append(
            f"{row['name']:17} {row['rouge']:7.3f} {_range(row, 'rouge'):>14} {exact}"
            f"          {row['minus_random']:+.3f}  {_range(row, 'minus_random', '+'):>14}"
            f"{fewer}"
        )
    return [*told, verdict(counted)]


def _range(row: Mapping[str, Any], name: str, sign: str = "") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if low is None else f"{low:{sign}.3f} to {high:{sign}.3f}"


def verdict(counted: Mapping[str, Any]) -> str:
    """What the examples show of the ranker, or that they show nothing."""
    examples = counted["rank_examples"]
    if not examples:
        return NOTHING
    tasks = len(counted["task"])
    of = f"{examples} examples of {tasks} task{'s' if tasks > 1 else ''}"
    low, high = counted.get("rank_gain_low"), counted.get("rank_gain_high")
    gain = f"selected − random is {counted['rank_gain']:+.3f}"
    if low is None or high is None:
        return f"{of} show nothing: {gain}, without an interval"
    gain += f" ({low:+.3f} to {high:+.3f})"
    # To choose the task's own each time is a gain on random, and takes no ranker.
    own, more = "", counted["comparison"]
    if "gain_on_seed_low" in more:
        own = (
            f"; selected − seed is {counted['rank_gain_on_seed']:+.3f} "
            f"({more['gain_on_seed_low']:+.3f} to {more['gain_on_seed_high']:+.3f})"
        )
    needed = more.get("examples_for_a_gain_of_two_hundredths")
    takes = "" if needed is None else f"; to show a gain of {WORTH} takes about {needed:,} of them"
    if low > 0:
        return f"of {of}, {gain}: a gain on these tasks, which is no evidence about others{own}"
    if high < 0:
        return f"of {of}, {gain}: a loss on these tasks{own}"
    return f"{of} show no gain: {gain} includes 0{takes}{own}"
