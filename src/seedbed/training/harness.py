"""The same evaluation for lm-evaluation-harness, so that others can run it on their models.

A task file, its examples and its scorer, and each model's results in the harness's form. It needs
the harness for nothing; nothing here needs the harness.
"""

import statistics
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from seedbed.core.files import read_text, to_json, to_line
from seedbed.tasks.prompts import Prompts
from seedbed.training.held_out import Case
from seedbed.training.params import Evaluate
from seedbed.training.rows import Evaluation

TASK = "seedbed_held_out"
DOCS, SCORER = "held_out.jsonl", "superni.py"
# Written out, never imported: who imports it waits for scipy.
SCORES = Path(__file__).with_name("harness_scorer.py")
METRICS = ("rouge_l", "exact_match")
VERSION = 1.0


def files(
    folder: Path,
    cases: Sequence[Case],
    rows: Iterable[Evaluation],
    params: Evaluate,
    prompts: Prompts,
    base: str,
) -> dict[Path, Iterable[str]]:
    """The files to write: path to pieces of text.

    Args:
        rows: model by model, each in the order of the cases.
        base: the model's name where a model has none of its own.
    """
    docs = [doc_of(case, params, prompts) for case in cases]
    texts: dict[Path, Iterable[str]] = {
        folder / f"{TASK}.yaml": [task_file(params)],
        folder / DOCS: [to_line(doc) for doc in docs],
        folder / SCORER: [read_text(SCORES)],
    }
    models = {model.name: model for model in params.models}
    for name, of_model in groupby(rows, key=lambda row: row.model):
        given = list(of_model)
        model = models[name]
        arguments = f"model={model.model or base}"
        if model.adapter:
            arguments += f",adapter={model.adapter}"
        texts[folder / f"results_{name}.json"] = to_json(results(given, params, arguments))
        texts[folder / f"samples_{TASK}_{name}.jsonl"] = [
            to_line(sample(number, doc, row, params))
            for number, (doc, row) in enumerate(zip(docs, given, strict=True))
        ]
    return texts


def doc_of(case: Case, params: Evaluate, prompts: Prompts) -> dict[str, Any]:
    """An example as the harness reads it."""
    return {
        "task": case.task.name,
        "id": case.example.id,
        "prompt": prompts.fill(*case.shown)[0],
        "targets": case.example.targets,
        "cut_at": params.cut_at or "",
    }


def generation(params: Evaluate) -> dict[str, Any]:
    """The harness's generation_kwargs."""
    sampling = params.sampling
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    return {
        "until": [],
        "max_gen_toks": sampling.max_tokens,
        "do_sample": sampling.temperature > 0,
        **(drawn if sampling.temperature else {"temperature": 0.0}),
    }


def task_file(params: Evaluate) -> str:
    """The task's YAML. Run where it lies: its examples are named from there."""
    options = "".join(
        f"  {name}: {str(value).lower()}\n" for name, value in generation(params).items()
    )
    metrics = "".join(
        f"  - metric: {name}\n    aggregation: mean\n    higher_is_better: true\n"
        for name in METRICS
    )
    return (
        f"# lm_eval --include_path . --tasks {TASK} --model ...   (in this folder)\n"
        f"task: {TASK}\n"
        "dataset_path: json\n"
        f"dataset_kwargs:\n  data_files:\n    test: {DOCS}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        'doc_to_text: "{{prompt}}"\n'
        "doc_to_target: targets\n"
        'target_delimiter: ""\n'
        f"process_results: !function {SCORER.removesuffix('.py')}.process_results\n"
        f"generation_kwargs:\n{options}"
        f"metric_list:\n{metrics}"
        f"metadata:\n  version: {VERSION}\n"
    )


def results(rows: Sequence[Evaluation], params: Evaluate, arguments: str) -> dict[str, Any]:
    """A model's results file. Standard errors are the harness's, over examples."""
    values = {name: [float(getattr(row, name)) for row in rows] for name in METRICS}
    cells: dict[str, Any] = {"alias": TASK}
    for name, scores in values.items():
        cells[f"{name},none"] = round(statistics.fmean(scores), 4)
        if len(scores) > 1:
            error = statistics.stdev(scores) / len(scores) ** 0.5
            cells[f"{name}_stderr,none"] = round(error, 4)
    return {
        "results": {TASK: cells},
        "group_subtasks": {TASK: []},
        "configs": {
            TASK: {
                "task": TASK,
                "output_type": "generate_until",
                "generation_kwargs": generation(params),
                "metric_list": [
                    {"metric": name, "aggregation": "mean", "higher_is_better": True}
                    for name in METRICS
                ],
                "metadata": {"version": VERSION},
            }
        },
        "versions": {TASK: VERSION},
        "n-shot": {TASK: params.shots},
        "higher_is_better": {TASK: dict.fromkeys(METRICS, True)},
        "n-samples": {TASK: {"original": len(rows), "effective": len(rows)}},
        "config": {"model": "seedbed", "model_args": arguments},
    }


def sample(number: int, doc: dict[str, Any], row: Evaluation, params: Evaluate) -> dict[str, Any]:
    """A line of a model's samples file."""
    return {
        "doc_id": number,
        "doc": doc,
        "target": str(row.targets),
        "arguments": {"gen_args_0": {"arg_0": doc["prompt"], "arg_1": generation(params)}},
        "resps": [[row.output]],
        "filtered_resps": [row.output],
        "filter": "none",
        "metrics": list(METRICS),
        **{name: getattr(row, name) for name in METRICS},
    }
