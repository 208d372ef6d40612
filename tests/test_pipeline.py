"""The real DVC, the real model, real kills."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.counted import CountedModel
from support.growing import growing
from support.processes import kill, wait_for
from support.project import ROOT, SHARED, Project, stages_run

from seedbed.llm.serve import embedded
from seedbed.methods import STAGES, module_of
from seedbed.runs.pipeline import PIPELINES

OUTPUTS = (
    "data/bootstrap/machine_generated_instructions.jsonl",
    "data/clf/is_clf_or_not.jsonl",
    "data/instances/machine_generated_instances.jsonl",
    "data/prepare/finetuning.jsonl",
)


def repro(project: Project, *arguments: str, **environment: str) -> dict[str, tuple[int, int, int]]:
    """`dvc repro`; gives for each stage that ran its rows, requests sent and answers reused.

    Without a stage among the arguments those of Self-Instruct are meant.
    """
    options = arguments and all(argument.startswith("-") for argument in arguments)
    stages = ("prepare",) if options or not arguments else ()
    done = project.run("dvc", "repro", *arguments, *stages, **environment)
    assert done.returncode == 0, done.stdout
    return stages_run(done.stdout)


def kept(project: Project) -> int:
    """How many answers the project's store has."""
    path = project.folder / ".seedbed/responses.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(path, timeout=30) as db:
        try:
            return int(db.execute("SELECT count(*) FROM responses").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # not made yet


@pytest.mark.xdist_group("model")
def test_two_clones_give_the_same_lock_even_if_one_is_killed_again_and_again(
    new_project: Callable[[str], Project],
) -> None:
    undisturbed, killed = new_project("undisturbed"), new_project("killed")
    for project in (undisturbed, killed):
        project.shrink(5)
        project.shorten_prompts()
        (project.folder / "dvc.lock").unlink(missing_ok=True)
    ran = repro(undisturbed)
    assert list(ran) == ["bootstrap", "clf", "instances", "prepare"]
    assert ran["bootstrap"][0] == 5
    assert all(undisturbed.rows(name) for name in OUTPUTS)

    for stage in ("bootstrap", "clf", "instances"):
        for more in (1, 2) if stage == "bootstrap" else (2,):
            before = kept(killed)
            process = killed.start_stage(stage)
            wait_for(lambda: kept(killed) >= before + more, process)  # noqa: B023
            kill(process)
        repro(killed, stage)
    repro(killed)
    assert killed.read("dvc.lock") == undisturbed.read("dvc.lock")
    assert kept(killed) == kept(undisturbed)


def test_only_what_is_new_is_asked(
    run_with_model_once: tuple[Project, dict[str, tuple[int, int, int]]],
    run_with_model: Project,
    counted_model: CountedModel,
) -> None:
    project, environment = run_with_model, counted_model.environment
    first = run_with_model_once[1]
    assert [first[stage][1:] for stage in ("clf", "instances")] == [(7, 0), (7, 0)]
    # More than one round brings, so that later prompts show accepted ones.
    assert first["bootstrap"][1] > 1
    assert first["bootstrap"][2] == 0

    again = repro(project, "--force", **environment)
    assert list(again) == ["bootstrap", "clf", "instances", "prepare"]
    assert counted_model.bodies == []
    assert {stage: sent for stage, (_, sent, _) in again.items()} == dict.fromkeys(again, 0)

    project.set("prepare.seed", 43)
    assert list(repro(project, **environment)) == ["prepare"]
    assert counted_model.bodies == []

    asked_before = _requests_in_the_store(project)
    project.set("bootstrap.num_machine_prompt_instructions", 1)
    changed = repro(project, **environment)
    assert list(changed) == ["bootstrap", "clf", "instances", "prepare"]
    assert changed["bootstrap"][2] >= 1, "the first round's prompts show seed tasks only"
    assert 0 < len(counted_model.bodies) == sum(sent for _, sent, _ in changed.values())
    asked_now = {body["prompt"] for body in counted_model.bodies}
    assert not asked_now & asked_before, "a prompt that did not change was sent again"


def _requests_in_the_store(project: Project) -> set[str]:
    with sqlite3.connect(project.folder / ".seedbed/responses.sqlite") as db:
        rows = db.execute("SELECT json_extract(request, '$.prompt') FROM responses")
        return {prompt for (prompt,) in rows}


def test_a_killed_stage_sends_again_at_most_what_was_in_flight(project: Project) -> None:
    project.set("llm.model", "served-model")
    with growing(seconds=0.1) as server:
        environment = {"OPENAI_BASE_URL": server.url, "SEEDBED_CONCURRENCY": "1"}
        for round_ in range(3):
            process = project.start_stage("bootstrap", **environment)
            goal = 2 * (round_ + 1)
            wait_for(lambda: kept(project) >= goal, process)  # noqa: B023
            kill(process)
        assert project.stage("bootstrap", **environment).returncode == 0
    asked = [(body["prompt"], body["seed"]) for body in server.bodies]
    assert len(set(asked)) == kept(project) > 10
    assert len(asked) - len(set(asked)) <= 3  # one in flight at each of three kills


@pytest.mark.xdist_group("model")
def test_ctrl_c_stops_at_once_keeps_what_was_done_and_says_how_to_go_on(project: Project) -> None:
    project.shrink()
    project.set("bootstrap.sampling.max_tokens", 40)
    process = project.start_stage("bootstrap")
    wait_for(lambda: kept(project) >= 2, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command to go on" in output
    assert "Traceback" not in output
    assert kept(project) >= 2
    assert not list(project.folder.glob("data/bootstrap/*.jsonl*"))


def test_a_temporary_experiment_runs_its_own_code_and_shares_the_store(
    run_with_model: Project, counted_model: CountedModel
) -> None:
    project, environment = run_with_model, counted_model.environment
    # A change that has not been committed goes into the copy; the copy's code is what must run.
    project.replace("src/seedbed/core/progress.py", "print(", "print('own copy:', __file__);print(")
    done = project.run("dvc", "exp", "run", "--temp", "--force", "prepare", **environment)
    assert done.returncode == 0, done.stdout
    own = re.findall(r"own copy: (\S+)", done.stdout)
    assert len(own) == len(stages_run(done.stdout)) == 4
    # The others say in the same words where their code is.
    commands = [
        stage["cmd"].strip() for one in PIPELINES_DECLARED.values() for stage in one.values()
    ]
    assert all(command.startswith("PYTHONPATH=src python -m seedbed ") for command in commands)
    assert not any(
        Path(path).resolve() == project.folder / "src/seedbed/core/progress.py" for path in own
    )
    assert all(Path(path).is_absolute() and ".dvc/tmp/exps" in path for path in own)
    assert counted_model.bodies == []


def test_relabelling_asks_nothing_and_a_new_task_is_asked_about_alone(
    project: Project, counted_model: CountedModel
) -> None:
    """What Auto-Instruct's stages cost when something changes."""
    project.shrink(2)
    project.shorten_prompts()
    environment = counted_model.environment
    niv2 = project.folder / "data/niv2"
    new = json.loads((niv2 / "seedbed004_present_to_past_sentence_perturbation.json").read_text())
    for path in niv2.glob("*.json"):
        if not path.name.startswith("seedbed005"):
            path.unlink()
    tasks = re.search(r"  tasks:\n(    - \w+\n)+", project.read("params.yaml").decode())
    assert tasks
    project.replace("params.yaml", tasks[0], "  tasks: null\n")
    first = repro(project, "relabel-and-pick", **environment)
    assert list(first) == ["candidates", "label", "relabel-and-pick"]
    project.commit("Run")

    counted_model.bodies.clear()
    arguments = ["-S", "relabel_and_pick.sample_instructions=4", "relabel-and-pick"]
    done = project.run("dvc", "exp", "run", *arguments, **environment)
    assert done.returncode == 0, done.stdout
    assert list(stages_run(done.stdout)) == ["relabel-and-pick"]
    picked = project.rows("data/relabel_and_pick/train.jsonl")
    assert {len(row["instruction_idx"]) for row in picked} == {4}
    assert counted_model.bodies == []

    before = {
        path: path.read_bytes()
        for folder in ("candidates", "label", "relabel_and_pick")
        for path in (project.folder / "data" / folder).glob("seedbed005*")
    }
    assert len(before) == 3
    (niv2 / "task9_new.json").write_text(json.dumps(new))
    added = repro(project, "relabel-and-pick", **environment)
    assert list(added) == ["candidates", "label", "relabel-and-pick"]
    sent = sum(sent for _, sent, _ in added.values())
    assert len(counted_model.bodies) == sent >= 7 + 2 * 8
    demo = new["Positive Examples"][0]["input"]
    assert all(demo in body["prompt"] for body in counted_model.bodies)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.xdist_group("model")
def test_a_gguf_file_takes_the_models_place_and_is_known_by_its_content(project: Project) -> None:
    project.shrink(1)
    project.set("bootstrap.request_batch_size", 2)
    project.set("bootstrap.sampling.max_tokens", 50)
    assert project.stage("bootstrap").returncode == 0
    before = project.read(OUTPUTS[0])

    (project.folder / "models").mkdir()
    path, _ = embedded.model_file(embedded.PACKAGED)
    (project.folder / "models/mine.gguf").symlink_to(path)
    project.set("llm.model", "models/mine.gguf")
    again = project.stage("bootstrap")
    assert stages_run(again.stdout)["bootstrap"][1] == 0, "the same file under another name"
    assert project.read(OUTPUTS[0]) == before

    project.set("llm.embedded.context", 2048)
    other = project.stage("bootstrap")
    assert stages_run(other.stdout)["bootstrap"][1:] == (2, 0), other.stdout


def test_the_authors_seed_tasks_work_unchanged(
    project: Project, counted_model: CountedModel
) -> None:
    theirs = SHARED / "data/self_instruct_seed_tasks.jsonl"
    if not theirs.is_file():
        pytest.skip("the authors' seed tasks are not here")
    project.shrink(3)
    project.set("bootstrap.request_batch_size", 2)
    project.shorten_prompts()
    shutil.copy(theirs, project.folder / "data/seed_tasks.jsonl")
    project.set("prepare.include_seed_tasks", True)
    repro(project, **counted_model.environment)
    assert len(project.rows("data/bootstrap/machine_generated_instructions.jsonl")) == 3
    assert len(project.rows("data/prepare/finetuning.jsonl")) >= 175


def test_only_classification_tasks_are_grown_if_asked(
    project: Project, counted_model: CountedModel
) -> None:
    project.set("bootstrap.use_clf_seed_tasks_only", True)
    project.shrink(2)
    project.set("bootstrap.request_batch_size", 2)
    assert project.stage("bootstrap", **counted_model.environment).returncode == 0
    seeds = {
        row["instruction"]
        for row in project.rows("data/seed_tasks.jsonl")
        if row["is_classification"]
    }
    row = project.rows("data/bootstrap/machine_generated_instructions.jsonl")[0]
    assert "classification" in row["metadata"]["prompt"].splitlines()[0]
    assert set(row["most_similar"]) <= seeds


def declared(path: Path) -> dict[str, dict]:
    """The stages of a dvc.yaml; of a loop, what is done in it."""
    stages = yaml.safe_load((ROOT / path).read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


# By the pipeline: that of the first run, and the others.
PIPELINES_DECLARED = {
    path.relative_to(ROOT): declared(path)
    for path in (ROOT / "dvc.yaml", *sorted((ROOT / PIPELINES).glob("*/dvc.yaml")))
}


def stage_of(declared: dict) -> str:
    """The stage that a command runs, by whichever name."""
    (stage,) = re.findall(r"-m seedbed ([\w-]+)", declared["cmd"])
    return str(stage)


# Each stage of a method, where it stands first, and where another pipeline has it again. A copy for
# tests may do without the ablation.
DECLARED: dict[str, dict] = {
    name: stage
    for path, stages in PIPELINES_DECLARED.items()
    if path.parent.name != "ablation"
    for name, stage in stages.items()
    if stage_of(stage) == name
}
REPEATED: dict[str, dict] = {
    f"{path}:{name}": stage
    for path, stages in PIPELINES_DECLARED.items()
    for name, stage in stages.items()
    if stage is not DECLARED.get(name)
}

# What these hold changes how a stage runs, or what is refused, not what it computes.
FREE = re.compile("errors|params|methods|llm/engine|[a-z_]+/(errors|params)|llm/params")
# Declared as a whole.
WHOLE = ("core", "llm/contract")


def needed(stage: str) -> set[str]:
    """The modules that shape a stage's result, and the folders that are declared as a whole."""
    package = ROOT / "src/seedbed"
    found, queue = set(), [module_of(stage).__name__.removeprefix("seedbed.").replace(".", "/")]
    while queue:
        module = queue.pop()
        whole = next((folder for folder in WHOLE if module.startswith(f"{folder}/")), None)
        path = f"src/seedbed/{whole}" if whole else f"src/seedbed/{module}.py"
        if path in found or FREE.fullmatch(module):
            continue
        found.add(path)
        if whole:
            continue
        text = (package / f"{module}.py").read_text()
        # One that is written out, and not imported.
        beside = re.findall(r'with_name\("(\w+)\.py"\)', text)
        queue += [f"{module.rpartition('/')[0]}/{name}" for name in beside]
        for source, names in re.findall(
            r"^from (seedbed[.\w]*) import (\([^)]*\)|.+)$", text, re.MULTILINE
        ):
            folder = source.removeprefix("seedbed").strip(".").replace(".", "/")
            if (package / f"{folder}.py").is_file():
                queue.append(folder)
            else:
                queue += [f"{folder}/{name}".strip("/") for name in re.findall(r"\w+", names)]
    return found


@pytest.mark.parametrize(
    ("pipeline", "name"),
    [(path, name) for path, stages in PIPELINES_DECLARED.items() for name in stages],
)
def test_a_stage_declares_the_code_that_shapes_its_result_and_no_other(
    pipeline: Path, name: str
) -> None:
    declared = PIPELINES_DECLARED[pipeline][name]
    stage = stage_of(declared)
    code = {path for path in declared["deps"] if path.startswith("src/")}
    lines = "\n".join(f"      - {path}" for path in sorted(needed(stage)))
    assert code == needed(stage), f"{name} needs in {pipeline}:\n{lines}"


@pytest.mark.parametrize("name", REPEATED)
def test_a_stage_that_repeats_another_has_its_prompts_and_parameters(
    name: str,
) -> None:
    stage = stage_of(REPEATED[name])
    once, again = (
        ([path for path in kept["deps"] if path.startswith("data/prompts")], kept.get("params"))
        for kept in (DECLARED[stage], REPEATED[name])
    )
    assert again == once


def test_what_is_declared_as_a_whole_imports_nothing_above_it() -> None:
    for folder in WHOLE:
        for path in (ROOT / "src/seedbed" / folder).glob("*.py"):
            imported = re.findall(r"^\s*(?:from|import) (seedbed[.\w]*)", path.read_text(), re.M)
            for source in imported:
                allowed = ("seedbed.core", "seedbed.errors")
                assert source.startswith((*allowed, f"seedbed.{folder.replace('/', '.')}")), path


def test_the_lock_is_of_this_code() -> None:
    root = Path(__file__).parents[1]
    stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    for stage in stages.values():
        for dependency in stage["deps"]:
            if dependency["path"].startswith(("src/", "data/seed", "data/prompts/", "data/niv2")):
                md5 = _md5(root / dependency["path"])
                assert dependency["md5"] == md5, f"{dependency['path']}: run dvc repro and commit"


def _md5(path: Path) -> str:
    """As DVC has it: of a folder, that of the list of its files."""
    if path.is_dir():
        files = [one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts]
        listed = [{"md5": _md5(one), "relpath": one.relative_to(path).as_posix()} for one in files]
        content = json.dumps(sorted(listed, key=lambda one: one["relpath"])).encode()
        return hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir"
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_a_pipeline_beside_the_first_runs_its_stages_in_the_projects_root() -> None:
    for path, stages in PIPELINES_DECLARED.items():
        for stage in stages.values():
            assert stage.get("wdir") == (None if path == Path("dvc.yaml") else "../..")


def test_stage_module_section_and_files_share_one_name() -> None:
    root = Path(__file__).parents[1]
    sections = yaml.safe_load((root / "params.yaml").read_text())
    assert DECLARED.keys() == STAGES.keys()
    for name, stage in DECLARED.items():
        module = name.replace("-", "_")
        assert f"src/{module_of(name).__name__.replace('.', '/')}.py" in stage["deps"]
        if not name.startswith("describe-"):  # it draws what others made, and has no knob
            assert module in sections
            assert module in stage["params"]
            if "--round" in stage["cmd"]:
                (round_,) = re.findall(r"--round (\S+)", stage["cmd"])
                assert "/" in round_
                assert stage["outs"] == [
                    f"data/{round_}/{module}",
                    f"metrics/{round_}/{module}.json",
                ]
                continue
            assert f"metrics/{module}.json" in stage["metrics"][0]
        assert all(
            f"{out}/".startswith(f"data/{module}/")
            for out in stage.get("outs", ())
            if isinstance(out, str)
        )


def test_a_full_disk_stops_the_stage_with_one_message(
    project: Project, counted_model: CountedModel, tmp_path: Path
) -> None:
    """A file system of 200 kB, in a namespace of its own, holds the store."""
    small = tmp_path / "small"
    small.mkdir()
    inside = f"mount -t tmpfs -o size=200k tmpfs {small} && exec python -m seedbed bootstrap"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, f"mount -t tmpfs tmpfs {small}"], check=False).returncode:
        pytest.skip("this machine allows no mount in a namespace")
    environment = {**counted_model.environment, "SEEDBED_STORE": f"{small}/responses.sqlite"}
    done = project.run(*unshare, inside, PYTHONPATH="src", **environment)
    assert done.returncode == 1, done.stdout
    assert f"response store {small}/responses.sqlite: " in done.stdout
    assert "full" in done.stdout
    assert "Traceback" not in done.stdout
    assert not list(project.folder.glob("data/bootstrap/*.jsonl*"))


def test_outputs_that_do_not_fit_leave_nothing_half_written(
    run_with_model: Project, counted_model: CountedModel
) -> None:
    project = run_with_model
    metrics = project.folder / "metrics/bootstrap.json"
    metrics.write_text("as before")
    small = project.folder / "data/bootstrap"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, f"mount -t tmpfs tmpfs {small}"], check=False).returncode:
        pytest.skip("this machine allows no mount in a namespace")
    inside = (
        "mount -t tmpfs -o size=4k tmpfs data/bootstrap && python -m seedbed bootstrap; "
        "echo exit $?; ls -A data/bootstrap"
    )
    done = project.run(*unshare, inside, PYTHONPATH="src", **counted_model.environment)
    assert "cannot be written: No space left on device" in done.stdout
    assert "Traceback" not in done.stdout
    assert done.stdout.endswith("exit 1\n"), "a half-written file is left"
    assert metrics.read_text() == "as before"


def test_a_store_that_cannot_be_written_is_named_before_anything_is_sent(
    run_with_model: Project, counted_model: CountedModel, tmp_path: Path
) -> None:
    project = run_with_model
    environment = {**counted_model.environment, "SEEDBED_STORE": str(tmp_path / "s/r.sqlite")}
    shutil.copytree(project.folder / ".seedbed", tmp_path / "s")
    (tmp_path / "s/responses.sqlite").rename(tmp_path / "s/r.sqlite")
    assert project.stage("bootstrap", **environment).returncode == 0
    assert counted_model.bodies == []
    project.set("bootstrap.seed", 1)
    (tmp_path / "s").chmod(0o555)
    (tmp_path / "s/r.sqlite").chmod(0o444)
    command = ["python", "-m", "seedbed", "bootstrap"]
    if os.geteuid() == 0:  # root may write everywhere, unless it gives that up
        without = "--bounding-set=-dac_override,-dac_read_search"
        if subprocess.run(["setpriv", without, "true"], check=False).returncode:
            pytest.skip("root cannot give up its rights here")
        command = ["setpriv", without, "--inh-caps=-all", *command]
    done = project.run(*command, PYTHONPATH="src", **environment)
    assert done.returncode == 1, done.stdout
    assert f"response store {tmp_path / 's/r.sqlite'}: " in done.stdout
    assert "SEEDBED_STORE" in done.stdout
    assert "Traceback" not in done.stdout
    assert counted_model.bodies == []
