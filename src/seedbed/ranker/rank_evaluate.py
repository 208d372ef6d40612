"""rank-evaluate: selections and labels → what choosing is worth, beside other ways to choose.

On the labels that exist, an example is worth what its chosen instruction made of it: ROUGE-L, and
whether the output is one of the references. `random` is the exact mean over the candidates,
`oracle` and `worst` are the best and the worst of each example, `best_seen` is the task's candidate
that did best on the other examples that were trained on; `seedbed.ranker.ways` has the ways that
ask the model.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.core import draws
from seedbed.core.files import exists, read_rows, to_json, to_line, write_files
from seedbed.core.metrics import counts, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.errors import BadFile, BadRow
from seedbed.llm.contract.wire import PROBLEMS, Ask
from seedbed.llm.params import Llm
from seedbed.ranker import ways
from seedbed.ranker.errors import NoLabelsForSelections
from seedbed.ranker.listwise import kendall
from seedbed.ranker.params import Label, Niv2, RankEvaluate
from seedbed.ranker.ranker_file import Ranker, load_ranker
from seedbed.ranker.rows import (
    CANDIDATES,
    DEMOS_SCORED,
    LABELLED,
    RANKER,
    RESULTS,
    SELECTED,
    DemosScored,
    Labelled,
    Result,
    Selection,
    read_candidates,
    read_labelled,
)
from seedbed.ranker.summary import drawn_methods, lines, metrics, popularity, positions
from seedbed.ranker.ties import best
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import list_tasks, the_task
from seedbed.tasks.scoring import best_rouge_l
from seedbed.tasks.superni import exact_match


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    niv2: Niv2
    label: Label
    rank_evaluate: RankEvaluate


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    ranker: Path = RANKER
    selected: Path = SELECTED
    candidates: Path = CANDIDATES
    labelled: Path = LABELLED


@dataclass(frozen=True)
class Trial:
    """A task's examples that were both selected for and labelled.

    pairs: each with its labels. seen: the labels of the examples that the ranker was trained on.
    demos: how likely each candidate makes the demos' outputs; empty if that was not scored.
    """

    case: ways.Case
    pairs: list[tuple[Selection, Labelled]]
    seen: list[Labelled]
    demos: list[float]


def read_selections(folder: Path) -> dict[str, list[Selection]]:
    """The selections by task. Raises BadFile, BadRow: there is none, or one is broken."""
    if not exists(folder):
        remedy = "Run `dvc repro pipelines/ranker/dvc.yaml:rank-select`."
        raise BadFile(folder, "no such folder", remedy)
    paths = [path for path in sorted(folder.glob("*.jsonl")) if path.name != DEMOS_SCORED]
    return {path.stem: list(read_rows(path, Selection)) for path in paths}


def read_trials(params: Params, inputs: Inputs, ranker: Ranker) -> tuple[list[Trial], int]:
    """What there is to compare, and how many selections have no labels.

    Raises:
        BadFile, BadRow, NoSuchTask, SameTaskName: of a file, or a task is gone.
        NoLabelsForSelections
    """
    selected = read_selections(inputs.selected)
    folder = Path(params.niv2.folder)
    there = list_tasks(folder)
    likely: dict[str, dict[int, float]] = {}
    path = inputs.selected / DEMOS_SCORED
    if path.exists() and path.stat().st_size:
        for row in read_rows(path, DemosScored):
            likely.setdefault(row.task, {})[row.index] = row.score
    trials, missing = [], 0
    for name, rows in selected.items():
        candidates = read_candidates(name, inputs.candidates)
        labels: dict[tuple[str, str], Labelled] = {}
        labelled = inputs.labelled / f"{name}.jsonl"
        if labelled.exists():
            labels = {(row.id, row.input): row for row in read_labelled(labelled, candidates)}
        _check_selections(inputs.selected / f"{name}.jsonl", rows, candidates)
        found = [(row, labels.get((row.id, row.input))) for row in rows]
        # Where label drew some of the candidates, the best of all is not known, nor the mean; and
        # that the chosen one was drawn would say something of it.
        pairs = [
            (row, own) for row, own in found if own and len(own.instruction_idx) == len(candidates)
        ]
        missing += len(rows) - len(pairs)
        if not pairs:
            continue
        task = read_task(the_task(folder, there, name), 0)
        trained_on = set(ranker.trained_on.get(name, []))
        scored = likely.get(name, {})
        trials.append(
            Trial(
                ways.Case(task, candidates, [row.input for row, _ in pairs]),
                pairs,
                [row for row in labels.values() if row.id in trained_on],
                [scored[index] for index in range(len(candidates))] if scored else [],
            )
        )
    if not trials:
        raise NoLabelsForSelections(inputs.selected, inputs.labelled)
    return trials, missing


def _check_selections(path: Path, rows: Sequence[Selection], candidates: Sequence[str]) -> None:
    for line, row in enumerate(rows, 1):
        if not 0 <= row.chosen < len(candidates) or candidates[row.chosen] != row.instruction:
            problem = "field instruction: it was chosen from other candidates"
            remedy = "Run `dvc repro pipelines/ranker/dvc.yaml:rank-select`."
            raise BadRow(path, line, problem, remedy)


def best_seen(trial: Trial, id_: str) -> list[float] | None:
    """Each candidate's mean ROUGE-L on the examples that were trained on, but for this one.

    None if there is none. A candidate that was tried on none of them is worth nothing.
    """
    others = [row for row in trial.seen if row.id != id_]
    if not others:
        return None
    candidates = len(trial.case.candidates)
    sums, times = np.zeros(candidates), np.zeros(candidates)
    for row in others:
        sums[row.instruction_idx] += row.instruction_rouge
        times[row.instruction_idx] += 1
    return [round(float(value), 9) for value in sums / np.maximum(times, 1)]


def judge(trial: Trial, asked: ways.Asked, params: RankEvaluate) -> Iterator[Result]:
    """What each way to choose gives, a row an example."""
    case, methods = trial.case, params.methods
    name = case.task.name
    tried_on_demos = ways.on_demos(case, asked.demos) if asked.demos else None
    references = [row.references for _, row in trial.pairs]
    wrote = asked.outputs.texts if asked.outputs else []
    wrote_rouge = best_rouge_l(wrote, references).tolist() if wrote else []
    wrote_exact = (exact_match(wrote, references) / 100).tolist() if wrote else []
    for number, (row, labels) in enumerate(trial.pairs):
        rouge = dict(zip(labels.instruction_idx, labels.instruction_rouge, strict=True))
        matches = exact_match(
            labels.instruction_outputs, [labels.references] * len(labels.instruction_outputs)
        )
        exact = dict(zip(labels.instruction_idx, (matches / 100).tolist(), strict=True))
        chosen: dict[str, int | None] = {}
        for method, scores in (
            ("best_seen", best_seen(trial, row.id)),
            ("demos", trial.demos or None),
            ("cross_validation", tried_on_demos),
        ):
            identity = (name, row.id) if method == "best_seen" else (name,)
            chosen[method] = best(scores, params.seed, method, *identity) if scores else None
        chosen |= {"seed": 0, "selected": row.chosen, "untrained": row.untrained_chosen}
        if asked.choices:
            # One that names none is the task's own instruction, and is counted.
            place = ways.named(asked.choices.texts[number], len(case.candidates))
            chosen["lm_selection"] = place or 0
        by_rouge: dict[str, float | None] = {}
        by_match: dict[str, float | None] = {}
        for method in methods:
            if method in ("random", "oracle", "worst"):
                by_rouge[method] = _of_all(method, [*rouge.values()])
                by_match[method] = _of_all(method, [*exact.values()])
            elif method == "on_the_fly":
                by_rouge[method] = _rounded(wrote_rouge[number])
                by_match[method] = _rounded(wrote_exact[number])
            else:
                place = chosen.get(method)
                by_rouge[method] = None if place is None else rouge.get(place)
                by_match[method] = None if place is None else exact.get(place)
        ranked = sorted(rouge, key=partial(_rank, row, params.seed))
        yield Result(
            task=name,
            id=row.id,
            seen=row.seen,
            is_classification=case.task.is_classification,
            rouge=by_rouge,
            exact=by_match,
            chosen={method: chosen.get(method) for method in methods if method in chosen},
            wrote=[asked.written.texts[number], wrote[number]] if asked.written else None,
            keys=_keys(trial, asked, number, chosen.get("cross_validation")),
            order=[rouge[place] for place in ranked],
            tau=kendall(row.scores, [rouge[place] for place in range(len(row.scores))]),
            best=[place for place, value in rouge.items() if value == max(rouge.values())],
        )


def _of_all(method: str, values: Sequence[float]) -> float:
    if method == "random":
        return _rounded(np.mean(values))
    return max(values) if method == "oracle" else min(values)


def _rank(row: Selection, seed: int, place: int) -> tuple[float, bool, bytes]:
    """By score, the chosen one first; of equals a draw decides, not the place."""
    return (
        -row.scores[place],
        place != row.chosen,
        draws.rank(seed, "order", row.task, row.id, place),
    )


def _keys(
    trial: Trial, asked: ways.Asked, number: int, on_demos: int | None
) -> dict[str, list[str]]:
    """Of the answers behind a row. on_demos: the candidate that cross_validation chose."""
    keys = {}
    if asked.demos and on_demos is not None:
        shown = len(trial.case.demos)
        keys["cross_validation"] = asked.demos.keys[on_demos * shown : (on_demos + 1) * shown]
    if asked.choices:
        keys["lm_selection"] = [asked.choices.keys[number]]
    if asked.written and asked.outputs:
        keys["on_the_fly"] = [asked.written.keys[number], asked.outputs.keys[number]]
    return keys


def _rounded(value: Any) -> float:
    return round(float(value), 9) + 0.0


def problems(asked: Sequence[ways.Asked]) -> dict[str, int]:
    """How many answers are of no use, by reason: each is then an output of nothing."""
    every = (own for one in asked for own in (one.demos, one.choices, one.written, one.outputs))
    found = Counter(problem for own in every if own for problem in own.problems)
    return counts(PROBLEMS, found)


def unnamed(asked: Sequence[ways.Asked], trials: Sequence[Trial]) -> int:
    """How many answers of lm_selection name no candidate."""
    return sum(
        ways.named(text, len(trial.case.candidates)) is None
        for own, trial in zip(asked, trials, strict=True)
        if own.choices
        for text in own.choices.texts
    )


def evaluate(
    trials: Sequence[Trial], params: Params, prompts: ways.Prompts, ask: Ask
) -> tuple[list[Result], dict[str, Any]]:
    """A row an example, task by task, and what became of what was asked."""
    own = params.rank_evaluate
    cases = [trial.case for trial in trials]
    asked = ways.ask_all(cases, own.methods, own, params.label, prompts, ask)
    results = [
        row
        for trial, answers in zip(trials, asked, strict=True)
        for row in judge(trial, answers, own)
    ]
    return results, {"choices_naming_none": unnamed(asked, trials), **problems(asked)}


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read selections and labels, ask what is to be compared; write scores, metrics and plots.

    Raises:
        NoLabelsForSelections, BadFile, BadRow, NoSuchTask, SameTaskName: of what is read.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    own = params.rank_evaluate
    prompts = ways.Prompts()
    trials, missing = read_trials(params, inputs, load_ranker(inputs.ranker))
    number = ways.requests_number([trial.case for trial in trials], own.methods)
    with (
        Progress("rank-evaluate", number, "answers") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        results, asked = evaluate(trials, params, prompts, engine.ask)
    counted = metrics(results, own)
    counted["comparison"] |= {"choices_without_labels": missing, **asked}
    write_files(
        {
            into.folder / RESULTS: map(to_line, results),
            into.metrics: to_json(with_tables(counted)),
            into.plot("rank_methods"): to_json(drawn_methods(counted)),
            into.plot("rank_positions"): to_json(positions(results, own)),
            into.plot("selected_popularity"): to_json(popularity(results)),
        },
        alone_in=into.folder,
    )
    progress.finish(len(results))
    print("\n".join(lines(counted)), flush=True)
