"""Texts, instructions and what a judge is told of them: what backtranslation's tests share."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seedbed.backtranslation.demos import Demos
from seedbed.backtranslation.judging import Scoring as ToScore
from seedbed.backtranslation.judging import Weighing
from seedbed.backtranslation.rows import AugmentedPair, SeedPair, Segment
from seedbed.core.paths import Into
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from support.engines import Fake
from support.params import SECTIONS, changed
from support.project import ROOT

NONE = Demos((), ())


@dataclass(frozen=True)
class Pair:
    """The least that is judged."""

    id: str
    instruction: str
    output: str


def pairs(number: int) -> list[Pair]:
    """Each with texts of its own, of which none is a part of another."""
    return [Pair(f"p{n}", f"instruction {n}.", f"output {n}.") for n in range(number)]


def segment(name: str, text: str = "", **more: Any) -> Segment:
    """One of a document of its own, unless told otherwise."""
    about: dict[str, Any] = {
        "document": f"data/corpus/{name}.md",
        "heading": [name],
        "first_line": 3,
        "last_line": 9,
        "license": "cc-by-4.0",
        "url": f"https://example.org/{name}",
    }
    return Segment(id=f"s-{name}", text=text or f"The text about {name}.", **{**about, **more})


def augmented(name: str, instruction: str = "", text: str = "") -> AugmentedPair:
    of = segment(name, text)
    return AugmentedPair(
        id=of.id,
        instruction=instruction or f"Tell me something about {name} please.",
        output=of.text,
        document=of.document,
        heading=of.heading,
        license=of.license,
        url=of.url,
        key=f"key-{name}",
    )


def seed_pair(number: int, demo: bool = True) -> SeedPair:
    return SeedPair(
        id=f"task_{number}/0",
        instruction=f"What did person {number} write down then?",
        output=f"Person {number} wrote this.",
        demo=demo,
        not_shown=None if demo else "too_short",
        task=f"task_{number}",
        source="data/seed_tasks.jsonl",
    )


@dataclass(frozen=True)
class Known:
    """A scoring with log-probabilities that somebody made up."""

    key: str
    logprobs: list[float]

    @property
    def total(self) -> float:
        return sum(self.logprobs)


def key_of(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


@dataclass
class Model:
    """A model that judges are given: answers, and log-probabilities that are known.

    likely: prompt, text → those of the text's tokens. reply: request → text, and why it ended.
    scored, weighed: what it was asked, in order. context: so many letters it takes, each a token.
    """

    likely: Callable[[str, str], list[float]] = lambda prompt, text: [-1.0]
    reply: Callable[[Request], str | tuple[str, str]] = lambda request: "Score: 3"
    scored: list[ToScore] = field(default_factory=list)
    weighed: list[Weighing] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    context: int | None = None

    def count_tokens(self, texts: Sequence[str], /) -> list[int]:
        return [len(text) for text in texts]

    def ask(self, requests: Iterable[Request], /) -> Iterator[Answer]:
        fake = Fake(self.reply)
        answers = fake(requests)
        self.requests += fake.requests
        return iter(answers)

    def score(self, texts: Iterable[ToScore], /) -> Iterator[Known]:
        for prompt, text, prefixes in texts:
            self.scored.append((prompt, text, prefixes))
            yield Known(key_of(prompt, text), self.likely(prompt, text))

    def weigh(self, options: Iterable[Weighing], /) -> Iterator[list[Known]]:
        for prompt, texts, prefixes in options:
            self.weighed.append((prompt, texts, prefixes))
            yield [Known(key_of(prompt, text), self.likely(prompt, text)) for text in texts]


def params(stage: Any, **changes: Any) -> Any:
    """Those of params.yaml for a stage, with changes, and of each section what it declares."""
    values = changed(changed(SECTIONS, {"llm": {"model": "served-model"}}), changes)
    for name, one in stage.Params.model_fields.items():
        kept = getattr(one.annotation, "model_fields", None)
        if kept and name != "llm":
            values[name] = {part: values[name][part] for part in kept}
    return stage.Params.model_validate({name: values[name] for name in stage.Params.model_fields})


def into(stage: Any, round_: str = "") -> Into:
    return Into(stage.__name__.rpartition(".")[2], round_)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def lines(some: Iterable[Any]) -> str:
    dumped = [one if isinstance(one, dict) else one.model_dump() for one in some]
    return "".join(json.dumps(one) + "\n" for one in dumped)


def put(path: Path, some: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines(some), encoding="utf-8")
    return path


def lay_prompts(folder: Path) -> None:
    """The prompts, in a folder that is then worked in."""
    for name in ("augment", "curate", "finetune"):
        shutil.copytree(ROOT / "data/prompts" / name, folder / "data/prompts" / name)


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their names from there; none if there is no such folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
