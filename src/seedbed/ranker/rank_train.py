"""rank-train: labels → a ranker: which instruction suits which example.

Three kinds: `yes_no` takes the model's own answer to the question; `head` weighs that and other
features; `finetune` trains a model whole, as the authors of Auto-Instruct do (arXiv 2310.13127).
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.errors import BadRow, cut
from seedbed.llm.params import Llm
from seedbed.ranker import tuning
from seedbed.ranker.errors import NothingToTrain, TaskWithoutDemos
from seedbed.ranker.features import (
    Listing,
    Measured,
    columns,
    measure,
    number_of_scorings,
    score_demos,
)
from seedbed.ranker.heads import ALL, Head, Tried, heads_of, lists_of, loss_of, train
from seedbed.ranker.listwise import Lists
from seedbed.ranker.params import Niv2, RankTrain
from seedbed.ranker.question import INPUT, INSTRUCTION, Question, shortened
from seedbed.ranker.ranker_file import Ranker, features_of
from seedbed.ranker.rows import PICKED, SPLITS, TRAINED, Picked, Split, Trained, read_picked
from seedbed.tasks.niv2 import Demo, read_task
from seedbed.tasks.places import list_tasks, the_task


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    niv2: Niv2
    rank_train: RankTrain


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    picked: Path = PICKED


@dataclass(frozen=True)
class Data:
    """What a ranker is trained on and looked at with.

    rows: of every split, in the order of SPLITS. question: the one that all rows carry.
    inputs: as the question shows them, by row.
    """

    rows: list[tuple[Split, Picked]]
    question: Question
    inputs: list[str]

    @property
    def listings(self) -> list[Listing]:
        """The lists, in the rows' order."""
        return [
            Listing(row.task, given, row.instructions, row.instruction_idx)
            for (_, row), given in zip(self.rows, self.inputs, strict=True)
        ]

    def places(self, split: Split) -> list[int]:
        """Where the rows of a split are."""
        return [place for place, (own, _) in enumerate(self.rows) if own == split]


def read_rows_of(folder: Path) -> tuple[list[tuple[Split, Picked]], Question]:
    """The rows of all splits, and the template that they share.

    Raises:
        BadFile, BadRow: as `read_picked`; or a development file has another template.
        NothingToTrain: train.jsonl is empty.
    """
    rows: list[tuple[Split, Picked]] = []
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        own = read_picked(path)
        if not own and split == "train":
            raise NothingToTrain(path)
        if own and rows and own[0].prompt != rows[0][1].prompt:
            problem = "field prompt: another template than train.jsonl has"
            raise BadRow(path, 1, problem, "Label all tasks with one.")
        rows += [(split, row) for row in own]
    check_template(folder / "train.jsonl", rows[0][1].prompt)
    return rows, Question(rows[0][1].prompt)


def check_template(path: Path, template: str) -> None:
    """Raises BadRow: it lacks one of its two places, or has another."""
    remedy = f"Label with a template that has {INPUT} and {INSTRUCTION}, each once."
    for place in (INPUT, INSTRUCTION):
        if (times := template.count(place)) != 1:
            raise BadRow(path, 1, f"field prompt: {place} stands in it {times} times", remedy)
    for other in re.findall(r"\{\{\w+\}\}", template):
        if other not in (INPUT, INSTRUCTION):
            raise BadRow(path, 1, f"field prompt: there is no place {cut(other)}", remedy)


def read_demos(niv2: Niv2, names: Sequence[str]) -> dict[str, list[Demo]]:
    """The demos of tasks that rows name.

    Raises:
        TaskWithoutDemos: a task is not there. BadFile, BadRow, SameTaskName: it is broken.
    """
    folder = Path(niv2.folder)
    there = list_tasks(folder)
    for name in names:
        if name not in there:
            raise TaskWithoutDemos(name, niv2.folder)
    # No example is kept: some tasks have thousands.
    return {name: read_task(the_task(folder, there, name), 0).demos for name in names}


@dataclass(frozen=True)
class Outcome:
    """Heads, and what they are looked at with.

    lists: of each split. tried: how the values of l2 did.
    """

    heads: dict[str, Head]
    without: dict[str, str]
    tried: list[Tried]
    lists: dict[Split, Lists]
    tasks: list[str]


def train_heads(data: Data, measured: Sequence[Measured], params: RankTrain) -> Outcome:
    """The heads of what was measured."""
    lists: dict[Split, Lists] = {}
    for split in SPLITS:
        places = data.places(split)
        lists[split] = lists_of(
            [measured[place].values for place in places],
            [data.rows[place][1].instruction_labels for place in places],
        )
    tasks = [data.rows[place][1].task for place in data.places("train")]
    names = columns(features_of(params), lists["train"].features.shape[2])
    if params.kind == "yes_no":  # nothing is trained, so nothing is held out
        head = train(lists["train"], names, np.inf, params.temperature)
        return Outcome({ALL: head}, {}, [], lists, tasks)
    heads, without, tried = heads_of(lists["train"], tasks, names, params)
    return Outcome(heads, without, tried, lists, tasks)


def metrics(outcome: Outcome, features: Sequence[str], params: RankTrain) -> dict[str, Any]:
    """The stage's metrics. Losses are mean divergences from the labels, in nats a list."""
    head, lists = outcome.heads[ALL], outcome.lists
    nothing = head.model_copy(update={"weights": [0.0] * len(head.weights)})
    names = columns(features, len(head.weights))
    train_lists = lists["train"]
    left_out = min((one.left_out for one in outcome.tried), default=None)
    return {
        "rank_lists": len(train_lists.labels),
        "rank_tasks": len(set(outcome.tasks)),
        "kl_uniform": _rounded(loss_of(nothing, train_lists, 1.0)),
        "kl_untrained": _rounded(loss_of(head, train_lists, params.temperature, trained=False)),
        "kl_train": _rounded(loss_of(head, train_lists, params.temperature)),
        **({} if left_out is None else {"kl_left_out": _rounded(left_out)}),
        **{
            f"kl_{split}": _rounded(loss_of(head, lists[split], params.temperature))
            for split in SPLITS[1:]
            if len(lists[split].labels)
        },
        **({} if head.l2 is None else {"rank_l2": head.l2}),
        "weight": {
            name: {
                "untrained": _rounded(head.prior[place]),
                "weight": _rounded(head.weights[place]),
                **{
                    other: _rounded(own.weights[place])
                    for other, own in outcome.heads.items()
                    if other != ALL
                },
            }
            # Of hundreds of numbers without a name none says anything.
            for place, name in enumerate(names)
            if name != "hidden"
        },
    }


def loss_points(tried: Sequence[Tried]) -> list[dict[str, Any]]:
    """Points for the `curve` plot template: the loss by l2, on what was trained on and left out."""
    return [
        {"at": one.l2, "loss": loss, "low": loss, "high": loss, "source": of}
        for of in ("train", "left_out")
        for one in tried
        for loss in [_rounded(getattr(one, of))]
    ]


def trained_rows(
    data: Data, measured: Sequence[Measured], features: Sequence[str]
) -> list[Trained]:
    """What each row was, and what was measured of it."""
    named = [feature for feature in features if feature != "hidden"]
    return [
        Trained(
            task=row.task,
            id=row.id.partition(":")[2],
            split=split,
            input=row.input,
            cut=given != row.input,
            instruction_idx=row.instruction_idx,
            labels=row.instruction_labels,
            features=[
                [round(values[names.index(name)], 6) for name in named]
                for names in [columns(features, own.values.shape[1])]
                for values in own.values.tolist()
            ],
            keys=own.keys,
        )
        for (split, row), given, own in zip(data.rows, data.inputs, measured, strict=True)
    ]


def trained_on(data: Data) -> dict[str, list[str]]:
    """The ids of the examples that are trained on, by task."""
    ids: dict[str, list[str]] = {}
    for split, row in data.rows:
        if split == "train":
            ids.setdefault(row.task, []).append(row.id.partition(":")[2])
    return dict(sorted(ids.items()))


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the picked examples, measure, train; write the ranker, its examples, metrics, a plot.

    Raises:
        NothingToTrain, BadFile, BadRow: of the rows. TaskWithoutDemos: of the tasks.
        ScoringNotOffered, EmbeddingNotOffered: the server cannot score, or has no states.
        NoOptimum: rank_train.l2 is too small to find one.
    """
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    own = params.rank_train
    rows, question = read_rows_of(inputs.picked)
    if own.kind == "finetune":
        tuning.run(rows, question, own, into)
        return
    features = features_of(own)
    names = sorted({row.task for _, row in rows})
    demos = read_demos(params.niv2, names) if "demos" in features else {}
    given = [row.input for _, row in rows]
    most = number_of_scorings(Data(rows, question, given).listings, features, demos)
    with (
        Progress("rank-train", most, "scorings") as progress,
        open_engine(params.llm, progress.answered_row) as engine,
    ):
        if "hidden" in features:
            engine.demand_states()
        data = Data(rows, question, shortened(given, own.max_input_tokens, engine.count_tokens))
        of_demos = score_demos(data.listings, demos, engine)
        measured = list(measure(data.listings, features, of_demos, question, engine))
        model = engine.model
    outcome = train_heads(data, measured, own)
    ranker = Ranker(
        kind=own.kind,
        features=features,
        template=question.text,
        model=model,
        temperature=own.temperature,
        max_input_tokens=own.max_input_tokens,
        heads=outcome.heads,
        without=outcome.without,
        trained_on=trained_on(data),
    )
    write_files(
        {
            into.folder / "ranker.json": to_json(ranker.model_dump()),
            into.folder / TRAINED: map(to_line, trained_rows(data, measured, features)),
            into.metrics: to_json(
                with_tables(
                    metrics(outcome, features, own)
                    | {
                        "rank_inputs_cut": sum(
                            a != b for a, b in zip(given, data.inputs, strict=True)
                        )
                    }
                )
            ),
            into.plot("rank_loss"): to_json(loss_points(outcome.tried)),
        },
        alone_in=into.folder,
    )
    # What another kind left there, as DVC empties the folder where it runs the stage.
    shutil.rmtree(into.folder / tuning.MODEL, ignore_errors=True)
    progress.finish(len(rows))


def _rounded(value: float) -> float:
    return mean([value])
