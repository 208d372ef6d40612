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
from pathlib import Path

from seedbed.core.files import beside, exists, write_files
from seedbed.errors import WriteFailed
from seedbed.runs.pipeline import LOCK, Pipeline
from seedbed.views.errors import FolderTaken, NothingToExport
from seedbed.views.export.card import Made, Table, card
from seedbed.views.export.forms import FORMS, Form
from seedbed.views.export.tables import write_parquet


def export(folder: Path, license: str | None, language: str) -> list[str]:
    """Write the folder, all of it or nothing; gives what was written, a line a split.

    Args:
        folder: new, or empty.
        license, language: as `card`.

    Raises:
        FolderTaken, BadFile: there is something at that place, or nothing can be there.
        NothingToExport: dvc.lock knows of no data.
        BadFile: a file is missing, or is not what dvc.lock says.
        NotOneRun: dvc.lock is of several runs.
        WriteFailed: no room, or no permission.
    """
    _check_free(folder)
    place = folder.resolve()
    pipeline = Pipeline()
    forms, told = _forms(pipeline)
    stages = pipeline.made_of(form.stage for form in forms)
    made = [Made(one, pipeline.description(one), pipeline.ran_with(one)) for one in stages]
    try:
        with beside([place]) as partials:
            partial = partials[place]
            partial.mkdir()
            tables = [
                _table(form, split, partial)
                for form in forms
                for split, source in form.splits.items()
                if source.stat().st_size  # a split without rows would be no split to a reader
            ]
            write_files({partial / "README.md": [card(tables, made, license, language)]})
            write_files({partial / "SHA256SUMS": _sums(partial)})
            _check_free(folder)
            partial.rename(place)
    except OSError as error:
        raise WriteFailed(folder, error) from None
    rows = [f"{one.form.name} · {one.split} · {one.measured.rows} rows" for one in tables]
    return [*rows, *told, f"written to {folder}: read its README.md before you hand it on"]


def _check_free(folder: Path) -> None:
    if exists(folder) and not folder.is_dir():
        raise FolderTaken(folder, "is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise FolderTaken(folder, "is not empty")


def _forms(pipeline: Pipeline) -> tuple[list[Form], list[str]]:
    """The forms that there are, their files checked, and a line about what there is not."""
    recorded = [form for form in FORMS if pipeline.recorded(form.stage)]
    # Who runs the first method alone has nothing of the second but what dvc.lock tells.
    gone = {
        form.stage: source.parent
        for form in recorded
        for source in form.splits.values()
        if form.stage != "prepare" and not source.parent.exists()
    }
    forms = [form for form in recorded if form.stage not in gone]
    if not forms:
        raise NothingToExport(LOCK, list(dict.fromkeys(form.stage for form in FORMS)))
    for form in forms:
        for source in form.splits.values():
            pipeline.check_written(form.stage, source)
    return forms, [
        f"left out: {path} is not there (`dvc pull` or `dvc repro {stage}` brings it)"
        for stage, path in gone.items()
    ]


def _table(form: Form, split: str, folder: Path) -> Table:
    source = form.splits[split]
    own = folder / form.name
    own.mkdir(exist_ok=True)
    shutil.copyfile(source, own / f"{split}.jsonl")
    path = own / f"{split}.parquet"
    measured = write_parquet(source, form.record, path, form.measured)
    return Table(form, split, path.relative_to(folder).as_posix(), measured)


def _sums(folder: Path) -> list[str]:
    lines = []
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return lines
