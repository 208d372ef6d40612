"""Self-Instruct (arXiv 2212.10560): seed tasks → instructions → instances → finetuning data.

STAGES: each stage, as dvc.yaml calls it, and what it makes of what; its module has its name.
"""

STAGES = {
    "bootstrap": "Seed tasks → instructions.",
    "clf": "Instructions → is it a classification task?",
    "instances": "Instructions → completions that hold inputs and outputs.",
    "prepare": "Completions → finetuning data.",
    "alpaca": "Seed tasks → whole tasks, many a request.",
    "describe-ways": "What a row takes, by the four stages and by alpaca: requests and tokens.",
    "describe-tasks": "What the new tasks ask for, how alike and how long they are: pictures.",
}
