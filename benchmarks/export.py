"""What do the columns cost that `seedbed export` adds, and how much memory?

Made-up instances of Self-Instruct, of which every tenth is an earlier one with a word
more, are described and written as Parquet: once a few, once 52,000, each in a process of its
own. So the growth of the peak between the two is what a row leaves behind. Seconds are the
processor's, so that what else runs on the machine does not count.

Ends with an error if the peak is above 500 MB.

Run it from the project's folder: PYTHONPATH=src python benchmarks/export.py
"""

import os
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from sizes import sized
from texts import Writer

from seedbed.core.files import to_line, write_files
from seedbed.llm.contract.request import key_of
from seedbed.self_instruct.export import EXPORT
from seedbed.self_instruct.rows import CLASSIFIED, INSTRUCTIONS
from seedbed.views.export.columns import describe
from seedbed.views.export.parquet import write_parquet

FEW, MANY = sized((2_000, 52_000), (50, 200))
MOST_BYTES = 500e6
FORM = next(form for form in EXPORT.forms if form.origins)


@dataclass
class Cost:
    """Of one run. peak: of the process's memory, in bytes."""

    seconds: float
    near_duplicates: int
    peak: int


class Run:
    """A run that made all that is there."""

    def stage_of(self, path: Path) -> str:
        return path.parent.name

    def made_of(self, stages: list[str]) -> list[str]:
        return ["bootstrap", "clf"]

    def check_written(self, stage: str, path: Path) -> None:
        pass


def write(rows: int) -> None:
    writer = Writer(seed=0)
    draw = writer.random
    instructions, kinds, instances = [], [], []
    for number in range(rows):
        instruction = writer.instruction()
        output = writer.words(draw.randint(5, 90))
        if number % 10 == 9:
            other = draw.choice(instances)
            instruction, output = other["instruction"], other["output"] + " now"
        id_, key = f"{number // 8}.{number % 8}-{key_of(str(number))[:12]}", key_of(str(number))
        instructions.append(
            {
                "instruction": instruction,
                "id": id_,
                "most_similar": {f"{number} {place}": draw.random() for place in range(10)},
                "metadata": {"key": key},
                "shown": [f"seed_task_{draw.randrange(175)}" for _ in range(8)],
            }
        )
        named = {"instruction": instruction, "instruction_id": id_, "key": key}
        kinds.append(named | {"is_classification": "No"})
        instances.append(named | {"input": "", "output": output, "id": f"{id_}/1"})
    write_files(
        {
            INSTRUCTIONS: map(to_line, instructions),
            CLASSIFIED: map(to_line, kinds),
            Path("alpaca.jsonl"): map(to_line, instances),
        }
    )


def measured(folder: str) -> Cost:
    os.chdir(folder)
    begun = time.process_time()
    with tempfile.TemporaryFile() as file:
        source = Path("alpaca.jsonl")
        columns = describe(FORM, source, Run(), (), file, lambda: None)
        write_parquet(source, FORM.record, Path("train.parquet"), FORM.measured, columns)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(time.process_time() - begun, columns.known["near_duplicate_of"], peak)


def main() -> None:
    costs = []
    for rows in (FEW, MANY):
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        ):
            pool.submit(write_in, folder, rows).result()
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                costs.append(fresh.submit(measured, folder).result())
    few, many = costs
    if many.peak > MOST_BYTES:
        raise SystemExit(f"the peak is {many.peak / 1e6:.0f} MB")
    growth = max(many.peak - few.peak, 0) / (MANY - FEW)
    print(
        f"export describes {MANY:,} rows in {many.seconds:.1f} s of a processor "
        f"({MANY / many.seconds:,.0f} a second), {many.near_duplicates:,} of them near-duplicates; "
        f"peak {many.peak / 1e6:.0f} MB, {growth / 1e3:.2f} kB a row"
    )


def write_in(folder: str, rows: int) -> None:
    os.chdir(folder)
    write(rows)


if __name__ == "__main__":
    main()
