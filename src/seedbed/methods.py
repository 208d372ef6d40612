"""The methods: each is a folder, and a line here."""

from importlib import import_module
from types import ModuleType

from seedbed import auto_instruct, self_instruct

METHODS = (self_instruct, auto_instruct)
# Each stage, as dvc.yaml calls it, and its method.
STAGES = {stage: method for method in METHODS for stage in method.STAGES}


def parts(name: str) -> list[ModuleType]:
    """The module of this name of each method: params, estimate, trace or report."""
    return [import_module(f"{method.__name__}.{name}") for method in METHODS]


def module_of(stage: str) -> ModuleType:
    """The module of a stage, imported when it is asked for: the command line stays quick."""
    return import_module(f"{STAGES[stage].__name__}.{stage.replace('-', '_')}")
