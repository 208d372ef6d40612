"""What a model might answer to each stage: made-up texts, and faults in their usual number.

The same request has the same answer. A stage is known by how its prompts end.
"""

import random
import re
from typing import Any

from prepare import KINDS, WEIGHTS, completion
from texts import Writer

# Of the instructions that bootstrap gets, so many are one that the prompt shows, hardly changed.
COPIED = 0.25
_SHOWN = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
_OUTPUT = re.compile(r"^Output: (.+)$", re.MULTILINE)


class Model:
    def __init__(self) -> None:
        self._writer = Writer(seed=0)

    def say(self, body: dict[str, Any], prompt: str, number: int) -> str:
        """The text of one choice. body: the request; number: which of its choices."""
        draw = self._writer.random
        draw.seed(f"{body.get('seed')} {number} {prompt}")
        if prompt.endswith("Is it classification?"):
            return draw.choices([" Yes", " No", " Perhaps"], [30, 69, 1])[0]
        if prompt.endswith("\nOutput:"):
            return self._output(prompt, draw)
        if prompt.endswith("\n"):
            fault = draw.choices(KINDS, WEIGHTS)[0]
            return completion(self._writer, fault, "\nClass label:" in prompt)
        if prompt.startswith("Come up with a series of"):
            return self._instructions(prompt, draw)
        return f" {self._writer.instruction()}"

    def _instructions(self, prompt: str, draw: random.Random) -> str:
        """Eight that go on with the list of the prompt."""
        shown = [text for text in _SHOWN.findall(prompt) if len(text.split()) > 3]
        texts = [
            self._writer.mutated(draw.choice(shown))
            if draw.random() < COPIED
            else self._writer.instruction()
            for _ in range(8)
        ]
        return " " + "\n".join(f"{9 + i}. {text}" if i else text for i, text in enumerate(texts))

    def _output(self, prompt: str, draw: random.Random) -> str:
        """One of the outputs that the demos show: right now and then, as good candidates are."""
        return f" {draw.choice(_OUTPUT.findall(prompt))}"
