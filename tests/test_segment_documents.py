"""The documents of `segment`: what is read of which file, and that Markdown is as HTML."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support.tries import tries

from seedbed.backtranslation.blocks import read_markdown, read_plain
from seedbed.backtranslation.documents import Document, list_files, read_documents
from seedbed.backtranslation.errors import BadFrontMatter, NotAText, NoTextColumn
from seedbed.backtranslation.html_blocks import Block, read_page
from seedbed.errors import BadFile, BadRow

MARKDOWN = """\
Before the *first* heading.

Making [tea](https://example.org) & `coffee`
===

Boil **water**, a lot
of it.\\
Then wait. ![steam](steam.png)

1. Take a cup:
   - big
   - blue

   or another.
2. Pour.

## Times #

| What | How long |
|------|----------|
| tea  | ~~4~~ 3 min |
| *cold* | 1 < 2 |

> Never hurry.
>
> # Really

```python
# not a heading
if a < b:

    pour()
```

---

### Deep

    indented

"""
HTML = """\
<!DOCTYPE html>
<html><head><title>Tea</title><style>p { color: red }</style></head>
<body><nav><a href="/">Home</a></nav>
<p>Before the <em>first</em>
heading.
<h1>Making <a href="https://example.org">tea</a> &amp; <code>coffee</code></h1>
<div>Boil <b>water</b>, a lot of it.<br/>Then wait. <img src="steam.png" alt="steam"></div>
<ol><li>Take a cup:<ul><li>big<li><p>blue</p></ul><p>or another.</p></li>
<li>Pour.</li></ol>
<script>alert("no text")</script>
<h2>Times</h2>
<table><thead><tr><th>What<th>How long</thead>
<tbody><tr><td>tea</td><td><s>4</s> 3 min</td></tr>
<tr><td><i>cold</i></td><td>1 &lt; 2</td></tr></tbody></table>
<blockquote><p>Never hurry.</p><h1>Really</h1></blockquote>
<pre class="x"><code class="language-python"><span># not a heading</span>
if a &lt; b:

    pour()</code></pre>
<hr>
<h3>Deep</h3>
<pre>
indented
</pre>
</body></html>
"""
BLOCKS = [
    (0, "Before the first heading."),
    (1, "Making tea & `coffee`"),
    (0, "Boil water, a lot of it.\nThen wait."),
    (0, "1. Take a cup:\n   - big\n   - blue\n   or another.\n2. Pour."),
    (2, "Times"),
    (0, "What | How long\ntea | 4 3 min\ncold | 1 < 2"),
    (0, "> Never hurry.\n> Really"),
    (0, "```python\n# not a heading\nif a < b:\n\n    pour()\n```"),
    (3, "Deep"),
    (0, "```\nindented\n```"),
]


def texts(blocks: Sequence[Block] | None) -> list[tuple[int, str]]:
    return [(block.level, block.text) for block in blocks or ()]


def page(html: str) -> list[Block]:
    return read_page(html).blocks


def documents(folder: Path, name: str, content: bytes | str) -> list[Document]:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return list(read_documents(folder, name))


def one(folder: Path, name: str, content: bytes | str) -> Document:
    (document,) = documents(folder, name, content)
    return document


def test_the_same_document_as_markdown_and_as_html_is_the_same_blocks() -> None:
    assert texts(read_markdown(MARKDOWN)) == BLOCKS
    assert texts(page(HTML)) == BLOCKS


PARTS = st.sampled_from(
    ["", "# a", "## b\n", "c *d*", "- e", "  - f", "1. g", "> h", "```", "    i", "`j`", "\\"]
) | st.sampled_from(
    ["| k | l |", "|---|---|", "---", "===", "<div>", "</div>", "<!-- n -->", "<ul><li>o"]
)


@given(st.lists(PARTS, max_size=12).map("\n".join))
@settings(max_examples=tries(300))
def test_markdown_is_what_it_is_as_html(markdown: str) -> None:
    rendered = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
    assert texts(read_markdown(markdown)) == texts(page(rendered))


TAGS = ("h1", "h3", "p", "div", "ul", "ol", "li", "blockquote", "table", "tr", "td", "pre", "code")
SOUP = st.lists(
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS])
    | st.sampled_from(
        [
            "<br>",
            "<img>",
            "</b>",
            "<![x[",
            "<![if a]>",
            "<?x?>",
            "<!-- y -->",
            "&amp;",
            "w",
            "w",
            "w",
        ]
    ),
    max_size=25,
)


@given(SOUP)
@example(["<table>", "<tr>", "<td>", "w", "<h1>", "w", "</h1>", "w", "<td>", "w"])
@example(["<ul>", "<li>", "<table>", "<td>", "w", "<ol>", "<li>", "w", "</table>", "w"])
@settings(max_examples=tries(500))
def test_no_page_loses_a_word_or_has_it_twice_however_broken_it_is(soup: list[str]) -> None:
    places = [place for place, part in enumerate(soup) if part == "w"]
    for place in places:
        soup[place] = f" w{place}w "
    blocks = page("".join(soup))
    # A browser, too, takes what is never closed for a comment or a tag.
    if not any(part.startswith("<![x") for part in soup):
        found = [word for block in blocks for word in block.text.split() if word[0] == "w"]
        assert [word.strip("`") for word in found] == [f"w{place}w" for place in places]


def test_lines_are_those_of_the_page() -> None:
    blocks = page("<p>\n\na\nb</p>\n<h2>\nc</h2><ul><li>d\n<li>e</ul>\n<pre>\nf\n\ng</pre>")
    assert [(block.first_line, block.last_line) for block in blocks] == [
        (3, 4),
        (5, 6),
        (6, 7),
        (8, 11),
    ]


def test_what_an_open_tag_in_markdown_leaves_open_ends_with_its_paragraph() -> None:
    blocks = read_markdown("a <script> b\n\nc <title> d\n\n<nav>\n\n# e\n\nf\n")
    assert texts(blocks)[-2:] == [(1, "e"), (0, "f")]
    assert texts(blocks)[:2] == [(0, "a <script> b"), (0, "c <title> d")]


@pytest.mark.parametrize(
    "text",
    ["Use the <select> element, and a List<String> in Java. This stays.", "a<br>b <!-- c --> d"],
)
def test_a_tag_in_a_paragraph_of_markdown_is_text_as_it_is_written(text: str) -> None:
    assert texts(read_markdown(text)) == [(0, text)]


@pytest.mark.parametrize("tag", ["nav", "title", "textarea", "script", "style", "form", "svg"])
def test_an_html_block_that_leaves_an_element_open_loses_no_text(tag: str) -> None:
    blocks = read_markdown(f"<div><{tag}> of a page. <b>Stays.\n\nAfter.")
    assert "Stays." in blocks[0].text
    assert texts(blocks)[-1] == (0, "After.")


def test_a_page_whose_text_lies_in_a_form_loses_its_controls_alone() -> None:
    blocks = page("<form>a<p>b<select><option>c</select><button>d</button></form><nav>e</nav>f")
    assert texts(blocks) == [(0, "a"), (0, "b"), (0, "f")]
    assert texts(page("a<nav>b<nav>c</nav><p>d")) == [(0, "a"), (0, "b"), (0, "c"), (0, "d")]


def test_a_footnote_of_one_word_stays() -> None:
    assert texts(read_markdown("a[^1]\n\n[^1]: note")) == [(0, "a[^1]"), (0, "[^1]: note")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", "<a " * 20000),
        ("a.html", "<a b c d e" * 20000),
        ("a.html", "<!--x" * 20000),
        ("a.html", "<table><tr><td>x" * 5000),
        ("a.html", "<ul><li>x" * 5000),
        ("a.md", "> " * 150 + "x\n\n# lost?"),
    ],
)
def test_what_is_too_odd_is_no_text_and_takes_no_time(name: str, text: str, tmp_path: Path) -> None:
    begun = time.process_time()
    assert one(tmp_path, name, text) == Document(name, None)
    assert time.process_time() - begun < 5


def test_many_blank_lines_after_dashes_take_no_time(tmp_path: Path) -> None:
    begun = time.process_time()
    assert one(tmp_path, "a.md", "---\n" + "\n" * 40 + "Text\n").blocks
    assert time.process_time() - begun < 5


def test_a_note_and_a_heading_between_two_rules_are_text(tmp_path: Path) -> None:
    note = "Note: all of this is text.\n\n# Mine\n\n"
    document = one(tmp_path, "a.md", f"---\n{note}---\n\n# X\n")
    assert texts(document.blocks) == [(0, "Note: all of this is text."), (1, "Mine"), (1, "X")]
    for more in ("key: a\nmore prose\n", "A key: a\n", "k: a\n- b\n", "https://a.org\n"):
        assert one(tmp_path, "b.md", f"---\n{more}---\n").blocks


def test_front_matter_may_be_quoted_or_in_capitals(tmp_path: Path) -> None:
    text = '---\n"license": MIT\nURL: a.org\n\ntags:\n- b\nTitle: >\n  T\n---\n'
    document = one(tmp_path, "a.md", text)
    assert (document.title, document.license, document.url) == ("T", "MIT", "a.org")
    with pytest.raises(BadFrontMatter, match="license stands there twice"):
        one(tmp_path, "b.md", "---\nlicense: a\nLicense: b\n---\n")


def test_a_page_s_blank_licence_is_none(tmp_path: Path) -> None:
    html = "<meta name=license content='   '><link rel=canonical href=' '><title> </title>a"
    document = one(tmp_path, "a.html", html)
    assert document.title is document.license is document.url is None


def test_what_is_no_regular_file_is_named_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "dangling.md").symlink_to("nowhere.md")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "up").symlink_to(tmp_path)
    names = list_files(tmp_path)
    assert names == ["dangling.md", "loop.jsonl", "pipe.md", "up"]
    for name in names:
        assert list(read_documents(tmp_path, name)) == [Document(name, None)]


def test_a_page_laid_out_as_a_table_has_its_headings_and_paragraphs() -> None:
    blocks = page(
        "<table><tr><td><a>Home</a></td><td><h1>A</h1><p>b</p><p>c</p><h2>D</h2>e</td></tr></table>"
    )
    assert texts(blocks) == [(0, "Home"), (1, "A"), (0, "b\nc"), (2, "D"), (0, "e")]


def test_a_list_that_is_left_open_ends_with_its_cell() -> None:
    assert texts(page("<table><tr><td><ul><li>a<td>b</table>c")) == [(0, "- a | b"), (0, "c")]


@pytest.mark.parametrize(("name", "text"), [("a.md", MARKDOWN), ("a.html", HTML), ("a.txt", HTML)])
def test_the_ends_of_lines_do_not_matter(name: str, text: str, tmp_path: Path) -> None:
    there = one(tmp_path, name, text)
    for end in ("\r\n", "\r"):
        assert one(tmp_path, name, text.replace("\n", end)) == there


def test_front_matter_names_title_licence_and_address(tmp_path: Path) -> None:
    text = "---\n# by hand\ntitle: 2024\nlicense: CC0\nurl: https://a.org\ntags: [a]\n---\n# B\n"
    document = one(tmp_path, "a.md", text)
    assert (document.title, document.license, document.url) == ("2024", "CC0", "https://a.org")
    assert document.blocks == [Block(1, "B", 8, 8)]


@pytest.mark.parametrize("text", ["---\n\nno\n\n---\n", "---\na\n---\n", "a: b\n---\n"])
def test_a_line_of_dashes_alone_makes_no_front_matter(text: str, tmp_path: Path) -> None:
    document = one(tmp_path, "a.md", text)
    assert document.blocks
    assert document.title is document.license is document.url is None


@pytest.mark.parametrize(
    ("text", "line"),
    [("title: a: b\n", 2), ("x: 1\ntitle: [\n", 4), ("title: a\nlicense: [a]\n", 1)],
)
def test_broken_front_matter_is_told_with_its_line(text: str, line: int, tmp_path: Path) -> None:
    with pytest.raises(BadFrontMatter, match=rf"a\.md:{line}: (.|\n)*\n  Mend it"):
        one(tmp_path, "a.md", f"---\n{text}---\n")


@pytest.mark.parametrize(
    "licence",
    [
        '<link href="CC0" REL="License">',
        '<meta name="license" content="CC0">',
        '<meta name="DC.rights" content="CC0"/>',
    ],
)
def test_a_page_names_title_licence_and_address(licence: str, tmp_path: Path) -> None:
    head = f'<title>A\n &amp; b</title><link rel="canonical" href="https://a.org">{licence}'
    document = one(tmp_path, "a.HTM", f"<head>{head}</head><h2>C</h2><svg><title>d</title></svg>")
    assert (document.title, document.license, document.url) == ("A & b", "CC0", "https://a.org")
    assert document.blocks == [Block(2, "C", 2, 2)]


def test_a_text_file_stands_under_its_name(tmp_path: Path) -> None:
    document = one(tmp_path, "how to.txt", "# a *b*\nc  \n\n\n  d\n")
    assert document.title == "how to"
    assert document.blocks == [Block(0, "# a *b*\nc", 1, 2), Block(0, "  d", 5, 5)]


ROWS = [
    {"text": "# A\n\nb\nc", "title": "T", "url": "https://a.org", "license": "CC0"},
    {"text": "just\ntext *b*\n\nmore", "title": None, "url": None, "license": " "},
    {"text": "no heading --\n# ?", "title": "T", "url": None, "license": None},
    {"text": "#tag\nand *more*", "title": "", "url": "", "license": ""},
]


def test_the_rows_of_a_table_are_documents_and_markdown_if_they_have_a_heading(
    tmp_path: Path,
) -> None:
    lines = documents(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    rows = list(read_documents(tmp_path, "a.parquet"))
    assert [row.name for row in rows] == [f"a.parquet:{n}" for n in (1, 2, 3, 4)]
    for line, row in zip(lines, rows, strict=True):
        assert (line.blocks, line.title, line.url, line.license, line.row) == (
            (row.blocks, row.title, row.url, row.license, row.row)
        )
    assert texts(lines[0].blocks) == [(1, "A"), (0, "b c")]
    assert texts(lines[1].blocks) == [(0, "just\ntext *b*"), (0, "more")]
    assert (lines[0].license, lines[1].license, lines[2].row) == ("CC0", None, 3)
    assert texts(lines[2].blocks) == [(0, "no heading --"), (1, "?")]
    assert texts(lines[3].blocks) == [(0, "#tag\nand *more*")]
    assert lines[3].title is lines[3].url is lines[3].license is None


def test_a_table_may_lack_all_columns_but_its_text_and_a_text_may_be_null(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")
    first, second = read_documents(tmp_path, "a.parquet")
    assert (first.blocks, second.blocks) == ([Block(0, "a", 1, 1)], None)


def test_a_table_without_texts_is_told_with_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for table, error, told in (
        ({"content": ["a"], "id": [1]}, NoTextColumn, r"no column text, but content, id\n  Name"),
        ({"text": [1]}, NotAText, r"column text is of type int64\n  Write"),
        ({"text": ["a"], "title": [[1]]}, NotAText, r"column title is of type list<"),
    ):
        pq.write_table(pa.table(table), path)
        with pytest.raises(error, match=rf"a\.parquet: (.|\n)*{told}"):
            list(read_documents(tmp_path, "a.parquet"))
    with pytest.raises(BadFile, match=r"a\.parquet: cannot be read as Parquet: .*\n  Write it"):
        documents(tmp_path, "a.parquet", "no table")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"content": "a"}', "2: field text: .*\n  Each line is one JSON object with text, title"),
        ('{"text": 1}', "2: field text: "),
        ("{", "2: "),
        ("", "2: blank line"),
        ('{"text": "\\ud800"}', "2: .*half of a surrogate pair"),
    ],
)
def test_a_broken_line_is_told_with_its_number(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=rf"a\.jsonl:{told}"):
        documents(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{line}\n')


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.md", b"\x89PNG\0"),
        ("a.txt", "ä".encode("latin-1")),
        ("a.html", "<p>a".encode("utf-16")),
        ("a.pdf", b"text"),
        ("a", b"text"),
    ],
)
def test_what_is_no_text_has_no_blocks_and_stops_nothing(
    name: str, content: bytes, tmp_path: Path
) -> None:
    assert one(tmp_path, name, content) == Document(name, None)


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.jsonl"])
def test_an_empty_file_is_a_document_without_a_block(name: str, tmp_path: Path) -> None:
    assert one(tmp_path, name, b"").blocks == []


def test_a_mark_before_utf_8_is_no_text(tmp_path: Path) -> None:
    assert one(tmp_path, "a.md", b"\xef\xbb\xbf# A\n").blocks == [Block(1, "A", 1, 1)]


def test_files_are_listed_by_path_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/a.md", "a.md", "b.md", ".a.md", "b/.a", ".c/a.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == ["a.md", "b.md", "b/a.md"]


@given(st.text(alphabet="a \n\t#-", max_size=30))
@settings(max_examples=tries(200))
def test_a_plain_text_is_its_paragraphs_letter_by_letter(text: str) -> None:
    lines = text.split("\n")
    blocks = read_plain(text)
    there = {n for block in blocks for n in range(block.first_line, block.last_line + 1)}
    assert there == {n for n, line in enumerate(lines, 1) if line.strip()}
    for block in blocks:
        own = lines[block.first_line - 1 : block.last_line]
        assert block.text == "\n".join(line.rstrip() for line in own)
