"""How many requests a second does the engine get through, and how much memory does it take?

The server is `mock_server.py`, in a process of its own on this machine: it answers at once, or
200 ms later, each prompt with a digest of it. So what is measured is the client's own work, and
with the delay whether that work leaves any of the 256 requests in flight waiting. Every answer is
compared with its prompt; a difference is an error.

    bare client  the official client, used in the ordinary way; it keeps nothing
    curator      the package bespokelabs-curator with its stored responses, in a venv of its own,
                 which is made on the first run; it knows chats only. Where it cannot be
                 installed, and at a tiny size, its rows are left out
    seedbed      the engine with its store

Each of them runs in a fresh process, with a fresh server and a fresh store, and they take turns,
three rounds of it: the median counts, since the machine may have other work now and then. The
clock runs from making the client to having the last answer, for those that store it on disk;
imports are not counted, since they are the same for three requests and for three million.

Then the engine answers 10,000 and 200,000 prompts that are made as it asks for them, for its peak
memory, and the larger number again from the full store, during which the server must not get a
connection.

Run it from the project's folder: PYTHONPATH=src python benchmarks/engine.py
It takes about five minutes, without the making of curator's venv.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from mock_server import Running, running
from sizes import ARGUMENTS, TINY, sized

HERE = Path(__file__).resolve().parent
CURATOR = "bespokelabs-curator==0.1.31"
CURATOR_VENV = Path(".seedbed/curator-env").resolve()

IN_FLIGHT = 256
ROUNDS = sized(3, 1)
DELAYS = sized((0, 0.2), (0,))
LIST = 20
FEW, MANY = sized(10_000, 50), sized(200_000, 100)


@dataclass(frozen=True)
class Kind:
    """What is asked: prompts, and how many of them make a request."""

    label: str
    api: str
    prompts: int
    each: int
    ways: tuple[str, ...]


CHAT = Kind("chat", "chat", sized(3_000, 50), 1, ("bare client", "curator", "seedbed"))
LISTS = Kind(
    f"lists of {LIST}", "completions", sized(40_000, 100), LIST, ("bare client", "seedbed")
)


@dataclass(frozen=True)
class Ran:
    """What a process did, by its own clock.

    processor: seconds of it, which say something on a busy machine too; 0 if it does not tell.
    connections: those that the server got meanwhile.
    peak: its memory, if it tells.
    """

    seconds: float
    processor: float
    connections: int
    peak: int


def environment(url: str, folder: Path, each: int) -> dict[str, str]:
    """Nothing of this shell's own settings, so that every run is the same."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "SEEDBED_", "CURATOR_"))
    }
    return own | {
        "PYTHONPATH": str(Path("src").resolve()),
        "NO_PROXY": "127.0.0.1",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "none",
        "SEEDBED_CONCURRENCY": str(IN_FLIGHT),
        "SEEDBED_PROMPTS_PER_REQUEST": str(each),
        "SEEDBED_STORE": str(folder / "responses.sqlite"),
        "CURATOR_CACHE_DIR": str(folder),
    }


def run(command: list[str | Path], server: Running, folder: Path, each: int = 1) -> Ran:
    """Run one of the ask_….py against the server."""
    before = server.counts()
    process = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment(server.url, folder, each),
        capture_output=True,
        text=True,
    )
    if process.returncode:
        sys.exit(f"{Path(command[1]).name} failed:\n{process.stderr}")
    told = json.loads(process.stdout.splitlines()[-1])
    connections = server.counts()["connections"] - before["connections"]
    return Ran(told["seconds"], told.get("processor", 0.0), connections, told.get("peak", 0))


def seedbed(api: str, prompts: int, how: str) -> list[str | Path]:
    return [sys.executable, HERE / "ask_seedbed.py", api, str(prompts), how]


def command_of(way: str, kind: Kind, url: str) -> list[str | Path]:
    prompts, each, in_flight = str(kind.prompts), str(kind.each), str(IN_FLIGHT)
    if way == "bare client":
        return [sys.executable, HERE / "ask_bare.py", url, kind.api, prompts, each, in_flight]
    if way == "curator":
        return [curator_python(), HERE / "ask_curator.py", url, prompts, in_flight]
    return seedbed(kind.api, kind.prompts, "ready")


def curator_python() -> Path:
    return CURATOR_VENV / "bin" / "python"


def install_curator() -> bool:
    """Make its venv, once: it wants older versions of packages that Seedbed has too.

    Returns:
        whether it is there.
    """
    if TINY:
        return False
    ready = CURATOR_VENV / ".ready"
    if ready.exists() and ready.read_text(encoding="utf-8") == CURATOR:
        return True
    print(f"Installing {CURATOR} into a venv of its own …\n", flush=True)
    venv.create(CURATOR_VENV, clear=True, with_pip=True)
    pip = [curator_python(), "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, "install", CURATOR]).returncode:
        return False
    ready.write_text(CURATOR, encoding="utf-8")
    return True


@contextmanager
def fresh(delay: float) -> Iterator[tuple[Running, Path]]:
    """A server that has seen nothing, and an empty folder."""
    folder = Path(tempfile.mkdtemp())
    try:
        with running(delay) as server:
            yield server, folder
    finally:
        shutil.rmtree(folder)


def print_heading() -> None:
    print(f"{IN_FLIGHT} requests in flight, median of {ROUNDS} rounds\n")
    print(
        f"{'delay':>8}  {'asked':<13}{'way':<13}{'seconds':>9}{'requests/s':>12}{'prompts/s':>12}"
        f"{'processor':>11}    all seconds"
    )


def compare(delay: float, kind: Kind) -> dict[str, float]:
    """Print the rows of a kind. Returns the prompts a second of each way."""
    runs: dict[str, list[Ran]] = {way: [] for way in kind.ways}
    for _ in range(ROUNDS):
        for way in kind.ways:
            with fresh(delay) as (server, folder):
                command = command_of(way, kind, server.url)
                runs[way].append(run(command, server, folder, kind.each))
    rates = {}
    for way, ran in runs.items():
        seconds = median(one.seconds for one in ran)
        rates[way] = kind.prompts / seconds
        print(
            f"{delay * 1000:>5.0f} ms  {kind.label:<13}{way:<13}{seconds:>9.2f}"
            f"{rates[way] / kind.each:>12,.0f}{rates[way]:>12,.0f}"
            f"{median(one.processor for one in ran):>11.2f}"
            f"    {', '.join(f'{one.seconds:.2f}' for one in ran)}",
            flush=True,
        )
    return rates


def compare_all(delay: float, chats: Kind) -> str:
    """Print the rows of a delay. Returns its ratios, in words."""
    chat, lists = compare(delay, chats), compare(delay, LISTS)
    ours, ours_in_lists = chat.pop("seedbed"), lists["seedbed"]
    print()
    return (
        f"{delay * 1000:.0f} ms: "
        + ", ".join(f"seedbed/{way} {ours / rate:.2f}" for way, rate in chat.items())
        + f"; in lists seedbed/bare client {ours_in_lists / lists['bare client']:.2f}, "
        f"prompts a second in lists/in chats {ours_in_lists / ours:.1f}"
    )


def print_memory(kind: Kind) -> tuple[float, bool]:
    """Print peak memory and the warm run. Returns the ratio of the peaks, and if warm was quiet."""
    peaks = []
    for prompts in (FEW, MANY):
        with fresh(0) as (server, folder):
            ran = run(seedbed(kind.api, prompts, "lazy"), server, folder, kind.each)
            peaks.append(ran.peak)
            print(
                f"  {kind.label:<13}{prompts:>9,} prompts{ran.seconds:>9.1f} s"
                f"{ran.peak / 1e6:>9.1f} MB",
                flush=True,
            )
            if prompts != MANY:
                continue
            again = seedbed(kind.api, prompts, "ready")
            warm = [run(again, server, folder, kind.each) for _ in range(ROUNDS)]
    ratio = peaks[1] / peaks[0]
    seconds, connections = median(one.seconds for one in warm), sum(one.connections for one in warm)
    print(f"  {kind.label:<13}peak memory, {MANY:,} over {FEW:,}: {ratio:.2f}")
    print(
        f"  {kind.label:<13}the same {MANY:,} from the full store: {seconds:.2f} s, "
        f"{MANY / seconds:,.0f} answers a second, "
        f"{connections or 'no'} connections to the server\n",
        flush=True,
    )
    return ratio, connections == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--chat-memory", action="store_true", help="peak memory in chats too: minutes longer"
    )
    parser.add_argument(
        "--lists", action="store_true", help="only how fast prompts are asked in lists: two minutes"
    )
    options = parser.parse_args(ARGUMENTS)
    if options.lists:
        print_heading()
        for delay in DELAYS:
            compare(delay, LISTS)
        return
    chats = CHAT
    if not install_curator():
        print("curator is not here, so its rows are left out.\n")
        chats = replace(CHAT, ways=("bare client", "seedbed"))

    print_heading()
    ratios = [compare_all(delay, chats) for delay in DELAYS]

    print("Peak memory of a process that asks prompts made on the way, at 0 ms\n")
    kinds = (LISTS, chats) if options.chat_memory else (LISTS,)
    results = [print_memory(kind) for kind in kinds]

    print("\n".join(ratios))
    quiet = all(one for _, one in results)
    print(
        "peak memory: " + ", ".join(f"{ratio:.2f}" for ratio, _ in results) + f" times for "
        f"{MANY // FEW} times the prompts; curator knows no lists, so it is compared in chats "
        "only; every answer belongs to its prompt; the full store "
        + ("needs no connection." if quiet else "DID NOT KEEP THE ENGINE FROM CONNECTING.")
    )
    sys.exit(0 if quiet else 1)


if __name__ == "__main__":
    main()
