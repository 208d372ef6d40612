"""bootstrap: seed tasks → instructions.

The model is shown a numbered list of instructions, most of them hand-written, and continues it.
What it adds is cut into instructions, filtered, and kept if it is unlike all that there are
(Self-Instruct, arXiv 2212.10560, section 2.2). It goes in rounds: all prompts of a round are
drawn from the pool as it stood before it, so the result does not depend on which answer came
first.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from seedbed.core import draws
from seedbed.core.files import to_json, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.pool import Pool
from seedbed.core.progress import Progress
from seedbed.core.prompts import Prompt
from seedbed.core.records import Exchange
from seedbed.core.section import Section
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import PROBLEMS, Answer, Ask
from seedbed.llm.params import Llm
from seedbed.llm.spool import Rows, spooled
from seedbed.self_instruct.errors import NothingNew, TooFewSeedTasks
from seedbed.self_instruct.instructions import REASONS, numbered, refuser, split_numbered
from seedbed.self_instruct.params import Bootstrap
from seedbed.self_instruct.rows import (
    INSTRUCTIONS,
    REJECTED_INSTRUCTIONS,
    SEED_TASKS,
    Instruction,
    RejectedInstruction,
    instruction_id,
)
from seedbed.self_instruct.seeds import read_seed_tasks

# `surplus`: more came in the last round than were asked for. A completion that was cut, or that is
# of no use, is refused whole: its row has no instruction, but the key of the answer.
ALL_REASONS = (*REASONS, "too_similar", "surplus", "cut_at_length", *PROBLEMS)


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    llm: Llm
    bootstrap: Bootstrap


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    seed_tasks: Path = SEED_TASKS


Advance = Callable[..., None]


class PoolEntry(NamedTuple):
    """An instruction that a prompt can show: a seed task's, or an accepted one."""

    id: str
    text: str


class Asked(NamedTuple):
    """A request, and the ids of the instructions that its prompt shows, in order."""

    request: Request
    shown: list[str]


class Piece(NamedTuple):
    """What may be an instruction. reason: why it is refused, if that is known already."""

    text: str
    id: str
    key: str
    origin: Exchange
    shown: list[str]
    reason: str | None


@dataclass
class Grown:
    """What bootstrap made of the answers. Pieces in = accepted + rejected, each with a reason.

    A piece is what may be an instruction, or a completion that is refused whole.

    pool: the accepted instructions, as prompts show them.
    highest, words: of each of them the ROUGE-L F1 with the one most like it, and its length.
    """

    accepted: Rows[Instruction] = field(default_factory=list[Instruction])
    rejected: Rows[RejectedInstruction] = field(default_factory=list[RejectedInstruction])
    pool: list[PoolEntry] = field(default_factory=list)
    highest: "array[float]" = field(default_factory=lambda: array("d"))
    words: "array[int]" = field(default_factory=lambda: array("q"))
    refused: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    completions: int = 0

    def accept(self, row: Instruction) -> None:
        self.accepted.append(row)
        self.pool.append(PoolEntry(row.id, row.instruction))
        self.highest.append(next(iter(row.most_similar.values())))
        self.words.append(len(row.instruction.split()))

    def reject(self, row: RejectedInstruction) -> None:
        self.rejected.append(row)
        self.refused[row.reason] += 1

    def reasons(self) -> Counter[str]:
        """How many pieces were rejected for each reason."""
        return self.refused


def grow(
    seeds: list[PoolEntry],
    params: Bootstrap,
    prompt: Prompt,
    ask: Ask,
    advance: Advance = lambda n, **_: None,
    into: Grown | None = None,
) -> Grown:
    """Grow exactly `params.num_instructions_to_generate` instructions from the seed instructions.

    advance: called after each round with the number accepted and `rejected=`.
    into: filled and given back; whoever looks on may pass an empty one.

    Raises:
        NothingNew: `params.max_rounds_without_new` rounds in a row brought none.
    """
    grown = Grown() if into is None else into
    refuse = refuser(
        min_words=params.min_words,
        max_words=params.max_words,
        refused_words=params.refused_words,
        refused_prefixes=params.refused_prefixes,
        refuse_non_ascii=params.refuse_non_ascii,
    )
    rounds_without_new = 0
    wanted = params.num_instructions_to_generate
    with Pool([seed.text for seed in seeds], len(seeds) + wanted) as pool:
        while len(grown.pool) < wanted:
            asked = draw_requests(grown.completions, seeds, grown.pool, params, prompt)
            accepted, rejected = len(grown.pool), grown.refused.total()
            answers = ask([request for request, _ in asked])
            judge_round(grown, asked, answers, params, refuse, pool)
            new = len(grown.pool) - accepted
            advance(new, rejected=grown.refused.total() - rejected)
            rounds_without_new = 0 if new else rounds_without_new + 1
            if rounds_without_new == params.max_rounds_without_new:
                raise NothingNew(
                    rounds_without_new,
                    len(grown.pool),
                    wanted,
                    counts(ALL_REASONS, grown.reasons()),
                )
    return grown


def draw_requests(
    first: int, seeds: list[PoolEntry], machine: list[PoolEntry], params: Bootstrap, prompt: Prompt
) -> list[Asked]:
    """The requests of a round, numbered from `first` on in the run.

    Each shows hand-written instructions and a few machine-written ones, in an order of its own;
    its draws belong to its number.
    """
    from_machine = min(len(machine), params.num_machine_prompt_instructions)
    asked = []
    for number in range(first, first + params.request_batch_size):
        draw = draws.generator(params.seed, "prompt", number)
        shown = draw.sample(machine, from_machine)
        shown += draw.sample(seeds, params.num_prompt_instructions - from_machine)
        draw.shuffle(shown)
        sampling_seed = draws.generator(params.seed, "sampling", number).getrandbits(31)
        text = prompt.fill(numbered([known.text for known in shown]))
        request = Request(text, params.sampling, sampling_seed)
        asked.append(Asked(request, [known.id for known in shown]))
    return asked


def judge_round(
    grown: Grown,
    asked: list[Asked],
    answers: Iterable[Answer],
    params: Bootstrap,
    refuse: Callable[[str], str | None],
    pool: Pool,
) -> None:
    """Sort the pieces of a round's answers into accepted and rejected, in the requests' order."""
    pieces: list[Piece] = []
    for number, ((request, shown), answer) in enumerate(
        zip(asked, answers, strict=True), grown.completions
    ):
        origin = Exchange(prompt=request.prompt, response=answer.response, key=answer.key)
        # Who knows where the last instruction of one that was cut would have ended?
        unusable = answer.problem or ("cut_at_length" if answer.cut else None)
        texts = [""] if unusable else split_numbered(answer.text, params.capitalize)
        for place, text in enumerate(texts, 1):
            id_ = instruction_id(number, place, answer.key)
            reason = unusable or refuse(text)
            pieces.append(Piece(text, id_, answer.key, origin, shown, reason))

    sound = [piece.text for piece in pieces if piece.reason is None]
    threshold = Fraction(str(params.rouge_threshold))  # as it is written: 7/10, not the float's
    sifted = iter(
        pool.sift(sound, threshold, params.num_instructions_to_generate - len(grown.pool))
    )
    for text, id_, key, origin, shown, reason in pieces:
        if reason is None:
            found = next(sifted)
            if not found.taken:
                reason = "too_similar" if found.similar else "surplus"
        if reason:
            grown.reject(
                RejectedInstruction(
                    instruction=text,
                    id=id_,
                    reason=reason,
                    key=key,
                    request_idx=grown.rounds,
                    shown=shown,
                )
            )
            continue
        grown.accept(
            Instruction(
                instruction=text,
                id=id_,
                most_similar={pool.texts[place]: score for place, score in found.closest},
                avg_similarity_score=found.mean,
                metadata=origin,
                request_idx=grown.rounds,
                shown=shown,
            )
        )
    grown.rounds += 1
    grown.completions += len(asked)


def metrics(grown: Grown) -> dict[str, Any]:
    """The stage's metrics: means and counts; nothing in them differs from run to run."""
    reasons = grown.reasons()
    return {
        "accepted": len(grown.pool),
        "too_similar": reasons["too_similar"],
        "completions": grown.completions,
        "highest_similarity": mean(grown.highest),
        "instruction_words": mean(grown.words),
        "rejected": counts(ALL_REASONS, reasons),
    }


def read_seeds(path: Path, params: Bootstrap) -> tuple[list[PoolEntry], Prompt]:
    """The hand-written instructions to grow from, and the prompt to show them in.

    Raises:
        BadFile, BadRow, TooFewSeedTasks
    """
    tasks = read_seed_tasks(path)
    kind = "seed tasks"
    if params.use_clf_seed_tasks_only:
        tasks = [task for task in tasks if task.is_classification]
        kind = "classification seed tasks"
    if len(tasks) < params.num_prompt_instructions:
        raise TooFewSeedTasks(path, len(tasks), params.num_prompt_instructions, kind)
    name = (
        "bootstrap/classification_tasks.txt"
        if params.use_clf_seed_tasks_only
        else "bootstrap/tasks.txt"
    )
    return [PoolEntry(task.id, task.instruction) for task in tasks], Prompt(name, "tasks")


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the seed tasks, grow, write instructions and metrics."""
    from seedbed.llm.engine import open_engine  # heavy, and who reads rows has no need of it

    section = params.bootstrap
    seeds, prompt = read_seeds(inputs.seed_tasks, section)
    wanted = section.num_instructions_to_generate
    places = [into.folder / path.name for path in (INSTRUCTIONS, REJECTED_INSTRUCTIONS)]
    with spooled(*places) as (accepted, rejected):
        with (
            Progress("bootstrap", wanted, "instructions") as progress,
            open_engine(params.llm, progress.answered) as engine,
        ):
            grown = Grown(accepted, rejected)
            grow(seeds, section, prompt, engine.ask, progress.advance, grown)
        write_files(
            {
                places[0]: accepted.lines(),
                places[1]: rejected.lines(),
                into.metrics: to_json(with_tables(metrics(grown))),
            }
        )
    progress.finish(len(grown.pool))
