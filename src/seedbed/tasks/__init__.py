"""What methods share of tasks: their form, their places, and answers scored against references."""
