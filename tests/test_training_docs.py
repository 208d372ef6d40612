"""The scripts of docs/training.md, on a tiny model."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.project import ROOT, environment
from support.training import made_up, write_rows

PAGE = (ROOT / "docs/training.md").read_text()


def block(language: str, has: str) -> str:
    """The page's block of code that has a text in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    (found,) = (one for one in blocks if has in one)
    return str(found)


@pytest.mark.slow
def test_the_trl_script_starts_and_saves_an_adapter(tmp_path: Path) -> None:
    for package in ("torch", "peft", "trl"):
        pytest.importorskip(package, reason="pip install trl, after make check-train")
    from benchmarks.tiny_gemma import build

    script = block("python", "SFTTrainer")
    build(tmp_path / "tiny")
    write_rows(
        tmp_path / "data/prepare/finetuning.jsonl", [{**row, "key": None} for row in made_up(4)]
    )
    assert "google/gemma-3-270m" in script
    script = script.replace("google/gemma-3-270m", "tiny")
    script = script.replace(
        'SFTConfig("trained", ', 'SFTConfig("trained", max_steps=1, use_cpu=True, bf16=False, '
    )
    (tmp_path / "train.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env=environment(HF_HUB_OFFLINE="1"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "trained/adapter_model.safetensors").is_file()


def test_the_axolotl_configuration_names_files_that_a_run_writes() -> None:
    told = yaml.safe_load(block("yaml", "base_model"))
    outs = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["prepare"]["outs"]
    assert {one["path"] for one in told["datasets"]} <= set(outs)
    assert set(re.findall(r"data/prepare/\w+\.jsonl", PAGE)) <= set(outs)
