"""How a run is asked to end."""

import signal
from types import FrameType
from typing import Any


class Stop:
    """Signals that ask a process to end, from a scheduler or a terminal that goes away: as Ctrl-C.

    number: of the signal that came last, SIGINT if none did.
    """

    def __init__(self) -> None:
        self.number = signal.SIGINT
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGTERM, signal.SIGHUP):
            # Whoever had it ignored (nohup) wants to go on.
            if signal.getsignal(number) is signal.SIG_DFL:
                self._before[number] = signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.number = signal.Signals(number)
        # While asyncio runs, it has a handler of its own there, which does not break in anywhere.
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            interrupt(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt
