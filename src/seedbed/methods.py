"""The methods: each is a folder, and a line here."""

from importlib import import_module
from types import ModuleType

METHODS = tuple(
    import_module(f"seedbed.{name}")
    for name in (
        "self_instruct",
        "auto_instruct",
        "training",
    )
)
# Each stage, as dvc.yaml calls it, and its method.
STAGES = {stage: method for method in METHODS for stage in method.STAGES}


def parts(name: str) -> list[ModuleType]:
    """The module of this name of each method: params, estimate or trace."""
    return [import_module(f"{method.__name__}.{name}") for method in METHODS]


def module_of(stage: str) -> ModuleType:
    """The module of a stage, imported when it is asked for: the command line stays quick."""
    return import_module(f"{STAGES[stage].__name__}.{stage.replace('-', '_')}")
