"""A server that answers what each stage asks, as a model might, and counts what reaches it."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from random import Random

from support.project import Project
from support.server import Reply, completion, serving

# What the fixture `grown` was run with.
GROWN_KEY = "sk-the-one-and-only"


def tokens(text: str) -> int:
    """As many as a tokenizer of words would make of it."""
    return len(re.findall(r"\w+|[^\w\s]|\n", text))


@dataclass
class Growing:
    """The same request has the same answer.

    alike: every prompt of bootstrap is answered with the same instructions.
    counts: whether the usage is said.
    fails_from: the request from which on all are refused with a status of 500.
    seconds: an answer takes so long.
    """

    alike: bool = False
    counts: bool = True
    fails_from: int | None = None
    seconds: float = 0.0
    url: str = ""
    connections: int = 0
    bodies: list[dict] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def connected(self) -> None:
        self.connections += 1

    def __call__(self, body: dict, headers: Message) -> dict:
        if self.fails_from is not None and len(self.bodies) >= self.fails_from:
            raise Reply(500, '{"error": {"message": "not today"}}')
        self.bodies.append(body)
        time.sleep(self.seconds)
        prompt = body["prompt"]
        answer = completion(self.text_for(prompt))
        usage = {
            "prompt_tokens": 1 + tokens(prompt),
            "completion_tokens": 1 + tokens(answer["choices"][0]["text"]),
        }
        self.prompt_tokens += usage["prompt_tokens"]
        self.completion_tokens += usage["completion_tokens"]
        del answer["usage"]
        return {**answer, "usage": usage} if self.counts else answer

    def text_for(self, prompt: str) -> str:
        draw = Random("" if self.alike else prompt)
        if prompt.endswith("Is it classification?"):
            return draw.choice([" Yes", " No", " No"])
        if prompt.endswith(" Instruction:"):  # alpaca's
            tasks = [
                f" {words(draw, 7)}\nInput: {words(draw, 5)}\nOutput: {words(draw, 9)}"
                for _ in range(3)
            ]
            return "\n\n4. Instruction:".join(tasks)
        if prompt.endswith("\nOutput:"):  # label's, on the task that `small` leaves
            return draw.choice([" positive", " negative"])
        if prompt.endswith("\n"):
            return f"Input: {words(draw, 5)}\nOutput: {words(draw, 9)}\n"
        return " " + "\n9. ".join(words(draw, 7) for _ in range(3))

    def start_over(self) -> None:
        """Forget what reached it."""
        self.connections = self.prompt_tokens = self.completion_tokens = 0
        self.bodies.clear()


def words(draw: Random, number: int) -> str:
    syllables = ("ka", "lo", "mi", "su", "te", "bra", "fen", "gol", "rix", "vun")
    return " ".join("".join(draw.choices(syllables, k=3)) for _ in range(number))


@contextmanager
def growing(**how: object) -> Iterator[Growing]:
    server = Growing(**how)  # type: ignore[arg-type]
    with serving(server, server.connected) as url:
        server.url = url
        yield server


def small(project: Project) -> None:
    """An experiment of a few rounds of two prompts, on that server; committed."""
    project.set("llm.model", "served-model")
    project.set("bootstrap.request_batch_size", 2)
    project.shrink(12)
    project.set("alpaca.num_tasks_to_generate", 12)
    project.set("alpaca.request_batch_size", 2)
    project.set("alpaca.sampling.max_tokens", 80)
    for lock in ("dvc.lock", "pipelines/ranker/dvc.lock", "pipelines/training/dvc.lock"):
        (project.folder / lock).unlink(missing_ok=True)
    project.commit("Make it small")
