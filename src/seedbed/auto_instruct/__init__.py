"""Auto-Instruct (arXiv 2310.13127): tasks → candidates → labels → a ranker's training set.

STAGES: as in `seedbed.self_instruct`.
"""

STAGES = {
    "candidates": "Tasks → candidate instructions.",
    "label": "Candidates × examples → how well each does.",
    "relabel-and-pick": "Labels → a balanced, normalised training set for a ranker.",
    "describe-candidates": "How well each candidate does: a picture.",
}
