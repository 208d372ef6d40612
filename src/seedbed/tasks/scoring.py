"""How good are outputs? ROUGE-L F1 of many (output, target) pairs, fast.

ROUGE-L asks for the longest common subsequence of two token lists. Here, unlike in
`seedbed.core.rouge`, every text has a target of its own, so each distinct token of a chunk gets a
code point, each text becomes a short string, and rapidfuzz takes the strings pair by pair. To
find the tokens took longer than all else, so numpy does it for all texts of a chunk together,
each text once: 22 candidates share their targets, and often their outputs.

Tokens are those of the rouge-score package without a stemmer, and F1 is computed with the same
floating-point operations in the same order, so the scores are its own: `tests/test_label.py`
holds that. White space at either end of a text makes no difference to them.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cpdist

from seedbed.core.rouge import f1

# Pairs at a time: what is made of them should fit the processor's cache. And characters at most,
# so that there are code points for all tokens, and that the memory is bounded.
_CHUNK, _CHARACTERS = 1 << 11, 1 << 21
# UTF-16 surrogates are code points that no string may hold.
_SURROGATES = range(0xD800, 0xE000)
# Of a lower-cased text only a-z and 0-9 stay: rouge-score puts a space for all else.
_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789"
_SPACE, _END = 0x20, "\x01"
_SPACED = bytes(byte if byte in _KEPT + _END.encode() else _SPACE for byte in range(256))
_UTF_32 = f"utf-32-{sys.byteorder[0]}e"  # numpy's bytes
# Of eight bytes keep the first 0, 1, … 8. What is from the second on no eight bytes of ASCII.
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)
_NO_ASCII = 1 << 63
# Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4) into 2**16 slots.
_SPREAD, _SLOT_BITS = np.uint64(0x9E3779B97F4A7C15), 16


def rouge_l(pairs: Iterable[tuple[str, str]]) -> np.ndarray:
    """ROUGE-L F1 of each (output, target) pair.

    Returns:
        float64 of shape (number of pairs,), each in 0..1; 0 where one of the two has no token.
    """
    source = iter(pairs)
    scores: list[np.ndarray] = []
    while chunk := list(islice(source, _CHUNK)):
        scores.append(_rouge_l(chunk))
    return np.concatenate(scores) if scores else np.empty(0)


def best_rouge_l(outputs: Sequence[str], targets: Sequence[Sequence[str]]) -> np.ndarray:
    """ROUGE-L F1 of each output with the one of its targets that it is closest to.

    Args:
        targets: for each output one or more.

    Returns:
        float64 of shape (len(outputs),), each in 0..1.
    """
    if not outputs:
        return np.empty(0)
    scores = rouge_l(_each_with_each(outputs, targets))
    starts = np.cumsum([0, *(len(texts) for texts in targets)])[:-1]
    return np.asarray(np.maximum.reduceat(scores, starts))


def _each_with_each(
    outputs: Sequence[str], targets: Sequence[Sequence[str]]
) -> Iterator[tuple[str, str]]:
    for output, texts in zip(outputs, targets, strict=True):
        for target in texts:
            yield output, target


def _rouge_l(pairs: list[tuple[str, str]]) -> np.ndarray:
    texts = list(dict.fromkeys(chain.from_iterable(pairs)))
    if sum(map(len, texts)) > _CHARACTERS and len(pairs) > 1:
        half = len(pairs) // 2
        return np.concatenate([_rouge_l(pairs[:half]), _rouge_l(pairs[half:])])
    string_of = dict(zip(texts, _encode(texts), strict=True))
    outputs = [string_of[output] for output, _ in pairs]
    targets = [string_of[target] for _, target in pairs]
    common = cpdist(outputs, targets, scorer=LCSseq.similarity, dtype=np.int32)
    return f1(common, _lengths(outputs), _lengths(targets))


def _encode(texts: list[str]) -> list[str]:
    """Each text's tokens as a string of a letter each; equal tokens, equal letters."""
    joined = _END.join(texts)
    if joined.count(_END) >= len(texts):
        joined = _END.join(text.replace(_END, " ") for text in texts)
    # What is not ASCII becomes a question mark, and so a space.
    plain = joined.lower().encode("ascii", "replace").translate(_SPACED)
    raw = np.frombuffer(plain, dtype=np.uint8)
    edges = np.flatnonzero(np.diff(raw > _SPACE, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    letters = _letters(_identities(plain, starts, ends))
    string = letters.astype(np.uint32).tobytes().decode(_UTF_32)
    bounds = np.searchsorted(starts, np.flatnonzero(raw == ord(_END))).tolist()
    return [string[a:b] for a, b in pairwise([0, *bounds, len(string)])]


def _identities(plain: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A number for each token, the same for equal ones only.

    The bytes of a token of at most eight are its number; a longer one has a number that eight
    bytes of ASCII cannot be.
    """
    padded = plain + bytes(8)
    eight = np.ndarray(len(plain) + 1, dtype="<u8", buffer=padded, strides=(1,))
    lengths = ends - starts
    identities: np.ndarray = eight[starts] & _MASKS[np.minimum(lengths, 8)]
    number_of: dict[bytes, int] = {}
    long = np.flatnonzero(lengths > 8)
    spans = zip(starts[long].tolist(), ends[long].tolist(), strict=True)
    identities[long] = [
        number_of.setdefault(plain[a:b], _NO_ASCII + len(number_of)) for a, b in spans
    ]
    return identities


def _letters(identities: np.ndarray) -> np.ndarray:
    """A code point for each number, by a hash table in which none is shared."""
    slots = (identities * _SPREAD) >> np.uint64(64 - _SLOT_BITS)
    owners = np.empty(1 << _SLOT_BITS, dtype=np.uint64)
    owners[slots] = identities
    letters: np.ndarray = slots.astype(np.int64)
    # Those whose slot is another's get one of their own behind the table.
    homeless = np.flatnonzero(owners[slots] != identities)
    letters[homeless] = len(owners) + np.unique(identities[homeless], return_inverse=True)[1]
    letters[letters >= _SURROGATES.start] += len(_SURROGATES)
    return letters


def _lengths(strings: list[str]) -> np.ndarray:
    return np.fromiter(map(len, strings), dtype=np.int64, count=len(strings))
