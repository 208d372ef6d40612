"""What the report's page has of instruction backtranslation: the pairs, and how good the judge is.

Pairs are those of the last round that has run; the judge is tried in every round.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from seedbed.backtranslation.params import Backtranslation, Ratings
from seedbed.backtranslation.ratings_tables import read_tables
from seedbed.backtranslation.rows import (
    ASSESSED,
    BACK,
    CURATED,
    IFD,
    JUDGED,
    LABELLED,
    PAIRS,
    ROWS,
    CuratedPair,
    IfdRow,
    JudgedRow,
    Labelled,
    Scored,
)
from seedbed.core.files import plainly, problem_of, read_text
from seedbed.core.paths import PARAMS, Into
from seedbed.core.records import Record
from seedbed.core.section import Section as ParamsSection
from seedbed.errors import BadFile
from seedbed.runs.page import Kind, Part, Row, Section
from seedbed.runs.places import rows_if_there
from seedbed.runs.plain_yaml import Tree
from seedbed.tasks.ratings import OF_A_ROW, WORDS, everyone, in_letters

# The section has so many of the best pairs, and of the worst; the page's table has all of them.
MOST = 10

SectionT = TypeVar("SectionT", bound=ParamsSection)


class Named(Record):
    """A row of a table of counts."""

    name: str
    count: float


class Recovered(Record):
    """How like guessed instructions are to those by hand: ROUGE-L F1, a mean, of 100."""

    name: str
    rouge_l: float


class Interval(Record):
    """Where 95 of 100 resampled values of a number lie; null of too few."""

    name: str
    low: float | None
    high: float | None


class Fault(Record):
    """Of the good pairs, or of those with a fault: how many, how many kept, the mean score."""

    name: str
    pairs: int
    kept: int
    score_mean: float | None


class Tables(Record):
    """What is read of metrics/assessed/ROUND/assess.json; a number that there is none of is not
    there."""

    judge_auc: float | None = None
    judge_auc_swapped: float | None = None
    judge_precision: float | None = None
    judge_recall: float | None = None
    assessed: list[Named]
    judge_intervals: list[Interval]
    recovered: list[Recovered]
    by_fault: list[Fault]

    def interval(self, name: str) -> Interval | None:
        """That of a number; None where too little was drawn from."""
        found = [one for one in self.judge_intervals if one.name == name and one.low is not None]
        return found[0] if found else None

    @property
    def counted(self) -> dict[str, float]:
        """How much was assessed."""
        return {row.name: row.count for row in self.assessed}

    @property
    def recovery(self) -> dict[str, float]:
        """How like guessed instructions are to those by hand: their `own`, and those `of_others`;
        nothing where none could be compared."""
        return {row.name: row.rouge_l for row in self.recovered}


@dataclass(frozen=True)
class Shown:
    """A pair, its line in the file, and what a person says of it; None who nobody labelled."""

    line: int
    pair: CuratedPair
    label: Labelled | None


def part() -> Part:
    """What the page has of it.

    Raises:
        BadFile, BadRow: a file is broken. BadParam: the rounds of params.yaml are.
    """
    ran = [name for name in _rounds() if _pairs(name).exists()] if BACK.exists() else []
    judged, measured = JUDGED / ROWS, IFD / ROWS
    rated = _rated()
    if not (ran or judged.exists() or measured.exists() or rated):
        return Part(made_of=[])  # it is no part of the first run, and so nothing that is missing
    counts: list[tuple[int, str]] = []
    kinds: list[Kind] = []
    sections: list[Section] = []
    keys: dict[str, set[str]] = {}
    if ran:
        last = ran[-1]
        pairs = list(rows_if_there(_pairs(last), CuratedPair))
        kept = sum(pair.kept for pair in pairs)
        counts += [(len(pairs), "texts given an instruction"), (kept, "pairs curated")]
        rows = [
            Row(
                line,
                pair.instruction,
                output=pair.output,
                reason=pair.reason,
                key=pair.key,
                score=pair.score,
            )
            for line, pair in enumerate(pairs, 1)
        ]
        kinds.append(Kind("augmented pair", "augmented pairs", _pairs(last), rows))
        keys |= {"augment": {pair.key for pair in pairs[:1]}, "curate": _asked(pairs[:1])}
        sections.append(_section(ran, pairs))
    others = list(rows_if_there(judged, JudgedRow))
    difficult = list(rows_if_there(measured, IfdRow))
    said = _said() if others or difficult else {}
    if others:
        counts.append((sum(row.kept for row in others), "rows judged good"))
        kinds.append(Kind("judged row", "judged rows", judged, _rows(others, said)))
        keys["judge"] = _asked(others[:1])
    if difficult:
        counts.append((sum(row.kept for row in difficult), "rows kept by difficulty"))
        rows = _rows(difficult, said)
        kinds.append(Kind("row by difficulty", "rows by difficulty", measured, rows))
        keys["ifd"] = {key for row in difficult[:1] for key in row.keys}
    if rated:
        sections.append(rated)
    of_rounds = [path for name in ran for path in (_pairs(name), _labelled(name))]
    return Part(
        made_of=[*of_rounds, judged, measured],
        counts=counts,
        kinds=kinds,
        sections=sections,
        keys={stage: own for stage, own in keys.items() if own},
    )


def _rounds() -> list[str]:
    """The rounds of params.yaml, in order. Raises BadFile, BadRow, BadParam."""
    return list(_declared("backtranslation", Backtranslation).rounds)


def _declared(name: str, section: type[SectionT]) -> SectionT:
    """A section of params.yaml. Raises BadFile, BadRow, BadParam."""
    tree = Tree(PARAMS, read_text(PARAMS))
    try:
        return section.model_validate(tree.at((name,)))
    except ValidationError as error:
        first = error.errors()[0]
        raise tree.bad((name, *first["loc"]), plainly(first["msg"]), "Mend it.") from None


def _pairs(round_: str) -> Path:
    return BACK / round_ / CURATED / PAIRS


def _labelled(round_: str) -> Path:
    return ASSESSED / round_ / "assess" / LABELLED


def _asked(rows: Sequence[Scored]) -> set[str]:
    """The keys of what their scores are made of: enough to know which model was asked."""
    return {part.key for row in rows for part in row.parts}


def _said() -> dict[str, str | None]:
    """What people say of the rows as they are, by id. Raises BadFile, BadRow, BadParam."""
    people = everyone()
    if not people:
        return {}
    from seedbed.backtranslation.ratings import Rated, known  # with scipy, that few reports need

    rows = Path(_declared("ratings", Ratings).rows)
    found = known(rows_if_there(rows, Rated), rows.as_posix(), people, (), {})
    return {
        row.about.id: in_letters({name: row.said[name] for name in OF_A_ROW if name in row.said})
        for row in found
    }


def _rows(rows: Sequence[JudgedRow | IfdRow], said: Mapping[str, str | None]) -> list[Row]:
    return [
        Row(
            line,
            row.instruction,
            output=row.output,
            reason=row.reason,
            key=row.row_key,
            score=row.ifd if isinstance(row, IfdRow) else row.score,
            rating=said.get(row.id),
        )
        for line, row in enumerate(rows, 1)
    ]


def _section(ran: Sequence[str], pairs: Sequence[CuratedPair]) -> Section:
    """The pairs of the last round, and what the judge of each is worth."""
    last = ran[-1]
    best, worst = ends(pairs, {row.id: row for row in rows_if_there(_labelled(last), Labelled)})
    tables = dict(_measured(ran))
    faults = dict.fromkeys(fault.name for table in tables.values() for fault in table.by_fault)
    return Section(
        id="backtranslation",
        link="Backtranslation",
        title="Which texts answer the instructions that they were given",
        template="backtranslation.html",
        values={
            "round": last,
            "file": _pairs(last),
            "best": best,
            "worst": worst,
            "without": sum(pair.score is None for pair in pairs),
            "tables": tables,
            # Beside each fault what each round has of it; a round may have none with it.
            "faults": {
                name: [
                    next((fault for fault in table.by_fault if fault.name == name), None)
                    for table in tables.values()
                ]
                for name in faults
            },
        },
    )


def _rated() -> Section | None:
    """What people say of the rows; None where nobody was asked."""
    tables = read_tables(Into("ratings").metrics)
    if tables is None or not (tables.rated_share or tables.rated_answer):
        return None
    return Section(
        id="ratings",
        link="Ratings",
        title="What people say of the rows",
        template="ratings.html",
        values={"tables": tables, "words": WORDS},
    )


def ends(
    pairs: Sequence[CuratedPair], labels: Mapping[str, Labelled]
) -> tuple[list[Shown], list[Shown]]:
    """The pairs of the highest scores, best first, and of the others those of the lowest."""
    scored = [
        (pair.score, Shown(line, pair, labels.get(pair.id)))
        for line, pair in enumerate(pairs, 1)
        if pair.score is not None
    ]
    # Sorting is stable: of equal scores the earlier line comes first.
    best = [shown for _, shown in sorted(scored, key=lambda one: -one[0])]
    worst = [shown for _, shown in sorted(scored, key=lambda one: one[0])]
    top = best[:MOST]
    taken = {shown.line for shown in top}
    return top, list(islice((shown for shown in worst if shown.line not in taken), MOST))


def _measured(ran: Sequence[str]) -> Iterator[tuple[str, Tables]]:
    """What was measured of the judge of each round that was assessed."""
    for name in ran:
        path = Into("assess", f"{ASSESSED.name}/{name}").metrics
        # In a fresh clone numbers may be there without the rows that they are of.
        if path.exists() and _labelled(name).exists():
            yield name, _tables(path, name)


def _tables(path: Path, round_: str) -> Tables:
    try:
        return Tables.model_validate_json(read_text(path))
    except ValidationError as error:
        place, problem = problem_of(error)
        remedy = f"`dvc repro pipelines/backtranslation/dvc.yaml:assess@{round_}` writes it."
        raise BadFile(path, f"{place}: {problem}", remedy) from None
