"""DVC's run cache: what was run once is restored, and no stage runs for it again."""

import re

from support.growing import growing, small
from support.project import Project


def test_going_back_to_a_threshold_restores_what_was_and_runs_no_stage(project: Project) -> None:
    small(project)
    with growing() as server:

        def repro(threshold: str) -> str:
            text = project.read("params.yaml").decode()
            text = re.sub(r"(rouge_threshold): \S+", rf"\1: {threshold}", text)
            (project.folder / "params.yaml").write_text(text)
            server.start_over()
            done = project.run("dvc", "repro", OPENAI_BASE_URL=server.url)
            assert done.returncode == 0, done.stdout
            return done.stdout

        repro("0.7")
        first = project.read("dvc.lock")
        repro("0.6")
        assert project.read("dvc.lock") != first
        (project.folder / ".seedbed/responses.sqlite").unlink()  # nor is the store needed for it
        again = repro("0.7")
    assert "Running stage" not in again
    assert "'bootstrap' is cached - skipping run, checking out outputs" in again
    assert server.bodies == []
    assert project.read("dvc.lock") == first
