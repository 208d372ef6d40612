"""A stage as dvc.yaml runs it, without DVC."""

from types import ModuleType

from seedbed.core.paths import Into
from seedbed.core.section import Section


def run_stage(stage: ModuleType, params: Section) -> None:
    stage.run(params, stage.Inputs(), Into(stage.__name__.rpartition(".")[2]))
