"""How large is the report of 5,000 finetuning rows, and how long does it take?

The run is made up, the same one every time: 5,000 accepted instructions with an instance each,
as many refused instances and as many refused instructions. Told are the seconds to write the
page, its size, and the seconds that headless Chromium takes from opening it until the rows are
there, and to search them; the fastest of three times.

Ends with an error if the page has 10 MB, or takes 2 s to open.

Run it from the project's folder: PYTHONPATH=src python benchmarks/report.py [PAGE]
"""

import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

import made_run
from browser import CHROMIUM, driven, opened
from project import Project
from sizes import ARGUMENTS, sized
from texts import Writer

from seedbed.core.files import write_files
from seedbed.views.report.build import build

ROWS = sized(5_000, 50)
REPEATS = 3
MOST_BYTES = 10e6
MOST_SECONDS = sized(2.0, inf)

# The words get rarer: the last has no hit.
SEARCH = """
    const begun = performance.now();
    const field = document.getElementById('q');
    for (const text of ['ba', 'ba de', 'ba de nowhere']) {
      field.value = text;
      field.dispatchEvent(new Event('input'));
    }
    document.documentElement.dataset.search = String((performance.now() - begun) / 3);
"""


@dataclass(frozen=True)
class Page:
    """A report. size: in bytes; the rest in seconds, None where there is no Chromium."""

    size: int
    writing: float
    opening: float | None = None
    searching: float | None = None

    def __str__(self) -> str:
        told = f"written in {self.writing:.1f} s, {self.size / 1e6:.1f} MB, "
        if self.opening is None or self.searching is None:
            return told + "not opened: there is no chromium here"
        return (
            told + f"opened in {self.opening:.2f} s, a search takes {self.searching * 1e3:.0f} ms"
        )


def measured(rows: int, tasks: int = 1, keep: str | None = None) -> Page:
    """Make up a run of so many rows and tasks, and report it. keep: where to leave the page."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as temporary:
        project = Project(Path(temporary) / "project")
        os.chdir(project.folder)
        writer = Writer(seed=0)
        made_run.self_instruct(
            rows, writer.instruction, lambda: writer.words(writer.random.randint(5, 60))
        )
        made_run.auto_instruct(writer.instruction, tasks)
        begun = time.perf_counter()
        page = build()
        seconds = time.perf_counter() - begun
        os.chdir(here)
        size = len(page.encode())
        if keep:
            write_files({Path(keep): [page]})
        if not CHROMIUM:
            return Page(size, seconds)
        file = Path(temporary) / "report.html"
        file.write_text(driven(page, SEARCH), encoding="utf-8")
        found = [opened(file, waits=False).dom for _ in range(REPEATS)]
    opening = min(_seconds("ready", dom) for dom in found)
    return Page(size, seconds, opening, min(_seconds("search", dom) for dom in found))


def _seconds(name: str, dom: str) -> float:
    found = re.search(f'data-{name}="([0-9.]+)"', dom)
    assert found, f"the page has no data-{name}"
    return float(found[1]) / 1000


def main(keep: str | None = None) -> None:
    page = measured(ROWS, keep=keep)
    print(f"{ROWS:,} rows, {4 * ROWS:,} with what was refused and the instructions")
    print(page)
    if page.size >= MOST_BYTES or (page.opening or 0) >= MOST_SECONDS:
        sys.exit("too large, or too slow")


if __name__ == "__main__":
    main(*ARGUMENTS)
