"""Where requests go: the server in this process, or another."""
