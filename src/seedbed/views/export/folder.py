"""`seedbed export`: the finished data as a folder that `datasets.load_dataset` reads.

    README.md                 the data card
    SHA256SUMS                for `sha256sum -c`
    finetuning/train.parquet  a folder a configuration, a file a split
    finetuning/train.jsonl    the same rows as JSON Lines
    …

What is written is what dvc.lock says that the stages wrote, so neither a model nor the response
store is needed, and the same lock gives the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

from seedbed.core.files import beside, exists, read_rows, to_line, write_files
from seedbed.core.progress import bar
from seedbed.core.records import Record
from seedbed.errors import WriteFailed
from seedbed.methods import parts
from seedbed.runs.forms import Export, Form
from seedbed.runs.pipeline import LOCK, Pipeline
from seedbed.views.errors import FolderTaken, NoLicense, NothingToExport
from seedbed.views.export.card import LICENSE, Made, Table, card
from seedbed.views.export.columns import Columns, describe
from seedbed.views.export.parquet import write_parquet
from seedbed.views.export.ratings import rated
from seedbed.views.export.scores import Looked, look_up


def export(
    folder: Path, license: str | None, language: str, without_license: bool = False
) -> list[str]:
    """Write the folder, all of it or nothing; gives what was written, a line a split.

    Args:
        folder: new, or empty.
        license, language: as `card`.
        without_license: hand on, too, texts of others of which no licence is known.

    Raises:
        NoLicense: there is such a text, and they are not to be handed on.
        FolderTaken, BadFile: there is something at that place, or nothing can be there.
        NothingToExport: dvc.lock knows of no data.
        BadFile: a file is missing, or is not what dvc.lock says.
        NotOneRun: dvc.lock is of several runs.
        WriteFailed: no room, or no permission.
    """
    _check_free(folder)
    place = folder.resolve()
    pipeline = Pipeline()
    forms, left_out = _forms(pipeline)
    licenses = {form.name: _licenses(form, without_license) for _, form in forms}
    scores, without_scores = _scores(pipeline, forms)
    wrote = pipeline.made_of(form.stage for _, form in forms)
    made = [
        Made(stage, pipeline.description(stage), pipeline.ran_with(stage), stage in wrote)
        for stage in pipeline.made_of([*wrote, *(one.scores.stage for one in scores)])
    ]
    try:
        with beside([place]) as partials, ExitStack() as files:
            partial = partials[place]
            partial.mkdir()
            columns = _columns(pipeline, [form for _, form in forms], scores, place.parent, files)
            tables = [
                _table(
                    export_,
                    form,
                    split,
                    partial,
                    licenses[form.name],
                    columns.get((form.stage, split)),
                )
                for export_, form in forms
                for split, source in form.splits.items()
                if source.stat().st_size  # a split without rows would be no split to a reader
            ]
            write_files({partial / "README.md": [card(tables, made, license, language)]})
            write_files({partial / "SHA256SUMS": _sums(partial)})
            _check_free(folder)
            partial.rename(place)
    except OSError as error:
        raise WriteFailed(folder, error) from None
    rows = [f"{table.form.name} · {table.split} · {table.measured.rows} rows" for table in tables]
    left_out += [*without_scores, *(line for one in scores for line in one.left_out())]
    return [*rows, *left_out, f"written to {folder}: read its README.md before you hand it on"]


def _check_free(folder: Path) -> None:
    if exists(folder) and not folder.is_dir():
        raise FolderTaken(folder, "is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise FolderTaken(folder, "is not empty")


def all_forms() -> list[tuple[Export, Form]]:
    """The forms of every method. The first that was made is what `load_dataset(folder)` loads."""
    return [(part.EXPORT, form) for part in parts("export") for form in part.EXPORT.forms]


def _forms(pipeline: Pipeline) -> tuple[list[tuple[Export, Form]], list[str]]:
    """The forms that there are, their files checked, and a line about what there is not."""
    every = all_forms()
    recorded = [(export, form) for export, form in every if pipeline.recorded(form.stage)]
    if not recorded:
        raise NothingToExport(LOCK, list(dict.fromkeys(form.stage for _, form in every)))
    # Who runs one method alone has nothing of another but what dvc.lock tells.
    gone = {
        form.stage: source.parent
        for _, form in recorded
        for source in form.splits.values()
        if not source.parent.exists()
    }
    # Where nothing is there, the first of what is missing is named.
    forms = [(export, form) for export, form in recorded if form.stage not in gone] or recorded
    for _, form in forms:
        for source in form.splits.values():
            pipeline.check_written(form.stage, source)
    return forms, [
        f"left out: {path} is not there (`dvc pull` or `dvc repro {stage}` brings it)"
        for stage, path in gone.items()
    ]


def _licenses(form: Form, without: bool) -> Counter[str | None]:
    """How many of a form's rows have a text of others under each licence; None where it is unknown.

    Raises:
        NoLicense: it is unknown of one, and `without` is false.
    """
    counted = Counter[str | None]()
    if form.owes is None:
        return counted
    for source in form.splits.values():
        first, missing = 0, 0
        rows = read_rows(source, form.record) if source.stat().st_size else ()
        for line, row in enumerate(rows, 1):
            if form.owes(row):
                license = (getattr(row, LICENSE) or "").strip() or None
                counted[license] += 1
                if license is None:
                    first, missing = first or line, missing + 1
        if missing and not without:
            raise NoLicense(source, first, missing)
    return counted


def _scores(
    pipeline: Pipeline, forms: Sequence[tuple[Export, Form]]
) -> tuple[list[Looked], list[str]]:
    """What stages said of the rows of these forms, and a line of each whose scores are left out."""
    files = {source for _, form in forms for source in form.splits.values()}
    looked = [
        look_up(scores, pipeline, files)
        for part in parts("export")
        for scores in part.EXPORT.scores
    ]
    return [one for one, _ in looked if one], [line for _, lines in looked for line in lines]


def _columns(
    pipeline: Pipeline,
    forms: Sequence[Form],
    scores: Sequence[Looked],
    room: Path,
    files: ExitStack,
) -> dict[tuple[str, str], Columns]:
    """The further columns of each stage's rows, by stage and split. room: where they may wait."""
    found = {}
    with bar("export", None, "rows") as progress:
        for form in forms:
            for split, source in form.splits.items() if form.origins else ():
                if source.stat().st_size:
                    file = files.enter_context(TemporaryFile(dir=room))  # noqa: SIM115
                    found[form.stage, split] = describe(
                        form, source, pipeline, [*scores, rated(source)], file, progress.update
                    )
    return found


def _table(
    export: Export,
    form: Form,
    split: str,
    folder: Path,
    licenses: Counter[str | None],
    columns: Columns | None,
) -> Table:
    source = form.splits[split]
    into = folder / form.name
    into.mkdir(exist_ok=True)
    path = into / f"{split}.parquet"
    measured = write_parquet(source, form.record, path, form.measured, columns)
    _write_lines(source, form.record, path.with_suffix(".jsonl"), columns)
    return Table(
        export, form, split, path.relative_to(folder).as_posix(), measured, licenses, columns
    )


def _write_lines(source: Path, record: type[Record], path: Path, columns: Columns | None) -> None:
    """The values as the rows' stage wrote them, and the further columns.

    Each row has the columns of the Parquet file: a reader of JSON Lines takes them from the first
    rows, and a stage may leave out what is null.
    """
    left_out = {
        name: info.get_default(call_default_factory=True)
        for name, info in record.model_fields.items()
        if not info.is_required()
    }
    names = [*record.model_fields]
    with source.open("rb") as lines:
        rows = (left_out | json.loads(line) for line in lines)
        own = ({name: row[name] for name in names} for row in rows)
        write_files({path: map(to_line, own if columns is None else columns.beside(own))})


def _sums(folder: Path) -> list[str]:
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return lines
