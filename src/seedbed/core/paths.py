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

    name: the stage's, such as `clf`; where it stands in an experiment several times, with a round
        behind it: `clf/r1` writes data/clf/r1, metrics/r1/clf.json and plots/r1.
    """

    name: str

    @property
    def folder(self) -> Path:
        """Its folder in data/."""
        return DATA / self.name

    @property
    def metrics(self) -> Path:
        """Its metrics file."""
        stage, *round_ = Path(self.name).parts
        return METRICS.joinpath(*round_, f"{stage}.json")

    def plot(self, name: str, form: str = "json") -> Path:
        """The points of the plot of that name."""
        return PLOTS.joinpath(*Path(self.name).parts[1:], f"{name}.{form}")
