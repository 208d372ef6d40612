"""A run as a process of its own, for tests that kill it: prompts in, answers out as JSON Lines.

    python -m support.killed_run PROMPTS OUT [LEASE]

The answers are written at the end, all or none, as a stage does it. LEASE: seconds that a claim is
good for.
"""

import json
import sys
from pathlib import Path

from seedbed.core.files import write_files
from seedbed.errors import SeedbedError
from seedbed.llm.contract.request import Request
from seedbed.llm.engine import open_engine
from seedbed.llm.params import Llm
from seedbed.llm.store import claims
from support.params import sampling, section

SAMPLING = sampling(max_tokens=50, temperature=0.7, stop=[])
LLM = section(Llm, model="served-model")


def main(prompts: Path, out: Path) -> None:
    requests = (Request(json.loads(line), SAMPLING) for line in prompts.open())
    with open_engine(LLM, lambda tally: None) as engine:
        lines = [
            json.dumps({"key": answer.key, "text": answer.text, "response": answer.response}) + "\n"
            for answer in engine.ask(requests)
        ]
        tally = engine.tally
    write_files({out: lines})
    print(f"{tally.sent} sent, {tally.reused} reused")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        claims.LEASE = float(sys.argv[3])
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except SeedbedError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
