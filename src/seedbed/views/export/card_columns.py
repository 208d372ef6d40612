"""What the card says of the columns that rows have besides their own."""

from collections.abc import Iterable, Mapping, Sequence

from seedbed.runs.forms import Export, Form
from seedbed.views.export.columns import ALIKE, Columns, Described

# So many languages are named, the commonest.
LANGUAGES = 5


def section(written: Sequence[tuple[Export, Form, Columns]]) -> Iterable[str]:
    """Its paragraphs; none where no row has such columns. written: a split of a form each."""
    if not written:
        return
    origins = dict.fromkeys(export.origins for export, _, _ in written if export.origins)
    yield "## Where a row came from, and what is known of it"
    lines = [
        f"- `derived_from`: the ids of what it came from, one step back: {'; '.join(origins)}.",
        "- `derived_by`: the keys of the answers that it is made of, in the order in which they "
        "were asked for; none of what people wrote.",
    ]
    # The forms of one stage have the same columns.
    pairs: dict[Columns, Form] = {}
    for _, form, columns in written:
        if columns.record is Described:
            pairs.setdefault(columns, form)
    if pairs:
        lines += _of_pairs()
    yield "\n".join(lines)
    if pairs:
        yield "\n".join(_counts(pairs))


def _of_pairs() -> list[str]:
    return [
        "- `instruction_length`, `response_length`: in characters; the first counts the "
        "instruction, the input if there is one, and the blank line between them (Magpie's names).",
        "- `language`: the instruction's, as py3langid tells it, an ISO 639 code; null where it is "
        "not sure.",
        "- `max_similarity_score`: ROUGE-L F1, 0 to 1, of the instruction and the one most like it "
        "among those that were there when it came.",
        "- `near_duplicate_of`: the id of the first row of which it is nearly a copy: a Jaccard "
        f"similarity of {ALIKE} or more, of all three words in a row, found by MinHash. Nothing "
        "was dropped: the rows where it is null have each text once.",
        "- `judge_score`, `ifd_score`: how good a model finds the answer, and how much the "
        "instruction helps with it (Instruction-Following Difficulty, arXiv 2308.12032); null "
        "where nobody asked.",
        "- `rated_valid`, `rated_input`, `rated_output`: whether most people who rated the row find"
        " its instruction a valid task, its input fit for it, its output right; null where nobody "
        "said.",
    ]


def _counts(pairs: Mapping[Columns, Form]) -> Iterable[str]:
    yield "| as in | rows | near-duplicates | judged | with IFD | rated | languages |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for columns, form in pairs.items():
        names = ("near_duplicate_of", "judge_score", "ifd_score", "rated_valid")
        counts = (columns.known[name] for name in names)
        numbers = " | ".join(f"{count:,}" for count in (len(columns), *counts))
        yield f"| {form.name} | {numbers} | {_languages(columns)} |"


def _languages(columns: Columns) -> str:
    found = sorted(columns.languages.items(), key=lambda one: (-one[1], one[0] or ""))
    named = [f"{code or 'not sure'} {count:,}" for code, count in found[:LANGUAGES]]
    others = sum(count for _, count in found[LANGUAGES:])
    return ", ".join(named + [f"others {others:,}"] * bool(others))
