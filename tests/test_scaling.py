"""The Slurm file of docs/scaling.md, with stand-ins for Slurm, Ray and DVC."""

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import wait_for
from support.project import ROOT

# What they were called with goes into `calls`.
STAND_INS = {
    "ray": """
echo "ray $*" >> calls
case $1 in status) cat nodes ;; esac
""",
    "srun": "",
    "sleep": "",
    "hostname": "echo 10.0.0.1",
    # Runs until it is told to stop, or ends with the status that a file says.
    "dvc": """
trap 'echo "dvc was told" >> calls; exit 255' INT
echo "dvc $SEEDBED_RAY" >> calls
cat "$SEEDBED_STORE" >> calls 2> none
echo answers >> "$SEEDBED_STORE"
[ ! -e status ] || exit $(cat status)
touch asking
while :; do /bin/sleep 0.05; done
""",
}


@dataclass
class Job:
    """folder: where it is started; calls: what its programs were called with."""

    folder: Path

    def start(self) -> subprocess.Popen[str]:
        own = {
            "PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
        }
        return subprocess.Popen(
            ["bash", "job"],
            cwd=self.folder,
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell that runs in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self) -> tuple[int, str]:
        process = self.start()
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def kept(self) -> str:
        return (self.folder / "seedbed-store/responses.sqlite").read_text()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (text,) = re.findall(
        r"```sh\n(#!/bin/bash\n[^`]*`make cluster`.*?)```",
        (ROOT / "docs/scaling.md").read_text(),
        re.S,
    )
    assert "/local/scratch/" in text
    (tmp_path / "job").write_text(text.replace("/local/scratch/", f"{tmp_path}/scratch/"))
    for folder in ("bin", "scratch", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    (tmp_path / "nodes").write_text(" 1 node_ab\n" * 4)
    for name, code in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{code}")
        (tmp_path / "bin" / name).chmod(0o755)
    return Job(tmp_path)


@pytest.mark.parametrize("status", [0, 3])
def test_a_job_ends_as_its_run_does_with_the_store_back_and_ray_stopped(
    job: Job, status: int
) -> None:
    (job.folder / "status").write_text(str(status))
    for time in (1, 2):
        assert job.run()[0] == status
        assert job.kept() == "answers\n" * time  # the second has what the first kept
        assert job.calls()[-1] == "ray stop"
    assert "dvc 10.0.0.1:6379" in job.calls()
    assert [*(job.folder / "scratch").iterdir()] == []


def test_a_job_that_is_out_of_time_tells_the_run_and_waits_for_it(job: Job) -> None:
    process = job.start()
    wait_for((job.folder / "asking").exists, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 255
    assert job.calls()[-2:] == ["dvc was told", "ray stop"]
    assert job.kept() == "answers\n"


def test_a_job_whose_nodes_do_not_join_says_what_ray_says_and_ends(job: Job) -> None:
    (job.folder / "nodes").write_text(" 1 node_ab\nno more of them\n")
    status, output = job.run()
    assert status == 1
    assert "no more of them" in output
    assert not any(call.startswith("dvc") for call in job.calls())
    assert job.calls()[-1] == "ray stop"
