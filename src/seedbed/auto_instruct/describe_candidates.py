"""describe-candidates: how well each candidate instruction does: a picture.

It asks nothing and shapes nothing, so that another way to draw runs no stage that asks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seedbed.auto_instruct.label_file import read_labels
from seedbed.auto_instruct.pick import ABSENT
from seedbed.auto_instruct.rows import LABELLED
from seedbed.auto_instruct.weighted_draws import Floats
from seedbed.core.files import to_json, write_files
from seedbed.core.paths import Into
from seedbed.core.progress import Progress
from seedbed.core.section import Section


class Params(Section):
    """It has no parameters."""


@dataclass(frozen=True)
class Inputs:
    """What it reads, where dvc.yaml says nothing else."""

    labelled: Path = LABELLED


def heat_map(scores: dict[str, Floats]) -> list[dict[str, Any]]:
    """Points for the `heatmap` plot template: mean ROUGE-L of each task's candidates.

    Args:
        scores: of each task: (examples, candidates); ABSENT where one was not tried.
    """
    points = []
    for task, of_task in scores.items():
        for candidate, column in enumerate(of_task.T):
            tried = column[(column != ABSENT) & ~np.isnan(column)]
            if len(tried):
                rouge = round(float(tried.mean()), 6)
                points.append({"task": task, "candidate": candidate, "rouge": rouge})
    return points


def run(params: Params, inputs: Inputs, into: Into) -> None:
    """Read what label wrote; write the plot."""
    with Progress("describe-candidates", None, "examples") as progress:
        scores = {
            path.stem: read_labels(path, progress.advance)[1].scores
            for path in sorted(inputs.labelled.glob("*.jsonl"))
        }
    write_files({into.plot("label_heatmap"): to_json(heat_map(scores))})
    progress.finish(sum(map(len, scores.values())))
