"""describe-candidates: how well each candidate instruction does: a picture.

It asks nothing and shapes nothing, so that another way to draw runs no stage that asks.
"""

from typing import Any

import numpy as np

from seedbed.auto_instruct.label_file import read_labels
from seedbed.auto_instruct.pick import ABSENT
from seedbed.auto_instruct.race import Floats
from seedbed.auto_instruct.rows import LABELLED
from seedbed.core.files import to_json, write_files
from seedbed.core.paths import PLOTS
from seedbed.core.progress import Progress
from seedbed.core.section import Section


class Params(Section):
    """It has no parameters."""


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


def run(params: Params) -> None:
    """Read what label wrote; write the plot."""
    with Progress("describe-candidates", None, "examples") as progress:
        scores = {
            path.stem: read_labels(path, progress.advance)[1].scores
            for path in sorted(LABELLED.glob("*.jsonl"))
        }
    write_files({PLOTS / "label_heatmap.json": to_json(heat_map(scores))})
    progress.finish(sum(map(len, scores.values())))
