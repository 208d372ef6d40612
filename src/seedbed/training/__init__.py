"""Training: rows → a model that was trained on them.

STAGES: as in `seedbed.self_instruct`.
"""

STAGES = {
    "finetune": "Rows → a LoRA adapter, trained on them.",
}
