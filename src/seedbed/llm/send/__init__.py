"""The way of a request to a server and back."""
