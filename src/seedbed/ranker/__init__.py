"""The instruction ranker: which of a task's instructions will do best on an example?

STAGES: as in `seedbed.self_instruct`.
"""

STAGES = {
    "rank-train": "Labels → a ranker: which instruction suits which example.",
    "rank-select": "Ranker, tasks and candidates → an instruction for each example.",
    "rank-evaluate": "Selections and labels → what choosing is worth, beside other ways.",
}
