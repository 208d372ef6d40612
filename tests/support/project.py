"""Copies of the project that a test runs and changes."""

import copy
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.project import BIN, ROOT, git
from benchmarks.project import Project as Copy

__all__ = ["BIN", "PYTHONPATH", "ROOT", "SHARED", "Project", "git", "stages_run"]

SHARED = ROOT.parent / "shared"
# For a process that runs a module of src or of support.
PYTHONPATH = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests", "."))


class Project(Copy):
    """A copy of the project's files, and what tests do with one."""

    def copy(self, folder: Path) -> "Project":
        """Another like it, with its history, its outputs and DVC's cache."""
        shutil.copytree(self.folder, folder, symlinks=True)
        twin = copy.copy(self)
        twin.folder = folder
        return twin

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


def stages_run(output: str) -> dict[str, tuple[int, int, int]]:
    """The stages that ran: how many rows each has, and what was sent and reused for them."""
    lines = re.findall(r"([\w-]+) · (\d+) rows · (\d+) sent · (\d+) reused · \d+ s", output)
    return {stage: (int(rows), int(sent), int(reused)) for stage, rows, sent, reused in lines}
