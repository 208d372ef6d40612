"""A page on which a person rates rows, or the answers of models: `seedbed review`."""
