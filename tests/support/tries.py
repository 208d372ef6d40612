"""How many examples Hypothesis tries: in `make test` all, in `make test-fast` a quarter of them."""

quick = False


def tries(number: int) -> int:
    """So many, or a quarter of them with --quick."""
    return max(1, number // 4) if quick else number
