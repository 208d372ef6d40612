"""An estimate of how many tokens a text has, where no tokenizer can be asked."""

from collections.abc import Sequence


def by_words(texts: Sequence[str]) -> list[int]:
    """The estimated tokens of each text, in order: four for three words, rounded up.

    That holds for English, with the tokenizers of today.

    >>> by_words(["Translate this into French, please.", "Go.", ""])
    [7, 2, 0]
    """
    return [-(len(text.split()) * -4 // 3) for text in texts]
