"""Do several servers answer several times as much, and are beginnings evaluated once all the same?

The servers are `mock_server.py`, each in a process of its own on this machine: each answers 200 ms
later, 64 requests at a time, or 16, for which the client has time enough. What is measured is how
many requests a second the engine gets through with 1, 2 and 4 of them, until it is the client that
has no more to give (or the machine, whose processors the servers share); what the way in which
several are asked takes from a single one; and how much of label's prompts two servers evaluate,
each of which has a prefix cache of its own that forgets nothing, beside one that does.

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
# In flight at each server; in the end the last one counts.
EACH = sized((16, 64), (64,))
DELAY = sized(0.2, 0.0)
PROMPTS = sized(4_000, 50)
# Times that so many are asked of each server: a run takes as long if it is in proportion.
TURNS = sized(60, 1)
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


def ask(servers: list[Running], asked: str, way: str, each: int) -> dict[str, Any]:
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


def measure_overhead() -> tuple[float, float]:
    """Print what asking one server in the way of several takes.

    Returns:
        the ratio of the processor's seconds, and the requests a second that the client can ask.
    """
    print(f"one server that answers at once, 256 in flight, median of {ROUNDS} rounds\n")
    ran: dict[str, list[dict[str, Any]]] = {"plain": [], "fleet": []}
    for number in range(ROUNDS):
        # Neither is always the first.
        for way in sorted(ran, reverse=number % 2 == 0):
            with fresh(1, delay=0.0) as servers:
                ran[way].append(ask(servers, str(PROMPTS), way, each=256))
    columns = "{:>8}{:>12}{:>22}    {}".format
    print(columns("way", "requests/s", "of the processor", "all seconds"))
    processor, rate = {}, {}
    for way, runs in ran.items():
        processor[way] = median(one["processor"] for one in runs)
        rate[way] = PROMPTS / median(one["seconds"] for one in runs)
        busy = f"{processor[way]:.2f} s"
        print(columns(way, f"{rate[way]:,.0f}", busy, all_seconds(runs)), flush=True)
    return processor["fleet"] / processor["plain"], rate["plain"]


def all_seconds(runs: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['seconds']:.2f}" for one in runs)


def measure_rates(limit: float, each: int) -> dict[int, float]:
    """Print and give the requests a second with each number of servers.

    limit: those that the client can ask at most. each: requests in flight at each server.
    """
    rates = {}
    print(f"\n{each} in flight at each server, {DELAY * 1000:.0f} ms, median of {ROUNDS} rounds\n")
    columns = "{:>8}{:>12}{:>15}{:>10}    {:<24}{}".format
    named = ("requests/s", "× one server", "of what", "requests at each", "all seconds")
    print(columns("servers", *named))
    for count in SERVERS:
        runs, seen = [], []
        for _ in range(ROUNDS):
            with fresh(count, "--at-most", str(each)) as servers:
                runs.append(ask(servers, str(TURNS * each * count), "plain", each))
                seen = [server.counts()["requests"] for server in servers]
        rates[count] = TURNS * each * count / median(one["seconds"] for one in runs)
        most = min(limit, each * count / DELAY if DELAY else inf)
        times, of_most = f"{rates[count] / rates[1]:.2f}", f"{rates[count] / most:.2f}"
        shares = ", ".join(f"{one:,}" for one in seen)
        print(columns(count, f"{rates[count]:,.0f}", times, of_most, shares, all_seconds(runs)))
        sys.stdout.flush()
    print("(of what servers and client can do)")
    return rates


def measure_evaluated() -> float:
    """Print what is evaluated of label's prompts; gives two servers' share of the bound of one."""
    print(f"\nlabel on the project's tasks, {EXAMPLES} examples each × 22 candidates")
    evaluated = {}
    for count in SERVERS:
        with fresh(count, "--at-most", str(EACH[-1]), "--cache") as servers:
            told = ask(servers, f"label:{EXAMPLES}", "plain", EACH[-1])
            evaluated[count] = sum(server.counts()["evaluated"] for server in servers)
        print(
            f"  {count} servers: {told['prompts']:,} prompts in {told['seconds']:.1f} s, "
            f"{evaluated[count]:,} words evaluated, {evaluated[count] / evaluated[1]:.3f} × "
            "those of one",
            flush=True,
        )
    return evaluated[2] / evaluated[1]


def main() -> None:
    overhead, limit = measure_overhead()
    for each in EACH:
        rates = measure_rates(limit, each)
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
