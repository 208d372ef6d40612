"""A page in headless Chromium: what is there when its script has run, and what it said."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from seedbed.views.report.build import digest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# When the rows are there, and what stands below them, too.
WHOLE = """shown.then(() => new Promise((whole) => {
  if (document.readyState === 'loading') addEventListener('DOMContentLoaded', whole);
  else whole();
}))"""


@dataclass(frozen=True)
class Opened:
    """dom: the page as HTML after its script has run. said: the lines of its console."""

    dom: str
    said: list[str]


def opened(page: Path, search: str = "", waits: bool = True) -> Opened:
    """The page; `search` is what follows # in its address.

    waits: for what the page does after it was loaded. Then its clock is not the real one.
    """
    assert CHROMIUM, "there is no chromium here: apt-get install chromium"
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [
                CHROMIUM,
                *FLAGS,
                f"--user-data-dir={profile}",
                *(["--virtual-time-budget=5000"] if waits else []),
                "--enable-logging=stderr",
                "--dump-dom",
                f"{page.absolute().as_uri()}#{search}",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    return Opened(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])


def driven(page: str, script: str) -> str:
    """The page with more for its script to do once it is all there; its policy allows it."""
    own = page.rpartition("<script>")[2].partition("</script>")[0]
    more = f"{own}\n{WHOLE}.then(() => {{\n{script}\n}});"
    return page.replace(own, more).replace(digest(own), digest(more))
