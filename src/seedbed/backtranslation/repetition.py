"""Texts as sets of three words in a row, by which they and their sentences are compared."""

import re
from collections import Counter, defaultdict

# What instruction backtranslation leaves open (arXiv 2308.06259, appendix E).
LIKE = 0.8
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")

Shingles = frozenset[tuple[str, ...]]


def shingles(text: str) -> Shingles:
    """Each three words in a row, in any case; all of a text with fewer; none of one without.

    >>> sorted(shingles("To be, or not!"))
    [('be', 'or', 'not'), ('to', 'be', 'or')]
    """
    words = _WORD.findall(text.lower())
    last = max(len(words) - 2, min(len(words), 1))
    return frozenset(tuple(words[place : place + 3]) for place in range(last))


def jaccard(one: Shingles, other: Shingles) -> float:
    """How much of both is in both, 0 to 1; 0 of nothing."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


def sentences(text: str) -> list[Shingles]:
    """The sentences that have words. A line ends one, too, such as an item or a heading."""
    found = (shingles(sentence) for sentence in _SENTENCE_END.split(text))
    return [one for one in found if one]


def repeated_share(text: str) -> float:
    """The share of sentences that are like another one of the same text; 0 of none.

    Only those that have a shingle in common are compared, so that a long text takes no time.
    """
    times = Counter(sentences(text))
    if not times:
        return 0.0
    distinct = list(times)
    having: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    like = {number for number, one in enumerate(distinct) if times[one] > 1}
    for number, one in enumerate(distinct):
        seen: set[int] = set()
        for shingle in one:
            seen.update(having[shingle])
            having[shingle].append(number)
        for other in seen:
            if jaccard(one, distinct[other]) >= LIKE:
                like |= {number, other}
    return sum(times[distinct[number]] for number in like) / times.total()
