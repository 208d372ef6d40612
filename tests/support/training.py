"""A training of a tiny model, in a project or a folder of its own."""

import json
import os
import shutil
from pathlib import Path
from random import Random

from support.project import ROOT, Project, git

# What a training writes, of which the bytes must be the same.
WRITTEN = (
    "data/finetune/adapter.gguf",
    "data/finetune/adapter/adapter_config.json",
    "data/finetune/adapter/adapter_model.safetensors",
    "data/finetune/rows.jsonl",
    "data/finetune/left_out.jsonl",
    "metrics/finetune.json",
    "plots/loss.tsv",
    "plots/learning_rate.tsv",
)


def made_up(count: int, seed: int = 0) -> list[dict]:
    """Rows to train on: words of a few letters, and the same in capitals."""
    random = Random(seed)
    words = ["".join(random.choices("abcdefgh", k=random.randint(2, 9))) for _ in range(count)]
    return [{"prompt": f"{i} {word}:", "completion": word.upper()} for i, word in enumerate(words)]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def set_up(folder: Path, rows: list[dict]) -> Path:
    """What the stage reads besides the base, for a training in this process."""
    for name in ("data/prompts/finetune", "pipelines"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "params.yaml", folder)
    # DVC is asked for the stage's dependencies.
    (folder / ".dvc").mkdir()
    git(folder, "init", "-q")
    write_rows(folder / "data/prepare/finetuning.jsonl", rows)
    return folder


def set_up_project(project: Project, base: Path, rows: list[dict]) -> None:
    """The same for a training by the command."""
    for form in ("finetuning", "messages", "alpaca"):  # the stage's dependencies
        write_rows(project.folder / f"data/prepare/{form}.jsonl", rows)
    project.set("finetune.base", os.path.relpath(base, project.folder))


def written(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in WRITTEN}
