"""Draw every plot of dvc.yaml as a PNG into .seedbed/plots, without a network.

Further arguments are revisions to compare, as for `dvc plots diff`.
"""

import sys
from pathlib import Path

from seedbed.views.report.pictures import plots, to_png

FOLDER = Path(".seedbed/plots")


def main(revisions: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for plot in plots(revisions):
        # Those of a round, such as plots/ablation, have its name before theirs.
        parts = Path(plot.name).with_suffix(".png").parts
        picture = FOLDER / "-".join(parts[parts.index("plots") + 1 :])
        picture.write_bytes(to_png(plot))
        print(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
