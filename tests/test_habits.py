"""What keeps the project pleasant: a quick start of every command, and checks that are the same
here, before a commit, and on a bare machine."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from support.project import ROOT
from support.snapshots import FOLDER

from seedbed.methods import STAGES, module_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
# What every command needs: to read its arguments, and to know a file and a parameter.
# markdown-it-py is what typer draws its help with.
LIGHT = {"markdown-it-py", "pydantic", "pyyaml", "typer"}

LOADED = """
import sys
from importlib.metadata import packages_distributions
{statement}
known = packages_distributions()
tops = {{name.partition(".")[0] for name in sys.modules}}
print(*{{found.lower() for top in tops for found in known.get(top, [])}})
"""


def test_no_command_starts_by_loading_a_library_that_it_may_not_need() -> None:
    statement = (
        "import seedbed.params, seedbed.runs.pipeline, seedbed.errors, seedbed.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(seedbed.cli.app, ['export', '--help']).exit_code == 0"
    )
    declared = {re.split(r"[\[><=]", one)[0] for one in PROJECT["project"]["dependencies"]}
    assert {"dvc", "numpy", "openai", "pyarrow"} | LIGHT <= declared
    code = LOADED.format(statement=statement)
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pydantic" in loaded
    assert loaded & declared <= LIGHT


def test_a_stage_depends_on_the_contract_alone_until_it_asks() -> None:
    """So who reads its rows, as a trace does, need not load the engine."""
    modules = ", ".join(module_of(stage).__name__ for stage in STAGES)
    loaded = loaded_by(f"import {modules}")
    contract = {"contract", "contract.request", "contract.wire", "params", "answers", "spool"}
    assert {name for name in loaded if name.startswith("seedbed.llm.")} == {
        f"seedbed.llm.{name}" for name in contract
    }


@pytest.mark.slow
def test_a_trace_loads_neither_the_engine_nor_the_client() -> None:
    loaded = loaded_by(
        "from typer.testing import CliRunner; import seedbed.cli, seedbed.methods\n"
        "seedbed.methods.parts('trace')\n"
        "said = CliRunner().invoke(seedbed.cli.app, ['trace', 'data/prepare/alpaca.jsonl:1'])\n"
        "assert 'alpaca.jsonl' in said.output, said.output"
    )
    assert "seedbed.views.trace" in loaded
    assert not loaded & {"seedbed.llm.engine", "seedbed.llm.send", "openai", "aiohttp"}


def loaded_by(statement: str) -> set[str]:
    """The modules that are loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_workflow_runs_targets_of_the_makefile_with_pinned_actions() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    made = {step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")}
    assert made == {"lint", "test", "repro", "check-train", "check-cluster"}
    assert all(re.search(f"^{target}:", MAKEFILE, re.M) for target in made)
    actions = [step["uses"] for step in steps if "uses" in step]
    assert actions
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in actions)


def test_a_commit_is_checked_by_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (local,) = (one["hooks"] for one in hooks if one["repo"] == "local")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    assert recipe
    linted = re.findall(r"^\t(.+?)(?: --check)?(?: \.)?$", recipe[1], re.M)
    # A hook is given the files, and may mend them.
    entries = [hook["entry"].replace(" --force-exclude", "") for hook in local]
    assert entries == [f".venv/bin/{one}" for one in linted]
    assert all(hook["language"] == "system" for hook in local)


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)
    assert phony
    listed = dict(re.findall(r"^make (\S+) +(\S.*)$", done.stdout, re.M))
    assert set(listed) == set(phony[1].split())


def imported(path: Path) -> set[str]:
    """The packages and modules that a file imports, each by its first name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_no_test_imports_another_and_no_benchmark_imports_a_test() -> None:
    """What tests share is in tests/support; what they share with benchmarks, in benchmarks."""
    tests = {path.stem for path in (ROOT / "tests").glob("*.py")}
    for path in (ROOT / "tests").rglob("*.py"):
        assert not imported(path) & tests, f"{path}: move what is shared to tests/support"
    for path in (ROOT / "benchmarks").rglob("*.py"):
        names = imported(path) & {*tests, "tests", "support"}
        assert not names, f"{path}: move {names} to benchmarks"


def test_every_snapshot_is_held_by_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    # What stands in braces is the value of a parameter.
    named = [re.sub(r"{.*?}", r"\\w+", name) for name in re.findall(r'snapshot\(f?"(.+?)"', tests)]
    files = {path.stem for path in FOLDER.iterdir()}
    assert files
    for file in files:
        assert any(re.fullmatch(name, file) for name in named), f"tests/snapshots/{file}.txt"
