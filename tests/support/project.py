"""Copies of the project that a test runs and changes."""

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Collection
from pathlib import Path

import yaml
from benchmarks.project import ROOT, environment, git
from benchmarks.project import Project as Copy

__all__ = ["PYTHONPATH", "ROOT", "SHARED", "Project", "environment", "git", "stages_run"]

SHARED = ROOT.parent / "shared"
# For a process that runs a module of src or of support.
PYTHONPATH = os.pathsep.join(str(ROOT / folder) for folder in ("src", "tests", "."))


class Project(Copy):
    """A copy of the project's files, and what tests do with one."""

    def __init__(self, folder: Path, pipelines: Collection[str] = ("ranker", "training")):
        """pipelines: those that are there beside the first run.

        The ablation's sixty stages cost each command three seconds. And where the first run's
        stages are less than half of all, DVC runs them in the order of a set, which differs from
        process to process.
        """
        super().__init__(folder)
        for path in (folder / "pipelines").iterdir():
            if path.name not in pipelines:
                shutil.rmtree(path)
        self.commit("Leave other pipelines out")

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
            env=environment(PYTHONPATH="src", **more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def mend_lock(self, name: str) -> None:
        """Take a dvc.lock away that is half a file: DVC writes it in place, and may be killed then.

        A person would take it from git; what ran is still in DVC's run cache.
        """
        path = self.folder / name
        try:
            whole = "stages" in yaml.safe_load(path.read_text()) if path.exists() else True
        except (yaml.YAMLError, TypeError):
            whole = False
        if not whole:
            path.unlink()

    def rows(self, name: str) -> list[dict]:
        return [json.loads(line) for line in self.read(name).splitlines()]

    def set(self, name: str, value: object) -> None:
        """Set a parameter in params.yaml, where all else stays as it is."""
        path = self.folder / "params.yaml"
        text = path.read_text()
        node = yaml.compose(text)
        for part in name.split("."):
            (node,) = (value for key, value in node.value if key.value == part)
        assert isinstance(node, yaml.ScalarNode), f"{name} is more than one value"
        start, end = node.start_mark.index, node.end_mark.index
        path.write_text(text[:start] + yaml.safe_dump(value).partition("\n")[0] + text[end:])

    def shrink(self, instructions: int = 6) -> None:
        """Make the default experiment small enough for a test."""
        self.set("bootstrap.num_instructions_to_generate", instructions)
        # Room for two or three: of the prompts of a round some go on for long.
        self.set("bootstrap.sampling.max_tokens", 80)
        self.set("instances.sampling.max_tokens", 40)
        self.set("instances.classification_max_tokens", 40)
        # What a few completions hold that are cut so short is not the same on every processor.
        self.set("prepare.output_without_label", "take")
        for task in (
            "seedbed003_headline_topic_text_categorization",
            "seedbed005_short_passage_question_answering",
        ):
            self.replace("params.yaml", f"    - {task}\n", "")
        self.set("candidates.samples", 1)
        self.set("candidates.sampling.max_tokens", 12)
        self.set("label.max_examples", 2)
        self.set("label.sampling.max_tokens", 16)
        self.set("rank_select.max_examples", 2)
        # The other is trained, which takes torch.
        params = self.read("params.yaml").decode()
        tuned = params[params.index("    - name: tuned\n") : params.index("  # What is scored of")]
        self.replace("params.yaml", tuned, "")
        self.set("evaluate.max_examples", 1)
        self.set("evaluate.sampling.max_tokens", 8)

    def shorten_prompts(self) -> None:
        """Leave a few of the worked examples in each: every process has the model read them."""
        for name in ("clf/is_classification", "instances/input_first", "instances/output_first"):
            path = self.folder / f"data/prompts/{name}.txt"
            head, *examples, last = path.read_text().split("\n\nTask: ")
            assert len(examples) > 3
            path.write_text("\n\nTask: ".join([head, *examples[:3], last]))
        for path in (self.folder / "data/prompts/candidates/few_shot").glob("tasks_*.txt"):
            first, *more = path.read_text().split("\n\nShort instruction: ")
            assert len(more) == 7
            told, _, _ = more[0].partition("\n\n")  # of the first of the six tasks
            task = "\n\nShort instruction: ".join([first, told])
            path.write_text(f"{task}\n\n{{demos}}\n\nShort instruction: {more[-1]}")


def stages_run(output: str) -> dict[str, tuple[int, int, int]]:
    """The stages that ran: how many rows each has, and what was sent and reused for them."""
    lines = re.findall(r"([\w-]+) · (\d+) rows · (\d+) sent · (\d+) reused · \d+ s", output)
    return {stage: (int(rows), int(sent), int(reused)) for stage, rows, sent, reused in lines}
