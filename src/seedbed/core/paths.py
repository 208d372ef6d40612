"""Where the files of the experiment lie, from the project's root; dvc.yaml says the same."""

from pathlib import Path

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
SEED_TASKS = Path("data/seed_tasks.jsonl")
PROMPTS = Path("data/prompts")

INSTRUCTIONS = Path("data/bootstrap/machine_generated_instructions.jsonl")
REJECTED_INSTRUCTIONS = Path("data/bootstrap/rejected.jsonl")
CLASSIFIED = Path("data/clf/is_clf_or_not.jsonl")
RAW_INSTANCES = Path("data/instances/machine_generated_instances.jsonl")
PREPARED = Path("data/prepare")
CANDIDATES = Path("data/candidates")
LABELLED = Path("data/label")
RELABELLED = Path("data/relabel_and_pick")
# Its files of all tasks, beside those of single ones.
MERGED = ("train", "seen_dev", "unseen_dev")

METRICS = Path("metrics")
PLOTS = Path("plots")
