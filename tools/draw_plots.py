"""Draw every plot of dvc.yaml as a PNG into .seedbed/plots, without a network.

`dvc plots show` writes a page that fetches its drawing library when it is opened; this draws the
same Vega-Lite specifications with vl-convert, which carries the library with it. Further
arguments are revisions to compare, as for `dvc plots diff`.
"""

import json
import subprocess
import sys
from pathlib import Path

import vl_convert

FOLDER = Path(".seedbed/plots")


def main(revisions: list[str]) -> None:
    command = ["dvc", "plots", "diff", *revisions] if revisions else ["dvc", "plots", "show"]
    shown = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, plots in json.loads(shown.stdout)["data"].items():
        for plot in plots:
            spec = plot["content"]
            picture = FOLDER / f"{Path(name).stem}.png"
            picture.write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
            print(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
