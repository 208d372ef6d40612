"""What a person sees while a stage runs, and the one line that it ends with."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

RowT = TypeVar("RowT")


@dataclass
class Tally:
    """What was done so far; tokens and cost (US dollars) count answers that were sent for.

    cost: None if the model has no price.
    note: why it is slow just now, or what it waits for.
    """

    sent: int = 0
    reused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    note: str | None = None


def bar(stage: str, total: int | None, unit: str) -> tqdm:  # type: ignore[type-arg]
    """A progress line on stderr, whose rate and time left are those of the whole run."""
    return tqdm(
        total=total,
        desc=stage,
        unit=f" {unit}",
        dynamic_ncols=True,
        leave=False,
        miniters=0,
        # Rows may come in bursts.
        smoothing=0,
        # A log is no screen: a line now and then is enough.
        mininterval=0.1 if sys.stderr.isatty() else 10,
    )


class Progress:
    """A progress line (on stderr) and a last line (on stdout).

    The line shows the rate, the time left, what was sent and reused, tokens, and what else the
    stage counts with `advance`.
    """

    def __init__(self, stage: str, total: int | None, unit: str):
        self._stage = stage
        self._begun = time.monotonic()
        self._tally = Tally()
        self._rows = 0
        self._counts: dict[str, int] = {}
        self._bar = bar(stage, total, unit)

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
            kept = self._tally.sent + self._tally.reused
            error.add_note(f"{self._stage} stopped: {kept} answers are in the response store")

    def answered(self, tally: Tally) -> None:
        """Show the tally; the engine calls this after each answer."""
        self._tally = tally
        self._show()

    def answered_row(self, tally: Tally) -> None:
        """Show the tally, where each answer is a row: the line moves on by as many."""
        rows = tally.sent + tally.reused - self._rows
        self._tally = tally
        self._rows += rows
        self.advance(rows)

    def over(self, rows: Iterable[RowT]) -> Iterator[RowT]:
        """Yield the same rows, and move the line on with each."""
        for row in rows:
            yield row
            self._bar.update()

    def advance(self, steps: int = 1, **counts: int) -> None:
        """Move on by `steps` rows and add to the `counts` shown, such as rejected=2."""
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0) + count
        self._show(steps)

    def _show(self, steps: int = 0) -> None:
        tally = self._tally
        shown: dict[str, object] = {
            **self._counts,
            "sent": tally.sent,
            "reused": tally.reused,
            "tokens": f"{tally.prompt_tokens} in {tally.completion_tokens} out",
        }
        growth = self._growth(self._bar.n + steps)
        tokens = tally.prompt_tokens + tally.completion_tokens
        if growth and tokens:
            shown["tokens"] = f"{shown['tokens']} (of ~{round(tokens * growth)})"
        if tally.cost:
            shown["cost"] = f"${tally.cost:.4f}"
            if growth:
                shown["cost"] = f"{shown['cost']} (of ~${tally.cost * growth:.4f})"
        if tally.note:
            shown["note"] = tally.note
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(steps)

    def _growth(self, rows: float) -> float | None:
        """By what factor tokens and cost will have grown at the end, if the rest is like so far.

        What was reused took none of either; that what is to come may be reused too is left out.
        """
        # Where rows are not answers (bootstrap), reused ones cannot be told from sent ones.
        reused = self._tally.reused if self._rows else 0
        sent_for = rows - reused
        if not self._bar.total or sent_for <= 0:
            return None
        return 1 + (self._bar.total - rows) / sent_for

    def finish(self, rows: int) -> None:
        """Print the stage's last line, such as `clf · 40 rows · 40 sent · 0 reused · 12 s`."""
        seconds = time.monotonic() - self._begun
        tally = self._tally
        parts = [self._stage, f"{rows} rows", f"{tally.sent} sent", f"{tally.reused} reused"]
        print(" · ".join([*parts, f"{seconds:.0f} s"]), flush=True)
