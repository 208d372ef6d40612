"""What a model is asked of texts and instructions: the files of data/prompts, filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from seedbed.backtranslation.params import Rubric
from seedbed.core.paths import PROMPTS
from seedbed.core.prompts import read_prompt
from seedbed.tasks.forms import Form

AUGMENT, CURATE = PROMPTS / "augment", PROMPTS / "curate"


class Pair(Protocol):
    """What is shown, and what is asked about. id: by which a pair is not shown before itself."""

    @property
    def id(self) -> str: ...
    @property
    def instruction(self) -> str: ...
    @property
    def output(self) -> str: ...


@dataclass(frozen=True)
class Filled:
    """A prompt, and what of its beginning others share, the shorter before the longer."""

    text: str
    prefixes: tuple[str, ...]


class Backward:
    """A text, for its instruction to follow: data/prompts/augment."""

    def __init__(self) -> None:
        """Raises as `read_prompt`."""
        self._few = Form.read(AUGMENT / "few_shot.txt", "demos", "text")
        self._zero = Form.read(AUGMENT / "zero_shot.txt", "text")
        self._demo = Form.read(AUGMENT / "demo.txt", "text", "instruction")

    def fill(self, demos: Sequence[Pair], text: str) -> Filled:
        """The prompt of a text. Its prefixes: the demos, then the text as well."""
        if not demos:
            whole = self.alone(text)
            return Filled(whole, (_through(whole, self._zero.before("text"), text),))
        shown = "\n\n".join(
            self._demo.fill(text=d.output, instruction=d.instruction) for d in demos
        )
        before = self._few.before("text", demos=shown)
        whole = self._few.fill(demos=shown, text=text)
        return Filled(whole, (before, _through(whole, before, text)))

    def alone(self, text: str) -> str:
        """The prompt of a text without any demo: what a model is trained on that needs none."""
        return self._zero.fill(text=text)


def _through(whole: str, before: str, text: str) -> str:
    """The beginning of a prompt up to the end of a text, which stands some spaces behind `before`.

    >>> _through("Text: Tea. Request:", "Text:", "Tea.")
    'Text: Tea.'
    """
    return whole[: whole.index(text, len(before)) + len(text)]


class Forward:
    """An instruction, for its output to follow: data/prompts/curate.

    Without demos it is what `finetune` trains on, so a model is asked as it was trained; so spaces
    around an instruction count for nothing, as there.
    """

    def __init__(self) -> None:
        """Raises as `read_prompt`."""
        self._few = Form.read(CURATE / "few_shot.txt", "demos", "instruction")
        self._few_alone = Form.read(CURATE / "few_shot_alone.txt", "demos")
        self._zero = Form.read(CURATE / "zero_shot.txt", "instruction")
        self._alone = read_prompt(CURATE / "alone.txt", [])
        self._demo = Form.read(CURATE / "demo.txt", "instruction", "text")

    def fill(self, demos: Sequence[Pair], instruction: str | None) -> Filled:
        """The prompt of an instruction; of None, one that asks for a text of any kind."""
        asked = None if instruction is None else instruction.strip()
        if not demos:
            text = self._alone if asked is None else self._zero.fill(instruction=asked)
            return Filled(text, ())
        shown = "\n\n".join(
            self._demo.fill(instruction=d.instruction, text=d.output) for d in demos
        )
        prefixes = (self._few.before("instruction", demos=shown),)
        if asked is None:
            return Filled(self._few_alone.fill(demos=shown), ())
        return Filled(self._few.fill(demos=shown, instruction=asked), prefixes)


class Rating:
    """A pair, for its rating to follow: data/prompts/curate.

    digit: whether the rating itself is what follows, or reasons that end with it.
    """

    def __init__(self, rubric: Rubric, digit: bool):
        """Raises as `read_prompt`."""
        name = f"{rubric}_digit.txt" if digit else f"{rubric}.txt"
        self._form = Form.read(CURATE / name, "instruction", "text")

    def fill(self, instruction: str, output: str) -> Filled:
        """The prompt of a pair."""
        before = self._form.before("instruction")
        return Filled(self._form.fill(instruction=instruction, text=output), (before,))
