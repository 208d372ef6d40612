"""What language a text is in.

py3langid tells 139 apart by a table of 4.5 MB that comes with it; nothing in it is drawn.
"""

from functools import cache
from typing import Any

# Sure enough: more likely than all others together. A word alone, a number, code is not.
LEAST = 0.5
# So many characters tell as much as all; of a long text that repeats itself it is less sure.
BEGINNING = 1_000
# What it says of a text that is in none.
NO_LANGUAGE = "zxx"


@cache
def _identifier() -> Any:
    # Imported here because the table takes two seconds to read.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str | None:
    """Its ISO 639 code, of two letters where there is one; None if nothing tells.

    >>> language_of("Schreibe ein Gedicht über den Herbst.")
    'de'
    """
    language, probability = _identifier().classify(text[:BEGINNING])
    return str(language) if probability >= LEAST and language != NO_LANGUAGE else None
