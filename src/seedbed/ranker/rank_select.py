"""rank-select: ranker, tasks and candidates → an instruction for each example.

Labels are no part of it: an example is an input, and a task is its candidates and demos.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log
from pathlib import Path
from typing import Any

from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import mean, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.prompts import read_prompt
from seedbed.core.section import Section
from seedbed.llm.params import Llm
from seedbed.ranker import tuning
from seedbed.ranker.features import (
    Listing,
    Measured,
    measure,
    number_of_scorings,
    score_demos,
)
from seedbed.ranker.params import Niv2, RankSelect, RankTrain
from seedbed.ranker.question import INPUT, INSTRUCTION, Question, shortened
from seedbed.ranker.ranker_file import Ranker, check_model, read_ranker
from seedbed.ranker.rows import (
    CANDIDATES,
    DEMOS_SCORED,
    RANKER,
    TEMPLATE,
    DemosScored,
    Selection,
    read_candidates,
)
from seedbed.ranker.selections import Field, selection
from seedbed.tasks.niv2 import Demo, read_task
from seedbed.tasks.places import find_tasks


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    niv2: Niv2
    rank_train: RankTrain
    rank_select: RankSelect


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    ranker: Path = RANKER
    candidates: Path = CANDIDATES


def read_fields(niv2: Niv2, params: RankSelect, candidates: Path) -> list[Field]:
    """The tasks, with the first examples of each and all candidates.

    Raises:
        BadFile, BadRow, NoSuchTask, SameTaskName: of the tasks, or of their candidates.
    """
    paths = find_tasks(Path(niv2.folder), niv2.tasks)
    tasks = [read_task(path, params.max_examples) for path in paths]
    return [Field(task, read_candidates(task.name, candidates)) for task in tasks]


def read_question() -> Question:
    """The template that label takes too. Raises as `read_prompt`."""
    return Question(read_prompt(TEMPLATE, [INPUT, INSTRUCTION]))


def metrics(fields: Sequence[Field], rows: Sequence[Selection]) -> dict[str, Any]:
    """The stage's metrics; entropy as a share of what an even choice has, a task at a time."""
    of_task = {
        field.task.name: [row for row in rows if row.task == field.task.name] for field in fields
    }
    return {
        "selections": len(rows),
        "selected_seed_share": share(sum(row.chosen == 0 for row in rows), len(rows)),
        "selection_entropy": mean(
            [
                _entropy([row.chosen for row in of_task[field.task.name]], len(field.candidates))
                for field in fields
            ]
        ),
        "selection_inputs_cut": sum(row.cut for row in rows),
        "selection_ties": sum(row.scores.count(max(row.scores)) > 1 for row in rows),
        "selected": {
            name: {
                "examples": len(own),
                "different": len({row.chosen for row in own}),
                "seed_share": share(sum(row.chosen == 0 for row in own), len(own)),
                "head": own[0].head if own else "",
            }
            for name, own in of_task.items()
        },
    }


def _entropy(chosen: Sequence[int], candidates: int) -> float:
    most = log(min(len(chosen), candidates)) if chosen else 0.0
    shares = [count / len(chosen) for count in Counter(chosen).values()]
    return -sum(part * log(part) for part in shares) / most if most else 0.0


def listings_of(fields: Sequence[Field], inputs: Sequence[str]) -> list[Listing]:
    """A list an example, field by field. inputs: as the question shows them, in the same order."""
    rest = iter(inputs)
    return [one for own in fields for one in own.listings(list(islice(rest, own.examples)))]


def demos_of(fields: Sequence[Field], features: Sequence[str]) -> dict[str, list[Demo]]:
    """The demos that are scored, by task."""
    return {own.task.name: own.task.demos for own in fields} if "demos" in features else {}


def choose(
    ranker: Ranker,
    fields: Sequence[Field],
    listings: Sequence[Listing],
    measured: Iterable[Measured],
    params: RankSelect,
) -> Iterator[Selection]:
    """Yield what the ranker chooses for each example, in order. measured: of each list."""
    rows = zip(listings, measured, strict=True)
    for own in fields:
        head = ranker.heads[ranker.head_for(own.task.name, params.held_out_head)]
        for number in range(own.examples):
            listing, found = next(rows)
            untrained = None
            if "yes_no" in ranker.features:  # else nothing is known before training
                untrained = head.scores(found.values, trained=False).tolist()
            scores = head.scores(found.values).tolist()
            yield selection(
                ranker, own, number, listing.given, scores, untrained, found.keys, params
            )


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read ranker, tasks and candidates, score, choose; write selections and metrics.

    Raises:
        OtherRanker: of another kind, other features, template or model than these parameters name.
        BadFile, BadRow: of what is read.
        ScoringNotOffered, EmbeddingNotOffered: the server cannot score, or has no states.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    own = params.rank_select
    question = read_question()
    ranker = read_ranker(inputs.ranker, params.rank_train, question.text)
    fields = read_fields(params.niv2, own, inputs.candidates)
    if ranker.kind == "finetune":
        check_model(inputs.ranker, ranker, params.rank_train.finetune.base)
        rows = tuning.select(inputs.ranker.parent, ranker, fields, question, params.rank_train, own)
        write(into, fields, rows, [])
        return
    given = [example.input for field in fields for example in field.task.examples]
    demos = demos_of(fields, ranker.features)
    most = number_of_scorings(listings_of(fields, given), ranker.features, demos)
    with (
        Progress("rank-select", most, "scorings") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        check_model(inputs.ranker, ranker, engine.model)
        if "hidden" in ranker.features:
            engine.demand_states()
        listings = listings_of(
            fields, shortened(given, ranker.max_input_tokens, engine.count_tokens)
        )
        of_demos = score_demos(listings, demos, engine)
        measured = measure(listings, ranker.features, of_demos, question, engine)
        rows = list(choose(ranker, fields, listings, measured, own))
    scored = [
        DemosScored(task=task, index=index, score=found.score, keys=found.keys)
        for field in fields
        for task in [field.task.name]
        for index, text in enumerate(field.candidates)
        if (found := of_demos.get((task, text)))
    ]
    write(into, fields, rows, scored)
    progress.finish(len(rows))


def write(
    into: Into,
    fields: Sequence[Field],
    rows: Sequence[Selection],
    scored: Sequence[DemosScored],
) -> None:
    """Write a file a task, what was scored of demos, and the metrics."""
    files = {
        into.folder / f"{field.task.name}.jsonl": [
            to_line(row) for row in rows if row.task == field.task.name
        ]
        for field in fields
    }
    write_files(
        {
            **files,
            into.folder / DEMOS_SCORED: map(to_line, scored),
            into.metrics: to_json(with_tables(metrics(fields, rows))),
        },
        alone_in=into.folder,
    )
