"""The fixtures of all tests, and which tests run beside which; the rest is in support/."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path

import pytest
from support import tries
from support.counted import CountedModel
from support.growing import GROWN_KEY, Growing, growing, small
from support.project import Project, stages_run
from support.server import serving
from support.snapshots import FOLDER, Snapshots


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "write tests/snapshots anew: review the diff"
    parser.addoption("--rewrite-snapshots", action="store_true", help=told)
    parser.addoption("--quick", action="store_true", help="try a quarter of Hypothesis's examples")


def pytest_configure(config: pytest.Config) -> None:
    tries.quick = config.getoption("--quick")


@pytest.fixture
def snapshot(request: pytest.FixtureRequest) -> Snapshots:
    return Snapshots(FOLDER, request.config.getoption("--rewrite-snapshots"))


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker runs all that asks the real model: two of them at once share two cores badly.

    What asks it without these fixtures is marked so where it stands. Likewise all that begins with
    the same small run, so that it is run once.

    These are slow, and so is all that runs commands in a copy of the project, or looks at a whole
    report.
    """
    model, grown = pytest.mark.xdist_group("model"), pytest.mark.xdist_group("grown")
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "model_server" in fixtures:
            item.add_marker(model)
        elif "grown_once" in fixtures:
            item.add_marker(grown)
        if {"model_server", "grown_once", "project", "new_project", "page"} & {*fixtures}:
            item.add_marker(pytest.mark.slow)
    # What takes longest begins first, so that no worker is left with it in the end.
    items.sort(
        key=lambda item: (
            item.get_closest_marker("xdist_group") is None,
            item.get_closest_marker("slow") is None,
        )
    )


@pytest.fixture
def new_project(tmp_path: Path) -> Callable[[str], Project]:
    return lambda name: Project(tmp_path / name)


@pytest.fixture
def project(new_project: Callable[[str], Project]) -> Project:
    return new_project("project")


@pytest.fixture(scope="session")
def model_server() -> Iterator[tuple[str, str]]:
    """llama.cpp's server with the packaged model: base URL and key."""
    from support.engines import EMBEDDED

    from seedbed.llm.serve import embedded

    path, digest = embedded.model_file(embedded.PACKAGED)
    with embedded.serve(embedded.Model(path, digest, EMBEDDED)) as server:
        yield server


@pytest.fixture(scope="session")
def counting(model_server: tuple[str, str]) -> Iterator[CountedModel]:
    """One for all, because its address is part of what an answer is kept under."""
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


@pytest.fixture
def counted_model(counting: CountedModel) -> CountedModel:
    """It has not been asked for anything yet."""
    counting.bodies.clear()
    return counting


@pytest.fixture(scope="session")
def run_with_model_once(
    counting: CountedModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, dict[str, tuple[int, int, int]]]:
    """A small experiment, run through with the real model and committed; see `run_with_model`."""
    project = Project(tmp_path_factory.mktemp("run-with-model") / "project")
    # More than one round's prompts bring.
    project.shrink(7)
    project.shorten_prompts()
    project.set("bootstrap.request_batch_size", 1)
    project.set("prepare.include_seed_tasks", True)
    # Room for an instance in at least one of seven completions, on whatever processor.
    project.set("instances.sampling.max_tokens", 60)
    counting.bodies.clear()
    done = project.run("dvc", "repro", **counting.environment)
    assert done.returncode == 0, done.stdout
    project.commit("Run")
    ran = stages_run(done.stdout)
    assert len(counting.bodies) == sum(sent for _, sent, _ in ran.values())
    return project, ran


@pytest.fixture
def run_with_model(run_with_model_once: tuple[Project, object], tmp_path: Path) -> Project:
    """A copy of a small experiment after its run with the real model."""
    return run_with_model_once[0].copy(tmp_path / "run-with-model")


@pytest.fixture(scope="session")
def grown_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Growing, int]]:
    """A small experiment, run through and committed; the server that answered, which goes on, since
    its address is part of what an answer is kept under; and how often it was asked for that."""
    project = Project(tmp_path_factory.mktemp("grown") / "project")
    small(project)
    with growing() as server:
        done = project.run("dvc", "repro", OPENAI_BASE_URL=server.url, OPENAI_API_KEY=GROWN_KEY)
        assert done.returncode == 0, done.stdout
        assert server.connections > 0
        project.commit("Run")
        yield project, server, len(server.bodies)


@pytest.fixture(scope="session")
def grown_once(grown_with: tuple[Project, Growing, int]) -> Project:
    """A small experiment after its run. Not to be changed: see `grown`."""
    return grown_with[0]


@pytest.fixture
def grower(grown_with: tuple[Project, Growing, int]) -> Growing:
    """The server that answered the small experiment; nothing has reached it yet."""
    grown_with[1].start_over()
    return grown_with[1]


@pytest.fixture
def grown(grown_once: Project, tmp_path: Path) -> Project:
    """A copy of a small experiment after its run."""
    return grown_once.copy(tmp_path / "grown")
