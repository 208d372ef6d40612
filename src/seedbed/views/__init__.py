"""What looks at a run, or at a server, from outside. Nothing here shapes a result."""
