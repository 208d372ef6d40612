"""Made-up texts for the benchmarks: the same ones in every run.

6,000 words of one to three syllables, drawn with Zipf's weights: the shorter a word, the more
frequent, as in English. So two texts have about as many words in common as two real ones.
"""

import random
from collections.abc import Iterator
from itertools import accumulate

# No f and no g, so that no word is one that bootstrap refuses, such as "file" or "go to".
SYLLABLES = [consonant + vowel for consonant in "bdhklmnprstvz" for vowel in "aeiou"]
VOCABULARY = 6000
MIN_WORDS, MAX_WORDS = 4, 40


class Writer:
    """Writes texts, one after the other; two writers with one seed write the same."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        words = set(SYLLABLES)
        while len(words) < VOCABULARY:
            words.add("".join(self.random.choices(SYLLABLES, k=self.random.randint(2, 3))))
        self._words = sorted(words, key=lambda word: (len(word), word))
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))

    def words(self, count: int) -> str:
        return " ".join(self.random.choices(self._words, cum_weights=self._weights, k=count))

    def instruction(self) -> str:
        """4 to 40 words, 14 on average, with the capital and the full stop of a sentence."""
        count = MIN_WORDS + round(self.random.gammavariate(2, 5))
        return self.words(min(count, MAX_WORDS)).capitalize() + "."

    def mutated(self, text: str) -> str:
        """The same text with one or two of its words replaced."""
        words = text.removesuffix(".").split()
        for position in self.random.sample(range(len(words)), self.random.randint(1, 2)):
            words[position] = self.words(1)
        return " ".join(words).capitalize() + "."


def prompts(count: int) -> Iterator[str]:
    """Distinct prompts, the same ones every time, and none of them kept."""
    writer = Writer(seed=0)
    for number in range(count):
        yield f"Task {number}: {writer.instruction()}"
