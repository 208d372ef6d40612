"""What decides the key of an answer, and what an answer is: all that a stage has of a server."""
