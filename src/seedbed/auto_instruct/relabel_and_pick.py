"""relabel-and-pick: labels → a balanced, normalised training set for an instruction ranker.

For each example a few candidates are drawn, the popular ones less often, and their ROUGE scores
become the target of a list-wise loss; examples that tell the ranker little are dropped
(Auto-Instruct, arXiv 2310.13127, section 3.3 and appendix A; the steps are in
`seedbed.auto_instruct.pick`). Then the tasks are merged into training and development files. Every
random draw belongs to its task and its example, so one task more changes nothing for the others.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.auto_instruct import weighted_draws
from seedbed.auto_instruct.candidate_files import file_of, read_instructions
from seedbed.auto_instruct.errors import (
    NothingToTrainOn,
    OtherCandidates,
    TooFewCandidates,
    UnknownTask,
)
from seedbed.auto_instruct.label_file import LabelFile, Labelled, Scores, read_labels
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct.pick import REASONS, Ints, Picked, evenness, pick
from seedbed.auto_instruct.rows import CANDIDATES, LABELLED
from seedbed.auto_instruct.token_estimate import by_words
from seedbed.core import draws
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, share, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.core.shards import HERE, from_environment, mapped
from seedbed.errors import BadFile, BadRow
from seedbed.llm.params import Llm
from seedbed.tasks.places import MERGED

# Counts the tokens of each text; None if nobody can.
Count = Callable[[Sequence[str]], list[int] | None]

# The first bytes of labels, a second's work, are read in this process: see `seedbed.core.shards`.
ALONE = 100_000_000
SKIPPED = ("candidates_too_long", "no_examples", "nothing_qualifies")


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    relabel_and_pick: RelabelAndPick


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    candidates: Path = CANDIDATES
    labelled: Path = LABELLED


@dataclass
class Task:
    """What became of one task.

    too_long: how many of its candidates are. by_words: whether their tokens were not counted, but
        taken from their words.
    places: for each of MERGED the places, in picked.rows, of the examples that go there.
    left_out: picked examples that go nowhere, by reason.
    """

    file: LabelFile
    picked: Picked
    too_long: int
    by_words: bool
    places: dict[str, list[int]]
    left_out: Counter[str]

    @property
    def kept(self) -> int:
        return len(self.picked.rows)

    @property
    def skipped(self) -> str | None:
        """Why the task has no file; None if it has one."""
        if self.picked.dropped["candidates_too_long"]:
            return "candidates_too_long"
        if not self.file.examples:
            return "no_examples"
        return None if self.kept else "nothing_qualifies"


def read_task(path: Path, candidates: Path, params: RelabelAndPick) -> tuple[LabelFile, Scores]:
    """One task's labels, checked.

    Raises:
        BadFile, BadRow: as `read_labels`; or the task has the name of a merged file.
        TooFewCandidates: fewer than are to be drawn.
        OtherCandidates: `candidates` has other ones than the labels were made with.
    """
    if path.stem.casefold() in MERGED:  # some disks keep a name in any case as one
        raise BadFile(
            path, "a task of this name", f"{path.name} is that of a merged file: rename the task."
        )
    file, numbers = read_labels(path)
    if len(file.instructions) < params.sample_instructions:
        raise TooFewCandidates(path, len(file.instructions), params.sample_instructions)
    # Labels of one's own may come without it.
    path_of_candidates = file_of(file.task, candidates)
    if path_of_candidates.exists():
        given = read_instructions(path_of_candidates)
        if given != file.instructions:
            raise OtherCandidates(path, path_of_candidates, file.instructions, given)
    return file, numbers


def pick_task(
    file: LabelFile, numbers: Scores, params: RelabelAndPick, count: Count | None
) -> Task:
    """Leave out long candidates, pick, and say which examples go into which merged file.

    count: what counts tokens; None if words stand for them.
    """
    allowed = np.ones(len(file.instructions), dtype=np.bool_)
    counted = None
    if params.max_instruction_tokens is not None:
        counted = count(file.instructions) if count else None
        tokens = by_words(file.instructions) if counted is None else counted
        allowed = np.array(tokens, dtype=np.int64) <= params.max_instruction_tokens
    too_long = int(np.count_nonzero(~allowed))
    if 2 * too_long > len(allowed):
        picked = skip(file.examples, len(allowed))
    else:
        picked = pick(
            numbers.scores,
            weighted_draws.keys(numbers.names, params.seed, "relabel", file.task),
            allowed,
            params,
        )
    ids = [row.id for row in file.rows(picked.rows.tolist())]
    places, left_out = split(file.task, ids, params)
    estimated = params.max_instruction_tokens is not None and counted is None
    task = Task(file, picked, too_long, estimated, places, left_out)
    assert file.examples == task.kept + picked.dropped.total()
    assert task.kept == sum(map(len, places.values())) + left_out.total()
    return task


def examine(candidates: Path, params: RelabelAndPick, count: Count | None, path: Path) -> Task:
    """Read one task's labels and pick. Raises as `read_task`. See `seedbed.core.shards`."""
    return pick_task(*read_task(path, candidates, params), params, count)


def skip(examples: int, candidates: int) -> Picked:
    """A task whose candidates are too long: all of its examples are dropped."""
    nothing: Ints = np.zeros(0, dtype=np.int64)
    none: Ints = np.zeros(candidates, dtype=np.int64)
    return Picked(
        rows=nothing,
        drawn=nothing.reshape(0, 1),
        labels=np.zeros((0, 1)),
        dropped=Counter({"candidates_too_long": examples}),
        before=none,
        after=none,
    )


def split(
    task: str, ids: list[str], params: RelabelAndPick
) -> tuple[dict[str, list[int]], Counter[str]]:
    """Which of a task's kept examples go where, and how many nowhere.

    Args:
        ids: of the kept examples, best first.

    Returns:
        for each of MERGED the places in `ids`, ascending; reasons and counts of the others.
    """
    everything = list(range(len(ids)))
    if task in params.unseen_dev_tasks:
        return {"train": [], "seen_dev": [], "unseen_dev": everything}, Counter()
    number = min(params.seen_dev_examples, len(ids) // 2)
    by_rank = sorted(everything, key=lambda i: draws.rank(params.seed, "seen_dev", task, ids[i]))
    seen_dev = sorted(by_rank[:number])
    train = sorted(by_rank[number:])
    if params.min_task_examples is not None and len(train) < params.min_task_examples:
        left_out = Counter({"below_min_task_examples": len(ids)})
        return {"train": [], "seen_dev": [], "unseen_dev": []}, left_out
    most = len(train) if params.max_task_examples is None else params.max_task_examples
    left_out = Counter({"over_max_task_examples": max(0, len(train) - most)})
    return {"train": train[:most], "seen_dev": seen_dev, "unseen_dev": []}, left_out


def picked_rows(task: Task, places: list[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the kept examples at these places of picked.rows, each with its place."""
    rows = task.file.rows(task.picked.rows[places].tolist())
    for place, row in zip(places, rows, strict=True):
        yield place, picked_row(task, place, row)


def picked_row(task: Task, place: int, row: Labelled) -> dict[str, Any]:
    """A kept example, cut to the candidates drawn for it, with its new labels."""
    at = {candidate: i for i, candidate in enumerate(row.instruction_idx)}
    positions = [at[candidate] for candidate in task.picked.drawn[place].tolist()]
    cut = {name: [values[i] for i in positions] for name, values in row.lists().items()}
    labels = {"instruction_labels": task.picked.labels[place].tolist()}
    return row.model_dump() | cut | labels


def picked_line(task: Task, place: int, row: dict[str, Any]) -> str:
    """A kept example as a line. Raises BadRow: it has a number that JSON does not have."""
    try:
        return to_line(row)
    except ValueError:
        raise BadRow(
            task.file.path,
            task.file.line_of(int(task.picked.rows[place])),
            "a number that JSON does not have, in a field other than those of the candidates",
            "Such as NaN: remove it.",
        ) from None


def task_lines(task: Task) -> Iterator[str]:
    """A task's file: the same three header lines, then the kept examples, best first."""
    yield from task.file.headers
    for place, row in picked_rows(task, list(range(task.kept))):
        yield picked_line(task, place, row)


def merged_lines(tasks: list[Task], name: str) -> Iterator[str]:
    """One of MERGED: rows that stand for themselves, without a header to look at."""
    for task in tasks:
        for place, row in picked_rows(task, task.places[name]):
            row["id"] = f"{task.file.task}:{row['id']}"  # no name has a colon
            row |= {"prompt": task.file.prompt, "demos": task.file.demos}
            row["instructions"] = [
                task.file.instructions[i] for i in task.picked.drawn[place].tolist()
            ]
            yield picked_line(task, place, row)


def popularity(tasks: list[Task], when: str) -> Ints:
    """On how many examples of all tasks each candidate ties the best: (candidates,), by place.

    when: "before" or "after" the drawing. A place means the same in all tasks: 0 is the seed's.
    """
    longest = max(len(task.file.instructions) for task in tasks)
    total: Ints = np.zeros(longest, dtype=np.int64)
    for task in tasks:
        of_task: Ints = getattr(task.picked, when)
        total[: len(of_task)] += of_task
    return total


def popularity_points(tasks: list[Task]) -> list[dict[str, Any]]:
    """Points for the `before_after` plot template: two a candidate, to compare by their `share`."""
    points: list[dict[str, Any]] = []
    for when in ("before", "after"):
        totals = popularity(tasks, when).tolist()
        points += [
            {"candidate": i, "when": when, "count": count, "share": share(count, sum(totals))}
            for i, count in enumerate(totals)
        ]
    return points


def metrics(tasks: list[Task]) -> dict[str, Any]:
    """The stage's metrics. Examples = kept + dropped; kept = those merged + left out."""
    whole = [task for task in tasks if task.skipped is None]
    return {
        "examples": sum(task.file.examples for task in tasks),
        "examples_kept": sum(task.kept for task in tasks),
        **{name: sum(len(task.places[name]) for task in tasks) for name in MERGED},
        # Of a task: 1 if every candidate is as often the best as another, 0 if it is always one.
        "evenness_before": mean([evenness(task.picked.before) for task in whole]),
        "evenness_after": mean([evenness(task.picked.after) for task in whole]),
        "tasks_left_out": len(tasks) - len(whole),
        "candidates_too_long": sum(task.too_long for task in tasks),
        "tasks_measured_by_words": sum(task.by_words for task in tasks),
        "tasks_skipped": counts(SKIPPED, Counter(task.skipped for task in tasks if task.skipped)),
        "dropped": counts(REASONS, sum((task.picked.dropped for task in tasks), Counter[str]())),
        "left_out_of_merged": counts(
            ("below_min_task_examples", "over_max_task_examples"),
            sum((task.left_out for task in tasks), Counter[str]()),
        ),
        "task": {
            task.file.task: {
                "examples": task.file.examples,
                "kept": task.kept,
                "dropped": counts(REASONS, task.picked.dropped),
                "evenness_before": evenness(task.picked.before),
                "evenness_after": evenness(task.picked.after),
            }
            for task in tasks
        },
    }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read labels, pick, merge; write the ranker's data, metrics and plots."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.relabel_and_pick
    # By name, since a directory is listed in any order.
    paths = sorted(inputs.labelled.glob("*.jsonl"))
    if not paths:
        raise BadFile(inputs.labelled, "no task's file in it", "Run `dvc repro label`.")
    known = [path.stem for path in paths]
    for name in section.unseen_dev_tasks:
        if name not in known:
            raise UnknownTask("relabel_and_pick.unseen_dev_tasks", name, known)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress("relabel-and-pick", None, "examples"))
        count = None
        if section.max_instruction_tokens is not None and section.tokenizer == "model":
            engine = stack.enter_context(open_engine(params.llm, progress.answered))
            count = engine.count_tokens
        tasks = []
        # A tokenizer is the engine's, which is here and nowhere else.
        read = partial(examine, inputs.candidates, section, count)
        where = HERE if count else from_environment().on_this_machine()
        for task in mapped(
            read, paths, least=ALONE, size=lambda path: path.stat().st_size, where=where
        ):
            progress.advance(task.file.examples)
            tasks.append(task)
        stage_metrics = metrics(tasks)
        if not stage_metrics["train"]:
            reasons = stage_metrics["dropped"] | stage_metrics["left_out_of_merged"]
            held_out = {"held out": stage_metrics["unseen_dev"]}
            raise NothingToTrainOn(stage_metrics["examples"], reasons | held_out)
        outputs = {
            into.folder / task.file.path.name: task_lines(task)
            for task in tasks
            if task.skipped is None
        } | {into.folder / f"{name}.jsonl": merged_lines(tasks, name) for name in MERGED}
        write_files(
            {
                **outputs,
                into.metrics: to_json(with_tables(stage_metrics)),
                into.plot("candidate_popularity"): to_json(popularity_points(tasks)),
            },
            alone_in=into.folder,
        )
    progress.finish(stage_metrics["examples_kept"])
