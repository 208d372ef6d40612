"""How a held-out example is put to a model: the files of data/prompts/evaluate, filled in."""

from pathlib import Path

from seedbed.core.paths import PROMPTS
from seedbed.tasks.forms import Form
from seedbed.training.held_out import Case

FOLDER = PROMPTS / "evaluate"


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
