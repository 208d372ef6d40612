"""Do several servers answer several times as much, and are beginnings evaluated once all the same?

The servers are `mock_server.py`, each in a process of its own on this machine: each answers 200 ms
later, 64 requests at a time. What is measured is how many requests a second the engine gets
through with 1, 2 and 4 of them, until it is the client that has no more to give (or the machine,
whose processors the servers share); what the way in which several are asked takes from a single
one; and how much of label's prompts two servers evaluate, each of which has a prefix cache of its
own that forgets nothing, beside one that does.

    plain  one address, asked as ever
    fleet  as several are, the one address being the only one

Every run is a fresh process with a fresh store and fresh servers; plain and fleet take turns, and
their medians count. Every answer is compared with its prompt.

Run it from the project's folder: PYTHONPATH=src python benchmarks/servers.py
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from engine import environment
from mock_server import Running, running
from sizes import sized

HERE = Path(__file__).resolve().parent
EACH = 64
DELAY = sized(0.2, 0.0)
# Requests for each server, so that each run takes as long if it is in proportion.
PROMPTS = sized(4_000, 50)
EXAMPLES = sized(50, 2)
ROUNDS = sized(3, 1)
SERVERS = (1, 2, 4)
# What it must reach: of the plain engine's processor time, and of what one server evaluates.
MOST_OVERHEAD, MOST_OF_BOUND = sized(1.05, inf), sized(1.15, inf)


@contextmanager
def fresh(count: int, *options: str, delay: float = DELAY) -> Iterator[list[Running]]:
    """So many servers that have seen nothing."""
    with ExitStack() as stack:
        yield [stack.enter_context(running(delay, *options)) for _ in range(count)]


def ask(servers: list[Running], asked: str, way: str, each: int = EACH) -> dict[str, Any]:
    """What `ask_servers.py` tells. each: requests in flight at each of the servers."""
    with tempfile.TemporaryDirectory() as folder:
        url = " ".join(server.url for server in servers)
        own = environment(url, Path(folder), 1) | {"SEEDBED_CONCURRENCY": str(each)}
        process = subprocess.run(
            [sys.executable, HERE / "ask_servers.py", asked, way],
            cwd=folder,
            env=own,
            capture_output=True,
            text=True,
        )
    if process.returncode:
        sys.exit(f"ask_servers.py failed:\n{process.stderr}")
    told: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return told


def measure_rates() -> dict[int, float]:
    """Print and give the requests a second with each number of servers."""
    rates = {}
    print(f"{EACH} in flight at each server, {DELAY * 1000:.0f} ms, median of {ROUNDS} rounds\n")
    columns = "{:>8}{:>12}{:>14}{:>10}{:>28}".format
    print(columns("servers", "requests/s", "× one server", "of ideal", "requests at each"))
    for count in SERVERS:
        seconds, seen = [], []
        for _ in range(ROUNDS):
            with fresh(count, "--at-most", str(EACH)) as servers:
                seconds.append(ask(servers, str(PROMPTS * count), "plain")["seconds"])
                seen = [server.counts()["requests"] for server in servers]
        rates[count] = PROMPTS * count / median(seconds)
        ideal = EACH * count / DELAY if DELAY else inf
        shares = ", ".join(f"{one:,}" for one in seen)
        times = f"{rates[count] / rates[1]:.2f}"
        print(columns(count, f"{rates[count]:,.0f}", times, f"{rates[count] / ideal:.2f}", shares))
        sys.stdout.flush()
    return rates


def measure_overhead() -> float:
    """Print what asking one server in the way of several takes; gives the ratio of the seconds."""
    print("\none server that answers at once, 256 in flight: seconds (of the processor)")
    ran: dict[str, list[dict[str, Any]]] = {"plain": [], "fleet": []}
    for number in range(ROUNDS):
        # Neither is always the first.
        for way in sorted(ran, reverse=number % 2 == 0):
            with fresh(1, delay=0.0) as servers:
                ran[way].append(ask(servers, str(PROMPTS), way, each=256))
    medians = {}
    for way, runs in ran.items():
        medians[way] = median(one["processor"] for one in runs)
        seconds = median(one["seconds"] for one in runs)
        print(f"  {way:<8}{seconds:>8.2f} ({medians[way]:.2f})")
    return medians["fleet"] / medians["plain"]


def measure_evaluated() -> float:
    """Print what is evaluated of label's prompts; gives two servers' share of the bound of one."""
    print(f"\nlabel on the project's tasks, {EXAMPLES} examples each × 22 candidates")
    evaluated = {}
    for count in SERVERS:
        with fresh(count, "--at-most", str(EACH), "--cache") as servers:
            told = ask(servers, f"label:{EXAMPLES}", "plain")
            evaluated[count] = sum(server.counts()["evaluated"] for server in servers)
        print(
            f"  {count} servers: {told['prompts']:,} prompts in {told['seconds']:.1f} s, "
            f"{evaluated[count]:,} words evaluated, {evaluated[count] / evaluated[1]:.3f} × "
            "those of one",
            flush=True,
        )
    return evaluated[2] / evaluated[1]


def main() -> None:
    rates = measure_rates()
    overhead = measure_overhead()
    of_bound = measure_evaluated()
    print(
        f"\n2 servers answer {rates[2] / rates[1]:.2f} times as much as one, 4 "
        f"{rates[4] / rates[1]:.2f} times; one asked as several takes {overhead:.3f} × the "
        f"processor (at most {MOST_OVERHEAD}); two evaluate {of_bound:.3f} × what one does (at "
        f"most {MOST_OF_BOUND})."
    )
    sys.exit(0 if overhead <= MOST_OVERHEAD and of_bound <= MOST_OF_BOUND else 1)


if __name__ == "__main__":
    main()
