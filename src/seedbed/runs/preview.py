"""The first things that a stage would ask, what comes back, and what the stage makes of it.

A method's `preview.py` has a `Preview` for each of its stages that ask. It reads what the stage
reads, hands the stage's own functions the first rows and an engine that takes notes, and says what
they made. The requests are those of a run, by the same engine: a run asks none of them again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.core.paths import PROMPTS
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.llm.engine import Engine, open_engine
from seedbed.llm.params import Llm
from seedbed.llm.send.embed import State
from seedbed.llm.send.score import Pair, Score
from seedbed.llm.send.weigh import Options
from seedbed.runs.filled import Template


@dataclass(frozen=True)
class Asked:
    """What was asked, and what came back.

    text: what was scored after the prompt; None where the model went on with the prompt.
    said: the answer, or how likely the text is.
    kept: whether the store had it before. problem: why it is of no use.
    """

    prompt: str
    text: str | None
    said: str
    kept: bool
    key: str
    problem: str | None = None
    ended: str | None = None


@dataclass(frozen=True)
class Sample:
    """What belongs together: what was asked, and what the stage makes of it, name by name.

    about: what it is about, such as a model. later: what a run decides once it has all answers.
    made_from: what its prompts are; () where it may be anything of the stage's.
    """

    asked: Sequence[Asked]
    made: Sequence[Mapping[str, Any]]
    about: str = ""
    later: str = ""
    made_from: Sequence[Path | Template] = ()


class Watched:
    """An engine that notes what it is asked and what came back; the notes are taken once."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._noted: list[Asked] = []

    def taken(self) -> list[Asked]:
        """What was asked since this was called last, in order."""
        noted, self._noted = self._noted, []
        return noted

    @property
    def context(self) -> int | None:
        return self._engine.context

    @property
    def model(self) -> str:
        return self._engine.model

    def count_tokens(self, texts: Sequence[str]) -> list[int] | None:
        return self._engine.count_tokens(texts)

    def demand_states(self) -> None:
        self._engine.demand_states()

    def ask(self, requests: Iterable[Request]) -> Iterator[Answer]:
        wanted = list(requests)
        kept = self._engine.peek(wanted)
        for request, before, answer in zip(wanted, kept, self._engine.ask(wanted), strict=True):
            self._noted.append(
                Asked(
                    request.prompt,
                    None,
                    answer.text,
                    before is not None,
                    answer.key,
                    answer.problem,
                    answer.finish_reason,
                )
            )
            yield answer

    def score(self, texts: Iterable[Pair]) -> Iterator[Score]:
        wanted = list(texts)
        missing = self._engine.unscored(wanted)
        for pair, lacks, score in zip(wanted, missing, self._engine.score(wanted), strict=True):
            self._note_score(pair[0], pair[1], score, lacks is None)
            yield score

    def weigh(self, options: Iterable[Options]) -> Iterator[list[Score]]:
        wanted = list(options)
        missing = iter(self._engine.unweighed(wanted))
        for (prompt, texts, _), scores in zip(wanted, self._engine.weigh(wanted), strict=True):
            for text, score in zip(texts, scores, strict=True):
                self._note_score(prompt, text, score, next(missing) is None)
            yield scores

    def embed(self, prompts: Iterable[str]) -> Iterator[State]:
        wanted = list(prompts)
        missing = self._engine.unembedded(wanted)
        for prompt, lacks, state in zip(wanted, missing, self._engine.embed(wanted), strict=True):
            said = f"a state of {len(state.data) // 4} numbers"
            self._noted.append(Asked(prompt, "", said, lacks is None, state.key))
            yield state

    def _note_score(self, prompt: str, text: str, score: Score, kept: bool) -> None:
        tokens = len(score.logprobs)
        said = f"log-probability {score.total:.3f} of {tokens} token{'s' * (tokens != 1)}"
        self._noted.append(Asked(prompt, text, said, kept, score.key))


@dataclass
class Look:
    """How far a preview looks, and with what.

    rows: so many. everything: all sections of params.yaml, for what another stage makes of it.
    """

    stage: str
    rows: int
    everything: Any

    @contextmanager
    def opened(self, llm: Llm) -> Iterator[Watched]:
        """An engine as the stage opens it. Raises as `open_engine`."""
        with (
            Progress(f"preview of {self.stage}", None, "answers") as progress,
            open_engine(llm, progress.answered_row) as engine,
        ):
            yield Watched(engine)


@dataclass(frozen=True)
class Preview:
    """How to look at a stage.

    samples: the parameters and the inputs of the stage → what its first rows become. The former two
        are the stage's own `Params` and `Inputs`.
    folder: of data/prompts, with the files that its prompts are made from. forms: those that code
        has, by name.
    """

    samples: Callable[[Any, Any, Look], Iterable[Sample]]
    folder: str = ""
    forms: Mapping[str, str] = field(default_factory=dict)

    def templates(self, sample: Sample) -> list[Template]:
        """What a sample's prompts are made from. Raises BadFile."""
        paths = sorted((PROMPTS / self.folder).rglob("*.txt")) if self.folder else []
        own = [path for path in paths if not path.name.startswith(".")]
        forms = [Template(name, text) for name, text in self.forms.items()]
        return [
            one if isinstance(one, Template) else Template.read(one)
            for one in sample.made_from or (*own, *forms)
        ]


def fields(row: Record, *names: str) -> dict[str, Any]:
    """These fields of a row, in this order; all of them if none is named."""
    values = row.model_dump()
    return {name: values[name] for name in names} if names else values


def one_each(asked: Iterable[Asked], made: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """A sample a request, where each has one row."""
    return (Sample([one], [row]) for one, row in zip(asked, made, strict=True))


def kept_by(threshold: float | None, keep_share: float | None) -> str:
    """What is decided once all scores are there. Exactly one of the two is None."""
    if threshold is not None:
        return f"kept are those with a score of {threshold:g} or more"
    return f"kept are the best {keep_share:.0%} of all, which are not known yet"
