"""Where the files of any experiment lie, from the project's root; dvc.yaml says the same."""

from pathlib import Path

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
PROMPTS = Path("data/prompts")
METRICS = Path("metrics")
PLOTS = Path("plots")
