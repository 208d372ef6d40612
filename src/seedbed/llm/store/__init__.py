"""Where every answer is kept."""
