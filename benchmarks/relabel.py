"""How fast is `relabel-and-pick`, and how much memory does it take, with a million examples × 22?

Two measurements. The steps alone, from scores and ids in memory to the kept examples and their
labels: vectorised on a million examples, and the plain version of plain_relabel.py, an
example at a time, on the first of them; the same task, both in this run, and on those first
examples both must keep the same. Then the stage itself: its `run` in a process of its own, from
a label file of a million rows to the merged files; reading that file is most of its time.

Ends with an error if the steps are less than 20 times as fast, if the two differ, or if the
stage's peak memory is above 1 GB.

Run it from the project's folder: PYTHONPATH=src python benchmarks/relabel.py
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import plain_relabel as plain
from sizes import sized
from texts import Writer

from seedbed.auto_instruct import weighted_draws
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct.pick import Picked, pick
from seedbed.auto_instruct.rows import LABELLED
from seedbed.core.paths import METRICS

EXAMPLES, CANDIDATES = sized(1_000_000, 1_000), 22
PLAIN = sized(20_000, 100)
REPEATS = 3
LEAST_RATIO = sized(20, 0)
MOST_BYTES = 1e9
TASK = "task1_made_up"
# Unlike examples; a million of them are these over and over, each with an id of its own.
KINDS = sized(20_000, 1_000)

PARAMS = RelabelAndPick(
    sample_instructions=8,
    min_qualify_range=10,
    max_examples=400,
    rank_criteria="norm_score_max",
    pick_example_criteria="instruction_popularity",
    min_best_norm_score=None,
    max_instruction_tokens=None,
    tokenizer="words",
    unseen_dev_tasks=[],
    seen_dev_examples=2,
    min_task_examples=None,
    max_task_examples=None,
    seed=42,
)

# Params is built here, not read from params.yaml, which only DVC hands out.
STAGE = f"""
from seedbed.core.paths import Into
from seedbed.llm.params import Embedded, Llm
from seedbed.auto_instruct.params import RelabelAndPick
from seedbed.auto_instruct import relabel_and_pick

own = RelabelAndPick.model_validate({PARAMS.model_dump()!r})
llm = Llm(model="none", embedded=Embedded(context=4096, slots=1, threads=1))
params = relabel_and_pick.Params(llm=llm, relabel_and_pick=own)
relabel_and_pick.run(params, relabel_and_pick.Inputs(), Into("relabel_and_pick"))
"""


def name(number: int) -> str:
    return f"task1-{number:032x}"


def scores() -> list[list[float]]:
    """Made-up ROUGE: many zeros and ties, some candidates better, some examples all alike."""
    draw = random.Random(0)
    found = []
    for _ in range(KINDS):
        if draw.random() < 0.1:
            found.append([round(draw.random(), 4)] * CANDIDATES)
            continue
        found.append(
            [
                round(draw.random(), 4) if draw.random() < 0.9 - 0.03 * i else 0.0
                for i in range(CANDIDATES)
            ]
        )
    return found


def vectorised(rouge: np.ndarray, ids: list[str]) -> Picked:
    names = weighted_draws.as_keys([weighted_draws.name(id_) for id_ in ids])
    keys = weighted_draws.keys(names, PARAMS.seed, "relabel", TASK)
    return pick(rouge, keys, np.ones(CANDIDATES, dtype=bool), PARAMS)


def write_labels(path: Path, kinds: list[list[float]]) -> None:
    writer = Writer(seed=0)
    rests = []
    for rouge in kinds:
        row = {
            "input": writer.words(30),
            "target": writer.words(2),
            "instruction_idx": list(range(CANDIDATES)),
            "instruction_labels": [int(score >= 0.5) for score in rouge],
            "instruction_outputs": [writer.words(2) for _ in range(CANDIDATES)],
            "instruction_rouge": rouge,
        }
        rests.append(json.dumps(row)[1:] + "\n")
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "Example: {{input}}"}) + "\n")
        instructions = [writer.instruction() for _ in range(CANDIDATES)]
        file.write(json.dumps({"instructions": instructions}) + "\n")
        file.write(json.dumps({"demos": writer.words(60)}) + "\n")
        file.writelines(f'{{"id": "{name(n)}", {rests[n % KINDS]}' for n in range(EXAMPLES))


def steps(kinds: list[list[float]]) -> tuple[float, bool]:
    """Time both versions; gives the ratio, and whether they agree."""
    ids = [name(n) for n in range(EXAMPLES)]
    rouge = np.tile(np.array(kinds), (EXAMPLES // KINDS, 1))
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        vectorised(rouge, ids)
        seconds.append(time.perf_counter() - begun)
    fast = EXAMPLES / min(seconds)

    everything = list(range(CANDIDATES))
    examples = [
        plain.Example(one, everything, row)
        for one, row in zip(ids[:PLAIN], kinds[:PLAIN], strict=True)
    ]
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        wanted, _ = plain.relabel_and_pick(examples, CANDIDATES, everything, TASK, PARAMS)
        seconds.append(time.perf_counter() - begun)
    slow = PLAIN / min(seconds)

    found = vectorised(rouge[:PLAIN], ids[:PLAIN])
    agree = (
        [one.id for one in wanted] == [ids[row] for row in found.rows]
        and [one.idx for one in wanted] == found.drawn.tolist()
        and np.abs(np.array([one.labels for one in wanted]) - found.labels).max() < 1e-12
    )
    print(f"the steps of relabel-and-pick, × {CANDIDATES} candidates, best of {REPEATS}\n")
    print(f"  vectorised, {EXAMPLES:>9,} examples  {fast:>11,.0f} a second")
    print(f"  plain,      {PLAIN:>9,} examples  {slow:>11,.0f} a second")
    print(f"  ratio                          {fast / slow:>11.1f} (at least {LEAST_RATIO})")
    print(f"  both keep the same             {'yes' if agree else 'NO':>11}\n")
    return fast / slow, agree


def stage(kinds: list[list[float]]) -> float:
    """Time the stage on a file; gives its peak memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LABELLED / f"{TASK}.jsonl"
        write_labels(path, kinds)
        size = path.stat().st_size
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", STAGE],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path("src").resolve())},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Of this process alone: the children's maximum would have in it what this one had.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begun
        if process.returncode:
            sys.exit("the stage failed")
        figures = json.loads((Path(folder) / METRICS / "relabel_and_pick.json").read_text())
    peak = used.ru_maxrss * 1024
    print(f"the stage, {EXAMPLES:,} examples in one file\n")
    print(f"  file in        {size / 1e6:>10,.0f} MB ({size / EXAMPLES:,.0f} bytes a row)")
    print(f"  seconds        {seconds:>10.1f}")
    print(f"  rows a second  {EXAMPLES / seconds:>10,.0f}")
    print(f"  peak memory    {peak / 1e6:>10,.0f} MB (at most {MOST_BYTES / 1e6:,.0f})")
    print(f"  kept           {figures['examples_kept']:>10,}")
    for reason, count in (one.values() for one in figures["dropped"]):
        print(f"    {reason:<22}{count:>9,}")
    before, after = figures["evenness_before"], figures["evenness_after"]
    print(f"  evenness       {before:>10} → {after}\n")
    return peak


def main() -> None:
    kinds = scores()
    # First, while this process is small: the stage's is born with what this one has.
    peak = stage(kinds)
    ratio, agree = steps(kinds)
    reached = peak <= MOST_BYTES and ratio >= LEAST_RATIO and agree
    print(
        f"relabel-and-pick: the steps {ratio:.0f} times as fast as the plain version, the stage "
        f"with {peak / 1e6:,.0f} MB of memory" + ("." if reached else ": NOT WHAT IT MUST REACH.")
    )
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()
