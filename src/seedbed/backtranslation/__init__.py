"""Instruction backtranslation (arXiv 2308.06259): texts → pairs that a model finds good.

People wrote the texts. A model guesses the instruction that each would answer, rates the pairs,
and the good ones are trained on, or shown to it as it rates again. The same judge rates the rows
of other methods.
"""

STAGES = {
    "segment": "Documents → segments, by heading.",
    "seed-pairs": "Tasks written by people → instructions and outputs to begin with.",
    "augment": "Segments → the instruction that each would answer.",
    "curate": "Pairs → how good the model finds each; the best.",
    "assess": "Pairs, labels by hand → how good the judge is.",
    "combine": "Seed and curated pairs → sets to train on.",
    "judge": "Rows to train on → how good the model finds each; the best.",
    "ifd": "Rows to train on → how much an instruction helps with its output.",
    "ratings": "What people say of rows → shares, agreement, which scores foretell it.",
    "describe-pairs": "Pairs → pictures of scores, lengths, verbs and nouns.",
}
