"""`vllm serve`, as a process that ends with this one. It needs a GPU, and a program vllm."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from seedbed.llm.server_errors import NoVllm, VllmEnded

# Linux's prctl: the signal that a process gets when the thread that started it ends.
PR_SET_PDEATHSIG = 1


@contextmanager
def serve(model: str, host: str) -> Iterator[tuple[str, str]]:
    """Run the server for as long as the context lasts; gives its base URL and its key.

    If it ends before, so does this process: who started that starts it anew.

    Raises:
        NoVllm, VllmEnded
    """
    # The environment that this Python is of need not be on PATH.
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    program = shutil.which("vllm", path=os.pathsep.join(places))
    if program is None:
        raise NoVllm
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    key = secrets.token_hex(16)
    command = [program, "serve", model, "--host", host, "--port", str(port)]
    # What a request leaves out it else takes from the model's own settings.
    command += ["--served-model-name", model, "--generation-config", "vllm"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    # The key is not among the arguments, which all users of a machine can read.
    own |= {"VLLM_API_KEY": key, "VLLM_NO_USAGE_STATS": "1"}
    end_with_us = partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGKILL)
    process = subprocess.Popen(command, env=own, preexec_fn=end_with_us)  # noqa: S603 - as named
    try:
        while not _answers(host, port, key):
            if process.poll() is not None:
                raise VllmEnded(model, process.returncode)
            time.sleep(0.2)
        stopped = threading.Event()
        threading.Thread(target=_end_with, args=(process, stopped), daemon=True).start()
        yield f"http://{host}:{port}/v1", key
        stopped.set()
    finally:
        process.kill()


def _answers(host: str, port: int, key: str) -> bool:
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _end_with(process: "subprocess.Popen[bytes]", stopped: threading.Event) -> None:
    process.wait()
    if not stopped.is_set():
        os._exit(1)
