"""Grow instruction-tuning data out of a handful of hand-written tasks, one DVC stage a step."""
