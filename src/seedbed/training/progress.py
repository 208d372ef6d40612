"""What a person sees while a model is trained, and the one line that it ends with."""

import time
from collections.abc import Sequence
from types import TracebackType

from seedbed.core.progress import bar
from seedbed.training.checkpoints import EVERY
from seedbed.training.lora import Done
from seedbed.training.plan import Step


class Progress:
    """A line with loss, tokens a second and the time left (on stderr), and a last one (stdout)."""

    def __init__(self, stage: str, steps: Sequence[Step]):
        self._stage, self._steps = stage, steps
        self._begun = self._first = time.monotonic()
        self._tokens = self._before = 0
        self._bar = bar(stage, len(steps), "steps")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if isinstance(error, KeyboardInterrupt):
            kept = self._bar.n // EVERY * EVERY
            error.add_note(f"{self._stage} stopped: {kept} of {len(self._steps)} steps are kept")

    def doing(self, what: str) -> None:
        """Say what is done before the first step."""
        self._bar.set_postfix_str(what)

    def begin(self) -> None:
        """The first step begins: rate and time left count from here."""
        self._first = time.monotonic()
        self._bar.reset()

    def made(self, done: Done) -> None:
        """A step was made."""
        self._tokens += sum(len(row.ids) for row in self._steps[done.step].rows)
        shown = {"loss": f"{done.loss:.3f}", "tokens/s": round(self._speed())}
        self._bar.set_postfix(shown, refresh=False)
        if not self._bar.n and done.step:  # it goes on from a checkpoint
            self._bar.initial = self._bar.n = self._before = done.step
        self._bar.update()

    def _speed(self) -> float:
        return self._tokens / max(time.monotonic() - self._first, 1e-9)

    def finish(self, rows: int, done: Sequence[Done]) -> None:
        """Print the stage's last line."""
        losses = f"loss {done[0].loss:.2f} → {done[-1].loss:.2f}"
        seconds = f"{time.monotonic() - self._begun:.0f} s"
        steps = f"{len(done)} steps"
        if self._before:
            steps += f" ({self._before} of them before)"
        parts = [f"{rows} rows", steps, losses]
        if self._tokens:
            parts.append(f"{self._speed():.0f} tokens/s")
        print(" · ".join([self._stage, *parts, seconds]), flush=True)
