"""How fast is `prepare`, and how much memory does it take, with 52,000 raw tasks?

The tasks are made up, the same ones in every run: rows as the instances stage writes them, with
the project's own long prompts in them, since it is these that make the file large. Two thirds
are generation tasks, one third classification; every fault that a completion may have is among
them. The stage's `run` then reads the file in a process of its own, a few times over: the fastest
time counts, with the start of Python in it, and the highest peak memory.

Ends with an error if the peak is above 500 MB, or if a kind of fault was not met.

Run it from the project's folder: PYTHONPATH=src python benchmarks/prepare.py
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sizes import sized
from texts import Writer

from seedbed.core.files import to_line
from seedbed.core.paths import METRICS
from seedbed.core.prompts import Prompt
from seedbed.core.records import Exchange
from seedbed.llm.contract.request import key_of
from seedbed.self_instruct.instructions import numbered
from seedbed.self_instruct.rows import COMPLETIONS, PREPARED, Completion

TASKS = sized(52_000, 400)
REPEATS = sized(3, 1)
MOST_BYTES = 500e6

# Params is built here, not read from params.yaml, which only DVC hands out.
STAGE = """
from seedbed.core.paths import Into
from seedbed.self_instruct.params import Prepare
from seedbed.self_instruct import prepare

own = Prepare(
    num_instructions=None,
    num_rows=None,
    max_instances_per_task=5,
    output_without_label="refuse",
    include_seed_tasks=False,
    seed=42,
)
prepare.run(prepare.Params(prepare=own), prepare.Inputs(), Into("prepare"))
"""

# What may be wrong with a completion, and how many of a hundred have it; the rest are sound.
FAULTS = {
    "cut": 8,
    "no_output": 6,
    "several_outputs": 2,
    "input_is_output": 4,
    "empty_output": 3,
    "ends_in_colon": 3,
    "conflicting": 4,
    "duplicate": 5,
    "too_many": 4,
    "unparsable": 4,
}
KINDS = [*FAULTS, "sound"]
WEIGHTS = [*FAULTS.values(), 100 - sum(FAULTS.values())]


def pairs(writer: Writer, fault: str, is_classification: bool) -> list[tuple[str, str | None]]:
    """One to four (input, output) pairs of a task, the last of them with the fault."""
    draw = writer.random
    count = 7 if fault == "too_many" else draw.randint(1, 4)
    found: list[tuple[str, str | None]] = []
    for _ in range(count):
        given = f"Text: {writer.words(draw.randint(6, 40))}."
        length = draw.randint(1, 2) if is_classification else draw.randint(5, 50)
        found.append((given, writer.words(length).capitalize()))
    given, output = found[-1]
    if fault == "no_output":
        found[-1] = given, None
    elif fault == "several_outputs" and not is_classification:
        # Of another example, of which the model forgot the heading.
        found[-1] = given, f"{output}\n{given}\nOutput: {output}"
    elif fault == "input_is_output":
        found[-1] = "the same", "the same"
    elif fault == "empty_output":
        found[-1] = given, ""
    elif fault == "ends_in_colon":
        # A class label is a line of its own, so the colon is better at the input's end.
        found[-1] = given + " And:", output
    elif fault == "conflicting":
        found.append((given, "otherwise"))
    elif fault == "duplicate":
        found.append((given, output))
    elif fault == "sound" and not is_classification and draw.random() < 0.4:
        found = [("", writer.words(draw.randint(10, 90)))]  # a task that needs no input
    return found


def completion(writer: Writer, fault: str, is_classification: bool) -> str:
    """The pairs as a model writes them down."""
    if fault == "unparsable":
        return writer.words(30)
    parts = []
    for number, (given, output) in enumerate(pairs(writer, fault, is_classification), 1):
        if is_classification:
            # This form always has an output: after an empty label, the line below is taken for it.
            parts.append(f"Class label: {output or ''}\n{given}\n")
        else:
            said = "" if output is None else f"Output: {output}\n"
            parts.append(f"Example {number}\n{given}\n{said}" if given else said)
    return "".join(parts)


def exchange(prompt: str, text: str, finish_reason: str) -> Exchange:
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
    response = {"object": "text_completion", "model": "none", "choices": [choice], "usage": usage}
    return Exchange(prompt=prompt, response=response, key=key_of(prompt))


def rows() -> Iterator[Completion]:
    writer = Writer(seed=0)
    draw = writer.random
    first = Prompt("bootstrap/tasks.txt", "tasks")
    forms = {
        False: Prompt("instances/input_first.txt", "instruction"),
        True: Prompt("instances/output_first.txt", "instruction"),
    }
    shown = [writer.instruction() for _ in range(175)]  # stands for the seeds and the pool
    for _ in range(TASKS):
        instruction, is_classification = writer.instruction(), draw.random() < 1 / 3
        fault = draw.choices(KINDS, WEIGHTS)[0]
        text = completion(writer, fault, is_classification)
        continued = numbered([writer.instruction() for _ in range(7)])
        yield Completion(
            instruction=instruction,
            raw_instances=text,
            is_classification=is_classification,
            instance_metadata=exchange(
                forms[is_classification].fill(instruction) + "\n",
                text,
                "length" if fault == "cut" else "stop",
            ),
            instruction_metadata=exchange(
                first.fill(numbered(draw.sample(shown, 8))), continued, "stop"
            ),
            most_similar={other: draw.random() for other in draw.sample(shown, 10)},
            avg_similarity_score=draw.random(),
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / COMPLETIONS
        path.parent.mkdir(parents=True)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(map(to_line, rows()))
        size = path.stat().st_size

        environment = os.environ | {"PYTHONPATH": str(Path("src").resolve())}
        seconds = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", STAGE],
                cwd=folder,
                env=environment,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            seconds.append(time.perf_counter() - begun)
        # The highest of the children; a child is born with what this process had, which is little.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024

        figures = json.loads((folder / METRICS / "prepare.json").read_text(encoding="utf-8"))
        written = {
            file.name: sum(1 for _ in file.open("rb"))
            for file in sorted((folder / PREPARED).iterdir())
        }

    best = min(seconds)
    print(f"prepare, {TASKS:,} raw tasks, best of {REPEATS}\n")
    print(f"  file in        {size / 1e6:>10,.0f} MB ({size / TASKS:,.0f} bytes a row)")
    print(f"  seconds        {best:>10.1f}    (all: {', '.join(f'{one:.1f}' for one in seconds)})")
    print(f"  rows a second  {TASKS / best:>10,.0f}")
    print(f"  peak memory    {peak / 1e6:>10,.0f} MB (at most {MOST_BYTES / 1e6:.0f})")
    print("\n  rows out")
    for file, count in written.items():
        print(f"    {file:<38}{count:>9,}")
    print(
        "\n  tasks: "
        + ", ".join(f"{one['count']:,} {one['name'].replace('_', ' ')}" for one in figures["tasks"])
    )
    print("  rejected pairs")
    for one in figures["rejected"]:
        print(f"    {one['name']:<38}{one['count']:>9,}")

    not_met = [one["name"] for one in figures["rejected"] if not one["count"]]
    small = peak <= MOST_BYTES
    print(
        f"\nprepare turns {TASKS:,} raw tasks ({size / 1e6:,.0f} MB) into "
        f"{figures['finetuning_rows']:,} rows in {best:.1f} s with {peak / 1e6:,.0f} MB of memory, "
        + ("within the limit." if small else "ABOVE THE LIMIT.")
        + (f" NOT MET: {', '.join(not_met)}." if not_met else "")
    )
    sys.exit(0 if small and not not_met else 1)


if __name__ == "__main__":
    main()
