"""Ray clusters of several nodes, each a process of this machine; and a vLLM that only listens."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from support.project import PYTHONPATH, ROOT

VLLM = '''#!{python}
"""Takes what `vllm serve` takes, and answers as the fake server does."""
import json, os, sys, threading, time
sys.path[:0] = {path!r}
from support.engines import response_to
from support.server import Reply, Server, serving
model = sys.argv[2]
told = dict(zip(sys.argv[3::2], sys.argv[4::2]))
if model == "ends":
    sys.exit(3)
key = os.environ["VLLM_API_KEY"]
assert key not in " ".join(sys.argv)
assert told["--served-model-name"] == model and told["--generation-config"] == "vllm"

def answer(body, headers):
    if headers["Authorization"] != "Bearer " + key:
        raise Reply(401, "{{}}")
    with open({asked!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{body['prompt']}}\\n")
    time.sleep(1.0 if body["prompt"].startswith("slow") else 0.05)
    return response_to(body)

# Each node has an address of its own.
made = Server.__init__
Server.__init__ = lambda self, at, handler: made(self, (told["--host"], at[1]), handler)
with serving(answer, port=int(told["--port"])):
    threading.Event().wait()
'''


class Cluster:
    """A cluster under a folder of its own, with a token; its nodes by their names.

    asked: a line a request that a stand-in of vLLM was sent, with its process's number.
    """

    def __init__(self) -> None:
        # Ray's sockets lie below it, and their paths may have 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))
        self.asked = self.folder / "asked"
        self.port = free_port()
        self.address = f"127.0.0.2:{self.port}"
        self.token = secrets.token_hex(32)
        self._nodes: dict[str, subprocess.Popen[str]] = {}
        program = self.folder / "bin/vllm"
        program.parent.mkdir()
        path = PYTHONPATH.split(os.pathsep)
        code = VLLM.format(python=sys.executable, path=path, asked=str(self.asked))
        program.write_text(code)
        program.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SEEDBED_", "OPENAI_", "RAY_"))
        }
        return clean | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            # On a machine that has much to do.
            "RAY_raylet_start_wait_time_s": "300",
        }

    def start(self, name: str) -> None:
        """A node of that name; the first one is the head."""
        # Two machines, as far as Ray can see.
        where = [f"--address={self.address}", "--node-ip-address=127.0.0.3"]
        if not self._nodes:
            where = ["--head", f"--port={self.port}", "--node-ip-address=127.0.0.2"]
            where += ["--include-dashboard=false"]
            where += [f"--temp-dir={self.folder}"]
        has = ["--num-cpus=1", "--num-gpus=1", "--object-store-memory=100000000"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *where, *has]
        self._nodes[name] = subprocess.Popen(
            [*command, f"--node-name={name}", "--block"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        told = []
        assert self._nodes[name].stdout
        for line in self._nodes[name].stdout:
            told.append(line)
            if "--block" in line:  # it says that it stays
                return
        raise AssertionError(f"node {name} did not start: {''.join(told)}")

    def kill(self, name: str) -> None:
        """The whole node, at once."""
        node = self._nodes.pop(name)
        processes = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        for process in processes:
            if process.is_running():
                process.kill()
        psutil.wait_procs(processes, 10)
        node.communicate()

    def processes(self) -> list[psutil.Process]:
        """All of its nodes'."""
        nodes = [psutil.Process(node.pid) for node in self._nodes.values()]
        return [process for node in nodes for process in [node, *node.children(recursive=True)]]

    def named(self, beginning: str) -> list[psutil.Process]:
        """Those of that title."""
        found = []
        for process in self.processes():
            try:
                if " ".join(process.cmdline()).startswith(beginning):
                    found.append(process)
            except psutil.Error:  # it has just ended
                continue
        return found

    def stop(self) -> None:
        for name in [*self._nodes][::-1]:
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def requests(self) -> list[tuple[int, str]]:
        """What the stand-ins were sent: by which process, and the prompt."""
        lines = self.asked.read_text().splitlines() if self.asked.exists() else []
        return [(int(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]

    def run(self, *module: str, **more: str) -> subprocess.Popen[str]:
        """A Python module that asks the cluster."""
        return subprocess.Popen(
            [sys.executable, *module],
            cwd=ROOT,
            env=self.environment | {"PYTHONPATH": PYTHONPATH, "SEEDBED_RAY": self.address} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def soon(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether it holds within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
