"""A run as one page: what was run, how it did, and every row with where it came from."""
