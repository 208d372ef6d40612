"""The run log: one JSON line a request to a server, beside the store.

    {"at": "2026-11-21T06:00:00.123+00:00", "seconds": 1.234, "status": "200", "tries": 1,
     "answers": 1, "prompt_tokens": 512, "completion_tokens": 96, "key": "0f3a…"}

`key` is that of the (first) answer in the store. Neither prompt nor answer nor API key is in it.
"""

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seedbed.errors import WriteFailed

# A million lines or so; then it becomes `….1`, and the one before goes.
MOST_BYTES = 200_000_000


class RunLog:
    def __init__(self, store: Path):
        self.path = store.with_suffix(".log.jsonl")
        self._file: int | None = None
        self._size = 0
        self._lines: list[str] = []

    def add(self, **fields: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._lines.append(json.dumps({"at": now, **fields}) + "\n")
        if len(self._lines) == 100:  # nothing has been answered for a while
            self.flush()

    def flush(self) -> None:
        """Write what was added.

        Raises:
            WriteFailed: no room, or no permission.
        """
        if not self._lines:
            return
        data = "".join(self._lines).encode()
        self._lines.clear()
        try:
            if self._file is not None and self._size > MOST_BYTES:
                os.close(self._file)
                self._file = None
            if self._file is None:
                if self.path.exists() and self.path.stat().st_size > MOST_BYTES:
                    self.path.replace(self.path.with_name(self.path.name + ".1"))
                # Appending whole lines at once keeps those of several processes apart.
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                self._size = os.fstat(self._file).st_size
            self._size += len(data)
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise WriteFailed(self.path, error) from None

    def close(self) -> None:
        """Write what is left: the failures since the last answer."""
        with suppress(WriteFailed):  # an error on its way says more
            self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None
