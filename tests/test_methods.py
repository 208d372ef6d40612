"""What a method may do without, and what it may not."""

from pathlib import Path
from types import ModuleType

import pytest

from seedbed import methods


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the only method that there is."""
    name = f"made_up_{tmp_path.parent.name.replace('-', '_')}_{tmp_path.name}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("STAGES = {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    method = ModuleType(name)
    monkeypatch.setattr(methods, "METHODS", (method,))
    return folder


def test_a_method_may_do_without_a_part(made_up: Path) -> None:
    assert methods.parts("report") == []
    (made_up / "trace.py").write_text("told = 1\n")
    assert [part.told for part in methods.parts("trace")] == [1]


def test_a_part_that_cannot_be_imported_is_no_part_that_is_missing(made_up: Path) -> None:
    (made_up / "report.py").write_text("import a_library_that_is_not_there\n")
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there"):
        methods.parts("report")
