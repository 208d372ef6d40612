"""DVC's run cache: what was run once is restored, and no stage runs for it again."""

import re

from support.growing import Growing
from support.project import Project


def test_going_back_to_a_threshold_restores_what_was_and_runs_no_stage(
    grown: Project, grower: Growing
) -> None:
    def repro(threshold: str) -> str:
        text = grown.read("params.yaml").decode()
        text = re.sub(r"(rouge_threshold): \S+", rf"\1: {threshold}", text)
        (grown.folder / "params.yaml").write_text(text)
        grower.start_over()
        done = grown.run("dvc", "repro", OPENAI_BASE_URL=grower.url)
        assert done.returncode == 0, done.stdout
        return done.stdout

    assert b"rouge_threshold: 0.7" in grown.read("params.yaml")
    first = grown.read("dvc.lock")
    assert "Running stage 'bootstrap'" in repro("0.6")
    assert grown.read("dvc.lock") != first
    (grown.folder / ".seedbed/responses.sqlite").unlink()  # nor is the store needed for it
    again = repro("0.7")
    assert "Running stage" not in again
    assert "'bootstrap' is cached - skipping run, checking out outputs" in again
    assert grower.bodies == []
    assert grown.read("dvc.lock") == first
