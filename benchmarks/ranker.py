"""How long does a head take to train at the paper's size, and what does a selection ask?

1. 121,778 lists of 8 candidates with 640 features each, made up and kept in a file, as the states
   of a small model would be: the time to the optimum, and the most memory that the process ever
   had. Beside it, on a sample: the same by gradient descent with momentum, until the gradient is
   below 1e-9, and how often that goes through the data.
2. The questions of a selection on one of the project's tasks, 22 candidates an example, to the
   embedded server: requests, and prompt tokens that it evaluated (timings.prompt_n), by way of
   `Engine.weigh`, and each answer by itself, as `Engine.score` does without the prompt cache.

The counts are exact and the same in every run; the seconds are those of this machine.

Run it from the project's folder: PYTHONPATH=src python benchmarks/ranker.py
"""

import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
import yaml
from counting import Counting, fresh_engine
from sizes import sized

from seedbed.core.paths import PARAMS
from seedbed.llm.params import Llm
from seedbed.ranker.features import Listing, to_weigh
from seedbed.ranker.heads import standardise
from seedbed.ranker.listwise import Lists, Objective, fit
from seedbed.ranker.rank_select import read_question
from seedbed.tasks.niv2 import read_task
from seedbed.tasks.places import find_tasks

LISTS, CANDIDATES, FEATURES = sized(121_778, 500), 8, sized(640, 16)
SAMPLE = sized(2_000, 200)
L2 = 1.0
EXAMPLES, COMPETING = sized(6, 1), sized(22, 3)
# What it must reach: seconds, bytes.
MOST_SECONDS, MOST_MEMORY = sized(120.0, inf), sized(2e9, inf)


@dataclass
class InFile:
    """Features in a file of float32, of which only what is asked for is read."""

    path: Path
    shape: tuple[int, int, int]
    dtype = np.dtype(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        size = self.shape[1] * self.shape[2]
        with self.path.open("rb") as file:
            file.seek(start * size * self.dtype.itemsize)
            values = np.fromfile(file, dtype=self.dtype, count=(stop - start) * size)
        return values.reshape(-1, *self.shape[1:])


def made_up(path: Path) -> Lists:
    """Lists whose labels follow a direction in the features, and chance."""
    generator = np.random.default_rng(42)
    direction = generator.normal(size=FEATURES) / FEATURES**0.5
    labels = np.empty((LISTS, CANDIDATES))
    with path.open("wb") as file:
        for start in range(0, LISTS, 1_000):
            count = min(1_000, LISTS - start)
            values = generator.standard_normal((count, CANDIDATES, FEATURES), dtype=np.float32)
            values.tofile(file)
            scores = values @ direction + generator.normal(size=(count, CANDIDATES))
            shares = np.exp(scores)
            labels[start : start + count] = shares / shares.sum(axis=1, keepdims=True)
    return Lists(InFile(path, (LISTS, CANDIDATES, FEATURES)), labels)


def descend(objective: Objective, weights: np.ndarray, near: float) -> tuple[int, float]:
    """Gradient descent with Nesterov's momentum: passes and seconds until the gradient is small."""
    begun = time.perf_counter()
    rate, before, ahead = 0.5, weights.copy(), weights.copy()
    for passes in range(1, 20_000):
        gradient = objective.at(ahead)[1]
        if np.linalg.norm(gradient) <= near:
            break
        after = ahead - rate * gradient
        ahead = after + (passes - 1) / (passes + 2) * (after - before)
        before = after
    return passes, time.perf_counter() - begun


def train() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        lists = made_up(Path(folder) / "features")
        begun = time.perf_counter()
        scaled, _, _ = standardise(lists)
        found = fit(scaled, np.zeros(FEATURES), L2 / LISTS)
        seconds = time.perf_counter() - begun
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        size = LISTS * CANDIDATES * FEATURES * 4 / 1e9
        print(
            f"{LISTS:,} lists × {CANDIDATES} candidates × {FEATURES} features ({size:.2f} GB): "
            f"{seconds:.1f} s, {found.steps} steps to a gradient of {found.gradient:.0e}, "
            f"at most {memory / 1e9:.2f} GB of memory"
        )
        sample = Lists(np.asarray(lists.features[:SAMPLE], np.float64), lists.labels[:SAMPLE])
    objective = Objective(sample, np.zeros(FEATURES), L2 / SAMPLE, 1.0)
    begun = time.perf_counter()
    newton = fit(sample, objective.prior, objective.l2)
    by_newton = time.perf_counter() - begun
    passes, by_descent = descend(objective, objective.prior, max(newton.gradient, 1e-9))
    print(
        f"a sample of {SAMPLE:,}: Newton {by_newton:.2f} s, gradient descent {by_descent:.2f} s "
        f"and {passes:,} passes: {by_descent / by_newton:.1f} times as long"
    )
    return seconds <= MOST_SECONDS and memory <= MOST_MEMORY


def select() -> bool:
    llm = Llm.model_validate(
        {**yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["llm"], "replay": False, "prices": []}
    )
    task = read_task(find_tasks(Path("data/niv2"))[0], EXAMPLES)
    # As long as candidates are: the task's own instruction, cut in other places.
    words = task.instruction.split()
    candidates = [" ".join(words[: 8 + place]) + "." for place in range(COMPETING)]
    listings = [
        Listing(task.name, example.input, candidates, range(COMPETING)) for example in task.examples
    ]
    options = list(to_weigh(listings, ["yes_no"], read_question()))
    pairs = [(prompt, text) for prompt, texts, _ in options for text in texts]
    counted = {}
    for way in ("weigh", "score"):
        with fresh_engine(llm) as engine:
            list(engine.score([("Hello", " there")]))  # the server starts
            Counting.start_over()
            begun = time.perf_counter()
            if way == "weigh":
                scores = [one.total for those in engine.weigh(options) for one in those]
            else:
                scores = [one.total for one in engine.score(pairs)]
            seconds = time.perf_counter() - begun
        counted[way] = (Counting.requests, Counting.evaluated, seconds, scores)
    columns = "{:<26}{:>10}{:>26}{:>10}".format
    print(
        f"\n{len(options)} questions ({task.name}: {len(listings)} × {COMPETING}), two words each"
    )
    print(columns("way", "requests", "prompt tokens evaluated", "seconds"))
    for way, name in (("weigh", "selection"), ("score", "without the prompt cache")):
        requests, evaluated, seconds, _ = counted[way]
        print(columns(name, f"{requests:,}", f"{evaluated:,}", f"{seconds:.1f}"))
    (_, mine, quick, here), (_, theirs, slow, there) = counted["weigh"], counted["score"]
    apart = max(abs(a - b) for a, b in zip(here, there, strict=True))
    print(
        f"\na selection evaluates 1/{theirs / mine:.1f} of the tokens in 1/{slow / quick:.1f} of "
        f"the time; the log-probabilities are {apart:.4f} apart at most"
    )
    return mine < theirs


if __name__ == "__main__":
    sys.exit(0 if all([train(), select()]) else 1)
