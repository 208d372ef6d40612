"""A completions server as a process of its own, for tests that kill it.

    python -m support.lone_server PORT LOG SECONDS

It answers each prompt in capitals after SECONDS, and writes each prompt that it saw to LOG.
"""

import sys
import threading
import time
from email.message import Message
from pathlib import Path

from support.server import completion, serving


def main(port: int, log: Path, seconds: float) -> None:
    lock = threading.Lock()

    def answer(body: dict, headers: Message) -> dict:
        with lock, log.open("a") as file:
            file.write(body["prompt"] + "\n")
        time.sleep(seconds)
        return completion(body["prompt"].upper())

    with serving(answer, port=port):
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
