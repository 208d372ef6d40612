"""Rows of training's stages, told back to the answer, the prompt, the task and the model."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from seedbed.runs.places import Place, row_at
from seedbed.runs.telling import Telling
from seedbed.tasks.prompts import FOLDER
from seedbed.training.held_out import read_held_out
from seedbed.training.rows import ANSWERS, EVALUATED, Evaluation, LeftOutRow, TrainedRow

# What finetune writes beside its adapter.
TRAINED: dict[str, type[TrainedRow]] = {"rows.jsonl": TrainedRow, "left_out.jsonl": LeftOutRow}


def files(writers: Collection[Path]) -> list[Path]:
    """The files whose rows can be told. writers: what the stages write."""
    folders = [path for path in writers if (path / "adapter.gguf").is_file()]
    trained = [folder / name for folder in folders for name in TRAINED]
    # Those of a round too, as far as they are there.
    evaluated = [path for path in writers if path.name == EVALUATED.name]
    asked = [
        path / ANSWERS for path in evaluated if path == EVALUATED or (path / ANSWERS).is_file()
    ]
    return [*trained, *asked]


def knows(path: Path, writers: Collection[Path]) -> bool:
    """Whether the rows of a file can be told."""
    return path in files(writers)


def tell(telling: Telling, place: Place) -> None:
    """Tell a row of a file that it `knows`, and all it came from. Raises as `account`."""
    if place.path.name in TRAINED:
        _trained(telling, place, row_at(place, TRAINED[place.path.name]))
    else:
        _evaluated(telling, place, row_at(place, Evaluation))


def _trained(telling: Telling, place: Place, row: TrainedRow) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.parameters(stage)
    source = f"{row.source}:{row.line}"
    telling.out.line(f"it came from {source}: `seedbed trace {source}` tells that row")


def _evaluated(telling: Telling, place: Place, row: Evaluation) -> None:
    with telling.out.under(str(place)):
        stage = telling.row(place, row)
        telling.answer(row.key)
        prompt = FOLDER / row.prompt
        with telling.out.under(f"prompt file: {prompt}"):
            telling.revision(stage, prompt)
        telling.parameters(stage)
    _model(telling, stage, row.model)
    _task(telling, stage, row)


def _model(telling: Telling, stage: str, name: str) -> None:
    models: list[dict[str, Any]] = telling.pipeline.parameter(stage, "evaluate.models")
    model: dict[str, Any] = next((entry for entry in models if entry["name"] == name), {})
    base = model.get("model") or telling.pipeline.parameter(stage, "llm.model")
    adapter = model.get("adapter")
    with telling.out.under(f"its model: {name}, {base}{f' with {adapter}' if adapter else ''}"):
        for file in [*([adapter] if adapter else []), *model.get("trained_on", [])]:
            with telling.out.under(file):
                telling.revision(stage, Path(file))


def _task(telling: Telling, stage: str, row: Evaluation) -> None:
    folder = Path(telling.pipeline.parameter(stage, "evaluate.held_out"))
    ((path, task),) = read_held_out(folder, [row.task])
    numbers = [
        number
        for number, example in enumerate(task.examples, 1)
        if (example.id, example.input) == (row.id, row.input)
    ]
    which = (
        f"example {numbers[0]:,} of {len(task.examples):,}"
        if numbers
        else f"the example is not among its {len(task.examples):,}: has it changed since?"
    )
    with telling.out.under(f"its task: {path}, {which}"):
        telling.revision(stage, path)
