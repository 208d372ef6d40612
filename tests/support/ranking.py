"""Made-up tasks whose candidates compete, and a server that scores and answers about them."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from threading import Lock

from support.server import completion, fail, serving

TEMPLATE = "Input: {{input}}\n\nInstruction: {{instruction}}\n\nDoes it suit?"
# A candidate's worth on an example: task, example, candidate → ROUGE-L.
Worth = Callable[[str, int, int], float]


def chance(*identity: object) -> float:
    """A number from 0 to 1, the same for the same things."""
    digest = hashlib.sha256(json.dumps(identity).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


@dataclass
class MadeUp:
    """Tasks in a folder, as Auto-Instruct's stages leave them; each example had all candidates.

    words: of each candidate; the first is the task's own.
    """

    folder: Path
    worth: Worth
    tasks: int = 3
    examples: int = 6
    words: tuple[int, ...] = (3, 5, 8, 4)
    drawn: int = 4
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = [f"task{number}" for number in range(self.tasks)]

    def candidates(self, name: str) -> list[str]:
        return [f"{name} says " + "word " * (words - 3) + "now" for words in self.words]

    def write(self, train: float = 0.5, dev: float = 0.5) -> None:
        """All files. train, dev: parts of each task's examples, the first ones and those after."""
        prompts = self.folder / "data/prompts/label"
        prompts.mkdir(parents=True, exist_ok=True)
        (prompts / "ranker.txt").write_text(TEMPLATE + "\n")
        kept: dict[str, list[dict]] = {"train": [], "seen_dev": [], "unseen_dev": []}
        for name in self.names:
            texts = self.candidates(name)
            examples = [
                {"input": f"{name} input {i}", "output": [f"out {i % 2}"], "id": f"{name}-{i}"}
                for i in range(self.examples)
            ]
            demos = [
                {"input": f"demo {i}", "output": f"out {i}", "explanation": ""} for i in range(3)
            ]
            task = {
                "Definition": [texts[0]],
                "Positive Examples": demos,
                "Categories": ["Made up"],
                "Instances": examples,
            }
            self._put(f"data/niv2/{name}.json", json.dumps(task))
            self._put(f"data/candidates/{name}.json", json.dumps(texts))
            rows = [self.row(name, i, range(len(texts))) for i in range(self.examples)]
            headers = [{"prompt": TEMPLATE}, {"instructions": texts}, {"demos": ""}]
            self._put(f"data/label/{name}.jsonl", _lines([*headers, *rows]))
            for i in range(self.examples):
                if i < (train + dev) * self.examples:
                    where = "train" if i < train * self.examples else "seen_dev"
                    kept[where].append(self.picked(name, i))
        for where, rows in kept.items():
            self._put(f"data/relabel_and_pick/{where}.jsonl", _lines(rows))

    def row(self, name: str, number: int, places: range) -> dict:
        rouge = [self.worth(name, number, place) for place in places]
        return {
            "id": f"{name}-{number}",
            "input": f"{name} input {number}",
            "target": f"out {number % 2}",
            "instruction_idx": [*places],
            "instruction_labels": [int(value >= 0.5) for value in rouge],
            "instruction_outputs": [f"said {value:.2f}" for value in rouge],
            "instruction_rouge": rouge,
            "instruction_keys": ["" for _ in places],
        }

    def picked(self, name: str, number: int) -> dict:
        row = self.row(name, number, range(self.drawn))
        total = sum(2.0**value for value in row["instruction_rouge"])
        row["instruction_labels"] = [2.0**value / total for value in row["instruction_rouge"]]
        texts = self.candidates(name)[: self.drawn]
        return {**row, "id": f"{name}:{row['id']}", "prompt": TEMPLATE, "instructions": texts}

    def _put(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def by_chance(before: str, token: str) -> float:
    """A log-probability of a token after a text."""
    return -chance(before, token)


def echoed(body: dict, likely: Callable[[str, str], float] = by_chance) -> dict:
    """The response to a prompt that is to be echoed with log-probabilities."""
    tokens = re.findall(r"\s*\S+|\s+$", body["prompt"])
    before, scores = "", []
    for token in tokens:
        scores.append(likely(before, token) if before else None)
        before += token
    logprobs = {"tokens": [*tokens, " x"], "token_logprobs": [*scores, -1.0]}
    choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": logprobs}
    usage = {"prompt_tokens": len(tokens), "completion_tokens": 1}
    return {"choices": [choice], "usage": usage}


@dataclass
class Scoring:
    """A server that echoes prompts with log-probabilities, and completes them.

    likely: prompt and the token after it → the token's log-probability.
    echoes: whether it can. reply: prompt → completion.
    """

    likely: Callable[[str, str], float] = by_chance
    reply: Callable[[str], str] = lambda prompt: " 2"
    echoes: bool = True
    url: str = ""
    bodies: list[dict] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __call__(self, body: dict, headers: Message) -> dict:
        with self.lock:
            self.bodies.append(body)
        if "prompt" not in body:
            raise fail(404, "no such page")
        if not body.get("echo"):
            return completion(self.reply(body["prompt"]))
        if not self.echoes:
            raise fail(400, "echo is not supported")
        return echoed(body, self.likely)

    @property
    def scored(self) -> list[str]:
        """The texts that were to be echoed."""
        return [body["prompt"] for body in self.bodies if body.get("echo")]


@contextmanager
def scoring(**how: object) -> Iterator[Scoring]:
    server = Scoring(**how)  # type: ignore[arg-type]
    with serving(server) as url:
        server.url = url
        yield server
