"""What does it take to judge pairs by contrast?

Segments of the project's documents with the instructions that people wrote for them, each scored
with the text that it belongs to and with some others': how many prompt tokens the embedded server
evaluates (timings.prompt_n), by way of what prompts share and each by itself, and the bound, which
is the distinct beginnings of all prompts.

The counts are exact and the same in every run; the seconds are those of this machine.

Run it from the project's folder: PYTHONPATH=src python benchmarks/judge.py
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import yaml
from counting import Counting, count_nodes, fresh_engine
from sizes import sized

from seedbed.backtranslation.assess import ByHand, by_hand, read_labels
from seedbed.backtranslation.demos import Demos, draw
from seedbed.backtranslation.documents import list_files, read_documents
from seedbed.backtranslation.judging import Scoring, wanted
from seedbed.backtranslation.params import Curate, SeedPairs, Segments
from seedbed.backtranslation.seed_pairs import pairs
from seedbed.backtranslation.segment import pieces, row_of
from seedbed.core.paths import PARAMS
from seedbed.llm.params import Llm
from seedbed.llm.serve.endpoint import open_endpoint

PAIRS = sized(6, 3)
# What it must reach.
MOST_OF_BOUND = sized(1.15, inf)


@dataclass
class Counted:
    """What scoring took; totals in nats."""

    totals: list[float]
    requests: int
    evaluated: int
    seconds: float


def corpus(said: dict) -> list[ByHand]:
    """The good sections of the project's documents, with the instructions that people wrote."""
    params = Segments.model_validate(said["segment"])
    folder = Path(params.folder)
    documents = (one for name in list_files(folder) for one in read_documents(folder, name))
    rows = [row_of(document, piece, folder, None) for document, piece in pieces(documents, params)]
    return by_hand(rows, read_labels(Path(said["assess"]["labels"])))[:PAIRS]


def shown(said: dict) -> Demos:
    params = SeedPairs.model_validate(said["seed_pairs"])
    return draw(list(pairs(Path(params.file), params)), [], said["curate"]["seed"], None)


def bound(prompts: Sequence[str], llm: Llm) -> int:
    async def count() -> int:
        client = Counting(endpoint)
        try:
            return await count_nodes(prompts, client)
        finally:
            await client.close()

    with open_endpoint(llm) as endpoint:
        return asyncio.run(count())


def measured(scorings: Sequence[Scoring], llm: Llm) -> Counted:
    with fresh_engine(llm) as engine:
        list(engine.score([("Hello", " there")]))  # the server starts
        Counting.start_over()
        begun = time.perf_counter()
        totals = [one.total for one in engine.score(scorings)]
        seconds = time.perf_counter() - begun
    return Counted(totals, Counting.requests, Counting.evaluated, seconds)


def main() -> int:
    said = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    llm = Llm.model_validate(said["llm"])
    own = Curate.model_validate(said["curate"] | {"by": "contrast", "direction": "backward"})
    scorings = [one.scoring for one in wanted(corpus(said), shown(said), own)]
    alone = [(prompt, text, ()) for prompt, text, _ in scorings]
    least = bound([prompt for prompt, _, _ in alone], llm)
    print(f"{PAIRS} pairs, {len(scorings)} scorings, {own.demos} pairs shown before each\n")
    columns = "{:<28}{:>10}{:>26}{:>10}{:>10}".format
    print(columns("way", "requests", "prompt tokens evaluated", "× bound", "seconds"))
    print(columns("bound", "", f"{least:,}", "1.000", ""))
    ways = {"seedbed": measured(scorings, llm), "each by itself": measured(alone, llm)}
    for way, one in ways.items():
        ratio, seconds = f"{one.evaluated / least:.3f}", f"{one.seconds:.1f}"
        print(columns(way, f"{one.requests:,}", f"{one.evaluated:,}", ratio, seconds))
    together, apart = ways.values()
    away = max(abs(a - b) for a, b in zip(together.totals, apart.totals, strict=True))
    print(
        f"\n{apart.evaluated / together.evaluated:.1f} times fewer prompt tokens than each by "
        f"itself; the scores of the two differ by at most {away:.2f} nats"
    )
    return 0 if together.evaluated <= MOST_OF_BOUND * least else 1


if __name__ == "__main__":
    sys.exit(main())
