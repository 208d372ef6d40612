"""What is known of a run: what DVC and git recorded, what it would ask, where a row came from."""
