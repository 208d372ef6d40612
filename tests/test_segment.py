"""From documents to segments: what is cut where, what is refused and why."""

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.params import section
from support.tries import tries

from seedbed.backtranslation import near_duplicates, segment
from seedbed.backtranslation.blocks import read_markdown
from seedbed.backtranslation.errors import NoDocuments, NoSegments
from seedbed.backtranslation.html_blocks import Block
from seedbed.backtranslation.near_duplicates import NearDuplicates, signature
from seedbed.backtranslation.params import Augment, Curate, SeedPairs, Segments
from seedbed.backtranslation.repetition import LIKE, jaccard, repeated_share, sentences, shingles
from seedbed.backtranslation.rows import RejectedSegment, Segment
from seedbed.backtranslation.sections import Cutter, Piece, in_text
from seedbed.core.files import exists, read_rows
from seedbed.core.paths import Into
from seedbed.errors import BadFile, WriteFailed

INTO = Into("segment")
Files = dict[str, str | bytes]
Sort = Callable[..., tuple[list[Segment], list[RejectedSegment]]]


def parameters(folder: Path, **changes: object) -> Segments:
    values = {
        "folder": str(folder),
        "license": None,
        "header_levels": 6,
        "min_chars": 20,
        "max_chars": 200,
        "refused_headers": ["sign up", "menu"],
        "max_repeated": 0.5,
        "near_duplicate": 0.8,
        "refuse_contacts": True,
        "max_segments": None,
        "seed": 1,
    }
    return Segments.model_validate(values | changes)


@pytest.fixture
def sort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sort:
    """Runs the stage on files, and gives what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(files: Files, **changes: object) -> tuple[list[Segment], list[RejectedSegment]]:
        folder = Path("corpus")
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        section = parameters(folder, **changes)
        segment.run(segment.Params(segment=section), segment.Inputs(), INTO)
        lines = (INTO.folder / "rejected.jsonl").read_text().splitlines()
        kept = list(read_rows(INTO.folder / "segments.jsonl", Segment))
        return kept, [RejectedSegment.model_validate_json(line) for line in lines]

    return run


def text(name: str, sentences_: int = 1) -> str:
    return " ".join(
        f"{name} has a word {name}{n} of its own, and {n} more." for n in range(sentences_)
    )


GOOD = f"# Good\n\n{text('good')}\n"


def refused_with(sort: Sort, document: str, **changes: object) -> list[tuple[str, str]]:
    """Reason and text of what is refused of a document, beside one that is kept."""
    _, rejected = sort({"a.md": GOOD, "b.md": document}, **changes)
    return [(row.reason, row.text) for row in rejected]


# How it is cut.


def cut(markdown: str, least: int = 20, most: int = 200, levels: int = 6) -> list[Piece]:
    return list(Cutter(levels, least, most).cut(read_markdown(markdown), None))


def test_of_nested_sections_the_outermost_that_fits_is_kept() -> None:
    inner = f"## B\n\n{text('b')}\n\n### C\n\n{text('c')}"
    (piece,) = cut(f"# A\n\n{inner}")
    assert (piece.heading, piece.text, piece.reason) == (["A"], inner, None)


def test_a_long_section_is_cut_at_its_subheadings_and_its_beginning_is_a_part() -> None:
    pieces = cut(f"# A\n\n{text('a', 3)}\n\n## B\n\n{text('b', 2)}\n\n### C\n\nc\n\n## D\n\nd")
    assert [(piece.heading, piece.reason) for piece in pieces] == [
        (["A"], None),
        (["A", "B"], None),
        (["A", "D"], "too_short"),
    ]
    assert pieces[0].text == text("a", 3)
    assert pieces[1].text == f"{text('b', 2)}\n\n### C\n\nc"


def test_a_paragraph_is_never_cut() -> None:
    (piece,) = cut(f"# A\n\n{text('a', 100)}")
    assert (piece.text, piece.reason) == (text("a", 100), "too_long")


def test_deeper_headings_than_header_levels_begin_no_section() -> None:
    long = f"# A\n\n## B\n\n{text('b', 3)}\n\n### C\n\n{text('c', 3)}"
    assert [piece.heading for piece in cut(long)] == [["A", "B"], ["A", "B", "C"]]
    assert [piece.reason for piece in cut(long, levels=2)] == ["too_long"]


def test_a_subsection_may_lie_deeper_than_one_that_follows_it() -> None:
    pieces = cut(f"# A\n\n### B\n\n{text('b', 3)}\n\n## C\n\n{text('c', 3)}")
    assert [piece.heading for piece in pieces] == [["A", "B"], ["A", "C"]]


@pytest.mark.parametrize("length", [19, 20, 200, 201])
def test_the_bounds_are_of_the_text_without_its_heading(length: int) -> None:
    (piece,) = cut(f"# A\n\n{'x' * length}")
    expected = {19: "too_short", 201: "too_long"}
    assert piece.reason == expected.get(length)


def test_what_looks_like_a_heading_in_a_code_block_is_none() -> None:
    (piece,) = cut(f"A\n=\n\n```sh\n# b\n\nc\n```\n\n    # d\n\n{text('a')}")
    assert piece.heading == ["A"]
    assert piece.text == f"```sh\n# b\n\nc\n```\n\n```\n# d\n```\n\n{text('a')}"


def test_a_segment_says_where_it_stands() -> None:
    pieces = cut(f"\n# A\n\n{text('a', 3)}\n\nB\n---\n\n- {text('b', 2)}\n- c\n\n\n## D\nd\n")
    assert [(piece.first_line, piece.last_line) for piece in pieces] == [(2, 4), (6, 10), (13, 14)]


LEVELS = st.integers(0, 6)


@given(st.lists(st.tuples(LEVELS, st.integers(1, 40)), max_size=14), st.booleans())
@example([(0, 5), (2, 40), (3, 1), (1, 1)], False)
@settings(max_examples=tries(200))
def test_all_pieces_together_are_the_document(made: list[tuple[int, int]], titled: bool) -> None:
    blocks = [
        Block(level, f"{'h' if level else 'p'}{n} " + "x" * size, n, n)
        for n, (level, size) in enumerate(made, 1)
    ]
    pieces = list(Cutter(4, 10, 60).cut(blocks, "title" if titled else None))
    # Every block's text is in one piece, in order; but for a heading that a piece stands under.
    paths = {heading for piece in pieces for heading in piece.heading}
    inside = [part for piece in pieces for part in piece.text.split("\n\n") if part]
    assert inside == [in_text(block) for block in blocks if in_text(block) in inside]
    assert all(in_text(block) in inside or block.text in paths for block in blocks)
    assert all(block.text not in paths or in_text(block) not in inside for block in blocks)
    # Their places lie side by side, a heading without a text of its own with what follows it.
    ends = [0, *(piece.place[1] for piece in pieces)]
    for end, piece in zip(ends, pieces, strict=False):
        assert all(blocks[n].level for n in range(end, piece.place[0]))
    assert ends[-1] == len(blocks)
    for piece in pieces:
        fits = 10 <= len(piece.text) <= 60
        assert piece.reason in ((None,) if fits and piece.heading else (piece.reason,))
        assert fits or piece.reason is not None


# What is refused.


def test_each_reason_is_given_for_its_own_fault(sort: Sort) -> None:
    own = text("b", 2)
    once = "Nothing is quite like this sentence here."
    for document, reason in (
        ("# Bee\n\nshort", "too_short"),
        (f"# Bee\n\n{text('b', 9)}", "too_long"),
        (own, "no_header"),
        (f"#\n\n{own}", "no_header"),
        (f"# BREAKING: NEWS 24\n\n{own}", "capitals"),
        (f"# Please Sign  Up, now\n\n{own}", "refused_header"),
        (f"# Bee\n\n{own} Write to jo.doe@mail.example.org.", "contacts"),
        (f"# Bee\n\n{once} {once} Buy it.", "repetitive"),
        ("", "no_header"),
    ):
        assert [found for found, _ in refused_with(sort, document)] == [reason], document


def test_a_name_in_capitals_is_a_heading_as_others_are(sort: Sort) -> None:
    for n, heading in enumerate(("FAQ", "SQL 92", "A")):
        assert refused_with(sort, f"# {heading}\n\n{text(f'own{n}')}") == []


def test_what_is_refused_is_told_on_the_screen(
    sort: Sort, capsys: pytest.CaptureFixture[str]
) -> None:
    sort({"a.md": GOOD, "b.png": "", "c.png": "", "d.md": "# A\n\nb"})
    assert capsys.readouterr().err.endswith("segment: 3 refused: 2 not_text, 1 too_short\n")


def test_bounds_and_words_that_can_hold_nothing_are_refused() -> None:
    assert parameters(Path("a"), license=" ").license is None
    with pytest.raises(ValidationError, match=r"refused_headers\.0"):
        parameters(Path("a"), refused_headers=[""])
    with pytest.raises(ValidationError, match="min_words, 9, is above max_words, 8"):
        section(Augment, min_words=9, max_words=8)
    with pytest.raises(ValidationError, match="min_chars, 9, is above max_chars, 8"):
        section(SeedPairs, min_chars=9, max_chars=8)
    for by in ("rating", "expected"):
        for threshold in (0.0, 5.5):
            with pytest.raises(ValidationError, match="must be from 1 to 5"):
                section(Curate, by=by, threshold=threshold, keep_share=None)


def test_the_index_of_near_duplicates_is_the_same_in_every_process() -> None:
    assert near_duplicates._number(b"a") == 4681665781835383343


def test_a_refused_word_is_a_whole_word_and_of_the_own_heading(sort: Sort) -> None:
    document = f"# Menu\n\n{text('m', 4)}\n\n## Menus of signed uprisings\n\n{text('b', 3)}\n"
    kept, rejected = sort({"a.md": document})
    assert [row.heading[-1] for row in rejected] == ["Menu"]
    assert [row.heading for row in kept] == [["Menu", "Menus of signed uprisings"]]


def test_what_no_parameter_refuses_is_kept(sort: Sort) -> None:
    once = "Nothing is like this sentence here."
    document = f"# Sign up\n\n{once} {once} Write to jo@example.org.\n"
    changes = {"refused_headers": [], "max_repeated": 1.0, "refuse_contacts": False}
    kept, rejected = sort({"a.md": document}, **changes)
    assert (len(kept), rejected) == (1, [])
    assert metric("segments_with_contacts") == 1


def test_the_first_of_equal_and_of_like_texts_stays(sort: Sort) -> None:
    words = " ".join(f"word{n}" for n in range(20))
    files: Files = {
        "b.md": f"# Second\n\n{words}",
        "a.md": f"# First\n\n{words}",
        "c.md": f"# Like\n\n{words} and",
        "d.md": f"# Unlike\n\nand {' '.join(reversed(words.split()))}",
    }
    kept, rejected = sort(files)
    assert [row.heading for row in kept] == [["First"], ["Unlike"]]
    assert [(row.heading, row.reason, row.of) for row in rejected] == [
        (["Second"], "duplicate", kept[0].id),
        (["Like"], "near_duplicate", kept[0].id),
    ]


def test_no_text_is_refused_as_near_that_is_less_alike_than_asked(sort: Sort) -> None:
    words = [f"word{n}" for n in range(24)]
    files: Files = {
        f"{n:02}.md": f"# Heading\n\n{' '.join([*words[:n], 'other', *words[n + 1 :]])}"
        for n in range(24)
    }
    _, rejected = sort(files, near_duplicate=0.7)
    texts = {row.id: row.text for row in [*_all(), *rejected]}
    near = [row for row in rejected if row.reason == "near_duplicate"]
    assert near
    for row in near:
        assert jaccard(shingles(row.text), shingles(texts[row.of or ""])) >= 0.7


def test_of_many_texts_that_are_almost_alike_each_is_found_again() -> None:
    words = [f"word{n}" for n in range(300)]
    texts = [" ".join([*words[:n], "other", *words[n + 1 :]]) for n in range(0, 300, 15)]
    near = NearDuplicates(1.0, texts.__getitem__)
    found = {near.find_or_add(n, text, signature(text)) for n, text in enumerate(texts)}
    assert found == {None}
    again = [text.upper() for text in texts]
    assert [near.find_or_add(99, text, signature(text)) for text in again] == list(range(20))


def test_near_duplicate_of_1_keeps_all_but_equal_shingles(sort: Sort) -> None:
    words = " ".join(f"word{n}" for n in range(20))
    files: Files = {
        "a.md": f"# First\n\n{words}",
        "b.md": f"# Longer\n\n{words} and",
        "c.md": f"# Louder\n\n{words.upper()}!",
    }
    _, rejected = sort(files, near_duplicate=1.0)
    assert [(row.heading, row.reason) for row in rejected] == [(["Louder"], "near_duplicate")]


def test_a_telephone_number_is_told_from_other_numbers() -> None:
    for number in (
        "+49 30 1234567",
        "+1 (555) 123-4567",
        "+4915112345678",
        "(030) 1234567",
        "555-123-4567",
        "0171 1234567",
        "01 23 45 67 89",
        "a_b+c@sub.example.co",
    ):
        assert segment.has_contacts(f"Call {number}."), number
    for number in (
        "2024-01-15",
        "01-02-2024 10:30",
        "1,234,567.89",
        "192.168.100.200",
        "978-3-16-148410-0",
        "arXiv 2308.06259",
        "0.123 4567",
        "(1999)",
        "(2024) 15 people",
        "user@localhost",
        "@name",
        "+5 10",
        "1 000 000 000",
    ):
        assert not segment.has_contacts(f"See {number} there."), number


WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(" ".join)


@given(st.lists(WORDS, max_size=8))
@settings(max_examples=tries(200))
def test_the_share_that_repeats_is_that_of_comparing_all_pairs(said: list[str]) -> None:
    joined = ". ".join(said)
    found = sentences(joined)
    alike = set()
    for one, other in combinations(range(len(found)), 2):
        if jaccard(found[one], found[other]) >= LIKE:
            alike |= {one, other}
    assert repeated_share(joined) == (len(alike) / len(found) if found else 0)


# All of it.


def _all() -> list[Segment]:
    return list(read_rows(INTO.folder / "segments.jsonl", Segment))


def metric(name: str) -> object:
    return json.loads(INTO.metrics.read_text())[name]


SECTIONS = "# Top\n\n" + "\n\n".join(f"## Sub {n}\n\n{text(f's{n}', 2)}" for n in range(6))


def test_a_document_more_changes_no_other_row(sort: Sort) -> None:
    kept, rejected = sort({"b.md": SECTIONS, "d.md": f"# Last\n\n{text('d')}\n", "e.md": "none"})
    for name in ("a.md", "c.md", "f.html"):
        more, more_rejected = sort({name: f"# New\n\n{text(f'new {name}', 3)}\n"})
        assert [row for row in more if row in kept] == kept
        assert [row for row in more_rejected if row in rejected] == rejected
        kept, rejected = more, more_rejected


def test_a_document_without_a_first_heading_stands_under_its_title(sort: Sort) -> None:
    own = f"{text('own')}\n\n## Sub\n\n{text('sub')}"
    row = json.dumps({"text": text("row"), "title": "Row", "license": "CC0", "url": "a.org"})
    kept, rejected = sort(
        {
            "a.md": f"---\ntitle: Title\nlicense: CC0\n---\n{own}",
            "b.md": f"---\ntitle: Title\n---\n# Heading\n\n{text('other', 2)}",
            "c.html": f"<title>Page</title><p>{text('page')}</p><h2>Part</h2>{text('part', 6)}",
            "d.jsonl": f'{{"text": "short"}}\n{row}\n',
            "e.txt": text("file"),
        },
        license="MIT",
    )
    assert [(row.heading, row.license, row.url, row.first_line, row.last_line) for row in kept] == [
        (["Title"], "CC0", None, 5, 9),
        (["Heading"], "MIT", None, 4, 6),
        (["Page"], "MIT", None, 1, 1),
        (["Row"], "CC0", "a.org", 2, 2),
        (["e"], "MIT", None, 1, 1),
    ]
    assert kept[0].text == own
    assert [(row.heading, row.reason) for row in rejected] == [
        (["Page", "Part"], "too_long"),
        ([], "no_header"),
    ]


def test_ids_are_distinct_and_do_not_depend_on_where_the_folder_lies(sort: Sort) -> None:
    kept, rejected = sort({"a.md": SECTIONS, "b/a.md": SECTIONS, "b/c.md": "x"})
    ids = [row.id for row in [*kept, *rejected]]
    assert len({*ids}) == len(ids)
    moved = Path("elsewhere")
    Path("corpus").rename(moved)
    section = parameters(Path("unused"))
    segment.run(segment.Params(segment=section), segment.Inputs(moved), INTO)
    assert [row.id for row in _all()] == [row.id for row in kept]
    assert [row.document for row in _all()] == ["elsewhere/a.md"] * len(kept)


def test_at_most_max_segments_are_kept_and_the_others_are_counted(sort: Sort) -> None:
    kept, _ = sort({"a.md": SECTIONS})
    some, rejected = sort({}, max_segments=4)
    assert [row for row in kept if row in some] == some
    assert len(some) == 4
    over = [row for row in rejected if row.reason == "over_the_maximum"]
    assert {row.id for row in over} == {row.id for row in kept} - {row.id for row in some}
    other, _ = sort({}, max_segments=4, seed=2)
    assert some != other
    # One more can only take the place of one.
    sort({"b.md": f"# More\n\n{text('more', 2)}"}, max_segments=4)
    assert len([row for row in _all() if row in some]) >= 3


def test_the_metrics_count_every_row_once_with_its_reason(sort: Sort) -> None:
    kept, rejected = sort({"a.md": SECTIONS, "b.md": "x", "c.png": b"\x89PNG"}, max_segments=2)
    reasons = {row["name"]: row["count"] for row in metric("rejected")}  # type: ignore[attr-defined]
    assert tuple(reasons) == segment.REASONS
    assert {name: count for name, count in reasons.items() if count} == Counter(
        row.reason for row in rejected
    )
    assert (metric("segments_kept"), metric("segments_rejected")) == (2, len(rejected))
    assert metric("documents") == 3
    assert metric("segment_chars_mean") == sum(len(row.text) for row in kept) / 2


def test_a_run_writes_the_same_bytes_again(sort: Sort) -> None:
    written = []
    for _ in range(2):
        sort({"a.md": SECTIONS, "b.md": SECTIONS, "c.md": "x"}, max_segments=3)
        written.append([path.read_bytes() for path in sorted(INTO.folder.iterdir())])
    assert written[0] == written[1]
    assert len(written[0]) == 2  # nothing else is left there


def test_two_processes_write_what_this_one_writes(
    sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = " ".join(f"word{n}" for n in range(20))
    files: Files = {
        f"{n}.md": f"# Part {n}\n\n{text(f'p{n}')}\n\n# Again\n\n{same} {n % 3}\n\n# CAPITALS\n\nx"
        for n in range(12)
    }
    sort(files)
    names = ("segments.jsonl", "rejected.jsonl")
    here = [(INTO.folder / name).read_bytes() for name in names]
    monkeypatch.setattr(segment, "TOGETHER", 4)
    monkeypatch.setattr(segment, "ALONE", 6)
    monkeypatch.setenv("SEEDBED_SHARDS", "2")
    _, rejected = sort(files)
    assert [(INTO.folder / name).read_bytes() for name in names] == here
    assert {"duplicate", "near_duplicate"} <= {row.reason for row in rejected}


def test_a_folder_without_a_document_is_told(sort: Sort) -> None:
    with pytest.raises(BadFile, match=r"corpus: no such folder\n.*segment\.folder"):
        sort({})
    with pytest.raises(NoDocuments, match=r"corpus: there is no file in it\n.*\.md, \.txt"):
        sort({".hidden.md": GOOD, ".git/a.md": GOOD})


def test_a_folder_of_which_nothing_is_kept_is_told_with_the_counts(sort: Sort) -> None:
    told = r"none of its 2 documents .* \(no_header: 1, too_short: 1\)\n.*min_chars"
    with pytest.raises(NoSegments, match=told):
        sort({"a.md": "x", "b.md": "# B"})
    assert not exists(INTO.metrics)


def test_a_place_that_cannot_be_written_to_is_told(sort: Sort) -> None:
    Path("data").write_text("no folder")
    with pytest.raises(WriteFailed, match=re.escape("data/segment/segments.jsonl")):
        sort({"a.md": GOOD})
