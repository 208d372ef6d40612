"""Active Instruction Tuning (arXiv 2311.00288): which tasks are worth training on.

STAGES: as in `seedbed.self_instruct`. Training and evaluating are `seedbed.training`'s.
"""

STAGES = {
    "active-pool": "Tasks → a pool to choose from, a first chunk of it, and held-out tasks.",
    "active-score": "A model's remaining tasks → how unsure it is how they are told.",
    "active-select": "Scores → the tasks to train on next.",
    "active-curve": "Evaluations of all rounds → score by number of tasks, a line a method.",
}
