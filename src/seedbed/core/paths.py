"""Where the files of any experiment lie, from the project's root; dvc.yaml says the same."""

from dataclasses import dataclass
from pathlib import Path

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
DATA = Path("data")
PROMPTS = DATA / "prompts"
METRICS = Path("metrics")
PLOTS = Path("plots")


@dataclass(frozen=True)
class Into:
    """Where a run of a stage writes.

    stage: its name, such as `clf`.
    round: where it stands in an experiment several times, the folder of this time, such as `r1` or
        `models/seed-s1`: then it writes data/r1/clf, metrics/r1/clf.json and plots/r1.
    """

    stage: str
    round: str = ""

    @property
    def folder(self) -> Path:
        """Its folder in data/."""
        return DATA / self.round / self.stage

    @property
    def metrics(self) -> Path:
        """Its metrics file."""
        return METRICS / self.round / f"{self.stage}.json"

    def plot(self, name: str, form: str = "json") -> Path:
        """The points of the plot of that name."""
        return PLOTS / self.round / f"{name}.{form}"
