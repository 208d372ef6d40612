"""`killed_run` on a Ray cluster: vLLM where no model is named, else the embedded server.

python -m support.fleet_run PROMPTS OUT [MODEL]
"""

import sys
from pathlib import Path

from seedbed.errors import SeedbedError
from seedbed.llm.params import Embedded, Llm
from support import killed_run
from support.params import section

ONE_THREAD = Embedded(context=2048, slots=1, threads=1)


def main(prompts: str, out: str, model: str = "served-model") -> None:
    named = model.endswith(".gguf") or model.startswith("gemma")
    server = {} if named else {"server": "pool"}
    killed_run.LLM = section(Llm, model=model, embedded=ONE_THREAD, **server)
    killed_run.SAMPLING = killed_run.SAMPLING.model_copy(
        update={"max_tokens": 12, "temperature": 0.0}
    )
    try:
        killed_run.main(Path(prompts), Path(out))
    except SeedbedError as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
