"""Handing the data on with DVC: a clone gets it from a remote, without model, server and store."""

import copy
from pathlib import Path

from support.project import Project, git


def outputs(project: Project) -> dict[str, bytes]:
    """All that the stages wrote, that git does not have; pipelines that never ran wrote nothing."""
    names = project.run("dvc", "list", ".", "--recursive", "--dvc-only").stdout.split()
    return {name: project.read(name) for name in names if (project.folder / name).exists()}


def test_a_clone_pulls_the_data_to_the_byte_without_a_model_or_the_answers(
    grown: Project, tmp_path: Path
) -> None:
    done = grown.run("dvc", "remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    assert done.returncode == 0, done.stdout
    grown.commit("Name a remote")
    done = grown.run("dvc", "push")
    assert done.returncode == 0, done.stdout
    pushed = outputs(grown)
    # The answers stay: whoever wants to hand these on too, exports the store.
    kept = [path for path in (tmp_path / "shelf").rglob("*") if path.is_file()]
    assert not any(path.read_bytes().startswith(b"SQLite format 3") for path in kept)
    assert {"prepare", "relabel_and_pick"} <= {Path(name).parent.name for name in pushed}

    clone = copy.copy(grown)
    clone.folder = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(grown.folder), "clone")
    assert not any((clone.folder / name).exists() for name in pushed)
    # Neither is there, nor is either made.
    without = {"XDG_CACHE_HOME": str(tmp_path / "no-model"), "OPENAI_BASE_URL": "http://[::1]:9/v1"}
    done = clone.run("dvc", "pull", "dvc.yaml", **without)
    assert done.returncode == 0, done.stdout
    assert outputs(clone) == pushed
    assert "up to date" in clone.run("dvc", "status", "dvc.yaml", **without).stdout
    assert "up to date" in clone.run("dvc", "repro", **without).stdout
    done = clone.run("python", "-m", "seedbed", "export", "out", PYTHONPATH="src", **without)
    assert done.returncode == 0, done.stdout
    assert not (clone.folder / ".seedbed").exists()
    assert not (tmp_path / "no-model").exists()
