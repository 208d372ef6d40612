"""Training: a model finetuned on the data, asked held-out tasks, and scored.

STAGES: as in `seedbed.self_instruct`.
"""

STAGES = {
    "finetune": "Rows → a LoRA adapter, trained on them.",
    "evaluate": "Models, with and without adapters, on held-out tasks → scores.",
    "curve": "Scores → by number of rows, and by threshold: pictures.",
}
