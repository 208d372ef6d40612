"""An instruction → its root verb and the noun that is the verb's direct object.

What figure 2 of the Self-Instruct paper (arXiv 2212.10560) shows of its instructions. Its authors
parse them with a neural parser. Here a part-of-speech tagger (HanTa, which brings its English
model along, so nothing is fetched) and a few rules do, since an instruction is an order or a
question. What they do not find is left out, never guessed.
"""

import re
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

# The tags are those of the British National Corpus, C5.
NOUNS = {"NN0", "NN1", "NN2", "NP0", "UNC"}
DETERMINERS = {"AT0", "DPS", "DT0", "CRD", "ORD"}
ADJECTIVES = {"AJ0", "AJC", "AJS"}
PRONOUNS = {"PNP", "PNX", "PNI"}
ADVERBS = {"AV0", "AVP", "ITJ", "XX0"}
ASKING = {"DTQ", "AVQ", "PNQ"}  # what, how, who
BASE = {"VVB", "VVI", "VDB", "VDI", "VHB", "VHI"}
PARTICIPLES = {"VVG", "VVN", "VVD"}
HELPING = {"VM0", "VDB", "VDD", "VDZ", "VHB", "VHD", "VHZ"}
BEING = {"VBB", "VBD", "VBZ", "VBI"}
FINITE = {"VBB", "VBD", "VBZ", "VM0", "VDZ", "VHZ", "VVZ"}
# "Using the table, …", "In your opinion, …", "If it rains, …", "To save time, …"
OPENING = {"PRP", "PRF", "CJS", "TO0", *PARTICIPLES}
# "Sum up the rules": to the tagger they are prepositions.
PARTICLES = {"up", "out", "off", "down"}

POLITE = re.compile(
    r"(?:(?:please|kindly|now|then|next|also|first|finally|and)\b,?"
    r"|(?:i(?: want|'d like| would like| need)|we(?: want| need)) you to\b"
    r"|you(?:'ll| will)? (?:need to|have to|are to|are asked to|should|must)\b"
    r"|(?:your|the) (?:task|job|goal) is to\b)\s*",
    re.IGNORECASE,
)
# "don't" is two words to the tagger, and so is "cat's"; quotation marks are none.
WORDS = re.compile(
    r"\w+(?=n't)|n't|'(?:s|m|d|re|ve|ll)\b|\w+(?:[-./]\w+)*|[^\w\s\"“”]", re.IGNORECASE
)
# Root and object stand near the beginning; to look further only takes time.
MAX_WORDS = 10


class Root(NamedTuple):
    """Base forms in lower case; None where the rules find none."""

    verb: str | None
    noun: str | None


class Word(NamedTuple):
    text: str
    tag: str


def root(instruction: str) -> Root:
    """The verb and noun of the first sentence that has both; else the first verb there is.

    >>> root("Please write me a short poem about two rivers.")
    Root(verb='write', noun='poem')
    >>> root("I am hungry. How do I boil eggs?")
    Root(verb='boil', noun='egg')
    >>> root("What is a palindrome?"), root("Red, green, blue")
    (Root(verb='be', noun=None), Root(verb=None, noun=None))
    """
    first = None
    for sentence in re.split(r"(?<=[.?!:])\s+", instruction.replace("’", "'")):
        parsed = _sentence(sentence)
        if parsed.noun:
            return parsed
        first = first or parsed.verb
    return Root(first, None)


def _sentence(sentence: str) -> Root:
    while True:
        while polite := POLITE.match(sentence):
            sentence = sentence[polite.end() :]
        words = _tagged(sentence)
        while words and words[0].tag in ADVERBS:
            words = words[1:]
        # "In which year …" is a question already, "In this table, …" an opening.
        if not words or words[0].tag not in OPENING or (words[1:] and words[1].tag in ASKING):
            break
        _, _, sentence = sentence.partition(", ")
    if not words:
        return Root(None, None)
    if not sentence.endswith("?") and _orders(words):
        return Root(_base(words[0].text, "VVB"), _object(words[1:]))
    if words[0].tag in ASKING | OPENING | HELPING | BEING:
        return _question(words)
    return Root(None, None)


def _orders(words: list[Word]) -> bool:
    """Whether the first word is an order. The tagger has seen few of them: "List" is a noun."""
    first, second = words[0], words[1] if len(words) > 1 else Word("", "")
    if first.tag in BASE:
        return second.tag != "XX0"  # "Don't write …" is read as if it asked
    if first.tag not in NOUNS | ADJECTIVES:
        return False
    # No noun stands right before an article.
    return second.tag in {"AT0", "DPS", "PNP"} or (
        second.tag in DETERMINERS | ADJECTIVES | ASKING | {"PRP", "AVP"} and _may_order(first.text)
    )


def _question(words: list[Word]) -> Root:
    verbs = [i for i, word in enumerate(words) if word.tag[0] == "V"]
    if verbs and words[verbs[0]].tag in BEING:
        return Root("be", None)
    if verbs and words[verbs[0]].tag in HELPING:
        verbs = [i for i in verbs[1:] if words[i].tag in BASE]
    if not verbs:
        return Root(None, None)
    main, rest = words[verbs[0]], words[verbs[0] + 1 :]
    noun = _object(rest)
    if noun is None and words[0].tag in {"DTQ", "AVQ"} and not (rest and rest[0].tag in OPENING):
        head = words[_phrase(words[1:])]  # "Which questions should he ask?"
        noun = _base(*head) if head.tag in NOUNS else None
    return Root(_base(*main), noun)


def _object(words: list[Word]) -> str | None:
    """The head of the noun phrase that the words begin with; of the second one if two do."""
    while words and (words[0].tag in ADVERBS or words[0].text in PARTICLES):
        words = words[1:]
    if words and words[0].tag in PRONOUNS:
        words = words[1:]  # "Give me a list"
    if not words or words[0].tag not in DETERMINERS | ADJECTIVES | NOUNS:
        return None
    end = _phrase(words)
    head, rest = words[end - 1], words[end:]
    if head.tag not in NOUNS or (rest and rest[0].tag in FINITE):
        return None  # "Suppose the sentence is true"
    if rest and rest[0].tag in DETERMINERS and rest[0].text != "that":
        end = _phrase(rest)
        # "Offer the guest three tips", but "Add the hours each person worked"
        if rest[end - 1].tag in NOUNS and not (rest[end:] and rest[end].tag[0] == "V"):
            head = rest[end - 1]
    return _base(*head)


def _phrase(words: list[Word]) -> int:
    """How many words the noun phrase has that they begin with; the last one is its head."""
    before_head = DETERMINERS | ADJECTIVES | PARTICIPLES | {"PRF", "CJC", "PUN", "ZZ0"}
    end = 0
    for i, word in enumerate(words, 1):
        if word.tag in NOUNS or word.tag == "POS":
            end = i
        elif word.tag not in before_head or (end and words[end - 1].tag in NOUNS):
            break
    return end or 1


@cache
def _tagger() -> Any:
    # Loading takes a fifth of a second, and who imports this may never ask.
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger("morphmodel_en.pgz")


def _tagged(sentence: str) -> list[Word]:
    words = [match[0] for match in islice(WORDS.finditer(sentence), MAX_WORDS)]
    return [Word(*pair) for pair in zip(words, _tagger().tag_sent(words, taglevel=0), strict=True)]


@cache
def _base(word: str, tag: str) -> str:
    return str(_tagger().analyze(word, tag)[0]).lower()


@cache
def _may_order(word: str) -> bool:
    return any(tag in BASE for tag, _ in _tagger().tag_word(word.lower()))
