"""How a task's example is put to a model: the files of data/prompts/evaluate, filled in."""

from collections.abc import Sequence
from pathlib import Path

from seedbed.core.paths import PROMPTS
from seedbed.tasks.forms import Form

FOLDER = PROMPTS / "evaluate"
# (input, output) pairs that are shown before it.
Demos = Sequence[tuple[str, str]]


class Prompts:
    """All prompt files of evaluate."""

    def __init__(self) -> None:
        """Raises as `read_prompt`."""
        self._zero = {
            True: Form.read(FOLDER / "zero_shot.txt", "instruction", "input"),
            False: Form.read(FOLDER / "zero_shot_without_input.txt", "instruction"),
        }
        self._few = {
            True: Form.read(FOLDER / "few_shot.txt", "instruction", "demos", "input"),
            False: Form.read(FOLDER / "few_shot_without_input.txt", "instruction", "demos"),
        }
        self._demo = {
            True: Form.read(FOLDER / "demo.txt", "input", "output"),
            False: Form.read(FOLDER / "demo_without_input.txt", "output"),
        }

    def file_of(self, demos: Demos, given: str) -> Path:
        """The file that an input is asked with."""
        return FOLDER / self._form(demos, given.strip()).name

    def fill(self, instruction: str, demos: Demos, given: str) -> tuple[str, str]:
        """The prompt, and what it has in common with those of the task's other examples."""
        given = given.strip()
        form = self._form(demos, given)
        texts = {"instruction": instruction, "demos": self._shown(demos)}
        shared = form.before("input", **texts) if given else instruction
        return form.fill(**texts, input=given), shared

    def _form(self, demos: Demos, given: str) -> Form:
        return (self._few if demos else self._zero)[bool(given)]

    def _shown(self, demos: Demos) -> str:
        return "\n\n".join(
            self._demo[bool(given.strip())].fill(input=given.strip(), output=output.strip())
            for given, output in demos
        )
