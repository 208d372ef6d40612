"""The methods: each is a folder, and a line here."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

METHODS = tuple(
    import_module(f"seedbed.{name}")
    for name in (
        "self_instruct",
        "auto_instruct",
        "ranker",
        "training",
        "active",
        "backtranslation",
    )
)
# Each stage, as dvc.yaml calls it, and its method.
STAGES = {stage: method for method in METHODS for stage in method.STAGES}


def parts(name: str) -> list[ModuleType]:
    """The module of this name of each method that has one.

    Args:
        name: params, estimate, preview, trace, report, export or tasks.

    Raises:
        ImportError: there is one, and something that it imports is missing.
    """
    paths = [f"{method.__name__}.{name}" for method in METHODS]
    return [import_module(path) for path in paths if find_spec(path)]


def module_of(stage: str) -> ModuleType:
    """The module of a stage, imported when it is asked for: the command line stays quick."""
    return import_module(f"{STAGES[stage].__name__}.{stage.replace('-', '_')}")
