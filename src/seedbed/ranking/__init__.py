"""The ranker's training set: numbers and draws, without files and without texts."""
