"""`seedbed export`: the finished data as a folder that `datasets.load_dataset` reads.

    README.md                 the data card
    SHA256SUMS                for `sha256sum -c`
    finetuning/train.parquet  a folder a configuration, a file a split
    finetuning/train.jsonl    the same rows, as the pipeline wrote them
    …

What is written is what dvc.lock says that the stages wrote, so neither a model nor the response
store is needed, and the same lock gives the same bytes.
"""

import hashlib
import shutil
from collections import Counter
from pathlib import Path

from seedbed.core.files import beside, exists, read_rows, write_files
from seedbed.errors import WriteFailed
from seedbed.methods import parts
from seedbed.runs.forms import Export, Form
from seedbed.runs.pipeline import LOCK, Pipeline
from seedbed.views.errors import FolderTaken, NoLicense, NothingToExport
from seedbed.views.export.card import LICENSE, Made, Table, card
from seedbed.views.export.parquet import write_parquet


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
    stages = pipeline.made_of(form.stage for _, form in forms)
    made = [Made(stage, pipeline.description(stage), pipeline.ran_with(stage)) for stage in stages]
    try:
        with beside([place]) as partials:
            partial = partials[place]
            partial.mkdir()
            tables = [
                _table(export_, form, split, partial, licenses[form.name])
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


def _table(
    export: Export, form: Form, split: str, folder: Path, licenses: Counter[str | None]
) -> Table:
    source = form.splits[split]
    into = folder / form.name
    into.mkdir(exist_ok=True)
    shutil.copyfile(source, into / f"{split}.jsonl")
    path = into / f"{split}.parquet"
    measured = write_parquet(source, form.record, path, form.measured)
    return Table(export, form, split, path.relative_to(folder).as_posix(), measured, licenses)


def _sums(folder: Path) -> list[str]:
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return lines
