"""What is printed for people, held by plain files that a person can read and a diff shows.

A test gives the whole text and the name of its file in tests/snapshots. After a change that is
meant, `pytest --rewrite-snapshots` writes the files anew, and the diff is what is reviewed.
"""

from pathlib import Path

from support.project import ROOT

FOLDER = ROOT / "tests/snapshots"


class Snapshots:
    def __init__(self, folder: Path, rewrite: bool):
        self._folder, self._rewrite = folder, rewrite

    def __call__(self, name: str, text: str) -> None:
        """Fails unless the text is that of the file, character by character."""
        path = self._folder / f"{name}.txt"
        if self._rewrite:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.is_file(), f"there is no {path}: see pytest --rewrite-snapshots"
        expected = path.read_text(encoding="utf-8")
        assert text.splitlines() == expected.splitlines(), f"not as in {path}"
        assert text == expected
