"""Rows that were trained on, told back to the file that they came from."""

from collections.abc import Collection
from pathlib import Path

from seedbed.runs.places import Place, row_at
from seedbed.runs.telling import Telling
from seedbed.training.rows import LeftOutRow, TrainedRow

RECORDS: dict[str, type[TrainedRow]] = {"rows.jsonl": TrainedRow, "left_out.jsonl": LeftOutRow}


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told. writers: what the stages write."""
    folders = [path for path in writers if (path / "adapter.gguf").is_file()]
    return [folder / name for folder in folders for name in RECORDS]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told."""
    return path in files(writers)


def tell(telling: Telling, place: Place) -> None:
    """The row at a place of a file that it `knows`, and what it came from. As `account`."""
    row = row_at(place, RECORDS[place.path.name])
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    source = f"{row.source}:{row.line}"
    telling.out.line(f"it came from {source}: `seedbed trace {source}` tells that row")
