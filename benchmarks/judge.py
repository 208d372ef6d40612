"""What does it take to judge pairs by contrast?

Segments of the project's documents with the instructions that people wrote for them, each scored
with the text that it belongs to and with some others': how many prompt tokens the embedded server
evaluates (timings.prompt_n), by way of what prompts share and each by itself, and the bound, which
is the distinct beginnings of all prompts.

The counts are exact and the same in every run; the seconds are those of this machine.

Run it from the project's folder: PYTHONPATH=src python benchmarks/judge.py
"""

import sys
from math import inf
from pathlib import Path

import yaml
from counting import bound, scored, table
from sizes import sized

from seedbed.backtranslation.assess import ByHand, by_hand, read_labels
from seedbed.backtranslation.demos import Demos, draw
from seedbed.backtranslation.documents import list_files, read_documents
from seedbed.backtranslation.judging import wanted
from seedbed.backtranslation.params import Curate, SeedPairs, Segments
from seedbed.backtranslation.seed_pairs import pairs
from seedbed.backtranslation.segment import pieces, row_of
from seedbed.core.paths import PARAMS
from seedbed.llm.params import Llm

PAIRS = sized(6, 3)
# What it must reach.
MOST_OF_BOUND = sized(1.15, inf)


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


def main() -> int:
    said = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    llm = Llm.model_validate(said["llm"])
    own = Curate.model_validate(said["curate"] | {"by": "contrast", "direction": "backward"})
    scorings = [one.scoring for one in wanted(corpus(said), shown(said), own)]
    alone = [(prompt, text, ()) for prompt, text, _ in scorings]
    least = bound([prompt for prompt, _, _ in alone], llm)
    print(f"{PAIRS} pairs, {len(scorings)} scorings, {own.demos} pairs shown before each\n")
    ways = {"seedbed": scored(scorings, llm), "each by itself": scored(alone, llm)}
    print("\n".join(table(least, ways)))
    together, apart = ways.values()
    away = max(abs(a - b) for a, b in zip(together.totals, apart.totals, strict=True))
    print(
        f"\n{apart.evaluated / together.evaluated:.1f} times fewer prompt tokens than each by "
        f"itself; the scores of the two differ by at most {away:.2f} nats"
    )
    return 0 if together.evaluated <= MOST_OF_BOUND * least else 1


if __name__ == "__main__":
    sys.exit(main())
