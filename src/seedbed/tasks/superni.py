"""Answers scored as Super-NaturalInstructions scores them (arXiv 2204.07705; Tk-Instruct's rules).

ROUGE-L F1 of stemmed tokens and exact match, each the highest over an example's references, times
100. Stemmed tokens are runs of a-z and 0-9 like others, so a text that is made of them has them as
its tokens, and `seedbed.tasks.scoring` scores it fast. `tests/test_superni.py` holds both against
the rules as they are published.
"""

import string
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from seedbed.tasks.scoring import best_rouge_l

if TYPE_CHECKING:
    from rouge_score.tokenizers import DefaultTokenizer

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def rouge_l(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """ROUGE-L F1 of each output with the reference that it is closest to.

    Args:
        references: for each output one or more.

    Returns:
        float64 of shape (len(outputs),), each in 0..100.
    """
    stemmed = [_stemmed(text) for text in outputs]
    return 100 * best_rouge_l(stemmed, [[_stemmed(text) for text in texts] for texts in references])


def exact_match(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether each output is one of its references, but for case, punctuation and white space.

    Returns:
        float64 of shape (len(outputs),), each 0 or 100.
    """
    pairs = zip(outputs, references, strict=True)
    matches = [plain(output) in map(plain, texts) for output, texts in pairs]
    return 100 * np.array(matches, dtype=np.float64)


@lru_cache(maxsize=4096)  # the references are met again with every model
def plain(text: str) -> str:
    """A text lower-cased, without ASCII punctuation, each run of white space one space.

    >>> plain(" The  U.S.\\n")
    'the us'
    """
    return " ".join(text.lower().translate(_PUNCTUATION).split())


@lru_cache(maxsize=4096)
def _stemmed(text: str) -> str:
    return " ".join(_tokenizer().tokenize(text))


@cache
def _tokenizer() -> "DefaultTokenizer":
    from rouge_score.tokenizers import DefaultTokenizer  # nltk, and with it scipy: most of a second

    return DefaultTokenizer(use_stemmer=True)
