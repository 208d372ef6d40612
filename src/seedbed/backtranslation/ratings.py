"""ratings: what people say of rows and answers → shares, agreement, and which scores foretell it.

It asks nothing. A judge's threshold is a guess until people have looked at some of what it keeps:
here is what they say of the rows, and how well the judge, the difficulty and the similarity of the
instruction tell those that they find right from the others.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed.backtranslation.agreement import Point
from seedbed.backtranslation.params import Ratings
from seedbed.backtranslation.people import (
    GROUPS,
    Known,
    agreements,
    foretelling,
    of_answers,
    shares,
    thresholds,
)
from seedbed.backtranslation.rows import IFD, JUDGED, ROWS, IfdRow, JudgedRow
from seedbed.core.files import read_rows, to_json, write_files
from seedbed.core.metrics import with_tables
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.records import Record
from seedbed.core.section import Section
from seedbed.tasks.ratings import (
    FOLDER,
    OF_A_ROW,
    WORDS,
    About,
    Opinions,
    digest,
    everyone,
    id_of,
    settled,
)

# Why a rating is not counted.
LEFT_OUT = ("other_file", "row_is_gone", "row_has_changed")
COMPLETIONS = Path("data/instances/machine_generated_instances.jsonl")


class Params(Section):
    """The sections that dvc.yaml declares for this stage."""

    ratings: Ratings


@dataclass(frozen=True)
class Inputs:
    """rows: in place of ratings.rows; None for that. judged, difficult, completions: as far as
    they are there."""

    folder: Path = FOLDER
    rows: Path | None = None
    judged: Path = JUDGED / ROWS
    difficult: Path = IFD / ROWS
    completions: Path = COMPLETIONS


class Rated(Record):
    """What is read of a row that people rate."""

    instruction: str
    input: str = ""
    output: str
    id: str | None = None
    instruction_id: str | None = None


class Completion(Record):
    """What is read of an instruction. most_similar: ROUGE-L F1 of others with it."""

    instruction_id: str
    is_classification: bool | None = None
    most_similar: dict[str, float]


def known(
    rows: Iterable[Rated],
    source: str,
    people: Mapping[str, Opinions],
    completions: Iterable[Completion],
    scores: Mapping[str, Mapping[str, float]],
) -> list[Known]:
    """The rows that somebody rated, in the order of their file.

    scores: name → row's id → value.
    """
    of_instruction = {row.instruction_id: row for row in completions}
    found = []
    for row in rows:
        text = digest(row.instruction, row.input, row.output)
        about = About(source, id_of(row.id, text), None, text)
        said = settled(people, about)
        if not said:
            continue
        if len(said) == len(OF_A_ROW):
            said["all"] = all(said.values())
        own = {name: of[about.id] for name, of in scores.items() if about.id in of}
        group = None
        if completion := of_instruction.get(row.instruction_id or ""):
            if completion.most_similar:
                own["similarity"] = max(completion.most_similar.values())
            if completion.is_classification is not None:
                group = GROUPS[1] if completion.is_classification else GROUPS[2]
        found.append(Known(about, said, group, own))
    return found


def left_out(people: Mapping[str, Opinions], there: Mapping[str, str], source: str) -> Counter[str]:
    """How many answers about rows are not counted, and why. there: id → digest of the text."""
    found: Counter[str] = Counter()
    for of_one in people.values():
        for about, answers in of_one.items():
            if about.model is not None:
                continue
            if about.file != source:
                found["other_file"] += len(answers)
            elif about.id not in there:
                found["row_is_gone"] += len(answers)
            elif there[about.id] != about.text:
                found["row_has_changed"] += len(answers)
    return found


def metrics(
    rows: Sequence[Known],
    people: Mapping[str, Opinions],
    not_counted: Counter[str],
    params: Ratings,
) -> dict[str, Any]:
    """The stage's metrics. A number that there is none of is not there."""
    table = shares(rows)
    agreed = agreements(people, {row.about for row in rows})
    foretold = foretelling(rows, params)
    flat: dict[str, Any] = {
        "rated_rows": len(rows),
        "rated_answers": sum(
            about.model is not None for of_one in people.values() for about in of_one
        ),
        "raters": sum(map(bool, people.values())),
    }
    flat |= {f"rated_{row['name']}": row["share"] for row in table if row["group"] == "all"}
    for row in agreed:
        if (row["name"], row["measure"]) == ("output", "alpha") and row["value"] is not None:
            flat["rated_alpha"] = row["value"]
    for row in foretold:
        if (row["name"], row["question"]) == ("judge", "output") and row["auc"] is not None:
            flat["rated_judge_auc"] = row["auc"]
    return {
        **flat,
        "rated_share": table,
        "rated_answer": of_answers(people),
        "agreement": agreed,
        "foretold": foretold,
        "judge_from": [
            {
                "threshold": point.threshold,
                "kept": point.kept,
                "precision": round(point.precision, 6),
                "recall": None if point.recall is None else round(point.recall, 6),
            }
            for point in thresholds(rows)
        ],
        "not_counted": {reason: not_counted[reason] for reason in LEFT_OUT},
    }


def share_points(table: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Points for the `intervals` plot template: here, and the paper's without an interval."""
    for row in table:
        if row["group"] == "all":
            what = WORDS[row["name"]]
            yield {
                "question": what,
                **{name: row[name] for name in ("share", "low", "high", "rows")},
            }
            paper = row["paper"]
            yield {"question": f"{what}, paper", "share": paper, "low": paper, "high": paper}


def threshold_points(points: Iterable[Point]) -> Iterator[dict[str, Any]]:
    """Points for the `steps` plot template: precision and recall by the judge's score."""
    for point in points:
        for kind, share in (("precision", point.precision), ("recall", point.recall)):
            if share is not None:
                yield {
                    "threshold": point.threshold,
                    "share": round(share, 6),
                    "kind": kind,
                    "panel": "judge",
                }


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read ratings, rows, and what scores there are; write metrics and plots.

    Raises:
        BadFile, BadRow: of what is read.
    """
    path = inputs.rows or Path(params.ratings.rows)
    people = everyone(inputs.folder)
    rows = list(read_rows(path, Rated))
    there = {
        id_of(row.id, text): text
        for row in rows
        for text in [digest(row.instruction, row.input, row.output)]
    }
    scores: dict[str, dict[str, float]] = {"judge": {}, "ifd": {}}
    if inputs.judged.exists():
        scores["judge"] = {
            row.id: row.score
            for row in read_rows(inputs.judged, JudgedRow)
            if row.score is not None
        }
    if inputs.difficult.exists():
        scores["ifd"] = {
            row.id: row.ifd for row in read_rows(inputs.difficult, IfdRow) if row.ifd is not None
        }
    completions = (
        list(read_rows(inputs.completions, Completion)) if inputs.completions.exists() else []
    )
    with Progress("ratings", len(rows), "rows") as progress:
        source = path.as_posix()
        found = known(progress.over(rows), source, people, completions, scores)
        measured = metrics(found, people, left_out(people, there, source), params.ratings)
    if not found:
        print(
            f"ratings: nobody has rated a row of {path} as it is now; `seedbed review {path}` asks",
            file=sys.stderr,
        )
    write_files(
        {
            into.metrics: to_json(with_tables(measured)),
            into.plot("rated_shares"): to_json(list(share_points(measured["rated_share"]))),
            into.plot("rated_threshold"): to_json(list(threshold_points(thresholds(found)))),
        }
    )
    progress.finish(len(found))
