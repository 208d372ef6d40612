"""The addresses that OPENAI_BASE_URL has, one or several."""

import re


def addresses(text: str) -> list[str]:
    """Each address once, in order; they stand with spaces or commas between.

    >>> addresses("http://a/v1, http://b/v1 http://a/v1")
    ['http://a/v1', 'http://b/v1']
    """
    # A comma or a space may be a part of one, of a password say: only before another it ends one.
    parts = re.split(r"[\s,]+(?=(?i:https?)://)", text)
    return list(dict.fromkeys(filter(None, (part.rstrip(", \t\r\n") for part in parts))))
