"""The first prompts of evaluate, and what becomes of the answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from seedbed.llm.contract.wire import Ask
from seedbed.runs.preview import Asked, Look, Preview, Sample, fields
from seedbed.tasks.prompts import Prompts
from seedbed.training import evaluate
from seedbed.training.params import Evaluated


def _evaluate(params: evaluate.Params, inputs: evaluate.Inputs, look: Look) -> Iterator[Sample]:
    """Of the first model: the others are asked the same."""
    section = params.evaluate.model_copy(update={"models": params.evaluate.models[:1]})
    evaluate.check_adapters(section)
    # All models count for what is left out.
    planned = evaluate.plan(evaluate.read_cases(section, inputs.held_out), params.evaluate)
    planned = replace(planned, models=planned.models[:1], cases=planned.cases[: look.rows])
    asked: list[Asked] = []

    @contextmanager
    def asking(model: Evaluated) -> Iterator[Ask]:
        with look.opened(evaluate.llm_of(params.llm, model)) as engine:
            yield engine.ask
            asked.extend(engine.taken())

    overlaps = {name: rows[: look.rows] for name, rows in planned.overlaps.items()}
    prompts = Prompts()
    rows = evaluate.evaluate(replace(planned, overlaps=overlaps), section, prompts, asking)
    for one, row, case in zip(asked, rows, planned.cases, strict=True):
        yield Sample(
            [one],
            [fields(row, "scored", "targets", "rouge_l", "exact_match", "overlaps")],
            f"{row.model}, {row.task}, example {row.id}",
            made_from=[prompts.file_of(case.demos, case.example.input)],
        )


PREVIEWS = {"evaluate": Preview(_evaluate, "evaluate")}
