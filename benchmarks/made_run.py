"""What a run would have written, made up: as many instructions as wanted, of any texts."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from seedbed.auto_instruct.candidate_files import ORIGINS, file_of
from seedbed.auto_instruct.rows import LABELLED, RELABELLED, Candidate
from seedbed.core.files import to_json, to_line, write_files
from seedbed.core.records import Exchange
from seedbed.llm.contract.request import key_of
from seedbed.self_instruct.instructions import numbered
from seedbed.self_instruct.origins import ALPACA
from seedbed.self_instruct.rows import (
    CLASSIFIED,
    COMPLETIONS,
    INSTRUCTIONS,
    PREPARED,
    REJECTED_INSTRUCTIONS,
    ClassifiedInstruction,
    Completion,
    GeneratedInstance,
    Instruction,
    RejectedInstance,
    RejectedInstruction,
    instance_id,
)
from seedbed.self_instruct.seeds import read_seed_tasks
from seedbed.training.rows import ANSWERS, EVALUATED, SCORES, Evaluation

TASK = "made_up_task"
# Of so many instructions one prompt is the origin.
A_PROMPT = 4
A_ROUND = 20


def exchange(prompt: str, text: str) -> Exchange:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    return Exchange(prompt=prompt, response={"choices": [choice]}, key=key_of(prompt))


def self_instruct(count: int, instruction: Callable[[], str], text: Callable[[], str]) -> None:
    """`count` instructions with an instance each, a refused one each, and as many refused."""
    draw = Random(0)
    seeds = [(task.id, task.instruction) for task in read_seed_tasks()]
    texts = [seed for _, seed in seeds]
    accepted: list[Instruction] = []
    origin, shown = exchange("", ""), [""]
    for number in range(count):
        if number % A_PROMPT == 0:
            machine = [(row.id, row.instruction) for row in accepted[: number // A_ROUND * A_ROUND]]
            drawn = draw.sample(machine, min(2, len(machine)))
            drawn += draw.sample(seeds, 8 - len(drawn))
            shown = [id_ for id_, _ in drawn]
            prompt = "Come up with tasks:\n" + numbered([seed for _, seed in drawn])
            origin = exchange(prompt, f"{number}")
        accepted.append(
            Instruction(
                instruction=instruction(),
                id=f"made-{number}",
                most_similar=dict.fromkeys(draw.sample(texts, 10), 0.25),
                avg_similarity_score=0.1,
                metadata=origin,
                request_idx=number // A_ROUND,
                shown=shown,
            )
        )
    raw = [
        Completion(
            instruction=row.instruction,
            instruction_id=row.id,
            raw_instances=text(),
            is_classification=False,
            instance_metadata=exchange(f"Task {number}", text()),
            instruction_metadata=row.metadata,
            most_similar=row.most_similar,
            avg_similarity_score=0.1,
        )
        for number, row in enumerate(accepted)
    ]
    rows = [
        GeneratedInstance(
            instruction=row.instruction,
            input=text(),
            output=text(),
            id=instance_id(row.instruction_id, 1),
            instruction_id=row.instruction_id,
            key=row.instance_metadata.key,
        )
        for row in raw
    ]
    refused = [
        RejectedInstance(**{**row.model_dump(), "output": text()}, reason=reason)
        for row, reason in zip(rows, ["duplicate", "no_output", "no_output"] * count, strict=False)
    ]
    too_similar = [
        RejectedInstruction(
            instruction=text(),
            id=f"refused-{number}",
            reason="too_similar",
            key=row.metadata.key,
            request_idx=row.request_idx,
            shown=row.shown,
        )
        for number, row in enumerate(accepted)
    ]
    classified = [
        ClassifiedInstruction(
            instruction=row.instruction,
            instruction_id=row.id,
            is_classification=" No",
            key="clf",
        )
        for row in accepted
    ]
    finetuning = [
        {
            "prompt": row.instruction,
            "completion": row.output,
            "id": row.id,
            "instruction_id": row.instruction_id,
            "key": row.key,
        }
        for row in rows
    ]
    files = {
        INSTRUCTIONS: accepted,
        REJECTED_INSTRUCTIONS: too_similar,
        CLASSIFIED: classified,
        COMPLETIONS: raw,
        ALPACA: rows,
        PREPARED / "finetuning.jsonl": finetuning,
        PREPARED / "rejected.jsonl": refused,
    }
    write_files({path: map(to_line, own) for path, own in files.items()})


# How the candidates did on each of two examples: the second one best, the first least well.
ROUGE = [[0.0, 1.0, 0.5], [0.25, 0.75, 0.5]]


def auto_instruct(text: Callable[[], str], tasks: int = 1) -> None:
    """Tasks with candidates, labelled on two examples, of which one is kept.

    Of one task three candidates, of several 22 each.
    """
    rouge = ROUGE if tasks == 1 else [[*row, *row * 6, 0.5] for row in ROUGE]
    files: dict[Path, list[str]] = {}
    origins: list[Candidate] = []
    for number in range(tasks):
        task = f"{TASK}_{number}" if number else TASK
        texts = [text() for _ in rouge[0]]
        origins += [
            Candidate(
                task=task,
                index=index,
                meta_prompt="sentence" if index else None,
                sample=index - 1 if index else None,
                key=f"candidate {index}" if index else None,
                instruction=own,
            )
            for index, own in enumerate(texts)
        ]
        headers = [{"prompt": text()}, {"instructions": texts}, {"demos": text()}]
        examples = [
            {
                "id": f"{number}",
                "input": text(),
                "target": text(),
                "instruction_idx": list(range(len(scores))),
                "instruction_labels": [int(score > 0.7) for score in scores],
                "instruction_outputs": [text() for _ in scores],
                "instruction_rouge": scores,
                "instruction_keys": ["a", "b", "c", *("d" for _ in scores[3:])],
            }
            for number, scores in enumerate(rouge)
        ]
        name = f"{task}.jsonl"
        files |= {
            file_of(task): to_json(texts),
            LABELLED / name: list(map(to_line, [*headers, *examples])),
            RELABELLED / name: list(map(to_line, [*headers, examples[0]])),
        }
    write_files({ORIGINS: map(to_line, origins), **files})


def evaluation(text: Callable[[], str]) -> None:
    """Two models, asked two examples of a task; the scores are whatever metrics/ has."""
    examples = [("", [text()]), (text(), [text(), text()])]
    answers = [
        Evaluation(
            model=model, task=TASK, id=f"{number}", input=given,
            targets=targets, demos=0, prompt="zero_shot.txt", output=text(), scored=text(),
            rouge_l=50.0, exact_match=0.0, ended=not number, overlaps=[], problem=None,
            key=f"{model} {number}",
        )
        for model in ("base", text())
        for number, (given, targets) in enumerate(examples)
    ]  # fmt: skip
    write_files({EVALUATED / ANSWERS: map(to_line, answers), EVALUATED / SCORES: []})
