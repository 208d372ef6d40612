"""The sections of params.yaml."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from seedbed.core.section import Section, place
from seedbed.llm.contract.request import Sampling

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
# What YAML reads as something else, in the command of a stage.
_NO_TEXTS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

Target = Literal["td", "te", "tdte"]
Method = Literal[
    "first_chunk",
    "random",
    "high_uncertainty",
    "low_uncertainty",
    "high_perplexity",
    "low_perplexity",
    "low_probability",
    "easy",
    "difficult",
    "ambiguous_easy",
]
# What these choose by is no score of a model's.
FREE: tuple[Method, ...] = ("first_chunk", "random")


def _name(text: str) -> str:
    # It becomes a part of a path, and of a stage's name.
    if not _NAME.fullmatch(text) or text.lower() in _NO_TEXTS:
        raise ValueError(
            "a name has at most 60 of A-Z a-z 0-9 _ -, the first a letter, and is no word of YAML's"
        )
    return text


_Path = Annotated[str, Field(min_length=1), AfterValidator(place)]
Name = Annotated[str, AfterValidator(_name)]


class Pool(Section):
    """A pool of tasks. seed: its draw's, in place of active_pool.seed."""

    seed: int


class Run(Section):
    """A round: tasks are chosen, and a model is trained on all that were chosen so far.

    pool: whose tasks. method: how they are chosen. before: the round that it goes on from; the pool
    for `first_chunk`.
    """

    pool: Name
    method: Method
    before: Name


class Scored(Section):
    """A round whose model is asked how unsure it is. pool: that of the round."""

    pool: Name


class Active(Section):
    """What is run, round by round; pipelines/active/dvc.yaml has a stage for each.

    max_tokens: a row to train on that has more, prompt and completion together, is left out.
    runs: in order, so that none goes on from a later one.
    scored: the rounds that a method goes on from which chooses by scores.
    """

    max_tokens: int = Field(ge=8, le=32768)
    pools: dict[Name, Pool] = Field(min_length=1)
    runs: dict[Name, Run] = Field(min_length=1)
    scored: dict[Name, Scored]

    @model_validator(mode="after")
    def _fits(self) -> "Active":
        if both := sorted(self.pools.keys() & self.runs.keys()):
            raise ValueError(f"{both[0]} is a pool and a round: give one another name")
        known: dict[str, str] = {}
        chunks: dict[str, int] = {}
        places: dict[tuple[str, str, int], str] = {}
        for name, run in self.runs.items():
            if run.pool not in self.pools:
                raise ValueError(f"round {name}: there is no pool {run.pool}")
            if run.method == "first_chunk":
                if run.before != run.pool:
                    raise ValueError(f"round {name}: first_chunk goes on from the pool, {run.pool}")
            elif run.before not in known:
                later = (
                    "it is a later round" if run.before in self.runs else "there is no such round"
                )
                raise ValueError(f"round {name} goes on from {run.before}, but {later}")
            elif known[run.before] != run.pool:
                raise ValueError(f"round {name} goes on from {run.before}, which has another pool")
            if run.method not in FREE and run.before not in self.scored:
                raise ValueError(
                    f"round {name} chooses by scores of {run.before}, which active.scored lacks"
                )
            known[name] = run.pool
            chunks[name] = chunks.get(run.before, 0) + 1
            same = places.setdefault((run.pool, run.method, chunks[name]), name)
            if same != name:
                raise ValueError(f"rounds {same} and {name} have pool, method and number in common")
        for name, scored in self.scored.items():
            if known.get(name) != scored.pool:
                raise ValueError(f"scored: {name} is no round of the pool {scored.pool}")
        return self


class ActivePool(Section):
    """The pool of tasks, and the tasks that models are tried on.

    source: `self_instruct` (the seed tasks and what prepare made) or `niv2` (a folder of tasks in
        Natural Instructions' form).
    folder: of niv2.
    lists: a folder, of which DVC sees what changes.
    tasks, test_tasks: a file in `lists` with the name of a task a line; null for all there are.
    classification: likewise, of those of the pool that are classification tasks; null for those
        whose outputs are a closed set, or that clf found.
    test: a folder of tasks, or a .jsonl file in the seed tasks' form, none of which is in the pool.
    chunk: so many tasks are trained on at first, and so many more in each round.
    max_examples: of a task in `folder` so many are read, the first ones; null for all.
    dev: so many of the pool are held out too, half of them classification tasks.
    dev_examples, test_examples: of each at most so many, the first ones.
    demos: of its demos a task shows so many, at most, whenever it is asked or trained on.
    seed: of the draw; active.pools gives each pool its own.
    """

    source: Literal["self_instruct", "niv2"]
    folder: _Path
    lists: _Path
    tasks: _Path | None
    classification: _Path | None
    test: _Path
    test_tasks: _Path | None
    chunk: PositiveInt
    max_examples: PositiveInt | None
    dev: int = Field(ge=0)
    dev_examples: PositiveInt
    test_examples: PositiveInt
    demos: int = Field(ge=0)
    seed: int

    @model_validator(mode="after")
    def _has_demos(self) -> "ActivePool":
        if self.demos and self.source == "self_instruct":
            raise ValueError("demos: must be 0, the tasks of self_instruct have none")
        return self


class ActiveScore(Section):
    """Prompt uncertainty: how the probability of an answer changes as words of the prompt go.

    max_tasks: so many of the remaining tasks are scored, at random; null for all.
    instances: of each task so many, which each has.
    perturbations: prompts with words missing, K.
    rate: each word goes with this probability.
    target: td (of the definition), te (of the inputs of the demos) or tdte (of both).
    labels: own (the model's own answer) or gold (the first right one).
    probability: geometric (the mean of a token's log-probability) or product.
    uncertainty: absolute or signed (means of the difference to the whole prompt), mean or std (of
        all K + 1).
    end: what is scored after the answer, "" for nothing.
    """

    max_tasks: PositiveInt | None
    instances: PositiveInt
    perturbations: PositiveInt
    rate: float = Field(ge=0, le=1)
    target: Target
    labels: Literal["own", "gold"]
    probability: Literal["geometric", "product"]
    uncertainty: Literal["absolute", "signed", "mean", "std"]
    end: str
    sampling: Sampling
    seed: int

    @model_validator(mode="after")
    def _is_greedy(self) -> "ActiveScore":
        if self.sampling.temperature:
            raise ValueError("sampling.temperature: must be 0, its own answer is a greedy one")
        return self


class ActiveSelect(Section):
    """How tasks are chosen.

    method: active.runs gives each round its own.
    cls_share: of a chunk this share are classification tasks, rounded down; null: whatever comes.
    examples: of each task so many are trained on, at random; null for all.
    """

    method: Method
    cls_share: float | None = Field(ge=0, le=1)
    examples: PositiveInt | None
    seed: int


class ActiveCurve(Section):
    """resamples: how often the test tasks, or the pools, are drawn anew for an interval."""

    resamples: int = Field(ge=100, le=1_000_000)
    seed: int


class Sections(Section):
    """All sections of Active Instruction Tuning."""

    active: Active
    active_pool: ActivePool
    active_score: ActiveScore
    active_select: ActiveSelect
    active_curve: ActiveCurve
