"""Score texts with transformers, as a reference for the scores of the embedded server.

For each case, a prompt and a text that continues it, the file that this writes holds the
log-probability of each token of the text as transformers computes it in float32 from the same
GGUF file, whose weights it dequantises. llama.cpp also quantises the activations, so its values
scatter around these. The token ids are those of the server's own tokenizer, so that nothing but
the arithmetic is compared: those of the prompt with the beginning-of-sequence token in front,
those of the text by itself, with names of special tokens read as plain text.

It is not part of the pipeline and needs packages that the project does not: the dependency group
`train`. `make check-train` installs it and runs the tests, one of which asks transformers anew.

    PYTHONPATH=src python tools/score_reference.py tests/data/score_reference.json
"""

import argparse
import json
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seedbed.llm.params import Embedded
from seedbed.llm.serve.embedded import PACKAGED, Model, model_file, serve

CASES = [
    # A plain fact; the text begins with a space, as a word of a sentence does.
    ("The capital of France is", " Paris, a city on the river Seine."),
    # The form of the pipeline's prompts, with a newline at the end and one within the text.
    (
        "Come up with a series of tasks:\n1. Name three fruits that are yellow.\n2.",
        " Write a short note to a neighbour who plays loud music.\n3. Explain what a dam is for.",
    ),
    # Quotation marks of several kinds, backslashes and what a grammar might take for its own.
    (
        'Task: Quote the sign.\nOutput: "',
        'Don\'t "feed" the `geese`\\n" said the sign; <[12]> | ::= [a-z]+ # {x} </s>',
    ),
    # Code, with runs of spaces and tabs.
    (
        "Task: Write a function that doubles a number.\nOutput:\n",
        "def double(x):\n    # twice\n\tif x is None:\n\t\treturn None\n    return  x * 2\n\n\n",
    ),
    # Other scripts, accents composed and decomposed, and emoji that are one token each.
    (
        "Translate 'good morning' into many languages.\n",
        "Grüße, καλημέρα, доброе утро, おはようございます, صباح الخير, buenos "
        "di\u0301as 🦖🌧️ – “bonjour”…",
    ),
    # A text without a space before it, in the middle of a word, after a prompt of a few characters.
    ("un", "believable  news"),
    # An unlikely text: log-probabilities far from zero.
    (
        "Task: Add two and two.\nInput:\nOutput:",
        " Lanterns obey sevenfold marmalade; the ledger hums 40961 zinc violins.",
    ),
    # A long one, some 300 tokens.
    (
        "Task: Describe a day at a lock on a canal.\nOutput:",
        " The lock keeper wakes before the boats do. At six she walks along the towpath with "
        "a lamp and a long iron key, counts the swans, and writes the height of the water "
        "into a book that her grandfather began. By seven the first barge is waiting below "
        "the gates, its engine knocking slowly, its deck piled with sand for the new "
        "hospital. She turns the wheel, the paddles rise, and the water comes in with a "
        "noise like a crowd leaving a theatre. Nobody speaks while the boat goes up. The "
        "skipper drinks his tea; a boy at the bow holds the rope and watches the wet wall "
        "sink past him, green, then black, then dry and grey. It takes eleven minutes. At "
        "the top they talk about the weather, the price of diesel, and the man at the next "
        "lock who will not answer his telephone.\n\nAfter noon it is quieter. Two canoes come "
        "through, which costs nothing, and a hotel boat with forty guests, which costs 18.50 "
        "and ends with a photograph. A fisherman asks whether the pike have moved upstream; "
        "she says that they have not told her. Towards evening the wind turns, leaves gather "
        "against the upper gate, and she rakes them out by hand, because a single branch can "
        "hold a gate open by the width of a finger, and through that finger a whole canal "
        "can run away in the night. When the lamp is lit again she reads the height once "
        "more, writes it under the number of the morning, and closes the book: three "
        "centimetres less, nine boats, no accidents.",
    ),
    # A character that the vocabulary lacks: it becomes one token for each of its four bytes.
    ("The hieroglyph of a seated man is", " 𓀀, the first in the list."),
]


def token_ids(root: str, key: str, text: str, **how: bool) -> list[int]:
    """The ids of a text's tokens, as the server at the address `root` cuts it."""
    request = urllib.request.Request(
        f"{root}/tokenize",
        json.dumps({"content": text, **how}).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["tokens"]


def tokenized(server: tuple[str, str], cases: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The cases with the ids of their tokens. server: base URL and key."""
    base_url, key = server
    root = base_url.removesuffix("/v1")
    return [
        {
            "prompt": prompt,
            "text": text,
            "prompt_ids": token_ids(root, key, prompt, add_special=True, parse_special=True),
            "ids": token_ids(root, key, text, add_special=False, parse_special=False),
        }
        for prompt, text in cases
    ]


def add_log_probabilities(file: Path, cases: list[dict[str, Any]]) -> None:
    """Add to each case the natural logarithm of each token's probability, given all before it."""
    import torch
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32
    ).eval()
    for case in cases:
        prompt_ids, ids = case["prompt_ids"], case["ids"]
        with torch.inference_mode():
            logits = net(torch.tensor([prompt_ids + ids])).logits[0].double()
        # What comes out at a position is about the token after it.
        about_text = logits[len(prompt_ids) - 1 : -1].log_softmax(dim=-1)
        scores = about_text.gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()
        case["logprobs"] = [round(score, 6) for score in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="the JSON file to write")
    path = parser.parse_args().path

    file, sha256 = model_file(PACKAGED)
    with serve(Model(file, sha256, Embedded(context=4096, slots=1, threads=2))) as server:
        cases = tokenized(server, CASES)
    add_log_probabilities(file, cases)
    reference = {
        "model_sha256": sha256,
        "transformers version": version("transformers"),
        "torch version": version("torch"),
        "cases": cases,
    }
    # One line a case: the file is for programs, and a difference should show which case it is in.
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps({k: v for k, v in reference.items() if k != "cases"}, ensure_ascii=False)
    path.write_text(f'{head[:-1]}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
