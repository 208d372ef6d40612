import sys

try:
    from seedbed.cli import main
except ModuleNotFoundError as error:
    # `.venv/bin/dvc repro` runs the python that the shell finds.
    sys.exit(
        f"seedbed: {sys.executable} has no {error.name}\n"
        "  `source .venv/bin/activate` (`make .venv/.ready` makes it), then run this again."
    )

main()
