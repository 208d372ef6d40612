"""What the tests share: copies of the project, a counting way to a real model, a faulty server."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
BIN = Path(sys.executable).parent


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all that asks the real model: two of them at once share two cores badly.

    Likewise all that begins with the same small run, so that it is run once.
    """
    model, grown = pytest.mark.xdist_group("model"), pytest.mark.xdist_group("grown")
    for item in items:
        if "model_server" in getattr(item, "fixturenames", ()) or "test_pipeline" in item.nodeid:
            item.add_marker(model)
        elif "grown_once" in getattr(item, "fixturenames", ()):
            item.add_marker(grown)
    # They take longest, so they begin first; the order is else as it was.
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


class Project:
    """A copy of the project's files in a git repository of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        names = _git(ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file():  # not what is deleted but not committed yet
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        _git(folder, "init", "-q")
        self.commit("Copy the project")

    def copy(self, folder: Path) -> "Project":
        """Another like it, with its history, its outputs and DVC's cache."""
        shutil.copytree(self.folder, folder, symlinks=True)
        twin = copy.copy(self)
        twin.folder = folder
        return twin

    def commit(self, message: str) -> None:
        _git(self.folder, "add", "-A")
        me = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
        _git(self.folder, *me, "commit", "-q", "--allow-empty", "-m", message)

    def environment(self, **more: str) -> dict[str, str]:
        own = ("SEEDBED_", "OPENAI_", "DVC_", "GIT_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        return clean | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"} | more

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project; output and errors come as one text, in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )

    def stage(self, *names: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "seedbed", *names, PYTHONPATH="src", **more)

    def start_stage(self, name: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["python", "-m", "seedbed", name],
            cwd=self.folder,
            env=self.environment(PYTHONPATH="src", **more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def rows(self, name: str) -> list[dict]:
        return [json.loads(line) for line in self.read(name).splitlines()]

    def replace(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def shrink(self, instructions: int = 6) -> None:
        """Make the default experiment small enough for a test."""
        self.replace(
            "params.yaml",
            "num_instructions_to_generate: 40",
            f"num_instructions_to_generate: {instructions}",
        )
        self.replace("params.yaml", "max_tokens: 350", "max_tokens: 40")
        # What a few completions hold that are cut so short is not the same on every processor.
        self.replace("params.yaml", "output_without_label: refuse", "output_without_label: take")
        self.replace(
            "params.yaml", "classification_max_tokens: 300", "classification_max_tokens: 40"
        )
        for task in (
            "seedbed003_headline_topic_text_categorization",
            "seedbed005_short_passage_question_answering",
        ):
            self.replace("params.yaml", f"    - {task}\n", "")
        self.replace("params.yaml", "samples: 3", "samples: 1")
        self.replace("params.yaml", "max_tokens: 60", "max_tokens: 12")
        self.replace("params.yaml", "max_examples: 10", "max_examples: 2")


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[[str], Project]:
    return lambda name: Project(tmp_path / name)


@pytest.fixture
def project(new_project: Callable[[str], Project]) -> Project:
    return new_project("project")


MODELS = json.dumps({"object": "list", "data": [{"id": "served-model", "object": "model"}]})


class Reply(Exception):
    """Raised by a handler of `serving`: answer with this status and body."""

    def __init__(self, status: int, body: str, headers: dict[str, str] | None = None):
        self.status, self.body, self.headers = status, body, headers or {}


class Cut(Exception):
    """Raised by a handler of `serving`: close the connection after so much of an answer."""

    def __init__(self, after: str = ""):
        self.after = after


class Trickle(Exception):
    """Raised by a handler of `serving`: answer with a space now and then, until `over`."""

    def __init__(self, over: threading.Event):
        self.over = over


@contextmanager
def serving(
    answer: Callable[[dict, Message], dict],
    connected: Callable[[], None] = lambda: None,
    port: int = 0,
    pages: Mapping[str, object] | None = None,
) -> Iterator[str]:
    """An HTTP server on loopback that answers completion requests with `answer(body, headers)`.

    `connected` is called at each connection; `pages` are what else can be got. Gives the base URL.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each response waits 40 ms

        def setup(self) -> None:
            connected()
            super().setup()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._send(200, json.dumps(answer(body, self.headers)), {})
            except Reply as reply:
                self._send(reply.status, reply.body, reply.headers)
            except Cut as cut:
                if cut.after:
                    self._send(200, cut.after, {}, missing=100)
                self.close_connection = True
            except Trickle as trickle:
                self._send(200, " ", {}, missing=10_000)
                while not trickle.over.wait(0.05):
                    self.wfile.write(b" ")
            except ConnectionError:
                self.close_connection = True  # the client has gone

        def do_GET(self) -> None:
            found = {path: json.dumps(page) for path, page in (pages or {}).items()}
            found.setdefault("/v1/models", MODELS)
            self._send(200 if self.path in found else 404, found.get(self.path, "{}"), {})

        def _send(self, status: int, text: str, headers: dict[str, str], missing: int = 0) -> None:
            data = text.encode(errors="surrogateescape")
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data) + missing))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 200

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def completion(text: str, finish_reason: str = "stop") -> dict:
    """A response body of the completions API."""
    return {
        "id": f"cmpl-{time.monotonic_ns()}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": "served-model",
        "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


class CountedModel:
    """The real model server with a counter before it: what was asked, in order."""

    def __init__(self, base_url: str):
        self.base_url = base_url
        self.bodies: list[dict] = []

    @property
    def environment(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": self.base_url, "SEEDBED_CONCURRENCY": "1"}


@pytest.fixture(scope="session")
def model_server() -> Iterator[tuple[str, str]]:
    """llama.cpp's server with the packaged model: base URL and key."""
    from seedbed.llm.params import Embedded
    from seedbed.llm.serve import embedded

    path, digest = embedded.model_file(embedded.PACKAGED)
    settings = Embedded(context=4096, slots=1, threads=2)
    with embedded.serve(embedded.Model(path, digest, settings)) as server:
        yield server


@pytest.fixture
def counted_model(model_server: tuple[str, str]) -> Iterator[CountedModel]:
    base_url, key = model_server
    counted = CountedModel("")

    def forward(body: dict, _: Message) -> dict:
        counted.bodies.append(body)
        request = urllib.request.Request(
            f"{base_url}/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    with serving(forward) as address:
        counted.base_url = address
        yield counted


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until the condition holds. Fails if the process ends first."""
    while not condition():
        assert process.poll() is None, f"it ended too early: {process.communicate()[0]}"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="session")
def grown_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small experiment, run through and committed. Not to be changed: see `grown`."""
    from growing import growing, small

    project = Project(tmp_path_factory.mktemp("grown") / "project")
    small(project)
    with growing() as server:
        done = project.run("dvc", "repro", OPENAI_BASE_URL=server.url)
    assert done.returncode == 0, done.stdout
    project.commit("Run")
    return project


@pytest.fixture
def grown(grown_once: Project, tmp_path: Path) -> Project:
    """A copy of a small experiment after its run."""
    return grown_once.copy(tmp_path / "grown")
