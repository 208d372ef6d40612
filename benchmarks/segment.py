"""How fast are documents cut into segments, in how much memory, and are near-duplicates found?

Made-up Markdown, of which every tenth section is an earlier one with a few words replaced, goes
through the stage as it is: once a little of it, once more, each in a process of its own. So the
growth of the peak between the two is what a document, or a segment, leaves behind.

Then near-duplicates, which the stage finds by MinHash, are found by comparing all pairs instead:
what is missed, and how much longer that takes. Copies have between none and a third of their words
replaced, so that many are only just alike enough. What is no near-duplicate must not be taken for
one; that is an error.

Run it from the project's folder: PYTHONPATH=src python benchmarks/segment.py [MEGABYTES]
"""

import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from sizes import ARGUMENTS, sized
from texts import Writer

from seedbed.backtranslation import segment
from seedbed.backtranslation.near_duplicates import NearDuplicates, signature
from seedbed.backtranslation.params import Segments
from seedbed.backtranslation.repetition import jaccard, shingles
from seedbed.core.paths import Into

# Megabytes of Markdown.
LITTLE, MUCH = sized((8, 40), (0.2, 0.4))
if ARGUMENTS:
    MUCH = float(ARGUMENTS[0])
TEXTS = sized(2_000, 120)
ALIKE = 0.8
# What it must reach: the share of what comparing all pairs finds.
LEAST = sized(0.97, 0.5)


@dataclass
class Cut:
    """A run of the stage. peak: of the process's memory, in bytes; before: as it began."""

    size: int
    seconds: float
    segments: int
    before: int
    peak: int


def section(writer: Writer) -> str:
    """About 1,500 characters: paragraphs, a list, a link, some code."""
    sentences = [writer.instruction() for _ in range(14)]
    items = "\n".join(f"{number}. *{writer.words(6)}*" for number in range(1, 5))
    return "\n\n".join(
        [
            " ".join(sentences[:7]),
            items,
            f"See [{writer.words(3)}](https://example.org/a) and `{writer.words(1)}`.",
            " ".join(sentences[7:]),
            f"```\n# {writer.words(5)}\n```",
        ]
    )


def replaced(writer: Writer, text: str, times: int) -> str:
    words = text.split(" ")
    for place in writer.random.sample(range(len(words)), min(times, len(words))):
        words[place] = writer.words(1)
    return " ".join(words)


def write_corpus(folder: Path, size: int) -> int:
    """Markdown of at least so many bytes in files of 20 sections; how many bytes there are."""
    writer, written, earlier, number = Writer(seed=0), 0, "", 0
    while written < size:
        parts = [f"# {writer.words(3)}"]
        for place in range(20):
            text = replaced(writer, earlier, 4) if earlier and place % 10 == 9 else section(writer)
            earlier = text
            parts.append(f"## {writer.words(3)}\n\n{text}")
        number += 1
        written += (folder / f"{number}.md").write_text("\n\n".join(parts), encoding="utf-8")
    return written


def parameters(folder: Path) -> Segments:
    return Segments(
        folder=str(folder),
        license=None,
        header_levels=6,
        min_chars=600,
        max_chars=3000,
        refused_headers=["sign up", "subscribe"],
        max_repeated=0.5,
        near_duplicate=ALIKE,
        refuse_contacts=True,
        max_segments=None,
        seed=1,
    )


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cut(megabytes: float) -> Cut:
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        corpus = Path("corpus")
        corpus.mkdir()
        size = write_corpus(corpus, int(megabytes * 1e6))
        before, begun = peak(), time.perf_counter()
        into = Into("segment")
        segment.run(segment.Params(segment=parameters(corpus)), segment.Inputs(), into)
        seconds = time.perf_counter() - begun
        with (into.folder / "segments.jsonl").open("rb") as file:
            segments = sum(1 for _ in file)
        os.chdir("/")
    return Cut(size, seconds, segments, before, peak())


def compare_duplicates() -> tuple[float, float, bool]:
    """Print what both ways find. Returns recall, how many times as fast, and if none is wrong."""
    writer = Writer(seed=1)
    texts: list[str] = []
    for number in range(TEXTS):
        original = writer.random.choice(texts) if number % 3 == 2 else section(writer)
        times = writer.random.randint(0, len(original.split(" ")) // 3) if number % 3 == 2 else 0
        texts.append(replaced(writer, original, times))

    begun = time.perf_counter()
    near = NearDuplicates(ALIKE, texts.__getitem__)
    found = {
        number: near.find_or_add(number, text, signature(text)) for number, text in enumerate(texts)
    }
    seconds = time.perf_counter() - begun

    begun = time.perf_counter()
    sets = [shingles(text) for text in texts]
    kept: list[int] = []
    exact: set[int] = set()
    for number, own in enumerate(sets):
        if any(jaccard(own, sets[other]) >= ALIKE for other in kept):
            exact.add(number)
        else:
            kept.append(number)
    all_pairs = time.perf_counter() - begun

    refused = {number: other for number, other in found.items() if other is not None}
    right = all(jaccard(sets[one], sets[other]) >= ALIKE for one, other in refused.items())
    recall = len(refused.keys() & exact) / len(exact)
    print(
        f"{TEXTS:,} texts: {len(exact)} near-duplicates by all pairs in {all_pairs:.2f} s, "
        f"{len(refused)} by MinHash in {seconds:.2f} s\n"
        f"  recall {recall:.3f}, {all_pairs / seconds:.1f} × as fast; "
        f"each is one: {'yes' if right else 'NO'}"
    )
    return recall, all_pairs / seconds, right


def main() -> None:
    cuts = []
    for megabytes in (LITTLE, MUCH):
        # A process's peak is of all its life, and of what started it.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            cuts.append(other.submit(cut, megabytes).result())
    for one in cuts:
        print(
            f"{one.size / 1e6:6.1f} MB: {one.seconds:.1f} s, {one.size / 1e6 / one.seconds:.2f} "
            f"MB/s, {one.segments:,} segments, peak memory {one.peak / 1e6:.0f} MB, "
            f"{(one.peak - one.before) / 1e6:.0f} MB more than before"
        )
    little, much = cuts
    growth = much.peak - little.peak
    segments = much.segments - little.segments
    print(
        f"  {growth / (much.size - little.size):.2f} bytes of memory a byte of text, "
        f"{growth / segments / 1e3:.1f} kB a segment\n"
    )
    recall, times, right = compare_duplicates()
    rate = much.size / 1e6 / much.seconds
    print(
        f"\nsegment reads {rate:.2f} MB/s and holds {growth / segments / 1e3:.1f} kB a segment; "
        f"it finds {recall:.1%} of the near-duplicates, {times:.1f} × as fast as all pairs"
    )
    sys.exit(0 if right and recall >= LEAST else 1)


if __name__ == "__main__":
    main()
