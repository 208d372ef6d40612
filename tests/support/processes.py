"""Processes that a test waits for, or kills."""

import signal
import subprocess
import time
from collections.abc import Callable


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until the condition holds. Fails if the process ends first."""
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()[0]}"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
