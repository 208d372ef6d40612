"""How a held-out example is put to a model: the files of data/prompts/evaluate, filled in."""

import re
from pathlib import Path

from seedbed.core.paths import PROMPTS
from seedbed.core.prompts import read_prompt
from seedbed.training.held_out import Case

FOLDER = PROMPTS / "evaluate"


class Form:
    """A prompt file with several places."""

    def __init__(self, name: str, *places: str):
        """Read data/prompts/evaluate/`name`. Raises as `read_prompt`."""
        self.name = name
        in_braces = [f"{{{place}}}" for place in places]
        text = read_prompt(FOLDER / name, in_braces)
        # Filled in all at once: what is filled in may look like a place.
        self._parts = re.split("(" + "|".join(map(re.escape, in_braces)) + ")", text)

    def fill(self, **texts: str) -> str:
        """The text with each place filled in; a place without a text stays empty."""
        return "".join(self._filled(texts))

    def before(self, place: str, **texts: str) -> str:
        """What stands before a place, once the places before that are filled in."""
        end = self._parts.index(f"{{{place}}}")
        # A space before a place is the beginning of the next word, for most tokenizers.
        return "".join(self._filled(texts)[:end]).rstrip(" ")

    def _filled(self, texts: dict[str, str]) -> list[str]:
        # Every second part is a place.
        return [
            texts.get(part[1:-1], "") if number % 2 else part
            for number, part in enumerate(self._parts)
        ]


class Prompts:
    """All prompt files of evaluate."""

    def __init__(self) -> None:
        """Raises as `read_prompt`."""
        self._zero = {
            True: Form("zero_shot.txt", "instruction", "input"),
            False: Form("zero_shot_without_input.txt", "instruction"),
        }
        self._few = {
            True: Form("few_shot.txt", "instruction", "demos", "input"),
            False: Form("few_shot_without_input.txt", "instruction", "demos"),
        }
        self._demo = {
            True: Form("demo.txt", "input", "output"),
            False: Form("demo_without_input.txt", "output"),
        }

    def file_of(self, case: Case) -> Path:
        """The file that a case is asked with."""
        return FOLDER / self._form(case).name

    def fill(self, case: Case) -> tuple[str, str]:
        """The prompt, and what it has in common with those of the task's other examples."""
        form = self._form(case)
        texts = {"instruction": case.task.instruction, "demos": self._shown(case)}
        given = case.example.input.strip()
        shared = form.before("input", **texts) if given else case.task.instruction
        return form.fill(**texts, input=given), shared

    def _form(self, case: Case) -> Form:
        forms = self._few if case.demos else self._zero
        return forms[bool(case.example.input.strip())]

    def _shown(self, case: Case) -> str:
        return "\n\n".join(
            self._demo[bool(given.strip())].fill(input=given.strip(), output=output.strip())
            for given, output in case.demos
        )
