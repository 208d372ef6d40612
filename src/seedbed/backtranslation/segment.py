"""segment: documents → segments, by heading (arXiv 2308.06259, appendix E).

A segment is the text under a heading, with what lower headings have. All that is no segment is
refused with a reason, so that both files together have every block of every document; see
`seedbed.backtranslation.sections` for how they are cut. An id is made of the document's path in
the folder and of the place in it, and a sample is drawn by id: so one document more changes the
rows of no other, but for later ones that repeat it, and one that it takes the place of in a sample.

Documents are read, cut and written one by one. What stays in memory is an id and a few numbers for
each segment.
"""

import hashlib
import json
import re
import sys
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import pstdev
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

from seedbed.backtranslation.documents import Document, list_files, read_documents
from seedbed.backtranslation.errors import NoDocuments, NoSegments
from seedbed.backtranslation.near_duplicates import NearDuplicates, Signature, signature
from seedbed.backtranslation.params import Segments
from seedbed.backtranslation.repetition import repeated_share
from seedbed.backtranslation.rows import REJECTED, SEGMENTS, RejectedSegment, Segment
from seedbed.backtranslation.sections import Cutter, Piece
from seedbed.core import draws
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.metrics import counts, mean, with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section
from seedbed.core.shards import mapped
from seedbed.errors import WriteFailed

KEPT = SEGMENTS.name
# Pieces that are read together; the first, a second's work, in this process: `seedbed.core.shards`.
TOGETHER, ALONE = 64, 2_000
# In the order in which they are looked for; a row has the first that holds.
REASONS = (
    "not_text",
    "no_header",
    "too_long",
    "too_short",
    "capitals",
    "refused_header",
    "contacts",
    "repetitive",
    "duplicate",
    "near_duplicate",
    "over_the_maximum",
)
_E_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b")
# The letters of a name in capitals, at most.
_NAME = 5
# Written as a telephone number: after + or in groups; dates, versions and prices are none.
_TELEPHONE = re.compile(
    r"""(?<![\w.,/+-])(?:
        \+\d{1,3}[ /-]?\(?\d{1,5}\)?(?:[ /-]?\d){5,10}    # +49 (0)30 123456
      | \(\d{2,5}\)[ /-]?\d{3,}(?:[ -]\d{2,}){0,3}        # (030) 1234-56
      | \d{3}[ .-]\d{3}[ .-]\d{4}                         # 555-123-4567
      | 0[1-9]\d{1,3}[ /-]\d{3,}(?:[ -]\d{2,}){0,3}       # 0171 1234567
      | 0\d(?:[ .]\d\d){4}                                # 01 23 45 67 89
    )(?![\w])""",
    re.X,
)


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    segment: Segments


@dataclass(frozen=True)
class Inputs:
    """What it reads. folder: in place of segment.folder."""

    folder: Path | None = None


def has_contacts(text: str) -> bool:
    """Whether it has an e-mail address or a telephone number."""
    return bool(_E_MAIL.search(text) or _TELEPHONE.search(text))


def is_shouted(heading: str) -> bool:
    """Whether it is in capitals, and no more than a name such as FAQ or SQL 92.

    >>> [is_shouted(heading) for heading in ("HTML 5", "BREAKING", "BUY IT", "Buy")]
    [False, True, True, False]
    """
    words = [word for word in heading.split() if any(map(str.isalpha, word))]
    return heading.isupper() and (len(words) > 1 or sum(map(str.isalpha, heading)) > _NAME)


class Judge:
    """Says why a piece is no segment, as far as it alone can say that."""

    def __init__(self, params: Segments):
        self._params = params
        words = "|".join(map(re.escape, params.refused_headers))
        self._refused = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.I) if words else None

    def reason(self, piece: Piece) -> str | None:
        """The first reason; None if there is none."""
        if piece.reason is not None:
            return piece.reason
        if is_shouted(piece.heading[-1]):
            return "capitals"
        if self._refused is not None and self._refused.search(piece.heading[-1]):
            return "refused_header"
        if self._params.refuse_contacts and has_contacts(piece.text):
            return "contacts"
        if repeated_share(piece.text) > self._params.max_repeated:
            return "repetitive"
        return None


def row_of(document: Document, piece: Piece, folder: Path, license_: str | None) -> Segment:
    """A piece as a row. license_: of a document that names none."""
    identity = json.dumps([document.name, *piece.place], ensure_ascii=False)
    return Segment(
        id=hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        # No disk asks for UTF-8 in a name, but a row does.
        document=(folder / document.name).as_posix().encode("utf-8", "replace").decode(),
        heading=piece.heading,
        text=piece.text,
        first_line=document.row or piece.first_line,
        last_line=document.row or piece.last_line,
        license=document.license or license_,
        url=document.url,
    )


def refused(row: Segment, reason: str, of: str | None = None) -> RejectedSegment:
    return RejectedSegment(**row.model_dump(), reason=reason, of=of)


def pieces(documents: Iterable[Document], params: Segments) -> Iterator[tuple[Document, Piece]]:
    """The pieces of each document, in order; of one that is no text one without a text."""
    cutter = Cutter(params.header_levels, params.min_chars, params.max_chars)
    for document in documents:
        if document.blocks is None:
            yield document, Piece([], "", (0, 0), 1, 1, "not_text")
        else:
            for piece in cutter.cut(document.blocks, document.title):
                yield document, piece


class Spool:
    """All rows, in a file without a name, as they are found; and what is known of them by number.

    ids: of those that may be kept; None of those that are refused.
    """

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._begins = array("Q")
        self._end = 0
        self.ids: list[str | None] = []
        self.chars = array("Q")
        self.reasons: Counter[str] = Counter()
        self.with_contacts: set[str] = set()

    def add(self, row: Segment) -> None:
        line = to_line(row).encode("utf-8", "replace")
        self._file.write(line)
        self._begins.append(self._end)
        self._end += len(line)
        self.chars.append(len(row.text))
        if isinstance(row, RejectedSegment):
            self.ids.append(None)
            self.reasons[row.reason] += 1
        else:
            self.ids.append(row.id)
            if has_contacts(row.text):
                self.with_contacts.add(row.id)

    def text(self, number: int) -> str:
        """The text of a row that was added."""
        self._file.seek(self._begins[number])
        line = self._file.readline()
        self._file.seek(self._end)
        return Segment.model_validate_json(line).text

    def kept(self, chosen: Set[str]) -> Iterator[str]:
        """The lines of those that may be kept and are chosen."""
        for id_, line in self._lines():
            if id_ in chosen:
                yield line

    def rejected(self, chosen: Set[str]) -> Iterator[str]:
        """The lines of all others, in the order of the documents too."""
        for id_, line in self._lines():
            if id_ is None:
                yield line
            elif id_ not in chosen:
                yield to_line(refused(Segment.model_validate_json(line), "over_the_maximum"))

    def _lines(self) -> Iterator[tuple[str | None, str]]:
        self._file.seek(0)
        for id_, line in zip(self.ids, self._file, strict=True):
            yield id_, line.decode("utf-8")


@contextmanager
def spooled(folder: Path) -> Iterator[Spool]:
    """A spool on the disk that the result is to lie on. Raises WriteFailed: there is no room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            yield Spool(file)
    except OSError as error:
        raise WriteFailed(folder / KEPT, error) from None


class Read(NamedTuple):
    """What a piece alone tells: why it is no segment, or what near-duplicates are found by."""

    reason: str | None
    signature: Signature | None


def read_pieces(params: Segments, some: list[Piece]) -> list[Read]:
    """Pure, and what takes longest: see `seedbed.core.shards`."""
    judge = Judge(params)
    reasons = [judge.reason(piece) for piece in some]
    return [
        Read(reason, None if reason else signature(piece.text))
        for reason, piece in zip(reasons, some, strict=True)
    ]


def sort(documents: Iterable[Document], params: Segments, folder: Path, spool: Spool) -> None:
    """Put the rows of all documents into the spool, refused ones with their reasons."""
    near = NearDuplicates(params.near_duplicate, spool.text)
    waiting: deque[list[tuple[Document, Piece]]] = deque()

    def some() -> Iterator[list[Piece]]:
        found = pieces(documents, params)
        while together := list(islice(found, TOGETHER)):
            waiting.append(together)
            yield [piece for _, piece in together]

    for of_some in mapped(partial(read_pieces, params), some(), least=ALONE, size=len):
        for (document, piece), read in zip(waiting.popleft(), of_some, strict=True):
            row = row_of(document, piece, folder, params.license)
            reason, of = read.reason, None
            if reason is None:
                of = near.find_or_add(len(spool.ids), row.text, read.signature)
                if of is not None:
                    same = spool.text(of) == row.text
                    reason = "duplicate" if same else "near_duplicate"
            spool.add(
                row
                if reason is None
                else refused(row, reason, None if of is None else spool.ids[of])
            )


def sample(ids: Iterable[str | None], params: Segments) -> set[str]:
    """Those of the ids that are kept: at most max_segments."""
    there = [id_ for id_ in ids if id_ is not None]
    if params.max_segments is not None and len(there) > params.max_segments:
        there.sort(key=lambda id_: draws.rank(params.seed, "segment", id_))
        del there[params.max_segments :]
    return set(there)


def reasons(spool: Spool, chosen: Set[str]) -> Counter[str]:
    """How many are refused for each reason, those that were not chosen too."""
    over = sum(id_ is not None for id_ in spool.ids) - len(chosen)
    return spool.reasons + Counter(over_the_maximum=over)


def metrics(spool: Spool, chosen: Set[str], documents: int) -> dict[str, Any]:
    """The stage's metrics; characters are those of the kept texts."""
    chars = [count for id_, count in zip(spool.ids, spool.chars, strict=True) if id_ in chosen]
    return {
        "documents": documents,
        "segments_kept": len(chosen),
        "segments_rejected": len(spool.ids) - len(chosen),
        "segment_chars_mean": mean(chars),
        "segment_chars_sd": round(pstdev(chars), 6) if chars else 0.0,
        "segments_with_contacts": len(spool.with_contacts & chosen),
        "rejected": counts(REASONS, reasons(spool, chosen)),
    }


def told(reasons: Counter[str]) -> str:
    """How much is refused and why, in a line; the commonest first.

    >>> told(Counter(too_short=1, not_text=2))
    'segment: 3 refused: 2 not_text, 1 too_short'
    """
    each = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"segment: {reasons.total()} refused: {each}"


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read the documents, cut and sort them; write segments, what is refused, and metrics.

    Raises:
        NoDocuments, NoSegments: there is nothing to go on with.
        BadFile, BadRow, BadFrontMatter, NoTextColumn, NotAText: of what is read.
    """
    folder = inputs.folder or Path(params.segment.folder)
    names = list_files(folder)
    if not names:
        raise NoDocuments(folder)
    documents = 0

    def read() -> Iterator[Document]:
        nonlocal documents
        for name in names:
            for document in read_documents(folder, name):
                documents += 1
                yield document

    with spooled(into.folder) as spool:
        with Progress("segment", None, "documents") as progress:
            sort(progress.over(read()), params.segment, folder, spool)
        chosen = sample(spool.ids, params.segment)
        if not chosen:
            raise NoSegments(folder, documents, spool.reasons)
        write_files(
            {
                into.folder / KEPT: spool.kept(chosen),
                into.folder / REJECTED: spool.rejected(chosen),
                into.metrics: to_json(with_tables(metrics(spool, chosen, documents))),
            }
        )
        refused_for = reasons(spool, chosen)
    progress.finish(len(chosen))
    if refused_for:
        print(told(refused_for), file=sys.stderr, flush=True)
