"""The first prompts of Auto-Instruct's stages, and what becomes of the answers."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from seedbed.auto_instruct import candidates, label
from seedbed.auto_instruct.trials import Trial, read_trials
from seedbed.llm.contract.request import Request
from seedbed.llm.contract.wire import Answer
from seedbed.runs.filled import Template
from seedbed.runs.preview import Look, Preview, Sample
from seedbed.tasks.few_shot import prompt
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks


def _candidates(
    params: candidates.Params, inputs: candidates.Inputs, look: Look
) -> Iterator[Sample]:
    """Each as its first answer has it: a run samples some again."""
    section = params.candidates.model_copy(update={"max_resamples": 0})
    meta_prompts = candidates.read_meta_prompts(section.shots)
    paths = find_tasks(Path(params.niv2.folder), params.niv2.tasks)
    each = len(meta_prompts) * section.samples
    tasks = [read_task(path, max_examples=1) for path in paths[: -(-look.rows // each)]]
    with look.opened(params.llm) as engine:

        def ask(requests: Iterable[Request]) -> Iterator[Answer]:
            wanted = list(requests)
            yield from engine.ask(wanted[: look.rows])
            # What is not looked at has no text.
            yield from (Answer("", "", None, {}, "empty") for _ in wanted[look.rows :])

        made = candidates.generate(tasks, section, meta_prompts, ask)
        asked = engine.taken()
    # The first of each task is its own instruction, and answers no request.
    rows = [row for row in made.rows if row.meta_prompt is not None]
    there: set[tuple[str, str]] = {
        (row.task, row.instruction) for row in made.rows if row.meta_prompt is None
    }
    for one, row in zip(asked, rows, strict=False):
        again = row.key is None or (row.task, row.instruction) in there
        there.add((row.task, row.instruction))
        yield Sample(
            [one],
            [{"candidate": row.instruction}] if row.key else [],
            f"{row.task}, {row.meta_prompt}",
            "it is none, or there already: a run samples again" if again else "",
        )


def _label(params: label.Params, inputs: label.Inputs, look: Look) -> Iterator[Sample]:
    section = params.label
    label.read_template()
    left = look.rows
    trials: list[Trial] = []
    for trial in read_trials(inputs.candidates, params.niv2, section):
        trials.append(_first(trial, left))
        left -= trials[-1].requests
        if not left:
            break
    with look.opened(params.llm) as engine:
        labelled = list(label.label(trials, section, engine.ask))
        asked = iter(engine.taken())
    for trial, rows, _ in labelled:
        # No file: a candidate is all of a prompt but its form.
        form = Template("", prompt("{instruction}", "{demos}" if trial.demos else "", "{input}"))
        # As `label.requests` has them: candidate by candidate.
        for place, number in sorted((p, n) for n, own in enumerate(trial.chosen) for p in own):
            row = rows[number]
            at = row.instruction_idx.index(place)
            yield Sample(
                [next(asked)],
                [
                    {
                        "output": row.instruction_outputs[at],
                        "targets": trial.task.examples[number].targets,
                        "rouge_l": round(row.instruction_rouge[at], 4),
                        "right": bool(row.instruction_labels[at]),
                    }
                ],
                f"{trial.task.name}, candidate {place}, example {row.id}",
                made_from=[form],
            )


def _first(trial: Trial, most: int) -> Trial:
    """The same with so many of its requests, the first ones."""
    pairs = sorted((place, n) for n, chosen in enumerate(trial.chosen) for place in chosen)
    kept = set(pairs[:most])
    of_rows = [[p for p in chosen if (p, n) in kept] for n, chosen in enumerate(trial.chosen)]
    tried = [n for n, chosen in enumerate(of_rows) if chosen]
    examples = [trial.task.examples[n] for n in tried]
    task = trial.task.model_copy(update={"examples": examples})
    return replace(trial, task=task, chosen=[of_rows[n] for n in tried])


PREVIEWS = {
    "candidates": Preview(_candidates, "candidates"),
    "label": Preview(_label),
}
