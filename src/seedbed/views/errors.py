"""What may be wrong with what shows a run."""

from pathlib import Path

from seedbed.errors import SeedbedError


class FolderTaken(SeedbedError):
    def __init__(self, folder: Path, why: str):
        super().__init__(f"{folder}: {why}\n  Name a folder that is new, or empty.")


class NothingToExport(SeedbedError):
    def __init__(self, lock: Path, stages: list[str]):
        super().__init__(
            f"{lock}: has no record of {' or '.join(stages)}, so there is no data set yet\n"
            "  `dvc repro` makes one; in a clone of somebody's, `dvc pull` fetches it."
        )


class NothingToReport(SeedbedError):
    def __init__(self) -> None:
        super().__init__(
            "there is nothing to report: no stage has written anything here yet\n"
            "  `dvc repro` runs the stages; if somebody else did, `dvc pull` fetches what they "
            "made."
        )
