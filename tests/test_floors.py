"""The floors: errors · core · llm · runs · tasks · methods · views · cli, each on those before."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import ROOT

from seedbed.methods import METHODS, STAGES, module_of

PACKAGE = ROOT / "src/seedbed"
NAMES = [method.__name__.removeprefix("seedbed.") for method in METHODS]
# What each may import of the others.
ALLOWED = {
    "errors": set(),
    "core": {"errors"},
    "llm": {"errors", "core"},
    "runs": {"errors", "core", "llm"},
    "tasks": {"errors", "core"},
    **{name: {"errors", "core", "llm", "runs", "tasks"} for name in NAMES},
    "methods": set(),
    "params": {"errors", "core", "llm", "runs", "methods"},
}
# The modules of a method that look at a run, and shape no result.
LOOKING = {
    "answers",
    "origins",
    "examples",
    "trace",
    "estimate",
    "foreseen_pool",
    "preview",
    "report",
    "export",
    "tasks",
    "ways_section",
    "errors",
}


def imports(path: Path) -> set[str]:
    """What a module imports of the project, as paths below src/seedbed, wherever it does."""
    found = set()
    for source, names in re.findall(
        r"^\s*from seedbed([.\w]*) import (\([^)]*\)|.+)$", path.read_text(), re.MULTILINE
    ):
        folder = source.strip(".").replace(".", "/")
        if (PACKAGE / f"{folder}.py").is_file():
            found.add(folder)
        else:
            found |= {f"{folder}/{name}".strip("/") for name in re.findall(r"\w+", names)}
    return found


def of(room: str) -> list[Path]:
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_lies_below(room: str) -> None:
    for path in of(room):
        others = {module.partition("/")[0] for module in imports(path)} - {room}
        assert others <= ALLOWED[room], f"{path.relative_to(ROOT)} imports {others - ALLOWED[room]}"


@pytest.mark.parametrize("method", NAMES)
def test_what_shapes_a_result_knows_nothing_of_runs(method: str) -> None:
    for path in of(method):
        if path.stem not in LOOKING:
            looked = {module for module in imports(path) if module.startswith(("runs", "views"))}
            assert not looked, f"{path.relative_to(ROOT)} imports {looked}"


def test_a_module_is_not_longer_than_one_can_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > 350} == {}


def test_every_stage_has_its_module() -> None:
    for stage, method in STAGES.items():
        assert module_of(stage).__name__.startswith(f"{method.__name__}.")


def loaded(program: str) -> set[str]:
    """The modules that a program loads."""
    run = [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules, sep='\\n')"]
    done = subprocess.run(
        run, cwd=ROOT, env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_llm_loads_no_method() -> None:
    modules = loaded("import seedbed.llm.engine")
    assert not {module for module in modules for name in NAMES if f"seedbed.{name}" in module}
