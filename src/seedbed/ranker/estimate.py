"""What the ranker would ask, as far as candidates and labels are there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from seedbed.core.files import exists
from seedbed.errors import SeedbedError
from seedbed.ranker import ways
from seedbed.ranker.errors import TaskWithoutDemos
from seedbed.ranker.features import Listing, to_embed, to_score, to_weigh
from seedbed.ranker.params import Label, Niv2, RankEvaluate, RankSelect, RankTrain
from seedbed.ranker.question import Question
from seedbed.ranker.rank_select import demos_of, listings_of, read_fields, read_question
from seedbed.ranker.rank_train import read_demos, read_rows_of
from seedbed.ranker.ranker_file import features_of
from seedbed.ranker.rows import CANDIDATES, LABELLED, PICKED, SPLITS
from seedbed.ranker.selections import Field
from seedbed.runs.dry_run import Foreseen, Foresight, some_rows, thinned
from seedbed.tasks.places import find_tasks, task_name

# Of more tasks so many are read.
TASKS = 8


class Sections(Protocol):
    """What is read of params.yaml."""

    @property
    def niv2(self) -> Niv2: ...
    @property
    def label(self) -> Label: ...
    @property
    def rank_train(self) -> RankTrain: ...
    @property
    def rank_select(self) -> RankSelect: ...
    @property
    def rank_evaluate(self) -> RankEvaluate: ...


def foresee(params: Sections, foresight: Foresight) -> list[Foreseen]:
    """A line a stage. Raises as they do for bad input, but for files that are yet to be made."""
    question = read_question()
    seen = [Foreseen("rank-train"), Foreseen("rank-select"), Foreseen("rank-evaluate")]
    fields, weight = _fields(params)
    parts = [Foreseen(one.stage) for one in seen]
    if params.rank_train.kind != "finetune":
        with some_rows(seen[0], *(PICKED / f"{split}.jsonl" for split in SPLITS)) as (folder, part):
            _train(folder, params, part, foresight)
        _select(fields, params, question, parts[1], foresight)
    _evaluate(fields, params, parts[2], foresight)
    for one, part in zip(seen[1:], parts[1:], strict=True):
        one.add(part, weight)
        if weight > 1:
            one.guess(f"requests: {len(fields)} of the tasks were read, for all")
    return seen


def _train(folder: Path, params: Sections, seen: Foreseen, foresight: Foresight) -> None:
    if not exists(PICKED / "train.jsonl"):
        seen.guess(f"requests: {PICKED} has no rows yet")
        return
    try:
        rows, question = read_rows_of(folder)
    except SeedbedError as error:  # it is that stage's affair, and no other's
        seen.guess(f"requests: {str(error).partition(chr(10))[0]}")
        return
    features = features_of(params.rank_train)
    listings = [
        Listing(row.task, row.input, row.instructions, row.instruction_idx) for _, row in rows
    ]
    demos = {}
    try:
        if "demos" in features:
            demos = read_demos(params.niv2, sorted({row.task for _, row in rows}))
    except TaskWithoutDemos:
        seen.guess("requests: without the demos of tasks that are not there")
    _guess_cuts(seen, [row.input for _, row in rows], params)
    foresight.look_up_scores(seen, to_score(listings, features, demos))
    foresight.look_up_options(seen, to_weigh(listings, features, question))
    foresight.look_up_states(seen, to_embed(listings, features, question))


def _select(
    fields: Sequence[Field],
    params: Sections,
    question: Question,
    seen: Foreseen,
    foresight: Foresight,
) -> None:
    if not fields:
        seen.guess(f"requests: {CANDIDATES} lacks candidates")
        return
    features = features_of(params.rank_train)
    given = [example.input for field in fields for example in field.task.examples]
    listings = listings_of(fields, given)
    _guess_cuts(seen, given, params)
    foresight.look_up_scores(seen, to_score(listings, features, demos_of(fields, features)))
    foresight.look_up_options(seen, to_weigh(listings, features, question))
    foresight.look_up_states(seen, to_embed(listings, features, question))


def _evaluate(
    fields: Sequence[Field], params: Sections, seen: Foreseen, foresight: Foresight
) -> None:
    if not fields:
        seen.guess(f"requests: {CANDIDATES} lacks candidates")
        return
    if not all(exists(LABELLED / f"{field.task.name}.jsonl") for field in fields):
        seen.guess("requests: as if every example had labels")
    own, label, prompts = params.rank_evaluate, params.label, ways.Prompts()
    methods = own.methods
    for field in fields:
        inputs = [example.input for example in field.task.examples]
        case = ways.Case(field.task, field.candidates, inputs)
        if "cross_validation" in methods:
            _all(foresight.look_up(seen, ways.demo_requests(case, label)))
        if "lm_selection" in methods:
            _all(foresight.look_up(seen, ways.choice_requests(case, own, prompts)))
        if "on_the_fly" in methods:
            written = list(foresight.look_up(seen, ways.write_requests(case, own, prompts)))
            texts = [answer.text.strip() if answer else "" for answer in written]
            for answer, request in zip(
                written, ways.follow_requests(case, texts, label), strict=True
            ):
                if answer is None:
                    foresight.more(seen, [request])
                    seen.guess("prompts: as if an instruction that is not written yet were empty")
                else:
                    _all(foresight.look_up(seen, [request]))


def _guess_cuts(seen: Foreseen, inputs: Sequence[str], params: Sections) -> None:
    # A token is a byte at least.
    if any(len(text.encode()) > params.rank_train.max_input_tokens for text in inputs):
        seen.guess("prompts: as if no input were cut")


def _all(answers: Iterator[object]) -> None:
    for _ in answers:
        pass


def _fields(params: Sections) -> tuple[list[Field], float]:
    """Tasks with candidates, and for how many each stands; none if one of them has none yet."""
    names = [task_name(path) for path in find_tasks(Path(params.niv2.folder), params.niv2.tasks)]
    if not all(exists(CANDIDATES / f"{name}.json") for name in names):
        return [], 1.0
    some, weight = thinned(names, TASKS)
    niv2 = params.niv2 if weight == 1 else params.niv2.model_copy(update={"tasks": list(some)})
    return read_fields(niv2, params.rank_select, CANDIDATES), weight
