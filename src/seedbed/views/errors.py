"""What may be wrong with what shows a run."""

from pathlib import Path

from seedbed.errors import SeedbedError, shown


class FolderTaken(SeedbedError):
    def __init__(self, folder: Path, why: str):
        super().__init__(f"{folder}: {why}\n  Name a folder that is new, or empty.")


class NothingToExport(SeedbedError):
    def __init__(self, lock: Path, stages: list[str]):
        super().__init__(
            f"{lock}: has no record of {' or '.join(stages)}, so there is no data set yet\n"
            "  `dvc repro` makes one; in a clone of somebody's, `dvc pull` fetches it."
        )


class NoLicense(SeedbedError):
    """A row has a text of somebody else's, and nobody said that it may be handed on."""

    def __init__(self, path: Path, line: int, rows: int):
        others = f" (and so are {rows - 1:,} more rows)" if rows > 1 else ""
        super().__init__(
            f"{path}:{line}: its text is somebody else's, and without a licence{others}\n"
            "  Name that of your documents, each in the document itself or of all in "
            "segment.license, and run the stages again; or, if you may hand it on all the same, "
            "export with --without-license."
        )


class NothingToReport(SeedbedError):
    def __init__(self) -> None:
        super().__init__(
            "there is nothing to report: no stage has written anything here yet\n"
            "  `dvc repro` runs the stages; if somebody else did, `dvc pull` fetches what they "
            "made."
        )


class NoSuchQuestion(SeedbedError):
    def __init__(self, what: str):
        super().__init__(
            f"{what}: there is no such question, or answer to it\n  Load the page anew."
        )


class BadName(SeedbedError):
    def __init__(self, name: str):
        super().__init__(
            f"{shown(name)} cannot be the name of a file of ratings\n  Say --name with at most "
            "60 of A-Z a-z 0-9 _ -, the first a letter or a digit."
        )
